//! Waking workers.
//!
//! For: an event descriptor that a worker's poll set holds, and the mail other threads leave for it. May
//! touch: nothing.
//! Always: ringing never blocks; a bell that is rung while its worker is awake costs the worker one empty
//! look.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use super::transport::Transport;
use crate::client::blocked::Reply;
use crate::client::mailbox::Mailbox;
use crate::client::registry::Address;
use crate::pubsub::Message;

/// Rings through the poll set of one worker.
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> std::io::Result<Bell> {
        Ok(Bell(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Makes the worker look.
    pub fn ring(&self) {
        // It fails only when it has been rung 2^64 - 2 times without being heard: it is ringing then.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Silences it.
    pub fn hush(&self) {
        // It fails only when it is silent already.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    /// The descriptor to watch.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A connection on its way to its worker.
pub struct Arrival {
    /// The socket, non-blocking.
    pub stream: Box<dyn Transport>,
    /// The peer.
    pub addr: Address,
    /// Our end.
    pub laddr: Address,
    /// The peer is a loopback address or a Unix socket.
    pub local: bool,
}

/// What other threads tell a worker.
pub enum Mail {
    /// A new connection.
    Arrival(Arrival),
    /// A blocked client's wait is over.
    Reply(Box<Reply>),
    /// For clients who listen to a channel.
    Message(Message),
    /// Sessions or the pause have changed: look at them.
    Look,
    /// The worker has had nothing to do for a while: give freed memory back.
    Tidy,
    /// End all connections, then the worker.
    Stop,
}

/// What the rest of the server has of a worker.
pub struct Desk {
    /// Rings when mail has come.
    pub bell: Bell,
    /// The mail.
    pub mail: Mailbox<Mail>,
    /// Connections it owns or was sent.
    pub connections: AtomicUsize,
}

impl Desk {
    /// An empty desk.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> std::io::Result<Desk> {
        Ok(Desk { bell: Bell::new()?, mail: Mailbox::new(), connections: AtomicUsize::new(0) })
    }

    /// Leaves mail, and wakes the worker if it sleeps.
    pub fn send(&self, mail: Mail) {
        if self.mail.push(mail) {
            self.bell.ring();
        }
    }
}

/// The desks of all workers.
pub type Desks = Arc<[Desk]>;

/// The worker with the fewest connections, `but` only if there is no other.
pub fn least_busy(desks: &[Desk], but: Option<usize>) -> usize {
    let load =
        |(index, desk): &(usize, &Desk)| (Some(*index) == but, desk.connections.load(Ordering::Relaxed));
    let by_load = desks.iter().enumerate().min_by_key(load);
    by_load.map_or(0, |(index, _)| index)
}
