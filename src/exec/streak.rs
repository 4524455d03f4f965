//! Plain commands of one connection, one behind the other.
//!
//! For: the way that most requests take. What is the same for all of them is looked at and set up once, so
//! that little is left to do for each. May touch: what `run.rs` does; this is a part of it.
//! Always: a command has the same effects, in the same order, as by the long way; whatever could need more
//! than its one key's shard ends the streak before it has begun, or right after it.

use super::apply;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::block::{self, Server};
use super::call::Call;
use super::meter::Meter;
use super::notes::Took;
use super::run::{Executor, Knobs, cut_off, follow_up, panicked};
use crate::client::registry::bump;
use crate::client::{ReplyMode, Session};
use crate::command::table::Entry;
use crate::command::{Cx, Host, Outcome};
use crate::fault::Fault;
use crate::keyspace::db::{Hashed, Reach};
use crate::keyspace::lock::{Inside, Turn};
use crate::keyspace::record::Touch;
use crate::keyspace::{Db, Shard};
use crate::resp::{Args, Out};

/// A request that needs no more than its row says: [`Entry::is_plain`], with as many arguments as the row
/// allows.
pub struct Plain<'r> {
    /// Name and arguments.
    pub args: Args<'r>,
    /// Its key, with the hash.
    pub key: Hashed<'r>,
    /// How many buckets behind its home the key's entry was seen; it may have moved.
    pub distance: u8,
    /// Its row.
    pub entry: &'r Entry,
}

impl<'r> Plain<'r> {
    /// The request, if it is one.
    #[inline(always)]
    pub fn of(host: &'r Host, call: Call<'r>, distance: u8) -> Option<Plain<'r>> {
        let entry = call.entry(host)?;
        if !entry.is_plain || !entry.takes(call.args.len()) {
            return None;
        }
        let key = Hashed { key: call.args.get(1), hash: call.hash? };
        Some(Plain { args: call.args, key, distance, entry })
    }
}

/// Requests that may run in a streak.
pub trait Requests<'r> {
    /// Request `at`, if it is plain and there are so many. Asked for in their order, and for one once more if
    /// it is to be noted. To be inlined: what it answers is ten words, which would go through memory.
    fn plain(&mut self, inside: Inside<'_>, at: usize) -> Option<Plain<'r>>;
}

impl Executor {
    /// Whether plain commands of a session may run in a streak: nothing is asked for that concerns each.
    #[inline]
    pub fn may_streak(&self, host: &Host, turn: &Turn<'_, Shard>, session: &Session) -> bool {
        let is_asked = !session.authenticated
            | session.is_special()
            | session.tracking.is_some()
            | (session.reply != ReplyMode::On)
            | session.may_be_told()
            | self.is_monitored();
        !is_asked && turn.is_shared() && !host.pause.is_set()
    }

    /// Runs requests from the first on, until there is no plain one, or more than `most_bytes` of replies
    /// wait, or something has come up that is not for a streak. How many have run. Only while
    /// [`Executor::may_streak`].
    pub fn streak<'r>(
        &mut self,
        host: &'r Host,
        turn: &mut Turn<'_, Shard>,
        (session, out, most_bytes): (&mut Session, &mut Out, usize),
        requests: impl Requests<'r>,
    ) -> usize {
        let ran = self.run_all(host, turn, (session, out, most_bytes), requests);
        if !self.record.stirred.is_empty() {
            self.serve_late(host, turn);
        }
        ran
    }

    #[inline(always)]
    fn run_all<'r>(
        &mut self,
        host: &'r Host,
        turn: &Turn<'_, Shard>,
        (session, out, most_bytes): (&mut Session, &mut Out, usize),
        mut requests: impl Requests<'r>,
    ) -> usize {
        let (lane, index) = (self.lane(), session.db);
        self.record.touch = if session.no_touch { Touch::No } else { self.touch() };
        let (mut ran, mut last_row, mut dirty) = (0, 0, 0);
        let mut meter = Meter::new(host, &self.knobs, lane, self.last);
        let mut written = out.len_bytes();
        let mut cx = Cx {
            db: Db::new(Reach::Nothing, &host.space, index, self.now_ms, &mut self.record),
            out,
            session,
            settings: &self.settings,
            host,
            command: host.table.at(0),
            worker: lane,
            served: None,
            may_block: false,
            began: self.last,
            is_scripted: false,
            interpreter: &mut self.interpreter,
            meanwhile: self.meanwhile.as_ref(),
        };
        let inside = turn.inside();
        while let Some(Plain { args, key, distance, entry }) = requests.plain(inside, ran) {
            let request_bytes = args.size_bytes() as u64;
            let is_quick = meter.is_quick(entry, request_bytes);
            if !meter.takes(entry, is_quick) {
                settle(&mut meter, &mut cx, || requests.plain(inside, ran - 1));
            }
            let shard = host.space.shard_of(key.hash);
            hold(&mut cx.db, turn, shard);
            if entry.writes() && cx.db.shard(shard).is_some_and(Shard::is_waited) {
                break;
            }
            cx.db.come_to(key, distance, index, self.now_ms);
            cx.command = entry;
            let has_failed = run_one(&mut cx, args, entry);

            ran += 1;
            last_row = entry.index;
            dirty += cx.db.record.dirty;
            let before = std::mem::replace(&mut written, cx.out.len_bytes());
            let reply_bytes = (written - before) as u64;
            if let Some(nanos) = meter.ran(entry, is_quick, reply_bytes, has_failed) {
                note(&mut cx, &self.knobs, (args, entry), Took { nanos, request_bytes, reply_bytes });
            }
            if (meter.last() > self.clock_until) | (written > most_bytes) | !cx.db.record.stirred.is_empty() {
                break;
            }
        }
        settle(&mut meter, &mut cx, || requests.plain(inside, ran - 1));
        drop(cx);
        (self.last, self.sums.nanos) = (meter.last(), self.sums.nanos + meter.nanos());
        self.sums.dirty += dirty;
        self.end_streak(host, session, ran, last_row)
    }

    fn end_streak(&mut self, host: &Host, session: &Session, ran: usize, last_row: usize) -> usize {
        if ran > 0 {
            self.sums.ran += ran as u64;
            bump(&session.client.commands, ran as u64);
            session.client.last_command.store(last_row as u32, Ordering::Relaxed);
        }
        if self.last > self.clock_until {
            self.read_clock(host);
            self.is_late = true;
        }
        ran
    }
}

/// Holds a shard, and lets go of those that another mutex stands for.
#[inline(always)]
fn hold<'a>(db: &mut Db<'a>, turn: &'a Turn<'_, Shard>, shard: usize) {
    if db.shard(shard).is_none() {
        db.leave();
        db.hold(turn.around(shard));
    }
}

/// Reads the time of what has run since it was read last. The last of that, which `last` gives, is noted if
/// it took long; none of that is large. Then nothing is held any more: before a shard is held, not after it.
#[inline(always)]
fn settle<'r>(meter: &mut Meter<'_>, cx: &mut Cx<'_>, last: impl FnOnce() -> Option<Plain<'r>>) {
    if let Some(nanos) = meter.read()
        && meter.knobs.notable.passed(Took { nanos, request_bytes: 0, reply_bytes: 0 })
    {
        note_last(meter.knobs, cx, nanos, last);
    }
}

/// Notes the last of the commands whose time has been read, away from the way that most take.
#[cold]
#[inline(never)]
fn note_last<'r>(knobs: &Knobs, cx: &mut Cx<'_>, nanos: u64, last: impl FnOnce() -> Option<Plain<'r>>) {
    if let Some(Plain { args, entry, .. }) = last() {
        note(cx, knobs, (args, entry), Took { nanos, request_bytes: 0, reply_bytes: 0 });
    }
}

/// Notes a command that took long or was large.
#[inline(always)]
fn note(cx: &mut Cx<'_>, knobs: &Knobs, (args, entry): (Args<'_>, &Entry), took: Took) {
    if knobs.notable.passed(took) {
        cx.db.leave();
        knobs.notable.note(cx.host, &cx.session.client, args, entry, took, cx.db.now_ms() / 1000);
    }
}

/// Runs a command whose shard is held, with all that follows from it; lets go of the shard if that takes
/// longer. Whether it has failed.
#[inline(always)]
fn run_one(cx: &mut Cx<'_>, args: Args<'_>, entry: &Entry) -> bool {
    cx.db.record.begin();
    let mark = cx.out.mark();
    let failure = failure(cx, args, entry);
    apply::under_locks(cx.host, cx.worker, cx.db.record, cx.session.db, args);
    if cx.db.record.leads_on() {
        lead_on(cx, entry, args);
    }
    if !cx.db.record.garbage.is_empty() {
        cx.db.leave();
        apply::after_locks(cx.host, cx.db.record);
    }
    let Some(fault) = failure else { return false };
    cut_off(cx.host, cx.worker, cx.out, mark, &fault);
    true
}

/// Runs the handler, as [`guarded`](super::run::guarded) does: what a handler answers takes
/// two words, and the processor waits when they are read as one, which is how they would be moved.
#[inline(always)]
fn failure(cx: &mut Cx<'_>, args: Args<'_>, entry: &Entry) -> Option<Fault> {
    let mut failure = None;
    let run = || match (entry.row.handler)(cx, args) {
        Ok(Outcome::Done) => true,
        Ok(Outcome::Block(_)) => unreachable!("a plain command does not block"),
        Err(fault) => {
            failure = Some(fault);
            false
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(true) => None,
        Ok(false) => failure,
        Err(_) => Some(panicked(cx, entry)),
    }
}

/// What follows from a command at whose key others have an interest, under its lock.
#[cold]
fn lead_on(cx: &mut Cx<'_>, entry: &Entry, args: Args<'_>) {
    if !cx.db.record.stale.is_empty() {
        follow_up(cx, entry, args, false);
    }
    if !cx.db.record.stirred.is_empty() {
        block::serve(Server::of(cx), &mut cx.db);
    }
}
