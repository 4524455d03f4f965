//! A client that waits for a key.
//!
//! For: all that is needed to run its command again, on any worker, without its connection. May touch: what
//! it holds.
//! Always: a wait ends once, by who wins its claim. It is served only with the shards of all its keys held,
//! and any other end but a kill or a disconnect is made with at least one of them held; so a wait that goes
//! on after its command ran in vain is never seen in between.

use std::any::Any;
use std::sync::Arc;

use smallvec::SmallVec;

use super::claim::Claim;
use super::{Client, ReplyMode, Session};
use crate::keyspace::waiters::{Wait, Waits};
use crate::resp::{Out, OwnedArgs, Proto};

/// A blocked client.
pub struct Blocked {
    /// Whose command it is.
    pub client: Arc<Client>,
    /// Where its worker keeps the connection.
    pub seat: usize,
    /// Its place in every queue.
    pub arrival: u64,
    /// The database of the command.
    pub db: usize,
    /// How its reply is written.
    pub proto: Proto,
    /// CLIENT REPLY keeps the reply from it.
    pub is_muted: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// What its command reads is to be remembered (CLIENT TRACKING).
    pub tracks: bool,
    /// Its peer is on this machine.
    pub local: bool,
    /// Index of the command's row.
    pub row: usize,
    /// The command.
    pub args: Arc<OwnedArgs>,
    /// What it waits for.
    pub wait: Wait,
    /// The shards that serving it may touch, ascending.
    pub shards: SmallVec<[u16; 4]>,
    /// Who ends the wait.
    pub claim: Claim,
}

impl Blocked {
    /// The same client going on to wait, with its place and its time.
    pub fn again(&self, wait: Wait) -> Blocked {
        let args = wait.argv.clone().map_or_else(|| Arc::clone(&self.args), Arc::new);
        Blocked {
            client: Arc::clone(&self.client),
            wait: Wait { until_ms: self.wait.until_ms, argv: None, ..wait },
            shards: self.shards.clone(),
            claim: Claim::new(),
            args,
            ..*self
        }
    }

    /// A session to run its command with; what the command changes in it is lost.
    pub fn session(&self) -> Session {
        let mut session = Session::new(Arc::clone(&self.client), true, self.local);
        (session.db, session.no_touch, session.seat) = (self.db, self.no_touch, self.seat);
        session.reply = if self.is_muted { ReplyMode::Off } else { ReplyMode::On };
        session
    }

    /// The keys it waits for.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.wait.keys.iter().map(|&at| self.key(at))
    }
}

impl Waits for Blocked {
    fn arrival(&self) -> u64 {
        self.arrival
    }

    fn db(&self) -> usize {
        self.db
    }

    fn wait(&self) -> &Wait {
        &self.wait
    }

    fn key(&self, position: u32) -> &[u8] {
        self.args.as_args().get(position as usize)
    }

    fn shards(&self) -> &[u16] {
        &self.shards
    }

    fn worker(&self) -> usize {
        self.client.worker
    }

    fn is_parked(&self) -> bool {
        self.claim.is_parked()
    }

    fn whole(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// What a blocked client is answered; on its way to the worker that owns the connection.
#[derive(Debug)]
pub struct Reply {
    /// The worker.
    pub worker: usize,
    /// Where it keeps the connection.
    pub seat: usize,
    /// Whose it is: the seat may have been given to another one.
    pub client: u64,
    /// The reply; empty when the client wants none.
    pub out: Out,
}
