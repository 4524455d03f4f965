//! Strings seen as rows of bits.
//! For: counting, finding, reading and combining bits for the bitmap commands. May touch: bytes only.
//! Always: bit 0 is the most significant bit of byte 0; bytes beyond the end of a string read as zero.

/// Bytes of a result that BITOP works out in one go, over all sources, so that they stay in the nearest
/// cache.
const BLOCK_BYTES: usize = 4096;

/// Widest bit field, in bits.
pub const MAX_FIELD_BITS: u32 = 64;

/// The number of bits that are set.
pub fn popcount(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<128>();
    let counted: u64 = blocks.iter().map(popcount_block).sum();
    let (words, tail) = rest.as_chunks::<8>();
    let words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    counted + words + tail.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The bits set in sixteen words. A tree of adders folds fifteen of them into one word each of ones, twos,
/// fours and eights, so that five words are counted instead of sixteen.
fn popcount_block(block: &[u8; 128]) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    let word = |at: usize| u64::from_ne_bytes(words[at]);
    let add_four = |carried: u64, at: usize| {
        let (ones, twos) = add_bits(carried, word(at), word(at + 1));
        let (ones, other_twos) = add_bits(ones, word(at + 2), word(at + 3));
        (ones, twos, other_twos)
    };
    let (ones, a, b) = add_four(0, 0);
    let (ones, c, d) = add_four(ones, 4);
    let (twos, fours) = add_bits(0, a, b);
    let (twos, other_fours) = add_bits(twos, c, d);
    let (fours, eights) = add_bits(0, fours, other_fours);
    let (ones, a, b) = add_four(ones, 8);
    let (ones, c, d) = add_four(ones, 12);
    let (twos, more_fours) = add_bits(twos, a, b);
    let (twos, other_fours) = add_bits(twos, c, d);
    let (fours, more_eights) = add_bits(fours, more_fours, other_fours);
    let count = |word: u64| u64::from(word.count_ones());
    count(ones) + 2 * count(twos) + 4 * count(fours) + 8 * (count(eights) + count(more_eights))
}

/// Adds three bits in each place: the sum's low bits and its carries.
fn add_bits(a: u64, b: u64, c: u64) -> (u64, u64) {
    (a ^ b ^ c, (a & b) | ((a ^ b) & c))
}

/// The number of bits set from `from_bit` to `to_bit`, both included. Bits beyond the end count as zero.
pub fn popcount_bits(bytes: &[u8], from_bit: u64, to_bit: u64) -> u64 {
    match Span::new(bytes, from_bit, to_bit) {
        None => 0,
        Some(span) => {
            let edges = (span.head & span.head_mask).count_ones() + (span.tail & span.tail_mask).count_ones();
            popcount(span.middle) + u64::from(edges)
        }
    }
}

/// The first bit from `from_bit` to `to_bit`, both included, that is set or clear as `bit` says. Looks only
/// at bytes that are there: what lies beyond the end is for the caller to decide.
pub fn first_bit(bytes: &[u8], bit: bool, from_bit: u64, to_bit: u64) -> Option<u64> {
    let span = Span::new(bytes, from_bit, to_bit)?;
    let flip = if bit { 0 } else { 0xff };
    let first_byte = from_bit / 8;
    let in_byte = |byte: u64, bits: u8| byte * 8 + u64::from(bits.leading_zeros());
    let head = (span.head ^ flip) & span.head_mask;
    if head != 0 {
        return Some(in_byte(first_byte, head));
    }
    if let Some(at) = first_other_than(span.middle, flip) {
        return Some(in_byte(first_byte + 1 + at as u64, span.middle[at] ^ flip));
    }
    let tail = (span.tail ^ flip) & span.tail_mask;
    (tail != 0).then(|| in_byte(first_byte + 1 + span.middle.len() as u64, tail))
}

/// The position of the first byte that is not `byte`.
fn first_other_than(bytes: &[u8], byte: u8) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let skipped = 8 * words.iter().take_while(|word| **word == [byte; 8]).count();
    bytes[skipped..].iter().position(|other| *other != byte).map(|at| skipped + at)
}

/// A range of bits within the bytes there are: a first byte, whole bytes, and a last byte. When the range
/// lies within one byte, that is the first one and the last has an empty mask.
struct Span<'a> {
    head: u8,
    head_mask: u8,
    middle: &'a [u8],
    tail: u8,
    tail_mask: u8,
}

impl<'a> Span<'a> {
    fn new(bytes: &'a [u8], from_bit: u64, to_bit: u64) -> Option<Span<'a>> {
        let end_bit = bytes.len() as u64 * 8;
        if from_bit >= end_bit || from_bit > to_bit {
            return None;
        }
        let to_bit = to_bit.min(end_bit - 1);
        let (first, last) = ((from_bit / 8) as usize, (to_bit / 8) as usize);
        let head_mask = 0xff >> (from_bit % 8);
        let tail_mask = 0xff << (7 - to_bit % 8);
        let (head, tail) = (bytes[first], bytes[last]);
        Some(if first == last {
            Span { head, head_mask: head_mask & tail_mask, middle: &[], tail, tail_mask: 0 }
        } else {
            Span { head, head_mask, middle: &bytes[first + 1..last], tail, tail_mask }
        })
    }
}

/// The bit at `offset`.
pub fn get_bit(bytes: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8).ok().and_then(|at| bytes.get(at));
    byte.is_some_and(|byte| byte >> (7 - offset % 8) & 1 == 1)
}

/// Sets or clears the bit at `offset` and returns what it was. The byte must be there: without it, nothing
/// happens.
pub fn set_bit(bytes: &mut [u8], offset: u64, on: bool) -> bool {
    let Some(byte) = usize::try_from(offset / 8).ok().and_then(|at| bytes.get_mut(at)) else {
        debug_assert!(false, "the caller grows the string first");
        return false;
    };
    let mask = 0x80 >> (offset % 8);
    let was_on = *byte & mask != 0;
    if on {
        *byte |= mask;
    } else {
        *byte &= !mask;
    }
    was_on
}

/// The field of `bits` (1 to 64) bits that starts at bit `offset`, most significant bit first.
pub fn read_unsigned(bytes: &[u8], offset: u64, bits: u32) -> u64 {
    debug_assert!((1..=MAX_FIELD_BITS).contains(&bits));
    let window = field_bytes(bytes.len(), offset, bits).map_or(&[][..], |range| &bytes[range]);
    let mut padded = [0; 16];
    padded[..window.len()].copy_from_slice(window);
    ((u128::from_be_bytes(padded) << (offset % 8)) >> (128 - bits)) as u64
}

/// The same field as a number in two's complement.
pub fn read_signed(bytes: &[u8], offset: u64, bits: u32) -> i64 {
    sign_extended(read_unsigned(bytes, offset, bits), bits)
}

/// Stores the low `bits` (1 to 64) bits of `value` in the field that starts at bit `offset`. The bytes must
/// be there: what falls beyond the end is dropped.
pub fn write(bytes: &mut [u8], offset: u64, bits: u32, value: u64) {
    debug_assert!((1..=MAX_FIELD_BITS).contains(&bits));
    debug_assert!(
        (offset + u64::from(bits)).div_ceil(8) <= bytes.len() as u64,
        "the caller grows the string first"
    );
    let Some(range) = field_bytes(bytes.len(), offset, bits) else { return };
    let window = &mut bytes[range];
    let mut padded = [0; 16];
    padded[..window.len()].copy_from_slice(window);
    let shift = 128 - bits - (offset % 8) as u32;
    let mask = u128::from(largest_unsigned(bits)) << shift;
    let merged = (u128::from_be_bytes(padded) & !mask) | ((u128::from(value) << shift) & mask);
    window.copy_from_slice(&merged.to_be_bytes()[..window.len()]);
}

/// Where the at most nine bytes of a field lie, as far as they are there.
fn field_bytes(len: usize, offset: u64, bits: u32) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset / 8).ok().filter(|start| *start < len)?;
    let count = (offset % 8 + u64::from(bits)).div_ceil(8) as usize;
    Some(start..len.min(start + count))
}

/// What becomes of a field's new value that does not fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Its low bits stay.
    Wrap,
    /// It becomes the nearest value that fits.
    Sat,
    /// The field stays as it was.
    Fail,
}

impl Overflow {
    /// The sum of `value` and `by` as an unsigned field of 1 to 63 bits keeps it, `None` if it stays as it
    /// was. For a plain store, `value` is what is to be stored (a negative number as its two's complement)
    /// and `by` zero.
    pub fn unsigned(self, value: u64, by: i64, bits: u32) -> Option<u64> {
        let max = largest_unsigned(bits);
        let sum = i128::from(value) + i128::from(by);
        let clamped = sum.clamp(0, i128::from(max));
        match self {
            _ if sum == clamped => Some(clamped as u64),
            Overflow::Wrap => Some(sum as u64 & max),
            Overflow::Sat => Some(clamped as u64),
            Overflow::Fail => None,
        }
    }

    /// The sum of `value` and `by` as a signed field of 1 to 64 bits keeps it, `None` if it stays as it was.
    /// For a plain store, `value` is what is to be stored and `by` zero.
    pub fn signed(self, value: i64, by: i64, bits: u32) -> Option<i64> {
        let max = i128::from(largest_unsigned(bits) >> 1);
        let sum = i128::from(value) + i128::from(by);
        let clamped = sum.clamp(-max - 1, max);
        match self {
            _ if sum == clamped => Some(clamped as i64),
            Overflow::Wrap => Some(sign_extended(sum as u64, bits)),
            // Found this way in servers in use: a number to be stored so far below the field's range that its
            // distance from the largest value exceeds an i64 ends up at the wrong end of the range.
            Overflow::Sat if bits < 64 && i128::from(value) < max - i128::from(i64::MAX) => Some(max as i64),
            Overflow::Sat => Some(clamped as i64),
            Overflow::Fail => None,
        }
    }
}

fn largest_unsigned(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

fn sign_extended(value: u64, bits: u32) -> i64 {
    let unused = 64 - bits;
    ((value << unused) as i64) >> unused
}

/// How BITOP combines the bits at one place. `X` is the first source, `Y` any of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOp {
    /// Set in every source.
    And,
    /// Set in some source.
    Or,
    /// Set in an odd number of sources.
    Xor,
    /// Clear in the first source, the only one that is looked at.
    Not,
    /// Set in X and in no Y.
    Diff,
    /// Set in some Y and not in X.
    Diff1,
    /// Set in X and in some Y.
    AndOr,
    /// Set in exactly one source.
    One,
}

/// The combination of all sources, as long as the longest of them.
pub fn combine(op: BitOp, sources: &[&[u8]]) -> Vec<u8> {
    let considered = if op == BitOp::Not { &sources[..sources.len().min(1)] } else { sources };
    let len = considered.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = vec![0; len];
    for (index, block) in result.chunks_mut(BLOCK_BYTES).enumerate() {
        combine_block(op, considered, index * BLOCK_BYTES, block);
    }
    result
}

/// Works out the bytes of the result from `start`, at most [`BLOCK_BYTES`] of them, which are zero before.
fn combine_block(op: BitOp, sources: &[&[u8]], start: usize, block: &mut [u8]) {
    let Some((first, others)) = sources.split_first() else { return };
    match op {
        BitOp::And => {
            merge(block, window(first, start), |_, x| x);
            for source in others {
                let present = window(source, start);
                let present_len = present.len().min(block.len());
                merge(block, present, |kept, x| kept & x);
                block[present_len..].fill(0);
            }
        }
        BitOp::Or => {
            sources.iter().for_each(|source| merge(block, window(source, start), |kept, x| kept | x))
        }
        BitOp::Xor => {
            sources.iter().for_each(|source| merge(block, window(source, start), |kept, x| kept ^ x))
        }
        BitOp::Not => merge(block, window(first, start), |_, x| !x),
        BitOp::Diff | BitOp::Diff1 | BitOp::AndOr => {
            others.iter().for_each(|source| merge(block, window(source, start), |kept, y| kept | y));
            join_first(block, window(first, start), op);
        }
        BitOp::One => combine_one(sources, start, block),
    }
}

/// Joins the first source, `x`, to the union of the others, which `block` holds.
fn join_first(block: &mut [u8], x: &[u8], op: BitOp) {
    let (covered, bare) = block.split_at_mut(x.len().min(block.len()));
    match op {
        BitOp::Diff => merge(covered, x, |y, x| x & !y),
        BitOp::Diff1 => merge(covered, x, |y, x| y & !x),
        _ => merge(covered, x, |y, x| x & y),
    }
    if op != BitOp::Diff1 {
        bare.fill(0);
    }
}

fn combine_one(sources: &[&[u8]], start: usize, block: &mut [u8]) {
    let mut repeated = [0; BLOCK_BYTES];
    for source in sources {
        let source = window(source, start);
        for ((seen, repeated), byte) in block.iter_mut().zip(&mut repeated).zip(source) {
            *repeated |= *seen & byte;
            *seen |= byte;
        }
    }
    merge(block, &repeated, |seen, repeated| seen & !repeated);
}

/// What `source` has from `start`.
fn window(source: &[u8], start: usize) -> &[u8] {
    source.get(start..).unwrap_or(&[])
}

/// Replaces each byte of `block` that `source` reaches.
fn merge(block: &mut [u8], source: &[u8], join: impl Fn(u8, u8) -> u8) {
    for (kept, byte) in block.iter_mut().zip(source) {
        *kept = join(*kept, *byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive_bits(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1)).collect()
    }

    fn naive_combine(op: BitOp, sources: &[&[u8]]) -> Vec<bool> {
        let considered = if op == BitOp::Not { &sources[..1] } else { sources };
        let len = considered.iter().map(|source| source.len()).max().unwrap_or(0) as u64 * 8;
        (0..len)
            .map(|at| {
                let x = get_bit(sources[0], at);
                let set = sources.iter().filter(|source| get_bit(source, at)).count();
                let some_y = sources[1..].iter().any(|source| get_bit(source, at));
                match op {
                    BitOp::And => set == sources.len(),
                    BitOp::Or => set > 0,
                    BitOp::Xor => set % 2 == 1,
                    BitOp::Not => !x,
                    BitOp::Diff => x && !some_y,
                    BitOp::Diff1 => some_y && !x,
                    BitOp::AndOr => x && some_y,
                    BitOp::One => set == 1,
                }
            })
            .collect()
    }

    const OPS: [BitOp; 8] =
        [BitOp::And, BitOp::Or, BitOp::Xor, BitOp::Not, BitOp::Diff, BitOp::Diff1, BitOp::AndOr, BitOp::One];

    #[test]
    fn bit_zero_is_the_most_significant_bit_of_the_first_byte() {
        let mut bytes = [0; 2];
        assert!(!set_bit(&mut bytes, 0, true));
        assert!(!set_bit(&mut bytes, 15, true));
        assert_eq!(bytes, [0x80, 0x01]);
        assert!(set_bit(&mut bytes, 0, false));
        assert!(get_bit(&bytes, 15) && !get_bit(&bytes, 16) && !get_bit(&bytes, u64::MAX));
    }

    #[test]
    fn a_field_beyond_the_end_reads_as_zero() {
        assert_eq!(read_unsigned(&[0xff], 4, 8), 0xf0);
        assert_eq!(read_unsigned(&[0xff], 8, 64), 0);
        assert_eq!(read_unsigned(&[], u64::MAX, 64), 0);
        assert_eq!(read_signed(&[0xff], 4, 4), -1);
        assert_eq!(read_signed(&[0x0f; 9], 4, 64), 0xf0f0_f0f0_f0f0_f0f0u64 as i64);
    }

    #[test]
    fn values_out_of_range_wrap_saturate_or_fail() {
        use Overflow::{Fail, Sat, Wrap};
        assert_eq!(
            [Wrap, Sat, Fail].map(|overflow| overflow.unsigned(250, 10, 8)),
            [Some(4), Some(255), None]
        );
        assert_eq!(
            [Wrap, Sat, Fail].map(|overflow| overflow.unsigned(5, -10, 8)),
            [Some(251), Some(0), None]
        );
        assert_eq!(
            [Wrap, Sat, Fail].map(|overflow| overflow.unsigned(u64::MAX, 0, 4)),
            [Some(15), Some(15), None]
        );
        assert_eq!(
            [Wrap, Sat, Fail].map(|overflow| overflow.signed(127, 1, 8)),
            [Some(-128), Some(127), None]
        );
        assert_eq!(
            [Wrap, Sat, Fail].map(|overflow| overflow.signed(-128, -1, 8)),
            [Some(127), Some(-128), None]
        );
        let largest = i64::MAX;
        assert_eq!(
            [Wrap, Sat, Fail].map(|o| o.signed(largest, 1, 64)),
            [Some(i64::MIN), Some(largest), None]
        );
        assert_eq!([Wrap, Sat, Fail].map(|overflow| overflow.signed(100, 27, 8)), [Some(127); 3]);
    }

    #[test]
    fn storing_a_number_very_far_below_the_range_saturates_at_the_top() {
        assert_eq!(Overflow::Sat.signed(i64::MIN, 0, 34), Some((1 << 33) - 1));
        assert_eq!(Overflow::Sat.signed(i64::MIN + (1 << 33), 0, 34), Some(-(1 << 33)));
        assert_eq!(Overflow::Sat.signed(i64::MIN + (1 << 33) - 1, 0, 34), Some((1 << 33) - 1));
    }

    #[test]
    fn results_longer_than_a_block_are_as_long_as_the_longest_source() {
        let (long, short) = (vec![0b1010_1010; BLOCK_BYTES * 2 + 3], vec![0b1100_1100; BLOCK_BYTES + 1]);
        for op in OPS {
            let result = combine(op, &[&long, &short]);
            assert_eq!(naive_bits(&result), naive_combine(op, &[&long, &short]), "{op:?}");
            let result = combine(op, &[&short, &long]);
            assert_eq!(naive_bits(&result), naive_combine(op, &[&short, &long]), "{op:?}");
        }
        assert_eq!(combine(BitOp::Or, &[]), Vec::<u8>::new());
    }

    /// Runs of equal bytes as well as noise, so that searches have something to skip.
    fn bytes_with_runs() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0usize..40);
        prop::collection::vec(run, 0..12)
            .prop_map(|runs| runs.into_iter().flat_map(|(byte, count)| vec![byte; count]).collect())
    }

    proptest! {
        #[test]
        fn counting_agrees_with_looking_at_every_bit(
            bytes in bytes_with_runs(), from in 0u64..2000, len in 0u64..2000,
        ) {
            let bits = naive_bits(&bytes);
            prop_assert_eq!(popcount(&bytes), bits.iter().filter(|bit| **bit).count() as u64);
            let to = from + len;
            let counted = (from..=to).filter(|at| get_bit(&bytes, *at)).count() as u64;
            prop_assert_eq!(popcount_bits(&bytes, from, to), counted);
            prop_assert_eq!(popcount_bits(&bytes, to + 1, from), 0);
        }

        #[test]
        fn searching_agrees_with_looking_at_every_bit(
            bytes in bytes_with_runs(), bit: bool, from in 0u64..2000, len in 0u64..2000,
        ) {
            let bits = naive_bits(&bytes);
            let wanted = (from..=from + len).find(|at| bits.get(*at as usize) == Some(&bit));
            prop_assert_eq!(first_bit(&bytes, bit, from, from + len), wanted);
        }

        #[test]
        fn a_field_is_its_bits_in_order(
            bytes in prop::collection::vec(any::<u8>(), 0..20), offset in 0u64..180, bits in 1u32..=64,
        ) {
            let places = offset..offset + u64::from(bits);
            let wanted = places.fold(0, |value, at| value << 1 | u64::from(get_bit(&bytes, at)));
            prop_assert_eq!(read_unsigned(&bytes, offset, bits), wanted);
            let is_negative = get_bit(&bytes, offset);
            let below = if is_negative { 1i128 << bits } else { 0 };
            prop_assert_eq!(i128::from(read_signed(&bytes, offset, bits)), i128::from(wanted) - below);
        }

        #[test]
        fn writing_a_field_changes_its_bits_only(
            bytes in prop::collection::vec(any::<u8>(), 9..24),
            offset in 0u64..200, bits in 1u32..=64, value: u64,
        ) {
            let offset = offset % (bytes.len() as u64 * 8 - u64::from(bits) + 1);
            let mut wanted = bytes.clone();
            for bit in 0..bits {
                set_bit(&mut wanted, offset + u64::from(bit), value >> (bits - 1 - bit) & 1 == 1);
            }
            let mut written = bytes;
            write(&mut written, offset, bits, value);
            prop_assert_eq!(written, wanted);
        }

        #[test]
        fn a_sum_that_fits_is_kept_and_any_other_is_mended(value: i64, by: i64, bits in 1u32..=64) {
            let value = sign_extended(value as u64, bits);
            let sum = i128::from(value) + i128::from(by);
            let (low, high) = (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1);
            let fits = (low..=high).contains(&sum);
            prop_assert_eq!(Overflow::Fail.signed(value, by, bits).map(i128::from), fits.then_some(sum));
            let saturated = Overflow::Sat.signed(value, by, bits).map(i128::from);
            prop_assert_eq!(saturated, Some(sum.clamp(low, high)));
            let wrapped = Overflow::Wrap.signed(value, by, bits).map(i128::from);
            let is_in_range = wrapped.is_some_and(|wrapped| (low..=high).contains(&wrapped));
            prop_assert!(is_in_range && wrapped.is_some_and(|wrapped| (sum - wrapped) % (1 << bits) == 0));
        }

        #[test]
        fn an_unsigned_sum_that_fits_is_kept_and_any_other_is_mended(value: u64, by: i64, bits in 1u32..=63) {
            let value = value & largest_unsigned(bits);
            let sum = i128::from(value) + i128::from(by);
            let high = (1i128 << bits) - 1;
            let fits = (0..=high).contains(&sum);
            prop_assert_eq!(Overflow::Fail.unsigned(value, by, bits).map(i128::from), fits.then_some(sum));
            let kept = [Overflow::Sat, Overflow::Wrap].map(|overflow| overflow.unsigned(value, by, bits));
            let wanted = [sum.clamp(0, high), sum.rem_euclid(high + 1)];
            prop_assert_eq!(kept.map(|kept| kept.map(i128::from)), wanted.map(Some));
        }

        #[test]
        fn combining_agrees_with_looking_at_every_bit(
            op in prop::sample::select(&OPS[..]),
            sources in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        ) {
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(naive_bits(&combine(op, &sources)), naive_combine(op, &sources));
        }
    }
}
