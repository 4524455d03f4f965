//! Transactions: queueing commands, and running the queue as one step.
//!
//! For: what MULTI begins and EXEC ends. May touch: what `run.rs` touches.
//! Always: the shards of all queued commands and of all watched keys are held from the test of the watches to
//! the last reply; all of it sees one instant; its effects are one unit of the log; who waits for its keys is
//! served after its last command.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::block::{self, Server};
use super::call::{Call, Ran};
use super::run::{Executor, guarded, observe};
use super::{apply, monitor, plan, tracking};
use crate::client::Session;
use crate::client::transaction::{Queued, Transaction, Watching};
use crate::command::table::{Entry, Places};
use crate::command::{Cx, Flags, Host, Locks};
use crate::fault::Fault;
use crate::keyspace::ahead::{self, Seen};
use crate::keyspace::db::Reach;
use crate::keyspace::lock::{Held, Turn};
use crate::keyspace::record::{Effect, Touch};
use crate::keyspace::{Db, Shard};
use crate::resp::{Args, Out};

/// Takes a command of a session in MULTI in. False: it runs at once, as if there were no transaction.
pub fn queue(host: &Host, session: &mut Session, out: &mut Out, call: &Call<'_>, entry: &Entry) -> bool {
    let Some(transaction) = &mut session.transaction else { return false };
    if entry.row.flags.intersects(Flags::UNQUEUED.union(Flags::RUNS_QUEUE)) {
        return false;
    }
    session.client.last_command.store(entry.index as u32, Ordering::Relaxed);
    let command = Queued { entry: entry.index, hash: call.hash };
    transaction.push(command, &call.args, entry.may_write(host, &call.args));
    session.client.note_transaction(transaction.commands.len(), transaction.bytes);
    out.simple("QUEUED");
    true
}

/// Notes that a command was refused: the transaction, if there is one, will not run. An EXEC that is refused
/// discards it; what it answers then is returned.
#[cold]
pub fn spoil(session: &mut Session, entry: Option<&Entry>, fault: &Fault) -> Option<Fault> {
    if let Some(transaction) = &mut session.transaction {
        transaction.is_spoiled = true;
    }
    if !entry.is_some_and(|entry| entry.row.flags.contains(Flags::RUNS_QUEUE)) {
        return None;
    }
    session.end_transaction();
    Some(Fault::aborted_because(fault))
}

/// What a transaction locks.
enum Plan {
    All,
    Shards(plan::Shards),
}

fn plan_of(
    host: &Host,
    turn: &Turn<'_, Shard>,
    queue: &Transaction,
    watching: Option<&Watching>,
    db: usize,
) -> Plan {
    let mut shards = plan::Shards::new();
    let mut fetched: SmallVec<[Seen; 16]> = SmallVec::new();
    let inside = turn.inside();
    for (_, key) in watching.iter().flat_map(|watching| &watching.keys) {
        shards.push(host.space.shard_of(host.space.hasher.hash(key)) as u16);
    }
    for (at, command) in queue.commands.iter().enumerate() {
        let (entry, args) = (host.table.at(command.entry), queue.args.get(at));
        match (entry.locks(args), command.hash) {
            (Locks::None, _) => {}
            (Locks::Keys, Some(hash)) if entry.places == Places::First => {
                let shard = host.space.shard_of(hash);
                shards.push(shard as u16);
                fetched.extend(host.space.ahead.bucket(inside, shard, db, hash));
            }
            (Locks::Keys, _) => shards.extend(plan::shards_of(turn, &host.space, entry, &args, db)),
            (Locks::OneShardAtATime | Locks::All, _) => return Plan::All,
        }
    }
    ahead::ask(inside, &mut fetched);
    shards.sort_unstable();
    shards.dedup();
    Plan::Shards(shards)
}

impl Executor {
    /// EXEC of a session in MULTI.
    #[cold]
    pub(super) fn run_queue(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        args: Args<'_>,
        entry: &Entry,
    ) -> Ran {
        let began = self.last;
        let (mark, waiting_bytes) = (out.mark(), out.len_bytes());
        let queue = session.transaction.take().map(|queue| *queue).unwrap_or_default();
        let mut plan = plan_of(host, turn, &queue, session.watching.as_deref(), session.db);
        self.record.begin();
        let result = loop {
            let locks = if matches!(plan, Plan::All) { Locks::All } else { Locks::Keys };
            if self.settle_gate(host, turn, locks).is_err() {
                session.transaction = Some(Box::new(queue));
                return Ran::Busy;
            }
            let held = match &plan {
                Plan::All => turn.all(),
                Plan::Shards(shards) => turn.set(shards),
            };
            // Whoever waits for these keys may have to be served with others.
            let is_wide = matches!(plan, Plan::Shards(_)) && queue.writes && held.any(Shard::is_waited);
            if is_wide {
                drop(held);
                plan = Plan::All;
                continue;
            }
            let held = self.up_to_date_anywhere(host, held);
            break self.run_held(host, held, session, out, (&queue, entry, &args));
        };
        session.end_transaction();
        if !self.record.garbage.is_empty() {
            apply::after_locks(host, &mut self.record);
        }
        let failed = result.is_err();
        let ran = match result {
            Ok(()) => Ran::answered(session),
            Err(fault) => self.cut_off(host, out, mark, &fault),
        };
        let reply_bytes = (out.len_bytes() - waiting_bytes) as u64;
        (self.last, self.record.dirty) = (began, 0);
        self.account(host, session, args, entry, failed, reply_bytes);
        if matches!(plan, Plan::All) {
            // One of the commands may have replaced the configuration or moved the clock.
            self.refresh(host);
        }
        if !self.record.stirred.is_empty() {
            self.serve_late(host, turn);
        }
        ran
    }

    /// Tests the watches and runs the queue.
    fn run_held(
        &mut self,
        host: &Host,
        mut held: Held<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        (queue, exec, args): (&Transaction, &Entry, &Args<'_>),
    ) -> Result<(), Fault> {
        let mut unit = Vec::new();
        let now_ms = self.now_ms();
        let is_touched = self.end_watches(host, &mut held, session, &mut unit);
        let result = if queue.is_spoiled {
            Err(Fault::EXEC_ABORT)
        } else if is_touched {
            out.null_array();
            Ok(())
        } else {
            out.array(queue.commands.len());
            for (at, command) in queue.commands.iter().enumerate() {
                let call =
                    Call { args: queue.args.get(at), entry: Some(command.entry as u16), hash: command.hash };
                // What the client runs is EXEC, to itself too.
                session.client.last_command.store(exec.index as u32, Ordering::Relaxed);
                self.run_queued(host, held.lend(), session, out, (call, now_ms), &mut unit);
            }
            Ok(())
        };
        if !unit.is_empty() {
            host.log.append(self.lane(), unit);
        }
        if self.is_monitored() {
            monitor::show(host, Some(&session.client), session.db, exec, args);
        }
        if !self.record.stale.is_empty() {
            tracking::invalidate(host, &mut self.record, Some(session.client.id));
        }
        if !self.record.stirred.is_empty() {
            let (settings, lane) = (self.settings.clone(), self.lane());
            let reach = Reach::Held(held.lend());
            let mut db = Db::new(reach, &host.space, session.db, now_ms, &mut self.record);
            block::serve(Server { host, settings: &settings, lane, notable: None }, &mut db);
        }
        result
    }

    /// Whether a watched key has changed, or has come to its deadline, since it was watched; watches no more.
    fn end_watches(
        &mut self,
        host: &Host,
        held: &mut Held<'_, Shard>,
        session: &mut Session,
        unit: &mut Vec<Effect>,
    ) -> bool {
        let Some(watching) = session.end_watching() else { return false };
        let now_ms = self.now_ms();
        let mut db = Db::new(Reach::Held(held.lend()), &host.space, 0, now_ms, &mut self.record);
        for (index, key) in &watching.keys {
            db.switch(*index);
            // Tells the watchers of a key that is due.
            db.peek(key);
        }
        db.unwatch(&watching.keys, &watching.watcher);
        drop(db);
        apply::tell(host, &mut self.record);
        unit.append(&mut self.record.effects);
        watching.watcher.is_touched()
    }

    /// Runs one command of the queue at that instant.
    fn run_queued(
        &mut self,
        host: &Host,
        held: Held<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        (call, now_ms): (Call<'_>, u64),
        unit: &mut Vec<Effect>,
    ) {
        let Some(entry) = call.entry(host) else { return };
        let args = call.args;
        let (mark, waiting_bytes, db) = (out.mark(), out.len_bytes(), session.db);
        let (lane, is_monitored) = (self.lane(), self.is_monitored());
        self.record.follow();
        self.record.touch = if session.no_touch { Touch::No } else { self.touch() };
        let result = {
            let mut cx = Cx {
                db: Db::new(Reach::Held(held), &host.space, db, now_ms, &mut self.record)
                    .knowing(call.hashed(entry)),
                out,
                session,
                settings: &self.settings,
                host,
                command: entry,
                worker: lane,
                began: self.last,
                served: None,
                may_block: false,
                is_scripted: false,
                interpreter: &mut self.interpreter,
                meanwhile: self.meanwhile.as_ref(),
            };
            if is_monitored {
                monitor::announce(host, &cx.session.client, db, entry, &args);
            }
            let result = guarded(&mut cx, args, entry);
            apply::tell(host, cx.db.record);
            unit.append(&mut apply::effects(cx.db.record, db, &args));
            observe(&mut cx, entry, &args, is_monitored);
            result
        };
        let failed = result.is_err();
        if let Err(fault) = result {
            self.cut_off(host, out, mark, &fault);
        }
        let reply_bytes = (out.len_bytes() - waiting_bytes) as u64;
        self.account(host, session, args, entry, failed, reply_bytes);
    }
}
