//! What a worker does for its connections while one of its own requests takes long.
//!
//! For: the stand-in, which takes the worker's connections over while a script runs that has passed
//! `busy-reply-threshold`. May touch: the worker's connections; never the gate, a shard or the request that
//! runs.
//! Always: the stand-in has its own buffers and its own executor, and gets everything else as one piece,
//! the [`Hall`], so nothing is borrowed from the suspended batch. The connection whose request runs is lifted
//! out. Requests of others in the suspended batch are answered first, so replies keep their order; the batch
//! goes on without them.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::batch::Batch;
use super::hall::Hall;
use super::turn::answer_jobs;
use super::wake::Mail;
use super::worker::Worker;

/// A worker's stand-in, and what it is told of the worker.
pub(super) struct HeldUp(RefCell<StandIn>);

struct StandIn {
    /// Has no part of the gate, so to it the gate is always closed.
    worker: Worker,
    /// Whose request runs, from when the connections were lent to when they were taken back.
    suspended: Option<Suspended>,
    /// It has had a turn since they were lent.
    has_turned: bool,
}

/// What the worker was doing.
struct Suspended {
    /// Its batch, and the index of the run that is running.
    batch: Option<(Rc<Batch>, usize)>,
}

impl HeldUp {
    /// With that stand-in.
    pub fn new(stand_in: Worker) -> HeldUp {
        HeldUp(RefCell::new(StandIn { worker: stand_in, suspended: None, has_turned: false }))
    }

    /// Lends the connections to the stand-in while a request runs that may take long. `hall` is empty until
    /// they are taken back.
    #[inline]
    pub fn lend(&self, hall: &mut Box<Hall>, batch: Option<(&Rc<Batch>, usize)>) {
        let mut it = self.0.borrow_mut();
        std::mem::swap(hall, &mut it.worker.hall);
        it.suspended = Some(Suspended { batch: batch.map(|(batch, at)| (Rc::clone(batch), at)) });
    }

    /// Takes them back. True: the stand-in has had a turn, and has answered everything behind the request in
    /// its batch but for what the same connection has sent.
    #[inline]
    pub fn take_back(&self, hall: &mut Box<Hall>) -> bool {
        let mut it = self.0.borrow_mut();
        std::mem::swap(hall, &mut it.worker.hall);
        it.suspended = None;
        if it.has_turned {
            it.has_turned = false;
            it.worker.batch = Rc::default();
            return true;
        }
        false
    }

    /// Takes a turn if the request that runs is a script that has done so for too long.
    pub fn look(&self) {
        // Nothing that a stand-in runs looks after others.
        let Ok(mut it) = self.0.try_borrow_mut() else { return };
        let StandIn { worker, suspended, has_turned } = &mut *it;
        let Some(suspended) = suspended else { return };
        if worker.host.busy_worker() != Some(worker.index) {
            return;
        }
        let is_first = !std::mem::replace(has_turned, true);
        worker.stand_in(is_first, suspended.batch.as_ref().map(|(batch, at)| (&**batch, *at)));
    }
}

impl Worker {
    /// A turn in which nothing but a script runs.
    fn stand_in(&mut self, is_first: bool, suspended: Option<(&Batch, usize)>) {
        self.exec.refresh_settings(&self.host);
        self.admit_arrivals(is_first);
        if let Some((batch, at)) = suspended.filter(|_| is_first) {
            batch.keys(0..at).for_each(|key| self.finish(key));
            self.answer_busy(batch, at + 1..batch.len());
        }
        self.send_told();
        self.end_strained();
        self.receive();
        self.poll(Some(Duration::ZERO));
        self.receive();
        self.resume_paused();
        self.run_batch();
        self.hall.is_busy = true;
    }

    /// Takes in connections that have come by mail; other mail waits for the end of the script.
    fn admit_arrivals(&mut self, is_first: bool) {
        let mut mail = if is_first { std::mem::take(&mut self.hall.mail) } else { Vec::new() };
        self.desks[self.index].mail.drain(&mut mail);
        for letter in mail {
            match letter {
                Mail::Arrival(arrival) => self.arrive(arrival),
                letter => self.hall.mail.push(letter),
            }
        }
    }

    /// Answers some runs of a batch while a script holds everything for too long.
    pub(super) fn answer_busy(&mut self, batch: &Batch, runs: Range<usize>) {
        for at in runs.clone() {
            let run = batch.run(at);
            let Hall { conns, farewells, .. } = &mut *self.hall;
            let Some(conn) = conns.get_mut(run.key) else { continue };
            answer_jobs(&self.host, &mut self.exec, conn, (batch, run.jobs.clone(), run), farewells);
        }
        batch.keys(runs).for_each(|key| self.finish(key));
    }
}
