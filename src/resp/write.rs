//! The reply writer.
//! For: building a connection's replies and handing them to a vectored write. May touch: bytes only; it
//! writes to no socket.
//! Always: bytes leave in the order they were written; a large shared payload is queued by reference, never
//! copied; what was sent is let go of while the rest waits.
//!
//! Layout: replies are appended to the tail, one run of bytes. A shared payload is an *insert*: it stands
//! between two bytes of its run. A long run is sealed between commands and a new tail begun, so a slow
//! reader's queue is a list of runs, each of which is freed once it is sent.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::buffer::Buffer;
use super::double::{format_double, format_human_double};
use crate::value::Item;
use crate::value::short::{ends, quarters};

/// A tail of at least this many bytes is sealed by [`Out::seal`].
const RUN_BYTES: usize = 256 * 1024;
/// Another output of up to this many bytes is copied by [`Out::append`], a longer one is linked.
const COPY_BYTES: usize = 16 * 1024;
/// A shared string of at least this many bytes is queued by reference, a shorter one is copied.
const SHARED_BYTES: usize = 8 * 1024;
/// A tail with more capacity than this is given up when it is cleared.
const KEPT_BYTES: usize = 256 * 1024;
/// An output without replies keeps no room for more pieces than this.
const KEPT_PIECES: usize = 16;

/// The protocol version a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// The one every connection starts with.
    #[default]
    Resp2,
    /// Chosen with HELLO 3: has maps, sets, doubles, booleans, pushes.
    Resp3,
}

/// A shared payload within a run.
#[derive(Debug)]
struct Insert {
    /// Bytes of the run that go before it.
    at: usize,
    data: Arc<Vec<u8>>,
}

/// Bytes with shared payloads among them.
#[derive(Debug, Default)]
struct Run {
    bytes: Buffer,
    /// Ascending in `at`; those sent are gone.
    inserts: VecDeque<Insert>,
    /// Bytes of `bytes` already sent.
    sent: usize,
    /// Bytes of the first insert already sent; then all bytes before it are sent too.
    sent_of_insert: usize,
}

impl Run {
    fn len(&self) -> usize {
        let shared: usize = self.inserts.iter().map(|insert| insert.data.len()).sum();
        self.bytes.len() - self.sent + shared - self.sent_of_insert
    }

    /// Lets go of up to `n` bytes; answers how many of them were not here.
    fn consume(&mut self, mut n: usize) -> usize {
        loop {
            let until = self.inserts.front().map_or(self.bytes.len(), |insert| insert.at);
            let step = n.min(until - self.sent);
            self.sent += step;
            n -= step;
            let Some(insert) = self.inserts.front() else { return n };
            let left = insert.data.len() - self.sent_of_insert;
            if n < left {
                // Counted only when the bytes before it are all sent.
                self.sent_of_insert += n;
                return 0;
            }
            n -= left;
            self.sent_of_insert = 0;
            self.inserts.pop_front();
        }
    }

    /// Passes the unsent pieces in order to `each`, until it answers false.
    fn pieces<'a>(&'a self, each: &mut impl FnMut(&'a [u8]) -> bool) -> bool {
        let mut from = self.sent;
        let mut skip = self.sent_of_insert;
        for insert in &self.inserts {
            if insert.at > from && !each(&self.bytes[from..insert.at]) {
                return false;
            }
            if !each(&insert.data[skip..]) {
                return false;
            }
            (from, skip) = (insert.at, 0);
        }
        from == self.bytes.len() || each(&self.bytes[from..])
    }
}

/// A point in an output to cut back to. Void once anything was consumed, sealed, appended or cleared.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    inserts: usize,
    epoch: u32,
}

/// An aggregate whose length is not known yet. Must be finished, or cut off by a rollback.
#[derive(Debug)]
#[must_use]
pub struct Deferred {
    mark: Mark,
    kind: u8,
    per_entry: usize,
}

/// A connection's replies that were not sent yet.
#[derive(Debug, Default)]
pub struct Out {
    tail: Run,
    sealed: VecDeque<Run>,
    /// Bytes of all sealed runs and of the tail's inserts, those already sent of a half-sent run not
    /// included.
    elsewhere: usize,
    /// Room for spelling doubles.
    spelled: Vec<u8>,
    proto: Proto,
    /// Counts what voids marks.
    epoch: u32,
}

/// Simple values.
impl Out {
    /// An empty output for RESP2.
    pub fn new() -> Out {
        Out::default()
    }

    /// The protocol version replies are written in.
    #[inline]
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Writes further replies in `proto`.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    #[inline]
    fn is_resp3(&self) -> bool {
        self.proto == Proto::Resp3
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.tail.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// A status line. `text` has no line ends.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.bytes().any(|byte| byte == b'\r' || byte == b'\n'));
        self.line(b'+', text.as_bytes());
    }

    /// An error, its code first (`ERR no such key`). Line ends within become spaces, those at its end go.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let mut text = text.as_ref();
        while let [rest @ .., b'\r' | b'\n'] = text {
            text = rest;
        }
        let from = self.tail.bytes.len() + 1;
        self.line(b'-', text);
        for byte in &mut self.tail.bytes[from..from + text.len()] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.head(b':', value);
    }

    /// A string.
    #[inline]
    pub fn bulk(&mut self, data: &[u8]) {
        if data.len() > SHORT_MAX {
            return self.bulk_long(data);
        }
        let bytes = &mut self.tail.bytes;
        let Some(room) = bytes.room() else { return self.bulk_with_room(data) };
        let written = put_short(data, room);
        bytes.add(written);
    }

    #[cold]
    fn bulk_with_room(&mut self, data: &[u8]) {
        self.tail.bytes.make_room(SHORT_ROOM);
        self.bulk(data);
    }

    #[inline(never)]
    fn bulk_long(&mut self, data: &[u8]) {
        let bytes = &mut self.tail.bytes;
        bytes.reserve(data.len() + 2 * HEAD_ROOM);
        push_head(bytes, b'$', data.len() as i64);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(b"\r\n");
    }

    /// A string that is queued by reference when it is long.
    pub fn bulk_shared(&mut self, data: &Arc<Vec<u8>>) {
        if data.len() < SHARED_BYTES {
            return self.bulk(data);
        }
        self.head(b'$', data.len() as i64);
        self.tail.inserts.push_back(Insert { at: self.tail.bytes.len(), data: data.clone() });
        self.elsewhere += data.len();
        self.tail.bytes.extend_from_slice(b"\r\n");
    }

    /// A string of decimal digits.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// An element of a collection, as a string.
    #[inline]
    pub fn item(&mut self, item: Item<'_>) {
        match item {
            Item::Bytes(bytes) => self.bulk(bytes),
            Item::Int(value) => self.bulk_int(value),
        }
    }

    /// Elements of a collection one after another, each as a string. The iterator says at least about how
    /// many there are.
    #[inline]
    pub fn items<'i>(&mut self, mut items: impl Iterator<Item = Item<'i>>) {
        loop {
            let bytes = &mut self.tail.bytes;
            let (written, rest) = put_items(bytes.room_of(SHORT_ROOM), &mut items);
            bytes.add(written);
            match rest {
                Rest::Nothing => return,
                Rest::Unknown => {}
                Rest::Other(item) => self.item(item),
            }
        }
    }

    /// No value, where a string is expected.
    #[inline]
    pub fn null(&mut self) {
        self.tail.bytes.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No value, where an array is expected.
    #[inline]
    pub fn null_array(&mut self) {
        self.tail.bytes.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// True or false; 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        self.tail.bytes.extend_from_slice(match (self.proto, value) {
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
        });
    }

    /// A double; a string in RESP2.
    pub fn double(&mut self, value: f64) {
        self.number(value, format_double);
    }

    /// A double without exponent, up to 17 decimal places; a string in RESP2.
    pub fn human_double(&mut self, value: f64) {
        self.number(value, format_human_double);
    }

    fn number(&mut self, value: f64, spell: fn(f64, &mut Vec<u8>)) {
        let mut text = std::mem::take(&mut self.spelled);
        spell(value, &mut text);
        if self.is_resp3() {
            self.line(b',', &text)
        } else {
            self.bulk(&text)
        }
        text.clear();
        self.spelled = text;
    }

    /// An integer of any size, as decimal digits; a string in RESP2.
    pub fn big_number(&mut self, digits: &str) {
        if self.is_resp3() { self.line(b'(', digits.as_bytes()) } else { self.bulk(digits.as_bytes()) }
    }

    /// A string with a three-letter format (`txt`, `mkd`); a plain string in RESP2.
    pub fn verbatim(&mut self, format: &str, data: &[u8]) {
        if !self.is_resp3() {
            return self.bulk(data);
        }
        debug_assert_eq!(format.len(), 3);
        self.head(b'=', data.len() as i64 + 4);
        self.raw(format.as_bytes());
        self.raw(b":");
        self.raw(data);
        self.raw(b"\r\n");
    }

    /// Bytes that are already in wire form.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.tail.bytes.extend_from_slice(bytes);
    }

    #[inline]
    fn line(&mut self, sign: u8, text: &[u8]) {
        let bytes = &mut self.tail.bytes;
        bytes.extend_from_slice(&[sign]);
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn head(&mut self, sign: u8, value: i64) {
        push_head(&mut self.tail.bytes, sign, value);
    }
}

/// Aggregates: the head only, the entries are written after it.
impl Out {
    /// `len` values in order.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len as i64);
    }

    /// `pairs` keys, each followed by its value; an array of both in RESP2.
    pub fn map(&mut self, pairs: usize) {
        if self.is_resp3() { self.head(b'%', pairs as i64) } else { self.array(pairs * 2) }
    }

    /// `len` values without order; an array in RESP2.
    pub fn set(&mut self, len: usize) {
        self.head(if self.is_resp3() { b'~' } else { b'*' }, len as i64);
    }

    /// `len` values that answer no request; an array in RESP2.
    pub fn push(&mut self, len: usize) {
        self.head(if self.is_resp3() { b'>' } else { b'*' }, len as i64);
    }

    /// `pairs` of facts about the reply that follows. RESP2 has none: ask for the version before writing one.
    pub fn attribute(&mut self, pairs: usize) {
        debug_assert!(self.is_resp3());
        self.head(b'|', pairs as i64);
    }

    /// An array whose length [`Out::finish`] will be told.
    pub fn deferred_array(&mut self) -> Deferred {
        self.deferred(b'*', 1)
    }

    /// A map whose number of pairs [`Out::finish`] will be told.
    pub fn deferred_map(&mut self) -> Deferred {
        if self.is_resp3() { self.deferred(b'%', 1) } else { self.deferred(b'*', 2) }
    }

    /// A set whose length [`Out::finish`] will be told.
    pub fn deferred_set(&mut self) -> Deferred {
        self.deferred(if self.is_resp3() { b'~' } else { b'*' }, 1)
    }

    fn deferred(&mut self, kind: u8, per_entry: usize) -> Deferred {
        Deferred { mark: self.mark(), kind, per_entry }
    }

    /// Completes a deferred aggregate of `len` entries (pairs for a map): its head is put before what was
    /// written since. Inner ones are finished before outer ones.
    pub fn finish(&mut self, deferred: Deferred, len: usize) {
        let Deferred { mark, kind, per_entry } = deferred;
        debug_assert_eq!(mark.epoch, self.epoch, "a deferred aggregate was sent before it was finished");
        let moved = insert_head(&mut self.tail.bytes, mark.bytes, kind, (len * per_entry) as i64);
        for insert in self.tail.inserts.iter_mut().skip(mark.inserts) {
            insert.at += moved;
        }
    }
}

/// The queue.
impl Out {
    /// Bytes waiting to be sent.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.elsewhere + self.tail.bytes.len() - self.tail.sent
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// Drops everything and keeps the tail's memory, unless it is unusually large.
    pub fn clear(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.sealed.clear();
        self.elsewhere = 0;
        self.tail.inserts.clear();
        (self.tail.sent, self.tail.sent_of_insert) = (0, 0);
        self.tail.bytes.truncate(0);
        if self.tail.bytes.capacity() > KEPT_BYTES {
            self.tail.bytes = Buffer::default();
        }
    }

    /// Takes the memory of replies out of an output that is empty, for others to be written into.
    pub fn take_memory(&mut self) -> Buffer {
        debug_assert!(self.is_empty());
        self.clear();
        if self.sealed.capacity().max(self.tail.inserts.capacity()) > KEPT_PIECES {
            (self.sealed, self.tail.inserts) = Default::default();
        }
        std::mem::take(&mut self.tail.bytes)
    }

    /// Writes replies into memory taken from these pieces, if there is nothing else yet and they are not used
    /// up.
    #[inline]
    pub fn take_from(&mut self, spare: &mut Vec<Buffer>) {
        if self.is_empty()
            && let Some(memory) = spare.pop()
        {
            debug_assert!(memory.is_empty());
            debug_assert!(self.tail.sent == 0, "an output that has been sent is cleared");
            self.tail.bytes = memory;
        }
    }

    /// Where the output stands, for [`Out::rollback`].
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.tail.bytes.len(), inserts: self.tail.inserts.len(), epoch: self.epoch }
    }

    /// Cuts off everything written since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        debug_assert_eq!(mark.epoch, self.epoch, "a reply was sent before it was cut off");
        self.tail.bytes.truncate(mark.bytes);
        for insert in self.tail.inserts.drain(mark.inserts.min(self.tail.inserts.len())..) {
            self.elsewhere -= insert.data.len();
        }
    }

    /// Ends the tail when it has grown long, so that it is freed as soon as it is sent. Called between
    /// commands.
    pub fn seal(&mut self) {
        if self.tail.bytes.len() >= RUN_BYTES {
            self.seal_tail();
        }
    }

    fn seal_tail(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.tail.len() > 0 {
            self.elsewhere += self.tail.bytes.len() - self.tail.sent;
            self.sealed.push_back(std::mem::take(&mut self.tail));
        }
    }

    /// Takes all that waits, leaving an empty output of the same protocol version.
    pub fn take(&mut self) -> Out {
        let empty = Out { proto: self.proto, epoch: self.epoch.wrapping_add(1), ..Out::default() };
        std::mem::replace(self, empty)
    }

    /// Queues what waits in `other` after what waits here.
    pub fn append(&mut self, mut other: Out) {
        if other.sealed.is_empty() && other.tail.inserts.is_empty() && other.len_bytes() <= COPY_BYTES {
            return self.raw(&other.tail.bytes[other.tail.sent..]);
        }
        self.seal_tail();
        self.sealed.append(&mut other.sealed);
        self.tail = other.tail;
        self.elsewhere += other.elsewhere;
    }

    /// Fills `slices` with what waits, in order, for a vectored write; answers how many it filled.
    pub fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut each = |piece: &'a [u8]| match slices.get_mut(filled) {
            Some(slice) => {
                *slice = IoSlice::new(piece);
                filled += 1;
                true
            }
            None => false,
        };
        for run in self.sealed.iter().chain([&self.tail]) {
            if !run.pieces(&mut each) {
                break;
            }
        }
        filled
    }

    /// All that waits, when it is one run of bytes: the usual case, for a plain write.
    #[inline]
    pub fn as_slice(&self) -> Option<&[u8]> {
        (self.elsewhere == 0).then(|| &self.tail.bytes[self.tail.sent..])
    }

    /// Lets go of the first `n` waiting bytes, which were sent.
    pub fn consume(&mut self, mut n: usize) {
        debug_assert!(n <= self.len_bytes());
        if n >= self.len_bytes() {
            return self.clear();
        }
        self.epoch = self.epoch.wrapping_add(1);
        while let Some(run) = self.sealed.front_mut() {
            let before = n;
            n = run.consume(n);
            self.elsewhere -= before - n;
            if run.len() > 0 {
                return;
            }
            self.sealed.pop_front();
        }
        let sent_before = self.tail.sent;
        self.tail.consume(n);
        self.elsewhere -= n - (self.tail.sent - sent_before);
        // Moving the rest down costs no more than what was sent since the last time.
        if self.tail.sent > RUN_BYTES && self.tail.sent > self.tail.bytes.len() / 2 {
            let gone = std::mem::take(&mut self.tail.sent);
            self.tail.bytes.remove_first(gone);
            self.tail.inserts.iter_mut().for_each(|insert| insert.at -= gone);
        }
    }
}

/// Longest string that is written in moves of constant size: most elements of collections are so short that
/// the calls for copying them would take longer than the copying.
const SHORT_MAX: usize = 64;
/// Bytes that writing such a string may touch: head, text, line end, and what moves overrun.
const SHORT_ROOM: usize = 80;

/// What is left when elements were written into a given room.
enum Rest<'i> {
    Nothing,
    /// Those that the room has no place for, if any.
    Unknown,
    /// This one, which is no short string, and those behind it.
    Other(Item<'i>),
}

/// Writes short strings as long as there is room; answers how many bytes they took, and what is left.
#[inline(always)]
fn put_items<'i>(mut room: &mut [u8], items: &mut impl Iterator<Item = Item<'i>>) -> (usize, Rest<'i>) {
    let all = room.len();
    while let Some(place) = room.first_chunk_mut() {
        match items.next() {
            Some(Item::Bytes(text)) if text.len() <= SHORT_MAX => {
                let written = put_short(text, place);
                room = &mut room[written..];
            }
            Some(other) => return (all - room.len(), Rest::Other(other)),
            None => return (all - room.len(), Rest::Nothing),
        }
    }
    (all - room.len(), Rest::Unknown)
}

/// Writes a string of at most `SHORT_MAX` bytes; answers how many bytes that took.
#[inline(always)]
fn put_short(data: &[u8], room: &mut [u8; SHORT_ROOM]) -> usize {
    room[..8].copy_from_slice(&SHORT_HEADS[data.len()]);
    let head_len = if data.len() < 10 { 4 } else { 5 };
    let text = &mut room[head_len..];
    let is_written = ends::<16>(data, text)
        || ends::<8>(data, text)
        || quarters(data, text)
        || ends::<4>(data, text)
        || ends::<2>(data, text);
    if let (false, [byte]) = (is_written, data) {
        text[0] = *byte;
    }
    text[data.len()..data.len() + 2].copy_from_slice(b"\r\n");
    head_len + data.len() + 2
}

/// The heads of strings of up to so many bytes, each in as many bytes as can be moved at once.
const SHORT_HEADS: [[u8; 8]; SHORT_MAX + 1] = {
    let mut heads = [[0; 8]; SHORT_MAX + 1];
    let mut len = 0;
    while len < heads.len() {
        let (tens, ones) = (b'0' + len as u8 / 10, b'0' + len as u8 % 10);
        heads[len] = if len < 10 {
            [b'$', ones, b'\r', b'\n', 0, 0, 0, 0]
        } else {
            [b'$', tens, ones, b'\r', b'\n', 0, 0, 0]
        };
        len += 1;
    }
    heads
};

/// Longest head: sign, 20 digits, line end.
const HEAD_ROOM: usize = 23;

/// Appends `<sign><value>\r\n`.
#[inline]
fn push_head(bytes: &mut Buffer, sign: u8, value: i64) {
    let Some(room) = bytes.room() else { return push_head_with_room(bytes, sign, value) };
    let written = put_head(room, sign, value);
    bytes.add(written);
}

#[cold]
fn push_head_with_room(bytes: &mut Buffer, sign: u8, value: i64) {
    bytes.make_room(HEAD_ROOM);
    push_head(bytes, sign, value);
}

/// Writes `<sign><value>\r\n`; answers how many bytes that took.
#[inline(always)]
fn put_head(room: &mut [u8; HEAD_ROOM], sign: u8, value: i64) -> usize {
    room[0] = sign;
    match value {
        0..10 => {
            room[1..4].copy_from_slice(&[b'0' + value as u8, b'\r', b'\n']);
            4
        }
        10..100_000_000 => {
            let (digits, count) = eight_digits(value as u64);
            room[1..9].copy_from_slice(&digits);
            room[1 + count..3 + count].copy_from_slice(b"\r\n");
            3 + count
        }
        _ => put_long_head(room, value),
    }
}

/// The digits of a number between 1 and 99,999,999 from the first on, and how many they are. Halves, quarters
/// and digits are taken apart side by side in one word.
#[inline(always)]
fn eight_digits(value: u64) -> ([u8; 8], usize) {
    let halves = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = (halves * 10_486) >> 20 & 0x7f_0000_007f;
    let quarters = hundreds | (halves - hundreds * 100) << 16;
    let tens = (quarters * 103) >> 10 & 0xf_000f_000f_000f;
    let digits = tens | (quarters - tens * 10) << 8;
    let zeros = digits.trailing_zeros() / 8;
    let text = (digits | 0x3030_3030_3030_3030) >> (8 * zeros);
    (text.to_le_bytes(), 8 - (zeros as usize & 7))
}

#[inline(never)]
fn put_long_head(room: &mut [u8; HEAD_ROOM], value: i64) -> usize {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    room[1..=digits.len()].copy_from_slice(digits);
    room[1 + digits.len()..3 + digits.len()].copy_from_slice(b"\r\n");
    3 + digits.len()
}

/// Puts `<sign><value>\r\n` before the byte at `at`; answers by how much that moved.
fn insert_head(bytes: &mut Buffer, at: usize, sign: u8, value: i64) -> usize {
    let mut head = [0; HEAD_ROOM];
    let moved = put_head(&mut head, sign, value);
    bytes.insert(at, &head[..moved]);
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that waits, through `chunks`.
    fn waiting(out: &Out) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 256];
        let filled = out.chunks(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(bytes.len(), out.len_bytes());
        assert_eq!(out.is_empty(), bytes.is_empty());
        if let Some(slice) = out.as_slice() {
            assert_eq!(slice, bytes);
        }
        bytes
    }

    fn check(write: impl Fn(&mut Out), resp2: &str, resp3: &str) {
        for (proto, expected) in [(Proto::Resp2, resp2), (Proto::Resp3, resp3)] {
            let mut out = Out::new();
            out.set_proto(proto);
            write(&mut out);
            assert_eq!(String::from_utf8_lossy(&waiting(&out)), expected);
        }
    }

    #[test]
    fn replies_have_the_bytes_of_either_protocol() {
        let same = |write: fn(&mut Out), expected: &str| check(write, expected, expected);
        same(|out| out.ok(), "+OK\r\n");
        same(|out| out.simple("PONG"), "+PONG\r\n");
        same(|out| out.error("ERR a\r\nb\nc"), "-ERR a  b c\r\n");
        same(|out| out.error("ERR a\rb \r\n\n"), "-ERR a b \r\n");
        same(|out| out.int(0), ":0\r\n");
        same(|out| out.int(42), ":42\r\n");
        same(|out| out.int(100), ":100\r\n");
        same(|out| out.int(99_999_999), ":99999999\r\n");
        same(|out| out.int(100_000_000), ":100000000\r\n");
        same(|out| out.int(i64::MAX), ":9223372036854775807\r\n");
        same(|out| out.int(-1), ":-1\r\n");
        same(|out| out.int(i64::MIN), ":-9223372036854775808\r\n");
        same(|out| out.bulk(b""), "$0\r\n\r\n");
        same(|out| out.bulk(b"0123456789ab"), "$12\r\n0123456789ab\r\n");
        same(|out| out.bulk_int(-17), "$3\r\n-17\r\n");
        same(|out| out.array(0), "*0\r\n");
        check(|out| out.null(), "$-1\r\n", "_\r\n");
        check(|out| out.null_array(), "*-1\r\n", "_\r\n");
        check(|out| out.map(3), "*6\r\n", "%3\r\n");
        check(|out| out.set(3), "*3\r\n", "~3\r\n");
        check(|out| out.push(2), "*2\r\n", ">2\r\n");
        check(|out| out.boolean(true), ":1\r\n", "#t\r\n");
        check(|out| out.boolean(false), ":0\r\n", "#f\r\n");
        check(|out| out.double(3.175), "$5\r\n3.175\r\n", ",3.175\r\n");
        check(|out| out.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
        check(|out| out.human_double(1e-7), "$9\r\n0.0000001\r\n", ",0.0000001\r\n");
        check(|out| out.big_number("123"), "$3\r\n123\r\n", "(123\r\n");
        check(|out| out.verbatim("txt", b"a\nb"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n");
    }

    #[test]
    fn eight_digits_are_those_of_the_number() {
        let ends = (0..8).flat_map(|power| {
            let ten = 10u64.pow(power);
            [ten, ten + 1, 9 * ten, 10 * ten - 1]
        });
        for value in (1..20_000).chain((1..100_000_000).step_by(9_973)).chain(ends) {
            let (digits, count) = eight_digits(value);
            assert_eq!(digits[..count], *value.to_string().as_bytes());
        }
    }

    #[test]
    fn strings_of_every_short_length_are_written_whole() {
        let text: Vec<u8> = (0..SHORT_MAX + 20).map(|i| b'!' + i as u8).collect();
        let (mut out, mut expected) = (Out::new(), Vec::new());
        for len in 0..text.len() {
            out.bulk(&text[..len]);
            expected.extend(format!("${len}\r\n").into_bytes());
            expected.extend_from_slice(&text[..len]);
            expected.extend_from_slice(b"\r\n");
            assert_eq!(String::from_utf8_lossy(&waiting(&out)), String::from_utf8_lossy(&expected));
        }
    }

    #[test]
    fn items_are_written_like_one_after_another() {
        let text: Vec<u8> = (0..3 * SHORT_MAX).map(|i| b'!' + (i % 90) as u8).collect();
        let item =
            |i: usize| if i % 7 == 3 { Item::Int(i as i64) } else { Item::Bytes(&text[..i * 31 % 130]) };
        for count in (0..40).chain([512]) {
            let (mut together, mut apart) = (Out::new(), Out::new());
            together.items((0..count).map(item));
            (0..count).for_each(|i| apart.item(item(i)));
            assert_eq!(waiting(&together), waiting(&apart));
        }
    }

    #[test]
    fn deferred_lengths_nest() {
        let write = |out: &mut Out| {
            let outer = out.deferred_map();
            out.bulk(b"k");
            let inner = out.deferred_array();
            for i in 0..12 {
                out.int(i % 2);
            }
            out.finish(inner, 12);
            out.finish(outer, 1);
            let empty = out.deferred_set();
            out.finish(empty, 0);
        };
        let body = format!("$1\r\nk\r\n*12\r\n{}", ":0\r\n:1\r\n".repeat(6));
        check(write, &format!("*2\r\n{body}*0\r\n"), &format!("%1\r\n{body}~0\r\n"));
    }

    #[test]
    fn a_long_shared_payload_is_not_copied() {
        let data = Arc::new(vec![b'x'; SHARED_BYTES]);
        let mut out = Out::new();
        out.int(1);
        let deferred = out.deferred_array();
        out.bulk_shared(&data);
        out.finish(deferred, 1);
        out.bulk_shared(&Arc::new(b"small".to_vec()));
        assert_eq!(Arc::strong_count(&data), 2);
        let text = String::from_utf8(vec![b'x'; SHARED_BYTES]).expect("ASCII");
        let expected = format!(":1\r\n*1\r\n$8192\r\n{text}\r\n$5\r\nsmall\r\n");
        assert_eq!(waiting(&out), expected.as_bytes());
        // Once sent it is let go of.
        out.consume(4 + 4 + 7 + SHARED_BYTES);
        assert_eq!(Arc::strong_count(&data), 1);
        assert_eq!(waiting(&out), b"\r\n$5\r\nsmall\r\n");
    }

    #[test]
    fn a_long_queue_is_freed_as_it_is_sent() {
        let mut out = Out::new();
        for _ in 0..100 {
            out.bulk(&vec![b'x'; 100_000]);
            out.seal();
        }
        let total = out.len_bytes();
        assert!(out.sealed.len() > 20);
        out.consume(total - 10);
        assert!(out.sealed.is_empty());
        assert_eq!(out.len_bytes(), 10);
        out.consume(10);
        assert!(out.is_empty() && out.tail.bytes.capacity() <= KEPT_BYTES);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Int(i64),
        Shared(usize),
        Deferred(usize),
        Rollback(usize),
        Consume(usize),
        Seal,
        SealLong,
        Append(usize, bool),
        TakeAndAppend,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => any::<i64>().prop_map(Step::Int),
            2 => (SHARED_BYTES - 1..SHARED_BYTES + 9).prop_map(Step::Shared),
            2 => (0usize..20).prop_map(Step::Deferred),
            1 => (0usize..20).prop_map(Step::Rollback),
            3 => (0usize..100_000).prop_map(Step::Consume),
            1 => Just(Step::Seal),
            1 => Just(Step::SealLong),
            1 => (0usize..30_000, any::<bool>()).prop_map(|(len, shared)| Step::Append(len, shared)),
            1 => Just(Step::TakeAndAppend),
        ];
        prop::collection::vec(step, 0..40)
    }

    fn bulk_text(data: &[u8]) -> Vec<u8> {
        [format!("${}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
    }

    /// Writes `n` integers, every third a long shared payload.
    fn some(out: &mut Out, n: usize, data: &Arc<Vec<u8>>) -> Vec<u8> {
        let mut text = Vec::new();
        for i in 0..n {
            if i % 3 == 2 {
                out.bulk_shared(data);
                text.extend(bulk_text(data));
            } else {
                out.int(i as i64);
                text.extend(format!(":{i}\r\n").into_bytes());
            }
        }
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn the_queue_is_the_bytes_written_less_the_bytes_sent(steps in steps()) {
            let data = Arc::new((0..SHARED_BYTES + 5).map(|i| i as u8).collect::<Vec<u8>>());
            let (mut out, mut model) = (Out::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Int(value) => {
                        out.int(value);
                        model.extend(format!(":{value}\r\n").into_bytes());
                    }
                    Step::Shared(len) => {
                        let data = Arc::new(vec![len as u8; len]);
                        out.bulk_shared(&data);
                        model.extend(bulk_text(&data));
                    }
                    Step::Deferred(n) => {
                        let deferred = out.deferred_array();
                        let text = some(&mut out, n, &data);
                        out.finish(deferred, n);
                        model.extend(format!("*{n}\r\n").into_bytes());
                        model.extend(text);
                    }
                    Step::Rollback(n) => {
                        let mark = out.mark();
                        some(&mut out, n, &data);
                        out.rollback(mark);
                    }
                    Step::Consume(n) => {
                        let n = n.min(model.len());
                        out.consume(n);
                        model.drain(..n);
                    }
                    Step::Seal => out.seal_tail(),
                    Step::SealLong => out.seal(),
                    Step::Append(len, shared) => {
                        let mut other = Out::new();
                        let bytes = vec![b'o'; len];
                        other.raw(&bytes);
                        model.extend(bytes);
                        if shared {
                            other.bulk_shared(&data);
                            model.extend(bulk_text(&data));
                            other.consume(3);
                            model.drain(model.len() - len - bulk_text(&data).len()..).take(3).for_each(drop);
                            model.extend(waiting(&other));
                        }
                        out.append(other);
                    }
                    Step::TakeAndAppend => {
                        let taken = out.take();
                        prop_assert!(out.is_empty());
                        out.append(taken);
                    }
                }
                prop_assert!(waiting(&out) == model);
            }
        }
    }
}
