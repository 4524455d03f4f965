//! What a session keeps between MULTI and EXEC, and between WATCH and EXEC.
//!
//! For: queueing commands, and remembering watched keys. May touch: nothing.
//! Always: a transaction is spoiled by the first command that could not be queued, and then only discarded.

use std::sync::Arc;

use crate::keyspace::watchers::Watcher;
use crate::resp::OwnedArgs;

/// A command that waits for EXEC.
pub struct Queued {
    /// Name and arguments.
    pub args: OwnedArgs,
    /// Index of its row.
    pub entry: usize,
}

/// The commands since MULTI.
#[derive(Default)]
pub struct Transaction {
    /// In order.
    pub commands: Vec<Queued>,
    /// One of them changes the keyspace.
    pub writes: bool,
    /// A command could not be queued: EXEC will refuse.
    pub is_spoiled: bool,
    /// Memory that the commands hold, in bytes.
    pub bytes: usize,
}

impl Transaction {
    /// Adds a command.
    pub fn push(&mut self, command: Queued, writes: bool) {
        self.bytes += command.args.memory_bytes() + size_of::<Queued>();
        self.writes |= writes;
        self.commands.push(command);
    }
}

/// The keys a session watches.
#[derive(Default)]
pub struct Watching {
    /// What those keys' shards know it by.
    pub watcher: Arc<Watcher>,
    /// Database and key, each once.
    pub keys: Vec<(usize, Box<[u8]>)>,
}
