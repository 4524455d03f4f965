//! Registers of 6 bits, four in three bytes, the first in the low bits.

use super::{REGISTERS, Registers};

/// Bytes of all registers.
pub const LEN: usize = REGISTERS / 4 * 3;

const MASK: u32 = 0x3f;

/// Calls `visit` with the value of every register, in order.
#[inline]
pub fn each(bytes: &[u8], mut visit: impl FnMut(u8)) {
    debug_assert_eq!(bytes.len(), LEN);
    for group in bytes.as_chunks::<3>().0 {
        let bits = word(*group);
        visit((bits & MASK) as u8);
        visit((bits >> 6 & MASK) as u8);
        visit((bits >> 12 & MASK) as u8);
        visit((bits >> 18) as u8);
    }
}

/// The value of one register.
pub fn get(bytes: &[u8], index: usize) -> u8 {
    let at = index / 4 * 3;
    (word([bytes[at], bytes[at + 1], bytes[at + 2]]) >> (index % 4 * 6) & MASK) as u8
}

/// Sets one register if it is lower; says whether it was.
pub fn raise(bytes: &mut [u8], index: usize, value: u8) -> bool {
    let (at, shift) = (index / 4 * 3, index % 4 * 6);
    let bits = word([bytes[at], bytes[at + 1], bytes[at + 2]]);
    let is_lower = ((bits >> shift & MASK) as u8) < value;
    if is_lower {
        let bits = bits & !(MASK << shift) | u32::from(value) << shift;
        bytes[at..at + 3].copy_from_slice(&bits.to_le_bytes()[..3]);
    }
    is_lower
}

/// Sets every register.
pub fn set_all(bytes: &mut [u8], registers: &Registers) {
    let groups = bytes.as_chunks_mut::<3>().0.iter_mut();
    for (group, values) in groups.zip(registers.as_chunks::<4>().0) {
        let bits = values.iter().rev().fold(0, |bits, &value| bits << 6 | u32::from(value));
        group.copy_from_slice(&bits.to_le_bytes()[..3]);
    }
}

fn word([low, middle, high]: [u8; 3]) -> u32 {
    u32::from_le_bytes([low, middle, high, 0])
}
