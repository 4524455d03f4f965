//! Compiled scripts.
//!
//! For: telling from its instructions what a script cannot do. May touch: the bytes that Lua 5.1 makes of a
//! function.
//! Always: the bytes come from Lua itself; what is not understood may do everything.

/// What bytes of a function begin with: Lua 5.1, the lowest byte first, the sizes of an int, of a size, of an
/// instruction and of a number, and numbers that are floats.
const HEADER: [u8; 12] = [0x1b, b'L', b'u', b'a', 0x51, 0, 1, 4, 8, 4, 8, 0];
/// Bytes between the place of a function and its instructions: parameters, and slots of the stack.
const SIGNATURE: usize = 4;
/// The instruction that sets a global variable, in the lowest bits of its word.
const SET_GLOBAL: u32 = 7;
const INSTRUCTION: u32 = 0x3f;
/// Functions within functions: as many as Lua compiles.
const MOST_NESTED: usize = 200;

/// Whether a function, or one within it, may set a global variable by name.
pub fn sets_globals(bytes: &[u8]) -> bool {
    let Some(body) = bytes.strip_prefix(&HEADER) else { return true };
    Reader { bytes: body }.function(0) != Some(false)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn skip_each(&mut self, bytes: usize) -> Option<()> {
        let count = self.count()?;
        self.take(count.checked_mul(bytes)?).map(drop)
    }

    fn count(&mut self) -> Option<usize> {
        let bytes = self.take(4)?.first_chunk()?;
        usize::try_from(i32::from_le_bytes(*bytes)).ok()
    }

    fn text(&mut self) -> Option<()> {
        let len = u64::from_le_bytes(*self.take(8)?.first_chunk()?);
        self.take(usize::try_from(len).ok()?).map(drop)
    }

    /// Reads a function; `None`: it is not understood.
    fn function(&mut self, depth: usize) -> Option<bool> {
        if depth > MOST_NESTED {
            return None;
        }
        self.text()?;
        self.take(8 + SIGNATURE)?;
        let instructions = self.count()?.checked_mul(4)?;
        let words = self.take(instructions)?.chunks_exact(4);
        // A word that is no instruction, but a number that belongs to the one before it, may look like it.
        let sets = |word: &[u8]| {
            word.first_chunk().is_none_or(|word| u32::from_le_bytes(*word) & INSTRUCTION == SET_GLOBAL)
        };
        if words.into_iter().any(sets) {
            return Some(true);
        }
        self.constants()?;
        for _ in 0..self.count()? {
            if self.function(depth + 1)? {
                return Some(true);
            }
        }
        self.names()?;
        Some(false)
    }

    fn constants(&mut self) -> Option<()> {
        for _ in 0..self.count()? {
            match self.take(1)?[0] {
                0 => {}
                1 => drop(self.take(1)?),
                3 => drop(self.take(8)?),
                4 => self.text()?,
                _ => return None,
            }
        }
        Some(())
    }

    /// Lines, local variables, variables of the functions around it.
    fn names(&mut self) -> Option<()> {
        self.skip_each(4)?;
        for _ in 0..self.count()? {
            self.text()?;
            self.take(8)?;
        }
        for _ in 0..self.count()? {
            self.text()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlua::Lua;

    fn sets(text: &str) -> bool {
        let lua = Lua::new();
        let function = lua.load(text).set_name("@script").into_function().expect("it compiles");
        let bytes = function.dump(false);
        for end in 0..bytes.len() {
            // What is cut off is not understood, unless it was seen before that it sets one.
            assert!(sets_globals(&bytes[..end]));
        }
        sets_globals(&bytes)
    }

    #[test]
    fn a_global_variable_that_is_set_is_seen_wherever_it_is() {
        for text in [
            "x = 1",
            "function f() end",
            "local function f() return function() if a then b = 2 end end end",
            "for i = 1, 2 do local t = {1, 2.5, true, nil, 'x'} local function f() t = f i = t end x = 1 end",
            "return function() return function() return function() x = nil end end end",
            "a, b = 1, 2",
        ] {
            assert!(sets(text), "{text}");
        }
        for text in [
            "",
            "return 1",
            "return redis.call('GET', KEYS[1])",
            "local x = 1 x = 2 local function f() x = 3 end local t = {} t.x = x t[x] = f",
            "for i = 1, 2 do local t = {1, 2.5, true, nil, 'x'} local function f() t = f i = t end end",
            "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end",
            "local b = ... return function() local a = b return function() return a, x.y end end",
        ] {
            assert!(!sets(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_may_set_them() {
        assert!(sets_globals(b""));
        assert!(sets_globals(b"\x1bLua\x52\x00\x01\x04\x08\x04\x08\x00"));
        let mut bytes = Lua::new().load("return 1").into_function().expect("it compiles").dump(false);
        assert!(!sets_globals(&bytes));
        bytes[6] = 0;
        assert!(sets_globals(&bytes));
    }
}
