//! Latency events.
//!
//! For: LATENCY LATEST, HISTORY, RESET, GRAPH, DOCTOR: spikes of named events over `latency-monitor-threshold`.
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

/// The events.
#[derive(Default)]
pub struct Latency {
    events: Mutex<BTreeMap<&'static str, History>>,
}

impl Latency {
    /// Notes that an event took that long.
    pub fn note(&self, event: &'static str, at_s: u64, ms: u64) {
        let mut events = self.events.lock();
        let history = events.entry(event).or_default();
        history.max_ms = history.max_ms.max(ms);
        history.sum_ms += ms;
        history.count += 1;
        match history.samples.last_mut() {
            Some(last) if last.at_s == at_s => last.ms = last.ms.max(ms),
            _ => {
                if history.samples.len() == SAMPLES {
                    history.samples.remove(0);
                }
                history.samples.push(Sample { at_s, ms });
            }
        }
    }

    /// One event's history.
    pub fn history(&self, event: &[u8]) -> Option<History> {
        self.events.lock().iter().find(|(name, _)| name.as_bytes() == event).map(|(_, h)| h.clone())
    }

    /// All events.
    pub fn all(&self) -> Vec<(&'static str, History)> {
        self.events.lock().iter().map(|(k, v)| (*k, v.clone())).collect()
    }

    /// Forgets these events, all when there are none named; returns how many were forgotten.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| {
            !(names.is_empty() || names.iter().any(|n| n.eq_ignore_ascii_case(name.as_bytes())))
        });
        before - events.len()
    }
}
