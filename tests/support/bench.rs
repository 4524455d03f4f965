//! What commands leave behind besides their reply.
//!
//! For: tests of events, counts and effects of single commands. May touch: a [`Node`].
//! Always: the clock stands at [`START_MS`]; everybody listens to events and reads the commit log.

use std::sync::atomic::Ordering;

use super::local::START_MS;
use super::node::Node;
use super::spelling::{shown, spelled, words};

/// One client at a dataset of its own.
pub struct Bench {
    /// Where it runs.
    pub node: Node,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Trace {
    /// As on the wire, with a space for each line's end.
    pub reply: String,
    /// Changes counted.
    pub dirty: u64,
    /// `event key`, joined by commas.
    pub events: String,
    /// Commands, joined by semicolons.
    pub effects: String,
    /// Lookups that found a key, and that did not.
    pub lookups: (u64, u64),
}

impl Bench {
    /// An empty one.
    pub fn new() -> Bench {
        let node = Node::new(&[]);
        let space = &node.host.space;
        space.clock.freeze();
        space.clock.set_ms(START_MS);
        space.listens.store(true, Ordering::SeqCst);
        node.host.log.set_read(true);
        Bench { node }
    }

    /// Runs a command given as a line.
    pub fn run(&mut self, line: &str) -> Trace {
        let before = self.node.host.observe.totals();
        let reply = self.node.run(&words(&spelled(line, START_MS)));
        let reply = String::from_utf8_lossy(&reply).replace("\r\n", " ").trim_end().to_string();
        let Node { host, executor, .. } = &self.node;
        let after = host.observe.totals();
        let happenings = executor.record.happenings.iter();
        let key = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let events: Vec<_> = happenings.map(|it| format!("{} {}", it.event.name, key(&it.key))).collect();
        let effects = host.log.drain().into_iter().flat_map(|unit| unit.effects);
        Trace {
            reply,
            dirty: executor.record.dirty,
            events: events.join(", "),
            effects: effects.map(|it| shown(&it, START_MS)).collect::<Vec<_>>().join("; "),
            lookups: (after.hits - before.hits, after.misses - before.misses),
        }
    }

    /// Runs commands in turn; each is `(command, changes, events, effects)`, where the effect `=` is the
    /// command itself.
    pub fn check(&mut self, steps: &[(&str, u64, &str, &str)]) {
        for (at, &(line, dirty, events, effects)) in steps.iter().enumerate() {
            let trace = self.run(line);
            let effects = if effects == "=" { line } else { effects };
            let found = (trace.dirty, &*trace.events, &*trace.effects);
            assert_eq!(found, (dirty, events, effects), "step {at}: {line}\n{trace:?}");
        }
    }
}
