//! Standard functions of Lua with a check before them.
//!
//! For: keeping scripts from changing protected tables through functions that pass metatables by, and from
//! patterns whose matching would take more of the C stack than there is. May touch: Lua's C interface.
//! Always: a checked function runs in the same frame as the one it stands for, so that errors name the same
//! place; no value with a destructor lives in these frames, which errors leave by a long jump.

use std::ffi::{c_int, c_void};

use mlua::{Function, Lua, LuaOptions, StdLib, Table, ffi, ffi::lua_State};

/// Bytes of a pattern at most: matching takes a frame of the C stack for every item of it.
const MOST_PATTERN: usize = 10_000;

/// Its address is the key by which metatables of protected tables are known; scripts cannot make it.
static MARK: u8 = 0;

/// What is checked.
#[derive(Clone, Copy)]
pub enum Guard {
    /// The first argument is not a protected table.
    Write,
    /// A protected table as first argument is replaced by a copy.
    Read,
    /// As `Read`, for what begins an iteration by the function that is given.
    Pairs,
    /// A protected table has no metatable to show, but for one that is shown in its stead.
    Meta,
    /// The second argument is not too long a pattern.
    Pattern,
    /// Nothing: a function written in Lua looks like one of the standard library. A call of it is no tail
    /// call, so that errors name the place of the call.
    Forward,
    /// `pcall` itself: the function is not looked at. An error that is a table with a text is that text.
    PCall,
    /// `xpcall` itself.
    XPCall,
}

/// A state with the libraries of which scripts see a part.
pub fn state() -> Lua {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS | StdLib::DEBUG;
    // SAFETY: `debug` makes a state unsafe: the prelude takes one harmless function of it, and replaces the
    // globals by a table that has none, before any script runs. Nothing loads C modules or bytecode.
    unsafe { Lua::unsafe_new_with(libraries, LuaOptions::new().catch_rust_panics(false)) }
}

/// Marks the metatable of a protected table.
pub fn mark(lua: &Lua, meta: &Table) -> mlua::Result<()> {
    // SAFETY: takes one value from the stack, where it is a table, and leaves none.
    unsafe {
        lua.exec_raw(meta, |state| {
            push_mark(state);
            ffi::lua_pushboolean(state, 1);
            ffi::lua_rawset(state, 1);
            ffi::lua_settop(state, 0);
        })
    }
}

/// The function with a check before it; `copy` makes copies of protected tables.
pub fn guarded(lua: &Lua, guard: Guard, function: &Function, copy: &Function) -> mlua::Result<Function> {
    let check = match guard {
        Guard::Write => check_write,
        Guard::Read => check_read,
        Guard::Pairs => check_pairs,
        Guard::Meta => check_meta,
        Guard::Pattern => check_pattern,
        Guard::Forward => forward,
        Guard::PCall => pcall,
        Guard::XPCall => xpcall,
    };
    // SAFETY: the two values on the stack become the closure's, which is left in their place.
    unsafe { lua.exec_raw((function, copy), |state| ffi::lua_pushcclosure(state, check, 2)) }
}

/// What Lua has made of a function that is written in it.
///
/// # Errors
/// When the state is out of memory.
pub fn bytecode(lua: &Lua, function: &Function) -> mlua::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let kept = (&raw mut bytes).cast();
    // SAFETY: the function is on the stack, and `bytes` outlives the call; what is left is taken off.
    unsafe {
        lua.exec_raw::<()>(function, |state| {
            ffi::lua_dump_(state, keep, kept);
            ffi::lua_settop(state, 0);
        })?;
    }
    Ok(bytes)
}

/// Takes a piece of what is dumped.
unsafe extern "C-unwind" fn keep(
    _: *mut lua_State,
    piece: *const c_void,
    len: usize,
    bytes: *mut c_void,
) -> c_int {
    // SAFETY: called by `lua_dump` with its piece and with the pointer to `bytecode`'s vector.
    unsafe { (*bytes.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(piece.cast(), len)) };
    0
}

unsafe fn push_mark(state: *mut lua_State) {
    // SAFETY: the caller's state is sound and has room, as Lua promises to every C function.
    unsafe { ffi::lua_pushlightuserdata(state, (&raw const MARK).cast_mut().cast::<c_void>()) }
}

/// Whether the first argument is a protected table. Leaves the stack as it was.
unsafe fn is_protected(state: *mut lua_State) -> bool {
    // SAFETY: runs in a C function called by Lua, with its stack.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE || ffi::lua_getmetatable(state, 1) == 0 {
            return false;
        }
        push_mark(state);
        ffi::lua_rawget(state, -2);
        let is_marked = ffi::lua_type(state, -1) != ffi::LUA_TNIL;
        ffi::lua_settop(state, -3);
        is_marked
    }
}

/// Runs the function that is checked, as if it had been called itself.
unsafe fn go_on(state: *mut lua_State) -> c_int {
    // SAFETY: the first upvalue is a function of the standard library, with the arguments of its call.
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(function) => function(state),
            None => 0,
        }
    }
}

unsafe extern "C-unwind" fn check_write(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; an error leaves this frame, which has nothing to drop.
    unsafe {
        if is_protected(state) {
            ffi::lua_pushstring(state, c"Attempt to modify a readonly table".as_ptr());
            ffi::lua_error(state);
        }
        go_on(state)
    }
}

/// Puts a copy in the place of a protected table.
unsafe fn replace_protected(state: *mut lua_State) {
    // SAFETY: as `check_write`.
    unsafe {
        if is_protected(state) {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
            ffi::lua_pushvalue(state, 1);
            ffi::lua_call(state, 1, 1);
            ffi::lua_replace(state, 1);
        }
    }
}

unsafe extern "C-unwind" fn check_read(state: *mut lua_State) -> c_int {
    // SAFETY: as `check_write`.
    unsafe {
        replace_protected(state);
        go_on(state)
    }
}

unsafe extern "C-unwind" fn check_pairs(state: *mut lua_State) -> c_int {
    // SAFETY: as `check_write`.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        replace_protected(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
        3
    }
}

unsafe extern "C-unwind" fn check_meta(state: *mut lua_State) -> c_int {
    // SAFETY: as `check_write`.
    unsafe {
        let is_protected = is_protected(state);
        let results = go_on(state);
        if !is_protected || ffi::lua_type(state, -1) != ffi::LUA_TBOOLEAN {
            return results;
        }
        ffi::lua_pushnil(state);
        1
    }
}

unsafe extern "C-unwind" fn forward(state: *mut lua_State) -> c_int {
    // SAFETY: as `check_write`.
    unsafe {
        let count = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, count, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}

unsafe extern "C-unwind" fn check_pattern(state: *mut lua_State) -> c_int {
    // SAFETY: as `check_write`.
    unsafe {
        if ffi::lua_type(state, 2) == ffi::LUA_TSTRING && ffi::lua_rawlen(state, 2) > MOST_PATTERN {
            ffi::lua_pushstring(state, c"pattern too complex".as_ptr());
            ffi::lua_error(state);
        }
        go_on(state)
    }
}

unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> c_int {
    // SAFETY: as `check_write`.
    unsafe {
        ffi::luaL_checkany(state, 1);
        let status = ffi::lua_pcall(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET, 0);
        ffi::luaL_checkstack(state, 2, c"too many results".as_ptr());
        if status != ffi::LUA_OK && ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            ffi::lua_pushstring(state, c"err".as_ptr());
            ffi::lua_rawget(state, -2);
            if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                ffi::lua_settop(state, -2);
            } else {
                ffi::lua_replace(state, -2);
            }
        }
        ffi::lua_pushboolean(state, c_int::from(status == ffi::LUA_OK));
        ffi::lua_insert(state, 1);
        ffi::lua_gettop(state)
    }
}

unsafe extern "C-unwind" fn xpcall(state: *mut lua_State) -> c_int {
    // SAFETY: as `check_write`.
    unsafe {
        ffi::luaL_checkany(state, 2);
        ffi::lua_settop(state, 2);
        ffi::lua_insert(state, 1);
        let status = ffi::lua_pcall(state, 0, ffi::LUA_MULTRET, 1);
        ffi::luaL_checkstack(state, 1, c"too many results".as_ptr());
        ffi::lua_pushboolean(state, c_int::from(status == ffi::LUA_OK));
        ffi::lua_replace(state, 1);
        ffi::lua_gettop(state)
    }
}
