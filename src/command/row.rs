//! The row: one per command and subcommand, written beside its handler.

use bitflags::bitflags;

use super::{Cx, Host, KeySpec, Outcome};
use crate::fault::Fault;
use crate::resp::Args;

/// What a command does: parses everything, then reads or writes through guards, and writes its reply.
/// On `Err` what it wrote to the reply is cut off and the error takes its place.
pub type Handler = fn(&mut Cx<'_>, Args<'_>) -> Result<Outcome, Fault>;

bitflags! {
    /// Redis's command flags, and a few of our own that clients do not see.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// Changes the keyspace.
        const WRITE = 1 << 0;
        /// Reads the keyspace.
        const READONLY = 1 << 1;
        /// May need memory: refused when the memory limit is reached.
        const DENY_OOM = 1 << 2;
        /// For administrators.
        const ADMIN = 1 << 3;
        /// Belongs to pub/sub.
        const PUBSUB = 1 << 4;
        /// Not from scripts.
        const NO_SCRIPT = 1 << 5;
        /// May park its client.
        const BLOCKING = 1 << 6;
        /// Allowed while loading.
        const LOADING = 1 << 7;
        /// Allowed on a replica that lost its primary.
        const STALE = 1 << 8;
        /// Not shown by MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not in the slow log.
        const SKIP_SLOWLOG = 1 << 10;
        /// Allowed with ASKING in cluster mode without it.
        const ASKING = 1 << 11;
        /// Constant or logarithmic time.
        const FAST = 1 << 12;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 13;
        /// May be replicated although not a write.
        const MAY_REPLICATE = 1 << 14;
        /// Has no key although its specification says so.
        const NO_MANDATORY_KEYS = 1 << 15;
        /// Guarded by `enable-debug-command` or `enable-module-command`.
        const PROTECTED = 1 << 16;
        /// Runs while a script is slow.
        const ALLOW_BUSY = 1 << 17;
        /// Not while loading in the background.
        const NO_ASYNC_LOADING = 1 << 18;
        /// Not inside MULTI.
        const NO_MULTI = 1 << 19;
        /// Keys are not at fixed places.
        const MOVABLE_KEYS = 1 << 20;
        /// May touch keys that it does not name.
        const TOUCHES_ANY_KEY = 1 << 21;
        /// Ours: commands behind it are read only after it has run (it authenticates, closes, pauses or
        /// changes how the connection is read).
        const ENDS_BATCH = 1 << 24;
        /// Ours: runs at once in MULTI, too.
        const UNQUEUED = 1 << 26;
        /// Ours: EXEC.
        const RUNS_QUEUE = 1 << 27;
        /// Ours: a RESP2 session that has subscribed to something may run it.
        const SUBSCRIBER = 1 << 28;
        /// Ours: changes time or chance; guarded by `dev-commands`.
        const DEV = 1 << 25;
    }
}

impl Flags {
    /// The flags clients see, with the names COMMAND INFO gives them, in its order. The real server keeps the
    /// others to itself as well.
    pub const SHOWN: &'static [(Flags, &'static str)] = &[
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENY_OOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NO_SCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_commandlog"),
        (Flags::ASKING, "asking"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];
}

impl Flags {
    /// Commands that settings allow or forbid.
    pub const GUARDED: Flags = Flags::PROTECTED.union(Flags::DEV);
}

bitflags! {
    /// ACL categories.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Acl: u32 {
        /// @keyspace
        const KEYSPACE = 1 << 0;
        /// @read
        const READ = 1 << 1;
        /// @write
        const WRITE = 1 << 2;
        /// @set
        const SET = 1 << 3;
        /// @sortedset
        const SORTEDSET = 1 << 4;
        /// @list
        const LIST = 1 << 5;
        /// @hash
        const HASH = 1 << 6;
        /// @string
        const STRING = 1 << 7;
        /// @bitmap
        const BITMAP = 1 << 8;
        /// @hyperloglog
        const HYPERLOGLOG = 1 << 9;
        /// @geo
        const GEO = 1 << 10;
        /// @stream
        const STREAM = 1 << 11;
        /// @pubsub
        const PUBSUB = 1 << 12;
        /// @admin
        const ADMIN = 1 << 13;
        /// @fast
        const FAST = 1 << 14;
        /// @slow
        const SLOW = 1 << 15;
        /// @blocking
        const BLOCKING = 1 << 16;
        /// @dangerous
        const DANGEROUS = 1 << 17;
        /// @connection
        const CONNECTION = 1 << 18;
        /// @transaction
        const TRANSACTION = 1 << 19;
        /// @scripting
        const SCRIPTING = 1 << 20;
        /// @ochre-dev: changes time or chance, for tests.
        const OCHRE_DEV = 1 << 21;
    }
}

impl Acl {
    /// The names of the categories, in the order in which COMMAND INFO lists them.
    pub const NAMES: &'static [(Acl, &'static str)] = &[
        (Acl::KEYSPACE, "@keyspace"),
        (Acl::READ, "@read"),
        (Acl::WRITE, "@write"),
        (Acl::SET, "@set"),
        (Acl::SORTEDSET, "@sortedset"),
        (Acl::LIST, "@list"),
        (Acl::HASH, "@hash"),
        (Acl::STRING, "@string"),
        (Acl::BITMAP, "@bitmap"),
        (Acl::HYPERLOGLOG, "@hyperloglog"),
        (Acl::GEO, "@geo"),
        (Acl::STREAM, "@stream"),
        (Acl::PUBSUB, "@pubsub"),
        (Acl::ADMIN, "@admin"),
        (Acl::FAST, "@fast"),
        (Acl::SLOW, "@slow"),
        (Acl::BLOCKING, "@blocking"),
        (Acl::DANGEROUS, "@dangerous"),
        (Acl::CONNECTION, "@connection"),
        (Acl::TRANSACTION, "@transaction"),
        (Acl::SCRIPTING, "@scripting"),
        (Acl::OCHRE_DEV, "@ochre-dev"),
    ];
}

/// COMMAND DOCS' group of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Strings.
    String,
    /// Bit operations on strings.
    Bitmap,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Hashes.
    Hash,
    /// Sorted sets.
    SortedSet,
    /// Places on the earth, in sorted sets.
    Geo,
    /// Cardinality estimates, in strings.
    HyperLogLog,
    /// Streams.
    Stream,
    /// Any key.
    Generic,
    /// The connection itself.
    Connection,
    /// Messages.
    PubSub,
    /// Several commands as one.
    Transactions,
    /// Scripts.
    Scripting,
    /// The server.
    Server,
}

impl Group {
    /// The wire word.
    pub fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::List => "list",
            Group::Set => "set",
            Group::Hash => "hash",
            Group::SortedSet => "sorted-set",
            Group::Geo => "geo",
            Group::HyperLogLog => "hyperloglog",
            Group::Stream => "stream",
            Group::Generic => "generic",
            Group::Connection => "connection",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
            Group::Server => "server",
        }
    }
}

/// What the executor locks before the handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locks {
    /// Nothing: the command touches no key.
    None,
    /// The shards of the keys that the key specifications find.
    Keys,
    /// Each shard on its own, one after another, through `Cx::each_shard`.
    OneShardAtATime,
    /// Everything: nobody is in the middle of a command anywhere.
    All,
}

/// One command or subcommand. Built by [`cmd`] and the methods below, all `const`.
pub struct Command {
    /// Upper case, as documented.
    pub name: &'static str,
    /// What runs it. A container's own handler is called without a subcommand, where its arity allows that.
    pub handler: Handler,
    /// Number of arguments with the name; negative: at least that many.
    pub arity: i16,
    /// See [`Flags`].
    pub flags: Flags,
    /// Whether a request may write, where that depends on its arguments and not only on `flags`.
    pub writes_if: Option<fn(&Host, &Args<'_>) -> bool>,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// What is locked; `Keys` when there are keys and nothing else was said.
    pub locks: Locks,
    /// Explicit categories; those that flags imply are added by [`Command::categories`].
    pub acl: Acl,
    /// COMMAND DOCS' group.
    pub group: Group,
    /// First version of Redis (or Valkey) that had it.
    pub since: &'static str,
    /// `(version, what it has done differently since then)`, in COMMAND DOCS' order.
    pub history: &'static [(&'static str, &'static str)],
    /// `(version, names)` of arguments that came after the command: COMMAND DOCS' names, separated by spaces.
    pub args_since: &'static [(&'static str, &'static str)],
    /// Complexity in words.
    pub cost: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Argument syntax in the notation of the documentation; `docs.rs` parses it into the argument tree.
    pub syntax: &'static str,
    /// COMMAND INFO's tips.
    pub tips: &'static [&'static str],
    /// `(since, replacement)` of a deprecated command.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Servers and their tests send it, not applications.
    pub is_internal: bool,
    /// A container's subcommands.
    pub subs: &'static [Command],
}

/// Starts a row: `cmd("LPUSH", lpush).arity(-3)...`.
pub const fn cmd(name: &'static str, handler: Handler) -> Command {
    Command {
        name,
        handler,
        arity: -1,
        flags: Flags::empty(),
        writes_if: None,
        keys: &[],
        locks: Locks::None,
        acl: Acl::empty(),
        group: Group::Generic,
        since: "1.0.0",
        history: &[],
        args_since: &[],
        cost: "O(1)",
        summary: "",
        syntax: "",
        tips: &[],
        deprecated: None,
        is_internal: false,
        subs: &[],
    }
}

/// Starts the row of a container: a command that exists only through its subcommands.
pub const fn container(name: &'static str, subs: &'static [Command]) -> Command {
    let mut row = cmd(name, unreachable_container);
    row.arity = -2;
    row.subs = subs;
    row.cost = "Depends on subcommand.";
    row
}

fn unreachable_container(_: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    Err(Fault::SYNTAX)
}

impl Command {
    /// Number of arguments with the name; negative: at least that many.
    pub const fn arity(mut self, arity: i16) -> Self {
        self.arity = arity;
        self
    }

    /// Sets the flags.
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets what tells of a request whether it may write.
    pub const fn writes_if(mut self, may_write: fn(&Host, &Args<'_>) -> bool) -> Self {
        self.writes_if = Some(may_write);
        self
    }

    /// Sets the key specifications, and `Locks::Keys`.
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self.locks = Locks::Keys;
        self
    }

    /// Sets what is locked, where that is not the keys.
    pub const fn locks(mut self, locks: Locks) -> Self {
        self.locks = locks;
        self
    }

    /// Adds explicit ACL categories.
    pub const fn acl(mut self, acl: Acl) -> Self {
        self.acl = self.acl.union(acl);
        self
    }

    /// Sets the group.
    pub const fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// First version that had it.
    pub const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }

    /// What it has done differently since later versions.
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.history = history;
        self
    }

    /// Arguments that came after the command, and when.
    pub const fn args_since(mut self, args: &'static [(&'static str, &'static str)]) -> Self {
        self.args_since = args;
        self
    }

    /// Complexity in words.
    pub const fn cost(mut self, cost: &'static str) -> Self {
        self.cost = cost;
        self
    }

    /// One sentence about it, and its argument syntax.
    pub const fn doc(mut self, summary: &'static str, syntax: &'static str) -> Self {
        self.summary = summary;
        self.syntax = syntax;
        self
    }

    /// Marks it as a command of servers and their tests.
    pub const fn internal(mut self) -> Self {
        self.is_internal = true;
        self
    }

    /// Hints for proxies and cluster clients.
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// Marks it as deprecated since a version, in favour of something else.
    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.deprecated = Some((since, instead));
        self
    }

    /// Whether `args` arguments (name included) are allowed.
    pub fn takes(&self, args: usize) -> bool {
        let arity = self.arity as isize;
        if arity >= 0 { args as isize == arity } else { args as isize >= -arity }
    }

    /// Explicit and implied ACL categories.
    pub fn categories(&self) -> Acl {
        let mut acl = self.acl;
        let implied = [
            (Flags::WRITE, Acl::WRITE),
            (Flags::ADMIN, Acl::ADMIN.union(Acl::DANGEROUS)),
            (Flags::PUBSUB, Acl::PUBSUB),
            (Flags::BLOCKING, Acl::BLOCKING),
            (Flags::DEV, Acl::OCHRE_DEV.union(Acl::DANGEROUS)),
        ];
        for (flag, category) in implied {
            if self.flags.contains(flag) {
                acl |= category;
            }
        }
        if self.flags.contains(Flags::READONLY) && !acl.contains(Acl::SCRIPTING) {
            acl |= Acl::READ;
        }
        acl | if self.flags.contains(Flags::FAST) { Acl::FAST } else { Acl::SLOW }
    }
}
