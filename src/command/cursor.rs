//! Reading a command's arguments.
//!
//! For: walking through options, and turning arguments into numbers and values. May touch: arguments and
//! replies.
//! Always: nothing here touches the keyspace, so a handler can parse everything before its first look at a
//! key.

use crate::fault::Fault;
use crate::keyspace::{NewValue, ValueRef};
use crate::resp::{Args, Out, parse_i64, write_i64};

/// A place in a command's arguments.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    args: Args<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at argument `at` (the name is 0).
    pub fn new(args: Args<'a>, at: usize) -> Cursor<'a> {
        Cursor { args, at }
    }

    /// Index of the next argument.
    pub fn index(&self) -> usize {
        self.at
    }

    /// Whether no argument is left.
    pub fn is_end(&self) -> bool {
        self.at >= self.args.len()
    }

    /// Number of arguments left.
    pub fn left(&self) -> usize {
        self.args.len().saturating_sub(self.at)
    }

    /// The next argument, without passing it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.args.opt(self.at)
    }

    /// The next argument; a syntax error when there is none.
    ///
    /// # Errors
    /// [`Fault::SYNTAX`].
    pub fn need(&mut self) -> Result<&'a [u8], Fault> {
        self.next().ok_or(Fault::SYNTAX)
    }

    /// Passes the next argument if it is that word, whatever its case.
    pub fn word(&mut self, word: &str) -> bool {
        let hit = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(hit);
        hit
    }

    /// The next argument as an integer.
    ///
    /// # Errors
    /// [`Fault::SYNTAX`] when there is none, [`Fault::NOT_AN_INTEGER`] when it is none.
    pub fn int(&mut self) -> Result<i64, Fault> {
        int(self.need()?)
    }

    /// Ends the walk.
    ///
    /// # Errors
    /// [`Fault::SYNTAX`] when arguments are left.
    pub fn end(&self) -> Result<(), Fault> {
        if self.is_end() { Ok(()) } else { Err(Fault::SYNTAX) }
    }
}

impl<'a> Iterator for Cursor<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let arg = self.args.opt(self.at)?;
        self.at += 1;
        Some(arg)
    }
}

/// An argument as an integer.
///
/// # Errors
/// [`Fault::NOT_AN_INTEGER`].
#[inline]
pub fn int(arg: &[u8]) -> Result<i64, Fault> {
    let Some(int) = parse_i64(arg) else { return Err(Fault::NOT_AN_INTEGER) };
    Ok(int)
}

/// Argument `at` as a string value: an integer if its text is one, shared if it was received into an
/// allocation of its own.
#[inline]
pub fn string_value<'a>(args: &Args<'a>, at: usize) -> NewValue<'a> {
    let bytes = args.get(at);
    if bytes.len() <= 20 {
        return match parse_i64(bytes) {
            Some(int) => NewValue::Int(int),
            None => NewValue::Bytes(bytes),
        };
    }
    match args.shared(at) {
        Some(shared) => NewValue::Shared(shared.clone()),
        None => NewValue::Bytes(bytes),
    }
}

/// Writes a string value as a bulk.
#[inline]
pub fn reply_value(out: &mut Out, value: ValueRef<'_>) {
    match value {
        ValueRef::Int(int) => out.bulk_int(int),
        ValueRef::Bytes(bytes) => out.bulk(bytes),
        ValueRef::Shared(shared) => out.bulk_shared(shared),
    }
}

/// The bytes of a string value; an integer's digits go to `digits`.
pub fn value_bytes<'a>(value: ValueRef<'a>, digits: &'a mut Vec<u8>) -> &'a [u8] {
    match value {
        ValueRef::Int(int) => {
            digits.clear();
            write_i64(int, digits);
            digits
        }
        ValueRef::Bytes(bytes) => bytes,
        ValueRef::Shared(shared) => shared,
    }
}

/// Length of a string value in bytes.
pub fn value_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Int(int) => itoa::Buffer::new().format(int).len(),
        ValueRef::Bytes(bytes) => bytes.len(),
        ValueRef::Shared(shared) => shared.len(),
    }
}
