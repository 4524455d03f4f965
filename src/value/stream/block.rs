//! A run of entries packed together.
//!
//! For: what entries of one stream have in common is stored once: the block's first identifier, and the names
//! of the fields of its first entry. May touch: its own bytes.
//! Always: identifiers ascend; an entry is appended behind the others and only its flags ever change; a
//! deleted entry keeps its bytes until the whole block goes. Blocks begin and end where Redis's nodes do, so
//! approximate trimming removes the same entries; so each knows what it would take as a listpack.
//!
//! An entry: bytes of the rest, flags, milliseconds since the block's first, folded difference of the
//! sequence numbers, then the values; with other fields than the first entry's, their number, and fields and
//! values in turn.

use super::code::{fold, listpack_int, number, push_number, push_text, text, unfold};
use super::entries::Entry;
use super::id::StreamId;

/// Flag of an entry that is deleted.
const DELETED: u8 = 1;
/// Flag of an entry with the fields of the block's first.
const SAME_FIELDS: u8 = 2;

/// Head and end mark of an empty listpack.
const LISTPACK_FRAME: usize = 7;
/// A small number in a listpack.
const LISTPACK_SMALL: usize = 2;
/// Size from which a node takes no more entries, whatever the settings are.
pub const NODE_MAX_BYTES: usize = 1 << 30;

/// When a block takes no more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// `stream-node-max-bytes`; 0: no limit of its own.
    pub max_bytes: usize,
    /// `stream-node-max-entries`, deleted ones included; 0: no limit.
    pub max_entries: u64,
}

/// A run of entries.
#[derive(Clone, Debug)]
pub struct Block {
    first: StreamId,
    /// Of the entry that lies last, deleted or not.
    last: StreamId,
    /// Entries that are not deleted.
    live: u32,
    /// Entries that are.
    deleted: u32,
    /// Fields of the first entry.
    fields: u32,
    /// Where the entries begin, after the first entry's fields.
    entries_at: u32,
    /// What it takes as a listpack, but for the counters of entries.
    listpack_bytes: usize,
    bytes: Vec<u8>,
}

impl Block {
    /// A block without entries whose first will be `id` with the fields of `pairs` (field, value, ...).
    pub fn new<'p>(id: StreamId, pairs: impl ExactSizeIterator<Item = &'p [u8]>) -> Block {
        let fields = pairs.len() / 2;
        let mut bytes = Vec::new();
        let mut listpack_bytes = LISTPACK_FRAME + listpack_int(fields as i64) + LISTPACK_SMALL;
        for field in pairs.step_by(2) {
            listpack_bytes += push_text(&mut bytes, field);
        }
        let (fields, entries_at) = (fields as u32, bytes.len() as u32);
        Block { first: id, last: id, live: 0, deleted: 0, fields, entries_at, listpack_bytes, bytes }
    }

    /// Identifier of its first entry, deleted or not.
    pub fn first(&self) -> StreamId {
        self.first
    }

    /// The same, borrowed: the key under which it is filed.
    pub fn key(&self) -> &StreamId {
        &self.first
    }

    /// Identifier of its last entry, deleted or not.
    pub fn last(&self) -> StreamId {
        self.last
    }

    /// Entries that are not deleted.
    pub fn live(&self) -> u64 {
        u64::from(self.live)
    }

    /// Whether an entry with that many bytes of fields and values belongs into a new block.
    pub fn is_full(&self, pair_bytes: usize, limits: NodeLimits) -> bool {
        let max_bytes = match limits.max_bytes {
            0 => NODE_MAX_BYTES,
            max_bytes => max_bytes.min(NODE_MAX_BYTES),
        };
        let counters = listpack_int(i64::from(self.live)) + listpack_int(i64::from(self.deleted));
        let entries = u64::from(self.live) + u64::from(self.deleted);
        self.listpack_bytes + counters + pair_bytes >= max_bytes
            || (limits.max_entries != 0 && entries >= limits.max_entries)
    }

    /// Appends an entry; `id` is above [`Block::last`], or the block has no entries.
    pub fn push<'p>(&mut self, id: StreamId, pairs: impl ExactSizeIterator<Item = &'p [u8]> + Clone) {
        debug_assert!(id > self.last || (self.live + self.deleted == 0 && id == self.first));
        let (ms, seq) = (id.ms - self.first.ms, id.seq.wrapping_sub(self.first.seq));
        let fields = pairs.len() / 2;
        let is_same = self.has_fields(pairs.clone().step_by(2));
        let mut listpack_bytes = LISTPACK_SMALL + listpack_int(ms as i64) + listpack_int(seq as i64);
        let bytes = &mut self.bytes;
        let head = bytes.len();
        bytes.extend_from_slice(&[0, if is_same { SAME_FIELDS } else { 0 }]);
        push_number(bytes, ms);
        push_number(bytes, fold(seq));
        if is_same {
            for value in pairs.skip(1).step_by(2) {
                listpack_bytes += push_text(bytes, value);
            }
            listpack_bytes += listpack_int(fields as i64 + 3);
        } else {
            push_number(bytes, fields as u64);
            for text in pairs {
                listpack_bytes += push_text(bytes, text);
            }
            listpack_bytes += listpack_int(fields as i64) + listpack_int(2 * fields as i64 + 4);
        }
        set_len(bytes, head);
        self.listpack_bytes += listpack_bytes;
        self.last = id;
        self.live += 1;
    }

    fn has_fields<'p>(&self, mut fields: impl ExactSizeIterator<Item = &'p [u8]>) -> bool {
        let mut at = 0;
        fields.len() == self.fields as usize && fields.all(|field| text(&self.bytes, &mut at).eq_bytes(field))
    }

    /// Gives back memory that only a growing block needs.
    pub fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Whether an entry of that identifier is in it and not deleted.
    pub fn has(&self, id: StreamId) -> bool {
        self.find(id).is_some()
    }

    /// Marks the entry as deleted; false when there is none, or it was already.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(flags_at) = self.find(id) else { return false };
        self.mark(flags_at);
        true
    }

    fn mark(&mut self, flags_at: usize) {
        self.bytes[flags_at] |= DELETED;
        self.live -= 1;
        self.deleted += 1;
    }

    /// Where the flags of an entry lie that is not deleted.
    fn find(&self, id: StreamId) -> Option<usize> {
        let mut at = self.start();
        while let Some(entry) = self.entry(&mut at) {
            if entry.id >= id {
                return (entry.id == id && !entry.is_deleted()).then_some(entry.flags_at);
            }
        }
        None
    }

    /// Marks entries as deleted, from the first on, while `goes` says so; answers how many were live.
    pub fn delete_while(&mut self, mut goes: impl FnMut(StreamId) -> bool) -> u64 {
        let mut at = self.start();
        let before = self.live;
        while let Some(raw) = self.entry(&mut at) {
            let (id, flags_at, is_deleted) = (raw.id, raw.flags_at, raw.is_deleted());
            if !is_deleted {
                if !goes(id) {
                    break;
                }
                self.mark(flags_at);
            }
        }
        u64::from(before - self.live)
    }

    /// Where the first entry lies.
    pub(super) fn start(&self) -> usize {
        self.entries_at as usize
    }

    /// The entry at `*at`, which is passed.
    pub(super) fn entry(&self, at: &mut usize) -> Option<Raw> {
        if *at == self.bytes.len() {
            return None;
        }
        let len = number(&self.bytes, at) as usize;
        let (flags_at, end) = (*at, *at + len);
        let flags = self.bytes[flags_at];
        let mut here = flags_at + 1;
        let ms = self.first.ms + number(&self.bytes, &mut here);
        let seq = self.first.seq.wrapping_add(unfold(number(&self.bytes, &mut here)));
        *at = end;
        Some(Raw { id: StreamId { ms, seq }, flags_at, flags, body: here })
    }

    /// The entry with its fields.
    pub(super) fn open(&self, raw: Raw) -> Entry<'_> {
        let mut body = raw.body;
        let (fields, names) = if raw.flags & SAME_FIELDS != 0 {
            (self.fields as usize, Some(0))
        } else {
            (number(&self.bytes, &mut body) as usize, None)
        };
        Entry::new(raw.id, &self.bytes, fields, names, body)
    }

    /// Bytes it occupies.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Block>() + self.bytes.capacity()
    }
}

/// An entry's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    pub id: StreamId,
    flags_at: usize,
    flags: u8,
    body: usize,
}

impl Raw {
    pub fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }
}

/// Writes the length of what follows the one byte at `head` that was left for it.
fn set_len(bytes: &mut Vec<u8>, head: usize) {
    let len = (bytes.len() - head - 1) as u64;
    if len < 0x80 {
        bytes[head] = len as u8;
        return;
    }
    let mut long = Vec::with_capacity(5);
    push_number(&mut long, len);
    bytes.splice(head..=head, long);
}
