//! A worker: the thread that owns connections.
//!
//! For: its loop of turns and sleeps, arrivals, closing. May touch: its own connections, the gate, its desk.
//! Always: everything it owns is touched by its thread alone; others reach it through its
//! [`Desk`](super::wake::Desk).

use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::epoll::EventFlags;

use super::batch::{Batch, filled};
use super::conn::{Conn, End, Watched};
use super::fetch::Fetcher;
use super::hall::Hall;
use super::held_up::HeldUp;
use super::pace::Pace;
use super::poll::PollSet;
use super::wake::{Arrival, Desks, Mail};
use crate::client::{Client, Session};
use crate::clock::Chance;
use crate::command::Host;
use crate::config::Directive;
use crate::exec::Executor;
use crate::keyspace::Shard;
use crate::keyspace::lock::Part;
use crate::observe::stats::add;

/// The poll set's token of the bell; connections have their place in the slab.
const BELL: u64 = u64::MAX;
/// What tells that a connection can be read.
const HEAR: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);
/// Pieces of memory kept for the next replies.
const SPARE_BUFFERS: usize = 1024;
/// How often a worker that has something to do within the gate looks whether a script that has run for too
/// long still holds it.
const LOOK_AT_GATE: Duration = Duration::from_millis(10);
/// A worker takes memory back after at least this many keys have left.
const TAKE_BACK: u64 = 8192;
/// The stream of chance of a stand-in, which draws nothing.
const STAND_IN: u64 = u64::MAX;

/// What all workers share, as a turn takes it along: counted on this thread alone, so that turns do not
/// contend for the counts.
pub(super) struct Common {
    pub host: Arc<Host>,
    pub desks: Desks,
}

/// A worker.
pub struct Worker {
    pub(super) index: usize,
    pub(super) host: Arc<Host>,
    /// Its part of the gate; a stand-in has none.
    pub(super) part: Option<Part<Shard>>,
    /// Its connections; empty while a request runs that may take long.
    pub(super) hall: Box<Hall>,
    pub(super) exec: Executor,
    /// Shared only while it runs.
    pub(super) batch: Rc<Batch>,
    pub(super) fetcher: Fetcher,
    /// Steps back of the clock that its shards have followed.
    pub(super) setbacks: u64,
    pub(super) round: Round,
    pace: Pace,
    /// How long to rest before the next look, nanoseconds.
    rest_ns: Option<u64>,
    poll: Rc<PollSet>,
    pub(super) desks: Desks,
    pub(super) common: Rc<Common>,
    /// Empty; whose replies are sent at the end of a turn.
    pub(super) done: Vec<usize>,
    /// Serves its connections while a request takes long; a stand-in has none.
    pub(super) held_up: Option<Rc<HeldUp>>,
}

/// How far a worker's expiry is.
#[derive(Default)]
pub(super) struct Round {
    /// Which of the worker's shards it has looked at last.
    pub looked: usize,
    /// Keys that have left since memory was taken back.
    pub expired: u64,
}

/// What a worker is made of, on the thread that will be its own: what a worker keeps stays on one thread.
pub struct Place {
    index: usize,
    host: Arc<Host>,
    desks: Desks,
    chance: Chance,
    poll: PollSet,
}

impl Place {
    /// The place of that index, with its bell in a new poll set.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new(index: usize, host: Arc<Host>, desks: Desks, chance: Chance) -> std::io::Result<Place> {
        let poll = PollSet::new()?;
        poll.add(desks[index].bell.fd(), BELL, EventFlags::IN)?;
        Ok(Place { index, host, desks, chance, poll })
    }

    /// Works until it is told to stop.
    pub fn run(self) {
        Worker::at(self).run();
    }
}

impl Worker {
    fn at(place: Place) -> Worker {
        let Place { index, host, desks, chance, poll } = place;
        let poll = Rc::new(poll);
        let common = Rc::new(Common { host: Arc::clone(&host), desks: Arc::clone(&desks) });
        let make = |part, chance, held_up| Worker {
            index,
            part,
            hall: Box::default(),
            exec: Executor::new(&host, index, chance),
            batch: Rc::default(),
            fetcher: Fetcher::default(),
            setbacks: host.space.clock.setbacks(),
            round: Round::default(),
            pace: Pace::default(),
            rest_ns: None,
            poll: Rc::clone(&poll),
            desks: Arc::clone(&desks),
            common: Rc::clone(&common),
            done: Vec::new(),
            held_up,
            host: Arc::clone(&host),
        };
        let held_up = Rc::new(HeldUp::new(make(None, chance.fork(STAND_IN), None)));
        let mut worker = make(Some(host.space.shards.part(index)), chance, Some(Rc::clone(&held_up)));
        worker.exec.meanwhile = Some(Rc::new(move || held_up.look()));
        worker
    }

    /// Turns and sleeps until it is told to stop.
    fn run(mut self) {
        // Rests are much shorter than what the kernel rounds sleeps up to. Where a sandbox forbids this, they
        // are longer.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        loop {
            if let Some(nanos) = self.rest_ns
                && !self.hall.is_busy
            {
                std::thread::sleep(Duration::from_nanos(nanos));
            }
            // Who leaves mail, or arms an earlier deadline, from here on rings the bell.
            let may_sleep = !self.hall.is_busy && self.desks[self.index].mail.prepare_sleep();
            let patience = if may_sleep { self.sleep_time() } else { Some(Duration::ZERO) };
            self.poll(patience);
            if may_sleep {
                self.desks[self.index].mail.awake();
                self.host.space.alarms[self.index].awake();
            }
            if !self.turn() {
                return;
            }
        }
    }

    /// Looks for what is ready.
    pub(super) fn poll(&mut self, patience: Option<Duration>) {
        self.hall.heard = 0;
        self.poll.wait(&mut self.hall.events, patience);
    }

    /// How long it may sleep when nobody wakes it; `None`: for ever.
    fn sleep_time(&self) -> Option<Duration> {
        if self.hall.is_held_up {
            return self.strain_left().into_iter().chain([LOOK_AT_GATE]).min();
        }
        let space = &self.host.space;
        let mut until_ms = space.promise(self.index);
        if !space.active_expiry.load(Ordering::Relaxed) {
            until_ms = u64::MAX;
        }
        if space.pause.is_set() && space.pause.keeps_keys(space.clock.now_ms()) {
            until_ms = until_ms.max(space.pause.until_ms());
        }
        if !self.hall.paused.is_empty() {
            until_ms = until_ms.min(self.host.space.pause.until_ms());
        }
        until_ms = until_ms.min(space.waiting.first_ms(self.index));
        let timed = if until_ms == u64::MAX { None } else { space.clock.real_until(until_ms) };
        [timed, self.strain_left()].into_iter().flatten().min()
    }

    /// One turn. False: the worker is to stop.
    fn turn(&mut self) -> bool {
        let common = Rc::clone(&self.common);
        let host = &common.host;
        let began = host.ticks.now();
        self.hall.is_busy = self.hall.events.is_full();
        // An event of a connection that the mail closes finds nobody, or a new one in its place, from which
        // it then receives nothing.
        if !self.read_mail() {
            return false;
        }
        // After the look: who was told that a setting is in force sends what relies on it later.
        self.exec.refresh_settings(host);
        self.end_strained();
        self.receive();
        self.hear();
        self.resume_paused();
        self.send_told_in_time(began);
        self.run_batch();
        self.take_back_memory();
        let hall = &mut *self.hall;
        hall.is_busy |= !hall.again.is_empty() || !hall.mail.is_empty() || hall.missed.is_some();
        hall.is_busy |= !hall.told.is_empty();
        hall.is_busy |= hall.has_farewells() && !hall.is_held_up;
        let lane = host.observe.lane(self.index);
        add(&lane.turns, 1);
        let ended = host.ticks.now();
        let took_ns = host.ticks.nanos_between(began, ended);
        add(&lane.turn_nanos, took_ns);
        let most_ns = 1000 * self.exec.settings.int(Directive::CoalesceUs) as u64;
        self.rest_ns = self.pace.rest_ns(took_ns, host.ticks.ns_at(ended), most_ns);
        true
    }

    /// Keys leave on the home worker of their shard, and most lie in memory of another, of the one that made
    /// them. All workers expire about as many: each takes its memory back before that would take long.
    fn take_back_memory(&mut self) {
        if self.round.expired < TAKE_BACK {
            return;
        }
        // As many as there are pages, so that looking at pages is not most of the work.
        let often = 2 * crate::memory::used_roughly() / crate::memory::PAGE_BYTES;
        if self.round.expired >= often as u64 {
            self.round.expired = 0;
            crate::memory::take_back();
        }
    }

    /// Receives from every connection that has something.
    pub(super) fn receive(&mut self) {
        let max_bulk = self.exec.settings.bytes(Directive::ProtoMaxBulkLen);
        filled(&mut self.batch).max_bulk = max_bulk;
        if !self.hall.missed.is_some_and(|(key, _)| self.hall.conns.is_lifted(key))
            && let Some((key, flags)) = self.hall.missed.take()
        {
            self.ready(key, flags);
        }
        for key in std::mem::take(&mut self.hall.again) {
            self.resume(key);
        }
        while let Some((token, flags)) = self.hall.next_event() {
            if token == BELL {
                self.desks[self.index].bell.hush();
            } else {
                self.ready(token as usize, flags);
            }
        }
    }

    fn ready(&mut self, key: usize, flags: EventFlags) {
        if self.hall.conns.is_lifted(key) {
            let before = self.hall.missed.map_or(EventFlags::empty(), |(_, before)| before);
            self.hall.missed = Some((key, before | flags));
            return;
        }
        let Some(conn) = self.hall.conns.get_mut(key) else { return };
        if flags.contains(EventFlags::OUT) {
            conn.is_full = false;
            conn.session.client.active_ns.store(self.host.ticks.since_start_ns(), Ordering::Relaxed);
            conn.send();
            self.after_send(key);
        }
        let hurt = EventFlags::HUP | EventFlags::ERR;
        let Some(conn) = self.hall.conns.get_mut(key) else { return };
        if !conn.watched.read {
            let gone = if conn.is_parked { hurt.union(EventFlags::RDHUP) } else { hurt };
            if flags.intersects(gone) {
                self.close(key, End::Peer);
            }
        } else if flags.intersects(HEAR | hurt) {
            conn.is_dry = false;
            self.pace.note(&mut conn.seen);
            self.take(key);
            let Some(conn) = self.hall.conns.get(key) else { return };
            // The end of the stream may be there already, behind the bytes.
            if !conn.is_dry || flags.contains(EventFlags::RDHUP) {
                self.hall.is_busy = true;
                self.watch(key, Watched { level: true, ..conn.watched });
            }
        }
    }

    /// Takes what has come by mail. False: stop.
    fn read_mail(&mut self) -> bool {
        let mut mail = std::mem::take(&mut self.hall.mail);
        let mut must_look = false;
        self.desks[self.index].mail.drain(&mut mail);
        for letter in mail.drain(..) {
            match letter {
                Mail::Arrival(arrival) => self.arrive(arrival),
                Mail::Reply(reply) => self.unpark(*reply),
                Mail::Message(message) => self.deliver(&message, &[]),
                Mail::Look => must_look = true,
                Mail::Tidy => crate::memory::purge(),
                Mail::Stop => {
                    self.stop();
                    return false;
                }
            }
        }
        self.hall.mail = mail;
        if must_look {
            self.look();
        }
        true
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) {
        use std::os::fd::AsRawFd;
        let Arrival { stream, addr, laddr, local } = arrival;
        let fd = stream.fd().as_raw_fd();
        let id = self.host.clients.next_id();
        let now_ns = self.host.ticks.since_start_ns();
        let client = Arc::new(Client::new(id, self.index, fd, addr, laddr, now_ns));
        let free = self.host.settings.load().text(Directive::RequirePass).is_empty();
        let session = Session::new(Arc::clone(&client), free, local);
        let mut conn = Conn::new(stream, session, Arc::clone(&self.host));
        conn.limits.authenticated = free;
        let seat = self.hall.conns.next_seat();
        conn.session.seat = seat;
        client.place.store(seat, Ordering::Relaxed);
        if let Err(error) = self.poll.add(conn.stream.fd(), seat as u64, HEAR | EventFlags::ET) {
            tracing::warn!("Error registering fd event for the new client: {error}");
            self.host.clients.release();
            self.desks[self.index].connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.host.clients.add(client);
        add(&self.host.observe.lane(self.index).connections, 1);
        self.hall.conns.insert(conn);
    }

    /// Sessions or the pause have changed: closes who was killed.
    fn look(&mut self) {
        let killed: Vec<usize> = self
            .hall
            .conns
            .iter()
            .filter(|(_, c)| c.session.client.killed.load(Ordering::Acquire))
            .map(|(key, _)| key)
            .collect();
        for key in killed {
            self.hall.conns[key].send();
            self.close(key, End::Ours);
        }
    }

    fn stop(&mut self) {
        let all: Vec<usize> = self.hall.conns.iter().map(|(key, _)| key).collect();
        for key in all {
            self.hall.conns[key].send();
            self.close(key, End::Ours);
        }
    }

    /// Settles a connection after some of its output was sent: closes it, or watches for room.
    pub(super) fn after_send(&mut self, key: usize) {
        let conn = &mut self.hall.conns[key];
        if let Some(end) = conn.end {
            return self.close(key, end);
        }
        if conn.out.is_empty() {
            if conn.session.closing {
                return self.close(key, End::Ours);
            }
            if conn.is_done() {
                return self.close(key, End::Peer);
            }
            if self.hall.spare.len() < SPARE_BUFFERS {
                self.hall.spare.push(conn.out.take_memory());
            }
        }
        let conn = &self.hall.conns[key];
        let write = !conn.out.is_empty();
        let read = !conn.session.closing && !conn.is_heard_out && conn.waiting.is_empty() && !conn.is_parked;
        // It was only others' turn: the socket may take more at once, and then tells nothing.
        self.hall.is_busy |= write && !conn.is_full;
        let end = conn.is_parked;
        let level = conn.watched.level || write;
        self.watch(key, Watched { read, write, end, level });
    }

    /// Changes what the poll set watches a connection for.
    pub(super) fn watch(&mut self, key: usize, wanted: Watched) {
        let conn = &mut self.hall.conns[key];
        if conn.watched == wanted {
            return;
        }
        conn.watched = wanted;
        let mut flags = EventFlags::empty();
        flags.set(HEAR, wanted.read);
        flags.set(EventFlags::OUT, wanted.write);
        flags.set(EventFlags::RDHUP, wanted.read || wanted.end);
        flags.set(EventFlags::ET, !wanted.level);
        self.poll.modify(conn.stream.fd(), key as u64, flags);
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, key: usize, end: End) {
        let Some(mut conn) = self.hall.conns.try_remove(key) else { return };
        let lane = self.host.observe.lane(self.index);
        match end {
            End::Peer | End::Ours => {}
            End::QueryLimit => add(&lane.query_limit_closes, 1),
            End::OutputLimit => {
                add(&lane.output_limit_closes, 1);
                conn.session.client.tell_overflow();
            }
        }
        self.leave_rooms(&mut conn.session);
        self.poll.remove(conn.stream.fd());
        if conn.is_parked {
            self.abandon(&conn.session.client);
        }
        self.host.clients.remove(conn.session.client.id);
        self.host.clients.release();
        self.desks[self.index].connections.fetch_sub(1, Ordering::Relaxed);
        self.hall.again.retain(|&k| k != key);
        self.hall.paused.retain(|&k| k != key);
    }
}
