-- What scripts see: made once per state, from functions that Rust hands in. Everything here lies in tables
-- that scripts can read and not change.
local native = ...
local error, type, tostring, tonumber, select, next = error, type, tostring, tonumber, select, next
local setmetatable, getmetatable, rawget, rawset = setmetatable, getmetatable, rawget, rawset
local raw_pcall, raw_xpcall, setfenv, unpack = pcall, xpcall, setfenv, unpack
local raw_loadstring, getinfo, floor = loadstring, debug.getinfo, math.floor
local find, sub, byte, concat = string.find, string.sub, string.byte, table.concat
local resume, create = coroutine.resume, coroutine.create

local real, globals = {}, {}
-- From what scripts see of a protected table to the table itself.
local behind = {}

local function refuse()
  error('Attempt to modify a readonly table', 2)
end

-- As a function of C: `error` with level 3 then names the place of its call.
local function forward(f)
  return native.forward(f, f)
end

local function protect(table, shown)
  shown = shown or {}
  behind[shown] = table
  local meta = { __index = table, __newindex = refuse, __metatable = false }
  native.mark(meta)
  return setmetatable(shown, meta), meta
end

-- A copy of a protected table, for those who walk through it.
local function copy(shown)
  local twin = {}
  for key, value in next, behind[shown] or {} do twin[key] = value end
  return twin
end

local function fail(message)
  return error({ err = message }, 0)
end

-- The innermost function of the script itself.
local function place()
  local level = 3
  local info = getinfo(level, 'Sl')
  while info and (info.source == '=ochre' or info.currentline < 0) do
    level = level + 1
    info = getinfo(level, 'Sl')
  end
  return info and info.source .. ':' .. info.currentline
end

local function handler(e)
  local text = native.message(e)
  if text then
    text = 'ERR ' .. text
  elseif type(e) == 'table' then
    text = rawget(e, 'err')
    if type(text) ~= 'string' then text = 'ERR unknown error' end
  else
    text = 'ERR ' .. tostring(e)
  end
  local at = place()
  return { at and text .. ' script: on ' .. at .. '.' or text }
end

-- Base.
for _, name in next, { 'assert', 'error', 'gcinfo', 'ipairs', 'rawequal',
  'select', 'tonumber', 'tostring', 'type', 'unpack', '_VERSION' } do
  real[name] = _G[name]
end
for _, name in next, { 'setmetatable', 'rawset' } do
  real[name] = native.guard_write(_G[name], copy)
end
for _, name in next, { 'rawget', 'next' } do
  real[name] = native.guard_read(_G[name], copy)
end
real.getmetatable = native.guard_meta(getmetatable, copy)
-- How the memory of a state is kept is no script's business: others come after it.
local collect = collectgarbage
real.collectgarbage = forward(function(what, size)
  if what == nil or what == 'collect' or what == 'count' or what == 'step' then return collect(what, size) end
  return 0
end)
real.pairs = native.guard_pairs(next, copy)

real.pcall = native.pcall(raw_pcall, copy)
real.xpcall = native.xpcall(raw_xpcall, copy)

local function load_text(text, name)
  if type(text) == 'string' and byte(text) == 27 then
    return nil, "bytecode:1: unexpected symbol near 'char(27)'"
  end
  local f, message = raw_loadstring(text, name)
  if f then setfenv(f, globals) end
  return f, message
end

real.loadstring = forward(load_text)

real.load = forward(function(reader, name)
  local pieces = {}
  while true do
    local piece = reader()
    if piece == nil or piece == '' then break end
    if type(piece) ~= 'string' then error('reader function must return a string', 3) end
    pieces[#pieces + 1] = piece
    if byte(pieces[1]) == 27 then break end
  end
  return load_text(concat(pieces), name or '=(load)')
end)

-- Libraries.
local function library(name, names, guard)
  local from, to = _G[name], {}
  for key, value in next, from do to[key] = value end
  for _, key in next, names do to[key] = guard(from[key], copy) end
  real[name] = protect(to)
  return to
end

local strings = library('string', { 'find', 'match', 'gmatch', 'gfind', 'gsub' }, native.guard_pattern)
local meta = getmetatable('')
meta.__index = strings
meta.__metatable = protect({ __index = real.string })
library('table', { 'insert', 'remove', 'sort' }, native.guard_write)
local maths = library('math', {}, native.guard_write)
real.os = protect({ clock = os.clock })

local random, seed = native.random, native.seed

local function number(value, count, at, name)
  local n = tonumber(value)
  if n == nil then
    local got = count < at and 'no value' or type(value)
    error(("bad argument #%d to '%s' (number expected, got %s)"):format(at, name, got), 4)
  end
  return n < 0 and -floor(-n) or floor(n)
end

maths.random = forward(function(...)
  local count, r = select('#', ...), random()
  if count == 0 then return r end
  if count > 2 then error('wrong number of arguments', 3) end
  local a, b = ...
  a = number(a, count, 1, 'random')
  if count == 1 then
    if a < 1 then error("bad argument #1 to 'random' (interval is empty)", 3) end
    return floor(r * a) + 1
  end
  b = number(b, count, 2, 'random')
  if a > b then error("bad argument #2 to 'random' (interval is empty)", 3) end
  return floor(r * (b - a + 1)) + a
end)

maths.randomseed = forward(function(...)
  local value = ...
  seed(number(value, select('#', ...), 1, 'randomseed'))
end)

-- Nested coroutines take room on the C stack, so their depth is limited.
local deepest, resumed_per_look = unpack(native.coroutines)
local depth = 0
-- Each has its own count of instructions until the next look at whether the script is to end, so none may
-- ever reach it: their resumptions are counted, too. Once it is to end every further one looks, and fails.
local look, resumed = native.look, 0

local function leave(...)
  depth = depth - 1
  return ...
end

local function resume_within(...)
  if depth >= deepest then return false, 'C stack overflow' end
  resumed = resumed + 1
  if resumed >= resumed_per_look then
    look()
    resumed = 0
  end
  depth = depth + 1
  return leave(resume(...))
end

local function unwrap(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

local function wrap(f)
  local co = create(f)
  return function(...) return unwrap(resume_within(co, ...)) end
end

local coroutines = { resume = forward(resume_within), wrap = forward(wrap) }
for _, name in next, { 'create', 'running', 'status', 'yield' } do coroutines[name] = coroutine[name] end
real.coroutine = protect(coroutines)

-- redis.*
local redis = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_REPLICA = 2, REPL_SLAVE = 2, REPL_ALL = 3,
}
for name, value in next, native.facts do redis[name] = value end

local function reply_of(field, ...)
  local text = ...
  if select('#', ...) ~= 1 or type(text) ~= 'string' then
    return { err = 'ERR wrong number or type of arguments' }
  end
  return { [field] = text }
end

function redis.status_reply(...)
  return reply_of('ok', ...)
end

function redis.error_reply(...)
  local reply = reply_of('err', ...)
  local text = reply.err
  if sub(text, 1, 1) == '-' then text = sub(text, 2) end
  if not find(text, ' ', 1, true) then text = 'ERR ' .. text end
  reply.err = text
  return reply
end

local function words(value)
  local is = type(value)
  return (is == 'string' or is == 'number') and tostring(value) or nil
end

function redis.sha1hex(...)
  if select('#', ...) ~= 1 then fail('ERR wrong number of arguments') end
  return native.sha1(words(...) or '')
end

function redis.log(...)
  local count, level = select('#', ...), tonumber((...))
  if count < 2 then fail('ERR server.log() requires two arguments or more.') end
  if not level then fail('ERR First argument must be a number (log level).') end
  if level < 0 or level > 3 then fail('ERR Invalid log level.') end
  local parts = {}
  for at = 2, count do parts[#parts + 1] = words((select(at, ...))) end
  native.log(level, concat(parts, ' '))
end

function redis.setresp(...)
  if select('#', ...) ~= 1 then fail('ERR server.setresp() requires one argument.') end
  local version = tonumber((...))
  if version ~= 2 and version ~= 3 then fail('ERR RESP version must be 2 or 3.') end
  native.setresp(version)
end

function redis.set_repl(...)
  if select('#', ...) ~= 1 then fail('ERR server.set_repl() requires one argument.') end
  local flags = tonumber((...)) or 0
  if flags ~= 0 and flags ~= 1 and flags ~= 2 and flags ~= 3 then
    fail('ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.')
  end
  native.set_repl(flags)
end

if not native.is_library then
  function redis.replicate_commands() return true end
  function redis.breakpoint() return false end
  function redis.debug() end
end

for name, value in next, redis do
  if type(value) == 'function' then redis[name] = forward(value) end
end
redis.call, redis.pcall, redis.acl_check_cmd = unpack(native.commands)
real.redis = protect(redis)
real.server = real.redis

-- bit.
local bits = {}
for name, least in next, { tobit = 1, bnot = 1, band = 1, bor = 1, bxor = 1, lshift = 2, rshift = 2, arshift = 2,
  rol = 2, ror = 2, bswap = 1, tohex = 1 } do
  bits[name] = forward(function(...)
    local count = select('#', ...)
    for at = 1, count > least and count or least do
      local value = select(at, ...)
      if tonumber(value) == nil then
        local got = count < at and 'no value' or type(value)
        error(("bad argument #%d to '%s' (number expected, got %s)"):format(at, name, got), 3)
      end
    end
    return native.bit(name, ...)
  end)
end
real.bit = protect(bits)

-- A function of a library answers true and results, or false, a complaint and the argument that it is about.
local function finish(ok, ...)
  if ok then return ... end
  local message, at = ...
  if not at then error(message, 4) end
  if at < 0 then error(message, 0) end
  local info = getinfo(3, 'n')
  local name = info and info.name or '?'
  if info and info.namewhat == 'method' then
    at = at - 1
    if at == 0 then error(("calling '%s' on bad self (%s)"):format(name, message), 4) end
  end
  error(("bad argument #%d to '%s' (%s)"):format(at, name, message), 4)
end

-- cjson.
local json = native.cjson
local json_option = json.option

local function translator(name, f)
  return forward(function(...)
    if select('#', ...) ~= 1 then return finish(false, 'expected 1 argument', 1) end
    local value = ...
    if name == 'decode' and type(value) ~= 'string' and type(value) ~= 'number' then
      return finish(false, 'string expected, got ' .. type(value), 1)
    end
    local done, result = f(value)
    if not done then error(result, 3) end
    return result
  end)
end

-- A check of an option answers the value to set, or nil, a complaint and the argument that is blamed, if it
-- is not the option's own. A whole number within limits; whatever its place, the first argument is blamed.
local function range(least, most)
  local beyond = ('expected integer between %d and %d'):format(least, most)
  return function(value)
    local n = tonumber(value)
    if not n then return nil, 'number expected, got ' .. type(value) end
    n = n < 0 and -floor(-n) or floor(n)
    -- NaN is in no range.
    if not (n >= least and n <= most) then return nil, beyond, 1 end
    return n
  end
end

-- A boolean, or a word that stands for a value.
local function word(words)
  return function(value)
    if type(value) == 'boolean' then return value end
    if type(value) ~= 'string' and type(value) ~= 'number' then
      return nil, 'string expected, got ' .. type(value)
    end
    local chosen = words[tostring(value)]
    if chosen == nil then return nil, "invalid option '" .. value .. "'" end
    return chosen
  end
end

-- Sets options that are given, and answers all, by pairs of a name and a check. One that is refused leaves
-- those before it set.
local function setter(...)
  local options, most = { ... }, select('#', ...) / 2
  return forward(function(...)
    if select('#', ...) > most then return finish(false, 'found too many arguments', most + 1) end
    local given, results = { ... }, {}
    for at = 1, most do
      local value, complaint, blamed = given[at]
      if value ~= nil then value, complaint, blamed = options[2 * at](value) end
      if complaint then return finish(false, complaint, blamed or at) end
      results[at] = json_option(options[2 * at - 1], value)
    end
    return unpack(results, 1, most)
  end)
end

local depth, switch = range(1, 2147483647), word({ on = true, off = false })
local sparse = range(0, 2147483647)

local cjson = {
  _NAME = 'cjson', _VERSION = '2.1.0', null = json.null,
  encode = translator('encode', json.encode),
  decode = translator('decode', json.decode),
  encode_max_depth = setter('encode_max_depth', depth),
  decode_max_depth = setter('decode_max_depth', depth),
  encode_number_precision = setter('encode_number_precision', range(1, 14)),
  encode_keep_buffer = setter('encode_keep_buffer', switch),
  decode_invalid_numbers = setter('decode_invalid_numbers', switch),
  encode_invalid_numbers = setter(
    'encode_invalid_numbers', word({ on = true, off = false, null = 'null' })),
  encode_sparse_array = setter('sparse_convert', switch, 'sparse_ratio', sparse, 'sparse_safe', sparse),
}
cjson.new = forward(function()
  local twin = {}
  for name, value in next, cjson do twin[name] = value end
  return twin
end)
real.cjson = protect(cjson)

local function raising(made)
  for name, f in next, made do
    if type(f) == 'function' then made[name] = forward(function(...) return finish(f(...)) end) end
  end
  return made
end

for name, made in next, native.libraries do real[name] = protect(raising(made)) end

local strict = {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
}
local _, surface = protect(real, globals)
surface.__metatable = protect({ __index = strict.__index })
real._G = globals
setmetatable(real, strict)

-- Functions do not find their keys and arguments as globals, but are called with them; what they keep of
-- them is theirs.
local given = {}

local function twin(list)
  local own = {}
  for at = 1, #list do own[at] = list[at] end
  return own
end

local function calling(callback)
  local f = forward(callback)
  return function() return (f(twin(given.KEYS), twin(given.ARGV))) end
end

-- Libraries of functions: while one is loaded, it sees a few things only, and may register functions.
local made

local function register_named(given)
  local f = { flags = 0 }
  for key, value in next, given do
    if not words(key) then
      fail('ERR named argument key given to server.register_function is not a string')
    end
    key = tostring(key):lower()
    if key == 'function_name' then
      f.name = words(value)
        or fail('ERR function_name argument given to server.register_function must be a string')
    elseif key == 'description' then
      f.description = words(value)
        or fail('ERR description argument given to server.register_function must be a string')
    elseif key == 'callback' then
      if type(value) ~= 'function' then
        fail('ERR callback argument given to server.register_function must be a function')
      end
      f.callback = calling(value)
    elseif key == 'flags' then
      if type(value) ~= 'table' then
        fail('ERR flags argument to server.register_function must be a table representing function flags')
      end
      local seen, at = {}, 1
      local flag = rawget(value, at)
      while flag ~= nil do
        flag = type(flag) == 'string' and flag:lower()
        local bit = native.flags[flag] or fail('ERR unknown flag given')
        if not seen[flag] then f.flags = f.flags + bit end
        seen[flag], at = true, at + 1
        flag = rawget(value, at)
      end
    else
      fail('ERR unknown argument given to server.register_function')
    end
  end
  if not f.name then fail('ERR server.register_function must get a function name argument') end
  if not f.callback then fail('ERR server.register_function must get a callback argument') end
  return f
end

local function register(...)
  if not made then fail('ERR server.register_function can only be called on FUNCTION LOAD command') end
  local count, name, callback = select('#', ...), ...
  if count ~= 1 and count ~= 2 then fail('ERR wrong number of arguments to server.register_function') end
  if count == 2 then
    name = words(name) or fail('ERR first argument to server.register_function must be a string')
    if type(callback) ~= 'function' then
      fail('ERR second argument to server.register_function must be a function')
    end
    made[#made + 1] = { name = name, callback = calling(callback), flags = 0 }
    return
  end
  if type(name) ~= 'table' then
    fail('ERR calling server.register_function with a single argument is only applicable to Lua table ' ..
      '(representing named arguments).')
  end
  made[#made + 1] = register_named(name)
end

local registrar = { log = redis.log, register_function = forward(register) }
for name, value in next, native.facts do registrar[name] = value end
for name in next, { LOG_DEBUG = 0, LOG_VERBOSE = 0, LOG_NOTICE = 0, LOG_WARNING = 0 } do
  registrar[name] = redis[name]
end
local loadable = { redis = protect(setmetatable(registrar, strict)) }
loadable.server = loadable.redis
setmetatable(loadable, strict)

local function reason(e)
  return type(e) == 'table' and rawget(e, 'err') or 'ERR ' .. (native.message(e) or tostring(e))
end

local function load_library(library)
  made, surface.__index = {}, loadable
  local ok, why = raw_xpcall(library, reason)
  local result = made
  made, surface.__index = nil, real
  return ok, ok and result or why
end

return globals, native.is_library and given or real, handler, function()
  depth = 0
end, load_library
