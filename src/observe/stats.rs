//! Counters.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::histogram::{Histogram, Summary};
use super::latency::Latency;
use super::slowlog::SlowLog;
use crate::keyspace::record::Counts;

/// Different error codes that are counted by name; more are counted together, as in Valkey.
const MOST_ERROR_CODES: usize = 128;

/// Counters of one command on one worker.
#[derive(Default)]
pub struct CommandCounts {
    /// Times it ran.
    pub calls: AtomicU64,
    /// Nanoseconds it took together.
    pub nanos: AtomicU64,
    /// Times it was refused before it ran.
    pub rejected: AtomicU64,
    /// Times it ran and failed.
    pub failed: AtomicU64,
    histogram: OnceLock<Histogram>,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one worker. Written by it alone.
        pub struct Lane {
            commands: Box<[CommandCounts]>,
            $($(#[$doc])* pub $name: AtomicU64,)*
        }
        impl Lane {
            fn new(commands: usize) -> Lane {
                let commands = (0..commands).map(|_| CommandCounts::default()).collect();
                Lane { commands, $($name: AtomicU64::new(0),)* }
            }
            fn reset_commands(&self) {
                for c in &self.commands {
                    let counts = [&c.calls, &c.nanos, &c.rejected, &c.failed];
                    counts.into_iter().for_each(|n| n.store(0, Relaxed));
                    if let Some(h) = c.histogram.get() { h.reset(); }
                }
            }
        }
        /// The lanes' counters added up.
        #[derive(Default, Clone, Copy, Debug)]
        pub struct Totals { $($(#[$doc])* pub $name: u64,)* }
        impl Totals {
            /// What was counted after `base`.
            fn since(self, base: Totals) -> Totals {
                Totals { $($name: self.$name.wrapping_sub(base.$name),)* }
            }
        }
        impl Observe {
            /// Adds the lanes up: everything since the start, whatever was reset.
            fn sums(&self) -> Totals {
                let mut sum = Totals::default();
                for lane in &self.lanes { $(sum.$name = sum.$name.wrapping_add(lane.$name.load(Relaxed));)* }
                sum
            }
        }
    };
}

counters! {
    /// Commands that ran.
    ran,
    /// Lookups that found a key.
    hits,
    /// Lookups that found none.
    misses,
    /// Keys that left because of their deadline.
    expired,
    /// Fields of hashes that left because of theirs.
    expired_fields,
    /// Changes to the keyspace.
    dirty,
    /// Bytes received.
    received,
    /// Bytes sent.
    sent,
    /// Reads from sockets.
    reads,
    /// Writes to sockets.
    writes,
    /// Connections accepted.
    connections,
    /// Turns of the worker.
    turns,
    /// Nanoseconds in turns.
    turn_nanos,
    /// Nanoseconds in turns spent on commands.
    command_nanos,
    /// Error replies.
    errors,
    /// Connections closed because their read buffer grew over its limit.
    query_limit_closes,
    /// Connections closed because their waiting replies grew over their limit.
    output_limit_closes,
    /// Failed authentications.
    auth_failures,
}

/// Adds to a counter that only the calling thread stores into.
#[inline]
pub fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

/// Everything that is counted.
pub struct Observe {
    lanes: Box<[CachePadded<Lane>]>,
    errors: Mutex<BTreeMap<Vec<u8>, u64>>,
    /// Connections refused because of `maxclients` and the like; the acceptor counts them.
    pub refused: AtomicU64,
    /// Highest number of connections at once.
    pub most_clients: AtomicU64,
    /// What the lanes' sums were when the statistics were reset: readers see what came after. Workers go on
    /// counting, so a reset loses nothing that is being counted.
    base: Mutex<Totals>,
    /// Bytes the process had allocated when the counters were looked at first, which is right after the
    /// start.
    startup_bytes: OnceLock<usize>,
    /// Rates of the last moments.
    rates: Mutex<Rates>,
    /// The slow log.
    pub slowlog: SlowLog,
    /// Latency events.
    pub latency: Latency,
}

/// Samples a rate is the mean of, as in Redis.
const SAMPLES: usize = 16;

/// What happened between two looks at the counters, per second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// Commands.
    pub commands: f64,
    /// Bytes received.
    pub received: f64,
    /// Bytes sent.
    pub sent: f64,
    /// Turns.
    pub turns: f64,
    /// Nanoseconds in turns.
    pub turn_nanos: f64,
}

#[derive(Default)]
struct Rates {
    last: Option<(u64, Totals)>,
    samples: std::collections::VecDeque<Rate>,
}

impl Observe {
    /// Looks at the counters at that monotonic nanosecond; called ten times a second.
    pub fn sample(&self, now_ns: u64) {
        self.startup_bytes.get_or_init(crate::memory::used);
        let now = self.sums();
        let mut rates = self.rates.lock();
        if let Some((then_ns, then)) = rates.last.replace((now_ns, now)) {
            let seconds = now_ns.saturating_sub(then_ns).max(1) as f64 / 1e9;
            let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
            rates.samples.push_back(Rate {
                commands: per_second(now.ran, then.ran),
                received: per_second(now.received, then.received),
                sent: per_second(now.sent, then.sent),
                turns: per_second(now.turns, then.turns),
                turn_nanos: per_second(now.turn_nanos, then.turn_nanos),
            });
            if rates.samples.len() > SAMPLES {
                rates.samples.pop_front();
            }
        }
    }

    /// Bytes the process had allocated when the server started; 0 where they are not counted.
    pub fn startup_bytes(&self) -> usize {
        self.startup_bytes.get().copied().unwrap_or(0)
    }

    /// The mean of the latest samples.
    pub fn rate(&self) -> Rate {
        let rates = self.rates.lock();
        let count = rates.samples.len().max(1) as f64;
        rates.samples.iter().fold(Rate::default(), |sum, r| Rate {
            commands: sum.commands + r.commands / count,
            received: sum.received + r.received / count,
            sent: sum.sent + r.sent / count,
            turns: sum.turns + r.turns / count,
            turn_nanos: sum.turn_nanos + r.turn_nanos / count,
        })
    }

    /// Counters for that many lanes and commands.
    pub fn new(lanes: usize, commands: usize) -> Observe {
        Observe {
            lanes: (0..lanes).map(|_| CachePadded::new(Lane::new(commands))).collect(),
            errors: Mutex::new(BTreeMap::new()),
            refused: AtomicU64::new(0),
            most_clients: AtomicU64::new(0),
            base: Mutex::new(Totals::default()),
            startup_bytes: OnceLock::new(),
            rates: Mutex::new(Rates::default()),
            slowlog: SlowLog::default(),
            latency: Latency::default(),
        }
    }

    /// The lane of a worker.
    #[inline]
    pub fn lane(&self, worker: usize) -> &Lane {
        &self.lanes[worker]
    }

    /// Counts an error reply by its code (errorstats).
    pub fn error(&self, code: &[u8]) {
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < MOST_ERROR_CODES {
            errors.insert(code.to_vec(), 1);
        } else {
            *errors.entry(b"ERRORSTATS_OVERFLOW".to_vec()).or_default() += 1;
        }
    }

    /// Error codes with their counts.
    pub fn errors(&self) -> Vec<(Vec<u8>, u64)> {
        self.errors.lock().iter().map(|(k, v)| (k.clone(), *v)).collect()
    }

    /// `(calls, nanoseconds, rejected, failed)` of a command.
    pub fn command(&self, index: usize) -> (u64, u64, u64, u64) {
        let mut sum = (0, 0, 0, 0);
        for c in self.lanes.iter().map(|l| &l.commands[index]) {
            sum.0 += c.calls.load(Relaxed);
            sum.1 += c.nanos.load(Relaxed);
            sum.2 += c.rejected.load(Relaxed);
            sum.3 += c.failed.load(Relaxed);
        }
        sum
    }

    /// Durations of a command.
    pub fn durations(&self, index: usize) -> Summary {
        let mut sum = Summary::default();
        self.lanes.iter().filter_map(|l| l.commands[index].histogram.get()).for_each(|h| sum.add(h));
        sum
    }

    /// The lanes' counters added up, since the last reset.
    pub fn totals(&self) -> Totals {
        self.sums().since(*self.base.lock())
    }

    /// Begins anew (CONFIG RESETSTAT): all counters but the changes of the dataset, which are not statistics.
    /// The caller holds everything exclusively, so that no worker is counting a command.
    pub fn reset(&self) {
        let mut base = self.base.lock();
        *base = Totals { dirty: base.dirty, ..self.sums() };
        self.lanes.iter().for_each(|l| l.reset_commands());
        self.errors.lock().clear();
        self.refused.store(0, Relaxed);
        *self.rates.lock() = Rates::default();
    }
}

impl Lane {
    /// A command ran so many times, of which so many failed, for that long in all.
    #[inline]
    pub fn ran(&self, index: usize, (count, failed): (u64, u64), nanos: u64, tracks_latency: bool) {
        let c = &self.commands[index];
        add(&c.calls, count);
        add(&c.nanos, nanos);
        if failed > 0 {
            add(&c.failed, failed);
        }
        if tracks_latency {
            c.histogram.get_or_init(Histogram::default).count(count, nanos / count);
        }
    }

    /// A command was refused before it ran.
    pub fn rejected(&self, index: usize) {
        add(&self.commands[index].rejected, 1);
    }

    /// Adds a record's counts and sets them back.
    pub fn flush(&self, counts: &mut Counts) {
        add(&self.hits, counts.hits);
        add(&self.misses, counts.misses);
        add(&self.expired, counts.expired);
        add(&self.expired_fields, counts.expired_fields);
        *counts = Counts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_forgets_all_but_the_changes() {
        let observe = Observe::new(2, 1);
        for lane in [0, 1] {
            add(&observe.lane(lane).ran, 5);
            add(&observe.lane(lane).dirty, 3);
            observe.lane(lane).ran(0, (1, 1), 1000, true);
        }
        observe.error(b"ERR");
        observe.reset();
        let totals = observe.totals();
        assert_eq!((totals.ran, totals.dirty), (0, 6));
        assert_eq!(observe.command(0), (0, 0, 0, 0));
        assert_eq!(observe.durations(0).total(), 0);
        assert!(observe.errors().is_empty());
        add(&observe.lane(0).ran, 1);
        add(&observe.lane(0).dirty, 1);
        assert_eq!((observe.totals().ran, observe.totals().dirty), (1, 7));
    }

    #[test]
    fn a_rate_is_per_second_and_a_reset_is_no_negative_one() {
        let observe = Observe::new(1, 1);
        observe.sample(0);
        add(&observe.lane(0).ran, 50);
        observe.sample(100_000_000);
        assert!((observe.rate().commands - 500.0).abs() < 1e-6);
        observe.reset();
        observe.sample(200_000_000);
        observe.sample(300_000_000);
        assert!(observe.rate().commands.abs() < 1e-6);
    }
}
