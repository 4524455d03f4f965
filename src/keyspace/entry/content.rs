//! Collections in entries, and whole values on their way from one entry to another.
//!
//! For: what an entry holds that is no string. May touch: its own block only.
//! Always: a box is owned by one block; fields with deadlines are marked in the flags.

use std::alloc::dealloc;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;

use super::{
    DEADLINE, Entry, FIELDS, FLAGS_AT, Form, KIND_AT, LEN_BYTES, LRU_AT, NewValue, Shape, ValueRef, allocate,
    kind_byte,
};
use crate::value::collection::{AnyRef, Compact, Kind, Value};

impl Entry {
    /// The value of a collection; `None` for a string.
    #[inline]
    pub fn collection(&self) -> Option<AnyRef<'_>> {
        let place = self.place();
        // SAFETY: as for `value`: `Pack` and `Ints` lie there like `Bytes`, `Boxed` like `Shared`.
        unsafe {
            let at = || self.0.as_ptr().add(place.value_at());
            let run = || {
                let len = at().cast::<u16>().read_unaligned() as usize;
                std::slice::from_raw_parts(at().add(LEN_BYTES), len)
            };
            match place.form {
                Form::Int | Form::Bytes | Form::Shared => None,
                Form::Pack => Some(AnyRef::Compact(self.kind(), Compact::Pack, run())),
                Form::Ints => Some(AnyRef::Compact(self.kind(), Compact::Ints, run())),
                Form::Boxed => Some(AnyRef::Boxed(&*at().cast::<Box<Value>>())),
            }
        }
    }

    /// The run of elements of a compact collection, to be changed without changing its length.
    #[inline]
    pub fn pack_mut(&mut self) -> Option<&mut [u8]> {
        let shape = self.shape();
        // SAFETY: the block has this shape, which is that of a compact collection.
        (shape.form == Form::Pack).then(|| unsafe { self.inline_mut(shape) })
    }

    /// The collection, to change where it is, if it lies in a box.
    #[inline]
    pub fn boxed_mut(&mut self) -> Option<&mut Value> {
        let place = self.place();
        // SAFETY: with this form an initialized, aligned `Box` lies at `value_at`; `self` is borrowed
        // exclusively.
        (place.form == Form::Boxed)
            .then(|| unsafe { &mut **self.0.as_ptr().add(place.value_at()).cast::<Box<Value>>() })
    }

    /// Takes the box of a collection out; the entry holds the number 0 in its place.
    pub fn detach_box(&mut self) -> Option<Box<Value>> {
        let place = self.place();
        if place.form != Form::Boxed {
            return None;
        }
        // SAFETY: an initialized `Box` lies at `value_at`, and is left behind as eight bytes of an integer:
        // the form says so before anything can drop it again. An integer needs no alignment, so the shapes
        // may differ in padding; the bytes of the integer lie inside the block either way.
        unsafe {
            let at = self.0.as_ptr().add(place.value_at());
            let value = at.cast::<Box<Value>>().read();
            let old = self.shape();
            let new = Shape { form: Form::Int, ..old };
            if new.block_bytes() != old.block_bytes() {
                let fresh = allocate(new);
                ptr::copy_nonoverlapping(self.0.as_ptr(), fresh.as_ptr(), new.value_at());
                dealloc(self.0.as_ptr(), old.layout());
                self.0 = fresh;
            }
            self.0.as_ptr().add(KIND_AT).write(kind_byte(Kind::String, Form::Int));
            self.0.as_ptr().add(new.value_at()).cast::<i64>().write_unaligned(0);
            self.put(FIELDS, false);
            Some(value)
        }
    }

    /// Whether the value is a collection in a box, so that freeing it may take long.
    #[inline]
    pub fn is_boxed(&self) -> bool {
        self.form() == Form::Boxed
    }

    /// For when the key is filed among the deadlines, if it is.
    #[inline]
    pub fn filed_ms(&self) -> Option<u64> {
        if self.is_filed() { self.next_due_ms() } else { None }
    }

    /// Whether fields of this hash have deadlines.
    #[inline]
    pub fn has_field_deadlines(&self) -> bool {
        self.has(FIELDS)
    }

    /// Notes whether fields of this hash have deadlines.
    pub fn set_field_deadlines(&mut self, on: bool) {
        self.put(FIELDS, on);
    }

    /// When the key or one of its fields is due first, Unix time in milliseconds.
    #[inline]
    pub fn next_due_ms(&self) -> Option<u64> {
        if !self.has(DEADLINE | FIELDS) {
            return None;
        }
        let fields = if self.has(FIELDS) { self.field_due_ms() } else { None };
        self.deadline_ms().into_iter().chain(fields).min()
    }

    /// When the first field is due.
    #[cold]
    pub fn field_due_ms(&self) -> Option<u64> {
        self.collection().and_then(AnyRef::earliest_deadline)
    }

    /// The entry under another key: deadline, age and marks of the value stay, the marks of others go.
    pub fn into_renamed(self, key: &[u8]) -> Entry {
        let deadline_ms = self.deadline_ms();
        let mut renamed = if self.form() == Form::Boxed {
            let this = ManuallyDrop::new(self);
            let shape = this.shape();
            // SAFETY: the box is read once and the block freed without dropping it: `this` drops nothing.
            let (value, head) = unsafe {
                let head = [
                    this.byte(FLAGS_AT) & FIELDS,
                    this.byte(LRU_AT),
                    this.byte(LRU_AT + 1),
                    this.byte(LRU_AT + 2),
                ];
                let value = this.0.as_ptr().add(shape.value_at()).cast::<Box<Value>>().read();
                dealloc(this.0.as_ptr(), shape.layout());
                (value, head)
            };
            let mut renamed = Entry::new(key, NewValue::Boxed(value), deadline_ms);
            renamed.put(FIELDS, head[0] != 0);
            renamed.set_lru(u32::from_le_bytes([head[1], head[2], head[3], 0]));
            return renamed;
        } else {
            self.duplicate(key)
        };
        renamed.set_lru(self.lru());
        renamed
    }

    /// A copy under another key, with LRU 0. A large collection shares its blocks with the copy until one of
    /// the two changes them. What counts as `raw` stays so, even where the new key is short enough.
    pub fn duplicate(&self, key: &[u8]) -> Entry {
        let value = match self.collection() {
            Some(AnyRef::Compact(kind, form, bytes)) => NewValue::Compact(kind, form, bytes),
            Some(AnyRef::Boxed(value)) => NewValue::Boxed(Box::new(value.clone())),
            None => match self.value() {
                ValueRef::Int(int) => NewValue::Int(int),
                ValueRef::Bytes(bytes) => NewValue::Bytes(bytes),
                ValueRef::Shared(shared) => NewValue::Shared(Arc::clone(shared)),
            },
        };
        let mut copy = Entry::new(key, value, self.deadline_ms());
        copy.put(FIELDS, self.has(FIELDS));
        copy.set_raw(self.kind() == Kind::String && (self.is_raw() || !self.is_embeddable(0)));
        copy
    }
}
