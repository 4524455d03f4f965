//! Streams: entries in the order of their identifiers, and groups of consumers that read them.
//!
//! For: XADD and its relatives. May touch: its own memory.
//! Always: a clone copies indexes, not entries; blocks, groups and chunks of pending entries are copied when
//! they are changed while shared. An empty stream is a value like any other.

mod block;
mod chunks;
mod code;
mod entries;
mod group;
mod id;
mod idempotence;
mod log;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::iter::once;
use std::sync::Arc;

use super::{Collection, Compact};

pub use block::NodeLimits;
pub use entries::{Downwards, Entry, Upwards};
pub use group::{Consumer, ConsumerKey, Group, Pending};
pub use id::{IdText, StreamId};
pub use idempotence::{Idempotence, Remembered};
pub use log::{Log, TooLarge, Trim};

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream(Box<Parts>);

/// Behind a pointer, so that it does not make values of other types larger.
#[derive(Clone, Debug, Default)]
struct Parts {
    log: Log,
    groups: BTreeMap<Box<[u8]>, Arc<Group>>,
    /// Made when it is first used.
    idempotence: Option<Arc<Idempotence>>,
}

/// Groups that are looked at to tell what all of them occupy.
const GROUP_SAMPLE: usize = 16;

impl Collection for Stream {
    crate::value::collection::boxed_as!(Stream);
    const STAYS_WHEN_EMPTY: bool = true;
    const ORDERED: bool = true;
    type Ref<'a> = &'a Stream;

    fn view(_: Compact, _: &[u8]) -> &Stream {
        unreachable!("a stream has no compact form")
    }

    fn as_ref(&self) -> &Stream {
        self
    }

    fn from_compact(_: Compact, _: Vec<u8>) -> Stream {
        unreachable!("a stream has no compact form")
    }

    fn into_compact(self) -> Result<(Compact, Vec<u8>), Stream> {
        Err(self)
    }

    fn len(this: &Stream) -> usize {
        this.log().len() as usize
    }

    fn encoding(_: &Stream) -> &'static str {
        "stream"
    }

    fn heap_bytes(this: &Stream) -> usize {
        this.heap_bytes()
    }

    fn visit(this: &Stream, each: &mut dyn FnMut(&[&[u8]])) {
        let mut texts = Vec::new();
        for entry in this.log().up(StreamId::MIN, StreamId::MAX) {
            texts.clear();
            for (field, value) in entry.pairs() {
                texts.extend([field.to_vec(), value.to_vec()]);
            }
            let id = entry.id.to_text();
            let parts: Vec<&[u8]> = once(id.as_bytes()).chain(texts.iter().map(|text| &text[..])).collect();
            each(&parts);
        }
    }
}

impl Stream {
    /// Its entries.
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// Its entries, to be changed.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.0.log
    }

    /// What it remembers of its producers, if it ever had to.
    pub fn idempotence(&self) -> Option<&Idempotence> {
        self.0.idempotence.as_deref()
    }

    /// What it remembers of its producers, to be changed.
    pub fn idempotence_mut(&mut self) -> &mut Idempotence {
        Arc::make_mut(self.0.idempotence.get_or_insert_default())
    }

    /// Number of groups.
    pub fn groups_len(&self) -> usize {
        self.0.groups.len()
    }

    /// Groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, &**group))
    }

    /// The group of that name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name).map(|group| &**group)
    }

    /// The group of that name, to be changed, beside the entries.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<(&Log, &mut Group)> {
        Some((&self.0.log, Arc::make_mut(self.0.groups.get_mut(name)?)))
    }

    /// Every group, to be changed.
    pub fn groups_mut(&mut self) -> impl Iterator<Item = (&[u8], &mut Group)> {
        self.0.groups.iter_mut().map(|(name, group)| (&**name, Arc::make_mut(group)))
    }

    /// Adds a group; false when there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.0.groups.contains_key(name) {
            return false;
        }
        self.0.groups.insert(name.into(), Arc::new(group));
        true
    }

    /// Removes a group with its consumers; answers it.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Arc<Group>> {
        self.0.groups.remove(name)
    }

    /// Entries that the group has not been given yet, as far as that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.0.log.entries_added() as i64;
        if added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.0.log.has_gaps_from(group.last_id) => read,
            _ => self.0.log.entries_until(group.last_id)? as i64,
        };
        Some(added.wrapping_sub(read))
    }

    /// Bytes it occupies, about: a sample of its blocks and groups stands for the others.
    pub fn heap_bytes(&self) -> usize {
        let seen = self.groups_len().min(GROUP_SAMPLE);
        let groups = self.groups().take(seen).map(|(name, group)| name.len() + group.heap_bytes());
        let idempotence = self.idempotence().map_or(0, Idempotence::heap_bytes);
        let groups = extrapolated(groups.sum(), seen, self.groups_len());
        size_of::<Parts>() + idempotence + self.log().heap_bytes() + groups
    }
}

/// What `all` things occupy, when `seen` of them occupy `bytes`.
fn extrapolated(bytes: usize, seen: usize, all: usize) -> usize {
    if seen == 0 { 0 } else { (bytes as u128 * all as u128 / seen as u128) as usize }
}
