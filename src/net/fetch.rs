//! Fetching memory for the requests of a batch before they run.
//!
//! For: asking for what a request's first key needs, in two stages: its bucket in the table, and, when that
//! has had time to come, the entry that the bucket names. May touch: requests of the batch, hints of tables.
//! Always: within a turn; the requests are fetched for in their order.

use crate::command::Host;
use crate::keyspace::ahead::{Look, Seen};
use crate::keyspace::lock::Inside;

use super::batch::Job;

/// Memory is asked for on behalf of this many requests at a time while a batch runs: what translating an
/// address costs is paid for all of them at once, where the processor overlaps it.
const GROUP: usize = 8;
/// A bucket is looked at this many requests, at least, before the request of its key runs: time for another
/// bucket, where the entry has not found room in the first, and for the entry.
const ENTRIES_AHEAD: usize = 2 * GROUP;
/// A bucket is asked for this many requests, at least, before its request runs.
const BUCKETS_AHEAD: usize = 3 * GROUP;
/// For this many requests of a batch, at most, it is asked for while the batch is received: what is fetched
/// much too early is gone again when it is needed.
const FIRST: usize = 32;
/// Buckets that can have been asked for and not yet been looked at.
const SEEN: usize = 32;

/// How far the memory of a batch has been asked for.
#[derive(Default)]
pub struct Fetcher {
    /// Buckets asked for, by request modulo the length; those of the requests from `entries` on are still
    /// looked at.
    seen: [Option<Seen>; SEEN],
    /// Requests whose bucket was asked for.
    buckets: usize,
    /// Requests whose entry was asked for.
    entries: usize,
    /// The hashes of the last two keys that something was asked for: what comes again is there already.
    recent: [u64; 2],
    /// How many buckets behind its home an entry was seen, by request modulo the length.
    distances: [u8; SEEN],
    /// Requests and buckets behind the home of their keys, asked for because an entry had not found room in
    /// it.
    further: Vec<(usize, Seen)>,
}

impl Fetcher {
    /// At the start of a batch.
    pub fn clear(&mut self) {
        (self.buckets, self.entries) = (0, 0);
        self.recent = [0; 2];
        self.further.clear();
    }

    /// After the last of these requests has been received.
    #[inline]
    pub fn received(&mut self, host: &Host, inside: Inside<'_>, jobs: &[Job]) {
        if jobs.len() <= FIRST && jobs.len().is_multiple_of(GROUP) {
            self.go_early(host, inside, jobs);
        }
    }

    #[inline(never)]
    fn go_early(&mut self, host: &Host, inside: Inside<'_>, jobs: &[Job]) {
        self.entry_to(host, inside, jobs, self.buckets);
        self.bucket_to(host, inside, jobs, jobs.len());
    }

    /// Before the first of these requests runs.
    pub fn start(&mut self, host: &Host, inside: Inside<'_>, jobs: &[Job]) {
        self.bucket_to(host, inside, jobs, BUCKETS_AHEAD);
        self.entry_to(host, inside, jobs, self.buckets.max(ENTRIES_AHEAD));
        self.look_further(inside);
    }

    /// Before request `at` runs.
    #[inline]
    pub fn step(&mut self, host: &Host, inside: Inside<'_>, jobs: &[Job], at: usize) {
        if at.is_multiple_of(GROUP) && at + ENTRIES_AHEAD < jobs.len() {
            self.go_on(host, inside, jobs, at);
        }
    }

    #[inline(never)]
    fn go_on(&mut self, host: &Host, inside: Inside<'_>, jobs: &[Job], at: usize) {
        self.look_further(inside);
        self.entry_to(host, inside, jobs, at + GROUP + ENTRIES_AHEAD);
        self.bucket_to(host, inside, jobs, at + GROUP + BUCKETS_AHEAD);
    }

    #[inline(always)]
    fn bucket_to(&mut self, host: &Host, inside: Inside<'_>, jobs: &[Job], end: usize) {
        while self.buckets < end
            && let Some(job) = jobs.get(self.buckets)
        {
            self.distances[self.buckets % SEEN] = 0;
            self.seen[self.buckets % SEEN] = match job.hash {
                Some(hash) if !self.recent.contains(&hash) => {
                    self.recent = [hash, self.recent[0]];
                    bucket(host, inside, job)
                }
                _ => None,
            };
            self.buckets += 1;
        }
    }

    #[inline(always)]
    fn entry_to(&mut self, host: &Host, inside: Inside<'_>, jobs: &[Job], end: usize) {
        while self.entries < end
            && let Some(job) = jobs.get(self.entries)
        {
            if let Some(seen) = self.seen[self.entries % SEEN] {
                let look = match seen.entries(inside) {
                    Look::Stale => look_again(host, inside, job),
                    look => look,
                };
                if let Look::Further(seen) = look {
                    self.further.push((self.entries, seen));
                }
            }
            self.entries += 1;
        }
    }

    /// Looks into the buckets behind their home. Also before a turn ends in which requests were received:
    /// what was seen in it is of no use in the next.
    #[inline]
    pub fn look_further(&mut self, inside: Inside<'_>) {
        if !self.further.is_empty() {
            self.look_on(inside);
        }
    }

    #[inline(never)]
    fn look_on(&mut self, inside: Inside<'_>) {
        let distances = &mut self.distances;
        self.further.retain_mut(|(request, seen)| match seen.entries(inside) {
            Look::Further(next) => {
                *seen = next;
                true
            }
            Look::There(distance) => {
                distances[*request % SEEN] = distance;
                false
            }
            Look::Nowhere | Look::Stale => false,
        });
    }

    /// How many buckets behind its home the entry of request `at`, which runs now, was seen.
    #[inline]
    pub fn distance(&self, at: usize) -> u8 {
        self.distances[at % SEEN]
    }
}

/// Looks at a bucket that was asked for in an earlier turn, and may not be the right one any more.
#[inline(never)]
fn look_again(host: &Host, inside: Inside<'_>, job: &Job) -> Look {
    bucket(host, inside, job).map_or(Look::Nowhere, |seen| seen.entries(inside))
}

#[inline(always)]
fn bucket(host: &Host, inside: Inside<'_>, job: &Job) -> Option<Seen> {
    let hash = job.hash?;
    host.space.ahead.bucket(inside, host.space.shard_of(hash), job.db.into(), hash)
}
