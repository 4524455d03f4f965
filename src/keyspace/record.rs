//! What a command did to the keyspace, gathered while its locks are held.
//!
//! For: the one place where a write (or a read that misses or expires a key) leaves word of it: how much
//! changed, which events it was, and its effects in the form in which they are propagated. May touch: itself,
//! settings.
//! Always: cleared before each command; while nobody listens to events or reads the log, recording costs one
//! branch.

use std::sync::Arc;

use super::entry::Entry;
use super::table::Retired;
use super::trackers::Stale;
use crate::clock::Chance;
use crate::config::{Directive, Settings};
use crate::value::Value;

/// The class of a keyspace event, as the letters of `notify-keyspace-events` name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `g`
    Generic,
    /// `$`
    String,
    /// `x`
    Expired,
    /// `n`
    New,
    /// `m`
    KeyMiss,
    /// `l`
    List,
    /// `s`
    Set,
    /// `h`
    Hash,
    /// `z`
    ZSet,
    /// `t`
    Stream,
    /// No letter: watchers and trackers hear of it, subscribers do not.
    Untold,
}

/// A keyspace event: its class and its wire name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which of the classes it belongs to.
    pub class: Class,
    /// The name subscribers see.
    pub name: &'static str,
}

macro_rules! events {
    ($($name:ident = $class:ident $wire:literal;)*) => {
        impl Event {
            $(
                #[allow(missing_docs)]
                pub const $name: Event = Event { class: Class::$class, name: $wire };
            )*
        }
    };
}

events! {
    DEL = Generic "del";
    EXPIRE = Generic "expire";
    PERSIST = Generic "persist";
    RENAME_FROM = Generic "rename_from";
    RENAME_TO = Generic "rename_to";
    MOVE_FROM = Generic "move_from";
    MOVE_TO = Generic "move_to";
    COPY_TO = Generic "copy_to";
    EXPIRED = Expired "expired";
    NEW = New "new";
    KEY_MISS = KeyMiss "keymiss";
    SET = String "set";
    APPEND = String "append";
    SETRANGE = String "setrange";
    SETBIT = String "setbit";
    INCRBY = String "incrby";
    INCRBYFLOAT = String "incrbyfloat";
    PFADD = String "pfadd";
    LPUSH = List "lpush";
    RPUSH = List "rpush";
    LPOP = List "lpop";
    RPOP = List "rpop";
    LINSERT = List "linsert";
    LSET = List "lset";
    LREM = List "lrem";
    LTRIM = List "ltrim";
    SORTSTORE = List "sortstore";
    SADD = Set "sadd";
    SREM = Set "srem";
    SPOP = Set "spop";
    SINTERSTORE = Set "sinterstore";
    SUNIONSTORE = Set "sunionstore";
    SDIFFSTORE = Set "sdiffstore";
    HSET = Hash "hset";
    HINCRBY = Hash "hincrby";
    HINCRBYFLOAT = Hash "hincrbyfloat";
    HDEL = Hash "hdel";
    HEXPIRE = Hash "hexpire";
    HPERSIST = Hash "hpersist";
    HEXPIRED = Hash "hexpired";
    ZADD = ZSet "zadd";
    ZINCR = ZSet "zincr";
    ZREM = ZSet "zrem";
    ZREMRANGEBYRANK = ZSet "zremrangebyrank";
    ZREMRANGEBYSCORE = ZSet "zremrangebyscore";
    ZREMRANGEBYLEX = ZSet "zremrangebylex";
    ZPOPMIN = ZSet "zpopmin";
    ZPOPMAX = ZSet "zpopmax";
    ZRANGESTORE = ZSet "zrangestore";
    ZUNIONSTORE = ZSet "zunionstore";
    ZINTERSTORE = ZSet "zinterstore";
    ZDIFFSTORE = ZSet "zdiffstore";
    GEOSEARCHSTORE = ZSet "geosearchstore";
    GEORADIUSSTORE = ZSet "georadiusstore";
    XADD = Stream "xadd";
    XDEL = Stream "xdel";
    XTRIM = Stream "xtrim";
    XSETID = Stream "xsetid";
    XGROUP_CREATE = Stream "xgroup-create";
    XGROUP_SETID = Stream "xgroup-setid";
    XGROUP_DESTROY = Stream "xgroup-destroy";
    XGROUP_CREATECONSUMER = Stream "xgroup-createconsumer";
    XGROUP_DELCONSUMER = Stream "xgroup-delconsumer";
    CHANGED = Untold "changed";
}

/// An event at a key, as it is told to watchers, trackers, waiters and subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Database of the key.
    pub db: usize,
    /// What happened.
    pub event: Event,
    /// Where.
    pub key: Box<[u8]>,
}

/// A command in the form in which it is propagated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Database it runs in.
    pub db: usize,
    /// Name and arguments.
    pub argv: Vec<Box<[u8]>>,
}

/// Counters of the keyspace that INFO shows; added to the worker's lane at the end of a turn.
#[derive(Default, Clone, Copy, Debug)]
pub struct Counts {
    /// Lookups that found a key.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Keys that left because of their deadline.
    pub expired: u64,
    /// Fields of hashes that left because of theirs.
    pub expired_fields: u64,
}

/// How a touched entry's access field is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Reads leave it alone (CLIENT NO-TOUCH).
    No,
    /// Least recently used: the field holds seconds, modulo 2^24.
    Lru,
    /// Least frequently used: 16 bits of minutes, 8 bits of a logarithmic counter.
    Lfu {
        /// `lfu-log-factor`
        log_factor: u32,
        /// `lfu-decay-time` in minutes
        decay_minutes: u32,
    },
}

impl Touch {
    /// As `maxmemory-policy` asks.
    pub fn of(settings: &Settings) -> Touch {
        match settings.choice(Directive::MaxMemoryPolicy) {
            "allkeys-lfu" | "volatile-lfu" => Touch::Lfu {
                log_factor: settings.int(Directive::LfuLogFactor) as u32,
                decay_minutes: settings.int(Directive::LfuDecayTime) as u32,
            },
            _ => Touch::Lru,
        }
    }
}

/// The record of the command that is running. One per worker, used again for every command.
pub struct Record {
    /// Changes of the present command, as `rdb_changes_since_last_save` counts them.
    pub dirty: u64,
    /// Whether happenings are wanted.
    pub listens: bool,
    /// Bits of `notify-keyspace-events`.
    pub events: u32,
    /// Whether effects are wanted.
    pub logs: bool,
    /// Whether `effects` replaces the command as it came; otherwise a command that changed something is
    /// propagated verbatim.
    pub rewritten: bool,
    /// In order.
    pub happenings: Vec<Happening>,
    /// Every effect is a step of its own (keys that expire because the clock was moved), not part of one.
    pub are_apart: bool,
    /// In order: what goes before the command (keys that expired) and, when `rewritten`, in its place.
    pub effects: Vec<Effect>,
    /// Since the last flush.
    pub counts: Counts,
    /// The verb by which keys that expired are propagated: as `lazyfree-lazy-expire` says.
    pub expire_verb: &'static [u8],
    /// How reads touch entries.
    pub touch: Touch,
    /// Values whose freeing takes long: dropped after the locks.
    pub garbage: Vec<Garbage>,
    /// Keys that have changed and that somebody waits for, with their databases; in order.
    pub stirred: Vec<(usize, Box<[u8]>)>,
    /// What those who track keys are to be told; empty again when the command is over.
    pub stale: Stale,
    /// Table memory that hints may still be reading.
    pub retired: Vec<Retired>,
    /// Room for compact collections while they are changed; empty in between.
    pub spare: Vec<u8>,
    /// The worker's chance.
    pub chance: Chance,
    /// A change was begun and has not ended: after a panic, the data may be broken.
    pub is_broken: bool,
}

/// A detached value that is freed after the locks are gone.
pub enum Garbage {
    /// An entry with a large value.
    Entry(Entry),
    /// A large string.
    Bytes(Arc<Vec<u8>>),
    /// A collection.
    Value(Box<Value>),
    /// What readers saw of an entry in that database (`kept.rs`).
    Copy(usize, Entry),
}

impl Record {
    /// A record that nobody reads, with the given chance.
    pub fn new(chance: Chance) -> Record {
        Record {
            dirty: 0,
            listens: false,
            events: 0,
            logs: false,
            rewritten: false,
            are_apart: false,
            happenings: Vec::new(),
            effects: Vec::new(),
            counts: Counts::default(),
            expire_verb: b"UNLINK",
            touch: Touch::Lru,
            garbage: Vec::new(),
            stirred: Vec::new(),
            stale: Stale::default(),
            retired: Vec::new(),
            spare: Vec::new(),
            chance,
            is_broken: false,
        }
    }

    /// Forgets the last command.
    #[inline(always)]
    pub fn begin(&mut self) {
        self.dirty = 0;
        self.rewritten = false;
        self.are_apart = false;
        if self.listens {
            self.happenings.clear();
        }
        if self.logs {
            self.effects.clear();
        }
    }

    /// Goes on with a command that follows from the last one.
    #[inline]
    pub fn follow(&mut self) {
        if self.listens {
            self.happenings.clear();
        }
        self.dirty = 0;
        self.rewritten = false;
        self.are_apart = false;
    }

    /// Whether somebody tracks a key, or waits for one, that this has happened to.
    #[inline]
    pub fn leads_on(&self) -> bool {
        !self.stale.is_empty() | !self.stirred.is_empty()
    }

    /// Notes an event.
    #[inline]
    pub fn happened(&mut self, db: usize, event: Event, key: &[u8]) {
        if self.listens {
            self.happenings.push(Happening { db, event, key: key.into() });
        }
    }

    /// Notes that a key has changed, or has gone, for which somebody waits.
    #[cold]
    pub fn stir(&mut self, db: usize, key: &[u8]) {
        if self.stirred.last().is_none_or(|(last_db, last)| (*last_db, &**last) != (db, key)) {
            self.stirred.push((db, key.into()));
        }
    }

    /// Adds an effect without replacing the command (a key that expired on the way).
    pub fn effect(&mut self, db: usize, argv: &[&[u8]]) {
        if self.logs {
            self.effects.push(Effect { db, argv: argv.iter().map(|a| (*a).into()).collect() });
        }
    }

    /// Adds an effect that stands for the command itself.
    pub fn rewrite(&mut self, db: usize, argv: &[&[u8]]) {
        self.rewritten = true;
        self.effect(db, argv);
    }
}
