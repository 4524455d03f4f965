//! A worker's poll set.
//!
//! For: an epoll instance that the worker's runtime sleeps on. May touch: descriptors it is given.
//! Always: level-triggered; asked without waiting. The runtime only tells that there is something to ask for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Events taken at once.
const EVENTS: usize = 512;

/// A set of watched descriptors.
pub struct PollSet(OwnedFd);

/// A poll set as the runtime sees it.
pub type Sleeper = AsyncFd<OwnedFd>;

/// What was ready.
pub struct Events(Vec<epoll::Event>);

impl Events {
    /// Room for one look.
    pub fn new() -> Events {
        Events(Vec::with_capacity(EVENTS))
    }

    /// Token and flags of each.
    pub fn iter(&self) -> impl Iterator<Item = (u64, epoll::EventFlags)> {
        self.0.iter().map(|event| (event.data.u64(), event.flags))
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

    /// What is ready now.
    pub fn look(&self, events: &mut Events) {
        events.0.clear();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A look that does not wait is not interrupted by signals; should it be, it is repeated, because the
        // runtime tells of what is ready only once.
        while let Err(rustix::io::Errno::INTR) =
            epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events.0), Some(&at_once))
        {}
    }

    /// The set as the runtime sees it: readable when something is ready.
    ///
    /// # Errors
    /// When the runtime's own poll set has no memory for it.
    pub fn sleeper(&self) -> io::Result<Sleeper> {
        let fd = self.0.try_clone()?;
        // SAFETY: the descriptor belongs to the value that is returned, stays open for as long as that lives,
        // and is never replaced by another.
        Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? })
    }
}
