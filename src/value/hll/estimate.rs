//! From elements to bits, and from registers to a count.
//!
//! The estimator is the improved raw estimator of Otmar Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (arXiv:1702.01284), section 4: it needs neither a bias table nor different formulas
//! for small and large counts.

use super::{RANK_BITS, REGISTERS};

/// Registers can hold values up to this, though no element asks for more than `RANK_BITS + 1`.
const VALUES: usize = 64;

/// The limit of the constant alpha for many registers: 1 / (2 ln 2).
const ALPHA: f64 = 0.5 / std::f64::consts::LN_2;

/// How many registers have each value.
pub struct Histogram([u32; VALUES]);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram([0; VALUES])
    }
}

impl Histogram {
    /// Notes `len` registers of `value`, which is below 64.
    #[inline]
    pub fn add(&mut self, value: u8, len: usize) {
        self.0[usize::from(value) % VALUES] += len as u32;
    }

    /// The estimated number of elements. Registers that no elements can make (all of them beyond their
    /// highest value) give a number beyond `i64`.
    pub fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let full = self.0[RANK_BITS as usize + 1];
        let mut z = m * tau((m - f64::from(full)) / m);
        for value in (1..=RANK_BITS as usize).rev() {
            z = 0.5 * (z + f64::from(self.0[value]));
        }
        z += m * sigma(f64::from(self.0[0]) / m);
        let count = (ALPHA * m * m / z).round();
        if count < i64::MAX as f64 { count as u64 } else { 1 << 63 }
    }
}

/// What registers of zero contribute; `x` is their part of all, from 0 to 1.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// What registers of the highest value contribute; `x` is the part of all others, from 0 to 1.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// MurmurHash2, the 64-bit variant for 64-bit machines, as a little-endian machine computes it.
pub fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}
