//! What a script returns, as a reply.
//!
//! For: writing Lua values in the client's protocol. May touch: the stack of the function that ran the
//! script, and the reply.
//! Always: numbers lose what is behind the point; arrays end at the first nil; in the place of a value that
//! is nested more than [`DEEPEST`] is an error. Errors of the state leave these frames by a long jump: what
//! has a destructor is gone before the stack is asked for anything that may raise.

use std::ffi::c_int;

use super::stack::{Kind, Stack};
use crate::fault::Fault;
use crate::resp::{Out, Proto};

/// How deep a value may be nested: every table around it counts, by [`IN_ARRAY`] and its relatives. A frame
/// of the thread's stack is taken for each, and of the state's no more slots than they count.
const DEEPEST: usize = 7994;
/// What an array counts to its elements.
const IN_ARRAY: usize = 1;
/// What a map counts to its values, and a set to its members.
const IN_FIELD: usize = 3;
/// What a map counts to its keys.
const AS_KEY: usize = 4;
/// Values too deep that a result may have. Tables that hold themselves more than once would have more than
/// anybody could wait for.
const MOST_TOO_DEEP: u64 = 1000;
/// Slots of the stack that a table takes while it is read; the state has these behind the deepest.
const SLOTS: c_int = 4;

/// The fields that make a table something else than an array, in the order of [`Field`].
pub const FIELDS: [&str; 9] =
    ["err", "ok", "double", "map", "set", "big_number", "verbatim_string", "format", "string"];

#[derive(Clone, Copy)]
enum Field {
    Err,
    Ok,
    Double,
    Map,
    Set,
    BigNumber,
    Verbatim,
    Format,
    String,
}

/// Writes a result.
pub struct Writer<'a> {
    /// Where it lies on top.
    pub stack: Stack,
    /// The first of the upvalues that hold [`FIELDS`].
    pub fields: c_int,
    /// The protocol the script has chosen.
    pub script: Proto,
    /// The reply.
    pub out: &'a mut Out,
    /// Values that were nested too deep.
    pub too_deep: u64,
}

impl Writer<'_> {
    /// Writes the value on top, and leaves it there; what is around it counts `depth`. May raise.
    ///
    /// # Errors
    /// When it is an error itself, or has too many values that are too deep; then something may be left on
    /// the stack.
    pub fn write(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return self.refuse();
        }
        match self.stack.as_text(-1) {
            Ok(text) => self.out.bulk(text),
            Err(Kind::Number) => self.out.int(truncated(self.stack.number(-1))),
            Err(Kind::Boolean) if self.script == Proto::Resp3 => self.out.boolean(self.stack.is_true(-1)),
            Err(Kind::Boolean) if self.stack.is_true(-1) => self.out.int(1),
            Err(Kind::Table) => return self.table(depth),
            Err(_) => self.out.null(),
        }
        Ok(())
    }

    #[cold]
    fn refuse(&mut self) -> Result<(), Fault> {
        self.too_deep += 1;
        if self.too_deep > MOST_TOO_DEEP {
            return Err(Fault::SCRIPT_RESULT_DEPTH);
        }
        self.out.error(Fault::SCRIPT_RESULT_DEPTH.text());
        Ok(())
    }

    /// Pushes a field of the table on top; what it is.
    fn field(&self, field: Field) -> Kind {
        self.stack.push_copy(self.fields + upward(field as c_int));
        self.stack.get(-2);
        self.stack.kind(-1)
    }

    fn table(&mut self, depth: usize) -> Result<(), Fault> {
        self.stack.reserve(SLOTS);
        for (field, wanted) in [
            (Field::Err, Kind::Text),
            (Field::Ok, Kind::Text),
            (Field::Double, Kind::Number),
            (Field::Map, Kind::Table),
            (Field::Set, Kind::Table),
            (Field::BigNumber, Kind::Text),
            (Field::Verbatim, Kind::Table),
        ] {
            if self.field(field) == wanted && self.special(field, depth)? {
                self.stack.pop(1);
                return Ok(());
            }
            self.stack.pop(1);
        }
        self.array(depth)
    }

    /// Writes a table that is no array, by its field, which is on top. False: it is an array all the same.
    fn special(&mut self, field: Field, depth: usize) -> Result<bool, Fault> {
        let text = self.stack.text(-1);
        match field {
            Field::Err if depth == 0 => return Err(Fault::of(text.to_vec())),
            Field::Err => self.out.error(text),
            Field::Ok => self.out.simple(&line(text)),
            Field::Double => self.out.double(self.stack.number(-1)),
            Field::Map => self.map(depth)?,
            Field::Set => self.set(depth)?,
            Field::BigNumber => self.out.big_number(&line(text)),
            Field::Verbatim | Field::Format | Field::String => return Ok(self.verbatim()),
        }
        Ok(true)
    }

    fn verbatim(&mut self) -> bool {
        let is_format = self.field(Field::Format) == Kind::Text;
        self.stack.push_copy(-2);
        let is_text = self.field(Field::String) == Kind::Text;
        if is_format && is_text {
            let mut format = line(self.stack.text(-3));
            format.extend(std::iter::repeat_n(' ', 3));
            let end = (0..=3).rev().find(|&at| format.is_char_boundary(at)).unwrap_or(0);
            self.out.verbatim(if end == 3 { &format[..3] } else { "txt" }, self.stack.text(-1));
        }
        self.stack.pop(3);
        is_format && is_text
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        let head = self.out.deferred_array();
        let mut count = 0;
        loop {
            self.stack.get_at(-1, count + 1);
            if self.stack.kind(-1) == Kind::Nil {
                break;
            }
            self.write(depth + IN_ARRAY)?;
            self.stack.pop(1);
            count += 1;
        }
        self.stack.pop(1);
        self.out.finish(head, count);
        Ok(())
    }

    fn map(&mut self, depth: usize) -> Result<(), Fault> {
        let head = self.out.deferred_map();
        let mut count = 0;
        self.stack.push_nil();
        while self.stack.next(-2) {
            self.stack.push_copy(-2);
            self.write(depth + AS_KEY)?;
            self.stack.pop(1);
            self.write(depth + IN_FIELD)?;
            self.stack.pop(1);
            count += 1;
        }
        self.out.finish(head, count);
        Ok(())
    }

    fn set(&mut self, depth: usize) -> Result<(), Fault> {
        let head = self.out.deferred_set();
        let mut count = 0;
        self.stack.push_nil();
        while self.stack.next(-2) {
            self.stack.pop(1);
            self.write(depth + IN_FIELD)?;
            count += 1;
        }
        self.out.finish(head, count);
        Ok(())
    }
}

/// The distance of an upvalue's index from that of an earlier one: they count downwards.
fn upward(by: c_int) -> c_int {
    -by
}

/// What the processor makes of a number that no integer can hold is the lowest one.
fn truncated(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// A text without line ends.
fn line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(['\r', '\n'], " ")
}
