//! HyperLogLog: how many different elements were added, in at most 12 KB, with a standard error of 0.81 %.
//!
//! For: reading, changing and merging the strings that PFADD and its relatives keep. May touch: bytes only.
//! Always: a string is exactly what Redis and Valkey make of the same commands, byte for byte; bytes that no
//! command made are met with [`Corrupt`], never with a panic or an endless walk.
//!
//! An element is hashed to 64 bits. The low 14 choose one of 16,384 registers; the register keeps the longest
//! run of zeros, plus one, that the other 50 began with. The string:
//!
//! ```text
//! "HYLL"  encoding (0 dense, 1 sparse)  3 unused bytes  count (8 bytes, little-endian)  registers
//! ```
//!
//! The count is the one last estimated; its highest bit says that registers have changed since. Dense
//! registers are 6 bits each, the first in the low bits of the first byte ([`dense`]). Sparse ones are runs
//! of equal registers ([`sparse`]).

mod dense;
mod estimate;
mod sparse;

use super::number::MAX_I64_LEN;
use super::pack::Item;

pub use sparse::{Run, Runs};

/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;

/// The value of every register.
pub type Registers = [u8; REGISTERS];

/// The bytes are no HyperLogLog that a command could have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;
/// Bits of a hash that are left for a register's value.
const RANK_BITS: u32 = u64::BITS - INDEX_BITS;
/// What elements are hashed with.
const SEED: u64 = 0xadc8_3b19;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const COUNT_AT: usize = 8;
/// Bytes before the registers.
const HEADER_LEN: usize = 16;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// Length of a dense HyperLogLog.
const DENSE_LEN: usize = HEADER_LEN + dense::LEN;
/// In the count's last byte: it is out of date.
const STALE: u8 = 0x80;

/// A HyperLogLog to read. Its header is sound; its registers may not be.
#[derive(Clone, Copy, Debug)]
pub struct HllRef<'a>(&'a [u8]);

impl<'a> HllRef<'a> {
    /// The HyperLogLog that these bytes are, if their header says so.
    pub fn of(bytes: &'a [u8]) -> Option<HllRef<'a>> {
        if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
            return None;
        }
        match bytes[ENCODING_AT] {
            DENSE if bytes.len() == DENSE_LEN => Some(HllRef(bytes)),
            SPARSE => Some(HllRef(bytes)),
            _ => None,
        }
    }

    /// Whether its registers are dense.
    pub fn is_dense(self) -> bool {
        self.0[ENCODING_AT] == DENSE
    }

    /// The count last estimated, unless registers have changed since.
    pub fn known_count(self) -> Option<u64> {
        let count: [u8; 8] = self.0[COUNT_AT..HEADER_LEN].try_into().expect("the header is there");
        (count[7] & STALE == 0).then(|| u64::from_le_bytes(count))
    }

    /// Estimates the number of different elements.
    ///
    /// # Errors
    /// [`Corrupt`] when sparse runs are not those of all registers.
    pub fn count(self) -> Result<u64, Corrupt> {
        let mut histogram = estimate::Histogram::default();
        if self.is_dense() {
            dense::each(self.registers(), |value| histogram.add(value, 1));
        } else {
            sparse::each(self.registers(), |_, len, value| histogram.add(value, len))?;
        }
        Ok(histogram.estimate())
    }

    /// Raises `registers` to those of this one where they are lower.
    ///
    /// # Errors
    /// [`Corrupt`] as for [`count`](HllRef::count); then some may have been raised.
    pub fn merge_into(self, registers: &mut Registers) -> Result<(), Corrupt> {
        if self.is_dense() {
            let mut into = registers.iter_mut();
            dense::each(self.registers(), |value| {
                let register = into.next().expect("there are as many");
                *register = value.max(*register);
            });
            return Ok(());
        }
        sparse::each(self.registers(), |first, len, value| {
            if value > 0 {
                registers[first..first + len]
                    .iter_mut()
                    .for_each(|register| *register = value.max(*register));
            }
        })
    }

    /// Whether adding the element would change anything.
    ///
    /// # Errors
    /// [`Corrupt`] when sparse runs end before the element's register.
    pub fn would_change(self, element: &[u8]) -> Result<bool, Corrupt> {
        let (index, value) = place(element);
        let present = if self.is_dense() {
            dense::get(self.registers(), index)
        } else {
            sparse::find(self.registers(), index)?.run.value()
        };
        Ok(value > present)
    }

    /// The runs of a sparse one.
    pub fn runs(self) -> Option<Runs<'a>> {
        (!self.is_dense()).then(|| Runs::of(self.registers()))
    }

    fn registers(self) -> &'a [u8] {
        &self.0[HEADER_LEN..]
    }
}

/// A HyperLogLog that has seen nothing, and has not been counted.
pub fn empty() -> Vec<u8> {
    let mut bytes = [MAGIC, &[SPARSE, 0, 0, 0], &[0; 7], &[STALE]].concat();
    Run::Zeros(REGISTERS).append_to(&mut bytes);
    bytes
}

/// The estimated number of different elements that raised these registers.
pub fn count_of(registers: &Registers) -> u64 {
    let mut histogram = estimate::Histogram::default();
    registers.iter().for_each(|&value| histogram.add(value, 1));
    histogram.estimate()
}

/// The estimated number of different elements among these.
pub fn estimate<'a>(elements: impl Iterator<Item = Item<'a>>) -> u64 {
    let mut registers = Box::new([0; REGISTERS]);
    let mut digits = [0; MAX_I64_LEN];
    for element in elements {
        let (index, value) = place(element.bytes(&mut digits));
        registers[index] = value.max(registers[index]);
    }
    count_of(&registers)
}

/// Adds an element to a HyperLogLog with a sound header; says whether that changed anything. A sparse one
/// that would become longer than `sparse_max_bytes`, or cannot hold the value, becomes dense.
///
/// # Errors
/// [`Corrupt`]; then nothing is changed.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_max_bytes: u64) -> Result<bool, Corrupt> {
    let (index, value) = place(element);
    let changed = raise(bytes, index, value, sparse_max_bytes)?;
    if changed {
        forget_count(bytes);
    }
    Ok(changed)
}

/// Raises every register of a HyperLogLog with a sound header to at least those given, which are not lower
/// than its own; makes it dense first if `dense`.
///
/// # Errors
/// [`Corrupt`]; then a part may have been done, if its runs were corrupt before.
pub fn raise_all(
    bytes: &mut Vec<u8>,
    registers: &Registers,
    dense: bool,
    sparse_max_bytes: u64,
) -> Result<(), Corrupt> {
    if dense {
        make_dense(bytes)?;
    }
    for (index, &value) in registers.iter().enumerate() {
        if bytes[ENCODING_AT] == DENSE {
            dense::set_all(&mut bytes[HEADER_LEN..], registers);
            break;
        }
        if value > 0 {
            raise(bytes, index, value, sparse_max_bytes)?;
        }
    }
    forget_count(bytes);
    Ok(())
}

/// Makes a HyperLogLog with a sound header dense; says whether it was not. Its count stays.
///
/// # Errors
/// [`Corrupt`]; then nothing is changed.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<bool, Corrupt> {
    let hll = HllRef(bytes);
    if hll.is_dense() {
        return Ok(false);
    }
    let mut registers = Box::new([0; REGISTERS]);
    hll.merge_into(&mut registers)?;
    bytes.resize(DENSE_LEN, 0);
    bytes[ENCODING_AT] = DENSE;
    dense::set_all(&mut bytes[HEADER_LEN..], &registers);
    Ok(true)
}

/// Writes the count down in the header.
pub fn remember_count(bytes: &mut [u8], count: u64) {
    bytes[COUNT_AT..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
}

fn forget_count(bytes: &mut [u8]) {
    bytes[HEADER_LEN - 1] |= STALE;
}

/// Raises one register; says whether it was lower.
fn raise(bytes: &mut Vec<u8>, index: usize, value: u8, sparse_max_bytes: u64) -> Result<bool, Corrupt> {
    if bytes[ENCODING_AT] == SPARSE {
        let fits = value <= sparse::MAX_VALUE;
        // A run may grow by as much as the whole string may.
        let room = sparse_max_bytes.saturating_sub(bytes.len() as u64);
        let raised = if fits { sparse::raise(bytes, HEADER_LEN, index, value, room)? } else { None };
        if let Some(changed) = raised {
            return Ok(changed);
        }
        make_dense(bytes)?;
    }
    Ok(dense::raise(&mut bytes[HEADER_LEN..], index, value))
}

/// The register of an element and the value it asks for, 1 to 51.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = estimate::murmur64a(element, SEED);
    let rank = (hash >> INDEX_BITS | 1 << RANK_BITS).trailing_zeros() + 1;
    (hash as usize % REGISTERS, rank as u8)
}

#[cfg(test)]
mod tests;
