//! What a connection knows about itself.
//!
//! For: the state that commands of one connection leave for the next one. May touch: its own `Client`.
//! Always: owned by the worker that owns the connection; nobody else reads it.

use std::sync::Arc;

use super::registry::Client;

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every reply.
    #[default]
    On,
    /// None until ON.
    Off,
    /// CLIENT REPLY SKIP has just run: the next command's reply is left out.
    SkipNext,
    /// The present command's reply is left out.
    Skip,
}

/// State of a connection.
pub struct Session {
    /// What others see.
    pub client: Arc<Client>,
    /// Selected database.
    pub db: usize,
    /// Whether it has authenticated (or needs not).
    pub authenticated: bool,
    /// See [`ReplyMode`].
    pub reply: ReplyMode,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// The connection closes when its replies are sent.
    pub closing: bool,
    /// The peer is a loopback address or a Unix socket.
    pub local: bool,
}

impl Session {
    /// A session that has just been accepted.
    pub fn new(client: Arc<Client>, authenticated: bool, local: bool) -> Session {
        Session { client, db: 0, authenticated, reply: ReplyMode::On, no_touch: false, closing: false, local }
    }

    /// Selects a database, visibly for CLIENT LIST.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.db.store(db, std::sync::atomic::Ordering::Relaxed);
    }
}
