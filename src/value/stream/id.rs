//! Identifiers of stream entries.
//!
//! For: their order, their neighbours and their text. May touch: bytes only.
//! Always: ordered by time first, then by sequence number.

use super::super::number::parse_u64;

/// Longest text that is read as an identifier.
const TEXT_MAX: usize = 127;

/// An entry's identifier: unix milliseconds and a sequence number within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Unix milliseconds, usually.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The lowest one, which no entry has.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The highest one.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The lowest one above it; `None` above [`StreamId::MAX`].
    pub fn successor(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The highest one below it; `None` below [`StreamId::MIN`].
    pub fn predecessor(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Reads `ms-seq`, or `ms` alone with `missing_seq` in place of the sequence number. Numbers are read as
    /// leniently as SCAN's cursors; a NUL byte ends the text. `None` when it is none.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        let (ms, seq) = StreamId::split(text)?;
        let ms = parse_u64(ms)?;
        let seq = seq.map_or(Some(missing_seq), parse_u64)?;
        Some(StreamId { ms, seq })
    }

    /// Reads `ms-*`: the time whose next sequence number is to be found.
    pub fn parse_time(text: &[u8]) -> Option<u64> {
        match StreamId::split(text)? {
            (ms, Some(b"*")) => parse_u64(ms),
            _ => None,
        }
    }

    /// What stands before and after the first dash.
    fn split(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let text = text.split(|&byte| byte == 0).next().unwrap_or(text);
        match text.iter().position(|&byte| byte == b'-') {
            Some(dash) => Some((&text[..dash], Some(&text[dash + 1..]))),
            None => Some((text, None)),
        }
    }

    /// Writes `ms-seq` into `out` and answers the part written.
    pub fn text(self, out: &mut [u8; IdText::LEN]) -> &[u8] {
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(self.ms).as_bytes(), seq.format(self.seq).as_bytes());
        out[..ms.len()].copy_from_slice(ms);
        out[ms.len()] = b'-';
        let len = ms.len() + 1 + seq.len();
        out[ms.len() + 1..len].copy_from_slice(seq);
        &out[..len]
    }

    /// The text as a value of its own.
    pub fn to_text(self) -> IdText {
        let mut bytes = [0; IdText::LEN];
        let len = self.text(&mut bytes).len() as u8;
        IdText { bytes, len }
    }

    /// Big-endian time, then sequence number: bytes in the order of the identifiers.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }
}

/// The text of an identifier.
pub struct IdText {
    bytes: [u8; IdText::LEN],
    len: u8,
}

impl IdText {
    /// Two numbers of twenty digits and a dash.
    pub const LEN: usize = 41;

    /// `ms-seq`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}
