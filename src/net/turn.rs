//! A turn's work: receive and parse, execute, send.
//!
//! For: taking what every ready socket has as one batch, so that the gate is entered once, memory is fetched
//! ahead, and each connection's replies leave in one send. May touch: the worker's connections and the
//! executor.
//! Always: a connection's requests run in the order in which they came.

use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::batch::{Batch, Run, Source, filled, parse};
use super::conn::{Conn, End};
use super::fetch::Fetcher;
use super::hall::Hall;
use super::held_up::HeldUp;
use super::parked::see_off;
use super::rooms::Inbox;
use super::wake::Desk;
use super::worker::{Round, Worker};
use crate::command::Host;
use crate::config::Directive;
use crate::exec::busy::Farewells;
use crate::exec::{Call, Executor, Plain, Ran, Requests};
use crate::keyspace::expiry::{expire_due, refile};
use crate::keyspace::lock::{Inside, Turn};
use crate::keyspace::{Shard, Space};

/// The worker's receive buffer.
const BUFFER: usize = 512 * 1024;
/// Most bytes of one read.
const READ: usize = 64 * 1024;
/// Half-received requests up to this long are moved to the front of the next read; longer ones are read
/// behind.
const MOVABLE: usize = 16 * 1024;
/// Replies of one connection beyond this are sent before its further requests run.
const SEND_EARLY: usize = 256 * 1024;
/// Keys looked at by the expiry between two looks at the time.
const EXPIRE_SLICE: usize = 64;
/// Another worker's shards are helped when they are this late.
const OVERDUE_MS: u64 = 5;
/// The expiry's time in a turn in which clients had none; otherwise it gets as much as they did.
const EXPIRE_NS: u64 = 1_000_000;

impl Worker {
    /// Receives from a readable connection and parses what came.
    pub(super) fn take(&mut self, key: usize) {
        if self.batch.buf.len() - self.batch.fill < READ + MOVABLE {
            if self.batch.buf.is_empty() {
                filled(&mut self.batch).buf = vec![0; BUFFER];
            } else {
                self.run_batch();
            }
        }
        let Worker { part, hall, batch, fetcher, .. } = self;
        let batch = filled(batch);
        let Some(conn) = hall.conns.get_mut(key) else { return };
        if conn.has_more {
            // Its turn comes through `again`.
            return;
        }
        let fill = batch.fill;
        if conn.parser.target().is_some() {
            if conn.receive_big(&mut batch.buf[fill..fill + READ]) {
                self.resume(key);
            } else {
                self.check_input(key);
            }
            return;
        }
        if conn.input.len() > MOVABLE {
            self.take_behind(key);
            return;
        }
        let kept = conn.input.len();
        batch.buf[fill..fill + kept].copy_from_slice(&conn.input);
        let n = conn.receive(&mut batch.buf[fill + kept..fill + kept + READ]);
        if n == 0 {
            self.check_input(key);
            return;
        }
        conn.input = Vec::new();
        batch.fill = fill + kept + n;
        let from = (key, Source::Shared, fill);
        parse(&self.host, part.as_mut(), batch, fetcher, conn, from);
        self.check_input(key);
    }

    /// Receives behind a long half-received request, in the connection's own buffer.
    fn take_behind(&mut self, key: usize) {
        let conn = &mut self.hall.conns[key];
        let n = conn.receive_behind(READ);
        if n > 0 {
            self.resume(key);
        } else {
            self.check_input(key);
        }
    }

    /// Goes on with what a connection has received already.
    pub(super) fn resume(&mut self, key: usize) {
        let Worker { part, hall, batch, fetcher, .. } = self;
        let batch = filled(batch);
        let Some(conn) = hall.conns.get_mut(key) else {
            if hall.conns.is_lifted(key) {
                hall.again.push(key);
            }
            return;
        };
        if conn.is_parked || !conn.waiting.is_empty() {
            return;
        }
        conn.has_more = false;
        let own = std::mem::take(&mut conn.input);
        batch.own.push(own);
        let source = Source::Own(batch.own.len() - 1);
        parse(&self.host, part.as_mut(), batch, fetcher, conn, (key, source, 0));
        self.check_input(key);
    }

    /// Ends a connection whose peer is gone or whose input has grown too large; puts it in line when it has
    /// more.
    fn check_input(&mut self, key: usize) {
        let Some(conn) = self.hall.conns.get_mut(key) else { return };
        if conn.end.is_some() || conn.is_done() {
            // What it sent before is still run, and answered as long as it reads.
            if self.batch.runs.iter().all(|run| run.key != key) {
                self.after_send(key);
            }
            return;
        }
        let held = conn.query_bytes();
        if held > 0 {
            // Its request is on the way: it is not idle.
            conn.session.client.active_ns.store(self.host.ticks.since_start_ns(), Ordering::Relaxed);
        }
        let queued = conn.session.transaction.as_ref().map_or(0, |it| it.bytes);
        if held + queued > 0 || conn.session.client.query_bytes.load(Ordering::Relaxed) > 0 {
            conn.session.client.query_bytes.store(held, Ordering::Relaxed);
            let limit = self.exec.settings.bytes(Directive::ClientQueryBufferLimit) as usize;
            if held + queued > limit && !conn.has_more {
                tracing::warn!(
                    "Closing client that reached max query buffer length: id={}",
                    conn.session.client.id
                );
                return self.close(key, End::QueryLimit);
            }
        }
        if conn.has_more {
            self.hall.again.push(key);
        }
    }

    /// Runs the batch, expires what is due, sends the replies.
    pub(super) fn run_batch(&mut self) {
        let common = Rc::clone(&self.common);
        let (host, desks, index) = (&*common.host, &common.desks, self.index);
        let Worker { part, hall, exec, batch, fetcher, setbacks, round, held_up, .. } = self;
        let began = host.ticks.now();
        let Some(Ok(mut turn)) = part.as_mut().map(|part| part.enter_while(&mut || host.patience())) else {
            return self.run_busy_batch();
        };
        exec.refresh(host);
        if hall.has_farewells() {
            see_off(host, exec, &mut turn, hall);
        }
        fetcher.start(host, turn.inside(), &batch.jobs);
        if exec.has_unserved() {
            exec.serve_unserved(host, &mut turn);
        }
        let held_up = held_up.as_deref();
        let mut floor = Floor { host, hall, held_up, desk: &desks[index], batch, only: None };
        let mut sent = 0;
        let mut at = 0;
        while at < batch.runs.len() && !turn.is_over() {
            let run = &batch.runs[at];
            if run.locks_all && !turn.is_exclusive() || exec.is_late {
                // Who is done need not wait for what may take long.
                let done = &batch.runs[sent..at];
                let conns = &mut floor.hall.conns;
                done.iter().for_each(|run| conns.get_mut(run.key).into_iter().for_each(Conn::send));
                (sent, exec.is_late) = (at, false);
            }
            floor.run(exec, &mut turn, fetcher, at);
            if turn.is_wanted() && turn.breathe(&mut || host.patience()).is_ok() {
                exec.refresh(host);
            }
            at += 1;
        }
        let only = floor.only;
        if turn.is_over() {
            hall.is_held_up = true;
        } else {
            hall.is_held_up = false;
            turn.go_shared();
            let is_idle = batch.runs.is_empty();
            let spent_ns =
                if is_idle { EXPIRE_NS } else { host.ticks.nanos_between(began, host.ticks.now()) };
            follow_setbacks(host, exec, &mut turn, index, setbacks);
            hall.is_busy |= expire(host, exec, &mut turn, (index, round), spent_ns);
            help_overdue(host, exec, &mut turn, (index, round));
            if !turn.is_over() {
                exec.time_out(host, &mut turn, index);
            }
        }
        exec.end_turn(host, turn);
        self.end_batch(at, only);
    }

    /// Answers what the batch has from run `at` on, which the gate was closed to, and sends all replies.
    /// `only`: everybody else is answered already.
    fn end_batch(&mut self, at: usize, only: Option<usize>) {
        if at < self.batch.len() {
            let batch = Rc::clone(&self.batch);
            for at in at..batch.len() {
                if only.is_none_or(|key| batch.runs[at].key == key) {
                    self.answer_busy(&batch, at..at + 1);
                }
            }
        }
        let mut done = std::mem::take(&mut self.done);
        done.extend(self.batch.keys(0..self.batch.len()));
        filled(&mut self.batch).clear();
        self.fetcher.clear();
        done.drain(..).for_each(|key| self.finish(key));
        self.done = done;
    }

    /// Answers the batch while a script holds everything for too long.
    #[cold]
    fn run_busy_batch(&mut self) {
        self.hall.is_held_up = true;
        self.end_batch(0, None);
    }

    /// Sends a connection's replies after its requests have run.
    pub(super) fn finish(&mut self, key: usize) {
        let Some(conn) = self.hall.conns.get_mut(key) else { return };
        conn.limits.authenticated = conn.session.authenticated;
        if !conn.out.is_empty() {
            let limit = self.exec.settings.output_limit(conn.class());
            conn.limit_replies(limit);
            conn.send();
            conn.limit_output(limit, self.host.ticks.since_start_ns());
            if conn.strained_ns.is_some() && !self.hall.strained.contains(&key) {
                self.hall.strained.push(key);
            }
        }
        self.after_send(key);
    }

    /// Lets connections go on whose pause has ended.
    pub(super) fn resume_paused(&mut self) {
        for _ in 0..self.hall.paused.len() {
            let Some(key) = self.hall.paused.pop_front() else { return };
            let Some(mut conn) = self.hall.conns.lift(key) else { continue };
            self.run_waiting(&mut conn);
            if conn.session.closing {
                conn.waiting.clear();
            }
            let waits = !conn.waiting.is_empty() && !conn.is_parked;
            conn.session.client.paused.store(waits, Ordering::Relaxed);
            self.hall.conns.lower(key, conn);
            if waits {
                self.hall.paused.push_back(key);
            } else {
                self.resume(key);
            }
            self.finish(key);
        }
    }

    /// Runs what a connection has sent before its pause ended, as far as it may run now.
    fn run_waiting(&mut self, conn: &mut Conn) {
        let common = Rc::clone(&self.common);
        let host = &*common.host;
        let Worker { part, hall, exec, held_up, desks, index, .. } = self;
        let mut turn = part.as_mut().and_then(|part| part.enter_while(&mut || host.patience()).ok());
        match turn {
            Some(_) => exec.refresh(host),
            None if host.pause.is_set() => return,
            None => {}
        }
        while !conn.session.closing
            && let Some(args) = conn.waiting.pop_front()
        {
            let call = Call::of(host, args.as_args());
            let mut ran = Ran::Busy;
            if let Some(turn) = turn.as_mut().filter(|turn| !turn.is_over()) {
                if let Some(held_up) = held_up {
                    held_up.lend(hall, None);
                }
                ran = exec.run(host, turn, &mut conn.session, &mut conn.out, call);
                if let Some(held_up) = held_up {
                    held_up.take_back(hall);
                }
            }
            if ran == Ran::Busy {
                ran = exec.run_busy(host, &mut conn.session, &mut conn.out, &call, &mut hall.farewells);
            }
            if conn.session.may_be_told() {
                let desk = &desks[*index];
                Inbox { desk, mail: &mut hall.mail, heard: &mut 0 }.follow(conn, call.runs_queue(host), ran);
            }
            match ran {
                Ran::Wait => {
                    conn.waiting.push_front(args);
                    break;
                }
                Ran::Parked => {
                    conn.is_parked = true;
                    break;
                }
                Ran::Close => conn.session.closing = true,
                Ran::Done | Ran::Busy => {}
            }
        }
    }
}

/// What the runs of a batch run with.
struct Floor<'a> {
    host: &'a Host,
    hall: &'a mut Box<Hall>,
    held_up: Option<&'a HeldUp>,
    desk: &'a Desk,
    batch: &'a Rc<Batch>,
    /// Only this connection has requests left in the batch: the stand-in has answered those of the others.
    only: Option<usize>,
}

impl Floor<'_> {
    /// Runs the requests of one connection.
    fn run(&mut self, exec: &mut Executor, turn: &mut Turn<'_, Shard>, fetcher: &mut Fetcher, at: usize) {
        let key = self.batch.runs[at].key;
        if self.only.is_some_and(|only| only != key) {
            return;
        }
        let Some(mut conn) = self.hall.conns.lift(key) else { return };
        conn.out.take_from(&mut self.hall.spare);
        let has_paused = self.run_jobs(exec, turn, fetcher, &mut conn, at);
        self.hall.conns.lower(key, conn);
        if has_paused {
            self.hall.again.retain(|&k| k != key);
            self.hall.paused.push_back(key);
        }
    }

    /// True: it has met a pause, and the rest waits.
    fn run_jobs(
        &mut self,
        exec: &mut Executor,
        turn: &mut Turn<'_, Shard>,
        fetcher: &mut Fetcher,
        conn: &mut Conn,
        at_run: usize,
    ) -> bool {
        let (host, batch) = (self.host, self.batch);
        let run = &batch.runs[at_run];
        conn.session.client.active_ns.store(host.ticks.since_start_ns(), Ordering::Relaxed);
        if conn.is_parked || !conn.waiting.is_empty() {
            // An earlier run of this batch has met a pause, or waits for a key.
            conn.waiting.extend(batch.owned(run, run.jobs.clone()));
            return false;
        }
        let (mut was_late, mut heard, mut at) = (false, 0, run.jobs.start);
        self.inbox(&mut heard).catch_up(conn);
        while at < run.jobs.end {
            if conn.session.closing || conn.session.client.killed.load(Ordering::Relaxed) {
                return false;
            }
            let ran = self.streak(exec, turn, fetcher, conn, (run, at));
            at += ran;
            if ran == 0 {
                if let Some(has_paused) = self.run_job(exec, turn, fetcher, conn, (at_run, at, &mut heard)) {
                    return has_paused;
                }
                at += 1;
            }
            if conn.out.len_bytes() > SEND_EARLY || exec.is_late && !was_late {
                was_late = exec.is_late;
                send_early(host, exec, conn);
                if conn.end.is_some() {
                    return false;
                }
            }
        }
        tell_broken(conn);
        false
    }

    /// Runs the plain requests of a run that come next, from request `from` on: how many there were.
    fn streak(
        &mut self,
        exec: &mut Executor,
        turn: &mut Turn<'_, Shard>,
        fetcher: &mut Fetcher,
        conn: &mut Conn,
        (run, from): (&Run, usize),
    ) -> usize {
        let (host, batch) = (self.host, &**self.batch);
        if !batch.jobs[from].is_plain(host) || !exec.may_streak(host, turn, &conn.session) {
            return 0;
        }
        let requests = Rest { host, batch, fetcher, bytes: batch.bytes(run.source), from, end: run.jobs.end };
        exec.streak(host, turn, (&mut conn.session, &mut conn.out, SEND_EARLY), requests)
    }

    /// Runs one request. `Some`: the others of its run do not run now; true: it has met a pause, and they
    /// wait.
    fn run_job(
        &mut self,
        exec: &mut Executor,
        turn: &mut Turn<'_, Shard>,
        fetcher: &mut Fetcher,
        conn: &mut Conn,
        (at_run, at, heard): (usize, usize, &mut usize),
    ) -> Option<bool> {
        let (host, batch) = (self.host, self.batch);
        let run = &batch.runs[at_run];
        let job = &batch.jobs[at];
        fetcher.step(host, turn.inside(), &batch.jobs, at);
        let call = job.call(batch.scratch.args(batch.bytes(run.source), &job.command));
        if run.locks_all && at > run.jobs.start && !turn.is_exclusive() && call.locks_all(host) {
            conn.send();
        }
        let held_up = self.held_up.filter(|_| run.locks_all || conn.session.transaction.is_some());
        if let Some(held_up) = held_up {
            held_up.lend(self.hall, Some((batch, at_run)));
        }
        let ran = exec.run(host, turn, &mut conn.session, &mut conn.out, call);
        if held_up.is_some_and(|held_up| held_up.take_back(self.hall)) {
            // The stand-in has had a turn.
            (self.only, *heard) = (Some(run.key), 0);
        }
        if conn.session.may_be_told() {
            self.inbox(heard).follow(conn, call.runs_queue(host), ran);
        }
        if ran == Ran::Close {
            conn.session.closing = true;
        } else if ran != Ran::Done || turn.is_over() {
            let undone = matches!(ran, Ran::Wait | Ran::Busy);
            self.keep(exec, conn, run, at + usize::from(!undone), ran);
            return Some(ran == Ran::Wait);
        }
        None
    }

    /// The rest of a run waits, from request `from` on; or it is answered, where the gate is closed.
    #[cold]
    fn keep(&mut self, exec: &mut Executor, conn: &mut Conn, run: &Run, from: usize, why: Ran) {
        let (batch, rest) = (&**self.batch, from..run.jobs.end);
        (conn.is_parked, conn.waiting) = match why {
            Ran::Parked | Ran::Wait => (why == Ran::Parked, batch.owned(run, rest)),
            _ => return answer_jobs(self.host, exec, conn, (batch, rest, run), &mut self.hall.farewells),
        };
        conn.session.client.paused.store(why == Ran::Wait, Ordering::Relaxed);
    }

    fn inbox<'i>(&'i mut self, heard: &'i mut usize) -> Inbox<'i> {
        Inbox { desk: self.desk, mail: &mut self.hall.mail, heard }
    }
}

/// The requests of a run from one on.
struct Rest<'r, 'f> {
    host: &'r Host,
    batch: &'r Batch,
    fetcher: &'f mut Fetcher,
    bytes: &'r [u8],
    from: usize,
    end: usize,
}

impl<'r> Requests<'r> for Rest<'r, '_> {
    #[inline(always)]
    fn plain(&mut self, inside: Inside<'_>, at: usize) -> Option<Plain<'r>> {
        let (host, batch, at) = (self.host, self.batch, self.from + at);
        let job = batch.jobs[..self.end].get(at)?;
        self.fetcher.step(host, inside, &batch.jobs, at);
        let call = job.call(batch.scratch.args(self.bytes, &job.command));
        Plain::of(host, call, self.fetcher.distance(at))
    }
}

/// Answers some requests of a run while a script holds everything for too long.
#[cold]
pub(super) fn answer_jobs(
    host: &Host,
    exec: &mut Executor,
    conn: &mut Conn,
    (batch, jobs, run): (&Batch, Range<usize>, &Run),
    farewells: &mut Farewells,
) {
    if conn.is_parked || !conn.waiting.is_empty() {
        conn.waiting.extend(batch.owned(run, jobs));
        return;
    }
    let bytes = batch.bytes(run.source);
    for job in &batch.jobs[jobs] {
        if conn.session.closing || conn.session.client.killed.load(Ordering::Relaxed) {
            return;
        }
        let call = job.call(batch.scratch.args(bytes, &job.command));
        if exec.run_busy(host, &mut conn.session, &mut conn.out, &call, farewells) == Ran::Close {
            conn.session.closing = true;
        }
    }
    tell_broken(conn);
}

/// Sends what there is before further requests of the connection run.
fn send_early(host: &Host, exec: &Executor, conn: &mut Conn) {
    let limit = exec.settings.output_limit(conn.class());
    conn.limit_replies(limit);
    conn.out.seal();
    conn.send();
    conn.limit_output(limit, host.ticks.since_start_ns());
}

/// Tells a connection what is wrong with its last bytes, and ends it.
fn tell_broken(conn: &mut Conn) {
    if let Some(error) = conn.broken.take() {
        tracing::debug!("Protocol error from client id={}", conn.session.client.id);
        conn.out.error(error.text());
        conn.session.closing = true;
    }
}

/// Files the deadlines of the worker's shards anew when the wall clock was set back: wheels never turn back.
fn follow_setbacks(host: &Host, exec: &Executor, turn: &mut Turn<'_, Shard>, worker: usize, seen: &mut u64) {
    let space: &Space = &host.space;
    let present = space.clock.setbacks();
    if *seen == present {
        return;
    }
    *seen = present;
    for shard in space.homes(worker) {
        refile(space, shard, turn.one(shard).get_mut(shard), exec.now_ms());
    }
    host.pause.forget_if_over(exec.now_ms());
}

/// Expires in the shards of workers that are late, because a long command holds them up or their core is
/// taken.
fn help_overdue(
    host: &Host,
    exec: &mut Executor,
    turn: &mut Turn<'_, Shard>,
    (worker, round): (usize, &mut Round),
) {
    let space: &Space = &host.space;
    let late_ms = exec.now_ms().saturating_sub(OVERDUE_MS);
    for other in (0..space.alarms.len()).filter(|&other| other != worker) {
        if !turn.is_over() && space.is_overdue(other, late_ms) {
            expire(host, exec, turn, (other, round), EXPIRE_NS);
            space.rearm(other);
        }
    }
}

/// Expires what is due in the worker's shards, for about as long as the commands of the turn took. The shards
/// come round a slice each, beginning after the one looked at last, so that none waits until another has no
/// more to do. True: some is left.
fn expire(
    host: &Host,
    exec: &mut Executor,
    turn: &mut Turn<'_, Shard>,
    (worker, round): (usize, &mut Round),
    spent_ns: u64,
) -> bool {
    let space: &Space = &host.space;
    let now_ms = exec.now_ms();
    if !space.is_overdue(worker, now_ms) || !space.expires_actively(now_ms) {
        return false;
    }
    let began = host.ticks.now();
    space.begin_look(worker);
    let count = space.homes(worker).count();
    let (mut quiet, mut is_left) = (0, false);
    while quiet < count && !is_left {
        round.looked = (round.looked + 1) % count;
        let shard = space.homes(worker).nth(round.looked).expect("it is one of so many");
        if space.due[shard].at_ms() > now_ms {
            quiet += 1;
            continue;
        }
        quiet = 0;
        let before = exec.record.counts.expired;
        expire_slice(host, exec, turn, shard);
        round.expired += exec.record.counts.expired.saturating_sub(before);
        is_left = turn.is_over() || host.ticks.nanos_between(began, host.ticks.now()) > spent_ns;
    }
    space.end_look(worker);
    is_left
}

/// Expires a few keys of a shard.
fn expire_slice(host: &Host, exec: &mut Executor, turn: &mut Turn<'_, Shard>, shard: usize) {
    let now_ms = exec.now_ms();
    exec.record.begin();
    let mut held = turn.one(shard);
    expire_due(&host.space, shard, held.get_mut(shard), now_ms, EXPIRE_SLICE, &mut exec.record);
    exec.log_expired(host);
    drop(held);
    exec.free_garbage(host);
    if !exec.record.stirred.is_empty() {
        exec.serve_late(host, turn);
    }
}
