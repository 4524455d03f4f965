//! The one hash of a key and what each of its bits is for.
//!
//! For: every place that must find a key's shard, bucket or tag.
//! May touch: nothing.
//! Always: one server uses one seed, so a key has one hash in all its shards and databases.
//!
//! ```text
//!  63        48 47                                   8 7       0
//! +------------+--------------------------------------+---------+
//! |   shard    |   directory index, then bucket       |   tag   |
//! +------------+--------------------------------------+---------+
//! ```
//!
//! The shard is the top 16 bits scaled to the number of shards. The low 48 bits are the key's *position*:
//! read as a fraction they say where the key lies between the table's first and last bucket, and SCAN walks
//! them in order. The leading bits of the position choose the segment (as many as the segment is deep), the
//! 32 after those choose the bucket by scaling. The last 8 are the tag; a segment would have to be over 30
//! deep to draw on them.

use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// Bits of a hash that place a key inside one table; also the width of a scan cursor.
pub const POSITION_BITS: u32 = 48;

/// Hashes keys with a secret seed. Cloning copies 56 bytes.
#[derive(Clone, Debug)]
pub struct KeyHasher {
    start: u64,
    shared: SharedSeed,
    /// Bits a test leaves in the hash, to make collisions.
    #[cfg(test)]
    keep: u64,
}

impl KeyHasher {
    /// Derives every constant of the hash from `seed`: with public constants a client could choose
    /// keys that collide whatever the seed is.
    pub fn new(seed: u64) -> KeyHasher {
        KeyHasher {
            start: seed ^ seed.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            shared: SharedSeed::from_u64(seed),
            #[cfg(test)]
            keep: u64::MAX,
        }
    }

    /// A hasher that clears all bits outside `keep`.
    #[cfg(test)]
    pub(crate) fn with_mask(seed: u64, keep: u64) -> KeyHasher {
        KeyHasher { keep, ..KeyHasher::new(seed) }
    }

    /// The hash of `key`; all 64 bits are well mixed.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.start, &self.shared);
        hasher.write(key);
        let hash = hasher.finish();
        #[cfg(test)]
        let hash = hash & self.keep;
        hash
    }
}

/// The shard of a hash, below `shards` (at most 65,536).
#[inline]
pub fn shard(hash: u64, shards: usize) -> usize {
    debug_assert!((1..=1 << 16).contains(&shards));
    ((hash >> POSITION_BITS) as usize * shards) >> 16
}

/// The position bits, moved to the top of the word: comparing two of them compares positions.
#[inline]
pub(super) fn position(hash: u64) -> u64 {
    hash << (u64::BITS - POSITION_BITS)
}

/// The byte kept beside an occupied slot; never 0, which marks a free one.
#[inline]
pub(super) fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u64) -> impl Iterator<Item = Vec<u8>> {
        (0..count).map(|i| format!("user:{i:08}").into_bytes())
    }

    #[test]
    fn every_bit_is_set_in_half_of_all_hashes() {
        let hasher = KeyHasher::new(7);
        let mut ones = [0u32; 64];
        for key in keys(20_000) {
            let hash = hasher.hash(&key);
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += (hash >> bit & 1) as u32;
            }
        }
        // Six standard deviations of a fair coin thrown 20,000 times.
        assert!(ones.iter().all(|&n| n.abs_diff(10_000) < 425), "{ones:?}");
    }

    #[test]
    fn each_byte_of_the_hash_spreads_evenly_over_its_values() {
        let hasher = KeyHasher::new(3);
        for byte in 0..8 {
            let mut seen = [0u32; 256];
            keys(25_600).for_each(|key| seen[hasher.hash(&key).to_le_bytes()[byte] as usize] += 1);
            let chi: f64 = seen.iter().map(|&n| (n as f64 - 100.0).powi(2) / 100.0).sum();
            assert!(chi < 255.0 + 6.0 * 22.6, "byte {byte}: {chi}");
        }
    }

    #[test]
    fn seeds_and_lengths_change_the_hash() {
        let (one, two) = (KeyHasher::new(1), KeyHasher::new(2));
        assert_ne!(one.hash(b"key"), two.hash(b"key"));
        assert_ne!(one.hash(b""), one.hash(b"\0"));
        assert_ne!(one.hash(b"\0"), one.hash(b"\0\0"));
        assert_eq!(one.hash(b"key"), one.clone().hash(b"key"));
    }

    #[test]
    fn shards_cover_their_whole_range() {
        assert_eq!(shard(0, 256), 0);
        assert_eq!(shard(u64::MAX, 256), 255);
        assert_eq!(shard(u64::MAX, 3), 2);
        assert_eq!(shard(u64::MAX, 1), 0);
    }
}
