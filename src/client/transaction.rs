//! What a session keeps between MULTI and EXEC, and between WATCH and EXEC.
//!
//! For: queueing commands, and remembering watched keys. May touch: nothing.
//! Always: a transaction is spoiled by the first command that could not be queued, and then only discarded.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::keyspace::watchers::Watcher;
use crate::resp::{Args, ArgsList};

/// What is known of a command that waits for EXEC.
#[derive(Clone, Copy)]
pub struct Queued {
    /// Index of its row.
    pub entry: usize,
    /// Hash of its first key, for commands that have one at a fixed place.
    pub hash: Option<u64>,
}

/// The commands since MULTI.
pub struct Transaction {
    /// In order.
    pub commands: Vec<Queued>,
    /// Their names and arguments.
    pub args: ArgsList,
    /// One of them changes the keyspace.
    pub writes: bool,
    /// A command could not be queued: EXEC will refuse.
    pub is_spoiled: bool,
    /// Memory that the commands hold, in bytes.
    pub bytes: usize,
}

impl Transaction {
    /// Adds a command.
    pub fn push(&mut self, command: Queued, args: &Args<'_>, writes: bool) {
        self.args.push(args);
        self.bytes += self.args.last_bytes() + size_of::<Queued>();
        self.writes |= writes;
        self.commands.push(command);
    }
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction {
            commands: Vec::with_capacity(8),
            args: ArgsList::for_a_few(),
            writes: false,
            is_spoiled: false,
            bytes: 0,
        }
    }
}

/// The keys a session watches.
#[derive(Default)]
pub struct Watching {
    /// What those keys' shards know it by.
    pub watcher: Arc<Watcher>,
    /// Database and key.
    pub keys: BTreeSet<(usize, Box<[u8]>)>,
}
