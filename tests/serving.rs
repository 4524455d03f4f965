//! Blocked clients are served before the locks of the write drop that serves them.
//!
//! For: writes that have to let their locks go and take more. May touch: executors without sockets, at one
//! dataset.
//! Always: who comes in between is known by counts, never by how long something takes. The counts are there
//! in debug builds only.
#![cfg(debug_assertions)]

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ochre::client::Client;
use ochre::command::Host;
use support::node::{Node, client, drained, run};
use support::patience::until;
use support::spelling::words;

/// A stream's name and two others, each in another shard, the first of them in one before that of the stream.
fn names(node: &Node) -> [String; 3] {
    let shard = |name: &String| node.host.space.shard_of(node.host.space.hasher.hash(name.as_bytes()));
    let name = |fits: &dyn Fn(usize) -> bool| {
        (0..).map(|n| format!("k{n}")).find(|name| fits(shard(name))).expect("there are plenty")
    };
    let stream = name(&|at| at > 0);
    let early = name(&|at| at < shard(&stream));
    let other = name(&|at| at != shard(&stream) && at != shard(&early));
    [stream, early, other]
}

/// A client of that worker waits for entries of two streams.
fn wait(node: &mut Node, lane: usize, streams: [&str; 2]) -> Arc<Client> {
    node.run(&words(&format!("XREAD BLOCK 0 STREAMS {} {} $ $", streams[0], streams[1])));
    assert!(node.session.client.parked.lock().is_some());
    std::mem::replace(&mut node.session, client(&node.host, lane)).client
}

/// Adds an entry, as a third worker.
fn add(host: &Arc<Host>, stream: &str) {
    let reply = Node::at(Arc::clone(host), 2).run(&words(&format!("XADD {stream} * field value")));
    assert!(reply.starts_with(b"$"), "{}", reply.escape_ascii());
}

#[test]
fn who_comes_to_wait_while_a_write_takes_more_locks_is_served_before_anybody_sees_what_it_wrote() {
    let mut first = Node::new(&[("io-threads", "4")]);
    let mut second = first.beside();
    let host = Arc::clone(&first.host);
    let [stream, early, other] = names(&first);
    host.space.shards.rest(u32::MAX);
    // The last locking of such a write is that of all it needs.
    wait(&mut first, 0, [&stream, &early]);
    let before = host.space.shards.lockings();
    add(&host, &stream);
    let lockings = host.space.shards.lockings() - before;
    wait(&mut first, 0, [&stream, &early]);
    thread::scope(|scope| {
        let early_shard = host.space.shard_of(host.space.hasher.hash(early.as_bytes()));
        let mut turn = first.part.enter(Duration::MAX).expect("patience without end");
        let held = turn.one(early_shard);
        let before = host.space.shards.lockings();
        let (shared, name) = (Arc::clone(&host), stream.clone());
        scope.spawn(move || add(&shared, &name));
        until("the write waits for the lock", || host.space.shards.lockings() == before + lockings);
        let late = wait(&mut second, 1, [&stream, &other]);
        // In this turn nobody else has everything, so nothing is put right before the look.
        second.turn(|executor, turn, host, session, out| {
            executor.refresh(host);
            drop(held);
            until("the entry is there", || {
                run(executor, turn, host, session, out, &words(&format!("XLEN {stream}")));
                drained(out) == b":2\r\n"
            });
            assert!(late.parked.lock().is_none(), "an entry is seen for which somebody waits");
        });
    });
}
