//! A server in this process that a test may look into.
//!
//! For: tests of what clients cannot see: the commit log, the lengths of inner structures. May touch: the
//! crate's public API.
//! Always: four workers, a free loopback port, nothing on disk.

use super::client::{Client, Reply};
pub use super::spelling::words;
use ochre::command::cx::Host;
use ochre::keyspace::log::Unit;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where a stopped clock stands at first, unix milliseconds.
pub const START_MS: u64 = 1_700_000_000_000;
/// Databases of the server.
pub const DATABASES: usize = 4;

/// The server; it ends with this value.
pub struct Local {
    server: ochre::Server,
}

/// A key by database and name.
pub type Place = (usize, Vec<u8>);

/// What there is to know of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// TYPE
    pub kind: String,
    /// The whole value.
    pub value: Vec<String>,
    /// PEXPIRETIME: unix milliseconds, -1 without deadline.
    pub deadline_ms: i64,
}

/// Every key of every database.
pub type Dataset = BTreeMap<Place, Content>;

impl Local {
    /// Starts one.
    pub fn start() -> Local {
        Local::with(&[])
    }

    /// Starts one with some directives set.
    pub fn with(directives: &[(&str, &str)]) -> Local {
        let builder = ochre::Server::builder()
            .config("port", "0")
            .config("bind", "127.0.0.1")
            .config("io-threads", "4")
            .config("databases", &DATABASES.to_string())
            .config("dev-commands", "yes")
            .config("enable-debug-command", "yes");
        let builder = directives.iter().fold(builder, |builder, (name, value)| builder.config(name, value));
        Local { server: builder.start().expect("a server starts on a free port") }
    }

    /// Starts one whose clock stands at [`START_MS`].
    pub fn frozen(directives: &[(&str, &str)]) -> Local {
        let local = Local::with(directives);
        let mut client = local.client();
        ask(&mut client, "OCHRE.CLOCK FREEZE");
        ask(&mut client, &format!("OCHRE.CLOCK SET {START_MS}"));
        local
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.addr()).expect("the server accepts connections")
    }

    /// What the server's rooms share.
    pub fn host(&self) -> &Arc<Host> {
        self.server.host()
    }

    /// Starts the commit log; commands sent from now on are in it.
    pub fn read_log(&self) {
        self.host().log.set_read(true);
    }

    /// What was logged since the last call.
    pub fn drain(&self) -> Vec<Unit> {
        self.host().log.drain()
    }

    /// Items in all wheels, and entries with a deadline.
    pub fn wheel_items(&self) -> (usize, usize) {
        let shards = &self.host().space.shards;
        let mut part = shards.part(self.host().identity.workers);
        let Ok(mut turn) = part.enter(std::time::Duration::MAX) else { unreachable!("patience without end") };
        turn.go_exclusive();
        let held = turn.all();
        let keys = || (0..shards.count()).flat_map(|at| held.get(at).databases());
        let items = keys().filter_map(|(_, keys)| keys.wheel.as_ref()).map(|wheel| wheel.len()).sum();
        (items, keys().map(|(_, keys)| keys.tally.deadlines as usize).sum())
    }
}

/// Sends a command given as one line and reads its reply, which must not be an error.
pub fn ask(client: &mut Client, line: &str) -> Reply {
    let reply = client.call(&words(line)).expect("the server answers");
    assert!(!reply.is_error(), "{line}: {reply:?}");
    reply
}

/// As [`ask`], for a reply that is an integer.
pub fn ask_int(client: &mut Client, line: &str) -> i64 {
    match ask(client, line) {
        Reply::Integer(n) => n,
        other => panic!("{line}: {other:?}"),
    }
}

/// Sends lines at once and reads their replies.
pub fn ask_all<S: AsRef<str>>(client: &mut Client, lines: &[S]) -> Vec<Reply> {
    lines.iter().for_each(|line| client.send(&words(line.as_ref())).expect("a request is sent"));
    lines.iter().map(|_| client.read().expect("a request is answered")).collect()
}

/// Reads every key of every database, through a client that is then back in database 0.
pub fn dataset(client: &mut Client) -> Dataset {
    let mut all = Dataset::new();
    for db in 0..DATABASES {
        ask(client, &format!("SELECT {db}"));
        let keys = ask(client, "KEYS *");
        let keys: Vec<Vec<u8>> = keys.members().expect("KEYS answers an array").iter().map(bytes).collect();
        for key in keys {
            let mut call = |words: &[&[u8]]| client.call(words).expect("a request is answered");
            let kind = call(&[b"TYPE", &key]).text().expect("TYPE answers a word");
            let Reply::Integer(deadline_ms) = call(&[b"PEXPIRETIME", &key]) else {
                panic!("PEXPIRETIME answers an integer")
            };
            let value = content(&kind, &key, call);
            all.insert((db, key), Content { kind, value, deadline_ms });
        }
    }
    ask(client, "SELECT 0");
    all
}

/// What a key holds, read by the commands of its type; in an order of its own where the type has none.
fn content(kind: &str, key: &[u8], mut call: impl FnMut(&[&[u8]]) -> Reply) -> Vec<String> {
    let mut all = Vec::new();
    // A score of zero has no sign where a sorted set is compact, and may have one where it has been large.
    let show = |part: &Reply| match part {
        Reply::Bulk(score) if kind == "zset" && score == b"-0" => format!("{:?}", Reply::Bulk(b"0".to_vec())),
        _ => format!("{part:?}"),
    };
    let mut read = |words: &[&[u8]], sorts: bool| {
        let reply = call(words);
        assert!(!reply.is_error(), "{kind} {}: {reply:?}", key.escape_ascii());
        let mut parts: Vec<String> = match reply.members() {
            Some(members) => members.iter().map(show).collect(),
            None => vec![format!("{reply:?}")],
        };
        if sorts {
            parts.sort();
        }
        all.append(&mut parts);
    };
    match kind {
        "string" => read(&[b"GET", key], false),
        "list" => read(&[b"LRANGE", key, b"0", b"-1"], false),
        "set" => read(&[b"SMEMBERS", key], true),
        "zset" => read(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"], false),
        "stream" => {
            read(&[b"XRANGE", key, b"-", b"+"], false);
            let full = call(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]);
            all.push(without_times(&full));
        }
        "hash" => {
            let fields = call(&[b"HKEYS", key]);
            let mut lines: Vec<String> = Vec::new();
            for field in fields.members().expect("HKEYS answers an array") {
                let field = bytes(field);
                let value = call(&[b"HGET", key, &field]);
                let until = call(&[b"HPEXPIRETIME", key, b"FIELDS", b"1", &field]);
                lines.push(format!("{}: {value:?} {until:?}", field.escape_ascii()));
            }
            lines.sort();
            return lines;
        }
        other => panic!("this reading does not know the type {other}"),
    }
    all
}

/// What XINFO says of a stream, but for when consumers were last there and what is forgotten by time.
fn without_times(reply: &Reply) -> String {
    let Some(members) = reply.members() else { return format!("{reply:?}") };
    let is_time = |reply: &Reply| match reply {
        Reply::Bulk(name) => matches!(
            &name[..],
            b"seen-time" | b"active-time" | b"pids-tracked" | b"iids-tracked" | b"iids-duplicates"
        ),
        _ => false,
    };
    let mut shown = Vec::new();
    let mut members = members.iter();
    while let Some(member) = members.next() {
        if is_time(member) {
            members.next();
        } else {
            shown.push(without_times(member));
        }
    }
    format!("[{}]", shown.join(" "))
}

/// The bytes of a bulk reply.
pub fn bytes(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(bytes) => bytes.to_vec(),
        other => panic!("{other:?} is no string"),
    }
}
