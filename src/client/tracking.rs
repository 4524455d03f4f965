//! Clients that cache what they read, and how they want to hear of changes.
//!
//! For: CLIENT TRACKING. May touch: nothing.
//! Always: who tracks, and how, is changed while nobody is in the middle of a command, or when a client is
//! closed; which keys it has read is known by their shards alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bitflags::bitflags;
use parking_lot::RwLock;

use super::Client;

bitflags! {
    /// How a client tracks.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Mode: u8 {
        /// It hears of all keys with its prefixes, whatever it has read.
        const BCAST = 1 << 0;
        /// Only reads right after CLIENT CACHING YES count.
        const OPTIN = 1 << 1;
        /// Reads right after CLIENT CACHING NO do not count.
        const OPTOUT = 1 << 2;
        /// It does not hear of what it has changed itself.
        const NOLOOP = 1 << 3;
    }
}

/// How one client tracks.
#[derive(Debug)]
pub struct Tracker {
    /// See [`Mode`].
    pub mode: Mode,
    /// The client that hears of changes in its place.
    pub redirect: Option<u64>,
    /// With [`Mode::BCAST`]: prefixes, in order.
    pub prefixes: Vec<Box<[u8]>>,
    /// The other client was found to be gone.
    pub is_broken: AtomicBool,
}

/// A session's side of it.
pub struct Tracking {
    /// How it tracks.
    pub tracker: Arc<Tracker>,
    /// CLIENT CACHING was given for the next command, or for the whole transaction.
    pub is_marked: bool,
}

impl Tracking {
    /// Whether what it reads now is to be remembered.
    pub fn remembers(&self) -> bool {
        let mode = self.tracker.mode;
        if mode.contains(Mode::OPTIN) {
            return self.is_marked;
        }
        let is_excepted = mode.contains(Mode::OPTOUT) && self.is_marked;
        !is_excepted && !mode.contains(Mode::BCAST)
    }
}

/// Those who track by prefix.
type Audience = Vec<Arc<Client>>;

/// Everybody who tracks.
#[derive(Default)]
pub struct Trackers {
    clients: AtomicUsize,
    /// Keys that somebody has read.
    pub keys: AtomicUsize,
    /// Readers of these keys, taken together.
    pub items: AtomicUsize,
    prefixes: RwLock<BTreeMap<Box<[u8]>, Audience>>,
}

impl Trackers {
    /// A client tracks from now on, or tracks in another way.
    pub fn join(&self, client: &Arc<Client>, tracker: Arc<Tracker>) {
        self.leave(client);
        let mut prefixes = self.prefixes.write();
        for prefix in &tracker.prefixes {
            prefixes.entry(prefix.clone()).or_default().push(Arc::clone(client));
        }
        *client.tracker.lock() = Some(tracker);
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// A client tracks no longer.
    pub fn leave(&self, client: &Client) {
        let Some(tracker) = client.tracker.lock().take() else { return };
        let mut prefixes = self.prefixes.write();
        for prefix in &tracker.prefixes {
            let Some(audience) = prefixes.get_mut(prefix) else { continue };
            audience.retain(|other| other.id != client.id);
            if audience.is_empty() {
                prefixes.remove(prefix);
            }
        }
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// Number of clients.
    pub fn count(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Number of prefixes.
    pub fn prefix_count(&self) -> usize {
        self.prefixes.read().len()
    }

    /// For each prefix that some of the keys have: those who track it, and these keys in order.
    pub fn audiences<'k>(&self, keys: &[&'k Arc<[u8]>]) -> Vec<(Audience, Vec<&'k Arc<[u8]>>)> {
        debug_assert!(keys.is_sorted());
        let mut audiences = Vec::new();
        for (prefix, audience) in &*self.prefixes.read() {
            let meant: Vec<_> = keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
            if !meant.is_empty() {
                audiences.push((audience.clone(), meant));
            }
        }
        audiences
    }
}
