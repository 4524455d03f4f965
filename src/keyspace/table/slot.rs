//! Entries in their slots.
//!
//! For: whoever changes an entry. May touch: the slot and the table around it.
//! Always: a slot is stored to atomically, as hints read it without the lock.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use super::Table;
use super::bucket::entry_in;
use crate::keyspace::entry::{Entry, NewValue};
use crate::value::Value;

/// What a table has for a key: its entry, or room for it.
#[derive(Debug)]
pub struct Slot<'a> {
    table: &'a mut Table,
    /// Where the entry is, if there is one; it does not move while the table is borrowed here.
    cell: Option<NonNull<AtomicPtr<u8>>>,
}

/// An entry in its table, to be read (it derefs to `Entry`), changed or replaced.
#[derive(Debug)]
pub struct EntryMut<'a> {
    /// It owns an entry, which nobody else can reach for `'a`.
    cell: &'a AtomicPtr<u8>,
}

impl<'a> Slot<'a> {
    /// `cell` is that of the entry.
    #[inline]
    pub(super) fn new(table: &'a mut Table, cell: Option<NonNull<AtomicPtr<u8>>>) -> Slot<'a> {
        Slot { table, cell }
    }

    /// The key's entry.
    #[inline]
    pub fn entry(&self) -> Option<&Entry> {
        // SAFETY: the cell owns an entry and stays where it is while the table is borrowed; storing to it
        // takes `&mut self`.
        self.cell.map(|cell| unsafe { entry_in(cell.as_ref()) })
    }

    /// The key's entry, to change.
    #[inline]
    pub fn entry_mut(&mut self) -> Option<EntryMut<'_>> {
        // SAFETY: the cell stays where it is while the table is borrowed, and `self` is borrowed exclusively.
        self.cell.map(|cell| EntryMut { cell: unsafe { cell.as_ref() } })
    }

    /// Gives up the right to change the table; the entry can be read for as long as that stays borrowed.
    #[inline]
    pub fn into_entry(self) -> Option<&'a Entry> {
        // SAFETY: as in `entry`, and the table stays borrowed for 'a.
        self.cell.map(|cell| unsafe { entry_in(cell.as_ref()) })
    }

    /// Puts in an entry, whose key and hash must be those searched for; there is none yet.
    pub fn insert(&mut self, hash: u64, entry: Entry) -> EntryMut<'_> {
        debug_assert!(self.cell.is_none(), "a key is in the table at most once");
        let cell = self.table.insert(hash, entry);
        self.cell = Some(cell);
        // SAFETY: as in `entry_mut`.
        EntryMut { cell: unsafe { cell.as_ref() } }
    }

    /// Takes the entry out, if there is one; the place stays for another. The hash is the one searched for.
    pub fn take(&mut self, hash: u64) -> Option<Entry> {
        let cell = self.cell.take()?;
        Some(self.table.take(hash, cell))
    }
}

impl Deref for EntryMut<'_> {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        // SAFETY: the slot owns an entry; storing to it takes `&mut self`.
        unsafe { entry_in(self.cell) }
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
    /// The entry as an owned value, for changes that may give it another block.
    fn borrow(&mut self) -> Borrowed<'_> {
        Borrowed { entry: self.in_place(), cell: self.cell }
    }

    /// The entry as an owned value, for changes that keep its block.
    #[inline]
    fn in_place(&mut self) -> ManuallyDrop<Entry> {
        // SAFETY: the slot owns an entry and outlives the borrow of `self`; nobody else can use the entry
        // meanwhile, and it is not dropped.
        unsafe { ManuallyDrop::new(Entry::from_raw(NonNull::new_unchecked(self.cell.load(Relaxed)))) }
    }

    /// As [`Entry::set_value`].
    pub fn set_value(&mut self, value: NewValue<'_>) {
        self.borrow().entry.set_value(value);
    }

    /// As [`Entry::replace_string`].
    #[inline]
    pub fn replace_string<'v>(&mut self, value: NewValue<'v>) -> Result<(), NewValue<'v>> {
        self.in_place().replace_string(value)
    }

    /// As [`Entry::replace_int`].
    #[inline]
    pub fn replace_int(&mut self, number: i64) -> bool {
        self.in_place().replace_int(number)
    }

    /// As [`Entry::change_int`].
    #[inline]
    pub fn change_int(&mut self, change: impl FnOnce(i64) -> Option<i64>) -> Option<i64> {
        self.in_place().change_int(change)
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
    pub fn into_bytes_mut(mut self) -> Option<&'a mut [u8]> {
        let bytes = self.in_place().bytes_mut().map(NonNull::from)?;
        // SAFETY: the bytes belong to the block or to the vector it owns, and the slot to whoever has this
        // handle, which is used up, for 'a.
        Some(unsafe { &mut *bytes.as_ptr() })
    }

    /// As [`Entry::pack_mut`].
    #[inline]
    pub fn pack_mut(&mut self) -> Option<&mut [u8]> {
        let run = self.in_place().pack_mut().map(NonNull::from)?;
        // SAFETY: the run belongs to the block, not to the handle `entry`.
        Some(unsafe { &mut *run.as_ptr() })
    }

    /// As [`Entry::boxed_mut`], for as long as the entry could be changed.
    #[inline]
    pub fn into_boxed_mut(mut self) -> Option<&'a mut Value> {
        let value = self.in_place().boxed_mut().map(NonNull::from)?;
        // SAFETY: the value lies in a box of its own, which belongs to whoever has this handle, which is used
        // up, for 'a.
        Some(unsafe { &mut *value.as_ptr() })
    }

    /// As [`Entry::boxed_mut`].
    pub fn boxed_mut(&mut self) -> Option<&mut Value> {
        EntryMut { cell: self.cell }.into_boxed_mut()
    }

    /// As [`Entry::detach_box`].
    pub fn detach_box(&mut self) -> Option<Box<Value>> {
        self.borrow().entry.detach_box()
    }

    /// As [`Entry::set_field_deadlines`].
    pub fn set_field_deadlines(&mut self, on: bool) {
        self.in_place().set_field_deadlines(on);
    }

    /// As [`Entry::set_raw`].
    pub fn set_raw(&mut self, raw: bool) {
        self.in_place().set_raw(raw);
    }

    /// As [`Entry::set_lru`].
    #[inline]
    pub fn set_lru(&mut self, lru: u32) {
        self.in_place().set_lru(lru);
    }

    /// As [`Entry::set_filed`].
    pub fn set_filed(&mut self, filed: bool) {
        self.in_place().set_filed(filed);
    }

    /// As [`Entry::set_watched`].
    pub fn set_watched(&mut self, watched: bool) {
        self.in_place().set_watched(watched);
    }

    /// As [`Entry::set_tracked`].
    pub fn set_tracked(&mut self, tracked: bool) {
        self.in_place().set_tracked(tracked);
    }

    /// As [`Entry::set_snapshot_bit`].
    pub fn set_snapshot_bit(&mut self, bit: bool) {
        self.in_place().set_snapshot_bit(bit);
    }

    /// Puts another entry of the same key here and returns the old one. Flags are the new entry's own.
    pub fn replace(&mut self, entry: Entry) -> Entry {
        debug_assert_eq!(entry.key(), self.key(), "the key decides the slot");
        std::mem::replace(&mut *self.borrow().entry, entry)
    }
}
