//! How large a list and its nodes may become.
//!
//! For: `list-max-listpack-size`. May touch: numbers only.
//! Always: sizes are those that the original's listpack would have, so a value changes its encoding exactly
//! when it would there.

/// Bytes of a listpack beside its elements.
pub(super) const LISTPACK_FRAME: usize = 7;

/// Bytes of a node where the setting counts elements.
const SAFE_BYTES: usize = 8 * 1024;
/// What the original adds to an element's length, where it only estimates what a node would need.
const ESTIMATED_FRAME: usize = 8;
/// Bytes of a node for the settings -1 to -5.
const LEVELS: [usize; 5] = [4 * 1024, 8 * 1024, 16 * 1024, 32 * 1024, 64 * 1024];
/// The largest number of elements of a node that a list remembers.
const MOST_ELEMENTS: i64 = i16::MAX as i64;

/// How large a list may become in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// `list-max-listpack-size` as it was given: from -1 to -5 a number of bytes, above a number of elements.
    pub max_listpack_size: i64,
    /// Bytes from which on an element gets a node of its own; `None`: when it is longer than a node.
    pub packed_threshold: Option<u32>,
}

impl ListLimits {
    /// As a list remembers it for its nodes.
    pub(super) fn fill(self) -> Fill {
        let setting = self.max_listpack_size.clamp(-(LEVELS.len() as i64), MOST_ELEMENTS);
        let Bounds { bytes, count } = Bounds::of(setting);
        Fill {
            setting: setting as i16,
            bytes: if bytes == usize::MAX { SAFE_BYTES as u32 } else { bytes as u32 },
            count: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    fn bounds(self) -> Bounds {
        Bounds::of(self.max_listpack_size)
    }

    /// Whether an element is too long to lie in a node of that limit together with others.
    pub(super) fn is_large(self, fill: Fill, len: usize) -> bool {
        match self.packed_threshold {
            Some(threshold) => len >= threshold as usize,
            None => len > fill.node_bytes(),
        }
    }

    /// Whether a list in one listpack has to become a list of nodes to get so large.
    pub(super) fn exceeds(self, bytes: usize, count: usize) -> bool {
        self.bounds().exceeds(bytes, count)
    }

    /// Whether the only node of a list is small enough to be a listpack again. `shrinks`: not unless half of
    /// the limit is free, lest the list goes back and forth.
    pub(super) fn joins(self, bytes: usize, count: usize, shrinks: bool) -> bool {
        let bounds = self.bounds();
        let part = if shrinks { 2 } else { 1 };
        bytes <= bounds.bytes / part && (bounds.count == usize::MAX || count <= bounds.count / part)
    }
}

/// The limit of a list's nodes, kept since the list was made of nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    setting: i16,
    /// Most bytes of a node, where elements are counted, too.
    bytes: u32,
    /// Most elements of a node; `u32::MAX` where bytes are counted.
    count: u32,
}

impl Fill {
    /// As it was given.
    pub(super) fn setting(self) -> i16 {
        self.setting
    }

    /// Whether an element of `len` bytes, which is not too long, may be added to a node that has `count`
    /// elements in `bytes`.
    #[inline]
    pub(super) fn admits(self, bytes: usize, count: usize, len: usize) -> bool {
        self.merges(bytes + len + ESTIMATED_FRAME, count + 1)
    }

    /// Whether two neighbours that have so much together may become one.
    #[inline]
    pub(super) fn merges(self, bytes: usize, count: usize) -> bool {
        bytes <= self.bytes as usize && count <= self.count as usize
    }

    /// Bytes of a full node.
    #[inline]
    pub(super) fn node_bytes(self) -> usize {
        self.bytes as usize
    }
}

struct Bounds {
    /// `usize::MAX` where elements are counted.
    bytes: usize,
    /// `usize::MAX` where bytes are counted.
    count: usize,
}

impl Bounds {
    fn of(setting: i64) -> Bounds {
        match usize::try_from(setting) {
            Ok(count) => Bounds { bytes: usize::MAX, count: count.max(1) },
            Err(_) => {
                let level = (setting.unsigned_abs() as usize - 1).min(LEVELS.len() - 1);
                Bounds { bytes: LEVELS[level], count: usize::MAX }
            }
        }
    }

    fn exceeds(&self, bytes: usize, count: usize) -> bool {
        if self.bytes != usize::MAX {
            return bytes > self.bytes;
        }
        bytes > SAFE_BYTES || count > self.count
    }
}
