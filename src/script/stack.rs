//! The stack of a function that Lua calls.
//!
//! For: reading and making Lua values where handles to them would cost more than the values. May touch: Lua's
//! C interface, and the memory of tables, to look at it.
//! Always: what may raise an error says so. An error leaves all frames up to the protected call by a long
//! jump, so no value with a destructor may be live in them while such a function is called.

use std::ffi::{c_int, c_void};

use mlua::{ffi, ffi::lua_State};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Nil,
    /// True or false.
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A table.
    Table,
    /// A function, a coroutine, or something of ours.
    Other,
}

/// The stack of a running C function. Indexes count from 1 at the bottom, or from -1 at the top, or are those
/// of upvalues.
#[derive(Clone, Copy)]
pub struct Stack(*mut lua_State);

/// Index of an upvalue of the running function; the first is 1.
pub fn upvalue(at: c_int) -> c_int {
    ffi::lua_upvalueindex(at)
}

// Every method below is sound for a `Stack` that is made and used as `Stack::of` asks, with an index that is
// in use. What is pushed has room: Lua gives each C function 20 slots, and who needs more reserves them.
impl Stack {
    /// The stack of a state.
    ///
    /// # Safety
    /// It is used only while the function that Lua called with this state runs, inside a protected call, and
    /// as the room's rules say.
    pub unsafe fn of(state: *mut lua_State) -> Stack {
        Stack(state)
    }

    /// What lies there.
    #[inline]
    pub fn kind(self, at: c_int) -> Kind {
        // SAFETY: see above the implementation.
        match unsafe { ffi::lua_type(self.0, at) } {
            ffi::LUA_TNIL | ffi::LUA_TNONE => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::Text,
            ffi::LUA_TTABLE => Kind::Table,
            _ => Kind::Other,
        }
    }

    /// Values on the stack.
    #[inline]
    pub fn top(self) -> c_int {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_gettop(self.0) }
    }

    /// Takes values off.
    #[inline]
    pub fn pop(self, count: c_int) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_settop(self.0, -count - 1) }
    }

    /// The number there.
    #[inline]
    pub fn number(self, at: c_int) -> f64 {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_tonumber(self.0, at) }
    }

    /// Whether what lies there is neither false nor nil.
    #[inline]
    pub fn is_true(self, at: c_int) -> bool {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_toboolean(self.0, at) != 0 }
    }

    /// The bytes of the string there, as long as it stays there; nothing of what is no string.
    #[inline]
    pub fn text(&self, at: c_int) -> &[u8] {
        self.as_text(at).unwrap_or_default()
    }

    /// The bytes of the string there, as long as it stays there, or what lies there instead.
    #[inline]
    pub fn as_text(&self, at: c_int) -> Result<&[u8], Kind> {
        match self.kind(at) {
            Kind::Text => {}
            other => return Err(other),
        }
        let mut len = 0;
        // SAFETY: a string's bytes stay where they are while it is on the stack. Nothing is converted.
        unsafe {
            let bytes = ffi::lua_tolstring(self.0, at, &raw mut len);
            Ok(std::slice::from_raw_parts(bytes.cast(), len))
        }
    }

    /// Pushes nil.
    #[inline]
    pub fn push_nil(self) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_pushnil(self.0) }
    }

    /// Pushes true or false.
    #[inline]
    pub fn push_bool(self, value: bool) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_pushboolean(self.0, c_int::from(value)) }
    }

    /// Pushes a number.
    #[inline]
    pub fn push_number(self, value: f64) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_pushnumber(self.0, value) }
    }

    /// Pushes what lies there once more.
    #[inline]
    pub fn push_copy(self, at: c_int) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_pushvalue(self.0, at) }
    }

    /// Pushes a string. May raise.
    #[inline]
    pub fn push_text(self, bytes: &[u8]) {
        // SAFETY: Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.0, bytes.as_ptr().cast(), bytes.len()) }
    }

    /// Pushes an empty table with room for that many elements and fields. May raise.
    #[inline]
    pub fn push_table(self, elements: usize, fields: usize) {
        let room = |count: usize| c_int::try_from(count).unwrap_or(c_int::MAX);
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_createtable(self.0, room(elements), room(fields)) }
    }

    /// Takes the topmost value off and puts it there.
    #[inline]
    pub fn replace(self, at: c_int) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_replace(self.0, at) }
    }

    /// Replaces the key on top by what the table there has under it.
    #[inline]
    pub fn get(self, table: c_int) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_rawget_(self.0, table) }
    }

    /// Pushes an element of the table there.
    #[inline]
    pub fn get_at(self, table: c_int, at: usize) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_rawgeti_(self.0, table, c_int::try_from(at).unwrap_or(0)) }
    }

    /// Takes a key and, on top of it, its value off, and sets them in the table there. May raise.
    #[inline]
    pub fn set(self, table: c_int) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_rawset(self.0, table) }
    }

    /// Takes a value off and makes it an element of the table there. May raise.
    #[inline]
    pub fn set_at(self, table: c_int, at: usize) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_rawseti_(self.0, table, c_int::try_from(at).unwrap_or(c_int::MAX)) }
    }

    /// Sets a field of the table on top to a string. May raise.
    pub fn set_text(self, field: &str, text: &[u8]) {
        self.push_text(field.as_bytes());
        self.push_text(text);
        self.set(-3);
    }

    /// Where the table there is in memory.
    #[inline]
    pub fn address(self, at: c_int) -> *const c_void {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_topointer(self.0, at) }
    }

    /// Replaces the key on top by the next one of the table there and its value; false, and the key is gone:
    /// there is none. May raise when the key is not the table's.
    #[inline]
    pub fn next(self, table: c_int) -> bool {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    /// Makes room for that many values more. May raise.
    #[inline]
    pub fn reserve(self, count: c_int) {
        // SAFETY: see above the implementation.
        unsafe {
            if ffi::lua_checkstack(self.0, count) == 0 {
                // Wants more, and raises.
                ffi::luaL_checkstack(self.0, count, c"too many nested values".as_ptr());
            }
        }
    }

    /// Calls the function on top without arguments; its only result takes its place. May raise.
    #[inline]
    pub fn call(self) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_call(self.0, 0, 1) }
    }

    /// Pushes what the registry keeps under that number.
    #[inline]
    pub fn push_kept(self, id: c_int) {
        // SAFETY: see above the implementation.
        unsafe { ffi::lua_rawgeti_(self.0, ffi::LUA_REGISTRYINDEX, id) }
    }
}

/// A table as Lua 5.1 lays it out (`Table` in its lobject.h).
#[repr(C)]
struct Inside {
    next: *const c_void,
    kind: u8,
    color: u8,
    absent_events: u8,
    /// Logarithm of the number of nodes.
    log_nodes: u8,
    metatable: *const c_void,
    elements: *const c_void,
    /// Where everything is that is not among the elements. Tables without such fields share one node.
    nodes: *const c_void,
    last_free: *const c_void,
    gray: *const c_void,
    /// How many elements there is room for.
    room: c_int,
}

/// How to look into tables: telling at a glance that one has nothing but elements, where a walk through it
/// would cost more than what it is walked for. How Lua lays tables out is tried on a few before it is relied
/// on.
pub struct Shape {
    /// The node that tables without fields share.
    shared_node: *const c_void,
}

// SAFETY: the node is the same for all states of the process, lies there for good, and is not looked into.
unsafe impl Send for Shape {}

impl Shape {
    /// Tries on a few tables whether they look as expected. May raise.
    ///
    /// # Safety
    /// The state is that of a C function which Lua has called, with room for four values.
    pub unsafe fn learn(state: *mut lua_State) -> Option<Shape> {
        // SAFETY: as the caller promises; what is on top are tables made here.
        unsafe {
            let stack = Stack::of(state);
            let below = stack.top();
            stack.push_table(0, 0);
            let shape = Shape { shared_node: inside(state).nodes };
            let empty = shape.look(inside(state));
            stack.push_table(3, 0);
            let with_room = shape.look(inside(state));
            stack.push_table(0, 1);
            let with_field = shape.look(inside(state));
            stack.push_table(5, 0);
            stack.push_copy(-2);
            ffi::lua_setmetatable(state, -2);
            let with_metatable = shape.look(inside(state));
            let is_metatable = inside(state).metatable == ffi::lua_topointer(state, -2);
            ffi::lua_settop(state, below);
            let seen = (empty, with_room, with_field, with_metatable, is_metatable);
            (seen == (Some(0), Some(3), None, None, true)).then_some(shape)
        }
    }

    /// For how many elements the table has room, if it has no metatable, and nothing in it but such elements.
    ///
    /// # Safety
    /// It is the address of a table (`lua_topointer`) that something keeps alive.
    #[inline]
    pub unsafe fn room(&self, table: *const c_void) -> Option<usize> {
        // SAFETY: a table lies where it is as long as it lives, and looks like this: see `learn`.
        self.look(unsafe { &*table.cast() })
    }

    #[inline]
    fn look(&self, table: &Inside) -> Option<usize> {
        let is_plain = table.metatable.is_null() && table.nodes == self.shared_node;
        if is_plain { usize::try_from(table.room).ok() } else { None }
    }
}

/// The table on top.
///
/// # Safety
/// There is one, and it stays there while it is looked at.
unsafe fn inside<'a>(state: *mut lua_State) -> &'a Inside {
    // SAFETY: as the caller promises; see `Shape::room`.
    unsafe { &*ffi::lua_topointer(state, -1).cast() }
}

#[cfg(test)]
mod tests {
    use mlua::{Lua, Table};

    use super::*;

    fn learn(lua: &Lua) -> Option<Shape> {
        let mut shape = None;
        // SAFETY: the stack is left as it was.
        unsafe { lua.exec_raw::<()>((), |state| shape = Shape::learn(state)).expect("memory") };
        shape
    }

    fn room(lua: &Lua, text: &str) -> Option<usize> {
        let table: Table = lua.load(text).eval().expect("a table");
        // SAFETY: the handle keeps the table alive.
        unsafe { learn(lua).expect("tables look as expected").room(table.to_pointer()) }
    }

    #[test]
    fn only_tables_with_nothing_but_elements_are_plain() {
        let lua = Lua::new();
        for (text, expected) in [
            ("{}", Some(0)),
            ("{1, 2, 3}", Some(3)),
            ("{nil, nil, 3}", Some(3)),
            ("{1, x = 2}", None),
            ("{[1] = 1}", None),
            ("setmetatable({1}, {})", None),
            ("(function() local t = {1} t[2] = 2 return t end)()", Some(2)),
            ("(function() local t = {1} t[2] = 2 t[3] = 3 return t end)()", Some(4)),
            ("(function() local t = {1} t[3] = 3 return t end)()", None),
            ("(function() local t = {1} t.x = 2 t.x = nil return t end)()", None),
            ("(function() local t = {1} rawset(t, t, t) return t end)()", None),
        ] {
            assert_eq!(room(&lua, text), expected, "{text}");
        }
    }
}
