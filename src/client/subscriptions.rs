//! What a session has subscribed to.
//!
//! For: pub/sub commands, and the delivery of messages. May touch: nothing.
//! Always: agrees with the channels' own lists once a command is over.

use std::collections::BTreeSet;

use crate::pubsub::Sort;

/// The subscriptions of a session.
#[derive(Default)]
pub struct Subscriptions {
    channels: BTreeSet<Box<[u8]>>,
    patterns: BTreeSet<Box<[u8]>>,
    shard_channels: BTreeSet<Box<[u8]>>,
}

impl Subscriptions {
    /// Those of one sort, in order of their names.
    pub fn of(&self, sort: Sort) -> &BTreeSet<Box<[u8]>> {
        match sort {
            Sort::Channel => &self.channels,
            Sort::Pattern => &self.patterns,
            Sort::Shard => &self.shard_channels,
        }
    }

    /// As [`Subscriptions::of`], to change.
    pub fn of_mut(&mut self, sort: Sort) -> &mut BTreeSet<Box<[u8]>> {
        match sort {
            Sort::Channel => &mut self.channels,
            Sort::Pattern => &mut self.patterns,
            Sort::Shard => &mut self.shard_channels,
        }
    }

    /// The number that replies to commands of this sort show: channels and patterns are counted together.
    pub fn count(&self, sort: Sort) -> usize {
        match sort {
            Sort::Channel | Sort::Pattern => self.channels.len() + self.patterns.len(),
            Sort::Shard => self.shard_channels.len(),
        }
    }

    /// All of them.
    pub fn len(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shard_channels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
