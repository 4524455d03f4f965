//! `struct`: binary records for scripts.
//!
//! For: packing values as a format says, and unpacking them. May touch: values of Lua.
//! Always: sizes and offsets, which scripts choose, are compared with what is there before anything is read.

use mlua::{Lua, MultiValue, Table, Value};

use super::library::{Answer, Arguments, MOST_BYTES, Trouble, function, one, text, whole};

/// Bytes of an integer at most.
const MOST_SIZE: usize = 32;
/// The alignment that `!` alone means.
const NATURAL: usize = 8;
/// Results of one call: Lua has no room for more.
const MOST_RESULTS: usize = 7_900;

const TOO_SHORT: &str = "data string too short";

/// The library.
///
/// # Errors
/// The state has no memory.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", function(lua, pack)?)?;
    table.raw_set("unpack", function(lua, unpack)?)?;
    table.raw_set("size", function(lua, size)?)?;
    Ok(table)
}

/// A format that is read: letters with sizes, and between them what says how to go on.
struct Format<'a> {
    rest: &'a [u8],
    is_big: bool,
    align: usize,
}

/// A letter of a format.
#[derive(Clone, Copy)]
struct Item {
    letter: u8,
    /// Bytes that it stands for; 0 where they depend on the value, or it stands for none.
    size: usize,
}

impl<'a> Format<'a> {
    fn new(format: &'a [u8]) -> Format<'a> {
        let rest = format.split(|byte| *byte == 0).next().unwrap_or_default();
        Format { rest, is_big: false, align: 1 }
    }

    fn next(&mut self) -> Result<Option<Item>, Trouble> {
        let Some((&letter, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match letter {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > MOST_SIZE {
                    let text = format!("integral size {size} is larger than limit of {MOST_SIZE}");
                    return Err(Trouble::Raised(text));
                }
                size
            }
            _ => 0,
        };
        Ok(Some(Item { letter, size }))
    }

    /// The number that follows.
    fn number(&mut self, otherwise: usize) -> Result<usize, Trouble> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(otherwise);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = number
            .iter()
            .try_fold(0i32, |number, digit| number.checked_mul(10)?.checked_add(i32::from(digit - b'0')));
        let number = number.ok_or_else(|| Trouble::raised("integral size overflow"))?;
        Ok(usize::try_from(number).unwrap_or(0))
    }

    /// Bytes to skip at a place before an item.
    fn padding(&self, at: usize, item: Item) -> usize {
        if item.size == 0 || item.letter == b'c' {
            return 0;
        }
        let size = item.size.min(self.align);
        (size - (at & (size - 1))) & (size - 1)
    }

    /// Does what a letter says that stands for no value.
    fn control(&mut self, letter: u8) -> Result<(), Trouble> {
        match letter {
            b' ' => {}
            b'>' => self.is_big = true,
            b'<' => self.is_big = false,
            b'!' => {
                let align = self.number(NATURAL)?;
                if !align.is_power_of_two() {
                    return Err(Trouble::Raised(format!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            _ => {
                let letter = char::from(letter);
                return Err(Trouble::Argument(1, format!("invalid format option '{letter}'")));
            }
        }
        Ok(())
    }

    /// Appends a number's lowest bytes.
    fn put(&self, bytes: impl DoubleEndedIterator<Item = u8>, out: &mut Vec<u8>) {
        if self.is_big { out.extend(bytes.rev()) } else { out.extend(bytes) }
    }

    /// The number of these bytes.
    fn number_of(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }
}

/// A number as the processor makes an unsigned integer of it.
fn unsigned(number: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if number >= HALF {
        whole(number - HALF).cast_unsigned() ^ 1 << 63
    } else {
        whole(number).cast_unsigned()
    }
}

fn is_integer(letter: u8) -> bool {
    matches!(letter, b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I')
}

fn pack(lua: &Lua, given: &Arguments) -> Answer {
    let format = given.text(lua, 1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let (mut out, mut at) = (Vec::new(), 1);
    while let Some(item) = format.next()? {
        let padding = format.padding(out.len(), item);
        out.resize(out.len() + padding, 0);
        match item.letter {
            b'x' => out.push(0),
            letter if is_integer(letter) => {
                at += 1;
                let number = u128::from(unsigned(packed(given, at, |at| given.number(lua, at))?));
                let byte = |at: usize| if at < 8 { (number >> (8 * at)) as u8 } else { 0 };
                format.put((0..item.size).map(byte), &mut out);
            }
            b'f' => {
                at += 1;
                let number = packed(given, at, |at| given.number(lua, at))? as f32;
                format.put(number.to_le_bytes().into_iter(), &mut out);
            }
            b'd' => {
                at += 1;
                let number = packed(given, at, |at| given.number(lua, at))?;
                format.put(number.to_le_bytes().into_iter(), &mut out);
            }
            b'c' | b's' => {
                at += 1;
                let value = packed(given, at, |at| given.text(lua, at))?;
                let value = value.as_bytes();
                let len = if item.size == 0 { value.len() } else { item.size };
                let Some(bytes) = value.get(..len) else {
                    return Err(Trouble::Argument(at as i32 + 1, "string too short".to_owned()));
                };
                out.extend_from_slice(bytes);
                if item.letter == b's' {
                    out.push(0);
                }
            }
            letter => format.control(letter)?,
        }
        if out.len() > MOST_BYTES {
            return Err(Trouble::too_large());
        }
    }
    text(lua, &out)
}

/// An argument that is packed: one that is missing is said to be nil.
fn packed<T>(
    given: &Arguments,
    at: usize,
    f: impl FnOnce(usize) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    f(at).map_err(|trouble| match trouble {
        Trouble::Argument(wrong, text) if at > given.len() => {
            Trouble::Argument(wrong, text.replace("no value", "nil"))
        }
        trouble => trouble,
    })
}

fn size(lua: &Lua, given: &Arguments) -> Answer {
    let format = given.text(lua, 1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let mut at = 0usize;
    let unfixed = |what: &str| Trouble::Argument(1, format!("option '{what}' has no fixed size"));
    while let Some(item) = format.next()? {
        at = at.saturating_add(format.padding(at, item)).saturating_add(item.size);
        match item.letter {
            b's' => return Err(unfixed("s")),
            b'c' if item.size == 0 => return Err(unfixed("c0")),
            letter if !letter.is_ascii_alphanumeric() => format.control(letter)?,
            _ => {}
        }
    }
    Ok(one(Value::Number(at as f64)))
}

fn unpack(lua: &Lua, given: &Arguments) -> Answer {
    let format = given.text(lua, 1)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let data = given.text(lua, 2)?;
    let data = data.as_bytes();
    let offset = if given.is_nil(3) { 1 } else { given.integer(lua, 3)? };
    if offset == 0 {
        return Err(Trouble::Argument(3, "offset must be 1 or greater".to_owned()));
    }
    // What is below zero is far beyond the end.
    let mut at = usize::try_from(offset).map_or(usize::MAX, |offset| offset - 1);
    let mut results = Vec::new();
    while let Some(item) = format.next()? {
        at = at.saturating_add(format.padding(at, item));
        let bytes = slice(&data, at, item.size)?;
        at += item.size;
        if results.len() >= MOST_RESULTS {
            return Err(Trouble::raised("stack overflow (too many results)"));
        }
        match item.letter {
            b'x' => {}
            letter if is_integer(letter) => {
                let number = format.number_of(bytes);
                let signed = letter.is_ascii_lowercase();
                let number = if signed { extend(number, item.size) as f64 } else { number as f64 };
                results.push(Value::Number(number));
            }
            b'f' => results.push(Value::Number(f32::from_bits(format.number_of(bytes) as u32).into())),
            b'd' => results.push(Value::Number(f64::from_bits(format.number_of(bytes)))),
            b'c' if item.size > 0 => results.push(Value::String(lua.create_string(bytes)?)),
            b'c' => {
                let len = previous(lua, &mut results)?;
                results.push(Value::String(lua.create_string(slice(&data, at, len)?)?));
                at += len;
            }
            b's' => {
                let rest = data.get(at..).unwrap_or_default();
                let len =
                    memchr::memchr(0, rest).ok_or_else(|| Trouble::raised("unfinished string in data"))?;
                results.push(Value::String(lua.create_string(&rest[..len])?));
                at += len + 1;
            }
            letter => format.control(letter)?,
        }
    }
    results.push(Value::Number(if at == usize::MAX { offset as f64 } else { (at + 1) as f64 }));
    Ok(MultiValue::from(results))
}

fn slice(data: &[u8], at: usize, len: usize) -> Result<&[u8], Trouble> {
    let end = at.checked_add(len).ok_or_else(|| Trouble::Argument(2, TOO_SHORT.to_owned()))?;
    data.get(at..end).ok_or_else(|| Trouble::Argument(2, TOO_SHORT.to_owned()))
}

/// The result before, which a `c0` takes as its length.
fn previous(lua: &Lua, results: &mut Vec<Value>) -> Result<usize, Trouble> {
    let number = match results.pop() {
        Some(value) => lua.coerce_number(value)?,
        None => None,
    };
    let number = number.ok_or_else(|| Trouble::raised("format 'c0' needs a previous size"))?;
    Ok(usize::try_from(unsigned(number)).unwrap_or(usize::MAX))
}

/// A number of that many bytes with its sign. Of more than eight bytes, the shift wraps around.
fn extend(number: u64, size: usize) -> i64 {
    let mask = u64::MAX.wrapping_shl((size as u32).wrapping_mul(8).wrapping_sub(1));
    let extended = if number & mask != 0 { number | mask } else { number };
    extended.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A state that has the library's functions as globals.
    fn lua() -> Lua {
        let lua = Lua::new();
        lua.globals().set("struct", library(&lua).expect("memory")).expect("memory");
        lua
    }

    fn float(value: &Value) -> Option<f64> {
        value.as_integer().map(|number| number as f64).or(value.as_number())
    }

    fn call(lua: &Lua, name: &str, given: Vec<Value>) -> Option<Vec<Value>> {
        let table: Table = lua.globals().get("struct").expect("the library");
        let f: mlua::Function = table.get(name).expect("a function of it");
        let mut results: Vec<Value> =
            f.call::<MultiValue>(MultiValue::from(given)).expect("an answer").into();
        let is_ok = results.remove(0) == Value::Boolean(true);
        is_ok.then_some(results)
    }

    proptest! {
        #[test]
        fn any_format_is_taken_or_refused(
            format in r"([bBhHlLTfdsxiIc<>! ][0-9]{0,3}){0,8}",
            data in prop::collection::vec(any::<u8>(), 0..40),
            offset in prop_oneof![-3i64..45, any::<i64>()],
        ) {
            let lua = lua();
            let text = |bytes: &[u8]| Value::String(lua.create_string(bytes).expect("memory"));
            let format = text(format.as_bytes());
            call(&lua, "unpack", vec![format.clone(), text(&data), Value::Integer(offset)]);
            call(&lua, "size", vec![format.clone()]);
            let mut given = vec![format];
            given.extend((0..8).map(|_| Value::Integer(offset)));
            call(&lua, "pack", given);
        }

        #[test]
        fn records_survive(
            order in "[<>]", align in prop::sample::select(vec!["", "!", "!2", "!4"]),
            byte in any::<i8>(), size in 4usize..9, number in any::<i32>(),
            double in -1e9f64..1e9, words in "[a-z]{0,9}",
        ) {
            let lua = lua();
            let format = lua.create_string(format!("{order}{align}bi{size}ds")).expect("memory");
            let values = vec![
                Value::Number(byte.into()),
                Value::Number(number.into()),
                Value::Number(double),
                Value::String(lua.create_string(words).expect("memory")),
            ];
            let given = [vec![Value::String(format.clone())], values.clone()].concat();
            let packed = call(&lua, "pack", given).expect("a record").remove(0);
            let len = packed.as_string().map_or(0, |text| text.as_bytes().len());
            let mut back = call(&lua, "unpack", vec![Value::String(format), packed]).expect("a record");
            prop_assert_eq!(back.pop().and_then(|at| float(&at)), Some((len + 1) as f64));
            let numbers = |values: &[Value]| values.iter().map(float).collect::<Vec<_>>();
            prop_assert_eq!(numbers(&back), numbers(&values));
            prop_assert_eq!(back.last(), values.last());
        }
    }
}
