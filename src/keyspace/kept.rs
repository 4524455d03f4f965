//! What readers see of what is due.
//!
//! For: lookups that only read. May touch: an entry, the record, the pause.
//! Always: no reader sees a key whose deadline has passed, or such a field. Without a pause it leaves as soon
//! as somebody looks. A pause keeps it where it is, since nothing may change: a due key is hidden, and of a
//! hash with due fields a copy without them is shown, which lies with the record's garbage until the command
//! (or the transaction or script it belongs to) is over.

use super::db::is_due;
use super::entry::Entry;
use super::record::{Garbage, Record};
use super::shard::Tally;
use super::space::Space;
use super::table::Slot;
use super::watchers::Interests;
use crate::value::Hash;
use crate::value::collection::{Collection, Value};

/// Where a key is that is looked at: its database and its hash.
type Place<'a> = (&'a Space, usize, u64);

impl Record {
    /// Looks at a key as a reader does at `now_ms`.
    ///
    /// # Errors
    /// A pause keeps what is there: in its place nothing is to be seen, or the copy of that number, which
    /// [`Record::copy`] has.
    #[inline]
    pub(super) fn see<'t>(
        &mut self,
        place: Place<'_>,
        now_ms: u64,
        slot: Slot<'t>,
        around: (&mut Tally, Option<&mut Interests>),
    ) -> Result<Slot<'t>, Option<usize>> {
        match slot.entry().and_then(Entry::next_due_ms) {
            Some(at) if at <= now_ms => self.see_due(place, now_ms, slot, around),
            _ => Ok(slot),
        }
    }

    #[cold]
    fn see_due<'t>(
        &mut self,
        (space, db, hash): Place<'_>,
        now_ms: u64,
        slot: Slot<'t>,
        (tally, interests): (&mut Tally, Option<&mut Interests>),
    ) -> Result<Slot<'t>, Option<usize>> {
        let Some(entry) = slot.entry().filter(|_| space.pause.keeps_keys(now_ms)) else {
            return Ok(self.settle((db, hash), now_ms, slot, (tally, interests)));
        };
        if is_due(entry, now_ms) {
            // A transaction that has seen it alive must not go on.
            if let Some(interests) = interests {
                interests.watchers.lapse(db, entry.key(), false);
            }
            return Err(None);
        }
        let shown = self.copies(db, entry.key()).map(|(at, _)| at).next();
        let at = shown.unwrap_or_else(|| {
            self.garbage.push(Garbage::Copy(db, without_due_fields(entry, now_ms)));
            self.garbage.len() - 1
        });
        Err(Some(at).filter(|&at| !is_empty(self.copy(at))))
    }

    /// A copy that was shown in place of an entry.
    pub(super) fn copy(&self, at: usize) -> &Entry {
        match &self.garbage[at] {
            Garbage::Copy(_, entry) => entry,
            _ => unreachable!("nothing is taken out before the command is over"),
        }
    }

    /// What is to be seen of an entry that is due, or has due fields, and has been looked at before.
    #[cold]
    pub(super) fn look_at<'e>(&'e self, db: usize, entry: &'e Entry, now_ms: u64) -> Option<&'e Entry> {
        let copy = self.copies(db, entry.key()).map(|(_, copy)| copy).next();
        Some(copy.unwrap_or(entry)).filter(|shown| !is_due(entry, now_ms) && !is_empty(shown))
    }

    fn copies(&self, db: usize, key: &[u8]) -> impl Iterator<Item = (usize, &Entry)> {
        self.garbage.iter().enumerate().rev().filter_map(move |(at, it)| match it {
            Garbage::Copy(of, entry) if *of == db && entry.key() == key => Some((at, entry)),
            _ => None,
        })
    }
}

/// Whether all fields of a hash were due.
fn is_empty(copy: &Entry) -> bool {
    copy.collection().is_some_and(|hash| hash.len() == 0)
}

/// A hash as it will be when what is due has left it. It shares its fields with the hash until then.
fn without_due_fields(entry: &Entry, now_ms: u64) -> Entry {
    let mut copy = entry.duplicate(entry.key());
    copy.set_lru(entry.lru());
    let Some(Value::Hash(hash)) = copy.boxed_mut() else {
        unreachable!("only a hash in a box has field deadlines")
    };
    hash.expire_due(now_ms, usize::MAX, &mut |_| ());
    let is_volatile = Hash::earliest_deadline(hash.as_ref()).is_some();
    copy.set_field_deadlines(is_volatile);
    copy
}
