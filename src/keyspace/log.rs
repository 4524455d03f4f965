//! The commit log: what writes did, in order, in the form in which it is propagated.
//!
//! For: handing effects from the workers to whoever keeps or forwards them. May touch: records.
//! Always: a unit's sequence number is taken while the locks of its keys are held, so units that touch a
//! common key are numbered in the order in which they happened; a reader gets units in number order without
//! gaps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::record::Effect;

/// What one command, transaction, script or expiry did. More than one effect: they are one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Position in the log.
    pub sequence: u64,
    /// In order; never empty.
    pub effects: Vec<Effect>,
}

/// The log. While nobody reads it, a write pays one branch.
pub struct CommitLog {
    reading: AtomicBool,
    next: AtomicU64,
    lanes: Box<[CachePadded<Mutex<Vec<Unit>>>]>,
    reader: Mutex<Reader>,
}

#[derive(Default)]
struct Reader {
    /// Sequence number of the next unit to hand out.
    next: u64,
    /// Units that came before one that is still on its way.
    early: Vec<Unit>,
}

impl CommitLog {
    /// A log with one lane for each thread that writes.
    pub fn new(lanes: usize) -> CommitLog {
        CommitLog {
            reading: AtomicBool::new(false),
            next: AtomicU64::new(0),
            lanes: (0..lanes).map(|_| CachePadded::new(Mutex::new(Vec::new()))).collect(),
            reader: Mutex::new(Reader::default()),
        }
    }

    /// Whether effects are wanted.
    #[inline]
    pub fn is_read(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    /// Starts or ends recording. Starting while everything is exclusively held gives a log that begins at
    /// exactly that state.
    pub fn set_read(&self, on: bool) {
        self.reading.store(on, Ordering::SeqCst);
    }

    /// Appends a unit from the thread of that lane. The caller holds the locks of the keys it is about.
    pub fn append(&self, lane: usize, effects: Vec<Effect>) {
        debug_assert!(!effects.is_empty());
        let mut lane = self.lanes[lane].lock();
        let sequence = self.next.fetch_add(1, Ordering::SeqCst);
        lane.push(Unit { sequence, effects });
    }

    /// Takes the units that are complete up to now, in order.
    pub fn drain(&self) -> Vec<Unit> {
        let mut reader = self.reader.lock();
        let mut units = std::mem::take(&mut reader.early);
        for lane in &self.lanes {
            units.append(&mut lane.lock());
        }
        units.sort_unstable_by_key(|u| u.sequence);
        let ready = units.iter().zip(reader.next..).take_while(|(u, n)| u.sequence == *n).count();
        reader.early = units.split_off(ready);
        reader.next += ready as u64;
        units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(n: u64) -> Vec<Effect> {
        vec![Effect { db: 0, argv: vec![n.to_string().into_bytes().into()] }]
    }

    #[test]
    fn units_of_many_threads_come_out_once_and_in_order() {
        let log = CommitLog::new(4);
        let mut seen = Vec::new();
        std::thread::scope(|s| {
            for lane in 0..4 {
                let log = &log;
                s.spawn(move || (0..2_000).for_each(|n| log.append(lane, effect(n))));
            }
            while seen.len() < 8_000 {
                seen.extend(log.drain().into_iter().map(|u| u.sequence));
            }
        });
        assert!(seen.iter().copied().eq(0..8_000));
    }
}
