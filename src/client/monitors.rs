//! Who sees what others run.
//!
//! For: MONITOR. May touch: nothing.
//! Always: a line goes to all workers under one lock, so every monitor sees one order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::pubsub::{Body, Channels, Message, Notice, Seat};

/// The clients that monitor, worker by worker.
#[derive(Default)]
pub struct Monitors {
    count: AtomicUsize,
    seats: Mutex<Vec<(usize, Arc<Vec<Seat>>)>>,
}

impl Monitors {
    /// Whether there is anybody: one load.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Adds a client, which was not there.
    pub fn join(&self, seat: Seat) {
        let mut seats = self.seats.lock();
        match seats.iter_mut().find(|(worker, _)| *worker == seat.worker) {
            Some((_, there)) => Arc::make_mut(there).push(seat),
            None => seats.push((seat.worker, Arc::new(vec![seat]))),
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a client out again, which was there.
    pub fn leave(&self, client: u64) {
        let mut seats = self.seats.lock();
        seats.iter_mut().for_each(|(_, there)| Arc::make_mut(there).retain(|seat| seat.client != client));
        seats.retain(|(_, there)| !there.is_empty());
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sends a line to everybody.
    pub fn tell(&self, channels: &Channels, line: Vec<u8>) {
        let notice = Arc::new(Notice::Ran(line));
        for (worker, to) in &*self.seats.lock() {
            let (to, body) = (Arc::clone(to), Body::Notice(Arc::clone(&notice)));
            channels.post(Message { worker: *worker, to, but: Vec::new(), body });
        }
    }
}
