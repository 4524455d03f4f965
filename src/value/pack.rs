//! The compact run that a small collection is kept in.
//! For: lists, sets, hashes and sorted sets below their thresholds. May touch: bytes only.
//! Always: every run here was written here, so it is well-formed; a text that is a canonical integer is
//! kept as one, so two elements are equal exactly when their encoded bytes are.
//!
//! A run is the element count (two bytes, little end first) and then the elements. No bytes at all is a run
//! without elements. The first byte of an element says what it is:
//!
//! | first byte | element |
//! |---|---|
//! | `0xxxxxxx` | integer 0 to 127 |
//! | `10xxxxxx` | text of up to 63 bytes, which follow |
//! | `110xxxxx` | integer of 13 bits, the low eight in the next byte |
//! | `1110xxxx` | text of up to 4,095 bytes, the low eight bits of its length in the next byte |
//! | `F0` | text whose length is in the next four bytes |
//! | `F1` to `F4` | integer of 2, 3, 4 or 8 bytes |

use super::number::{MAX_I64_LEN, digits, parse_i64};
use super::short;

/// Most bytes that a run may have. A collection has to leave the compact form before it passes this.
pub const MAX_BYTES: usize = 1 << 30;

/// Bytes of the element count.
const HEAD: usize = 2;
/// This count and above is not stored: the elements have to be counted.
const UNCOUNTED: u16 = u16::MAX;
/// Longest text whose length fits the first byte.
const SHORT_TEXT: usize = 0x3f;
/// Longest text whose length fits two bytes.
const MIDDLE_TEXT: usize = 0xfff;

const LONG_TEXT: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;

/// Where an element begins in its run, in bytes. Good until the run is changed at or before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct At(usize);

impl At {
    /// In bytes from the start of the run.
    #[inline]
    pub fn byte(self) -> usize {
        self.0
    }
}

/// One element as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A canonical integer.
    Int(i64),
    /// Any other text.
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// Whether the element's text is `text`.
    pub fn eq_bytes(self, text: &[u8]) -> bool {
        match self {
            Item::Int(value) => parse_i64(text) == Some(value),
            Item::Bytes(own) => own == text,
        }
    }

    /// The element's text; an integer's is written into `scratch`.
    pub fn bytes<'s>(self, scratch: &'s mut [u8; MAX_I64_LEN]) -> &'s [u8]
    where
        'a: 's,
    {
        match self {
            Item::Int(value) => digits(value, scratch),
            Item::Bytes(text) => text,
        }
    }

    /// Appends the element's text to `out`.
    pub fn append_to(self, out: &mut Vec<u8>) {
        let mut scratch = [0; MAX_I64_LEN];
        out.extend_from_slice(self.bytes(&mut scratch));
    }

    /// The element's text as bytes of its own.
    pub fn to_vec(self) -> Vec<u8> {
        let mut scratch = [0; MAX_I64_LEN];
        self.bytes(&mut scratch).to_vec()
    }

    /// Bytes of the element's text.
    #[expect(clippy::len_without_is_empty, reason = "an item is a text, not a container")]
    pub fn len(self) -> usize {
        let mut scratch = [0; MAX_I64_LEN];
        self.bytes(&mut scratch).len()
    }

    /// The item as it would be read from a run that `text` is in: an integer when the text is a canonical
    /// one.
    pub fn of(text: &'a [u8]) -> Item<'a> {
        parse_i64(text).map_or(Item::Bytes(text), Item::Int)
    }
}

/// Items are equal when their texts are.
impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Item::Int(one), Item::Int(two)) => one == two,
            (item, Item::Bytes(text)) | (Item::Bytes(text), item) => item.eq_bytes(text),
        }
    }
}

impl Eq for Item<'_> {}

/// An element ready to be written or to be looked for: `head`, then `text`.
#[derive(Clone, Copy)]
pub struct Encoded<'a> {
    head: [u8; 9],
    head_len: u8,
    text: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Encodes a text of less than [`MAX_BYTES`] bytes.
    #[inline]
    pub fn of(text: &'a [u8]) -> Encoded<'a> {
        match text {
            [b'-' | b'0'..=b'9', ..] => Encoded::of_number(text),
            _ => Encoded::text(text),
        }
    }

    /// As [`Self::of`], of what begins like a number.
    fn of_number(text: &'a [u8]) -> Encoded<'a> {
        match parse_i64(text) {
            Some(value) => Encoded::int(value),
            None => Encoded::text(text),
        }
    }

    /// Encodes an element read elsewhere.
    pub fn item(item: Item<'a>) -> Encoded<'a> {
        match item {
            Item::Int(value) => Encoded::int(value),
            Item::Bytes(text) => Encoded::of(text),
        }
    }

    fn int(value: i64) -> Encoded<'a> {
        let low = value.to_le_bytes();
        match value {
            0..=0x7f => Encoded::headed(&low[..1], &[]),
            -0x1000..=0xfff => Encoded::headed(&[0xc0 | (low[1] & 0x1f), low[0]], &[]),
            -0x8000..=0x7fff => Encoded::wide(INT_16, &low[..2]),
            -0x80_0000..=0x7f_ffff => Encoded::wide(INT_24, &low[..3]),
            -0x8000_0000..=0x7fff_ffff => Encoded::wide(INT_32, &low[..4]),
            _ => Encoded::wide(INT_64, &low),
        }
    }

    #[inline]
    fn text(text: &'a [u8]) -> Encoded<'a> {
        debug_assert!(text.len() < MAX_BYTES, "too long for a compact run");
        let low = (text.len() as u32).to_le_bytes();
        if text.len() <= SHORT_TEXT {
            Encoded::headed(&[0x80 | low[0]], text)
        } else if text.len() <= MIDDLE_TEXT {
            Encoded::headed(&[0xe0 | low[1], low[0]], text)
        } else {
            Encoded { text, ..Encoded::wide(LONG_TEXT, &low) }
        }
    }

    #[inline]
    fn headed(bytes: &[u8], text: &'a [u8]) -> Encoded<'a> {
        let mut head = [0; 9];
        head[..bytes.len()].copy_from_slice(bytes);
        Encoded { head, head_len: bytes.len() as u8, text }
    }

    fn wide(kind: u8, bytes: &[u8]) -> Encoded<'a> {
        let mut head = [0; 9];
        head[0] = kind;
        head[1..=bytes.len()].copy_from_slice(bytes);
        Encoded { head, head_len: bytes.len() as u8 + 1, text: &[] }
    }

    fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// Bytes that the element takes in a run.
    #[inline]
    pub fn size(&self) -> usize {
        usize::from(self.head_len) + self.text.len()
    }

    /// Whether the element at the start of `run` is this one.
    #[inline]
    pub fn is_at(&self, run: &[u8]) -> bool {
        run.first() == Some(&self.head[0])
            && run.strip_prefix(self.head()).is_some_and(|rest| rest.starts_with(self.text))
    }

    /// Writes the element into the first [`Self::size`] bytes of `out`.
    #[inline]
    pub fn write(&self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(usize::from(self.head_len));
        if let [head] = head {
            *head = self.head[0];
        } else {
            head.copy_from_slice(self.head());
        }
        short::copy(self.text, rest);
    }

    /// Appends the element to `out`.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.size());
        out.extend_from_slice(self.head());
        out.extend_from_slice(self.text);
    }
}

/// Bytes of the element that begins at `at`.
#[inline(always)]
pub fn size_at(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    if first & 0xc0 == 0x80 { 1 + usize::from(first & 0x3f) } else { other_size_at(bytes, at) }
}

/// Likewise, of one that is not a short text.
fn other_size_at(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 2 + middle_len(bytes, at),
        LONG_TEXT => 5 + long_len(bytes, at),
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        _ => 9,
    }
}

/// Where the element at the start ends, if it is a short text, of which its first byte tells the length.
#[inline(always)]
pub fn short_text_end(bytes: &[u8]) -> Option<usize> {
    let first = bytes[0];
    (first & 0xc0 == 0x80).then_some(1 + usize::from(first & 0x3f))
}

/// The element that begins at `at`, and where it ends.
#[inline(always)]
pub fn decode(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let first = bytes[at];
    if first & 0xc0 == 0x80 {
        let end = at + 1 + usize::from(first & 0x3f);
        return (Item::Bytes(&bytes[at + 1..end]), end);
    }
    decode_other(bytes, at)
}

/// Likewise, of one that is not a short text.
fn decode_other(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let first = bytes[at];
    let end = at + other_size_at(bytes, at);
    let item = match first {
        0..0xc0 => Item::Int(i64::from(first)),
        0xc0..0xe0 => {
            let bits = (u16::from(first & 0x1f) << 8) | u16::from(bytes[at + 1]);
            Item::Int(i64::from((bits << 3) as i16 >> 3))
        }
        0xe0..0xf0 => Item::Bytes(&bytes[at + 2..end]),
        LONG_TEXT => Item::Bytes(&bytes[at + 5..end]),
        _ => Item::Int(signed(&bytes[at + 1..end])),
    };
    (item, end)
}

fn middle_len(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at] & 0x0f) << 8 | usize::from(bytes[at + 1])
}

fn long_len(bytes: &[u8], at: usize) -> usize {
    let mut len = [0; 4];
    len.copy_from_slice(&bytes[at + 1..at + 5]);
    u32::from_le_bytes(len) as usize
}

/// A signed integer of at most eight bytes, little end first.
fn signed(bytes: &[u8]) -> i64 {
    let mut high = [0; 8];
    high[8 - bytes.len()..].copy_from_slice(bytes);
    i64::from_le_bytes(high) >> (64 - 8 * bytes.len())
}

/// What the original's listpack needs for an element, its trailing length included. The thresholds of list
/// nodes are given in these bytes.
pub fn listpack_bytes(element: &[u8]) -> usize {
    listpack_size(Encoded::of(element).size())
}

/// What the original's listpack needs for an element that takes `size` bytes here.
pub fn listpack_size(size: usize) -> usize {
    size + match size {
        0..128 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// A run read from borrowed bytes.
#[derive(Clone, Copy)]
pub struct PackRef<'a>(&'a [u8]);

impl<'a> PackRef<'a> {
    /// Reads a run from the bytes that [`Pack::into_vec`] or [`Self::as_bytes`] gave.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> PackRef<'a> {
        PackRef(bytes)
    }

    /// The run's bytes, count included.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Number of elements. O(1) up to 65,534 elements, then O(N).
    #[inline]
    pub fn len(self) -> usize {
        match stored_count(self.0) {
            UNCOUNTED => self.iter().count(),
            count => usize::from(count),
        }
    }

    /// Whether there are no elements.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.len() <= HEAD
    }

    /// Bytes of the run, the count included.
    #[inline]
    pub fn byte_len(self) -> usize {
        self.0.len()
    }

    /// Where the first element begins, or would.
    #[inline]
    pub fn start(self) -> At {
        At(HEAD.min(self.0.len()))
    }

    /// Behind the last element.
    #[inline]
    pub fn end(self) -> At {
        At(self.0.len())
    }

    /// All elements in order.
    #[inline]
    pub fn iter(self) -> Iter<'a> {
        self.iter_from(self.start())
    }

    /// The elements from `at` on.
    #[inline]
    pub fn iter_from(self, at: At) -> Iter<'a> {
        Iter { bytes: self.0, at: at.0 }
    }

    /// The element at `at`, unless that is the end.
    #[inline]
    pub fn item(self, at: At) -> Option<Item<'a>> {
        (at.0 < self.0.len()).then(|| decode(self.0, at.0).0)
    }

    /// Where the element behind the one at `at` begins; at the end it stays.
    #[inline]
    pub fn after(self, at: At) -> At {
        if at.0 < self.0.len() { At(at.0 + size_at(self.0, at.0)) } else { at }
    }

    /// Where element number `index` begins; [`Self::end`] when there are no more than `index` elements.
    pub fn seek(self, index: usize) -> At {
        let mut at = self.start().0;
        for _ in 0..index {
            if at >= self.0.len() {
                break;
            }
            at += size_at(self.0, at);
        }
        At(at)
    }

    /// Element number `index` and where it is.
    pub fn get(self, index: usize) -> Option<(At, Item<'a>)> {
        let at = self.seek(index);
        self.item(at).map(|item| (at, item))
    }

    /// The first of elements 0, `stride`, twice `stride`, ... whose text is `wanted`: its number (counting
    /// all elements) and where it is. `stride` is at least 1.
    pub fn find(self, wanted: &[u8], stride: usize) -> Option<(usize, At)> {
        self.find_from(self.start(), wanted, stride)
    }

    /// As [`Self::find`], counting from the element at `from`.
    pub fn find_from(self, from: At, wanted: &[u8], stride: usize) -> Option<(usize, At)> {
        let wanted = Encoded::of(wanted);
        // The ends of texts differ more often than their beginnings, and a word is compared without a call.
        let Some(last) = wanted.text.last_chunk::<8>() else {
            return self.find_where(from, stride, |rest| wanted.is_at(rest));
        };
        let (first, before) = (wanted.head[0], wanted.size() - last.len());
        self.find_where(from, stride, |rest| {
            rest.first() == Some(&first)
                && rest.get(before..before + last.len()).is_some_and(|end| end == last)
                && wanted.is_at(rest)
        })
    }

    /// The first of elements `from`, `stride` later, twice `stride` later, ... with which the rest of the run
    /// begins in such a way.
    #[inline(always)]
    fn find_where(self, from: At, stride: usize, is_it: impl Fn(&[u8]) -> bool) -> Option<(usize, At)> {
        let (mut index, mut at) = (0, from.0);
        while at < self.0.len() {
            if is_it(&self.0[at..]) {
                return Some((index, At(at)));
            }
            for _ in 0..stride {
                if at < self.0.len() {
                    at += size_at(self.0, at);
                }
            }
            index += stride;
        }
        None
    }
}

/// Puts `text` in the place of the element at `at` of a run, if that takes the same number of bytes there.
pub fn overwrite(run: &mut [u8], at: At, text: &[u8]) -> bool {
    let element = Encoded::of(text);
    let fits = size_at(run, at.0) == element.size();
    if fits {
        element.write(&mut run[at.0..]);
    }
    fits
}

/// Elements of a run in order, each with where it begins.
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (At, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<(At, Item<'a>)> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let (item, end) = decode(self.bytes, self.at);
        let at = At(std::mem::replace(&mut self.at, end));
        Some((at, item))
    }
}

/// A run that owns its bytes.
#[derive(Clone, Default)]
pub struct Pack(Vec<u8>);

impl Pack {
    /// A run without elements; takes no memory.
    pub const fn new() -> Pack {
        Pack(Vec::new())
    }

    /// Takes over the bytes of a run (as [`Self::into_vec`] gave them) or an empty vector.
    pub fn from_vec(bytes: Vec<u8>) -> Pack {
        debug_assert!(bytes.is_empty() || bytes.len() >= HEAD);
        Pack(bytes)
    }

    /// The run's bytes, the count included.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// The run for reading.
    #[inline]
    pub fn as_ref(&self) -> PackRef<'_> {
        PackRef(&self.0)
    }

    /// Bytes allocated.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Makes room for `bytes` more without another allocation.
    pub fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// Adds an element behind the last.
    pub fn push_back(&mut self, text: &[u8]) {
        self.push_encoded(Encoded::of(text));
    }

    /// Adds an element read elsewhere behind the last.
    pub fn push_item(&mut self, item: Item<'_>) {
        self.push_encoded(Encoded::item(item));
    }

    /// Adds an element in front of the first. O(bytes).
    pub fn push_front(&mut self, text: &[u8]) {
        self.insert(self.as_ref().start(), text);
    }

    fn push_encoded(&mut self, element: Encoded<'_>) {
        self.add_head();
        element.append_to(&mut self.0);
        self.count_more(1);
    }

    /// Puts an element before the one at `at`, which may be the end. Says where the new one ends. O(bytes).
    pub fn insert(&mut self, at: At, text: &[u8]) -> At {
        self.add_head();
        let at = at.0.max(HEAD);
        let element = Encoded::of(text);
        self.resize_at(at, 0, element.size());
        element.write(&mut self.0[at..]);
        self.count_more(1);
        At(at + element.size())
    }

    /// Puts `text` in the place of the element at `at`. Says where it ends. O(bytes).
    pub fn replace(&mut self, at: At, text: &[u8]) -> At {
        let element = Encoded::of(text);
        self.resize_at(at.0, size_at(&self.0, at.0), element.size());
        element.write(&mut self.0[at.0..]);
        At(at.0 + element.size())
    }

    /// Removes up to `count` elements from `at` on; those behind them move there. O(bytes).
    pub fn remove(&mut self, at: At, count: usize) {
        let (mut end, mut removed) = (at.0, 0);
        while removed < count && end < self.0.len() {
            end += size_at(&self.0, end);
            removed += 1;
        }
        if removed == 0 {
            return;
        }
        self.0.drain(at.0..end);
        let left = match stored_count(&self.0) {
            UNCOUNTED => self.as_ref().iter().count(),
            stored => usize::from(stored) - removed,
        };
        self.set_count(left);
    }

    /// Removes all elements and keeps the allocation.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Gives back the memory that the run does not need.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    fn add_head(&mut self) {
        if self.0.is_empty() {
            self.0.extend_from_slice(&[0; HEAD]);
        }
    }

    /// Makes the `old` bytes at `at` into `new` bytes, whose content is not yet right.
    fn resize_at(&mut self, at: usize, old: usize, new: usize) {
        if new == old {
            return;
        }
        let len = self.0.len();
        if new > old {
            self.0.resize(len + (new - old), 0);
        }
        self.0.copy_within(at + old..len, at + new);
        self.0.truncate(len - old + new);
    }

    fn count_more(&mut self, more: u16) {
        let count = stored_count(&self.0).saturating_add(more);
        self.0[..HEAD].copy_from_slice(&count.to_le_bytes());
    }

    fn set_count(&mut self, count: usize) {
        let count = u16::try_from(count).unwrap_or(UNCOUNTED);
        self.0[..HEAD].copy_from_slice(&count.to_le_bytes());
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Pack {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Pack {
        let mut pack = Pack::new();
        for text in texts {
            pack.push_back(text.as_ref());
        }
        pack
    }
}

#[inline]
fn stored_count(bytes: &[u8]) -> u16 {
    match bytes {
        [low, high, ..] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
