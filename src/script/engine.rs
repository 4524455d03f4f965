//! A state, and running scripts and functions in it.
//!
//! For: compiling scripts, handing them their keys and arguments, and taking their results. May touch: what
//! `Cx` carries.
//! Always: a worker's state for scripts and a dataset's state for functions are made on first use; memory and
//! depth are limited; what a script has set is forgotten before the next.

use std::any::Any;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::chunk::ChunkMode;
use mlua::{FromLua, Function, HookTriggers, Lua, RegistryKey, Table, Value, VmState};

use super::bridge::{Bridge, Lookout};
use super::call::{Caller, Choices, LOOK_NS};
use super::raw::{self, Guard};
use super::shebang;
use super::{bit, bytecode, cjson, cmsgpack, structs};
use crate::clock::Ticks;
use crate::command::scripts::{Kind, MOST_EVALUATED, Script, ScriptFlags, Scripts, Sha};
use crate::command::{Cx, Host, Outcome};
use crate::fault::Fault;
use crate::keyspace::record::Effect;
use crate::resp::{Args, Proto};
use crate::value::sha1::sha1_hex;

const PRELUDE: &str = include_str!("prelude.lua");
/// Memory of a state at most; a script that needs more gets an error.
const MOST_MEMORY: usize = 1 << 30;
/// A state that has more than this left when a script ends is collected at once.
const KEPT_MEMORY: usize = 64 << 20;
/// What the server is told of a state's memory is right but for this much.
const ROUGH_MEMORY: usize = 4096;
/// Coroutines within coroutines.
const MOST_COROUTINES: u32 = 100;
/// Instructions between two looks at whether the script is to end.
const LOOK_EVERY: u32 = 100_000;
/// Resumptions of coroutines between two looks: every coroutine has its own count of instructions.
const RESUMED_PER_LOOK: u32 = 16;
/// Compiled scripts of which some may have left the cache; with more, those that have are dropped.
const MOST_COMPILED: usize = 2 * MOST_EVALUATED;
/// The name of a script in errors, and that of a library of functions.
const SCRIPT: &str = "@user_script";
const LIBRARY: &str = "@user_function";

/// How a client names a script.
#[derive(Clone, Copy)]
pub enum Named<'a> {
    /// By its text.
    Text(&'a [u8]),
    /// By its digest.
    Sha(&'a [u8]),
}

/// What a script or a function is given.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Its keys.
    pub keys: Args<'a>,
    /// Its other arguments.
    pub others: Args<'a>,
}

impl<'a> Given<'a> {
    /// Of so many keys, and what follows them.
    #[inline]
    pub fn of(args: Args<'a>, keys: usize) -> Given<'a> {
        Given { keys: args.to(keys), others: args.from(keys) }
    }
}

/// How a script is run.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// Which.
    pub script: Named<'a>,
    /// For what.
    pub given: Given<'a>,
    /// By a command that may not write.
    pub is_read_only: bool,
}

/// Runs a script, and writes what it returns.
///
/// # Errors
/// Those of finding, compiling and running it.
pub fn run(cx: &mut Cx<'_>, how: &How<'_>) -> Result<Outcome, Fault> {
    with_engine(cx, |engine, cx| engine.run(cx, how))
}

/// Compiles a script and keeps it until SCRIPT FLUSH.
///
/// # Errors
/// Those of compiling it.
pub fn load(cx: &mut Cx<'_>, text: &[u8]) -> Result<Sha, Fault> {
    with_engine(cx, |engine, cx| {
        let compiled = engine.compile(cx.host, text, true)?;
        Ok(compiled.script.sha)
    })
}

/// Takes the worker's state out of its place while it is used: what runs inside has none.
fn with_engine<R>(
    cx: &mut Cx<'_>,
    f: impl FnOnce(&mut Scripting, &mut Cx<'_>) -> Result<R, Fault>,
) -> Result<R, Fault> {
    let kept = cx.interpreter.take().and_then(|kept: Box<dyn Any>| kept.downcast::<Scripting>().ok());
    let mut engine = match kept {
        Some(engine) => engine,
        None => Box::new(Scripting::new(cx.host, cx.db.record.chance.next_u64())?),
    };
    let result = f(&mut engine, cx);
    // The look at every instruction goes with its state.
    if engine.engine.is_spent {
        engine.engine.forget(cx.host);
    } else {
        *cx.interpreter = Some(engine);
    }
    result
}

struct Compiled {
    script: Arc<Script>,
    function: RegistryKey,
}

impl Compiled {
    /// Whether it is the script of that text, and still known.
    fn is_at_hand(&self, text: &[u8]) -> bool {
        *self.script.text == *text && self.script.is_known()
    }
}

/// A worker's state for scripts, and what is compiled in it.
struct Scripting {
    engine: Engine,
    by_sha: HashMap<Sha, Rc<Compiled>>,
    /// The one that ran last: mostly it is the one that runs next.
    last: Option<Rc<Compiled>>,
    /// By the hash of the text.
    by_text: HashMap<u64, Rc<Compiled>>,
}

impl Scripting {
    fn new(host: &Host, chance: u64) -> Result<Scripting, Fault> {
        let engine = Engine::new(host, Kind::Script, chance).map_err(|error| fault_of(&error))?;
        Ok(Scripting { engine, by_sha: HashMap::new(), last: None, by_text: HashMap::new() })
    }

    /// Whether the script that is named ran last, and is still known.
    #[inline]
    fn is_last(&self, named: Named<'_>) -> bool {
        self.last.as_ref().is_some_and(|last| match named {
            Named::Text(text) => last.is_at_hand(text),
            Named::Sha(sha) => *sha == last.script.sha && last.script.is_known(),
        })
    }

    /// The script that is named, compiled.
    fn find(&mut self, host: &Host, named: Named<'_>) -> Result<Rc<Compiled>, Fault> {
        match named {
            Named::Text(text) => {
                let known = self.by_text.get(&host.space.hasher.hash(text));
                match known.filter(|it| it.is_at_hand(text)) {
                    Some(compiled) => Ok(Rc::clone(compiled)),
                    None => self.compile(host, text, false),
                }
            }
            Named::Sha(name) => {
                let mut sha: Sha = name.try_into().map_err(|_| Fault::NO_SCRIPT)?;
                sha.make_ascii_lowercase();
                if let Some(compiled) = self.by_sha.get(&sha).filter(|it| it.script.is_known()) {
                    return Ok(Rc::clone(compiled));
                }
                let script = host.scripts.find(&sha).ok_or(Fault::NO_SCRIPT)?;
                self.keep(host, script)
            }
        }
    }

    /// Compiles a script and adds it to the cache.
    fn compile(&mut self, host: &Host, text: &[u8], stays: bool) -> Result<Rc<Compiled>, Fault> {
        let (flags, body) = shebang::parse(text)?;
        let function = self.engine.script(body)?;
        let script = host.scripts.add(sha1_hex(text), text, flags, stays);
        Ok(self.insert(host, Compiled { script, function }))
    }

    /// Compiles a script that another worker has added.
    fn keep(&mut self, host: &Host, script: Arc<Script>) -> Result<Rc<Compiled>, Fault> {
        let (_, body) = shebang::parse(&script.text)?;
        let function = self.engine.script(body)?;
        Ok(self.insert(host, Compiled { script, function }))
    }

    fn insert(&mut self, host: &Host, compiled: Compiled) -> Rc<Compiled> {
        if self.by_sha.len() >= MOST_COMPILED {
            self.by_sha.retain(|_, it| it.script.is_known());
            self.by_text.retain(|_, it| it.script.is_known());
            self.engine.lua.expire_registry_values();
        }
        let compiled = Rc::new(compiled);
        self.by_text.insert(host.space.hasher.hash(&compiled.script.text), Rc::clone(&compiled));
        self.by_sha.insert(compiled.script.sha, Rc::clone(&compiled));
        compiled
    }

    fn run(&mut self, cx: &mut Cx<'_>, how: &How<'_>) -> Result<Outcome, Fault> {
        let host = cx.host;
        if !self.is_last(how.script) {
            self.last = Some(self.find(host, how.script)?);
        }
        let Some(compiled) = &self.last else { return Err(Fault::NO_SCRIPT) };
        host.scripts.touch(&compiled.script);
        let flags = compiled.script.flags;
        let may_write = flags.contains(ScriptFlags::DECLARED) && !flags.contains(ScriptFlags::NO_WRITES);
        if how.is_read_only && may_write {
            return Err(Fault::SCRIPT_NOT_RO);
        }
        let is_read_only = how.is_read_only || flags.contains(ScriptFlags::NO_WRITES);
        self.engine.perform(cx, &compiled.function, &how.given, is_read_only)
    }
}

/// A state in which scripts run, or functions.
pub(super) struct Engine {
    kind: Kind,
    lua: Lua,
    /// The globals as they are: what scripts see of them is read only.
    real: Option<Table>,
    bridge: Bridge,
    /// Puts right what a script that failed may have left in the prelude.
    reset: Function,
    has_failed: bool,
    /// Runs a library and answers what it has registered.
    loader: Function,
    choices: Arc<Choices>,
    json: cjson::Shared,
    overseer: Arc<Overseer>,
    /// What the commands of the script that runs did so far, for the log; empty while none runs.
    unit: Vec<Effect>,
    /// [`LOOK_NS`] in ticks.
    look_ticks: u64,
    /// What its memory is counted as, in `Scripts`.
    counted_bytes: usize,
    /// Something was killed in it, and every instruction fails.
    is_spent: bool,
}

impl Engine {
    /// A state.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn new(host: &Host, kind: Kind, chance: u64) -> mlua::Result<Engine> {
        let lua = raw::state();
        let choices = Arc::new(Choices::new(chance));
        let json = cjson::Shared::default();
        let mut bridge = Bridge::new(&lua)?;
        let overseer = Arc::new(Overseer {
            kind,
            scripts: Arc::clone(&host.scripts),
            ticks: host.ticks.clone(),
            lookout: bridge.lookout(),
            until_ns: AtomicU64::new(0),
        });
        let native = natives(&lua, &choices, &json, &overseer)?;
        let [call, pcall, check] = bridge.functions(&lua)?;
        native.set("commands", lua.create_sequence_from([call, pcall, check])?)?;
        let prelude = lua.load(PRELUDE).set_name("=ochre").set_mode(ChunkMode::Text);
        let (globals, given, handler, reset, loader) =
            prelude.call::<(Table, Table, Function, Function, Function)>(native)?;
        bridge.furnish(&lua, &given, &handler)?;
        let real = (kind == Kind::Script).then_some(given);
        lua.set_globals(globals)?;
        lua.set_memory_limit(MOST_MEMORY)?;
        overseer.watch(&lua)?;
        let (has_failed, counted_bytes, is_spent) = (false, 0, false);
        Ok(Engine {
            kind,
            lua,
            real,
            bridge,
            reset,
            has_failed,
            loader,
            choices,
            json,
            overseer,
            unit: Vec::new(),
            look_ticks: host.ticks.in_nanos(LOOK_NS),
            counted_bytes,
            is_spent,
        })
    }

    fn chunk(&self, body: &[u8], name: &str) -> mlua::Result<Function> {
        self.lua.load(body).set_name(name).set_mode(ChunkMode::Text).into_function()
    }

    fn script(&self, body: &[u8]) -> Result<RegistryKey, Fault> {
        let script = self.chunk(body, SCRIPT).map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => Fault::script_syntax(message.as_bytes()),
            other => fault_of(&other),
        })?;
        self.shorten(&script)
            .and_then(|()| self.lua.create_registry_value(script))
            .map_err(|error| fault_of(&error))
    }

    /// A script that sets no global variable reads them without the detour by what refuses that. It cannot
    /// get hold of the table: `_G` is what others see, too.
    fn shorten(&self, script: &Function) -> mlua::Result<()> {
        let Some(real) = &self.real else { return Ok(()) };
        if !bytecode::sets_globals(&raw::bytecode(&self.lua, script)?) {
            script.set_environment(real.clone())?;
        }
        Ok(())
    }

    /// Runs a library for at most `most_ns`; what it has registered.
    ///
    /// # Errors
    /// Those of compiling and running it.
    pub(super) fn load(&mut self, host: &Host, body: &[u8], most_ns: u64) -> Result<Vec<Registered>, Fault> {
        let library = self.chunk(body, LIBRARY).map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => Fault::library_syntax(message.as_bytes()),
            other => Fault::library_failed(fault_of(&other).text()),
        })?;
        let until_ns = &self.overseer.until_ns;
        until_ns.store(host.ticks.since_start_ns().saturating_add(most_ns), Ordering::Relaxed);
        let loaded: mlua::Result<(bool, Value)> = self.loader.call(library);
        until_ns.store(0, Ordering::Relaxed);
        self.lua.expire_registry_values();
        self.tidy(host);
        let made = match loaded {
            Ok((true, Value::Table(made))) => made.sequence_values().collect::<mlua::Result<Vec<_>>>(),
            Ok((_, Value::String(text))) => return Err(Fault::library_failed(&text.as_bytes())),
            Ok((_, Value::Error(error))) => Err(*error),
            Ok(_) => return Err(Fault::library_failed(Fault::SCRIPT_FAILED.text())),
            Err(error) => Err(error),
        };
        made.map_err(|error| Fault::library_failed(fault_of(&error).text()))
    }

    /// Counts the memory, and collects what is more than a state keeps.
    fn tidy(&mut self, host: &Host) {
        let mut bytes = self.bridge.memory_bytes();
        if bytes > KEPT_MEMORY {
            // It fails only where memory ran out, and then the next script collects.
            let _ = self.lua.gc_collect();
            bytes = self.bridge.memory_bytes();
        }
        if bytes.abs_diff(self.counted_bytes) < ROUGH_MEMORY {
            return;
        }
        host.scripts.count_memory(self.kind, self.counted_bytes, bytes);
        self.counted_bytes = bytes;
    }

    /// Its memory counts no more.
    pub(super) fn forget(&mut self, host: &Host) {
        host.scripts.count_memory(self.kind, self.counted_bytes, 0);
        self.counted_bytes = 0;
    }

    /// After a kill: instructions succeed again.
    pub(super) fn revive(&mut self) -> mlua::Result<()> {
        self.is_spent = false;
        self.overseer.watch(&self.lua)
    }

    /// Whether something was killed in it: it must be revived, or replaced.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Runs what the registry keeps, and writes what it returns.
    ///
    /// # Errors
    /// Those of the script or function.
    pub(super) fn perform(
        &mut self,
        cx: &mut Cx<'_>,
        function: &RegistryKey,
        given: &Given<'_>,
        is_read_only: bool,
    ) -> Result<Outcome, Fault> {
        self.choices.reset();
        self.json.reset();
        let (host, home) = (cx.host, cx.session.db);
        // What it prepares for HIMPORT is its own.
        let fieldsets = cx.session.fieldsets.take();
        if cx.db.record.logs {
            self.unit.append(&mut cx.db.record.effects);
        }
        let began = cx.began;
        host.scripts.running.begin(cx.worker, host.ticks.ns_at(began), self.kind);
        let mut caller = Caller {
            cx,
            choices: &self.choices,
            is_read_only,
            unit: &mut self.unit,
            dirty: 0,
            look_at: began + self.look_ticks,
        };
        let reset = if self.has_failed { self.reset.call::<()>(()) } else { Ok(()) };
        let ran = match reset {
            Ok(()) => self.bridge.run(function, given, &mut caller),
            Err(error) => Err(fault_of(&error)),
        };
        let (was_killed, newcomers) = host.scripts.running.end();
        if let Some(newcomers) = newcomers {
            caller.let_in(newcomers);
        }
        let dirty = caller.dirty;
        self.is_spent = was_killed;
        self.has_failed = ran.is_err();
        cx.session.fieldsets = fieldsets;
        if cx.session.db != home {
            cx.session.select(home);
        }
        let record = &mut *cx.db.record;
        (record.dirty, record.rewritten) = (dirty, true);
        if record.logs {
            record.effects.append(&mut self.unit);
        }
        self.tidy(host);
        ran.map(|()| Outcome::Done)
    }
}

/// Something that a library has registered.
pub(super) struct Registered {
    /// As the library calls it.
    pub name: Vec<u8>,
    /// What runs.
    pub function: RegistryKey,
    /// What the library says about it.
    pub description: Option<Vec<u8>>,
    /// `ScriptFlags` bits.
    pub flags: ScriptFlags,
}

impl FromLua for Registered {
    fn from_lua(value: Value, lua: &Lua) -> mlua::Result<Registered> {
        let made = Table::from_lua(value, lua)?;
        let text = |text: mlua::LuaString| text.as_bytes().to_vec();
        Ok(Registered {
            name: text(made.raw_get("name")?),
            function: lua.create_registry_value(made.raw_get::<Function>("callback")?)?,
            description: made.raw_get::<Option<mlua::LuaString>>("description")?.map(text),
            flags: ScriptFlags::from_bits_truncate(made.raw_get("flags")?),
        })
    }
}

/// Looks after a state now and then: whether what runs in it is to end.
struct Overseer {
    kind: Kind,
    scripts: Arc<Scripts>,
    ticks: Ticks,
    lookout: Lookout,
    /// `Ticks` nanoseconds at which the library that is being loaded has taken too long, 0 when none is.
    until_ns: AtomicU64,
}

impl Overseer {
    /// Looks every so many instructions; undoes what [`Overseer::look`] does to what is to end.
    fn watch(self: &Arc<Self>, lua: &Lua) -> mlua::Result<()> {
        let overseer = Arc::clone(self);
        let triggers = HookTriggers::new().every_nth_instruction(LOOK_EVERY);
        lua.set_global_hook(triggers, move |lua, _| overseer.look(lua).map(|()| VmState::Continue))
    }

    /// Looks, while instructions of Lua are carried out.
    ///
    /// # Errors
    /// When what runs is to end.
    fn look(&self, lua: &Lua) -> mlua::Result<()> {
        self.lookout.look();
        let goes_down = self.scripts.is_interrupted.load(Ordering::Relaxed);
        if !goes_down && !self.scripts.running.is_killed() {
            let until_ns = self.until_ns.load(Ordering::Relaxed);
            // A library has nothing by which it could catch the error.
            let is_late = until_ns > 0 && self.ticks.since_start_ns() > until_ns;
            return if is_late { Err(late()) } else { Ok(()) };
        }
        let kind = self.kind;
        let ending = move || if goes_down { ending() } else { killed(kind) };
        // At every instruction from now on: a script that catches errors gets no further either.
        lua.set_hook(HookTriggers::new().every_nth_instruction(1), move |_, _| Err(ending()))?;
        Err(ending())
    }
}

fn killed(kind: Kind) -> mlua::Error {
    mlua::Error::runtime(match kind {
        Kind::Script => "Script killed by user with SCRIPT KILL.",
        Kind::Function => "Script killed by user with FUNCTION KILL.",
    })
}

fn late() -> mlua::Error {
    mlua::Error::runtime("FUNCTION LOAD timeout")
}

fn ending() -> mlua::Error {
    mlua::Error::runtime("the server is going down")
}

pub(super) fn fault_of(error: &mlua::Error) -> Fault {
    match error {
        mlua::Error::MemoryError(_) => Fault::SCRIPT_MEMORY,
        error => Fault::script_failed(message(error).as_bytes()),
    }
}

/// What an error says, in one line.
fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::RuntimeError(text) => text.lines().next().unwrap_or_default().to_owned(),
        mlua::Error::CallbackError { cause, .. } => message(cause),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// What the prelude is made of.
fn natives(
    lua: &Lua,
    choices: &Arc<Choices>,
    json: &cjson::Shared,
    overseer: &Arc<Overseer>,
) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    native.set("is_library", overseer.kind == Kind::Function)?;
    native.set("message", lua.create_function(|_, error: Value| Ok(error.as_error().map(message)))?)?;
    native.set("mark", lua.create_function(|lua, meta: Table| raw::mark(lua, &meta))?)?;
    for (name, guard) in [
        ("guard_write", Guard::Write),
        ("guard_read", Guard::Read),
        ("guard_meta", Guard::Meta),
        ("guard_pairs", Guard::Pairs),
        ("guard_pattern", Guard::Pattern),
        ("forward", Guard::Forward),
        ("pcall", Guard::PCall),
        ("xpcall", Guard::XPCall),
    ] {
        let guarded = move |lua: &Lua, (function, copy): (Function, Function)| {
            raw::guarded(lua, guard, &function, &copy)
        };
        native.set(name, lua.create_function(guarded)?)?;
    }
    let own = Arc::clone(overseer);
    native.set("look", lua.create_function(move |lua, ()| own.look(lua))?)?;
    native.set("coroutines", lua.create_sequence_from([MOST_COROUTINES, RESUMED_PER_LOOK])?)?;
    let sha1 = |lua: &Lua, text: mlua::LuaString| lua.create_string(sha1_hex(&text.as_bytes()));
    native.set("sha1", lua.create_function(sha1)?)?;
    let write = |_: &Lua, (level, text): (f64, mlua::LuaString)| {
        log(level, &String::from_utf8_lossy(&text.as_bytes()));
        Ok(())
    };
    native.set("log", lua.create_function(write)?)?;
    let own = Arc::clone(choices);
    native.set("random", lua.create_function(move |_, ()| Ok(own.draw()))?)?;
    let own = Arc::clone(choices);
    native.set(
        "seed",
        lua.create_function(move |_, number: f64| {
            own.set_seed(number as i64 as i32);
            Ok(())
        })?,
    )?;
    let own = Arc::clone(choices);
    native.set(
        "setresp",
        lua.create_function(move |_, version: u8| {
            own.set_proto(if version == 3 { Proto::Resp3 } else { Proto::Resp2 });
            Ok(())
        })?,
    )?;
    let own = Arc::clone(choices);
    native.set(
        "set_repl",
        lua.create_function(move |_, bits: u8| {
            own.set_repl(bits);
            Ok(())
        })?,
    )?;
    native.set("facts", facts(lua)?)?;
    native.set("flags", flags(lua)?)?;
    native.set("bit", bit::function(lua)?)?;
    native.set("cjson", cjson::functions(lua, json)?)?;
    let libraries = lua.create_table()?;
    libraries.set("cmsgpack", cmsgpack::library(lua)?)?;
    libraries.set("struct", structs::library(lua)?)?;
    native.set("libraries", libraries)?;
    Ok(native)
}

/// The flags that a function may be registered with: bits by name.
fn flags(lua: &Lua) -> mlua::Result<Table> {
    let flags = lua.create_table()?;
    shebang::FLAGS.iter().try_for_each(|(name, flag)| flags.set(lua.create_string(name)?, flag.bits()))?;
    Ok(flags)
}

/// What scripts are told of the server.
fn facts(lua: &Lua) -> mlua::Result<Table> {
    let facts = lua.create_table()?;
    let number =
        |version: &str| version.split('.').fold(0u32, |sum, part| sum << 8 | part.parse().unwrap_or(0));
    facts.set("REDIS_VERSION", crate::REDIS_VERSION)?;
    facts.set("REDIS_VERSION_NUM", number(crate::REDIS_VERSION))?;
    facts.set("SERVER_NAME", "ochre")?;
    Ok(facts)
}

/// A line of the log, at the level of `redis.LOG_*`.
fn log(level: f64, text: &str) {
    match level as u8 {
        0 => tracing::trace!("{text}"),
        1 => tracing::debug!("{text}"),
        2 => tracing::info!("{text}"),
        _ => tracing::warn!("{text}"),
    }
}
