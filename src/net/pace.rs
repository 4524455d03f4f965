//! How long a worker rests before it looks again.
//!
//! For: fewer, fuller turns where requests come faster than they are waited for, as a network card moderates
//! its interrupts. May touch: nothing.
//! Always: a rest is at most an eighth of the mean time between two arrivals at one connection: clients that
//! send their next request when they have the reply to the last lose no more than that. And only who expects
//! several connections in that time rests: a few clients that ask one request after the other are never kept
//! waiting.

/// Nanoseconds over which arrivals are counted, at least.
const SPAN_NS: u64 = 1_000_000;
/// The part of the time between two arrivals at one connection that a rest may take.
const SHARE: u64 = 8;
/// While a turn lasts so many times as long as the rest would, enough arrive without it.
const LONG_TURN: u64 = 4;
/// A rest in which fewer connections are expected does not pay for itself.
const FEWEST: u64 = 3;

/// Counts arrivals, and says how long to rest. Times are monotonic nanoseconds.
#[derive(Default)]
pub struct Pace {
    /// The running count's number; never 0.
    span: u32,
    /// When it began.
    since_ns: u64,
    /// Times that a connection had something to read.
    arrivals: u64,
    /// Connections that had.
    connections: u64,
    /// What the last count allows.
    rest_ns: u64,
}

impl Pace {
    /// A connection has something to read. `seen`: the count in which it last had.
    #[inline]
    pub fn note(&mut self, seen: &mut u32) {
        self.arrivals += 1;
        if std::mem::replace(seen, self.span) != self.span {
            self.connections += 1;
        }
    }

    /// How long to rest after a turn that took `took_ns` and has just ended, at most `most_ns`; `None`: not
    /// at all.
    #[inline]
    pub fn rest_ns(&mut self, took_ns: u64, now_ns: u64, most_ns: u64) -> Option<u64> {
        if now_ns.saturating_sub(self.since_ns) >= SPAN_NS {
            self.count(now_ns, most_ns);
        }
        (took_ns < LONG_TURN * self.rest_ns).then_some(self.rest_ns)
    }

    /// Ends a count and begins the next.
    fn count(&mut self, now_ns: u64, most_ns: u64) {
        let lasted_ns = now_ns - self.since_ns;
        let arrivals = self.arrivals.max(1);
        let between_ns = lasted_ns.saturating_mul(self.connections) / arrivals;
        let rest_ns = most_ns.min(between_ns / SHARE);
        let pays = rest_ns.saturating_mul(arrivals) >= lasted_ns.saturating_mul(FEWEST);
        let span = self.span.wrapping_add(1).max(1);
        *self = Pace { span, since_ns: now_ns, rest_ns: if pays { rest_ns } else { 0 }, ..Pace::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_NS: u64 = 50_000;

    /// Lets each of so many connections ask every so many nanoseconds, one after the other, for ten spans;
    /// the rest after a turn of that length.
    fn rest(connections: u64, every_ns: u64, turn_ns: u64) -> Option<u64> {
        let mut pace = Pace::default();
        let mut seen = vec![0; connections as usize];
        let (mut now_ns, mut at) = (SPAN_NS, 0);
        while now_ns < 10 * SPAN_NS.max(every_ns) {
            now_ns += every_ns / connections;
            pace.note(&mut seen[at]);
            at = (at + 1) % seen.len();
            pace.rest_ns(0, now_ns, MOST_NS);
        }
        pace.rest_ns(turn_ns, now_ns, MOST_NS)
    }

    #[test]
    fn many_that_ask_often_are_served_together() {
        assert_eq!(rest(50, 600_000, 1_000), Some(MOST_NS));
        assert_eq!(rest(1000, 10_000_000, 1_000), Some(MOST_NS));
    }

    #[test]
    fn a_rest_is_a_small_part_of_the_time_between_two_requests() {
        let rest = rest(50, 200_000, 1_000).expect("they come fast enough");
        assert!((20_000..=25_000).contains(&rest), "{rest}");
    }

    #[test]
    fn who_is_waited_for_is_served_at_once() {
        for (connections, every_ns) in [(1, 20_000), (4, 40_000), (16, 100_000), (20, 10_000)] {
            assert_eq!(rest(connections, every_ns, 1_000), None, "{connections} every {every_ns} ns");
        }
    }

    #[test]
    fn few_requests_are_not_held_up() {
        assert_eq!(rest(1000, 100_000_000, 1_000), None);
        assert_eq!(rest(50, 5_000_000, 1_000), None);
    }

    #[test]
    fn a_long_turn_is_followed_by_a_look() {
        assert_eq!(rest(50, 600_000, 4 * MOST_NS), None);
    }

    #[test]
    fn after_a_silence_the_first_are_served_at_once() {
        let mut pace = Pace::default();
        let mut seen = [0; 50];
        for step in 1..=500u64 {
            pace.note(&mut seen[step as usize % 50]);
            pace.rest_ns(0, step * 10_000, MOST_NS);
        }
        let now_ns = 500 * 10_000;
        assert!(pace.rest_ns(0, now_ns, MOST_NS).is_some());
        let later_ns = now_ns + 1_000 * SPAN_NS;
        assert_eq!(pace.rest_ns(0, later_ns, MOST_NS), None);
    }
}
