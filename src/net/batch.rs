//! What a turn has received.
//!
//! For: requests of many connections as one batch, parsed, with their rows found, and memory asked for on
//! their behalf. May touch: bytes, the table of commands, the connection that is parsed.
//! Always: the requests of a run are one connection's, in the order in which they came.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use super::conn::Conn;
use super::fetch::Fetcher;
use crate::command::{Host, table::Entry};
use crate::exec::{Call, find};
use crate::keyspace::Shard;
use crate::keyspace::lock::{Part, Turn};
use crate::resp::{Args, Command, HEADS, Limits, OwnedArgs, Parsed, Scratch, Start};

/// Requests of one connection that run in one turn.
const MOST_COMMANDS: usize = 1024;

/// Where the bytes of a run are.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// In the worker's buffer.
    Shared,
    /// In one of the batch's own buffers.
    Own(usize),
}

/// A request of the batch.
pub struct Job {
    pub(super) command: Command,
    /// As in [`Call`].
    entry: Option<u16>,
    /// Database in which its first key is expected, for fetching ahead.
    pub(super) db: u16,
    /// As in [`Call`].
    pub(super) hash: Option<u64>,
}

impl Job {
    #[inline(always)]
    fn new(command: Command, call: Call<'_>, db: usize) -> Job {
        Job { command, entry: call.entry, db: db as u16, hash: call.hash }
    }

    #[inline]
    pub(super) fn call<'a>(&self, args: Args<'a>) -> Call<'a> {
        Call { args, entry: self.entry, hash: self.hash }
    }

    /// Whether its row is that of a plain command.
    #[inline]
    pub(super) fn is_plain(&self, host: &Host) -> bool {
        self.entry.is_some_and(|entry| host.table.at(entry.into()).is_plain)
    }
}

/// Requests of one connection.
pub(super) struct Run {
    pub(super) key: usize,
    pub(super) source: Source,
    pub(super) jobs: Range<usize>,
    /// One of them waits until nobody else runs anything.
    pub(super) locks_all: bool,
}

/// What a turn has received and not yet run.
pub struct Batch {
    pub(super) buf: Vec<u8>,
    pub(super) fill: usize,
    pub(super) own: Vec<Vec<u8>>,
    pub(super) scratch: Scratch,
    pub(super) jobs: Vec<Job>,
    pub(super) runs: Vec<Run>,
    /// Indices of the rows of requests that begin in the ways that the scratch keeps, where the name alone
    /// tells it.
    known: [Option<u16>; HEADS],
    /// `proto-max-bulk-len`.
    pub(super) max_bulk: u64,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch {
            buf: Vec::new(),
            fill: 0,
            own: Vec::new(),
            scratch: Scratch::new(),
            jobs: Vec::new(),
            runs: Vec::new(),
            known: [None; HEADS],
            max_bulk: Limits::default().max_bulk,
        }
    }

    /// How many runs it has.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether one of its requests waits until nobody else runs anything.
    pub(super) fn locks_all(&self) -> bool {
        self.runs.iter().any(|run| run.locks_all)
    }

    /// One of them.
    pub(super) fn run(&self, at: usize) -> &Run {
        &self.runs[at]
    }

    /// The connections of some of them.
    pub(super) fn keys(&self, runs: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        self.runs[runs].iter().map(|run| run.key)
    }

    /// Some requests of a run, apart from its bytes.
    pub(super) fn owned(&self, run: &Run, jobs: Range<usize>) -> VecDeque<OwnedArgs> {
        let bytes = self.bytes(run.source);
        self.jobs[jobs].iter().map(|job| self.scratch.args(bytes, &job.command).to_owned()).collect()
    }

    pub(super) fn bytes(&self, source: Source) -> &[u8] {
        match source {
            Source::Shared => &self.buf,
            Source::Own(at) => &self.own[at],
        }
    }

    pub(super) fn clear(&mut self) {
        self.fill = 0;
        self.own.clear();
        self.scratch.clear();
        self.jobs.clear();
        self.runs.clear();
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch::new()
    }
}

/// The batch, to be filled or emptied.
#[inline]
pub(super) fn filled(batch: &mut Rc<Batch>) -> &mut Batch {
    Rc::get_mut(batch).expect("a batch is shared only while it runs")
}

/// The row of a request, which is not sought again when one that began in the same way had it.
#[inline(always)]
fn row<'h>(
    host: &'h Host,
    start: Start,
    known: &mut [Option<u16>; HEADS],
    args: &Args<'_>,
) -> Option<&'h Entry> {
    if let Start::Same(place) = start
        && let Some(at) = known[usize::from(place)]
    {
        return Some(host.table.at(at.into()));
    }
    let entry = find(host, args);
    if let Start::New(place) = start {
        let alone = entry.filter(|entry| host.table.is_found_by_name(entry));
        known[usize::from(place)] = alone.map(|entry| entry.index as u16);
    }
    entry
}

/// Parses the bytes of a connection from `at` on into jobs of the batch, and keeps the rest with the
/// connection. Enters the gate for fetching memory meanwhile, unless it is barred.
pub(super) fn parse(
    host: &Host,
    part: Option<&mut Part<Shard>>,
    batch: &mut Batch,
    fetcher: &mut Fetcher,
    conn: &mut Conn,
    (key, source, mut at): (usize, Source, usize),
) {
    let turn = part.and_then(Part::try_enter);
    let inside = turn.as_ref().map(Turn::inside);
    let (first, mut locks_all) = (batch.jobs.len(), false);
    conn.limits.max_bulk = batch.max_bulk;
    let Batch { buf, own, scratch, jobs, fill, known, .. } = batch;
    let bytes: &[u8] = match source {
        Source::Shared => &buf[..*fill],
        Source::Own(index) => &own[index],
    };
    loop {
        if jobs.len() - first == MOST_COMMANDS {
            conn.has_more = true;
        } else {
            match conn.parser.next(bytes, &mut at, scratch, &conn.limits) {
                Ok(Parsed::Command(command)) => {
                    let args = scratch.args(bytes, &command);
                    let entry = row(host, scratch.start(), known, &args);
                    let call = Call::found(host, args, entry);
                    jobs.push(Job::new(command, call, conn.session.db));
                    inside.iter().for_each(|&inside| fetcher.received(host, inside, jobs));
                    if entry.is_none_or(|entry| !entry.is_ordinary) {
                        conn.has_more = call.ends_batch(host);
                        locks_all |= call.locks_all(host);
                    }
                }
                Ok(Parsed::Incomplete { keep, .. }) => {
                    match source {
                        // All of it is still needed: it stays where it is, however long it grows.
                        Source::Own(index) if at == 0 && jobs.len() == first => {
                            conn.input = std::mem::take(&mut own[index]);
                            conn.input.truncate(keep);
                        }
                        _ => conn.input.extend_from_slice(&bytes[at..keep]),
                    }
                    break;
                }
                Err(error) => {
                    conn.broken = Some(error);
                    break;
                }
            }
        }
        if conn.has_more {
            conn.has_more = at < bytes.len();
            conn.input.extend_from_slice(&bytes[at..]);
            break;
        }
    }
    inside.iter().for_each(|&inside| fetcher.look_further(inside));
    if jobs.len() > first || conn.broken.is_some() {
        batch.runs.push(Run { key, source, jobs: first..batch.jobs.len(), locks_all });
    }
}
