//! LZF, the compression of strings in RDB files.
//!
//! For: making strings short as others do, so that lengths agree, and reading what others have made short.
//! May touch: bytes.
//! Always: what is returned unpacks to what was given, and is at least four bytes shorter.
//!
//! Packed bytes are a row of items. A first byte below 32 says how many plain bytes follow, less one.
//! Otherwise its high three bits are the length of a copy less two (seven: a byte with the rest follows), and
//! its low five bits with the next byte say how far back the copy begins, less one.

/// Plain bytes in one item.
const MOST_PLAIN: usize = 32;
/// How far back a copy may begin.
const MOST_BACK: usize = 1 << 13;
/// Length of a copy.
const MOST_COPIED: usize = (1 << 8) + (1 << 3);
/// The shortest copy that is looked for.
const LEAST_COPIED: usize = 3;
/// Bytes compared without looking whether the end comes near.
const AT_ONCE: usize = 16;
/// Lengths from here on, less two, need a byte of their own.
const LONG: usize = 7;
/// Bits of a place in the index of three bytes.
const INDEX_BITS: usize = 16;
/// Bytes that packing must save.
const LEAST_SAVED: usize = 4;
/// Bytes that must be free before a copy is written.
const ROOM_FOR_COPY: usize = 4;
/// Bytes that must be free before the last plain bytes are written.
const ROOM_FOR_END: usize = 3;
/// Bytes that are packed at most: places are kept as 32-bit numbers.
const MOST_BYTES: usize = u32::MAX as usize;

/// Bytes that are unpacked at most.
const MOST_UNPACKED: usize = 512 << 20;

/// Packs bytes; `None` when that does not make them shorter by four, or comes so close to it that others give
/// up.
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let limit = bytes.len().checked_sub(LEAST_SAVED)?;
    if bytes.len() > MOST_BYTES {
        return None;
    }
    let (mut index, mut packed) = (Index::new(), Vec::with_capacity(limit));
    // Bytes from `plain` to `at` are still to be written as they are.
    let (mut at, mut plain) = (0, 0);
    while at + LEAST_COPIED <= bytes.len() {
        let Some(found) = index.replace(bytes, at).filter(|found| is_copy(bytes, *found, at)) else {
            if place(&packed, at - plain) >= limit {
                return None;
            }
            at += 1;
            continue;
        };
        write_plain(&mut packed, &bytes[plain..at]);
        if packed.len() + ROOM_FOR_COPY >= limit {
            return None;
        }
        let length = length_of_copy(bytes, found, at);
        write_copy(&mut packed, at - found - 1, length);
        at += length;
        plain = at;
        // Of the copy only the last two places can be found again: that costs little and saves time.
        if at + LEAST_COPIED <= bytes.len() {
            index.replace(bytes, at - 2);
            index.replace(bytes, at - 1);
        }
    }
    if place(&packed, at - plain) + ROOM_FOR_END > limit {
        return None;
    }
    write_plain(&mut packed, &bytes[plain..]);
    (packed.len() <= limit).then_some(packed)
}

/// Where the next of `plain` bytes goes that are not written yet, the heads of their items counted.
fn place(packed: &[u8], plain: usize) -> usize {
    packed.len() + plain + plain / MOST_PLAIN + 1
}

/// Where three bytes were seen last. Different ones may share a place.
struct Index(Vec<u32>);

impl Index {
    fn new() -> Index {
        Index(vec![0; 1 << INDEX_BITS])
    }

    /// Notes that the three bytes at `at` are there, and returns where they may have been before. The very
    /// first place counts as none.
    fn replace(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let word = bytes[at..at + LEAST_COPIED].iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let place = (word >> (24 - INDEX_BITS)).wrapping_sub(word.wrapping_mul(5)) & ((1 << INDEX_BITS) - 1);
        let before = std::mem::replace(&mut self.0[place as usize], at as u32);
        (before != 0).then_some(before as usize)
    }
}

fn is_copy(bytes: &[u8], from: usize, at: usize) -> bool {
    from < at && at - from <= MOST_BACK && bytes[from..from + LEAST_COPIED] == bytes[at..at + LEAST_COPIED]
}

/// How long the bytes at both places are the same, as far as others look: they compare the first sixteen
/// bytes after the shortest copy at once, and otherwise leave the last two bytes alone.
fn length_of_copy(bytes: &[u8], from: usize, at: usize) -> usize {
    let most = (bytes.len() - at - 2).min(MOST_COPIED);
    let least = if most > AT_ONCE { LEAST_COPIED + AT_ONCE } else { LEAST_COPIED };
    let same = |length: &usize| bytes[from + length] == bytes[at + length];
    LEAST_COPIED + (LEAST_COPIED..most.max(least)).take_while(same).count()
}

fn write_plain(packed: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(MOST_PLAIN) {
        packed.push((chunk.len() - 1) as u8);
        packed.extend_from_slice(chunk);
    }
}

fn write_copy(packed: &mut Vec<u8>, back: usize, length: usize) {
    let (high, length) = ((back >> 8) as u8, length - 2);
    if length < LONG {
        packed.push(high | (length << 5) as u8);
    } else {
        packed.extend([high | (LONG << 5) as u8, (length - LONG) as u8]);
    }
    packed.push(back as u8);
}

/// Unpacks bytes to exactly so many; `None` when they are not packed so.
pub fn decompress(mut packed: &[u8], length: usize) -> Option<Vec<u8>> {
    // No item makes more of its bytes.
    if length > packed.len().saturating_mul(MOST_COPIED).min(MOST_UNPACKED) {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    while let Some((&first, rest)) = packed.split_first() {
        let first = usize::from(first);
        if first < MOST_PLAIN {
            let (plain, rest) = rest.split_at_checked(first + 1)?;
            bytes.extend_from_slice(plain);
            packed = rest;
        } else {
            packed = copy(&mut bytes, first, rest)?;
        }
        if bytes.len() > length {
            return None;
        }
    }
    (bytes.len() == length).then_some(bytes)
}

/// Unpacks a copy whose first byte is given; what follows it.
fn copy<'a>(bytes: &mut Vec<u8>, first: usize, rest: &'a [u8]) -> Option<&'a [u8]> {
    let (mut length, mut rest) = (first / MOST_PLAIN + 2, rest);
    if length == LONG + 2 {
        let (&more, behind) = rest.split_first()?;
        (length, rest) = (length + usize::from(more), behind);
    }
    let (&low, rest) = rest.split_first()?;
    let back = (first % MOST_PLAIN) << 8 | usize::from(low);
    let from = bytes.len().checked_sub(back + 1)?;
    // A copy may begin in what is being copied.
    (from..from + length).for_each(|at| bytes.push(bytes[at]));
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_those_of_other_servers() {
        let zeros = [vec![0; 100_000], vec![b'x']].concat();
        for (bytes, length) in [
            (&b"a".repeat(52)[..], 9),
            (&b"a".repeat(25)[..], 9),
            (&b"abcdefghij".repeat(3)[..], 15),
            (&zeros[..], 1143),
        ] {
            let packed = compress(bytes).unwrap();
            assert_eq!(decompress(&packed, bytes.len()).as_deref(), Some(bytes));
            assert_eq!(packed.len(), length);
        }
    }

    #[test]
    fn what_does_not_repeat_stays_as_it_is() {
        assert_eq!(compress(b""), None);
        assert_eq!(compress(b"abc"), None);
        assert_eq!(compress(b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOP"), None);
    }

    proptest! {
        #[test]
        fn packed_bytes_unpack_to_what_they_were(
            words in prop::collection::vec("[ab]{1,4}|[a-z]{1,9}", 0..200),
        ) {
            let bytes = words.concat().into_bytes();
            if let Some(packed) = compress(&bytes) {
                prop_assert!(packed.len() + LEAST_SAVED <= bytes.len());
                prop_assert_eq!(decompress(&packed, bytes.len()), Some(bytes));
            }
        }
    }
}
