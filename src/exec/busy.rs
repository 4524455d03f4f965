//! Requests while a script that has run for too long holds everything.
//!
//! For: answering them without the gate. May touch: the session, and what a handler touches that holds no
//! shard.
//! Always: nothing here waits, and no key is reached.

use super::call::{Call, Ran};
use super::conclude::conclude;
use super::multi;
use super::run::Executor;
use crate::client::tracking::Mode;
use crate::client::transaction::Watching;
use crate::client::{ReplyMode, Session};
use crate::command::{Flags, Host, Locks};
use crate::keyspace::db::Reach;
use crate::resp::Out;

/// What shards are to be told of sessions that have left, when they can be reached.
#[derive(Default)]
pub struct Farewells {
    /// Keys that are watched no more.
    pub unwatched: Vec<Watching>,
    /// Who was told of every change has left: there may be nobody any more.
    pub ends_broadcast: bool,
}

impl Farewells {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.unwatched.is_empty() && !self.ends_broadcast
    }
}

impl Executor {
    /// Answers one request while a script holds everything for too long: what touches no key and is allowed
    /// then runs, everything else is refused. What the shards are to be told of it is added to `farewells`,
    /// for when they can be reached.
    #[cold]
    pub fn run_busy(
        &mut self,
        host: &Host,
        session: &mut Session,
        out: &mut Out,
        call: &Call<'_>,
        farewells: &mut Farewells,
    ) -> Ran {
        let start = out.mark();
        let ran = self.judge_busy(host, session, out, call, farewells);
        if (session.reply != ReplyMode::On) | session.tracking.is_some() {
            conclude(session, out, start, call.entry(host));
        }
        ran
    }

    fn judge_busy(
        &mut self,
        host: &Host,
        session: &mut Session,
        out: &mut Out,
        call: &Call<'_>,
        farewells: &mut Farewells,
    ) -> Ran {
        self.last = host.ticks.now();
        let entry = match self.screen(host, session, out, call) {
            Ok(entry) => entry,
            Err(refused) => return refused,
        };
        if !entry.row.flags.contains(Flags::ALLOW_BUSY) {
            if entry.row.flags.contains(Flags::RUNS_QUEUE) {
                farewells.unwatched.extend(session.end_watching().map(|it| *it));
            }
            return self.refuse(host, session, out, Some(entry), host.scripts.running.busy());
        }
        if multi::queue(host, session, out, call, entry) {
            return Ran::Done;
        }
        let mark = out.mark();
        self.record.begin();
        // Those that look at one shard after the other do so for what the session leaves.
        let leaves = entry.row.locks == Locks::OneShardAtATime;
        let watching = session.watching.take_if(|_| leaves);
        let tracking = session.tracking.take_if(|_| leaves);
        let result = self.handle(host, Reach::Nothing, session, out, *call, entry);
        let failed = result.is_err();
        if failed {
            session.watching = session.watching.take().or(watching);
            session.tracking = session.tracking.take().or(tracking);
        } else {
            farewells.unwatched.extend(watching.map(|it| *it));
            if let Some(tracking) = tracking {
                host.trackers.leave(&session.client);
                farewells.ends_broadcast |= tracking.tracker.mode.contains(Mode::BCAST);
            }
        }
        let ran = match result {
            Ok(_) => Ran::answered(session),
            Err(fault) => self.cut_off(host, out, mark, &fault),
        };
        self.account(host, session, call.args, entry, failed, 0);
        ran
    }
}
