//! Entries in their slots.
//!
//! For: whoever changes an entry. May touch: the slot and the table around it.
//! Always: a slot is stored to atomically, as hints read it without the lock.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use super::bucket::entry_in;
use super::{Place, Table};
use crate::keyspace::entry::{Entry, NewValue};
use crate::value::Value;

/// What a table has for a key.
#[derive(Debug)]
pub enum Slot<'a> {
    /// The key's entry.
    Occupied(EntryMut<'a>),
    /// Room for it.
    Vacant(VacantSlot<'a>),
}

/// Room for the entry of one key that the table does not have.
#[derive(Debug)]
pub struct VacantSlot<'a> {
    table: &'a mut Table,
    hash: u64,
}

/// An entry in its table, to be read (it derefs to `Entry`), changed, replaced or removed.
#[derive(Debug)]
pub struct EntryMut<'a> {
    table: &'a mut Table,
    hash: u64,
    place: Place,
    /// The slot at `place`; it owns an entry, and does not move while the table is borrowed here.
    cell: NonNull<AtomicPtr<u8>>,
}

impl<'a> VacantSlot<'a> {
    #[inline]
    pub(super) fn new(table: &'a mut Table, hash: u64) -> VacantSlot<'a> {
        VacantSlot { table, hash }
    }

    /// Puts in an entry, whose key must be the one searched for.
    pub fn insert(self, entry: Entry) -> EntryMut<'a> {
        let place = self.table.insert(self.hash, entry);
        let cell = NonNull::from(self.table.cell(self.hash, place));
        EntryMut::new(self.table, self.hash, place, cell)
    }
}

impl Deref for EntryMut<'_> {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        // SAFETY: the slot owns an entry; storing to it takes `&mut self`.
        unsafe { entry_in(self.cell.as_ref()) }
    }
}

/// An entry borrowed from its slot as an owned value; goes back there even if the change panics.
struct Borrowed<'a> {
    entry: ManuallyDrop<Entry>,
    cell: &'a AtomicPtr<u8>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // SAFETY: the entry is not used after this.
        let entry = unsafe { ManuallyDrop::take(&mut self.entry) };
        let block = entry.into_raw().as_ptr();
        // Most changes keep the block: then the bucket's cache line stays clean.
        if block != self.cell.load(Relaxed) {
            self.cell.store(block, Relaxed);
        }
    }
}

impl<'a> EntryMut<'a> {
    /// `cell` is the slot at `place`.
    #[inline]
    pub(super) fn new(
        table: &'a mut Table,
        hash: u64,
        place: Place,
        cell: NonNull<AtomicPtr<u8>>,
    ) -> EntryMut<'a> {
        debug_assert_eq!(cell, NonNull::from(table.cell(hash, place)));
        EntryMut { table, hash, place, cell }
    }

    fn borrow(&mut self) -> Borrowed<'_> {
        // SAFETY: the slot owns an entry and outlives the borrow of `self`; nobody else can use the entry
        // meanwhile, and `Borrowed` stores it back.
        unsafe {
            let cell = self.cell.as_ref();
            let block = NonNull::new_unchecked(cell.load(Relaxed));
            Borrowed { entry: ManuallyDrop::new(Entry::from_raw(block)), cell }
        }
    }

    /// The hash this entry was found by.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Gives up the right to change the entry; it can be read for as long as the table stays borrowed.
    pub fn into_ref(self) -> &'a Entry {
        // SAFETY: the slot owns an entry, and the table stays borrowed for 'a.
        unsafe { entry_in(self.cell.as_ref()) }
    }

    /// As [`Entry::set_value`].
    pub fn set_value(&mut self, value: NewValue<'_>) {
        self.borrow().entry.set_value(value);
    }

    /// As [`Entry::replace_int`].
    #[inline]
    pub fn replace_int(&mut self, number: i64) -> bool {
        self.borrow().entry.replace_int(number)
    }

    /// As [`Entry::set_deadline`].
    pub fn set_deadline(&mut self, deadline_ms: Option<u64>) {
        self.borrow().entry.set_deadline(deadline_ms);
    }

    /// As [`Entry::edit_bytes`].
    pub fn edit_bytes<R>(&mut self, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.borrow().entry.edit_bytes(edit)
    }

    /// As [`Entry::bytes_mut`].
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        // SAFETY: `Entry::bytes_mut` changes the block in place, so the slot need not be stored to; the entry
        // inside the slot is borrowed through `self` for as long as the slice.
        let mut entry =
            unsafe { ManuallyDrop::new(Entry::from_raw(NonNull::new(self.cell.as_ref().load(Relaxed))?)) };
        let bytes = entry.bytes_mut().map(NonNull::from)?;
        // SAFETY: the bytes belong to the block or to the vector it owns, not to the handle `entry`.
        Some(unsafe { &mut *bytes.as_ptr() })
    }

    /// As [`Entry::pack_mut`].
    #[inline]
    pub fn pack_mut(&mut self) -> Option<&mut [u8]> {
        // SAFETY: as for `bytes_mut`.
        let mut entry =
            unsafe { ManuallyDrop::new(Entry::from_raw(NonNull::new(self.cell.as_ref().load(Relaxed))?)) };
        let run = entry.pack_mut().map(NonNull::from)?;
        // SAFETY: the run belongs to the block, not to the handle `entry`.
        Some(unsafe { &mut *run.as_ptr() })
    }

    /// As [`Entry::boxed_mut`].
    pub fn boxed_mut(&mut self) -> Option<&mut Value> {
        // SAFETY: as for `bytes_mut`.
        let mut entry =
            unsafe { ManuallyDrop::new(Entry::from_raw(NonNull::new(self.cell.as_ref().load(Relaxed))?)) };
        let value = entry.boxed_mut().map(NonNull::from)?;
        // SAFETY: the value lies in a box of its own, not in the handle `entry`.
        Some(unsafe { &mut *value.as_ptr() })
    }

    /// As [`Entry::detach_box`].
    pub fn detach_box(&mut self) -> Option<Box<Value>> {
        self.borrow().entry.detach_box()
    }

    /// As [`Entry::set_field_deadlines`].
    pub fn set_field_deadlines(&mut self, on: bool) {
        self.borrow().entry.set_field_deadlines(on);
    }

    /// As [`Entry::set_raw`].
    pub fn set_raw(&mut self, raw: bool) {
        self.borrow().entry.set_raw(raw);
    }

    /// As [`Entry::set_lru`].
    #[inline]
    pub fn set_lru(&mut self, lru: u32) {
        self.borrow().entry.set_lru(lru);
    }

    /// As [`Entry::set_filed`].
    pub fn set_filed(&mut self, filed: bool) {
        self.borrow().entry.set_filed(filed);
    }

    /// As [`Entry::set_watched`].
    pub fn set_watched(&mut self, watched: bool) {
        self.borrow().entry.set_watched(watched);
    }

    /// As [`Entry::set_tracked`].
    pub fn set_tracked(&mut self, tracked: bool) {
        self.borrow().entry.set_tracked(tracked);
    }

    /// As [`Entry::set_snapshot_bit`].
    pub fn set_snapshot_bit(&mut self, bit: bool) {
        self.borrow().entry.set_snapshot_bit(bit);
    }

    /// Puts another entry of the same key here and returns the old one. Flags are the new entry's own.
    pub fn replace(&mut self, entry: Entry) -> Entry {
        debug_assert_eq!(entry.key(), self.key(), "the key decides the slot");
        std::mem::replace(&mut *self.borrow().entry, entry)
    }

    /// Takes the entry out.
    pub fn remove(self) -> Entry {
        self.table.take(self.hash, self.place)
    }

    /// Takes the entry out and keeps its place for another.
    pub fn vacate(self) -> (Entry, VacantSlot<'a>) {
        let entry = self.table.take(self.hash, self.place);
        (entry, VacantSlot::new(self.table, self.hash))
    }
}
