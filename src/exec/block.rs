//! Blocked clients: parking them, serving them, ending their waits.
//!
//! For: commands that answered `Block`, and whatever makes a key ready. May touch: held shards, the clients'
//! records, the mail of their workers; never sockets.
//! Always: a client is parked while the shards of its keys are still held from the look that found nothing;
//! a write that makes a key ready serves its waiters, in order of arrival, before its locks drop. So no
//! wake-up is lost, and nobody takes an element from under a waiter.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::notes::{Thresholds, Took};
use super::run::{guarded, log_each};
use super::{apply, tracking};
use crate::client::blocked::{Blocked, Reply};
use crate::client::claim::{Claim, Reason};
use crate::client::registry::bump;
use crate::client::{Client, ReplyMode};
use crate::command::{Cx, Host, Outcome, Wait};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::expiry::expire_all_due;
use crate::keyspace::lock::{Held, Turn};
use crate::keyspace::waiters::Waits;
use crate::keyspace::{Db, Entry, Kind, Shard, Space};
use crate::observe::stats::add;
use crate::pubsub::Message;
use crate::resp::{Args, Out};

/// What serving needs besides the keyspace.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    /// Handles to the rooms.
    pub host: &'a Host,
    /// The configuration in force.
    pub settings: &'a Settings,
    /// The thread's place in counters and the commit log.
    pub lane: usize,
    /// From where on a command is notable, where that is known already.
    pub(super) notable: Option<&'a Thresholds>,
}

impl<'a> Server<'a> {
    /// As a command sees it.
    pub fn of(cx: &Cx<'a>) -> Server<'a> {
        Server { host: cx.host, settings: cx.settings, lane: cx.worker, notable: None }
    }
}

/// Parks the client whose command has just answered that it waits.
pub fn park(cx: &mut Cx<'_>, args: Args<'_>, wait: &mut Wait) {
    let space = &*cx.host.space;
    let owned = wait.argv.take().unwrap_or_else(|| args.to_owned());
    let view = owned.as_args();
    let positions = wait.keys.iter().chain(&wait.target);
    let mut shards: smallvec::SmallVec<[u16; 4]> =
        positions.map(|&at| space.shard_of(space.hasher.hash(view.get(at as usize))) as u16).collect();
    shards.sort_unstable();
    shards.dedup();
    let session = &*cx.session;
    let blocked = Arc::new(Blocked {
        client: Arc::clone(&session.client),
        seat: session.seat,
        arrival: space.waiting.arrive(),
        db: cx.db.index(),
        proto: cx.out.proto(),
        is_muted: matches!(session.reply, ReplyMode::Off | ReplyMode::Skip),
        no_touch: session.no_touch,
        tracks: session.tracking.as_ref().is_some_and(|tracking| tracking.remembers()),
        local: session.local,
        row: cx.command.index,
        args: Arc::new(owned),
        wait: wait.clone(),
        shards,
        claim: Claim::new(),
    });
    session.client.last_command.store(cx.command.index as u32, Ordering::Relaxed);
    let held = cx.db.held().expect("a row that blocks declares its keys");
    enqueue(space, held, blocked);
    // Last: who sees it counted finds it in its queues.
    cx.host.clients.blocked.fetch_add(1, Ordering::Relaxed);
}

/// Puts a client into its queues; the shards of all its keys are held.
fn enqueue(space: &Space, held: &mut Held<'_, Shard>, blocked: Arc<Blocked>) {
    *blocked.client.parked.lock() = Some(Arc::clone(&blocked));
    let who: Arc<dyn Waits> = Arc::clone(&blocked) as Arc<dyn Waits>;
    for key in blocked.keys() {
        let shard = space.shard_of(space.hasher.hash(key));
        held.get_mut(shard).join(key, &who, &space.waiting);
    }
    space.waiting.file(&who);
    if let Some((at_ms, position)) = blocked.wait.look {
        let shard = space.shard_of(space.hasher.hash(blocked.key(position)));
        space.arm(shard, at_ms);
    }
}

/// Takes a client out of its queues, each shard by `with`.
fn dequeue(space: &Space, blocked: &Blocked, mut with: impl FnMut(usize, &mut dyn FnMut(&mut Shard))) {
    for key in blocked.keys() {
        let shard = space.shard_of(space.hasher.hash(key));
        with(shard, &mut |shard| shard.quit(key, blocked, &space.waiting));
    }
    space.waiting.unfile(blocked);
}

/// Serves those who wait for the keys that have changed since the last time, and for those that change by
/// that. What would need shards that are not held stays in the record.
#[cold]
pub fn serve(server: Server<'_>, db: &mut Db<'_>) {
    let mut later = Vec::new();
    let own = (db.record.dirty, db.record.rewritten);
    let mut stirred = VecDeque::from(std::mem::take(&mut db.record.stirred));
    while let Some((index, key)) = stirred.pop_front() {
        if !serve_key(server, &mut db.lend(index), &key) {
            later.push((index, key));
        }
        stirred.extend(db.record.stirred.drain(..));
    }
    db.record.stirred = later;
    if !db.record.stale.is_empty() {
        // Keys that were looked at and had expired.
        tracking::invalidate(server.host, db.record, None);
    }
    (db.record.dirty, db.record.rewritten) = own;
}

/// Serves those who wait for one key, each once. False: some of them need shards that are not held.
fn serve_key(server: Server<'_>, db: &mut Db<'_>, key: &[u8]) -> bool {
    let space = db.space();
    let shard = space.shard_of(space.hasher.hash(key));
    let mut after = 0;
    loop {
        let index = db.index();
        match db.held() {
            Some(held) if held.holds(shard) => {
                if held.get(shard).line(index, key).is_none() {
                    return true;
                }
            }
            _ => return false,
        }
        let kind = db.peek(key).map(Entry::kind);
        let held = db.held().expect("it was held");
        let Some(who) = held.get(shard).line(index, key).and_then(|line| line.next(after, kind)) else {
            return true;
        };
        if !who.shards().iter().all(|&shard| held.holds(usize::from(shard))) {
            return false;
        }
        after = who.arrival();
        let whole = who.whole().downcast::<Blocked>();
        let blocked = whole.unwrap_or_else(|_| unreachable!("nothing else waits for keys"));
        if blocked.claim.try_claim(Reason::Served) {
            serve_one(server, db, key, &blocked);
        }
    }
}

/// Runs the command of a client whose claim was won.
fn serve_one(server: Server<'_>, db: &mut Db<'_>, ready: &[u8], blocked: &Arc<Blocked>) {
    let Server { host, settings, lane, .. } = server;
    let space = db.space();
    let held = db.held().expect("its shards are held");
    dequeue(space, blocked, |shard, f| f(held.get_mut(shard)));
    let served = position(db, ready, blocked);
    let (mut out, mut session) = (Out::new(), blocked.session());
    out.set_proto(blocked.proto);
    let mark = out.mark();
    let entry = host.table.at(blocked.row);
    let args = blocked.args.as_args();
    db.record.follow();
    let began = host.ticks.now();
    let (result, told) = {
        let mut cx = Cx {
            db: db.lend(blocked.db),
            out: &mut out,
            session: &mut session,
            settings,
            host,
            command: entry,
            worker: lane,
            began,
            served: Some(served),
            may_block: true,
            is_scripted: false,
            interpreter: &mut None,
            meanwhile: None,
        };
        let result = guarded(&mut cx, args, entry);
        apply::under_locks(host, lane, cx.db.record, blocked.db, args);
        let told = follow_up(server, &mut cx.db, blocked);
        (result, told)
    };
    let counters = host.observe.lane(lane);
    add(&counters.dirty, db.record.dirty);
    let failed = match result {
        Ok(Outcome::Block(wait)) => {
            let held = db.held().expect("its shards are held");
            enqueue(space, held, Arc::new(blocked.again(*wait)));
            if let Some(until_ms) = blocked.wait.until_ms {
                space.wake_by(blocked.client.worker, until_ms);
            }
            told.into_iter().for_each(|word| host.channels.post(word));
            return;
        }
        Ok(Outcome::Done) => false,
        Err(fault) => {
            out.rollback(mark);
            add(&counters.errors, 1);
            host.observe.error(fault.code());
            out.error(fault.text());
            true
        }
    };
    let nanos = host.ticks.nanos_between(began, host.ticks.now());
    account(server, blocked, nanos, failed, out.len_bytes(), db.now_ms());
    answer(host, blocked, out);
    told.into_iter().for_each(|word| host.channels.post(word));
}

/// Notes what a served client has read, if it tracks keys, and tells what its command has changed; but the
/// client itself is to be told what is returned when it has its reply.
fn follow_up(server: Server<'_>, db: &mut Db<'_>, blocked: &Blocked) -> Vec<Message> {
    let host = server.host;
    if blocked.tracks {
        let most = server.settings.int(Directive::TrackingTableMaxKeys) as usize;
        let command = (host.table.at(blocked.row), &blocked.args.as_args());
        tracking::remember_for(host, db, blocked.client.id, most, command);
    }
    if db.record.stale.is_empty() {
        return Vec::new();
    }
    tracking::invalidate_served(host, db, blocked.client.id)
}

/// Position of the key to serve a client at: the leftmost that exists, as if its command came now; for
/// streams, which stay when they have been read, the one that is ready.
fn position(db: &mut Db<'_>, ready: &[u8], blocked: &Blocked) -> usize {
    let keys = &blocked.wait.keys;
    let leftmost = if blocked.wait.kind == Kind::Stream {
        None
    } else {
        keys.iter().find(|&&at| db.peek(blocked.key(at)).is_some())
    };
    let position = leftmost.or_else(|| keys.iter().find(|&&at| blocked.key(at) == ready));
    position.map_or(0, |&at| at as usize)
}

/// Counts a command that was blocked and is over, and notes it if it is notable. It ran for `nanos`; waiting
/// does not count.
fn account(server: Server<'_>, blocked: &Blocked, nanos: u64, failed: bool, reply_bytes: usize, now_ms: u64) {
    let Server { host, settings, .. } = server;
    let lane = host.observe.lane(server.lane);
    lane.ran(blocked.row, (1, failed.into()), nanos, server.settings.bool(Directive::LatencyTracking));
    add(&lane.ran, 1);
    add(&lane.command_nanos, nanos);
    // Its worker runs nothing of it meanwhile.
    bump(&blocked.client.commands, 1);
    let args = blocked.args.as_args();
    let took = Took { nanos, request_bytes: args.size_bytes() as u64, reply_bytes: reply_bytes as u64 };
    let notable = server.notable.copied().unwrap_or_else(|| Thresholds::of(settings));
    if notable.passed(took) {
        notable.note(host, &blocked.client, args, host.table.at(blocked.row), took, now_ms / 1000);
    }
}

/// Ends a wait for which the client is out of its queues: sends its reply on the way.
fn answer(host: &Host, blocked: &Blocked, mut out: Out) {
    *blocked.client.parked.lock() = None;
    host.clients.blocked.fetch_sub(1, Ordering::Relaxed);
    if blocked.is_muted {
        out.clear();
    }
    let Blocked { client, seat, .. } = blocked;
    (host.post)(Reply { worker: client.worker, seat: *seat, client: client.id, out });
}

/// What a client is told whose wait ended without a key.
fn refusal(server: Server<'_>, blocked: &Blocked, fault: Option<&Fault>, now_ms: u64) -> Out {
    let mut out = Out::new();
    out.set_proto(blocked.proto);
    match fault {
        None => out.null_array(),
        Some(fault) => {
            let lane = server.host.observe.lane(server.lane);
            lane.rejected(blocked.row);
            add(&lane.errors, 1);
            server.host.observe.error(fault.code());
            out.error(fault.text());
        }
    }
    account(server, blocked, 0, false, out.len_bytes(), now_ms);
    out
}

/// Ends a client's wait with everything held: as if its time were up, or with an error. False: it does not
/// wait.
pub fn unblock(server: Server<'_>, db: &mut Db<'_>, client: &Client, fault: Option<&Fault>) -> bool {
    let Some(blocked) = client.parked.lock().clone() else { return false };
    let reason = if fault.is_some() { Reason::Unblocked } else { Reason::TimedOut };
    if !blocked.claim.try_claim(reason) {
        return false;
    }
    let space = db.space();
    let held = db.held().expect("everything is held");
    dequeue(space, &blocked, |shard, f| f(held.get_mut(shard)));
    let out = refusal(server, &blocked, fault, db.now_ms());
    answer(server.host, &blocked, out);
    true
}

/// Ends the waits of a worker's clients whose time is up.
#[cold]
pub fn time_out(server: Server<'_>, turn: &mut Turn<'_, Shard>, worker: usize, now_ms: u64) {
    let space = &*server.host.space;
    while let Some(who) = space.waiting.first_due(worker, now_ms) {
        let whole = who.whole().downcast::<Blocked>();
        let blocked = whole.unwrap_or_else(|_| unreachable!("nothing else waits for keys"));
        if let Some(blocked) = leave(server.host, turn, &blocked.client, Reason::TimedOut, blocked.arrival) {
            let out = refusal(server, &blocked, None, now_ms);
            answer(server.host, &blocked, out);
        }
    }
}

/// A connection is closed: its client waits no more.
pub fn abandon(host: &Host, turn: &mut Turn<'_, Shard>, client: &Client) {
    let Some(arrival) = client.parked.lock().as_ref().map(|blocked| blocked.arrival) else { return };
    if leave(host, turn, client, Reason::Gone, arrival).is_some() {
        *client.parked.lock() = None;
        host.clients.blocked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes a client out of its queues, if it still waits at that place in them. Everybody else who ends a wait
/// holds all shards of its keys, or has claimed it for a kill.
fn leave(
    host: &Host,
    turn: &mut Turn<'_, Shard>,
    client: &Client,
    reason: Reason,
    arrival: u64,
) -> Option<Arc<Blocked>> {
    let space = &*host.space;
    let blocked = loop {
        let blocked = client.parked.lock().clone()?;
        let held = turn.one(usize::from(*blocked.shards.first()?));
        let present = client.parked.lock().clone()?;
        if present.arrival != arrival {
            return None;
        }
        if !Arc::ptr_eq(&present, &blocked) {
            // It has gone on to wait, maybe with other arguments.
            drop(held);
            continue;
        }
        if present.claim.try_claim(reason) || reason == Reason::Gone {
            break present;
        }
        // It was killed: its worker is about to close it. Nobody waits for its time any more.
        space.waiting.unfile(&*present);
        return None;
    };
    dequeue(space, &blocked, |shard, f| f(turn.one(shard).get_mut(shard)));
    Some(blocked)
}

/// Lets time pass up to `now_ms`, with everything held: keys expire, clients are served by that, look again
/// or give up, each at its time.
pub fn pass_time(server: Server<'_>, db: &mut Db<'_>, now_ms: u64, expires: bool) {
    let waiting = &db.space().waiting;
    loop {
        let worker = waiting.first_worker().filter(|&worker| waiting.first_ms(worker) <= now_ms);
        let given_up_ms = worker.map_or(now_ms, |worker| waiting.first_ms(worker));
        let mut until_ms = given_up_ms;
        if expires {
            db.each_shard(0, |_, shard, _| {
                until_ms = until_ms.min(shard.next_look_ms());
                true
            });
            expire_all_due(db, until_ms);
        }
        if !db.record.stirred.is_empty() {
            log_each(server.host, server.lane, db.record);
            let before_ms = db.now_ms();
            db.pass_to(until_ms.max(before_ms));
            serve(server, db);
            db.pass_to(before_ms);
        }
        if until_ms < given_up_ms {
            continue;
        }
        let Some(worker) = worker else { return };
        while let Some(who) = waiting.first_due(worker, until_ms) {
            let whole = who.whole().downcast::<Blocked>();
            let blocked = whole.unwrap_or_else(|_| unreachable!("nothing else waits for keys"));
            if !unblock(server, db, &blocked.client, None) {
                waiting.unfile(&*blocked);
            }
        }
    }
}
