//! Latency histograms.
//!
//! For: percentiles and power-of-two buckets of command durations. May touch: nothing.
//! Always: a duration is known to one part in eight; the layout is log-linear: eight buckets per power of
//! two.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets for durations up to about 2^37 ns (two minutes); longer ones count in the last.
const BUCKETS: usize = 36 * 8;

/// Counts of durations. One writer, any number of readers.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
}

/// A sum of histograms.
#[derive(Clone, Default)]
pub struct Summary {
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    if nanos < 8 {
        return nanos as usize;
    }
    let power = 63 - nanos.leading_zeros() as usize;
    let eighth = (nanos >> (power - 3)) as usize & 7;
    ((power - 2) * 8 + eighth).min(BUCKETS - 1)
}

/// Highest duration that falls into a bucket.
fn upper_ns(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (power, eighth) = (bucket / 8 + 2, (bucket % 8) as u64);
    ((8 + eighth + 1) << (power - 3)) - 1
}

impl Histogram {
    /// Counts a duration so many times. Only one thread may call this.
    #[inline]
    pub fn count(&self, times: u64, nanos: u64) {
        let bucket = &self.buckets[bucket(nanos)];
        bucket.store(bucket.load(Ordering::Relaxed) + times, Ordering::Relaxed);
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.buckets.iter().for_each(|b| b.store(0, Ordering::Relaxed));
    }
}

impl Summary {
    /// Adds a histogram's counts.
    pub fn add(&mut self, histogram: &Histogram) {
        self.counts.resize(BUCKETS, 0);
        for (sum, bucket) in self.counts.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
    }

    /// Number of durations.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration in nanoseconds that `percent` of all do not exceed; 0 when there are none.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        let total = self.total();
        let wanted = ((percent / 100.0 * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_ns(bucket);
            }
        }
        0
    }

    /// Cumulative counts as LATENCY HISTOGRAM shows them: `(microseconds, calls not longer)`, only where the
    /// count grows. The limits are powers of two of 1,024 ns; what is shown is the end of a limit's bucket of
    /// one part in 128, so that they read 1, 2, 4, 8, 16, 33, 66 and so on, as clients of Redis know them.
    pub fn by_powers_of_two_us(&self) -> Vec<(u64, u64)> {
        let (mut steps, mut seen) = (Vec::new(), 0);
        let mut limit_ns = 1024u64;
        let mut sum = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            while upper_ns(bucket) > limit_ns {
                if sum > seen {
                    steps.push((shown_us(limit_ns), sum));
                    seen = sum;
                }
                limit_ns *= 2;
            }
            sum += count;
        }
        if sum > seen {
            steps.push((shown_us(limit_ns), sum));
        }
        steps
    }
}

fn shown_us(limit_ns: u64) -> u64 {
    (limit_ns + limit_ns / 128 - 1) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_hold_what_falls_into_them() {
        for b in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper_ns(b)), b);
            assert_eq!(bucket(upper_ns(b) + 1), b + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_an_eighth() {
        let (h, mut s) = (Histogram::default(), Summary::default());
        (1..=1000).for_each(|us| h.count(1, us * 1000));
        s.add(&h);
        let p50 = s.percentile_ns(50.0) as f64;
        assert!((500_000.0..=500_000.0 * 1.125).contains(&p50), "{p50}");
        assert_eq!(s.by_powers_of_two_us().last().map(|l| l.1), Some(1000));
    }

    #[test]
    fn powers_of_two_are_cumulative_and_named_as_clients_know_them() {
        let (h, mut s) = (Histogram::default(), Summary::default());
        s.add(&h);
        assert!(s.by_powers_of_two_us().is_empty());
        for nanos in [0, 1000, 1500, 30_000, 30_000, 50_000, 1 << 19, u64::MAX] {
            h.count(1, nanos);
        }
        let mut s = Summary::default();
        s.add(&h);
        let steps = s.by_powers_of_two_us();
        assert_eq!(steps[..4], [(1, 2), (2, 3), (33, 5), (66, 6)]);
        assert_eq!(steps.last().map(|s| s.1), Some(8));
        assert!((0..12).map(|i| shown_us(1024 << i)).eq([1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113]));
    }
}
