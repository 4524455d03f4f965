//! Connections whose last request is blocked.
//!
//! For: taking the replies that come for them by mail, and letting go of those that close. May touch: the
//! worker's connections, a turn.
//! Always: while its request is blocked a connection runs nothing and reads nothing; what it has sent since
//! runs, in order, after the reply.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::hall::Hall;
use super::worker::Worker;
use crate::client::Client;
use crate::client::blocked::Reply;
use crate::client::claim::Reason;
use crate::command::Host;
use crate::commands::client_tracking;
use crate::exec::{Executor, block};
use crate::keyspace::db::Reach;
use crate::keyspace::lock::Turn;
use crate::keyspace::{Db, Shard};

impl Worker {
    /// The reply of a blocked request has come: sends it and goes on with the connection's requests.
    pub(super) fn unpark(&mut self, reply: Reply) {
        let Some(conn) = self.hall.conns.get_mut(reply.seat) else { return };
        if conn.session.client.id != reply.client {
            // The connection has closed, and its seat was given to another one.
            return;
        }
        conn.is_parked = false;
        conn.session.client.active_ns.store(self.host.ticks.since_start_ns(), Ordering::Relaxed);
        conn.out.append(reply.out);
        if !conn.waiting.is_empty() || conn.has_more || conn.broken.is_some() {
            self.hall.paused.push_back(reply.seat);
        } else {
            self.finish(reply.seat);
        }
    }

    /// A connection closes whose request is blocked: nobody serves it any more, and it leaves the queues when
    /// the gate is open.
    pub(super) fn abandon(&mut self, client: &Arc<Client>) {
        if let Some(blocked) = &*client.parked.lock() {
            // Where the claim is lost its reply is on the way, and finds nobody.
            let _ = blocked.claim.try_claim(Reason::Killed);
        }
        self.hall.gone.push(Arc::clone(client));
    }
}

/// Within a turn: blocked clients and watchers that have left are taken out of the shards.
#[cold]
pub(super) fn see_off(host: &Host, exec: &mut Executor, turn: &mut Turn<'_, Shard>, hall: &mut Hall) {
    for client in hall.gone.drain(..) {
        block::abandon(host, turn, &client);
    }
    for watching in hall.farewells.unwatched.drain(..) {
        let now_ms = exec.now_ms();
        let mut db = Db::new(Reach::Each(turn), &host.space, 0, now_ms, &mut exec.record);
        db.unwatch(&watching.keys, &watching.watcher);
    }
    if std::mem::take(&mut hall.farewells.ends_broadcast) {
        let now_ms = exec.now_ms();
        let mut db = Db::new(Reach::Each(turn), &host.space, 0, now_ms, &mut exec.record);
        client_tracking::settle_broadcast(host, &mut db);
    }
}
