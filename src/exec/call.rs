//! A request before it runs, and what became of it.
//!
//! For: finding the row of a request and the hash of its first key once. May touch: the table of commands,
//! the hash of keys.

use crate::client::Session;
use crate::command::table::Entry;
use crate::command::{Flags, Host, Locks};
use crate::keyspace::db::Hashed;
use crate::resp::Args;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It was answered.
    Done,
    /// It was answered and the connection closes when that is sent.
    Close,
    /// It waits for the end of a pause; nothing was done.
    Wait,
    /// It waits for a key: its reply comes by mail.
    Parked,
    /// A script that has run for too long has the gate: the turn is over, and nothing was done.
    Busy,
}

impl Ran {
    /// Of a request that has just been answered.
    #[inline]
    pub(super) fn answered(session: &Session) -> Ran {
        if session.closing { Ran::Close } else { Ran::Done }
    }

    /// Whether nothing of the request is left to do but, where it is parked, its reply.
    #[inline]
    pub(super) fn is_over(self) -> bool {
        !matches!(self, Ran::Wait | Ran::Busy)
    }
}

/// A request, with what is found out about it before it runs.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Name and arguments.
    pub args: Args<'a>,
    /// Index of its row; `None`: there is no such command.
    pub entry: Option<u16>,
    /// Hash of its first key, for commands that have one at a fixed place.
    pub hash: Option<u64>,
}

impl<'a> Call<'a> {
    /// Finds the row of a request and hashes its first key.
    #[inline(always)]
    pub fn of(host: &Host, args: Args<'a>) -> Call<'a> {
        Call::found(host, args, find(host, &args))
    }

    /// As [`Call::of`], with the row found already.
    #[inline(always)]
    pub fn found(host: &Host, args: Args<'a>, entry: Option<&Entry>) -> Call<'a> {
        let key = entry.and_then(|entry| entry.first_key(&args));
        let hash = key.map(|key| host.space.hasher.hash(key));
        Call { args, entry: entry.map(|entry| entry.index as u16), hash }
    }

    /// Its first key with the hash; `entry` is its row.
    #[inline]
    pub(super) fn hashed(&self, entry: &Entry) -> Option<Hashed<'a>> {
        Some(Hashed { hash: self.hash?, key: entry.first_key(&self.args)? })
    }

    /// Its row.
    #[inline]
    pub fn entry<'h>(&self, host: &'h Host) -> Option<&'h Entry> {
        self.entry.map(|index| host.table.at(index.into()))
    }

    /// Whether it waits until nobody else runs anything.
    #[inline]
    pub fn locks_all(&self, host: &Host) -> bool {
        self.entry(host).is_some_and(|entry| entry.row.locks == Locks::All)
    }

    /// Whether it runs what a transaction has queued.
    #[inline]
    pub fn runs_queue(&self, host: &Host) -> bool {
        self.entry(host).is_some_and(|entry| entry.row.flags.contains(Flags::RUNS_QUEUE))
    }

    /// Whether what the connection sent after it must be read anew when it has run.
    #[inline]
    pub fn ends_batch(&self, host: &Host) -> bool {
        self.entry(host).is_some_and(|entry| entry.row.flags.contains(Flags::ENDS_BATCH))
    }
}

/// The row of a request; a container's own where its subcommand does not exist.
#[inline(always)]
pub fn find<'h>(host: &'h Host, args: &Args<'_>) -> Option<&'h Entry> {
    let entry = host.table.find(args.get(0))?;
    if entry.subs.is_empty() || args.len() < 2 {
        return Some(entry);
    }
    // A missing subcommand is the container's to report.
    Some(host.table.find_sub(entry, args.get(1)).unwrap_or(entry))
}
