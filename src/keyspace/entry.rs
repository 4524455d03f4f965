//! A key with its value and everything the keyspace keeps about it, in one heap block.
//!
//! For: the table, which owns entries, and the guards that read and change them.
//! May touch: its own block only.
//! Always: a block's size follows from its contents (`Shape`), so nothing stores a capacity; a string of at
//! most `INLINE_MAX` bytes lies in the block and a longer one never does; `raw` is never set on an integer.
//!
//! ```text
//!  0      1       2     5                                         deadline_at  value_at
//! +------+-------+-----+------------------+----------------------+------------+---------------+
//! | kind | flags | lru | key length       | key                  | deadline   | value         |
//! |      |       | 24b | LEB128, 1 to 10  |                      | 8, if any  |               |
//! +------+-------+-----+------------------+----------------------+------------+---------------+
//! ```
//!
//! `kind` holds the type in its high and the form of the value in its low half. The value is an `i64`
//! (`Int`), two bytes of length and the bytes (`Bytes`), or an `Arc<Vec<u8>>` at the next multiple of eight
//! (`Shared`); of a collection, its compact run laid out like `Bytes`, or a `Box<Value>` laid out like
//! `Shared`. The key comes before all that is optional, so that comparing keys costs no look at the flags. A
//! key of 16 bytes with a value of 32 and a deadline takes exactly 64.

mod content;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::mem::{ManuallyDrop, size_of};
use std::ptr::{self, NonNull};
use std::sync::Arc;

pub use crate::value::Kind;
use crate::value::collection::{Compact, Value};
use crate::value::short;

/// The longest string kept inside the block, in bytes.
pub const INLINE_MAX: usize = 1024;

/// The largest LRU/LFU field.
pub const LRU_MAX: u32 = (1 << 24) - 1;

/// Under a key of up to `SHORT_KEY` bytes, OBJECT ENCODING says `embstr` while key and value together are at
/// most `EMBEDDED` bytes; a longer key takes `LONG_KEY_COST` of them.
const EMBEDDED: usize = 113;
const SHORT_KEY: usize = 31;
const LONG_KEY_COST: usize = 2;

const KIND_AT: usize = 0;
const FLAGS_AT: usize = 1;
const LRU_AT: usize = 2;
const KEY_LEN_AT: usize = 5;
const DEADLINE_BYTES: usize = 8;
const LEN_BYTES: usize = 2;
const BLOCK_ALIGN: usize = 8;

/// How the value lies in the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Form {
    Int,
    Bytes,
    Shared,
    /// A compact collection: laid out like `Bytes`.
    Pack,
    /// Likewise.
    Ints,
    /// A collection in a box: laid out like `Shared`.
    Boxed,
}

impl Form {
    /// Whether the value is a pointer, at a multiple of eight.
    fn is_pointer(self) -> bool {
        matches!(self, Form::Shared | Form::Boxed)
    }
}

/// A value to be stored. The length of a string decides whether it lies in the block, not the variant.
pub enum NewValue<'a> {
    /// A number, kept as such.
    Int(i64),
    /// Bytes to copy.
    Bytes(&'a [u8]),
    /// Bytes to take over without a copy if they are too long for the block.
    Shared(Arc<Vec<u8>>),
    /// A collection of that type in its compact form, at most `INLINE_MAX` bytes.
    Compact(Kind, Compact, &'a [u8]),
    /// A collection in a box.
    Boxed(Box<Value>),
}

/// A string as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueRef<'a> {
    /// A number.
    Int(i64),
    /// At most `INLINE_MAX` bytes.
    Bytes(&'a [u8]),
    /// More than `INLINE_MAX` bytes.
    Shared(&'a Arc<Vec<u8>>),
}

const DEADLINE: u8 = 1 << 0;
const RAW: u8 = 1 << 1;
const FILED: u8 = 1 << 2;
const WATCHED: u8 = 1 << 3;
const TRACKED: u8 = 1 << 4;
const SNAPSHOT: u8 = 1 << 5;
const FIELDS: u8 = 1 << 6;

/// Where the parts of a block lie; everything its size depends on.
#[derive(Clone, Copy)]
struct Shape {
    key_end: usize,
    has_deadline: bool,
    form: Form,
    /// Bytes of the value part, the length of `Bytes` included.
    value_bytes: usize,
}

impl Shape {
    fn value_at(self) -> usize {
        let at = self.key_end + if self.has_deadline { DEADLINE_BYTES } else { 0 };
        if self.form.is_pointer() { (at + BLOCK_ALIGN - 1) & !(BLOCK_ALIGN - 1) } else { at }
    }

    /// Bytes to allocate: what is needed, rounded up to the size class general allocators would hand out
    /// anyway (sixteenths up to 128, then four steps per doubling). The room that leaves is what lets a value
    /// change in place.
    fn block_bytes(self) -> usize {
        let needed = self.value_at() + self.value_bytes;
        match needed {
            0..=128 => needed.next_multiple_of(16),
            129..=8192 => needed.next_multiple_of(needed.next_power_of_two() / 8),
            _ => needed.next_multiple_of(16),
        }
    }

    /// Whether a block of this shape is as long as one with another value.
    #[inline]
    fn has_room_for(self, form: Form, value_bytes: usize) -> bool {
        value_bytes == self.value_bytes && form.is_pointer() == self.form.is_pointer()
            || Shape { form, value_bytes, ..self }.block_bytes() == self.block_bytes()
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.block_bytes(), BLOCK_ALIGN)
            .expect("a key in memory is far below isize::MAX")
    }
}

/// Owner of one block.
#[repr(transparent)]
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its block, and what the block owns (an `Arc<Vec<u8>>` or a `Box<Value>`) is `Send`
// and `Sync`.
unsafe impl Send for Entry {}
// SAFETY: nothing reachable through `&Entry` changes the block.
unsafe impl Sync for Entry {}

impl Entry {
    /// An entry with LRU 0 and no flag set. `deadline_ms` is Unix time in milliseconds.
    pub fn new(key: &[u8], value: NewValue<'_>, deadline_ms: Option<u64>) -> Entry {
        canonical(value, |value| {
            let (kind, form, value_bytes) = measure(&value);
            let key_end = KEY_LEN_AT + varint_bytes(key.len()) + key.len();
            let shape = Shape { key_end, has_deadline: deadline_ms.is_some(), form, value_bytes };
            let mut entry = Entry(allocate(shape));
            let head = [kind_byte(kind, form), if deadline_ms.is_some() { DEADLINE } else { 0 }, 0, 0, 0];
            // SAFETY: the block is `shape.block_bytes()` long, which covers head, key and value of this
            // shape.
            unsafe {
                let block = entry.0.as_ptr();
                ptr::copy_nonoverlapping(head.as_ptr(), block, head.len());
                let key_at = write_varint(block, KEY_LEN_AT, key.len());
                ptr::copy_nonoverlapping(key.as_ptr(), block.add(key_at), key.len());
                if let Some(deadline_ms) = deadline_ms {
                    entry.write_deadline(shape, deadline_ms);
                }
                entry.write_value(shape, value);
            }
            entry
        })
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let (at, len) = self.key_span();
        // SAFETY: the span was written together with the key and lies in the block, which lives as long as
        // `self`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    /// Whether this is the entry of `key`, if that has 1 to 32 bytes; false for any other. The ends of such
    /// a key, which together are all of it, are compared without a call.
    #[inline(always)]
    pub fn has_short_key(&self, key: &[u8]) -> bool {
        #[inline(always)]
        fn ends<const N: usize>(one: &[u8], other: &[u8]) -> bool {
            let last = one.len() - N;
            one[..N] == other[..N] && one[last..] == other[last..]
        }
        // A length below 128 is one byte.
        let len = usize::from(self.byte(KEY_LEN_AT));
        len == key.len()
            && match len {
                8..=16 => ends::<8>(self.key(), key),
                17..=32 => ends::<16>(self.key(), key),
                4..8 => ends::<4>(self.key(), key),
                2..4 => ends::<2>(self.key(), key),
                1 => ends::<1>(self.key(), key),
                _ => false,
            }
    }

    /// The type of the value.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.byte(KIND_AT) >> 4 {
            0 => Kind::String,
            1 => Kind::List,
            2 => Kind::Set,
            3 => Kind::ZSet,
            4 => Kind::Hash,
            _ => Kind::Stream,
        }
    }

    /// The value of a string.
    ///
    /// # Panics
    /// When it is a collection: whoever asks has looked at [`Entry::kind`].
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        let place = self.place();
        // SAFETY: `place` gives the offset at which a value of this form was written; `Shared` lies at a
        // multiple of eight in a block aligned to eight, and is borrowed no longer than `self`.
        unsafe {
            let at = || self.0.as_ptr().add(place.value_at());
            match place.form {
                Form::Int => ValueRef::Int(at().cast::<i64>().read_unaligned()),
                Form::Bytes => {
                    let len = at().cast::<u16>().read_unaligned() as usize;
                    ValueRef::Bytes(std::slice::from_raw_parts(at().add(LEN_BYTES), len))
                }
                Form::Shared => ValueRef::Shared(&*at().cast::<Arc<Vec<u8>>>()),
                Form::Pack | Form::Ints | Form::Boxed => not_a_string(),
            }
        }
    }

    /// Whether the string was edited in place since it was last set: OBJECT ENCODING says `raw` for it.
    pub fn is_raw(&self) -> bool {
        self.has(RAW)
    }

    /// Whether the value is short enough for OBJECT ENCODING to call it `embstr`, `taken` bytes being used
    /// otherwise.
    pub fn is_embeddable(&self, taken: usize) -> bool {
        let key = self.key().len();
        let cost = taken + if key <= SHORT_KEY { 0 } else { LONG_KEY_COST };
        match self.value() {
            ValueRef::Int(_) => true,
            ValueRef::Bytes(bytes) => key + bytes.len() + cost <= EMBEDDED,
            ValueRef::Shared(_) => false,
        }
    }

    /// Says whether OBJECT ENCODING calls this string `raw`; an integer never is.
    pub fn set_raw(&mut self, raw: bool) {
        let raw = raw && self.form() != Form::Int;
        self.put(RAW, raw);
    }

    /// When the key is due, Unix time in milliseconds.
    #[inline]
    pub fn deadline_ms(&self) -> Option<u64> {
        if !self.has(DEADLINE) {
            return None;
        }
        let (at, len) = self.key_span();
        // SAFETY: with the flag set, eight bytes of deadline follow the key.
        Some(unsafe { self.0.as_ptr().add(at + len).cast::<u64>().read_unaligned() })
    }

    /// The LRU clock or LFU counter, 24 bits.
    #[inline]
    pub fn lru(&self) -> u32 {
        u32::from_le_bytes([self.byte(LRU_AT), self.byte(LRU_AT + 1), self.byte(LRU_AT + 2), 0])
    }

    /// Stores the low 24 bits of `lru`.
    #[inline]
    pub fn set_lru(&mut self, lru: u32) {
        let bytes = lru.to_le_bytes();
        // SAFETY: every block begins with the five bytes of the head.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(LRU_AT), 3) };
    }

    /// Whether the timing wheel holds an item for this key.
    #[inline]
    pub fn is_filed(&self) -> bool {
        self.has(FILED)
    }

    /// Notes whether the timing wheel holds an item for this key.
    pub fn set_filed(&mut self, filed: bool) {
        self.put(FILED, filed);
    }

    /// Whether some client watches this key.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.has(WATCHED)
    }

    /// Notes whether some client watches this key.
    pub fn set_watched(&mut self, watched: bool) {
        self.put(WATCHED, watched);
    }

    /// Whether some client caches this key and wants invalidations.
    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.has(TRACKED)
    }

    /// Notes whether some client caches this key.
    pub fn set_tracked(&mut self, tracked: bool) {
        self.put(TRACKED, tracked);
    }

    /// The bit a running snapshot keeps here.
    #[inline]
    pub fn snapshot_bit(&self) -> bool {
        self.has(SNAPSHOT)
    }

    /// Sets the bit a running snapshot keeps here.
    pub fn set_snapshot_bit(&mut self, bit: bool) {
        self.put(SNAPSHOT, bit);
    }

    /// Heap bytes of the block and of what it owns. A vector shared with others is counted in full.
    pub fn block_bytes(&self) -> usize {
        let own = self.shape().block_bytes();
        if let Some(collection) = self.collection() {
            return own + collection.heap_bytes();
        }
        match self.value() {
            // The vector's header lies behind the two counters of the `Arc`.
            ValueRef::Shared(bytes) => own + 2 * size_of::<usize>() + size_of::<Vec<u8>>() + bytes.capacity(),
            ValueRef::Int(_) | ValueRef::Bytes(_) => own,
        }
    }

    /// Replaces the value, whatever its type, by one that counts as not edited and has no deadlines in it;
    /// key, deadline, LRU and the other flags stay. The block stays too if the new value needs one of the
    /// same size.
    pub fn set_value(&mut self, value: NewValue<'_>) {
        canonical(value, |value| {
            let old = self.shape();
            let (kind, form, value_bytes) = measure(&value);
            let new = Shape { form, value_bytes, ..old };
            let fresh = (new.block_bytes() != old.block_bytes()).then(|| allocate(new));
            // SAFETY: the old value is dropped once and overwritten or left behind in a block that is freed
            // without it; head, key and deadline are `value_at` of a form without padding long in both
            // shapes.
            unsafe {
                self.drop_value();
                if let Some(fresh) = fresh {
                    let kept = old.key_end + if old.has_deadline { DEADLINE_BYTES } else { 0 };
                    ptr::copy_nonoverlapping(self.0.as_ptr(), fresh.as_ptr(), kept);
                    dealloc(self.0.as_ptr(), old.layout());
                    self.0 = fresh;
                }
                self.0.as_ptr().add(KIND_AT).write(kind_byte(kind, form));
                self.write_value(new, value);
            }
            self.put(RAW | FIELDS, false);
        });
    }

    /// Replaces a string by another where it lies, if that is all there is to do: the key has no deadline,
    /// the block has the right size, and both lie in it. Otherwise nothing is done, and the value comes back.
    /// The string counts as not edited.
    #[inline]
    pub fn replace_string<'v>(&mut self, value: NewValue<'v>) -> Result<(), NewValue<'v>> {
        const INT: u8 = kind_byte(Kind::String, Form::Int);
        const BYTES: u8 = kind_byte(Kind::String, Form::Bytes);
        let kind = self.byte(KIND_AT);
        if !matches!(kind, INT | BYTES) || self.has(DEADLINE) {
            return Err(value);
        }
        let old = self.shape();
        // SAFETY: without a deadline the value begins behind the key; the block has the size of the new
        // shape, which is that of the value, and the old value owns nothing.
        unsafe {
            let at = self.0.as_ptr().add(old.key_end);
            match value {
                NewValue::Int(number) if old.has_room_for(Form::Int, size_of::<i64>()) => {
                    self.0.as_ptr().add(KIND_AT).write(INT);
                    at.cast::<i64>().write_unaligned(number);
                }
                NewValue::Bytes(bytes)
                    if bytes.len() <= INLINE_MAX
                        && old.has_room_for(Form::Bytes, LEN_BYTES + bytes.len()) =>
                {
                    self.0.as_ptr().add(KIND_AT).write(BYTES);
                    at.cast::<u16>().write_unaligned(bytes.len() as u16);
                    short::copy(bytes, std::slice::from_raw_parts_mut(at.add(LEN_BYTES), bytes.len()));
                }
                value => return Err(value),
            }
        }
        // Neither of the two forms owns anything.
        std::mem::forget(value);
        self.put(RAW, false);
        Ok(())
    }

    /// Replaces an integer by another where it lies; false, and nothing is done, when the value is none.
    #[inline]
    pub fn replace_int(&mut self, number: i64) -> bool {
        self.change_int(|_| Some(number)).is_some()
    }

    /// Changes an integer where it lies to what `change` makes of it. `None`, and nothing is done, when the
    /// value is none or that makes nothing of it.
    #[inline]
    pub fn change_int(&mut self, change: impl FnOnce(i64) -> Option<i64>) -> Option<i64> {
        let place = self.place();
        if place.form != Form::Int {
            return None;
        }
        // SAFETY: with this form eight bytes of integer lie at `value_at`, inside the block.
        let at = unsafe { self.0.as_ptr().add(place.value_at()).cast::<i64>() };
        // SAFETY: as above; `self` is borrowed exclusively.
        let new = change(unsafe { at.read_unaligned() })?;
        // SAFETY: as above.
        unsafe { at.write_unaligned(new) };
        Some(new)
    }

    /// Sets or takes away the deadline, Unix time in milliseconds.
    pub fn set_deadline(&mut self, deadline_ms: Option<u64>) {
        let old = self.shape();
        let new = Shape { has_deadline: deadline_ms.is_some(), ..old };
        // SAFETY: `old` describes the block. The value part is moved bitwise, so a `Shared` changes its
        // place, not its owner; `ptr::copy` allows the two places to overlap, and the deadline is written
        // after the value has moved.
        unsafe {
            let from = self.0.as_ptr();
            if new.block_bytes() == old.block_bytes() {
                ptr::copy(from.add(old.value_at()), from.add(new.value_at()), old.value_bytes);
            } else {
                let fresh = allocate(new);
                ptr::copy_nonoverlapping(from, fresh.as_ptr(), old.key_end);
                let to = fresh.as_ptr().add(new.value_at());
                ptr::copy_nonoverlapping(from.add(old.value_at()), to, old.value_bytes);
                dealloc(from, old.layout());
                self.0 = fresh;
            }
            if let Some(deadline_ms) = deadline_ms {
                self.write_deadline(new, deadline_ms);
            }
        }
        self.put(DEADLINE, deadline_ms.is_some());
    }

    /// Lets `edit` change the string as a vector (an integer becomes its decimal digits first) and marks it
    /// raw.
    pub fn edit_bytes<R>(&mut self, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut digits = itoa::Buffer::new();
        let mut bytes = match self.value() {
            ValueRef::Int(number) => digits.format(number).as_bytes().to_vec(),
            ValueRef::Bytes(bytes) => bytes.to_vec(),
            ValueRef::Shared(_) => return self.edit_shared(edit),
        };
        let result = edit(&mut bytes);
        if bytes.len() > INLINE_MAX {
            self.set_value(NewValue::Shared(Arc::new(bytes)));
        } else {
            self.set_value(NewValue::Bytes(&bytes));
        }
        self.put(RAW, true);
        result
    }

    fn edit_shared<R>(&mut self, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let shared = self.shared_mut().expect("the caller saw the shared form");
        let bytes = Arc::make_mut(shared);
        let result = edit(bytes);
        if bytes.len() <= INLINE_MAX {
            let short = std::mem::take(bytes);
            self.set_value(NewValue::Bytes(&short));
        }
        self.put(RAW, true);
        result
    }

    /// The string's bytes, to be changed without changing their number; marks it raw. `None` for an integer.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let shape = self.shape();
        if shape.form == Form::Int {
            return None;
        }
        self.put(RAW, true);
        if shape.form == Form::Shared {
            return self.shared_mut().map(|shared| Arc::make_mut(shared).as_mut_slice());
        }
        // SAFETY: the block has this shape, which is that of a string in the block.
        Some(unsafe { self.inline_mut(shape) })
    }

    /// The bytes of a value that lies in the block.
    ///
    /// # Safety
    /// The block must have the given shape, of the form `Bytes`, `Pack` or `Ints`.
    unsafe fn inline_mut(&mut self, shape: Shape) -> &mut [u8] {
        // SAFETY: with these forms a value is its length followed by that many bytes; `self` is borrowed for
        // as long as the slice.
        unsafe {
            let at = self.0.as_ptr().add(shape.value_at() + LEN_BYTES);
            std::slice::from_raw_parts_mut(at, shape.value_bytes - LEN_BYTES)
        }
    }

    fn shared_mut(&mut self) -> Option<&mut Arc<Vec<u8>>> {
        let place = self.place();
        // SAFETY: with this form an initialized, aligned `Arc` lies at `value_at`; `self` is borrowed
        // exclusively.
        (place.form == Form::Shared).then(|| unsafe { &mut *self.0.as_ptr().add(place.value_at()).cast() })
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        debug_assert!(at <= KEY_LEN_AT);
        // SAFETY: every block has the head and at least one byte of key length.
        unsafe { self.0.as_ptr().add(at).read() }
    }

    #[inline]
    fn has(&self, flag: u8) -> bool {
        self.byte(FLAGS_AT) & flag != 0
    }

    #[inline]
    fn put(&mut self, flag: u8, on: bool) {
        let flags = self.byte(FLAGS_AT) & !flag | if on { flag } else { 0 };
        // SAFETY: every block begins with the five bytes of the head.
        unsafe { self.0.as_ptr().add(FLAGS_AT).write(flags) };
    }

    #[inline]
    fn form(&self) -> Form {
        match self.byte(KIND_AT) & 15 {
            0 => Form::Int,
            1 => Form::Bytes,
            2 => Form::Shared,
            3 => Form::Pack,
            4 => Form::Ints,
            _ => Form::Boxed,
        }
    }

    /// Offset and length of the key.
    #[inline]
    fn key_span(&self) -> (usize, usize) {
        let first = self.byte(KEY_LEN_AT);
        if first < 0x80 { (KEY_LEN_AT + 1, first as usize) } else { self.long_key_span() }
    }

    #[cold]
    fn long_key_span(&self) -> (usize, usize) {
        let (mut at, mut len, mut shift) = (KEY_LEN_AT, 0, 0);
        loop {
            // SAFETY: the length was written as LEB128, so its last byte, below 0x80, ends the loop inside
            // the block.
            let byte = unsafe { self.0.as_ptr().add(at).read() };
            len |= ((byte & 0x7f) as usize) << shift;
            at += 1;
            shift += 7;
            if byte < 0x80 {
                return (at, len);
            }
        }
    }

    /// The shape without the value's length, enough to find the value.
    #[inline]
    fn place(&self) -> Shape {
        let (at, len) = self.key_span();
        Shape { key_end: at + len, has_deadline: self.has(DEADLINE), form: self.form(), value_bytes: 0 }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let place = self.place();
        let value_bytes = match place.form {
            Form::Int => size_of::<i64>(),
            Form::Shared | Form::Boxed => size_of::<usize>(),
            Form::Bytes | Form::Pack | Form::Ints => {
                // SAFETY: `Bytes` begins with its length.
                LEN_BYTES
                    + unsafe { self.0.as_ptr().add(place.value_at()).cast::<u16>().read_unaligned() } as usize
            }
        };
        Shape { value_bytes, ..place }
    }

    /// # Safety
    /// The block must have the given shape, with a deadline.
    unsafe fn write_deadline(&mut self, shape: Shape, deadline_ms: u64) {
        debug_assert!(shape.has_deadline);
        // SAFETY: the shape has eight bytes behind the key for this.
        unsafe { self.0.as_ptr().add(shape.key_end).cast::<u64>().write_unaligned(deadline_ms) };
    }

    /// Writes over whatever lies in the value part without dropping it.
    ///
    /// # Safety
    /// The block must have the given shape, and the shape must be that of `value`.
    unsafe fn write_value(&mut self, shape: Shape, value: NewValue<'_>) {
        debug_assert_eq!((shape.form, shape.value_bytes), (measure(&value).1, measure(&value).2));
        // SAFETY: the shape has `value_bytes` at `value_at`, a multiple of eight for `Shared`; the bytes to
        // copy are borrowed from outside the block, which is borrowed exclusively.
        unsafe {
            let at = self.0.as_ptr().add(shape.value_at());
            match value {
                NewValue::Int(number) => at.cast::<i64>().write_unaligned(number),
                NewValue::Bytes(bytes) | NewValue::Compact(_, _, bytes) => {
                    at.cast::<u16>().write_unaligned(bytes.len() as u16);
                    ptr::copy_nonoverlapping(bytes.as_ptr(), at.add(LEN_BYTES), bytes.len());
                }
                NewValue::Shared(bytes) => at.cast::<Arc<Vec<u8>>>().write(bytes),
                NewValue::Boxed(value) => at.cast::<Box<Value>>().write(value),
            }
        }
    }

    /// # Safety
    /// The value must not be used or dropped again.
    unsafe fn drop_value(&mut self) {
        if let Some(shared) = self.shared_mut() {
            // SAFETY: the caller takes care that this is the only drop.
            unsafe { ptr::drop_in_place(shared) };
        } else if self.form() == Form::Boxed {
            let at = self.place().value_at();
            // SAFETY: likewise; with this form an initialized `Box` lies at `value_at`.
            unsafe { ptr::drop_in_place(self.0.as_ptr().add(at).cast::<Box<Value>>()) };
        }
    }

    /// Gives the block away as a pointer that `from_raw` takes back.
    pub(super) fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// `block` must come from `into_raw`, and ownership must pass with it.
    pub(super) unsafe fn from_raw(block: NonNull<u8>) -> Entry {
        Entry(block)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout = self.shape().layout();
        // SAFETY: the value and then the block are released once, by their owner; the layout follows from the
        // shape with which the block was allocated or into which it was changed at equal size.
        unsafe {
            self.drop_value();
            dealloc(self.0.as_ptr(), layout);
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entry = f.debug_struct("Entry");
        entry.field("key", &self.key().escape_ascii().to_string()).field("kind", &self.kind());
        if self.kind() == Kind::String {
            entry.field("value", &self.value());
        }
        entry.field("deadline_ms", &self.deadline_ms()).finish_non_exhaustive()
    }
}

/// Calls `store` with the value in the variant that its length demands.
fn canonical<R>(value: NewValue<'_>, store: impl FnOnce(NewValue<'_>) -> R) -> R {
    match value {
        NewValue::Bytes(bytes) if bytes.len() > INLINE_MAX => {
            store(NewValue::Shared(Arc::new(bytes.to_vec())))
        }
        NewValue::Shared(bytes) if bytes.len() <= INLINE_MAX => store(NewValue::Bytes(&bytes)),
        value => store(value),
    }
}

/// Type, form and bytes of the value part for a canonical value.
fn measure(value: &NewValue<'_>) -> (Kind, Form, usize) {
    match value {
        NewValue::Int(_) => (Kind::String, Form::Int, size_of::<i64>()),
        NewValue::Bytes(bytes) => {
            debug_assert!(bytes.len() <= INLINE_MAX);
            (Kind::String, Form::Bytes, LEN_BYTES + bytes.len())
        }
        NewValue::Shared(_) => (Kind::String, Form::Shared, size_of::<Arc<Vec<u8>>>()),
        NewValue::Compact(kind, form, bytes) => {
            assert!(bytes.len() <= INLINE_MAX, "a longer run lies in a box");
            let form = if *form == Compact::Pack { Form::Pack } else { Form::Ints };
            (*kind, form, LEN_BYTES + bytes.len())
        }
        NewValue::Boxed(value) => (value.kind(), Form::Boxed, size_of::<Box<Value>>()),
    }
}

#[cold]
fn not_a_string() -> ! {
    panic!("a collection was taken for a string");
}

const fn kind_byte(kind: Kind, form: Form) -> u8 {
    (kind as u8) << 4 | form as u8
}

fn allocate(shape: Shape) -> NonNull<u8> {
    let layout = shape.layout();
    // SAFETY: a block is never empty.
    let block = unsafe { alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

fn varint_bytes(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Writes `value` as LEB128 and returns the offset behind it.
///
/// # Safety
/// `block` must have `varint_bytes(value)` bytes from `at` on.
unsafe fn write_varint(block: *mut u8, mut at: usize, mut value: usize) -> usize {
    loop {
        let more = value >= 0x80;
        // SAFETY: as many rounds as `varint_bytes` counts.
        unsafe { block.add(at).write(value as u8 & 0x7f | if more { 0x80 } else { 0 }) };
        at += 1;
        value >>= 7;
        if !more {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(entry: &Entry) -> Vec<u8> {
        match entry.value() {
            ValueRef::Int(number) => number.to_string().into_bytes(),
            ValueRef::Bytes(bytes) => bytes.to_vec(),
            ValueRef::Shared(bytes) => bytes.to_vec(),
        }
    }

    #[test]
    fn a_small_key_and_value_fit_64_bytes_with_and_without_a_deadline() {
        for deadline in [None, Some(u64::MAX)] {
            let entry = Entry::new(&[b'k'; 16], NewValue::Bytes(&[b'v'; 32]), deadline);
            assert_eq!(entry.block_bytes(), 64);
            assert_eq!((entry.key(), entry.deadline_ms()), (&[b'k'; 16][..], deadline));
        }
        assert_eq!(Entry::new(&[b'k'; 16], NewValue::Int(1), None).block_bytes(), 32);
    }

    #[test]
    fn empty_keys_and_values_and_keys_with_long_lengths_are_kept() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let key = vec![b'x'; len];
            let mut entry = Entry::new(&key, NewValue::Bytes(b""), Some(5));
            assert_eq!((entry.key(), entry.value()), (&key[..], ValueRef::Bytes(b"")));
            entry.set_value(NewValue::Int(-1));
            assert_eq!((entry.key(), entry.value()), (&key[..], ValueRef::Int(-1)));
            assert_eq!(entry.deadline_ms(), Some(5));
        }
    }

    #[test]
    fn length_decides_between_block_and_shared_vector() {
        let (short, long) = (vec![1; INLINE_MAX], vec![2; INLINE_MAX + 1]);
        for (value, shared) in [(&short, false), (&long, true)] {
            for new in [NewValue::Bytes(value), NewValue::Shared(Arc::new(value.clone()))] {
                let entry = Entry::new(b"k", new, None);
                assert_eq!(matches!(entry.value(), ValueRef::Shared(_)), shared);
                assert_eq!(&bytes_of(&entry), value);
            }
        }
    }

    #[test]
    fn a_shared_vector_is_released_with_the_entry_or_its_replacement() {
        let long = Arc::new(vec![7; 5000]);
        let mut entry = Entry::new(b"k", NewValue::Shared(long.clone()), None);
        entry.set_deadline(Some(1));
        assert_eq!(Arc::strong_count(&long), 2);
        entry.set_value(NewValue::Int(1));
        assert_eq!(Arc::strong_count(&long), 1);
        entry.set_value(NewValue::Shared(long.clone()));
        drop(entry);
        assert_eq!(Arc::strong_count(&long), 1);
    }

    #[test]
    fn editing_a_shared_vector_leaves_other_holders_alone() {
        let long = Arc::new(vec![7; 2000]);
        let mut entry = Entry::new(b"k", NewValue::Shared(long.clone()), None);
        entry.edit_bytes(|bytes| bytes.push(8));
        entry.bytes_mut().unwrap()[0] = 9;
        assert!(long.iter().all(|&b| b == 7) && long.len() == 2000);
        assert_eq!((bytes_of(&entry)[0], bytes_of(&entry)[2000]), (9, 8));
    }

    #[test]
    fn flags_and_lru_do_not_disturb_each_other() {
        let mut entry = Entry::new(b"k", NewValue::Bytes(b"v"), None);
        entry.set_lru(LRU_MAX);
        entry.set_filed(true);
        entry.set_tracked(true);
        entry.set_deadline(Some(3));
        entry.set_watched(true);
        entry.set_snapshot_bit(true);
        entry.set_tracked(false);
        entry.set_value(NewValue::Bytes(&[1; 500]));
        assert!(entry.is_filed() && entry.is_watched() && entry.snapshot_bit() && !entry.is_tracked());
        assert_eq!((entry.lru(), entry.deadline_ms(), entry.kind()), (LRU_MAX, Some(3), Kind::String));
    }

    #[test]
    fn an_integer_is_replaced_where_it_lies_and_nothing_else_is() {
        let mut entry = Entry::new(b"key", NewValue::Int(7), Some(9));
        entry.set_lru(5);
        let block = entry.key().as_ptr();
        assert!(entry.replace_int(i64::MIN));
        assert_eq!((entry.value(), entry.deadline_ms(), entry.lru()), (ValueRef::Int(i64::MIN), Some(9), 5));
        assert_eq!((entry.key(), entry.key().as_ptr()), (&b"key"[..], block));
        entry.set_value(NewValue::Bytes(b"12345678"));
        assert!(!entry.replace_int(1));
        assert_eq!(entry.value(), ValueRef::Bytes(b"12345678"));
    }

    #[test]
    fn a_short_key_is_known_by_its_bytes_and_its_length() {
        let text: Vec<u8> = (0..=200).collect();
        for len in 0..text.len() {
            let entry = Entry::new(&text[..len], NewValue::Int(7), None);
            assert_eq!(entry.has_short_key(&text[..len]), (1..=32).contains(&len));
            assert!(!entry.has_short_key(&text[..len + 1]));
            for changed in 0..len {
                let mut other = text[..len].to_vec();
                other[changed] ^= 0x10;
                assert!(!entry.has_short_key(&other), "{len} {changed}");
            }
        }
    }

    #[test]
    fn a_string_is_replaced_where_it_lies_if_its_block_stays() {
        let mut entry = Entry::new(b"key", NewValue::Bytes(&[b'x'; 40]), None);
        entry.set_raw(true);
        let block = entry.key().as_ptr();
        assert!(entry.replace_string(NewValue::Bytes(&[b'y'; 44])).is_ok());
        assert_eq!((entry.value(), entry.is_raw()), (ValueRef::Bytes(&[b'y'; 44]), false));
        assert_eq!((entry.key(), entry.key().as_ptr()), (&b"key"[..], block));
        let refused = |entry: &mut Entry, value| entry.replace_string(value).is_err();
        assert!(refused(&mut entry, NewValue::Bytes(&[b'z'; 400])));
        assert!(refused(&mut entry, NewValue::Int(1)));
        assert!(refused(&mut entry, NewValue::Bytes(&[b'z'; INLINE_MAX + 1])));
        assert!(refused(&mut entry, NewValue::Shared(Arc::new(vec![b'z'; 44]))));
        entry.set_deadline(Some(9));
        assert!(refused(&mut entry, NewValue::Bytes(&[b'z'; 44])));
        assert_eq!((entry.value(), entry.deadline_ms()), (ValueRef::Bytes(&[b'y'; 44]), Some(9)));
    }

    #[test]
    fn raw_sticks_until_the_value_is_set_anew() {
        let mut entry = Entry::new(b"k", NewValue::Int(12), None);
        entry.set_raw(true);
        assert!(!entry.is_raw());
        assert!(entry.bytes_mut().is_none());
        entry.edit_bytes(|bytes| bytes.push(b'3'));
        assert!(entry.is_raw());
        assert_eq!(entry.value(), ValueRef::Bytes(b"123"));
        entry.set_value(NewValue::Bytes(b"x"));
        assert!(!entry.is_raw());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Int(i64),
        Bytes(Vec<u8>),
        Replace(Result<i64, Vec<u8>>),
        Deadline(Option<u64>),
        Append(Vec<u8>),
        Truncate(usize),
        Flip,
    }

    fn steps() -> impl Strategy<Value = Step> {
        let bytes = || {
            let len = prop_oneof![0usize..80, 900usize..1200, 2000usize..3000];
            (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len])
        };
        prop_oneof![
            any::<i64>().prop_map(Step::Int),
            bytes().prop_map(Step::Bytes),
            any::<i64>().prop_map(|number| Step::Replace(Ok(number))),
            (0usize..80).prop_map(|len| Step::Replace(Err(vec![len as u8; len]))),
            any::<Option<u64>>().prop_map(Step::Deadline),
            bytes().prop_map(Step::Append),
            (0usize..1500).prop_map(Step::Truncate),
            Just(Step::Flip),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn an_entry_behaves_like_its_parts(key in prop::collection::vec(any::<u8>(), 0..200),
                                           steps in prop::collection::vec(steps(), 0..40)) {
            let mut entry = Entry::new(&key, NewValue::Bytes(b"start"), None);
            let (mut value, mut deadline) = (b"start".to_vec(), None);
            for step in steps {
                match step {
                    Step::Int(number) => {
                        entry.set_value(NewValue::Int(number));
                        value = number.to_string().into_bytes();
                    }
                    Step::Bytes(bytes) => {
                        entry.set_value(NewValue::Bytes(&bytes));
                        value = bytes;
                    }
                    Step::Replace(with) => {
                        let (new, text) = match &with {
                            Ok(number) => (NewValue::Int(*number), number.to_string().into_bytes()),
                            Err(bytes) => (NewValue::Bytes(bytes), bytes.clone()),
                        };
                        if entry.replace_string(new).is_ok() {
                            prop_assert!(deadline.is_none() && !entry.is_raw());
                            value = text;
                        }
                    }
                    Step::Deadline(ms) => {
                        entry.set_deadline(ms);
                        deadline = ms;
                    }
                    Step::Append(bytes) => {
                        entry.edit_bytes(|old| old.extend_from_slice(&bytes));
                        value.extend_from_slice(&bytes);
                    }
                    Step::Truncate(len) => {
                        entry.edit_bytes(|old| old.truncate(len));
                        value.truncate(len);
                    }
                    Step::Flip => {
                        if let Some(bytes) = entry.bytes_mut() {
                            bytes.iter_mut().for_each(|b| *b ^= 1);
                            value.iter_mut().for_each(|b| *b ^= 1);
                        }
                    }
                }
                prop_assert_eq!(entry.key(), &key[..]);
                prop_assert_eq!(bytes_of(&entry), &value[..]);
                prop_assert_eq!(entry.deadline_ms(), deadline);
                let shared = matches!(entry.value(), ValueRef::Shared(_));
                prop_assert_eq!(shared, value.len() > INLINE_MAX);
            }
        }
    }
}
