//! A worker's poll set.
//!
//! For: an epoll instance that the worker sleeps on. May touch: descriptors it is given.
//! Always: what is ready is told by the same call that waits for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// Events taken at once.
const EVENTS: usize = 512;
/// A longer wait is cut short: the call counts its milliseconds in 31 bits.
const LONGEST_MS: u128 = 1 << 30;

/// A set of watched descriptors.
pub struct PollSet(OwnedFd);

/// What was ready.
pub struct Events(Vec<epoll::Event>);

impl Events {
    /// Room for one look.
    pub fn new() -> Events {
        Events(Vec::with_capacity(EVENTS))
    }

    /// Token and flags of one.
    pub fn get(&self, at: usize) -> Option<(u64, epoll::EventFlags)> {
        self.0.get(at).map(|event| (event.data.u64(), event.flags))
    }

    /// Whether nothing was ready.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there may be more than this look had room for.
    pub fn is_full(&self) -> bool {
        self.0.len() == EVENTS
    }
}

impl Default for Events {
    fn default() -> Self {
        Events::new()
    }
}

impl PollSet {
    /// An empty set.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<PollSet> {
        Ok(PollSet(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches a descriptor under that token.
    ///
    /// # Errors
    /// When the system has no memory for it, or it is watched already.
    pub fn add(&self, fd: impl AsFd, token: u64, flags: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.0, fd, epoll::EventData::new_u64(token), flags)?)
    }

    /// Watches it for something else.
    pub fn modify(&self, fd: impl AsFd, token: u64, flags: epoll::EventFlags) {
        // The descriptor is open and in the set, so this cannot fail.
        let _ = epoll::modify(&self.0, fd, epoll::EventData::new_u64(token), flags);
    }

    /// Watches it no more.
    pub fn remove(&self, fd: impl AsFd) {
        // As above; closing the descriptor would do the same.
        let _ = epoll::delete(&self.0, fd);
    }

    /// What is ready; when nothing is, waits for it at most for `patience` (in whole milliseconds, rounded
    /// up; `None`: for ever). A signal ends the wait early.
    pub fn wait(&self, events: &mut Events, patience: Option<Duration>) {
        events.0.clear();
        // The kernel's older call, which takes milliseconds, is known to every sandbox.
        let patience = patience.map(|time| {
            let millis = time.as_nanos().div_ceil(1_000_000).min(LONGEST_MS) as i64;
            Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
        });
        // It fails only when a signal comes.
        let _ = epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events.0), patience.as_ref());
    }
}
