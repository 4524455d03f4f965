//! Latency events.
//!
//! For: LATENCY LATEST, HISTORY, RESET, GRAPH, DOCTOR: spikes of named events over
//! `latency-monitor-threshold`.
//! May touch: nothing.
//! Always: at most one sample per event and second (the worst), at most 160 per event.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Samples kept per event, as in Redis.
pub const SAMPLES: usize = 160;

/// The worst of an event in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix seconds.
    pub at_s: u64,
    /// How long.
    pub ms: u64,
}

/// One event's history.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Oldest first.
    pub samples: Vec<Sample>,
    /// Worst ever.
    pub max_ms: u64,
    /// Sum of all samples noted, for the mean.
    pub sum_ms: u64,
    /// Number of all samples noted.
    pub count: u64,
}

impl History {
    /// Notes that the event took that long.
    pub fn note(&mut self, at_s: u64, ms: u64) {
        self.max_ms = self.max_ms.max(ms);
        self.sum_ms = self.sum_ms.saturating_add(ms);
        self.count += 1;
        match self.samples.last_mut() {
            Some(last) if last.at_s == at_s => last.ms = last.ms.max(ms),
            _ => {
                if self.samples.len() == SAMPLES {
                    self.samples.remove(0);
                }
                self.samples.push(Sample { at_s, ms });
            }
        }
    }

    /// The latest sample; all zero before the first.
    pub fn latest(&self) -> Sample {
        self.samples.last().copied().unwrap_or(Sample { at_s: 0, ms: 0 })
    }
}

/// The events.
#[derive(Default)]
pub struct Latency {
    events: Mutex<BTreeMap<&'static str, History>>,
}

impl Latency {
    /// Notes that an event took that long.
    pub fn note(&self, event: &'static str, at_s: u64, ms: u64) {
        self.events.lock().entry(event).or_default().note(at_s, ms);
    }

    /// One event's history.
    pub fn history(&self, event: &[u8]) -> Option<History> {
        self.events.lock().iter().find(|(name, _)| name.as_bytes() == event).map(|(_, h)| h.clone())
    }

    /// All events.
    pub fn all(&self) -> Vec<(&'static str, History)> {
        self.events.lock().iter().map(|(k, v)| (*k, v.clone())).collect()
    }

    /// Forgets these events, whatever their case, all when there are none named; returns how many were
    /// forgotten.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| {
            !(names.is_empty() || names.iter().any(|n| n.eq_ignore_ascii_case(name.as_bytes())))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_sample_the_worst_and_a_history_has_a_limit() {
        let latency = Latency::default();
        [(1, 5), (1, 9), (1, 7), (2, 3)].into_iter().for_each(|(at_s, ms)| latency.note("fork", at_s, ms));
        let history = latency.history(b"fork").expect("it was noted");
        assert_eq!(history.samples, [Sample { at_s: 1, ms: 9 }, Sample { at_s: 2, ms: 3 }]);
        assert_eq!((history.max_ms, history.sum_ms, history.count), (9, 24, 4));
        (0..500).for_each(|at_s| latency.note("fork", 10 + at_s, 1));
        let history = latency.history(b"fork").expect("it was noted");
        assert_eq!((history.samples.len(), history.latest().at_s), (SAMPLES, 509));
    }

    #[test]
    fn names_matter_in_case_but_for_reset() {
        let latency = Latency::default();
        latency.note("fork", 1, 5);
        latency.note("command", 1, 5);
        assert!(latency.history(b"FORK").is_none());
        assert_eq!(latency.reset(&[b"FORK", b"nothing"]), 1);
        assert_eq!((latency.reset(&[]), latency.all().len()), (1, 0));
    }
}
