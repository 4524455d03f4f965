//! Collections in the keyspace.
//!
//! For: reading and changing a value as the type it is, wherever it lies. May touch: what the guards of
//! `db.rs` hold.
//! Always: a compact collection of at most `INLINE_MAX` bytes lies in its key's own block until it outgrows
//! it; a hash in a box with field deadlines is marked and filed for the earliest of them; a key whose
//! collection has become empty goes with the commit.

use super::db::{Deadline, Write};
use super::entry::{Entry, INLINE_MAX, NewValue};
use super::record::{Event, Record};
use super::table::EntryMut;
use super::{Db, Kind};
use crate::fault::Fault;
use crate::value::Hash;
use crate::value::collection::{AnyRef, Collection, Value};

/// An entry as a collection of one type.
#[inline]
fn typed<C: Collection>(entry: &Entry) -> Result<C::Ref<'_>, Fault> {
    match entry.collection().and_then(AnyRef::to::<C>) {
        Some(collection) => Ok(collection),
        None => Err(Fault::WRONG_TYPE),
    }
}

impl Db<'_> {
    /// [`read`](Db::read), for a command that works on one type of collection.
    #[inline]
    pub fn read_as<C: Collection>(&mut self, key: &[u8]) -> Result<Option<C::Ref<'_>>, Fault> {
        self.read(key).map(typed::<C>).transpose()
    }

    /// [`peek`](Db::peek), likewise.
    #[inline]
    pub fn peek_as<C: Collection>(&mut self, key: &[u8]) -> Result<Option<C::Ref<'_>>, Fault> {
        self.peek(key).map(typed::<C>).transpose()
    }

    /// [`look`](Db::look), likewise.
    #[inline]
    pub fn look_as<C: Collection>(&self, key: &[u8]) -> Result<Option<C::Ref<'_>>, Fault> {
        self.look(key).map(typed::<C>).transpose()
    }
}

impl Write<'_> {
    /// The collection as it stands, if the key exists; an error if it holds something else.
    #[inline]
    pub fn view<C: Collection>(&self) -> Result<Option<C::Ref<'_>>, Fault> {
        self.entry().map(typed::<C>).transpose()
    }

    /// Changes the collection, an empty one if the key does not exist. The caller has seen that it holds
    /// nothing else ([`view`](Write::view)), and changes something: what `change` leaves is committed. May be
    /// called again before the commit.
    pub fn update<C: Collection, R>(&mut self, change: impl FnOnce(&mut C) -> R) -> R {
        self.change();
        let Some(mut entry) = self.slot.entry_mut() else { return self.insert_as(change) };
        self.record.touch(&mut entry, self.now_ms);
        // Only hashes have fields with deadlines.
        let before = (C::KIND == Kind::Hash).then(|| (entry.has_field_deadlines(), entry.filed_ms()));
        let Some(value) = entry.into_boxed_mut() else { return self.update_inline(change) };
        let value = C::of_mut(value).expect("the caller has seen the type");
        let result = change(value);
        let view = value.as_ref();
        self.emptied = C::len(view) == 0 && !C::STAYS_WHEN_EMPTY;
        let is_volatile = C::earliest_deadline(view).is_some();
        if let Some((was_volatile, filed_ms)) = before
            && (was_volatile || is_volatile)
        {
            self.occupied().set_field_deadlines(is_volatile);
            self.tally.volatile += u64::from(is_volatile);
            self.tally.volatile -= u64::from(was_volatile);
            self.refile(filed_ms);
        }
        result
    }

    /// Lets `change` try to change a compact collection where it lies, without changing the length of its
    /// run.
    /// False: it could not, or the key is missing or holds something else, and nothing was changed. Like
    /// [`update`](Write::update), to be called after [`view`](Write::view).
    #[inline]
    pub fn update_in_place(&mut self, change: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let Some(mut entry) = self.slot.entry_mut() else { return false };
        // What it changes is beyond repair if it panics.
        let was_open = std::mem::replace(&mut self.record.is_broken, true);
        let is_done = entry.pack_mut().is_some_and(change);
        if is_done {
            self.record.touch(&mut entry, self.now_ms);
            self.change();
        } else {
            self.record.is_broken = was_open;
        }
        is_done
    }

    fn update_inline<C: Collection, R>(&mut self, change: impl FnOnce(&mut C) -> R) -> R {
        let mut bytes = std::mem::take(&mut self.record.spare);
        let Some(AnyRef::Compact(_, form, run)) = self.entry().and_then(Entry::collection) else {
            unreachable!("a collection that is not boxed is compact")
        };
        bytes.extend_from_slice(run);
        let mut value = C::from_compact(form, bytes);
        let result = change(&mut value);
        self.emptied = C::len(value.as_ref()) == 0 && !C::STAYS_WHEN_EMPTY;
        let spare = with_new_value(value, |value| self.occupied().set_value(value));
        self.note_fields::<C>();
        self.record.spare = spare;
        result
    }

    fn insert_as<C: Collection, R>(&mut self, change: impl FnOnce(&mut C) -> R) -> R {
        let mut value = C::default();
        let result = change(&mut value);
        if C::len(value.as_ref()) == 0 && !C::STAYS_WHEN_EMPTY {
            self.close();
            return result;
        }
        let mut made = None;
        let spare = with_new_value(value, |value| made = Some(Entry::new(self.key, value, None)));
        if self.record.spare.capacity() < spare.capacity() {
            self.record.spare = spare;
        }
        let mut entry = made.expect("it was handed on");
        entry.set_lru(self.record.first_touch(self.now_ms));
        self.slot.insert(self.hash, entry);
        self.inserted(None);
        self.note_fields::<C>();
        result
    }

    /// After an unmarked value was stored: marks it if it has field deadlines, and files them.
    fn note_fields<C: Collection>(&mut self) {
        if C::KIND == Kind::Hash && self.occupied().is_boxed() && self.occupied().field_due_ms().is_some() {
            let filed_ms = self.occupied().filed_ms();
            self.occupied().set_field_deadlines(true);
            self.tally.volatile += 1;
            self.refile(filed_ms);
        }
    }

    /// Puts a whole collection in place of whatever is there; it is not empty.
    pub fn put_value<C: Collection>(&mut self, value: C, deadline: Deadline) {
        debug_assert!(C::STAYS_WHEN_EMPTY || C::len(value.as_ref()) > 0, "there are no empty collections");
        with_new_value(value, |value| self.set(value, deadline));
        self.note_fields::<C>();
    }

    /// Ends a write whose updates turned out to change nothing.
    pub fn abandon_unchanged(mut self) {
        debug_assert!(!self.emptied, "a key that was emptied was changed");
        self.close();
    }
}

/// Hands a collection on in the form in which it is stored; gives the buffer back, emptied, if it was copied.
fn with_new_value<C: Collection>(value: C, store: impl FnOnce(NewValue<'_>)) -> Vec<u8> {
    match value.into_compact() {
        Ok((form, mut bytes)) if bytes.len() <= INLINE_MAX => {
            store(NewValue::Compact(C::KIND, form, &bytes));
            bytes.clear();
            bytes
        }
        Ok((form, bytes)) => {
            store(NewValue::Boxed(Box::new(C::from_compact(form, bytes).into_value())));
            Vec::new()
        }
        Err(value) => {
            store(NewValue::Boxed(Box::new(value.into_value())));
            Vec::new()
        }
    }
}

impl Record {
    /// Lets up to `limit` fields go that are due at `now_ms`, with one event, and takes their number off the
    /// limit. True: no field is left.
    pub(super) fn expire_fields(
        &mut self,
        db: usize,
        entry: &mut EntryMut<'_>,
        now_ms: u64,
        limit: &mut usize,
    ) -> bool {
        let logs = self.logs;
        let mut gone: Vec<Box<[u8]>> = Vec::new();
        let Some(Value::Hash(hash)) = entry.boxed_mut() else {
            unreachable!("only a hash in a box has field deadlines")
        };
        let count = hash.expire_due(now_ms, *limit, &mut |field| {
            if logs {
                gone.push(field.into());
            }
        });
        *limit -= count;
        let view = hash.as_ref();
        let is_volatile = Hash::earliest_deadline(view).is_some();
        let is_empty = Hash::len(view) == 0;
        if !is_empty {
            entry.set_field_deadlines(is_volatile);
        }
        self.counts.expired_fields += count as u64;
        self.happened(db, Event::HEXPIRED, entry.key());
        if logs {
            let argv: Vec<&[u8]> =
                [&b"HDEL"[..], entry.key()].into_iter().chain(gone.iter().map(|field| &**field)).collect();
            self.effect(db, &argv);
        }
        is_empty
    }
}
