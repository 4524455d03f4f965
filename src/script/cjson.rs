//! The library `cjson`.
//!
//! For: JSON texts to Lua values and back, with the rules and the errors that scripts know from Redis. May
//! touch: Lua values and bytes.
//! Always: nesting is limited in both directions; options are as at first when a script begins.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use mlua::{Function, Lua, Table, Value};
use parking_lot::Mutex;

/// Nesting that the options may allow: each level takes a frame of the stack.
const MOST_DEPTH: usize = 10_000;

/// What `cjson.encode_*` and `cjson.decode_*` set.
#[derive(Clone)]
pub struct Options {
    encode_depth: usize,
    decode_depth: usize,
    /// Significant digits of numbers.
    precision: usize,
    /// Arrays with gaps become objects.
    converts_sparse: bool,
    /// More elements than this many times those that are there are a gap.
    sparse_ratio: usize,
    /// Arrays up to this long may have any gap.
    sparse_safe: usize,
    encode_invalid: Invalid,
    decode_invalid: bool,
    keeps_buffer: bool,
}

/// What becomes of NaN and infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Error,
    Number,
    Null,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            converts_sparse: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_invalid: Invalid::Error,
            decode_invalid: true,
            keeps_buffer: true,
        }
    }
}

/// Why a text or a value is none.
enum Failure {
    Said(String),
    Lua(mlua::Error),
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Failure {
        Failure::Lua(error)
    }
}

fn said<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Said(text.into()))
}

/// Options of one script after the other.
pub type Shared = Arc<Kept>;

/// Options that a script may set for itself.
#[derive(Default)]
pub struct Kept {
    options: Mutex<Options>,
    /// They may not be what a script begins with.
    are_set: AtomicBool,
}

impl Kept {
    /// Forgets what the last script has set.
    #[inline]
    pub fn reset(&self) {
        if self.are_set.load(Relaxed) {
            self.are_set.store(false, Relaxed);
            *self.options.lock() = Options::default();
        }
    }
}

/// The functions that the prelude makes the library of: each answers whether it succeeded, and its result or
/// an error.
///
/// # Errors
/// When the state is out of memory.
pub fn functions(lua: &Lua, options: &Shared) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("null", Value::NULL)?;
    let own = Arc::clone(options);
    let encode = move |lua: &Lua, value: Value| {
        let options = own.options.lock().clone();
        let mut writer = Writer { options: &options, text: Vec::new() };
        let done = writer.value(&value, 0);
        match done {
            Ok(()) => Ok((true, Value::String(lua.create_string(&writer.text)?))),
            Err(failure) => told(lua, failure),
        }
    };
    table.raw_set("encode", lua.create_function(encode)?)?;
    let own = Arc::clone(options);
    let decode = move |lua: &Lua, text: mlua::LuaString| {
        let options = own.options.lock().clone();
        let text = text.as_bytes();
        let mut reader = Reader { lua, options: &options, text: &text, at: 0, word: Vec::new() };
        match reader.whole() {
            Ok(value) => Ok((true, value)),
            Err(failure) => told(lua, failure),
        }
    };
    table.raw_set("decode", lua.create_function(decode)?)?;
    table.raw_set("option", option(lua, options)?)?;
    Ok(table)
}

fn told(lua: &Lua, failure: Failure) -> mlua::Result<(bool, Value)> {
    match failure {
        Failure::Said(text) => Ok((false, Value::String(lua.create_string(text)?))),
        Failure::Lua(error) => Err(error),
    }
}

/// `option(name)` answers an option, `option(name, value)` sets it; the prelude has checked the value.
fn option(lua: &Lua, options: &Shared) -> mlua::Result<Function> {
    let own = Arc::clone(options);
    lua.create_function(move |lua, (name, value): (String, Value)| {
        own.are_set.store(true, Relaxed);
        let options = &mut *own.options.lock();
        let number = match &value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            Value::Number(number) => Some(*number as usize),
            _ => None,
        };
        let flag = value.as_boolean();
        let set = |place: &mut usize, most: usize| {
            if let Some(number) = number {
                *place = number.min(most);
            }
            Ok(Value::Number(*place as f64))
        };
        let switch = |place: &mut bool| {
            *place = flag.unwrap_or(*place);
            Ok(Value::Boolean(*place))
        };
        match name.as_str() {
            "encode_max_depth" => set(&mut options.encode_depth, MOST_DEPTH),
            "decode_max_depth" => set(&mut options.decode_depth, MOST_DEPTH),
            "encode_number_precision" => set(&mut options.precision, 14),
            "sparse_ratio" => set(&mut options.sparse_ratio, usize::MAX),
            "sparse_safe" => set(&mut options.sparse_safe, usize::MAX),
            "sparse_convert" => switch(&mut options.converts_sparse),
            "decode_invalid_numbers" => switch(&mut options.decode_invalid),
            "encode_keep_buffer" => switch(&mut options.keeps_buffer),
            _ => {
                options.encode_invalid = match (&value, flag) {
                    (_, Some(true)) => Invalid::Number,
                    (_, Some(false)) => Invalid::Error,
                    (Value::String(_), _) => Invalid::Null,
                    _ => options.encode_invalid,
                };
                Ok(match options.encode_invalid {
                    Invalid::Null => Value::String(lua.create_string("null")?),
                    other => Value::Boolean(other == Invalid::Number),
                })
            }
        }
    })
}

struct Writer<'a> {
    options: &'a Options,
    text: Vec<u8>,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Failure> {
        match value {
            Value::Nil => self.text.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.text.extend_from_slice(b"null"),
            Value::Boolean(true) => self.text.extend_from_slice(b"true"),
            Value::Boolean(false) => self.text.extend_from_slice(b"false"),
            Value::Integer(number) => self.number(*number as f64)?,
            Value::Number(number) => self.number(*number)?,
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Table(table) => return self.table(table, depth + 1),
            other => return said(format!("Cannot serialise {}: type not supported", kind(other))),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), Failure> {
        if number.is_finite() {
            shortest(number, self.options.precision, &mut self.text);
            return Ok(());
        }
        match self.options.encode_invalid {
            Invalid::Error => return said("Cannot serialise number: must not be NaN or Inf"),
            Invalid::Null => self.text.extend_from_slice(b"null"),
            Invalid::Number if number.is_nan() => self.text.extend_from_slice(b"nan"),
            Invalid::Number if number > 0.0 => self.text.extend_from_slice(b"inf"),
            Invalid::Number => self.text.extend_from_slice(b"-inf"),
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.text.push(b'"');
        for &byte in text {
            let short = match byte {
                b'"' | b'\\' | b'/' => byte,
                8 => b'b',
                9 => b't',
                10 => b'n',
                12 => b'f',
                13 => b'r',
                0..32 | 127 => {
                    self.text.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.text.push(byte);
                    continue;
                }
            };
            self.text.extend_from_slice(&[b'\\', short]);
        }
        self.text.push(b'"');
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<(), Failure> {
        if depth > self.options.encode_depth {
            return said(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        match self.length(table)? {
            Some(length) if length > 0 => {
                self.text.push(b'[');
                for at in 1..=length {
                    if at > 1 {
                        self.text.push(b',');
                    }
                    self.value(&table.raw_get(at)?, depth)?;
                }
                self.text.push(b']');
            }
            _ => self.object(table, depth)?,
        }
        Ok(())
    }

    /// Elements of a table that is an array: one whose keys are all whole numbers from 1 on.
    fn length(&self, table: &Table) -> Result<Option<usize>, Failure> {
        let (mut most, mut count) = (0usize, 0usize);
        for pair in table.pairs::<Value, Value>() {
            match pair?.0 {
                Value::Integer(at) if at > 0 => most = most.max(at as usize),
                _ => return Ok(None),
            }
            count += 1;
        }
        let Options { sparse_ratio, sparse_safe, converts_sparse, .. } = *self.options;
        if sparse_ratio > 0 && most > count.saturating_mul(sparse_ratio) && most > sparse_safe {
            return if converts_sparse {
                Ok(None)
            } else {
                said("Cannot serialise table: excessively sparse array")
            };
        }
        Ok(Some(most))
    }

    fn object(&mut self, table: &Table, depth: usize) -> Result<(), Failure> {
        self.text.push(b'{');
        let mut is_first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !is_first {
                self.text.push(b',');
            }
            is_first = false;
            match key {
                Value::String(key) => self.string(&key.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.text.push(b'"');
                    self.value(&key, depth)?;
                    self.text.push(b'"');
                }
                other => {
                    let kind = kind(&other);
                    return said(format!("Cannot serialise {kind}: table key must be a number or string"));
                }
            }
            self.text.push(b':');
            self.value(&value, depth)?;
        }
        self.text.push(b'}');
        Ok(())
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

/// A number as C's `%.{precision}g` spells it.
fn shortest(number: f64, precision: usize, text: &mut Vec<u8>) {
    let long = format!("{:.*e}", precision - 1, number);
    let (digits, exponent) = long.split_once('e').unwrap_or((&long, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        text.extend_from_slice(format!("{}e{sign}{:02}", trimmed(digits), exponent.abs()).as_bytes());
    } else {
        let places = (precision as i32 - 1 - exponent).max(0) as usize;
        text.extend_from_slice(trimmed(&format!("{number:.places$}")).as_bytes());
    }
}

/// What a text consists of.
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// In the reader's `word`.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(what) => what,
        }
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    options: &'a Options,
    text: &'a [u8],
    at: usize,
    /// The last string.
    word: Vec<u8>,
}

impl Reader<'_> {
    fn whole(&mut self) -> Result<Value, Failure> {
        if self.text.len() >= 2 && (self.text[0] == 0 || self.text[1] == 0) {
            return said("JSON parser does not support UTF-16 or UTF-32");
        }
        let (token, from) = self.next();
        let value = self.value(token, from, 0)?;
        match self.next() {
            (Token::End, _) => Ok(value),
            (token, from) => expected("the end", &token, from),
        }
    }

    fn value(&mut self, token: Token, from: usize, depth: usize) -> Result<Value, Failure> {
        match token {
            Token::String => Ok(Value::String(self.lua.create_string(&self.word)?)),
            Token::Number(number) => Ok(Value::Number(number)),
            Token::Boolean(value) => Ok(Value::Boolean(value)),
            Token::Null => Ok(Value::NULL),
            Token::ObjectBegin => self.object(depth + 1),
            Token::ArrayBegin => self.array(depth + 1),
            token => expected("value", &token, from),
        }
    }

    fn descend(&self, depth: usize) -> Result<(), Failure> {
        if depth > self.options.decode_depth {
            return said(format!("Found too many nested data structures ({depth}) at character {}", self.at));
        }
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<Value, Failure> {
        self.descend(depth)?;
        let table = self.lua.create_table()?;
        let (mut token, mut from) = self.next();
        if matches!(token, Token::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            if !matches!(token, Token::String) {
                return expected("object key string", &token, from);
            }
            let key = self.lua.create_string(&self.word)?;
            match self.next() {
                (Token::Colon, _) => {}
                (token, from) => return expected("colon", &token, from),
            }
            let (first, at) = self.next();
            let value = self.value(first, at, depth)?;
            table.raw_set(key, value)?;
            match self.next() {
                (Token::ObjectEnd, _) => return Ok(Value::Table(table)),
                (Token::Comma, _) => (token, from) = self.next(),
                (token, from) => return expected("comma or object end", &token, from),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Failure> {
        self.descend(depth)?;
        let table = self.lua.create_table()?;
        let (mut token, mut from) = self.next();
        if matches!(token, Token::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        for at in 1.. {
            let value = self.value(token, from, depth)?;
            table.raw_set(at, value)?;
            match self.next() {
                (Token::ArrayEnd, _) => break,
                (Token::Comma, _) => (token, from) = self.next(),
                (token, from) => return expected("comma or array end", &token, from),
            }
        }
        Ok(Value::Table(table))
    }

    /// The next token, and where it begins (from 0).
    fn next(&mut self) -> (Token, usize) {
        while self.text.get(self.at).is_some_and(|byte| b" \t\n\r".contains(byte)) {
            self.at += 1;
        }
        let from = self.at;
        let Some(&byte) = self.text.get(from) else { return (Token::End, from) };
        self.at += 1;
        let token = match byte {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.string(from),
            b'+' | b'-' | b'0'..=b'9' => self.number(from),
            b'i' | b'I' | b'n' | b'N' | b't' | b'f' => self.name(from),
            _ => Token::Error("invalid token"),
        };
        (token, from)
    }

    fn name(&mut self, from: usize) -> Token {
        let rest = &self.text[from..];
        for (name, token) in
            [(&b"true"[..], Token::Boolean(true)), (b"false", Token::Boolean(false)), (b"null", Token::Null)]
        {
            if rest.starts_with(name) {
                self.at = from + name.len();
                return token;
            }
        }
        if self.options.decode_invalid && (begins(rest, b"inf") || begins(rest, b"nan")) {
            return self.number(from);
        }
        Token::Error("invalid token")
    }

    /// A number as C's `strtod` reads it.
    fn number(&mut self, from: usize) -> Token {
        let rest = &self.text[from..];
        let (sign, digits) = match rest.first() {
            Some(b'-') => (-1.0, &rest[1..]),
            Some(b'+') => (1.0, &rest[1..]),
            _ => (1.0, rest),
        };
        let signs = rest.len() - digits.len();
        let special = [(&b"infinity"[..], f64::INFINITY), (b"inf", f64::INFINITY), (b"nan", f64::NAN)];
        if let Some((name, number)) = special.iter().find(|(name, _)| begins(digits, name)) {
            if !self.options.decode_invalid {
                return Token::Error("invalid number");
            }
            self.at = from + signs + name.len();
            return Token::Number(sign * number);
        }
        if begins(digits, b"0x") {
            let hex = digits[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            if !self.options.decode_invalid || hex == 0 {
                return Token::Error("invalid number");
            }
            self.at = from + signs + 2 + hex;
            let value = |byte: &u8| f64::from((*byte as char).to_digit(16).unwrap_or(0));
            let number = digits[2..2 + hex].iter().fold(0.0, |sum, byte| sum * 16.0 + value(byte));
            return Token::Number(sign * number);
        }
        let length = decimal(digits);
        let number = std::str::from_utf8(&digits[..length]).ok().and_then(|text| text.parse::<f64>().ok());
        let leads = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
        match number {
            Some(number) if !leads || self.options.decode_invalid => {
                self.at = from + signs + length;
                Token::Number(sign * number)
            }
            _ => Token::Error("invalid number"),
        }
    }

    /// A string into `word`. An error in it stands where the fault is.
    fn string(&mut self, from: usize) -> (Token, usize) {
        self.word.clear();
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return (Token::Error("unexpected end of string"), self.at);
            };
            match byte {
                b'"' => {
                    self.at += 1;
                    return (Token::String, from);
                }
                b'\\' => {
                    if let Err(what) = self.escape() {
                        return (Token::Error(what), self.at);
                    }
                }
                _ => {
                    self.word.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let plain = match self.text.get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b't') => 9,
            Some(b'n') => 10,
            Some(b'f') => 12,
            Some(b'r') => 13,
            Some(b'u') => return self.unicode().ok_or("invalid unicode escape code"),
            _ => return Err("invalid escape code"),
        };
        self.word.push(plain);
        self.at += 2;
        Ok(())
    }

    fn unicode(&mut self) -> Option<()> {
        let first = self.hex(self.at + 2)?;
        let (code, length) = match first {
            0xD800..0xDC00 => {
                let escaped = self.text.get(self.at + 6..self.at + 8)? == b"\\u";
                let second =
                    self.hex(self.at + 8).filter(|code| escaped && (0xDC00..0xE000).contains(code))?;
                (0x10000 + ((first & 0x3FF) << 10) + (second & 0x3FF), 12)
            }
            code => (code, 6),
        };
        let code = char::from_u32(code)?;
        self.word.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += length;
        Some(())
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.iter().try_fold(0, |sum, byte| Some(sum << 4 | (*byte as char).to_digit(16)?))
    }
}

fn expected<T>(what: &str, found: &Token, at: usize) -> Result<T, Failure> {
    said(format!("Expected {what} but found {} at character {}", found.name(), at + 1))
}

/// Whether a text begins with a word, whatever its case.
fn begins(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

/// Bytes of the decimal number that a text begins with.
fn decimal(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    if text.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if text.get(end).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        let sign = usize::from(text.get(end + 1).is_some_and(|byte| b"+-".contains(byte)));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_c_does() {
        let spelled = |number, precision| {
            let mut text = Vec::new();
            shortest(number, precision, &mut text);
            String::from_utf8(text).expect("digits")
        };
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (100.0, "100"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1e100, "1e+100"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (99_999_999_999_999.9, "1e+14"),
            (12_345_678_901_234.0, "12345678901234"),
        ] {
            assert_eq!(spelled(number, 14), text);
        }
        assert_eq!(spelled(2.34567, 3), "2.35");
    }
}
