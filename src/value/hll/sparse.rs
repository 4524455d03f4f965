//! Registers as runs of equal values.
//!
//! ```text
//! 00nnnnnn            n + 1 registers of zero (1 to 64)
//! 01nnnnnn nnnnnnnn   n + 1 registers of zero (1 to 16,384)
//! 1vvvvvnn            n + 1 registers of v + 1 (1 to 4 of 1 to 32)
//! ```

use super::{Corrupt, REGISTERS};

/// The highest value that a run can have.
pub const MAX_VALUE: u8 = 32;

/// The longest run of zeros in one byte.
const SHORT_ZEROS: usize = 64;
/// The longest run of a value.
const VALUES: usize = 4;
/// Runs looked at for joining after a change: the one before it, the up to three that it made, and the one
/// behind.
const JOINED: usize = 5;

/// Equal registers that stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// That many, up to 64, in the short form.
    ShortZeros(usize),
    /// That many, up to 16,384, in the form of two bytes.
    Zeros(usize),
    /// A value and that many, up to 4.
    Values(u8, usize),
}

impl Run {
    /// Number of registers, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub fn len(self) -> usize {
        match self {
            Run::ShortZeros(len) | Run::Zeros(len) | Run::Values(_, len) => len,
        }
    }

    /// The value of each.
    pub fn value(self) -> u8 {
        if let Run::Values(value, _) = self { value } else { 0 }
    }

    /// Writes it down.
    pub fn append_to(self, out: &mut Vec<u8>) {
        let (bytes, len) = self.code();
        out.extend_from_slice(&bytes[..len]);
    }

    fn bytes(self) -> usize {
        if matches!(self, Run::Zeros(_)) { 2 } else { 1 }
    }

    fn code(self) -> ([u8; 2], usize) {
        match self {
            Run::ShortZeros(len) => ([(len - 1) as u8, 0], 1),
            Run::Zeros(len) => ([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8], 2),
            Run::Values(value, len) => ([0x80 | (value - 1) << 2 | (len - 1) as u8, 0], 1),
        }
    }

    fn zeros(len: usize) -> Run {
        if len > SHORT_ZEROS { Run::Zeros(len) } else { Run::ShortZeros(len) }
    }

    /// The run at the beginning of `bytes`; none when they end before it does.
    fn first(bytes: &[u8]) -> Option<Run> {
        let &code = bytes.first()?;
        let low = usize::from(code & 0x3f);
        Some(match code >> 6 {
            0 => Run::ShortZeros(low + 1),
            1 => Run::Zeros((low << 8 | usize::from(*bytes.get(1)?)) + 1),
            _ => Run::Values((code >> 2 & 0x1f) + 1, usize::from(code & 3) + 1),
        })
    }
}

/// The runs in order.
#[derive(Clone, Debug)]
pub struct Runs<'a>(&'a [u8]);

impl<'a> Runs<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Runs<'a> {
        Runs(bytes)
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let run = Run::first(self.0)?;
        self.0 = &self.0[run.bytes()..];
        Some(run)
    }
}

/// Calls `visit` with the first register, the number of registers and the value of every run.
///
/// # Errors
/// [`Corrupt`] unless the runs are those of all registers and no more; until that is found, `visit` is
/// called, but never with a register that does not exist.
pub fn each(bytes: &[u8], mut visit: impl FnMut(usize, usize, u8)) -> Result<(), Corrupt> {
    let (mut runs, mut first) = (Runs(bytes), 0);
    for run in runs.by_ref() {
        if first + run.len() > REGISTERS {
            return Err(Corrupt);
        }
        visit(first, run.len(), run.value());
        first += run.len();
    }
    if first == REGISTERS && runs.0.is_empty() { Ok(()) } else { Err(Corrupt) }
}

/// Where a register is.
pub struct Found {
    /// The run that it belongs to.
    pub run: Run,
    /// Where the run begins, in bytes.
    at: usize,
    /// Where the run before it begins; 0 when there is none.
    before: usize,
    /// The first register of the run.
    first: usize,
}

/// Finds a register.
///
/// # Errors
/// [`Corrupt`] when the runs end before it.
pub fn find(bytes: &[u8], index: usize) -> Result<Found, Corrupt> {
    let (mut at, mut before, mut first) = (0, 0, 0);
    loop {
        let run = Run::first(&bytes[at..]).ok_or(Corrupt)?;
        if index < first + run.len() {
            return Ok(Found { run, at, before, first });
        }
        (before, first) = (at, first + run.len());
        at += run.bytes();
    }
}

/// Raises a register to `value`, at most [`MAX_VALUE`]; the runs lie in `bytes` from `start` on and may
/// become longer by `room` bytes. Says whether the register was lower, and `None` when there is no room: then
/// nothing is changed.
///
/// # Errors
/// [`Corrupt`] when the runs end before the register; then nothing is changed.
pub fn raise(
    bytes: &mut Vec<u8>,
    start: usize,
    index: usize,
    value: u8,
    room: u64,
) -> Result<Option<bool>, Corrupt> {
    let Found { run, at, before, first } = find(&bytes[start..], index)?;
    if run.value() >= value {
        return Ok(Some(false));
    }
    let (mut codes, mut len) = ([0; 5], 0);
    let mut write = |run: Run| {
        let (code, bytes) = run.code();
        codes[len..len + bytes].copy_from_slice(&code[..bytes]);
        len += bytes;
    };
    let same = |len: usize| match run {
        Run::Values(value, _) => Run::Values(value, len),
        _ => Run::zeros(len),
    };
    let (left, right) = (index - first, first + run.len() - 1 - index);
    if left > 0 {
        write(same(left));
    }
    write(Run::Values(value, 1));
    if right > 0 {
        write(same(right));
    }
    let grown = len.saturating_sub(run.bytes());
    if grown as u64 > room && grown > 0 {
        return Ok(None);
    }
    let at = start + at;
    bytes.splice(at..at + run.bytes(), codes[..len].iter().copied());
    join(bytes, start + before);
    Ok(Some(true))
}

/// Joins runs of one value, from the run at `at` on, where a longer run can hold them.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED {
        let Some(run) = Run::first(&bytes[at.min(bytes.len())..]) else { return };
        let next = at + run.bytes();
        if let Run::Values(value, len) = run
            && let Some(Run::Values(other, more)) = Run::first(&bytes[next.min(bytes.len())..])
            && value == other
            && len + more <= VALUES
        {
            // The joined run may be joined with the next one.
            bytes[next] = Run::Values(value, len + more).code().0[0];
            bytes.remove(at);
            continue;
        }
        at = next;
    }
}
