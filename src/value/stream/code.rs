//! How numbers and texts lie in a block, and what the same would take in Redis's listpacks.
//!
//! For: encoding and decoding. May touch: bytes only.
//! Always: what was encoded is decoded to the same; texts lie as in a compact run (`pack.rs`).

use super::super::pack::{Encoded, Item, decode, listpack_size};

/// Appends a text; answers what it would take in a listpack.
pub fn push_text(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let encoded = Encoded::of(text);
    encoded.append_to(out);
    listpack_size(encoded.size())
}

/// What an integer takes in a listpack.
pub fn listpack_int(int: i64) -> usize {
    listpack_size(Encoded::item(Item::Int(int)).size())
}

/// Reads the text at `*at` and passes it.
pub fn text<'a>(bytes: &'a [u8], at: &mut usize) -> Item<'a> {
    let (item, end) = decode(bytes, *at);
    *at = end;
    item
}

/// Appends a number in groups of seven bits, lowest first.
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads such a number at `*at` and passes it.
pub fn number(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// Folds a difference so that small ones, whatever their sign, are small numbers.
pub fn fold(difference: u64) -> u64 {
    let signed = difference as i64;
    ((signed << 1) ^ (signed >> 63)) as u64
}

/// Undoes [`fold`].
pub fn unfold(folded: u64) -> u64 {
    (folded >> 1) ^ (folded & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        let mut bytes = Vec::new();
        let numbers: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1, u64::MAX >> bit]).collect();
        numbers.iter().for_each(|&number| push_number(&mut bytes, fold(number)));
        let mut at = 0;
        assert!(numbers.iter().all(|&expected| unfold(number(&bytes, &mut at)) == expected));
    }

    #[test]
    fn small_differences_are_short() {
        for difference in [0i64, 1, -1, 63, -64] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, fold(difference as u64));
            assert_eq!(bytes.len(), 1, "{difference}");
        }
    }
}
