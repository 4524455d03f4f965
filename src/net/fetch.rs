//! Fetching memory for the requests of a batch before they run.
//!
//! For: asking for what a request's first key needs, in two stages: its bucket in the table, and, when that
//! has had time to come, the entry that the bucket names. May touch: requests of the batch, hints of tables.
//! Always: within a turn; the requests are fetched for in their order.

use crate::command::Host;
use crate::keyspace::Shard;
use crate::keyspace::ahead::Seen;
use crate::keyspace::lock::Turn;

use super::turn::Job;

/// Memory is asked for on behalf of this many requests at a time while a batch runs: what translating an
/// address costs is paid for all of them at once, where the processor overlaps it.
const GROUP: usize = 8;
/// For this many requests of a batch, at most, it is asked for while the batch is received: what is fetched
/// much too early is gone again when it is needed.
const FIRST: usize = 32;
/// Requests received between asking for a bucket and looking at it.
const LAG: usize = 4;

/// How far the memory of a batch has been asked for.
#[derive(Default)]
pub struct Fetcher {
    /// Buckets asked for, by request modulo the length; those of the requests from `entries` on are still
    /// looked at.
    seen: [Option<Seen>; 2 * GROUP],
    /// Requests whose bucket was asked for.
    buckets: usize,
    /// Requests whose entry was asked for.
    entries: usize,
}

impl Fetcher {
    /// At the start of a batch.
    pub fn clear(&mut self) {
        (self.buckets, self.entries) = (0, 0);
    }

    /// After the last of these requests has been received.
    #[inline]
    pub fn received(&mut self, host: &Host, turn: &Turn<'_, Shard>, jobs: &[Job]) {
        if jobs.len() <= FIRST {
            self.bucket_to(host, turn, jobs, jobs.len());
            self.entry_to(host, turn, jobs, jobs.len().saturating_sub(LAG));
        }
    }

    /// Before the first of these requests runs.
    pub fn start(&mut self, host: &Host, turn: &Turn<'_, Shard>, jobs: &[Job]) {
        self.bucket_to(host, turn, jobs, 2 * GROUP);
        self.entry_to(host, turn, jobs, self.buckets.max(GROUP));
    }

    /// Before request `at` runs.
    #[inline]
    pub fn step(&mut self, host: &Host, turn: &Turn<'_, Shard>, jobs: &[Job], at: usize) {
        if at.is_multiple_of(GROUP) && at + GROUP < jobs.len() {
            self.go_on(host, turn, jobs, at);
        }
    }

    #[inline(never)]
    fn go_on(&mut self, host: &Host, turn: &Turn<'_, Shard>, jobs: &[Job], at: usize) {
        self.entry_to(host, turn, jobs, at + 2 * GROUP);
        self.bucket_to(host, turn, jobs, at + 3 * GROUP);
    }

    #[inline]
    fn bucket_to(&mut self, host: &Host, turn: &Turn<'_, Shard>, jobs: &[Job], end: usize) {
        let end = end.min(jobs.len());
        for (at, job) in jobs.iter().enumerate().take(end).skip(self.buckets) {
            self.seen[at % (2 * GROUP)] = bucket(host, turn, job);
        }
        self.buckets = self.buckets.max(end);
    }

    #[inline]
    fn entry_to(&mut self, host: &Host, turn: &Turn<'_, Shard>, jobs: &[Job], end: usize) {
        let end = end.min(jobs.len());
        for (at, job) in jobs.iter().enumerate().take(end).skip(self.entries) {
            let seen = self.seen[at % (2 * GROUP)];
            // What was seen in an earlier turn may not be there any more.
            if let Some(seen) = seen
                && !seen.entries(turn)
                && let Some(seen) = bucket(host, turn, job)
            {
                seen.entries(turn);
            }
        }
        self.entries = self.entries.max(end);
    }
}

#[inline]
fn bucket(host: &Host, turn: &Turn<'_, Shard>, job: &Job) -> Option<Seen> {
    let hash = job.hash?;
    host.space.ahead.bucket(turn, host.space.shard_of(hash), job.db.into(), hash)
}
