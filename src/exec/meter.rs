//! How long commands take.
//!
//! For: timing and counting the commands of a streak. May touch: the clock's ticks, the lane's counters.
//! Always: the sum of what is counted is the time that has passed; a command that may take long is not timed
//! together with any behind it, and with those before it only where its reply alone was long.

use super::run::Knobs;
use crate::command::Host;
use crate::command::table::Entry;
use crate::observe::stats::Lane;

/// Times the commands of a streak, and counts them. Of quick commands of one row that follow each other the
/// time is read when the last has run: each counts as taking an equal part. Reading it after each would be a
/// twentieth of what they take.
pub(super) struct Meter<'m> {
    host: &'m Host,
    pub(super) knobs: &'m Knobs,
    lane: &'m Lane,
    last: u64,
    nanos: u64,
    together: Together,
}

/// Commands whose time has not been read yet.
#[derive(Default)]
struct Together {
    row: usize,
    count: u64,
    failed: u64,
}

/// Most commands that are timed together.
const TOGETHER: u64 = 8;
/// A request or reply that is longer than this may take long.
pub(super) const QUICK_BYTES: u64 = 256;

impl<'m> Meter<'m> {
    /// Of a worker's lane; `last`: when the time was read last, ticks.
    #[inline]
    pub(super) fn new(host: &'m Host, knobs: &'m Knobs, lane: usize, last: u64) -> Meter<'m> {
        Meter { host, knobs, lane: host.observe.lane(lane), last, nanos: 0, together: Together::default() }
    }

    /// When the time was read last, ticks.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// What the commands took whose time has been read, nanoseconds.
    pub(super) fn nanos(&self) -> u64 {
        self.nanos
    }

    /// Whether a command is quick: no other than an outer reason can make it take longer than its like.
    #[inline(always)]
    pub(super) fn is_quick(&self, entry: &Entry, request_bytes: u64) -> bool {
        entry.is_quick & (request_bytes <= QUICK_BYTES) & self.knobs.notable.is_far_from_quick()
    }

    /// Whether a command may be timed together with those before it whose time has not been read.
    #[inline(always)]
    pub(super) fn takes(&self, entry: &Entry, is_quick: bool) -> bool {
        is_quick & (entry.index == self.together.row)
    }

    /// A command has run. Nanoseconds as of [`Meter::read`], where the time is read at once.
    #[inline(always)]
    pub(super) fn ran(
        &mut self,
        entry: &Entry,
        is_quick: bool,
        reply_bytes: u64,
        has_failed: bool,
    ) -> Option<u64> {
        self.together.row = entry.index;
        self.together.count += 1;
        self.together.failed += u64::from(has_failed);
        let waits = is_quick & (reply_bytes <= QUICK_BYTES) & (self.together.count < TOGETHER);
        if waits { None } else { self.read() }
    }

    /// Reads the time: nanoseconds of all that have run since it was read last, if any have.
    #[inline]
    pub(super) fn read(&mut self) -> Option<u64> {
        let Together { row, count, failed } = std::mem::take(&mut self.together);
        if count == 0 {
            return None;
        }
        let now = self.host.ticks.now();
        let nanos = self.host.ticks.nanos_between(self.last, now);
        self.last = now;
        self.nanos += nanos;
        self.lane.ran(row, (count, failed), nanos, self.knobs.tracks_latency);
        Some(nanos)
    }
}
