//! Mailboxes: what one worker is told by the others.
//!
//! For: pushes from any thread to the one worker that owns a session. May touch: `sync`. Never sleeps or
//! wakes by itself: the consumer sleeps where it likes, a producer that is told so wakes it.
//! Always: messages of one producer arrive in order; whatever is pushed is either seen before the consumer
//! sleeps or answered with one wake-up. `asleep` and the queue change under one mutex, held for a few
//! instructions.
//!
//! The mailbox has no limit of its own: producers charge what they push to the receiver's output limit first.

use std::mem;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Room for this many messages is kept between bursts; more is given back.
pub const KEPT_MESSAGES: usize = 4096;

/// A queue of many producers and one consumer.
pub struct Mailbox<M> {
    state: Mutex<State<M>>,
    /// Whether the queue holds something. A hint that spares an idle consumer the mutex; it may lag behind a
    /// push.
    is_full: AtomicBool,
}

struct State<M> {
    queue: Vec<M>,
    /// The consumer has said that it sleeps and nobody has been told to wake it.
    asleep: bool,
}

impl<M> Mailbox<M> {
    /// An empty mailbox whose consumer is awake.
    pub fn new() -> Mailbox<M> {
        Mailbox {
            state: Mutex::new(State { queue: Vec::new(), asleep: false }),
            is_full: AtomicBool::new(false),
        }
    }

    /// Adds a message. True: the consumer sleeps and the caller has to wake it; nobody else will.
    #[must_use = "a sleeping consumer has to be woken"]
    pub fn push(&self, message: M) -> bool {
        let mut state = self.state.lock();
        state.queue.push(message);
        self.is_full.store(true, Ordering::Relaxed);
        mem::replace(&mut state.asleep, false)
    }

    /// Consumer: moves all messages to the end of `into`. May miss one pushed at this moment.
    pub fn drain(&self, into: &mut Vec<M>) {
        if !self.is_full.load(Ordering::Relaxed) {
            return;
        }
        if into.is_empty() {
            into.shrink_to(KEPT_MESSAGES);
            let mut state = self.state.lock();
            mem::swap(&mut state.queue, into);
            self.is_full.store(false, Ordering::Relaxed);
        } else {
            let mut state = self.state.lock();
            into.append(&mut state.queue);
            self.is_full.store(false, Ordering::Relaxed);
        }
    }

    /// Consumer: announces that it will sleep. False: there are messages, so it must not.
    ///
    /// After true exactly one push, the first, answers that the consumer has to be woken, until
    /// [`Mailbox::awake`].
    #[must_use = "with messages waiting the consumer must not sleep"]
    pub fn prepare_sleep(&self) -> bool {
        let mut state = self.state.lock();
        state.asleep = state.queue.is_empty();
        state.asleep
    }

    /// Consumer: does not sleep any more, whatever woke it. A wake-up already promised may still come.
    pub fn awake(&self) {
        self.state.lock().asleep = false;
    }
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        Mailbox::new()
    }
}
