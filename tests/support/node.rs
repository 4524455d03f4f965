//! A dataset that this thread runs commands on, as a worker would, without sockets.
//!
//! For: tests of what a command leaves behind besides its reply, and the fuzz targets. May touch: the public
//! API of the crate, nothing else of the tests: the fuzz targets include this file.
//! Always: nothing happens to the dataset but what its nodes do; a node is one client in database 0 at first.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use ochre::Server;
use ochre::client::Session;
use ochre::client::registry::{Address, Client};
use ochre::clock::Chance;
use ochre::command::Host;
use ochre::exec::{Call, Executor, Ran};
use ochre::keyspace::Shard;
use ochre::keyspace::lock::{Part, Turn};
use ochre::resp::{Out, OwnedArgs};

/// A worker's place, with one client at it.
pub struct Node {
    /// What all nodes of a dataset share.
    pub host: Arc<Host>,
    /// Runs the commands.
    pub executor: Executor,
    /// The place in the gate.
    pub part: Part<Shard>,
    /// The client.
    pub session: Session,
    /// Its replies.
    pub out: Out,
    lane: usize,
}

impl Node {
    /// A dataset of its own, with some directives set.
    pub fn new(directives: &[(&str, &str)]) -> Node {
        let builder = Server::builder().seed(1);
        let builder = directives.iter().fold(builder, |builder, (name, value)| builder.config(name, value));
        Node::at(builder.bare().expect("the directives are right"), 0)
    }

    /// A second worker of the same dataset.
    pub fn beside(&self) -> Node {
        Node::at(Arc::clone(&self.host), self.lane + 1)
    }

    /// The worker of that lane, on the thread that shall be its own.
    pub fn at(host: Arc<Host>, lane: usize) -> Node {
        let part = host.space.shards.part(lane);
        let executor = Executor::new(&host, lane, Chance::new(1));
        let session = client(&host, lane);
        Node { host, executor, part, session, out: Out::new(), lane }
    }

    /// Another client takes the place of the one that is here.
    pub fn renew(&mut self) {
        self.host.clients.remove(self.session.client.id);
        self.session = client(&self.host, self.lane);
        self.out = Out::new();
    }

    /// Runs one command in a turn of its own; answers with its reply.
    pub fn run(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.turn(|executor, turn, host, session, out| {
            executor.refresh(host);
            run(executor, turn, host, session, out, words);
        })
    }

    /// As [`Node::run`], but at the instant of the last command: as a worker that was held up between reading
    /// the clock and locking shards.
    pub fn run_late(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.turn(|executor, turn, host, session, out| {
            run(executor, turn, host, session, out, words);
        })
    }

    /// Takes a turn; what the clients in it were answered.
    pub fn turn(
        &mut self,
        f: impl FnOnce(&mut Executor, &mut Turn<'_, Shard>, &Host, &mut Session, &mut Out),
    ) -> Vec<u8> {
        let mut turn = self.part.enter(Duration::MAX).expect("patience without end");
        f(&mut self.executor, &mut turn, &self.host, &mut self.session, &mut self.out);
        self.executor.end_turn(&self.host, turn);
        drained(&mut self.out)
    }
}

/// Runs one command in a turn.
pub fn run(
    executor: &mut Executor,
    turn: &mut Turn<'_, Shard>,
    host: &Host,
    session: &mut Session,
    out: &mut Out,
    words: &[&[u8]],
) -> Ran {
    let args: OwnedArgs = words.iter().copied().collect();
    executor.run(host, turn, session, out, Call::of(host, args.as_args()))
}

/// A new client of that lane's worker.
pub fn client(host: &Host, lane: usize) -> Session {
    let here = Address::Path("test".into());
    let client = Arc::new(Client::new(host.clients.next_id(), lane, 0, here.clone(), here, 0));
    host.clients.add(Arc::clone(&client));
    Session::new(client, true, true)
}

/// Takes all of an output.
pub fn drained(out: &mut Out) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(out.len_bytes());
    while !out.is_empty() {
        let (before, mut slices) = (bytes.len(), [IoSlice::new(&[]); 64]);
        let filled = out.chunks(&mut slices);
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        out.consume(bytes.len() - before);
    }
    bytes
}
