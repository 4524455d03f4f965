//! `cmsgpack`: MessagePack for scripts.
//!
//! For: making MessagePack of values and values of MessagePack. May touch: values of Lua.
//! Always: the shortest form of a number that keeps it; tables in more tables than [`MOST_PACKED_DEEP`]
//! become nil; lengths that the text gives are never trusted.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::library::{Answer, Arguments, MOST_BYTES, MOST_DEEP, Trouble, function, text, whole};

/// Tables within tables that are packed.
const MOST_PACKED_DEEP: usize = 16;
/// Arguments of one call of `pack`: Lua has no room for more.
const MOST_ARGUMENTS: usize = 3_990;
/// Results of one call: Lua has no room for more.
const MOST_RESULTS: usize = 7_900;

const NO_ROOM: &str =
    "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
const NO_ROOM_IN_ARRAY: &str = "stack overflow (in function mp_decode_to_lua_array)";

/// The library.
///
/// # Errors
/// The state has no memory.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", function(lua, pack)?)?;
    table.raw_set("unpack", function(lua, |lua, given| unpack(lua, given, 0, 0))?)?;
    table.raw_set("unpack_one", function(lua, unpack_one)?)?;
    table.raw_set("unpack_limit", function(lua, unpack_limit)?)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Redis Ltd.")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

fn pack(lua: &Lua, given: &Arguments) -> Answer {
    if given.len() == 0 {
        return Err(Trouble::Argument(0, "MessagePack pack needs input.".to_owned()));
    }
    if given.len() > MOST_ARGUMENTS {
        return Err(Trouble::Argument(0, "Too many arguments for MessagePack pack.".to_owned()));
    }
    let mut packer = Packer { out: Vec::new() };
    for at in 1..=given.len() {
        packer.value(given.value(at), 0)?;
    }
    text(lua, &packer.out)
}

fn unpack_one(lua: &Lua, given: &Arguments) -> Answer {
    let offset = if given.is_nil(2) { 0 } else { given.integer(lua, 2)? };
    unpack(lua, given, 1, offset)
}

fn unpack_limit(lua: &Lua, given: &Arguments) -> Answer {
    let limit = given.integer(lua, 2)?;
    let offset = if given.is_nil(3) { 0 } else { given.integer(lua, 3)? };
    unpack(lua, given, limit, offset)
}

/// Up to `limit` values from an offset on, with the offset behind them, -1 at the end, before them; with
/// neither, all values and no offset.
fn unpack(lua: &Lua, given: &Arguments, limit: i64, offset: i64) -> Answer {
    let input = given.text(lua, 1)?;
    let input = input.as_bytes();
    let len = input.len();
    let (Ok(start), Ok(most)) = (usize::try_from(offset), usize::try_from(limit)) else {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(Trouble::Raised(text));
    };
    let Some(rest) = input.get(start..) else {
        return Err(Trouble::Raised(format!("Start offset {start} greater than input length {len}.")));
    };
    let is_whole = start == 0 && most == 0;
    let most = if is_whole { usize::MAX } else { most };
    let mut unpacker = Unpacker { lua, rest };
    let mut results = MultiValue::new();
    while !unpacker.rest.is_empty() && results.len() < most {
        if results.len() >= MOST_RESULTS {
            return Err(Trouble::raised(NO_ROOM));
        }
        results.push_back(unpacker.value(0)?);
    }
    if !is_whole {
        let left = unpacker.rest.len();
        results.push_front(Value::Integer(if left == 0 { -1 } else { (len - left) as i64 }));
    }
    Ok(results)
}

struct Packer {
    out: Vec<u8>,
}

impl Packer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Trouble> {
        if self.out.len() > MOST_BYTES {
            return Err(Trouble::too_large());
        }
        match value {
            Value::String(text) => self.string(text),
            Value::Boolean(is_true) => self.out.push(if *is_true { 0xC3 } else { 0xC2 }),
            Value::Integer(number) => self.integer(*number),
            Value::Number(number) => self.number(*number),
            Value::Table(table) if depth < MOST_PACKED_DEEP => self.table(table, depth + 1)?,
            _ => self.out.push(0xC0),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) {
        let integer = whole(number);
        let short = number as f32;
        if integer as f64 == number {
            self.integer(integer);
        } else if f64::from(short) == number {
            self.out.push(0xCA);
            self.out.extend_from_slice(&short.to_be_bytes());
        } else {
            self.out.push(0xCB);
            self.out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn integer(&mut self, number: i64) {
        let bytes = number.to_be_bytes();
        let (mark, len) = match number {
            -32..=127 => return self.out.push(number as u8),
            128..=0xFF => (0xCC, 1),
            0x100..=0xFFFF => (0xCD, 2),
            0x1_0000..=0xFFFF_FFFF => (0xCE, 4),
            0x1_0000_0000.. => (0xCF, 8),
            -128.. => (0xD0, 1),
            -0x8000.. => (0xD1, 2),
            -0x8000_0000.. => (0xD2, 4),
            _ => (0xD3, 8),
        };
        self.out.push(mark);
        self.out.extend_from_slice(&bytes[8 - len..]);
    }

    /// The head of something with a length: the mark of the short form, that with one byte if there is one,
    /// that with two bytes, after which comes that with four.
    fn head(&mut self, len: usize, short: (u8, usize), byte: Option<u8>, two: u8) {
        match (u8::try_from(len), byte, u16::try_from(len)) {
            (Ok(small), _, _) if len <= short.1 => self.out.push(short.0 | small),
            (Ok(small), Some(mark), _) => self.out.extend_from_slice(&[mark, small]),
            (_, _, Ok(middle)) => {
                self.out.push(two);
                self.out.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                self.out.push(two + 1);
                self.out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            }
        }
    }

    fn string(&mut self, text: &LuaString) {
        let text = text.as_bytes();
        self.head(text.len(), (0xA0, 31), Some(0xD9), 0xDA);
        self.out.extend_from_slice(&text);
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<(), Trouble> {
        let (mut count, mut last, mut is_array) = (0usize, 0i64, true);
        table.for_each(|key: Value, _: Value| {
            count += 1;
            match key {
                Value::Integer(at) if at > 0 => last = last.max(at),
                _ => is_array = false,
            }
            Ok(())
        })?;
        if is_array && usize::try_from(last) == Ok(count) {
            self.head(count, (0x90, 15), None, 0xDC);
            for at in 1..=last {
                self.value(&table.raw_get(at)?, depth)?;
            }
            return Ok(());
        }
        self.head(count, (0x80, 15), None, 0xDE);
        for pair in table.pairs() {
            let (key, value): (Value, Value) = pair?;
            self.value(&key, depth)?;
            self.value(&value, depth)?;
        }
        Ok(())
    }
}

struct Unpacker<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Unpacker<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Trouble> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Trouble::raised("Missing bytes in input.")),
        }
    }

    /// An unsigned number of that many bytes, at most 8.
    fn unsigned(&mut self, len: usize) -> Result<u64, Trouble> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, Trouble> {
        Ok(usize::try_from(self.unsigned(bytes)?).unwrap_or(usize::MAX))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Trouble> {
        let mark = self.unsigned(1)? as u8;
        let size = |first: u8| 1usize << (mark - first);
        let number = match mark {
            0..=0x7F | 0xE0.. => f64::from(mark as i8),
            0x80..=0x8F => return self.map(usize::from(mark & 15), depth + 1),
            0x90..=0x9F => return self.array(usize::from(mark & 15), depth + 1),
            0xA0..=0xBF => return self.string(usize::from(mark & 31)),
            0xC0 => return Ok(Value::Nil),
            0xC2 | 0xC3 => return Ok(Value::Boolean(mark == 0xC3)),
            0xCA => f64::from(f32::from_bits(self.unsigned(4)? as u32)),
            0xCB => f64::from_bits(self.unsigned(8)?),
            0xCC..=0xCF => self.unsigned(size(0xCC))?.cast_signed() as f64,
            0xD0..=0xD3 => {
                let bits = 64 - 8 * size(0xD0);
                ((self.unsigned(size(0xD0))? << bits).cast_signed() >> bits) as f64
            }
            0xD9..=0xDB => {
                let len = self.length(size(0xD9))?;
                return self.string(len);
            }
            0xDC | 0xDD => {
                let len = self.length(2 * size(0xDC))?;
                return self.array(len, depth + 1);
            }
            0xDE | 0xDF => {
                let len = self.length(2 * size(0xDE))?;
                return self.map(len, depth + 1);
            }
            _ => return Err(Trouble::raised("Bad data format in input.")),
        };
        Ok(Value::Number(number))
    }

    fn string(&mut self, len: usize) -> Result<Value, Trouble> {
        Ok(Value::String(self.lua.create_string(self.take(len)?)?))
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<Value, Trouble> {
        if depth > MOST_DEEP {
            return Err(Trouble::raised(NO_ROOM_IN_ARRAY));
        }
        let table = self.lua.create_table()?;
        for place in 1..=len {
            let value = self.value(depth)?;
            table.raw_set(place, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value, Trouble> {
        if depth > MOST_DEEP {
            return Err(Trouble::raised(NO_ROOM));
        }
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let key = self.value(depth)?;
            let value = self.value(depth)?;
            match &key {
                Value::Nil => return Err(Trouble::Bare("table index is nil")),
                Value::Number(number) if number.is_nan() => {
                    return Err(Trouble::Bare("table index is NaN"));
                }
                _ => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(value: &Value) -> Vec<u8> {
        let mut packer = Packer { out: Vec::new() };
        assert!(packer.value(value, 0).is_ok());
        packer.out
    }

    fn unpacked(lua: &Lua, bytes: &[u8]) -> Option<(Value, usize)> {
        let mut unpacker = Unpacker { lua, rest: bytes };
        let value = unpacker.value(0).ok()?;
        Some((value, unpacker.rest.len()))
    }

    #[test]
    fn numbers_take_as_few_bytes_as_they_can() {
        let cases: [(f64, usize); 16] = [
            (0.0, 1),
            (127.0, 1),
            (128.0, 2),
            (256.0, 3),
            (65_536.0, 5),
            (4_294_967_296.0, 9),
            (-32.0, 1),
            (-33.0, 2),
            (-129.0, 3),
            (-32_769.0, 5),
            (-2_147_483_649.0, 9),
            (1.5, 5),
            (0.1, 9),
            (9_223_372_036_854_775_808.0, 5),
            (-9_223_372_036_854_775_808.0, 9),
            (f64::NAN, 9),
        ];
        for (number, len) in cases {
            assert_eq!(packed(&Value::Number(number)).len(), len, "{number}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let lua = Lua::new();
        let nested = |depth: usize, mark: &[u8]| [mark.repeat(depth), vec![1]].concat();
        for mark in [&b"\x91"[..], b"\x81\x01"] {
            assert!(unpacked(&lua, &nested(MOST_DEEP, mark)).is_some());
            assert!(unpacked(&lua, &nested(MOST_DEEP + 1, mark)).is_none());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = unpacked(&Lua::new(), &bytes);
        }

        #[test]
        fn numbers_survive(bits in any::<u64>(), small in any::<i32>()) {
            let lua = Lua::new();
            for number in [f64::from_bits(bits), f64::from(small)] {
                let (back, left) = unpacked(&lua, &packed(&Value::Number(number))).expect("just packed");
                let back = back.as_f64().expect("a number");
                prop_assert!(left == 0 && (back == number || back.is_nan() && number.is_nan()));
            }
        }

        #[test]
        fn strings_survive(len in 0usize..70_000) {
            let lua = Lua::new();
            let text = Value::String(lua.create_string(vec![b'x'; len]).expect("memory"));
            prop_assert_eq!(unpacked(&lua, &packed(&text)), Some((text, 0)));
        }
    }
}
