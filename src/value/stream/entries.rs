//! Walking through entries.
//!
//! For: ranges in both directions. May touch: blocks.
//! Always: deleted entries are passed over; identifiers come in strict order.

use std::collections::btree_map;
use std::iter::Chain;
use std::option;
use std::sync::Arc;

use super::block::{Block, Raw};
use super::code::text;
use super::id::StreamId;
use crate::value::{Item, steps};

/// Blocks in order: those that are closed, then the one that grows.
pub(super) type Blocks<'a> =
    Chain<btree_map::Range<'a, StreamId, Arc<Block>>, option::IntoIter<(&'a StreamId, &'a Arc<Block>)>>;

/// An entry as it lies in its block.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its identifier.
    pub id: StreamId,
    bytes: &'a [u8],
    fields: usize,
    /// Where the fields lie when they are those of the block's first entry.
    names: Option<usize>,
    body: usize,
}

impl<'a> Entry<'a> {
    pub(super) fn new(
        id: StreamId,
        bytes: &'a [u8],
        fields: usize,
        names: Option<usize>,
        body: usize,
    ) -> Entry<'a> {
        Entry { id, bytes, fields, names, body }
    }

    /// Number of fields; never 0.
    pub fn field_count(&self) -> usize {
        self.fields
    }

    /// Fields and values in the order in which they were added.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        let Entry { bytes, fields, mut names, mut body, .. } = *self;
        (0..fields).map(move |_| match &mut names {
            Some(names) => (text(bytes, names), text(bytes, &mut body)),
            None => (text(bytes, &mut body), text(bytes, &mut body)),
        })
    }
}

/// Entries upwards.
pub struct Upwards<'a> {
    pub(super) blocks: Blocks<'a>,
    pub(super) block: Option<&'a Block>,
    pub(super) at: usize,
    pub(super) start: StreamId,
    pub(super) end: StreamId,
}

impl<'a> Iterator for Upwards<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let block = match self.block {
                Some(block) => block,
                None => {
                    let block = self.blocks.next()?.1;
                    if block.first() > self.end {
                        return None;
                    }
                    self.at = block.start();
                    self.block = Some(block);
                    block
                }
            };
            while let Some(raw) = block.entry(&mut self.at) {
                steps::take(1);
                if raw.id > self.end {
                    return None;
                }
                if raw.id >= self.start && !raw.is_deleted() {
                    return Some(block.open(raw));
                }
            }
            self.block = None;
        }
    }
}

/// Entries downwards.
pub struct Downwards<'a> {
    pub(super) blocks: Blocks<'a>,
    pub(super) block: Option<&'a Block>,
    /// Entries of `block` that are still to come, the next one last.
    pub(super) left: Vec<Raw>,
    pub(super) start: StreamId,
    pub(super) end: StreamId,
}

impl<'a> Iterator for Downwards<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some(block) = self.block
                && let Some(raw) = self.left.pop()
            {
                return Some(block.open(raw));
            }
            let block = self.blocks.next_back()?.1;
            if block.last() < self.start {
                return None;
            }
            let mut at = block.start();
            while let Some(raw) = block.entry(&mut at) {
                steps::take(1);
                if raw.id > self.end {
                    break;
                }
                if raw.id >= self.start && !raw.is_deleted() {
                    self.left.push(raw);
                }
            }
            self.block = Some(block);
        }
    }
}
