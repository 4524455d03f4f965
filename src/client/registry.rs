//! Who is connected.
//!
//! For: CLIENT LIST and its relatives, and finding a client by id. May touch: nothing else.
//! Always: a client is in the registry from its first command to its close; ids are never used twice; the
//! owning worker alone stores into the counters, so plain relaxed stores suffice.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::blocked::Blocked;
use super::claim::Reason;
use super::tracking::Tracker;
use crate::pubsub::Seat;

/// Texts a client gives about itself.
#[derive(Default, Clone, Debug)]
pub struct Labels {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
    /// The ACL user it authenticated as.
    pub user: Vec<u8>,
}

/// The address of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Path(String),
}

impl Address {
    /// The path of a Unix socket.
    pub fn path(&self) -> &str {
        match self {
            Address::Ip(_) => "",
            Address::Path(path) => path,
        }
    }

    /// The host's address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Ip(addr) => Some(addr.ip()),
            Address::Path(_) => None,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Ip(SocketAddr::V4(a)) => write!(f, "{}:{}", a.ip(), a.port()),
            Address::Ip(SocketAddr::V6(a)) => write!(f, "[{}]:{}", a.ip(), a.port()),
            Address::Path(path) => write!(f, "{path}:0"),
        }
    }
}

/// What a client is to the server, in the words of CLIENT LIST TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Sends commands.
    Normal,
    /// Follows this server's writes.
    Replica,
    /// Is followed by this server.
    Primary,
    /// Listens to channels.
    Pubsub,
}

impl ClientKind {
    /// The kind of that name, whatever its case; old names are understood.
    pub fn named(name: &[u8]) -> Option<ClientKind> {
        const NAMES: [(&str, ClientKind); 6] = [
            ("normal", ClientKind::Normal),
            ("replica", ClientKind::Replica),
            ("slave", ClientKind::Replica),
            ("primary", ClientKind::Primary),
            ("master", ClientKind::Primary),
            ("pubsub", ClientKind::Pubsub),
        ];
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|&(_, kind)| kind)
    }
}

/// In [`Client::capa`]: it follows redirections in standalone mode.
pub const CAPA_REDIRECT: u8 = 1;

/// What others may see of a client.
pub struct Client {
    /// Never used twice.
    pub id: u64,
    /// Index of the worker that owns it.
    pub worker: usize,
    /// Where the worker keeps it, `usize::MAX` before it has a place.
    pub place: AtomicUsize,
    /// Its descriptor, as a number to show.
    pub fd: i32,
    /// The peer.
    pub addr: Address,
    /// Our end.
    pub laddr: Address,
    /// Monotonic nanoseconds (`Ticks`) at which it connected.
    pub since_ns: u64,
    /// Monotonic nanoseconds of its last command.
    pub active_ns: AtomicU64,
    /// Selected database.
    pub db: AtomicUsize,
    /// Protocol version, 2 or 3.
    pub proto: AtomicU8,
    /// Stats index of the last command, `u32::MAX` before the first.
    pub last_command: AtomicU32,
    /// Bytes received.
    pub received: AtomicU64,
    /// Bytes sent.
    pub sent: AtomicU64,
    /// Commands run.
    pub commands: AtomicU64,
    /// Bytes in its own read buffer.
    pub query_bytes: AtomicUsize,
    /// Bytes of that buffer not in use.
    pub query_free: AtomicUsize,
    /// Bytes of replies that wait to be sent.
    pub output_bytes: AtomicUsize,
    /// Of these, bytes of the tail buffer; the rest is in `output_chunks`.
    pub output_tail: AtomicUsize,
    /// Chunks that wait to be sent before the tail.
    pub output_chunks: AtomicUsize,
    /// Bytes allocated for the tail buffer.
    pub output_room: AtomicUsize,
    /// Most bytes the tail buffer has held.
    pub output_peak: AtomicUsize,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// What it waits for, while it is blocked. Changed only by who holds a shard of one of its keys.
    pub parked: Mutex<Option<Arc<Blocked>>>,
    /// Waits in CLIENT PAUSE.
    pub paused: AtomicBool,
    /// Will be closed as soon as its worker looks at it.
    pub killed: AtomicBool,
    /// Capabilities (CLIENT CAPA), [`CAPA_REDIRECT`].
    pub capa: AtomicU8,
    /// CLIENT IMPORT-SOURCE.
    pub import_source: AtomicBool,
    /// Monotonic nanoseconds since when its waiting replies exceed the soft limit, 0 when they do not.
    pub over_soft_ns: AtomicU64,
    /// Between MULTI and the end of its EXEC.
    pub in_multi: AtomicBool,
    /// Commands queued since MULTI, 0 outside of it, -1 before the first MULTI or WATCH.
    pub queued: AtomicI64,
    /// Bytes they hold.
    pub queued_bytes: AtomicUsize,
    /// Keys it watches.
    pub watched: AtomicUsize,
    /// Channels, patterns and shard channels it has subscribed to.
    pub subscribed: [AtomicUsize; 3],
    /// How it tracks keys. Changed only while nobody is in the middle of a command, or when it closes.
    pub tracker: Mutex<Option<Arc<Tracker>>>,
    /// It sees what others run (MONITOR).
    pub monitors: AtomicBool,
    /// It may be told of its own commands' consequences, which come right behind their replies. Once set it
    /// stays.
    pub is_told: AtomicBool,
    /// Texts.
    pub labels: Mutex<Labels>,
}

impl Client {
    /// A client that has just connected at `now_ns`.
    pub fn new(id: u64, worker: usize, fd: i32, addr: Address, laddr: Address, now_ns: u64) -> Client {
        Client {
            id,
            worker,
            place: AtomicUsize::new(usize::MAX),
            fd,
            addr,
            laddr,
            since_ns: now_ns,
            active_ns: AtomicU64::new(now_ns),
            db: AtomicUsize::new(0),
            proto: AtomicU8::new(2),
            last_command: AtomicU32::new(u32::MAX),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            query_bytes: AtomicUsize::new(0),
            query_free: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            output_tail: AtomicUsize::new(0),
            output_chunks: AtomicUsize::new(0),
            output_room: AtomicUsize::new(0),
            output_peak: AtomicUsize::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            parked: Mutex::new(None),
            paused: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            capa: AtomicU8::new(0),
            import_source: AtomicBool::new(false),
            over_soft_ns: AtomicU64::new(0),
            in_multi: AtomicBool::new(false),
            queued: AtomicI64::new(-1),
            queued_bytes: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
            subscribed: Default::default(),
            tracker: Mutex::new(None),
            monitors: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            labels: Mutex::new(Labels { user: b"default".to_vec(), ..Labels::default() }),
        }
    }

    /// Where messages for it go.
    pub fn seat(&self) -> Seat {
        Seat { worker: self.worker, place: self.place.load(Ordering::Relaxed), client: self.id }
    }

    /// Writes to the log that it is closed because its waiting replies are too many.
    pub fn tell_overflow(&self) {
        tracing::warn!(
            "Client id={} addr={} scheduled to be closed ASAP for overcoming of output buffer limits.",
            self.id,
            self.addr
        );
    }

    /// What it is to the server.
    pub fn kind(&self) -> ClientKind {
        let subscribed = self.subscribed.iter().any(|count| count.load(Ordering::Relaxed) > 0);
        if subscribed { ClientKind::Pubsub } else { ClientKind::Normal }
    }

    /// MULTI: commands queued, and the bytes they hold.
    pub fn note_transaction(&self, queued: usize, bytes: usize) {
        self.in_multi.store(true, Ordering::Relaxed);
        self.queued.store(queued as i64, Ordering::Relaxed);
        self.queued_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What MULTI began is over.
    pub fn note_no_transaction(&self) {
        if self.in_multi.swap(false, Ordering::Relaxed) {
            self.queued.store(0, Ordering::Relaxed);
        }
        self.queued_bytes.store(0, Ordering::Relaxed);
    }

    /// WATCH outside of MULTI: from now on nothing is queued, while before there was no queue.
    pub fn note_watch(&self) {
        self.queued.store(0, Ordering::Relaxed);
    }

    /// Whether it tracks keys.
    pub fn tracks(&self) -> bool {
        self.tracker.lock().is_some()
    }

    /// Whether a blocking command of it waits.
    pub fn is_blocked(&self) -> bool {
        self.parked.lock().is_some()
    }

    /// Bytes of replies that wait outside the tail buffer.
    pub fn output_chunk_bytes(&self) -> usize {
        let tail = self.output_tail.load(Ordering::Relaxed);
        self.output_bytes.load(Ordering::Relaxed).saturating_sub(tail)
    }

    /// Bytes of memory it takes: itself, its requests and its replies.
    pub fn memory_bytes(&self) -> usize {
        let parts = [&self.query_bytes, &self.query_free, &self.output_room];
        let held: usize = parts.iter().map(|part| part.load(Ordering::Relaxed)).sum();
        size_of::<Client>() + size_of::<super::Session>() + held + self.output_chunk_bytes()
    }
}

/// Adds to a counter that only the calling thread stores into.
#[inline]
pub fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// Everybody who is connected.
pub struct Clients {
    map: DashMap<u64, Arc<Client>>,
    next_id: AtomicU64,
    count: AtomicI64,
    /// How many of them wait for a key.
    pub blocked: AtomicUsize,
    /// Wakes a worker so that it sees who was killed.
    wake: Box<dyn Fn(usize) + Send + Sync>,
}

impl Clients {
    /// Nobody. `wake` makes the worker of that index look at its clients again.
    pub fn new(wake: Box<dyn Fn(usize) + Send + Sync>) -> Clients {
        Clients {
            map: DashMap::new(),
            next_id: AtomicU64::new(1),
            count: AtomicI64::new(0),
            blocked: AtomicUsize::new(0),
            wake,
        }
    }

    /// An id for a client to be.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a client.
    pub fn add(&self, client: Arc<Client>) {
        self.map.insert(client.id, client);
    }

    /// Removes one that has closed.
    pub fn remove(&self, id: u64) {
        self.map.remove(&id);
    }

    /// Reserves a place below `limit` for a connection; false when there is none.
    pub fn reserve(&self, limit: usize) -> bool {
        if self.count.fetch_add(1, Ordering::AcqRel) >= limit as i64 {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        true
    }

    /// Gives a place back.
    pub fn release(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// Number of connections.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire).max(0) as usize
    }

    /// The client of that id.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.map.get(&id).map(|c| Arc::clone(&c))
    }

    /// Everybody, in order of id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.map.iter().map(|c| Arc::clone(&c)).collect();
        all.sort_unstable_by_key(|c| c.id);
        all
    }

    /// Marks a client for closing; its worker does so before it runs another command of it. False when it was
    /// marked already.
    pub fn kill(&self, client: &Client) -> bool {
        let first = !client.killed.swap(true, Ordering::AcqRel);
        if let Some(blocked) = &*client.parked.lock() {
            // Nobody serves it any more; its worker takes it out of the queues.
            let _ = blocked.claim.try_claim(Reason::Killed);
        }
        (self.wake)(client.worker);
        first
    }
}
