//! The slow log.
//!
//! For: SLOWLOG. May touch: nothing.
//! Always: at most `slowlog-max-len` entries; arguments are cut to Redis's limits when they are noted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Most arguments an entry keeps; the last one then says how many more there were.
const MOST_ARGS: usize = 32;
/// Most bytes of an argument an entry keeps.
const MOST_ARG_BYTES: usize = 128;

/// A command that took long.
#[derive(Clone, Debug)]
pub struct Slow {
    /// Number of the entry, never used twice.
    pub id: u64,
    /// Unix seconds when it was noted.
    pub at_s: u64,
    /// How long it took, or for the size logs how many bytes it had.
    pub value: u64,
    /// Name and arguments, cut.
    pub args: Vec<Vec<u8>>,
    /// Address of the client.
    pub addr: String,
    /// Name of the client.
    pub name: Vec<u8>,
}

/// The log, latest first.
#[derive(Default)]
pub struct SlowLog {
    next: AtomicU64,
    entries: Mutex<VecDeque<Slow>>,
}

impl SlowLog {
    /// Notes a command; `limit` is the most entries that are kept.
    pub fn note<'a>(
        &self,
        at_s: u64,
        value: u64,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        client: (String, Vec<u8>),
        limit: usize,
    ) {
        let count = args.len();
        let keep = if count > MOST_ARGS { MOST_ARGS - 1 } else { count };
        let mut kept: Vec<Vec<u8>> = args.take(keep).map(cut).collect();
        if keep < count {
            kept.push(format!("... ({} more arguments)", count - keep).into_bytes());
        }
        let mut entries = self.entries.lock();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        entries.push_front(Slow { id, at_s, value, args: kept, addr: client.0, name: client.1 });
        entries.truncate(limit);
    }

    /// The latest `count` entries, all when `None`.
    pub fn latest(&self, count: Option<usize>) -> Vec<Slow> {
        let entries = self.entries.lock();
        entries.iter().take(count.unwrap_or(usize::MAX)).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.entries.lock().clear();
    }
}

fn cut(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= MOST_ARG_BYTES {
        return arg.to_vec();
    }
    let mut kept = arg[..MOST_ARG_BYTES].to_vec();
    kept.extend_from_slice(format!("... ({} more bytes)", arg.len() - MOST_ARG_BYTES).as_bytes());
    kept
}
