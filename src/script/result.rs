//! What a script returns, as a reply.
//!
//! For: writing Lua values in the client's protocol. May touch: Lua tables and the reply.
//! Always: numbers lose what is behind the point; arrays end at the first nil; a value nested more than
//! [`MOST_NESTED`] deep is refused.

use mlua::{Lua, LuaString, Table, Value};

use crate::fault::Fault;
use crate::resp::{Out, Proto};

/// Tables within tables that a result may have.
const MOST_NESTED: usize = 500;

/// The fields that make a table something else than an array; strings of one state.
pub struct Fields {
    err: LuaString,
    ok: LuaString,
    double: LuaString,
    map: LuaString,
    set: LuaString,
    big_number: LuaString,
    verbatim: LuaString,
    format: LuaString,
    string: LuaString,
}

impl Fields {
    /// For this state.
    pub fn new(lua: &Lua) -> mlua::Result<Fields> {
        Ok(Fields {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            double: lua.create_string("double")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
            big_number: lua.create_string("big_number")?,
            verbatim: lua.create_string("verbatim_string")?,
            format: lua.create_string("format")?,
            string: lua.create_string("string")?,
        })
    }
}

/// Why a result could not be written.
pub enum Refused {
    /// The script answers with this error.
    Fault(Fault),
    /// The state failed.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Refused {
    fn from(error: mlua::Error) -> Refused {
        Refused::Lua(error)
    }
}

/// Writes a result.
pub struct Writer<'a> {
    /// The strings of the state.
    pub fields: &'a Fields,
    /// The protocol the script has chosen.
    pub script: Proto,
    /// The reply.
    pub out: &'a mut Out,
}

impl Writer<'_> {
    /// Writes a value; `depth` tables are around it.
    pub fn write(&mut self, value: &Value, depth: usize) -> Result<(), Refused> {
        match value {
            Value::String(text) => self.out.bulk(&text.as_bytes()),
            Value::Integer(number) => self.out.int(*number),
            Value::Number(number) => self.out.int(truncated(*number)),
            Value::Boolean(value) if self.script == Proto::Resp3 => self.out.boolean(*value),
            Value::Boolean(true) => self.out.int(1),
            Value::Table(table) => return self.table(table, depth),
            _ => self.out.null(),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<(), Refused> {
        if depth == MOST_NESTED {
            return Err(Refused::Fault(Fault::SCRIPT_RESULT_DEPTH));
        }
        let fields = self.fields;
        if let Value::String(text) = table.raw_get(&fields.err)? {
            if depth == 0 {
                return Err(Refused::Fault(Fault::of(text.as_bytes().to_vec())));
            }
            self.out.error(&*text.as_bytes());
        } else if let Value::String(text) = table.raw_get(&fields.ok)? {
            self.out.simple(&line(&text));
        } else if let Some(number) = number(table.raw_get(&fields.double)?) {
            self.out.double(number);
        } else if let Value::Table(map) = table.raw_get(&fields.map)? {
            self.map(&map, depth)?;
        } else if let Value::Table(set) = table.raw_get(&fields.set)? {
            self.set(&set, depth)?;
        } else if let Value::String(digits) = table.raw_get(&fields.big_number)? {
            self.out.big_number(&line(&digits));
        } else if let Some((format, text)) = self.verbatim(table)? {
            let mut format = line(&format);
            format.extend(std::iter::repeat_n(' ', 3));
            let end = (0..=3).rev().find(|&at| format.is_char_boundary(at)).unwrap_or(0);
            self.out.verbatim(if end == 3 { &format[..3] } else { "txt" }, &text.as_bytes());
        } else {
            self.array(table, depth)?;
        }
        Ok(())
    }

    fn verbatim(&self, table: &Table) -> Result<Option<(LuaString, LuaString)>, Refused> {
        let Value::Table(inner) = table.raw_get(&self.fields.verbatim)? else { return Ok(None) };
        match (inner.raw_get(&self.fields.format)?, inner.raw_get(&self.fields.string)?) {
            (Value::String(format), Value::String(text)) => Ok(Some((format, text))),
            _ => Ok(None),
        }
    }

    fn array(&mut self, table: &Table, depth: usize) -> Result<(), Refused> {
        let head = self.out.deferred_array();
        let mut count = 0;
        loop {
            let value: Value = table.raw_get(count + 1)?;
            if value.is_nil() {
                break;
            }
            self.write(&value, depth + 1)?;
            count += 1;
        }
        self.out.finish(head, count);
        Ok(())
    }

    fn map(&mut self, map: &Table, depth: usize) -> Result<(), Refused> {
        let head = self.out.deferred_map();
        let mut count = 0;
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.write(&key, depth + 1)?;
            self.write(&value, depth + 1)?;
            count += 1;
        }
        self.out.finish(head, count);
        Ok(())
    }

    fn set(&mut self, set: &Table, depth: usize) -> Result<(), Refused> {
        let head = self.out.deferred_set();
        let mut count = 0;
        for pair in set.pairs::<Value, Value>() {
            self.write(&pair?.0, depth + 1)?;
            count += 1;
        }
        self.out.finish(head, count);
        Ok(())
    }
}

fn number(value: Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(number as f64),
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// What the processor makes of a number that no integer can hold is the lowest one.
fn truncated(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// A text without line ends.
fn line(text: &LuaString) -> String {
    String::from_utf8_lossy(&text.as_bytes()).replace(['\r', '\n'], " ")
}
