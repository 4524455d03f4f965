//! Connections whose last request is blocked.
//!
//! For: taking the replies that come for them by mail, and letting go of those that close. May touch: the
//! worker's connections, the gate.
//! Always: while its request is blocked a connection runs nothing and reads nothing; what it has sent since
//! runs, in order, after the reply.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::worker::Worker;
use crate::client::Client;
use crate::client::blocked::Reply;
use crate::exec::block;

impl Worker {
    /// The reply of a blocked request has come: sends it and goes on with the connection's requests.
    pub(super) fn unpark(&mut self, reply: Reply) {
        let Some(conn) = self.conns.get_mut(reply.seat) else { return };
        if conn.session.client.id != reply.client {
            // The connection has closed, and its seat was given to another one.
            return;
        }
        conn.is_parked = false;
        conn.session.client.active_ns.store(self.host.ticks.since_start_ns(), Ordering::Relaxed);
        conn.out.append(reply.out);
        if !conn.waiting.is_empty() || conn.has_more || conn.broken.is_some() {
            self.paused.push(reply.seat);
        } else {
            self.finish(reply.seat);
        }
    }

    /// A connection closes whose request is blocked.
    pub(super) fn abandon(&mut self, client: &Client) {
        let host = Arc::clone(&self.host);
        let Ok(mut turn) = self.part.enter(Duration::MAX) else {
            unreachable!("patience without end does not run out")
        };
        block::abandon(&host, &mut turn, client);
    }
}
