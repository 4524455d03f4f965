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
mod log;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use block::NodeLimits;
pub use code::Item;
pub use entries::{Downwards, Entry, Upwards};
pub use group::{Consumer, ConsumerKey, Group, Pending};
pub use id::{IdText, StreamId};
pub use log::{Log, TooLarge, Trim};

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    log: Log,
    groups: BTreeMap<Box<[u8]>, Arc<Group>>,
}

impl Stream {
    /// Its entries.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its entries, to be changed.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Number of groups.
    pub fn groups_len(&self) -> usize {
        self.groups.len()
    }

    /// Groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, &**group))
    }

    /// The group of that name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name).map(|group| &**group)
    }

    /// The group of that name, to be changed, beside the entries.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<(&Log, &mut Group)> {
        Some((&self.log, Arc::make_mut(self.groups.get_mut(name)?)))
    }

    /// Every group, to be changed.
    pub fn groups_mut(&mut self) -> impl Iterator<Item = (&[u8], &mut Group)> {
        self.groups.iter_mut().map(|(name, group)| (&**name, Arc::make_mut(group)))
    }

    /// Adds a group; false when there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.groups.insert(name.into(), Arc::new(group));
        true
    }

    /// Removes a group with its consumers; answers it.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Arc<Group>> {
        self.groups.remove(name)
    }

    /// Entries that the group has not been given yet, as far as that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.log.entries_added() as i64;
        if added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.log.has_gaps_from(group.last_id) => read,
            _ => self.log.entries_until(group.last_id)? as i64,
        };
        Some(added.wrapping_sub(read))
    }

    /// Bytes it occupies, about.
    pub fn heap_bytes(&self) -> usize {
        let groups = self.groups.iter().map(|(name, group)| name.len() + group.heap_bytes());
        size_of::<Stream>() + self.log.heap_bytes() + groups.sum::<usize>()
    }
}
