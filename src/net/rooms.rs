//! Messages for connections, and what is left of those that close.
//!
//! For: writing what comes by mail for subscribers, trackers and monitors, and telling channels and keys that
//! a session is gone.
//! May touch: the worker's connections, channels.
//! Always: a message is heard before requests that were sent after it are run, so nobody who unsubscribes has
//! missed one.

use std::sync::Arc;
use std::time::Duration;

use super::conn::{Conn, soft_ns};
use super::hall::Hall;
use super::wake::{Desk, Mail};
use super::worker::Worker;
use crate::client::Session;
use crate::commands::{client_tracking, monitor, pubsub};
use crate::exec::Ran;
use crate::pubsub::{Body, Frame, Message, Notice, Seat};
use crate::resp::Out;

/// A worker wakes this much after the end of a connection's patience.
const STRAIN_SLACK_NS: u64 = 1_000_000;
/// While requests keep coming messages wait at most this long: whoever is sent several at once costs one
/// send.
const HOLD_BACK_NS: u64 = 500_000;
/// A connection with more than this is sent what waits at once.
const MOST_HELD_BACK: usize = 64 * 1024;

/// Whether a session listens to what a message was sent through.
fn listens(session: &Session, frame: &Frame) -> bool {
    session.subscriptions.as_ref().is_some_and(|mine| mine.of(frame.sort).contains(frame.name()))
}

/// Whether a session still wants to hear of something that it has not subscribed to.
fn wants(session: &Session, notice: &Notice) -> bool {
    match notice {
        Notice::Stale { is_redirected: true, .. } => true,
        Notice::Stale { .. } | Notice::RedirectBroken(_) => session.tracking.is_some(),
        Notice::Ran(_) => session.monitors,
    }
}

/// Writes a message to a connection that still wants to hear it. `ended_too`: also what it had subscribed to
/// when the message was sent.
fn write(session: &Session, out: &mut Out, body: &Body, ended_too: bool) {
    match body {
        Body::Frame(frame) if ended_too || listens(session, frame) => frame.write(out),
        Body::Notice(notice) if wants(session, notice) => notice.write(out, session.is_subscriber()),
        _ => {}
    }
}

/// The mail of a worker, as a connection sees it that runs requests.
pub(super) struct Inbox<'a> {
    /// Where mail comes.
    pub desk: &'a Desk,
    /// Mail taken and not yet dealt with.
    pub mail: &'a mut Vec<Mail>,
    /// How much of `mail` was looked at for this connection.
    pub heard: &'a mut usize,
}

impl Inbox<'_> {
    /// Before a connection's requests of a batch run, which may be before the turn has come to its mail.
    #[inline]
    pub fn catch_up(&mut self, conn: &mut Conn) {
        if conn.session.may_be_told() {
            self.hear(conn, false);
        }
    }

    /// After a request that has ended in this way. Who is about to close hears nothing any more.
    pub fn follow(&mut self, conn: &mut Conn, ended_too: bool, ran: Ran) {
        if ran != Ran::Close {
            self.hear(conn, ended_too);
        }
    }

    /// Writes the messages to a connection that were sent to it until now: what its own command has caused
    /// comes right behind the reply. `ended_too`: also those of subscriptions that have ended since.
    #[cold]
    fn hear(&mut self, conn: &mut Conn, ended_too: bool) {
        self.desk.mail.drain(self.mail);
        let id = conn.session.client.id;
        for letter in &mut self.mail[*self.heard..] {
            match letter {
                // What was sent after its reply comes after its reply.
                Mail::Reply(reply) if reply.client == id => break,
                Mail::Message(message)
                    if message.to.iter().any(|seat| seat.client == id) && !message.but.contains(&id) =>
                {
                    write(&conn.session, &mut conn.out, &message.body, ended_too);
                    message.but.push(id);
                }
                _ => {}
            }
        }
        *self.heard = self.mail.len();
    }
}

impl Worker {
    /// Takes the messages that have come while requests were received; other mail waits for the next turn.
    pub(super) fn hear(&mut self) {
        let mut mail = std::mem::take(&mut self.hall.mail);
        self.desks[self.index].mail.drain(&mut mail);
        if mail.is_empty() {
            self.hall.mail = mail;
            return;
        }
        for letter in mail.drain(..) {
            match letter {
                Mail::Message(message) => {
                    let later = self.behind_replies(&message);
                    self.deliver(&message, &later);
                    if !later.is_empty() {
                        let (but, body) = (message.but, message.body);
                        let message = Message { worker: self.index, to: Arc::new(later), but, body };
                        self.hall.mail.push(Mail::Message(message));
                    }
                }
                letter => self.hall.mail.push(letter),
            }
        }
        self.hall.is_busy |= !self.hall.mail.is_empty();
        if self.hall.mail.is_empty() {
            // With its room, which the next messages need.
            self.hall.mail = mail;
        }
    }

    /// Receivers of a message for whom a reply was sent before it that waits for the next turn.
    fn behind_replies(&self, message: &Message) -> Vec<Seat> {
        let waits = |client| {
            self.hall.mail.iter().any(|mail| matches!(mail, Mail::Reply(reply) if reply.client == client))
        };
        if self.hall.mail.is_empty() {
            return Vec::new();
        }
        message.to.iter().filter(|seat| waits(seat.client)).copied().collect()
    }

    /// Writes a message to those of its receivers who are still there and still listen, but not to `later`.
    pub(super) fn deliver(&mut self, message: &Message, later: &[Seat]) {
        // A cache that is stale is told of it at once.
        let mut is_urgent =
            matches!(&message.body, Body::Notice(notice) if matches!(**notice, Notice::Stale { .. }));
        let to = message.to.iter().filter(|seat| !message.but.contains(&seat.client));
        for seat in to.filter(|seat| !later.contains(seat)) {
            let Some(conn) = self.hall.conns.get_mut(seat.place) else { continue };
            if conn.session.client.id != seat.client {
                continue;
            }
            conn.out.take_from(&mut self.hall.spare);
            write(&conn.session, &mut conn.out, &message.body, false);
            is_urgent |= conn.out.len_bytes() > MOST_HELD_BACK;
            if !std::mem::replace(&mut conn.is_told, true) {
                self.hall.told.push(seat.place);
            }
        }
        self.hall.is_told_urgently |= is_urgent;
    }

    /// Ends those whose output has been above the soft limit for too long, and forgets those who have read.
    pub(super) fn end_strained(&mut self) {
        if self.hall.strained.is_empty() {
            return;
        }
        let now_ns = self.host.ticks.since_start_ns();
        for key in std::mem::take(&mut self.hall.strained) {
            let Some(conn) = self.hall.conns.get_mut(key) else { continue };
            conn.limit_output(self.exec.settings.output_limit(conn.class()), now_ns);
            if let Some(end) = conn.end {
                self.close(key, end);
            } else if conn.strained_ns.is_some() && !self.hall.strained.contains(&key) {
                self.hall.strained.push(key);
            }
        }
    }

    /// How long until one of them is to be ended.
    pub(super) fn strain_left(&self) -> Option<Duration> {
        if self.hall.strained.is_empty() {
            return None;
        }
        let now_ns = self.host.ticks.since_start_ns();
        let left = |&key: &usize| {
            let conn = self.hall.conns.get(key)?;
            let limit = self.exec.settings.output_limit(conn.class());
            // A little later, so that it is over by then.
            let until_ns = conn.strained_ns?.saturating_add(soft_ns(limit)).saturating_add(STRAIN_SLACK_NS);
            Some(Duration::from_nanos(until_ns.saturating_sub(now_ns)))
        };
        self.hall.strained.iter().filter_map(left).min()
    }

    /// Sends what messages have written when nothing else is to be done, or some of it has waited for long
    /// enough, or what is to be done may take long. Otherwise replies go first: whoever reads one asks for
    /// more, and what that leads to may go with it.
    pub(super) fn send_told_in_time(&mut self, now: u64) {
        let Hall { told, told_since, events, again, is_told_urgently, .. } = &mut *self.hall;
        if told.is_empty() {
            return;
        }
        let since = *told_since.get_or_insert(now);
        let is_idle = events.is_empty() && again.is_empty();
        let is_long = self.host.ticks.nanos_between(since, now) > HOLD_BACK_NS;
        if is_idle || is_long || *is_told_urgently || self.batch.locks_all() {
            self.send_told();
        }
    }

    /// Sends what messages have written.
    pub(super) fn send_told(&mut self) {
        (self.hall.told_since, self.hall.is_told_urgently) = (None, false);
        for key in std::mem::take(&mut self.hall.told) {
            if let Some(conn) = self.hall.conns.get_mut(key) {
                conn.is_told = false;
                self.finish(key);
            }
        }
    }

    /// A session ends: it listens to nothing, watches nothing and tracks nothing any more.
    pub(super) fn leave_rooms(&mut self, session: &mut Session) {
        pubsub::forget(&self.host, session);
        monitor::forget(&self.host, session);
        self.hall.farewells.unwatched.extend(session.end_watching().map(|it| *it));
        self.hall.farewells.ends_broadcast |= client_tracking::leave(&self.host, session);
    }
}
