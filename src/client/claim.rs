//! Claims: who ends a blocked client's wait.
//!
//! For: serving, timeout, UNBLOCK, KILL and disconnect, each of which claims the record of a blocked client
//! before it pops or replies anything. May touch: `sync`.
//! Always: one of them wins, once, and for good. Who claims to serve and then finds nothing to serve parks a
//! new record with a claim of its own; the old one stays claimed, so nobody who lost waits for a second
//! chance.

use crate::sync::atomic::{AtomicU8, Ordering};

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A key became ready.
    Served = 1,
    /// The command's timeout came.
    TimedOut = 2,
    /// CLIENT UNBLOCK, or a change of role.
    Unblocked = 3,
    /// CLIENT KILL.
    Killed = 4,
    /// The connection closed.
    Gone = 5,
}

const PARKED: u8 = 0;

/// The state of one blocked record: parked, then claimed for one reason.
pub struct Claim(AtomicU8);

impl Claim {
    /// A parked record's claim.
    pub fn new() -> Claim {
        Claim(AtomicU8::new(PARKED))
    }

    /// Ends the wait for `reason`. True for exactly one caller, who sees all that was written before the
    /// record parked and alone may act on it.
    #[must_use = "only the one who wins the claim may act on it"]
    pub fn try_claim(&self, reason: Reason) -> bool {
        self.0.compare_exchange(PARKED, reason as u8, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Why the wait ended; None while the client is parked.
    pub fn state(&self) -> Option<Reason> {
        match self.0.load(Ordering::Acquire) {
            1 => Some(Reason::Served),
            2 => Some(Reason::TimedOut),
            3 => Some(Reason::Unblocked),
            4 => Some(Reason::Killed),
            5 => Some(Reason::Gone),
            _ => None,
        }
    }

    /// Whether nobody has claimed the record. Only a hint for passing over it: a claim may come at any
    /// moment.
    pub fn is_parked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PARKED
    }
}

impl Default for Claim {
    fn default() -> Self {
        Claim::new()
    }
}
