//! Replies of commands, as Lua values.
//!
//! For: reading what a command has written, in the protocol the script asked for. May touch: bytes and the
//! stack of the function that the script called.
//! Always: the bytes are the server's own, so they are sound; what is not is nil. Errors of the state leave
//! these frames by a long jump: nothing here has a destructor.

use super::stack::{Kind, Stack};
use crate::resp::parse_i64;

/// Slots of the stack that a table takes while it is filled.
const SLOTS: std::ffi::c_int = 8;

/// Pushes the value that a reply stands for. May raise.
pub fn push(stack: Stack, bytes: &[u8]) {
    Reader { stack, bytes }.push();
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    stack: Stack,
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

    /// A number, and the line end behind it. `None`: it is below 0.
    #[inline]
    fn count(&mut self) -> Option<usize> {
        let mut count = 0_usize;
        for (at, &byte) in self.bytes.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                if at == 0 {
                    break;
                }
                self.bytes = self.bytes.get(at + 2..).unwrap_or_default();
                return Some(count);
            }
            count = count.wrapping_mul(10).wrapping_add(digit.into());
        }
        self.line();
        None
    }

    /// So many bytes and the line end behind them.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = self.bytes.get(..count).unwrap_or_default();
        self.bytes = self.bytes.get(count + 2..).unwrap_or_default();
        taken
    }

    /// Pushes one value. May raise.
    fn push(&mut self) {
        let stack = self.stack;
        let Some((&sign, rest)) = self.bytes.split_first() else { return stack.push_nil() };
        self.bytes = rest;
        match sign {
            b'$' => match self.count() {
                Some(count) => stack.push_text(self.take(count)),
                None => stack.push_bool(false),
            },
            b':' => match parse_i64(self.line()) {
                Some(number) => stack.push_number(number as f64),
                None => stack.push_nil(),
            },
            b'*' | b'>' => match self.count() {
                Some(count) => self.array(count),
                None => stack.push_bool(false),
            },
            b'+' => self.line_in("ok"),
            b'-' => self.line_in("err"),
            b'_' => {
                self.line();
                stack.push_nil();
            }
            b'#' => stack.push_bool(self.line() == b"t"),
            b',' => {
                let number = std::str::from_utf8(self.line()).ok().and_then(|text| text.parse().ok());
                self.open("double");
                stack.push_number(number.unwrap_or(f64::NAN));
                stack.set(-3);
            }
            b'(' => self.line_in("big_number"),
            b'=' => self.verbatim(),
            b'%' => self.map(),
            b'~' => self.set(),
            b'|' => {
                for _ in 0..2 * self.count().unwrap_or(0) {
                    self.push();
                    stack.pop(1);
                }
                self.push();
            }
            _ => stack.push_nil(),
        }
    }

    /// Pushes a table and the name of its only field, whose value is to follow. May raise.
    fn open(&self, field: &str) {
        self.stack.reserve(SLOTS);
        self.stack.push_table(0, 1);
        self.stack.push_text(field.as_bytes());
    }

    fn line_in(&mut self, field: &str) {
        self.open(field);
        self.stack.push_text(self.line());
        self.stack.set(-3);
    }

    fn array(&mut self, count: usize) {
        self.stack.reserve(SLOTS);
        self.stack.push_table(count, 0);
        for at in 1..=count {
            self.push();
            self.stack.set_at(-2, at);
        }
    }

    fn verbatim(&mut self) {
        let count = self.count().unwrap_or(0);
        let (format, text) = self.take(count).split_at_checked(4).unwrap_or_default();
        self.open("verbatim_string");
        self.stack.push_table(0, 2);
        self.stack.set_text("format", &format[..format.len().min(3)]);
        self.stack.set_text("string", text);
        self.stack.set(-3);
    }

    fn map(&mut self) {
        let count = self.count().unwrap_or(0);
        self.open("map");
        self.stack.push_table(0, count);
        for _ in 0..count {
            self.push();
            self.push();
            self.keep();
        }
        self.stack.set(-3);
    }

    fn set(&mut self) {
        let count = self.count().unwrap_or(0);
        self.open("set");
        self.stack.push_table(0, count);
        for _ in 0..count {
            self.push();
            self.stack.push_bool(true);
            self.keep();
        }
        self.stack.set(-3);
    }

    /// Puts the key and value on top into the table below them, unless the key is nil.
    fn keep(&self) {
        if self.stack.kind(-2) == Kind::Nil { self.stack.pop(2) } else { self.stack.set(-3) }
    }
}
