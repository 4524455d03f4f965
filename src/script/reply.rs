//! Replies of commands, as Lua values.
//!
//! For: reading what a command has written, in the protocol the script asked for. May touch: bytes and Lua
//! tables.
//! Always: the bytes are the server's own, so they are sound; what is not is nil.

use mlua::{Lua, Value};

/// The value that a reply stands for.
///
/// # Errors
/// When the state is out of memory.
pub fn value(lua: &Lua, bytes: &[u8]) -> mlua::Result<Value> {
    Reader { lua, bytes }.next()
}

struct Reader<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The bytes up to the end of the line, which is passed.
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.bytes).unwrap_or(self.bytes.len());
        let line = &self.bytes[..end];
        self.bytes = self.bytes.get(end + 2..).unwrap_or_default();
        line
    }

    fn count(&mut self) -> Option<usize> {
        std::str::from_utf8(self.line()).ok()?.parse().ok()
    }

    /// So many bytes and the line end behind them.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = self.bytes.get(..count).unwrap_or_default();
        self.bytes = self.bytes.get(count + 2..).unwrap_or_default();
        taken
    }

    fn next(&mut self) -> mlua::Result<Value> {
        let Some((&sign, rest)) = self.bytes.split_first() else { return Ok(Value::Nil) };
        self.bytes = rest;
        match sign {
            b'$' => match self.count() {
                Some(count) => self.string(count),
                None => Ok(Value::Boolean(false)),
            },
            b':' => {
                let number = std::str::from_utf8(self.line()).ok().and_then(|text| text.parse::<i64>().ok());
                Ok(number.map_or(Value::Nil, |number| Value::Number(number as f64)))
            }
            b'*' | b'>' => match self.count() {
                Some(count) => self.array(count),
                None => Ok(Value::Boolean(false)),
            },
            b'+' => self.line_in("ok"),
            b'-' => self.line_in("err"),
            b'_' => {
                self.line();
                Ok(Value::Nil)
            }
            b'#' => Ok(Value::Boolean(self.line() == b"t")),
            b',' => {
                let number = std::str::from_utf8(self.line()).ok().and_then(|text| text.parse().ok());
                self.table("double", Value::Number(number.unwrap_or(f64::NAN)))
            }
            b'(' => self.line_in("big_number"),
            b'=' => self.verbatim(),
            b'%' => self.map(),
            b'~' => self.set(),
            b'|' => {
                for _ in 0..2 * self.count().unwrap_or(0) {
                    self.next()?;
                }
                self.next()
            }
            _ => Ok(Value::Nil),
        }
    }

    fn string(&mut self, count: usize) -> mlua::Result<Value> {
        self.lua.create_string(self.take(count)).map(Value::String)
    }

    fn table(&self, field: &str, value: Value) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(field, value)?;
        Ok(Value::Table(table))
    }

    fn line_in(&mut self, field: &str) -> mlua::Result<Value> {
        let text = self.lua.create_string(self.line())?;
        self.table(field, Value::String(text))
    }

    fn array(&mut self, count: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(count, 0)?;
        for at in 1..=count {
            table.raw_set(at, self.next()?)?;
        }
        Ok(Value::Table(table))
    }

    fn verbatim(&mut self) -> mlua::Result<Value> {
        let count = self.count().unwrap_or(0);
        let bytes = self.take(count);
        let (format, text) = bytes.split_at_checked(4).unwrap_or_default();
        let table = self.lua.create_table_with_capacity(0, 2)?;
        table.raw_set("format", self.lua.create_string(&format[..format.len().min(3)])?)?;
        table.raw_set("string", self.lua.create_string(text)?)?;
        self.table("verbatim_string", Value::Table(table))
    }

    fn map(&mut self) -> mlua::Result<Value> {
        let count = self.count().unwrap_or(0);
        let table = self.lua.create_table_with_capacity(0, count)?;
        for _ in 0..count {
            let (key, value) = (self.next()?, self.next()?);
            if !key.is_nil() {
                table.raw_set(key, value)?;
            }
        }
        self.table("map", Value::Table(table))
    }

    fn set(&mut self) -> mlua::Result<Value> {
        let count = self.count().unwrap_or(0);
        let table = self.lua.create_table_with_capacity(0, count)?;
        for _ in 0..count {
            let member = self.next()?;
            if !member.is_nil() {
                table.raw_set(member, true)?;
            }
        }
        self.table("set", Value::Table(table))
    }
}
