//! What a connection knows about itself.
//!
//! For: the state that commands of one connection leave for the next one. May touch: its own `Client`.
//! Always: owned by the worker that owns the connection; nobody else reads it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fieldsets::Fieldsets;
use super::registry::Client;
use super::subscriptions::Subscriptions;
use super::tracking::Tracking;
use super::transaction::{Transaction, Watching};
use crate::pubsub::Sort;

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
    /// Where its worker keeps the connection.
    pub seat: usize,
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
    /// The commands since MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// The keys watched since the last EXEC.
    pub watching: Option<Box<Watching>>,
    /// The names of fields it has prepared (HIMPORT).
    pub fieldsets: Option<Box<Fieldsets>>,
    /// What it listens to.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// How it tracks keys.
    pub tracking: Option<Box<Tracking>>,
    /// It sees what others run (MONITOR).
    pub monitors: bool,
    /// Its command has confirmed a subscription or the end of one, which replies that are turned off do not
    /// take back. Set only while they are.
    pub has_confirmed: bool,
}

impl Session {
    /// A session that has just been accepted.
    pub fn new(client: Arc<Client>, authenticated: bool, local: bool) -> Session {
        Session {
            client,
            seat: usize::MAX,
            db: 0,
            authenticated,
            reply: ReplyMode::On,
            no_touch: false,
            closing: false,
            local,
            transaction: None,
            watching: None,
            fieldsets: None,
            subscriptions: None,
            tracking: None,
            monitors: false,
            has_confirmed: false,
        }
    }

    /// Whether a transaction, a subscription or MONITOR restricts what it may run.
    #[inline]
    pub fn is_special(&self) -> bool {
        self.transaction.is_some() | self.subscriptions.is_some() | self.monitors
    }

    /// Forgets CLIENT CACHING after the command that follows it, or after the transaction. Commands about the
    /// connection do not count.
    pub fn end_caching(&mut self, is_about_client: bool) {
        if let Some(tracking) = &mut self.tracking
            && self.transaction.is_none()
            && !is_about_client
        {
            tracking.is_marked = false;
        }
    }

    /// Whether it has subscribed to anything.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.as_ref().is_some_and(|it| !it.is_empty())
    }

    /// Whether it may get messages: then what its own commands have caused comes right behind their replies.
    #[inline]
    pub fn may_be_told(&self) -> bool {
        self.subscriptions.is_some() | self.client.is_told.load(Ordering::Relaxed)
    }

    /// Ends the transaction, if there is one, visibly for CLIENT LIST.
    pub fn end_transaction(&mut self) {
        self.transaction = None;
        self.client.note_no_transaction();
    }

    /// Forgets what it watches, and gives it away; whoever takes it tells the keys' shards.
    pub fn end_watching(&mut self) -> Option<Box<Watching>> {
        let watching = self.watching.take();
        self.note_watching();
        watching
    }

    /// Makes the number of watched keys visible for CLIENT LIST.
    pub fn note_watching(&self) {
        self.client.watched.store(self.watching.as_ref().map_or(0, |it| it.keys.len()), Ordering::Relaxed);
    }

    /// Makes the numbers of subscriptions visible for CLIENT LIST.
    pub fn note_subscriptions(&self) {
        for (count, sort) in self.client.subscribed.iter().zip([Sort::Channel, Sort::Pattern, Sort::Shard]) {
            count.store(self.subscriptions.as_ref().map_or(0, |it| it.of(sort).len()), Ordering::Relaxed);
        }
    }

    /// Puts it back to where it was when it was accepted (RESET). What the client said about its library and
    /// its capabilities stays. `authenticated`: whether it needs no password.
    pub fn reset(&mut self, authenticated: bool) {
        self.select(0);
        self.authenticated = authenticated;
        self.fieldsets = None;
        self.reply = ReplyMode::On;
        self.set_no_touch(false);
        self.client.no_evict.store(false, Ordering::Relaxed);
        self.client.import_source.store(false, Ordering::Relaxed);
        self.client.proto.store(2, Ordering::Relaxed);
        let mut labels = self.client.labels.lock();
        labels.name = Vec::new();
        labels.user = b"default".to_vec();
    }

    /// CLIENT NO-TOUCH, visibly for CLIENT LIST.
    pub fn set_no_touch(&mut self, on: bool) {
        self.no_touch = on;
        self.client.no_touch.store(on, Ordering::Relaxed);
    }

    /// Selects a database, visibly for CLIENT LIST.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.db.store(db, Ordering::Relaxed);
    }
}
