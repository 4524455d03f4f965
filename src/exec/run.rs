//! One command from request to reply.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::block::{self, Server};
use super::call::{Call, Ran};
use super::conclude::conclude;
use super::notes::{Thresholds, Took};
use super::{admit, apply, monitor, multi, notify, plan, tracking};
use crate::client::registry::bump;
use crate::client::{ReplyMode, Session};
use crate::clock::Chance;
use crate::command::table::{Entry, Places};
use crate::command::{Cx, Flags, Host, Locks, Meanwhile, Outcome};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::ahead::Graveyard;
use crate::keyspace::db::{EachShard, Reach};
use crate::keyspace::gate::Busy;
use crate::keyspace::lock::{Held, Turn};
use crate::keyspace::record::{Record, Touch};
use crate::keyspace::{Db, Shard};
use crate::observe::stats::add;
use crate::resp::{Args, Mark, Out};

/// A turn reads the clock again after this long.
const CLOCK_HOLDS_NS: u64 = 1_000_000;
/// Consecutive commands that lock everything share one acquisition for at most this long.
const EXCLUSIVE_NS: u64 = 1_000_000;
/// A write locks more shards at most this often, as it sees who waits for its keys; then it locks
/// everything.
const WIDER: usize = 3;
/// Connections that speak HTTP are told of in the log at most this often.
const INTRUSION_NS: u64 = 60_000_000_000;

/// What a worker keeps for running commands.
pub struct Executor {
    /// What the present command has done.
    pub record: Record,
    /// The configuration in force.
    pub settings: Arc<Settings>,
    lane: usize,
    version: u64,
    pub(super) knobs: Knobs,
    pub(super) now_ms: u64,
    /// [`CLOCK_HOLDS_NS`] in ticks.
    clock_holds: u64,
    /// Raw ticks when the clock is to be read anew, when the last command ended, and when everything was
    /// locked.
    pub(super) clock_until: u64,
    pub(super) last: u64,
    exclusive_since: u64,
    /// Somebody monitors what is run.
    is_monitored: bool,
    /// A millisecond has passed since the turn began, or since this was last taken back: replies that are
    /// finished should be sent.
    pub is_late: bool,
    graveyard: Graveyard,
    pub(super) sums: Sums,
    /// As in [`Cx`].
    pub(super) interpreter: Option<Box<dyn Any>>,
    /// As in [`Cx`].
    pub meanwhile: Option<Meanwhile>,
    /// Keys that have changed for those who wait for them, when the gate was closed before they could be
    /// served: to be done in the next turn.
    unserved: Vec<(usize, Box<[u8]>)>,
}

/// Counts that become visible at the end of a turn.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) ran: u64,
    pub(super) nanos: u64,
    pub(super) dirty: u64,
}

/// The settings that every command needs, taken out of `Settings` once.
#[derive(Clone, Copy)]
pub(super) struct Knobs {
    pub(super) notable: Thresholds,
    pub(super) tracks_latency: bool,
    touch: Touch,
    events: u32,
}

impl Knobs {
    fn of(settings: &Settings) -> Knobs {
        Knobs {
            notable: Thresholds::of(settings),
            tracks_latency: settings.bool(Directive::LatencyTracking),
            touch: Touch::of(settings),
            events: settings.events(),
        }
    }
}

impl Executor {
    /// For the worker (or other thread) of that lane.
    pub fn new(host: &Host, lane: usize, chance: Chance) -> Executor {
        let settings = host.settings.load_full();
        let knobs = Knobs::of(&settings);
        let mut executor = Executor {
            record: Record::new(chance),
            settings,
            lane,
            version: 0,
            knobs,
            now_ms: 0,
            clock_holds: host.ticks.in_nanos(CLOCK_HOLDS_NS),
            clock_until: 0,
            last: 0,
            exclusive_since: 0,
            is_monitored: false,
            is_late: false,
            graveyard: Graveyard::default(),
            sums: Sums::default(),
            interpreter: None,
            meanwhile: None,
            unserved: Vec::new(),
        };
        executor.version = u64::MAX;
        executor.refresh(host);
        executor
    }

    /// The instant of the commands that run now, unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Reads time and configuration anew: at the start of a turn, and whenever the gate was left in between.
    pub fn refresh(&mut self, host: &Host) {
        self.refresh_settings(host);
        self.record.events = self.knobs.events;
        self.record.listens = notify::asks(self.knobs.events) || host.space.listens.load(Ordering::Relaxed);
        self.record.logs = host.log.is_read();
        self.is_monitored = host.monitors.any();
        self.last = host.ticks.now();
        self.read_clock(host);
    }

    /// Reads the configuration anew if it was replaced.
    pub fn refresh_settings(&mut self, host: &Host) {
        let version = host.settings_version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            self.settings = host.settings.load_full();
            self.knobs = Knobs::of(&self.settings);
            let lazy = self.settings.bool(Directive::LazyfreeLazyExpire);
            self.record.expire_verb = if lazy { b"UNLINK" } else { b"DEL" };
        }
    }

    #[inline(never)]
    pub(super) fn read_clock(&mut self, host: &Host) {
        self.now_ms = host.space.clock.now_ms();
        self.clock_until = self.last + self.clock_holds;
    }

    /// Runs one request of a session.
    pub fn run(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        call: Call<'_>,
    ) -> Ran {
        let start = out.mark();
        let ran = match call.entry(host) {
            Some(entry) if is_plain(host, session, entry, call.args) => {
                self.execute(host, turn, session, out, call, entry)
            }
            _ => self.judge(host, turn, session, out, call),
        };
        if ((session.reply != ReplyMode::On) | session.tracking.is_some()) && ran.is_over() {
            conclude(session, out, start, call.entry(host));
        }
        ran
    }

    /// The thread's place in counters and the commit log.
    pub(super) fn lane(&self) -> usize {
        self.lane
    }

    /// Whether somebody monitors what is run.
    pub(super) fn is_monitored(&self) -> bool {
        self.is_monitored
    }

    /// How reads touch entries.
    pub(super) fn touch(&self) -> Touch {
        self.knobs.touch
    }

    /// Takes one check after the other, and runs what passes.
    #[cold]
    fn judge(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        call: Call<'_>,
    ) -> Ran {
        let entry = match self.screen(host, session, out, &call) {
            Ok(entry) => entry,
            Err(refused) => return refused,
        };
        if admit::is_paused(host, session, (entry, &call.args), self.now_ms) {
            return Ran::Wait;
        }
        if session.transaction.is_some() {
            if entry.row.flags.contains(Flags::RUNS_QUEUE) {
                return self.run_queue(host, turn, session, out, call.args, entry);
            }
            if multi::queue(host, session, out, &call, entry) {
                return Ran::Done;
            }
        }
        self.execute(host, turn, session, out, call, entry)
    }

    /// Finds the row of a request that may run as far as row, session and settings are concerned.
    ///
    /// # Errors
    /// Any other has been refused.
    pub(super) fn screen<'h>(
        &mut self,
        host: &'h Host,
        session: &mut Session,
        out: &mut Out,
        call: &Call<'_>,
    ) -> Result<&'h Entry, Ran> {
        let Some(entry) = call.entry(host) else {
            return Err(self.refuse_unknown(host, session, out, &call.args));
        };
        // Who has not authenticated is not told what exists.
        if !session.authenticated && !admit::is_open(entry) {
            return Err(self.refuse(host, session, out, Some(entry), Fault::NO_AUTH));
        }
        if let Err(fault) = admit::check(entry, &call.args) {
            // A subcommand that does not exist is not the container's failure.
            let row = Some(entry).filter(|entry| entry.subs.is_empty() || call.args.len() < 2);
            return Err(self.refuse(host, session, out, row, fault));
        }
        match admit::refusal(&self.settings, session, entry) {
            Some(fault) => Err(self.refuse(host, session, out, Some(entry), fault)),
            None => Ok(entry),
        }
    }

    /// A name without a row. What a browser would send ends the connection, so that no page makes it talk to
    /// the server.
    #[cold]
    fn refuse_unknown(&mut self, host: &Host, session: &mut Session, out: &mut Out, args: &Args<'_>) -> Ran {
        let name = args.get(0);
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            let now_ns = host.ticks.since_start_ns().max(1);
            let told_ns = host.intrusion_told_ns.load(Ordering::Relaxed);
            if told_ns == 0 || now_ns.saturating_sub(told_ns) > INTRUSION_NS {
                host.intrusion_told_ns.store(now_ns, Ordering::Relaxed);
                tracing::warn!(
                    "Possible SECURITY ATTACK detected. A client speaks HTTP (POST or Host:), as a web page \
                     does that was made to reach this server. Connection from {} closed.",
                    session.client.addr
                );
            }
            return Ran::Close;
        }
        if !session.authenticated {
            return self.refuse(host, session, out, None, Fault::NO_AUTH);
        }
        self.refuse(host, session, out, None, Fault::unknown_command(name, args.from(1).iter()))
    }

    pub(super) fn refuse(
        &mut self,
        host: &Host,
        session: &mut Session,
        out: &mut Out,
        entry: Option<&Entry>,
        fault: Fault,
    ) -> Ran {
        let fault = multi::spoil(session, entry, &fault).unwrap_or(fault);
        let index = entry.map_or(u32::MAX, |entry| entry.index as u32);
        session.client.last_command.store(index, Ordering::Relaxed);
        if let Some(entry) = entry {
            host.observe.lane(self.lane).rejected(entry.index);
        }
        fail(host, self.lane, out, &fault);
        Ran::Done
    }

    /// Puts an error in the place of what a command has written.
    #[inline(never)]
    pub(super) fn cut_off(&mut self, host: &Host, out: &mut Out, start: Mark, fault: &Fault) -> Ran {
        cut_off(host, self.lane, out, start, fault);
        Ran::Done
    }

    /// Runs a command that has passed every check.
    fn execute(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        call: Call<'_>,
        entry: &Entry,
    ) -> Ran {
        self.record.begin();
        self.record.touch = if session.no_touch { Touch::No } else { self.knobs.touch };
        let (mark, waiting_bytes) = (out.mark(), out.len_bytes());
        let Ok(result) = self.handle_locked(host, turn, session, out, call, entry) else { return Ran::Busy };
        if !self.record.garbage.is_empty() {
            apply::after_locks(host, &mut self.record);
        }
        let failed = result.is_err();
        let ran = match result {
            Ok(Outcome::Done) => Ran::answered(session),
            Ok(Outcome::Block(_)) => return self.leave_parked(host),
            Err(fault) => self.cut_off(host, out, mark, &fault),
        };
        let reply_bytes = (out.len_bytes() - waiting_bytes) as u64;
        self.account(host, session, call.args, entry, failed, reply_bytes);
        if !self.record.stirred.is_empty() {
            self.serve_late(host, turn);
        }
        ran
    }

    /// Takes the locks that a command needs, and runs it.
    #[inline(never)]
    fn handle_locked(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        call: Call<'_>,
        entry: &Entry,
    ) -> Result<Result<Outcome, Fault>, Busy> {
        let locks = entry.locks(call.args);
        if turn.is_exclusive() || locks == Locks::All {
            self.begin_exclusive(host, turn, session, call, entry, locks)?;
        }
        let shards;
        let mut steps;
        let reach = match locks {
            Locks::None => Reach::Nothing,
            Locks::Keys if entry.places == Places::First => {
                let hash = call.hash.expect("the arity of such a command demands the key");
                Reach::Held(turn.one(host.space.shard_of(hash)))
            }
            Locks::Keys => {
                shards = plan::shards_of(turn, &host.space, entry, &call.args, session.db);
                Reach::Held(self.up_to_date(host, session.db, turn.set(&shards)))
            }
            Locks::OneShardAtATime => {
                steps = Steps { host, turn, lane: self.lane };
                Reach::Each(&mut steps)
            }
            Locks::All => Reach::Held(turn.all()),
        };
        let writes = locks == Locks::Keys && entry.writes();
        if writes && plan::shortage(&host.space, &reach, entry, &call.args).is_some() {
            drop(reach);
            return Ok(self.handle_wide(host, turn, session, out, call, entry));
        }
        Ok(self.handle(host, reach, session, out, call, entry))
    }

    /// A parked request is accounted for when it is served.
    #[cold]
    fn leave_parked(&mut self, host: &Host) -> Ran {
        self.last = host.ticks.now();
        Ran::Parked
    }

    /// Reads the clock anew if one of several shards has been looked at later than now.
    #[inline]
    fn up_to_date<'h>(&mut self, host: &Host, db: usize, held: Held<'h, Shard>) -> Held<'h, Shard> {
        if held.any(|shard| shard.has_passed(db, self.now_ms)) {
            self.read_clock(host);
        }
        held
    }

    /// As [`Executor::up_to_date`], for what may look into several databases.
    #[cold]
    pub(super) fn up_to_date_anywhere<'h>(&mut self, host: &Host, held: Held<'h, Shard>) -> Held<'h, Shard> {
        if held.any(|shard| shard.has_passed_anywhere(self.now_ms)) {
            self.read_clock(host);
        }
        held
    }

    /// Runs the handler, and what follows from it, with the locks taken.
    pub(super) fn handle<'h>(
        &'h mut self,
        host: &'h Host,
        reach: Reach<'h>,
        session: &'h mut Session,
        out: &'h mut Out,
        call: Call<'h>,
        entry: &'h Entry,
    ) -> Result<Outcome, Fault> {
        let args = call.args;
        let db = session.db;
        let mut cx = Cx {
            db: Db::new(reach, &host.space, db, self.now_ms, &mut self.record).knowing(call.hashed(entry)),
            out,
            session,
            settings: &self.settings,
            host,
            command: entry,
            worker: self.lane,
            began: self.last,
            served: None,
            may_block: true,
            is_scripted: false,
            interpreter: &mut self.interpreter,
            meanwhile: self.meanwhile.as_ref(),
        };
        let mut result = guarded(&mut cx, args, entry);
        apply::under_locks(host, self.lane, cx.db.record, db, args);
        if self.is_monitored | cx.session.tracking.is_some() | !cx.db.record.stale.is_empty() {
            follow_up(&mut cx, entry, args, self.is_monitored);
        }
        if let Ok(Outcome::Block(wait)) = &mut result {
            block::park(&mut cx, args, wait);
        }
        if !cx.db.record.stirred.is_empty() {
            block::serve(server(host, &self.settings, &self.knobs, self.lane), &mut cx.db);
        }
        result
    }

    /// Runs a write that may serve clients who need further shards.
    #[cold]
    fn handle_wide(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        session: &mut Session,
        out: &mut Out,
        call: Call<'_>,
        entry: &Entry,
    ) -> Result<Outcome, Fault> {
        let mut shards = plan::shards_of(turn, &host.space, entry, &call.args, session.db);
        for _ in 0..WIDER {
            let reach = Reach::Held(self.up_to_date_anywhere(host, turn.set(&shards)));
            // Whoever came to wait since the locks were let go may need yet others. Served only after these
            // locks, it might lose what it waits for to somebody who asked later.
            match plan::shortage(&host.space, &reach, entry, &call.args) {
                None => return self.handle(host, reach, session, out, call, entry),
                Some(needed) => {
                    drop(reach);
                    shards = needed;
                }
            }
        }
        turn.go_exclusive_while(&mut || host.patience()).map_err(|Busy| host.scripts.running.busy())?;
        self.refresh(host);
        self.handle(host, Reach::Held(turn.all()), session, out, call, entry)
    }

    /// Serves those who wait for keys that have changed, where that needs more than was held. When the gate
    /// is closed for too long the turn is over, and it is left for the next one.
    #[cold]
    pub fn serve_late(&mut self, host: &Host, turn: &mut Turn<'_, Shard>) {
        let was_exclusive = turn.is_exclusive();
        if turn.go_exclusive_while(&mut || host.patience()).is_err() {
            self.unserved.append(&mut self.record.stirred);
            return;
        }
        self.refresh(host);
        {
            let mut db = Db::new(Reach::Held(turn.all()), &host.space, 0, self.now_ms, &mut self.record);
            block::serve(server(host, &self.settings, &self.knobs, self.lane), &mut db);
        }
        debug_assert!(self.record.stirred.is_empty());
        if !was_exclusive {
            turn.go_shared();
        }
    }

    /// Whether [`Executor::serve_late`] has left something for this turn.
    #[inline]
    pub fn has_unserved(&self) -> bool {
        !self.unserved.is_empty()
    }

    /// Does it.
    #[cold]
    pub fn serve_unserved(&mut self, host: &Host, turn: &mut Turn<'_, Shard>) {
        self.record.stirred.append(&mut self.unserved);
        self.serve_late(host, turn);
    }

    /// Ends the waits of the worker's clients whose time is up.
    #[inline]
    pub fn time_out(&mut self, host: &Host, turn: &mut Turn<'_, Shard>, worker: usize) {
        if host.space.waiting.first_ms(worker) <= self.now_ms {
            let server = server(host, &self.settings, &self.knobs, self.lane);
            block::time_out(server, turn, worker, self.now_ms);
        }
    }

    /// Before a command that locks everything, or after one.
    #[cold]
    fn begin_exclusive(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        session: &Session,
        call: Call<'_>,
        entry: &Entry,
        locks: Locks,
    ) -> Result<(), Busy> {
        self.settle_gate(host, turn, locks)?;
        if self.is_monitored {
            monitor::announce(host, &session.client, session.db, entry, &call.args);
        }
        Ok(())
    }

    /// Goes exclusive for a command that locks everything, and back for one that does not.
    ///
    /// # Errors
    /// When the gate is closed for too long; the turn is over.
    #[cold]
    pub(super) fn settle_gate(
        &mut self,
        host: &Host,
        turn: &mut Turn<'_, Shard>,
        locks: Locks,
    ) -> Result<(), Busy> {
        let all = locks == Locks::All;
        if all == turn.is_exclusive() {
            let since = self.exclusive_since;
            if !all || host.ticks.nanos_between(since, self.last) < EXCLUSIVE_NS {
                return Ok(());
            }
            turn.go_shared();
        }
        if all {
            turn.go_exclusive_while(&mut || host.patience())?;
            self.refresh(host);
            self.exclusive_since = self.last;
        } else {
            turn.go_shared();
        }
        Ok(())
    }

    /// One sample of time feeds command statistics, slow log and latency.
    #[inline(always)]
    pub(super) fn account(
        &mut self,
        host: &Host,
        session: &Session,
        args: Args<'_>,
        entry: &Entry,
        failed: bool,
        reply_bytes: u64,
    ) {
        let now = host.ticks.now();
        let nanos = host.ticks.nanos_between(self.last, now);
        self.last = now;
        if now > self.clock_until {
            self.read_clock(host);
            self.is_late = true;
        }
        host.observe.lane(self.lane).ran(entry.index, (1, failed.into()), nanos, self.knobs.tracks_latency);
        self.sums.ran += 1;
        self.sums.nanos += nanos;
        self.sums.dirty += self.record.dirty;
        bump(&session.client.commands, 1);
        session.client.last_command.store(entry.index as u32, Ordering::Relaxed);
        if entry.row.locks != Locks::Keys && !entry.runs_script() {
            self.show(host, entry);
        }
        let took = Took { nanos, request_bytes: args.size_bytes() as u64, reply_bytes };
        if self.knobs.notable.passed(took) {
            self.knobs.notable.note(host, &session.client, args, entry, took, self.now_ms / 1000);
        }
    }

    /// After a command that may be one that shows the counters, replaced the configuration or moved the
    /// clock.
    #[inline(never)]
    fn show(&mut self, host: &Host, entry: &Entry) {
        self.flush(host);
        if entry.row.locks == Locks::All {
            self.refresh(host);
        }
    }

    /// Hands on what the expiry has recorded; its shard is still held.
    pub fn log_expired(&mut self, host: &Host) {
        log_each(host, self.lane, &mut self.record);
    }

    /// Frees what the expiry has detached; no shard is held.
    pub fn free_garbage(&mut self, host: &Host) {
        apply::after_locks(host, &mut self.record);
    }

    /// Ends a turn: what was counted becomes visible, what was retired is freed when nobody can see it any
    /// more.
    pub fn end_turn(&mut self, host: &Host, turn: Turn<'_, Shard>) {
        self.graveyard.bury(&turn, &mut self.record.retired);
        drop(turn);
        self.graveyard.clear(&host.space.shards);
        self.flush(host);
    }

    fn flush(&mut self, host: &Host) {
        let lane = host.observe.lane(self.lane);
        lane.flush(&mut self.record.counts);
        let sums = std::mem::take(&mut self.sums);
        add(&lane.ran, sums.ran);
        add(&lane.command_nanos, sums.nanos);
        add(&lane.dirty, sums.dirty);
    }
}

/// What the executor's commands serve others with.
fn server<'a>(host: &'a Host, settings: &'a Settings, knobs: &'a Knobs, lane: usize) -> Server<'a> {
    Server { host, settings, lane, notable: Some(&knobs.notable) }
}

/// Whether it takes one look to see that every check of [`Executor::judge`] is passed: nothing is special
/// about the session and the command, and the arguments fit the row.
#[inline]
fn is_plain(host: &Host, session: &Session, entry: &Entry, args: Args<'_>) -> bool {
    session.authenticated
        && !session.is_special()
        && entry.takes(args.len())
        && !entry.row.flags.intersects(Flags::GUARDED)
        && !host.pause.is_set()
}

/// One shard after another, for commands that hold only one at a time.
struct Steps<'s, 't> {
    host: &'s Host,
    turn: &'s mut Turn<'t, Shard>,
    lane: usize,
}

impl EachShard for Steps<'_, '_> {
    fn with(&mut self, shard: usize, record: &mut Record, f: &mut dyn FnMut(&mut Shard, &mut Record)) {
        let mut held = self.turn.one(shard);
        f(held.get_mut(shard), record);
        log_each(self.host, self.lane, record);
    }
}

/// Logs keys that have expired, each by itself, while their shard is held.
pub(super) fn log_each(host: &Host, lane: usize, record: &mut Record) {
    apply::tell(host, record);
    record.happenings.clear();
    if !record.stale.is_empty() {
        tracking::invalidate(host, record, None);
    }
    if record.logs {
        for effect in record.effects.drain(..) {
            host.log.append(lane, vec![effect]);
        }
    }
}

/// Runs the handler; a panic in it is an error for the client, unless a write was open: then the data may be
/// broken.
#[inline]
pub fn guarded(cx: &mut Cx<'_>, args: Args<'_>, entry: &Entry) -> Result<Outcome, Fault> {
    let caught = catch_unwind(AssertUnwindSafe(|| (entry.row.handler)(cx, args)));
    caught.unwrap_or_else(|_| Err(panicked(cx, entry)))
}

#[cold]
pub(super) fn panicked(cx: &Cx<'_>, entry: &Entry) -> Fault {
    if cx.db.record.is_broken {
        tracing::error!("a panic in {} left a key half written: the server stops", entry.full_name);
        cx.host.end_broken();
    }
    tracing::error!("a panic in {} was caught; nothing was changed", entry.full_name);
    Fault::INTERNAL
}

/// Counts an error and puts it in the place of what a command has written.
pub(super) fn cut_off(host: &Host, lane: usize, out: &mut Out, start: Mark, fault: &Fault) {
    out.rollback(start);
    fail(host, lane, out, fault);
}

/// Counts an error and writes it.
fn fail(host: &Host, lane: usize, out: &mut Out, fault: &Fault) {
    add(&host.observe.lane(lane).errors, 1);
    host.observe.error(fault.code());
    out.error(fault.text());
}

/// What follows from a command while somebody monitors or tracks keys, still under its locks.
#[cold]
pub(super) fn follow_up(cx: &mut Cx<'_>, entry: &Entry, args: Args<'_>, is_monitored: bool) {
    observe(cx, entry, &args, is_monitored);
    tracking::invalidate_held(cx.host, &mut cx.db, Some(cx.session.client.id));
}

/// Shows a command to those who monitor, and notes what it has read for its client.
#[cold]
pub(super) fn observe(cx: &mut Cx<'_>, entry: &Entry, args: &Args<'_>, is_monitored: bool) {
    if is_monitored {
        monitor::show(cx.host, Some(&cx.session.client), cx.session.db, entry, args);
    }
    tracking::remember(cx, entry, args);
}
