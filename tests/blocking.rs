//! What clients that wait for a key are promised: nobody is forgotten, nobody is served twice, who came first
//! is served first, and nobody takes from under them what they wait for.
//!
//! For: src/exec/block.rs and what it rests on. May touch: servers inside this process, sockets.
//! Always: four workers, so that who waits and who pushes are mostly different ones; nothing is asserted
//! about how long something takes.

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ochre::Server;
use ochre::clock::Chance;
use support::patience::until;
use support::{Client, Reply};

/// Times that all clients are sent on at most, until everything is answered.
const SENDINGS: usize = 5_000;
/// Lockings between two rests of a restless server.
const RESTLESS: u32 = 5;

struct Trial {
    server: Server,
    /// Pushes and looks.
    control: Client,
}

impl Trial {
    fn new() -> Trial {
        let builder = Server::builder().config("port", "0").config("bind", "127.0.0.1");
        let server = builder
            .config("io-threads", "4")
            .config("dev-commands", "yes")
            .config("enable-debug-command", "yes")
            .start()
            .expect("it starts");
        let control = Client::connect(server.addr()).expect("the server accepts");
        Trial { server, control }
    }

    /// A server whose workers meet between two locks more often than they would.
    fn restless() -> Trial {
        let trial = Trial::new();
        trial.server.host().space.shards.rest(RESTLESS);
        trial
    }

    fn client(&self) -> Client {
        Client::connect(self.server.addr()).expect("the server accepts")
    }

    /// A further client that has sent this and waits, as one of `count` in all.
    fn waiting(&mut self, line: &str, count: usize) -> Client {
        let mut client = self.client();
        send(&mut client, line);
        self.until_blocked(count);
        client
    }

    fn until_blocked(&mut self, count: usize) {
        until(&format!("{count} clients wait"), || self.info("blocked_clients") == count);
    }

    /// Only the control is left of `ever` connections that were made. Before a server has met a client,
    /// nobody waits either: who wants to know that one is gone has to know that it was there.
    fn until_alone(&mut self, ever: usize) {
        until(&format!("{ever} clients came"), || self.info("total_connections_received") == ever);
        until("the control is alone", || self.info("connected_clients") == 1);
    }

    fn info(&mut self, field: &str) -> usize {
        let text = call(&mut self.control, "INFO clients stats").text().expect("a text");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse().ok()).expect("INFO has the field")
    }

    fn call(&mut self, line: &str) -> Reply {
        call(&mut self.control, line)
    }

    /// Effects since the last time, each unit as one text.
    fn effects(&self) -> Vec<String> {
        let show = |argv: &[Box<[u8]>]| String::from_utf8_lossy(&argv.join(&b' ')).into_owned();
        let units = self.server.host().log.drain().into_iter();
        units
            .map(|unit| unit.effects.iter().map(|it| show(&it.argv)).collect::<Vec<_>>().join("; "))
            .collect()
    }

    /// Nobody waits any more, and nothing is left of those who did.
    fn ends_clean(mut self) {
        self.until_blocked(0);
        for field in ["clients_in_timeout_table", "total_blocking_keys", "total_blocking_keys_on_nokey"] {
            assert_eq!(self.info(field), 0, "{field}");
        }
    }
}

fn send(client: &mut Client, line: &str) {
    client.send(&line.split(' ').collect::<Vec<_>>()).expect("it is sent");
}

fn call(client: &mut Client, line: &str) -> Reply {
    client.call(&line.split(' ').collect::<Vec<_>>()).expect("it is answered")
}

fn read(client: &mut Client) -> Reply {
    client.read().expect("it is answered")
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn pair(key: &str, element: &str) -> Reply {
    Reply::Array(vec![bulk(key), bulk(element)])
}

fn error(text: &str) -> Reply {
    Reply::Error(text.as_bytes().to_vec())
}

fn id(client: &mut Client) -> i64 {
    let Reply::Integer(id) = call(client, "CLIENT ID") else { panic!("an id is a number") };
    id
}

#[test]
fn who_came_first_is_served_first() {
    let mut trial = Trial::new();
    // Some wait for a second key, too, in another order.
    let lines = ["BLPOP k 0", "BLPOP other k 0", "BLPOP k other 0", "BLPOP k k 0"];
    let mut clients: Vec<Client> = (0..20).map(|at| trial.waiting(lines[at % 4], at + 1)).collect();
    assert_eq!(trial.call("RPUSH k 0 1 2 3 4 5 6 7 8 9"), Reply::Integer(10));
    assert_eq!(trial.call("RPUSH k 10 11 12"), Reply::Integer(3));
    assert_eq!(trial.call("RPUSH other 13"), Reply::Integer(1));
    for (at, client) in clients.iter_mut().enumerate().take(13) {
        assert_eq!(read(client), pair("k", &at.to_string()));
    }
    assert_eq!(read(&mut clients[13]), pair("other", "13"));
    trial.until_blocked(6);
    assert_eq!(trial.call("RPUSH k 14 15 16 17 18 19 20"), Reply::Integer(7));
    for (at, client) in clients.iter_mut().enumerate().skip(14) {
        assert_eq!(read(client), pair("k", &at.to_string()));
    }
    assert_eq!(trial.call("LLEN k"), Reply::Integer(1));
    trial.ends_clean();
}

#[test]
fn moves_that_wait_for_each_other_follow_in_a_chain() {
    const LINKS: usize = 12;
    let mut trial = Trial::new();
    trial.server.host().log.set_read(true);
    for round in 0..5 {
        // Parked from the end, from the beginning, and mixed.
        let order = |link: usize| match round {
            0 => link,
            1 => LINKS - 1 - link,
            _ => (link * 5 + round) % LINKS,
        };
        let mut movers: BTreeMap<usize, Client> = BTreeMap::new();
        for link in 0..LINKS {
            let at = order(link);
            let line = format!("BLMOVE link{at} link{} LEFT RIGHT 0", at + 1);
            movers.insert(at, trial.waiting(&line, link + 1));
        }
        let mut last = trial.waiting(&format!("BRPOP link{LINKS} 0"), LINKS + 1);
        assert_eq!(trial.call("RPUSH link0 a b"), Reply::Integer(2));
        for mover in movers.values_mut() {
            assert_eq!(read(mover), bulk("a"));
        }
        assert_eq!(read(&mut last), pair(&format!("link{LINKS}"), "a"));
        let mut expected = vec!["RPUSH link0 a b".to_owned()];
        expected.extend((0..LINKS).map(|at| format!("LMOVE link{at} link{} LEFT RIGHT", at + 1)));
        expected.push(format!("RPOP link{LINKS}"));
        assert_eq!(trial.effects(), expected);
        assert_eq!(trial.call("LPOP link0"), bulk("b"));
        trial.effects();
    }
    // A ring, where every served client makes the next one's key ready.
    let mut ring = Vec::new();
    for at in 0..4 {
        ring.push(trial.waiting(&format!("BLMOVE ring{at} ring{} LEFT RIGHT 0", (at + 1) % 4), at + 1));
    }
    assert_eq!(trial.call("RPUSH ring2 x"), Reply::Integer(1));
    ring.iter_mut().for_each(|client| assert_eq!(read(client), bulk("x")));
    assert_eq!(trial.call("LLEN ring2"), Reply::Integer(1));
    trial.ends_clean();
}

/// Says, when it goes, that it is over.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nobody_takes_what_a_waiting_client_was_pushed() {
    const ROUNDS: usize = 60;
    let mut trial = Trial::restless();
    let is_over = AtomicBool::new(false);
    let addr = trial.server.addr();
    thread::scope(|scope| {
        // Ends the thieves however this ends.
        let end = Ending(&is_over);
        let thieves: Vec<_> = (0..3)
            .map(|at| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut client = Client::connect(addr).expect("the server accepts");
                    while !is_over.load(Ordering::Relaxed) {
                        let source = format!("LPOP source{}", at % 2);
                        assert!(call(&mut client, &source).is_null(), "stolen");
                        assert!(call(&mut client, "LPOP middle").is_null(), "stolen");
                    }
                })
            })
            .collect();
        for round in 0..ROUNDS {
            let source = format!("source{}", round % 2);
            let mut mover = trial.waiting(&format!("BLMOVE {source} middle LEFT RIGHT 0"), 1);
            let mut second = trial.waiting("BLMOVE middle end LEFT RIGHT 0", 2);
            trial.call(&format!("RPUSH {source} {round}"));
            assert_eq!(read(&mut mover), bulk(&round.to_string()));
            assert_eq!(read(&mut second), bulk(&round.to_string()));
        }
        drop(end);
        thieves.into_iter().for_each(|thief| thief.join().expect("nothing was stolen"));
    });
    assert_eq!(trial.call("LLEN end"), Reply::Integer(ROUNDS as i64));
    trial.ends_clean();
}

/// Elements in the replies of clients that sent so many blocking commands each.
fn delivered(clients: &mut [Client], commands: usize) -> Vec<String> {
    let mut elements = Vec::new();
    for client in clients {
        for _ in 0..commands {
            match read(client) {
                Reply::Array(members) => elements.extend(members[1].text()),
                Reply::NullArray => {}
                other => panic!("{other:?}"),
            }
        }
    }
    elements
}

const CLIENTS: usize = 1_000;
const COMMANDS: usize = 2;
const MOVES: usize = 20;
const KEYS: u64 = 100;
const PUSHERS: usize = 6;
const PUSHES: usize = 250;

fn any_key(chance: &mut Chance) -> String {
    format!("key{}", chance.below(KEYS))
}

/// Clients that each wait several times, for some keys, and others that carry elements from one key to
/// another all the time.
fn crowd(trial: &mut Trial, chance: &mut Chance) -> (Vec<Client>, Vec<Client>) {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| trial.client()).collect();
    for client in &mut clients {
        let mut pipeline = Vec::new();
        for _ in 0..COMMANDS {
            let verb = ["BLPOP", "BRPOP"][chance.below(2) as usize];
            let keys: Vec<String> = (0..=chance.below(3)).map(|_| any_key(chance)).collect();
            pipeline.extend_from_slice(format!("{verb} {} 0\r\n", keys.join(" ")).as_bytes());
        }
        client.send_raw(&pipeline).expect("it is sent");
    }
    let mut movers: Vec<Client> = (0..20).map(|_| trial.client()).collect();
    for mover in &mut movers {
        let line = format!("BLMOVE {} {} LEFT RIGHT 0\r\n", any_key(chance), any_key(chance));
        mover.send_raw(line.repeat(MOVES).as_bytes()).expect("it is sent");
    }
    trial.until_blocked(CLIENTS + movers.len());
    (clients, movers)
}

/// Pushes elements of its own to any keys, and takes some from any keys, which it answers.
fn push(addr: SocketAddr, pusher: usize, mut chance: Chance) -> Vec<String> {
    let mut client = Client::connect(addr).expect("the server accepts");
    let mut taken = Vec::new();
    for push in 0..PUSHES {
        let verb = ["RPUSH", "LPUSH"][chance.below(2) as usize];
        let element = format!("{pusher}.{push}");
        call(&mut client, &format!("{verb} {} {element} {element}b", any_key(&mut chance)));
        if chance.below(4) == 0 {
            taken.extend(call(&mut client, &format!("LPOP {}", any_key(&mut chance))).text());
        }
    }
    taken
}

/// Ends the waits of all clients up to `last`, again and again.
fn send_on(addr: SocketAddr, last: i64, is_over: &AtomicBool) {
    let mut client = Client::connect(addr).expect("the server accepts");
    for _ in (0..SENDINGS).take_while(|_| !is_over.load(Ordering::Relaxed)) {
        let all: String = (1..last).map(|id| format!("CLIENT UNBLOCK {id}\r\n")).collect();
        client.send_raw(all.as_bytes()).expect("it is sent");
        (1..last).for_each(|_| drop(read(&mut client)));
    }
}

#[test]
fn every_element_is_delivered_exactly_once() {
    let mut trial = Trial::restless();
    let mut chance = Chance::new(11);
    let (mut clients, mut movers) = crowd(&mut trial, &mut chance);
    let addr = trial.server.addr();
    let mut taken: Vec<String> = thread::scope(|scope| {
        let forks = (0..PUSHERS).map(|pusher| (pusher, chance.fork(pusher as u64 + 1)));
        let pushers: Vec<_> = forks.map(|(at, chance)| scope.spawn(move || push(addr, at, chance))).collect();
        pushers.into_iter().flat_map(|pusher| pusher.join().expect("it pushes")).collect()
    });
    // Nobody pushes any more: whoever still waits, or comes to wait, is sent on until all is answered.
    let last = id(&mut trial.client());
    let is_answered = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| send_on(addr, last, &is_answered));
        taken.extend(delivered(&mut clients, COMMANDS));
        for mover in &mut movers {
            (0..MOVES).for_each(|_| assert!(!read(mover).is_error()));
        }
        is_answered.store(true, Ordering::Relaxed);
    });
    for at in 0..KEYS {
        let left = trial.call(&format!("LRANGE key{at} 0 -1"));
        taken.extend(left.members().expect("a list").iter().filter_map(Reply::text));
    }
    taken.sort();
    let pushed = (0..PUSHERS).flat_map(|pusher| (0..PUSHES).map(move |push| format!("{pusher}.{push}")));
    let mut pushed: Vec<String> = pushed.flat_map(|element| [format!("{element}b"), element]).collect();
    pushed.sort();
    assert_eq!(taken, pushed);
    trial.ends_clean();
}

#[test]
fn a_moved_clock_ends_waits_and_keys_in_the_order_of_their_times() {
    let mut trial = Trial::new();
    trial.call("OCHRE.CLOCK FREEZE");
    let mut one = trial.waiting("BLPOP a 1", 1);
    let mut two = trial.waiting("BLPOP b a 2.5", 2);
    let mut ever = trial.waiting("BLPOP c 0", 3);
    assert_eq!(trial.info("clients_in_timeout_table"), 2);
    trial.call("OCHRE.CLOCK ADVANCE 999");
    trial.until_blocked(3);
    trial.call("OCHRE.CLOCK ADVANCE 1");
    assert_eq!(read(&mut one), Reply::NullArray);
    trial.until_blocked(2);
    trial.call("OCHRE.CLOCK ADVANCE 86400000");
    assert_eq!(read(&mut two), Reply::NullArray);
    trial.until_blocked(1);
    trial.call("RPUSH c x");
    assert_eq!(read(&mut ever), pair("c", "x"));
    trial.ends_clean();
}

#[test]
fn a_key_that_goes_before_the_time_is_up_ends_the_wait_of_who_needs_it() {
    let mut trial = Trial::new();
    if trial.call("XGROUP CREATE s g $ MKSTREAM").is_error() {
        return;
    }
    trial.call("OCHRE.CLOCK FREEZE");
    trial.call("XGROUP CREATE t g $ MKSTREAM");
    trial.call("PEXPIRE s 1500");
    trial.call("PEXPIRE t 1500");
    let mut early = trial.waiting("XREADGROUP GROUP g c BLOCK 1000 STREAMS s >", 1);
    let mut late = trial.waiting("XREADGROUP GROUP g c BLOCK 2000 STREAMS t >", 2);
    assert_eq!(trial.info("total_blocking_keys_on_nokey"), 2);
    trial.call("OCHRE.CLOCK ADVANCE 5000");
    assert_eq!(read(&mut early), Reply::NullArray);
    assert!(read(&mut late).is_error(), "the key went first");
    trial.ends_clean();
}

#[test]
fn whatever_happens_to_its_key_wakes_who_needs_it() {
    let mut trial = Trial::new();
    for change in
        ["DEL s", "SET s x", "RENAME s z", "MOVE s 3", "SWAPDB 0 9", "FLUSHALL", "FLUSHDB", "EXPIRE s -1"]
    {
        if trial.call("XGROUP CREATE s g $ MKSTREAM").is_error() {
            return;
        }
        let mut client = trial.waiting("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", 1);
        trial.call(change);
        let reply = client.read();
        assert!(reply.as_ref().is_ok_and(Reply::is_error), "{change}: {reply:?}");
        trial.call("FLUSHALL");
    }
    // Keys that expire by themselves, and when somebody looks; of several keys, which live apart.
    for (active, look) in [("1", "PING"), ("0", "EXISTS k1 k2 k3 k4"), ("0", "SCAN 0 COUNT 100")] {
        trial.call(&format!("DEBUG SET-ACTIVE-EXPIRE {active}"));
        for key in ["k1", "k2", "k3", "k4"] {
            trial.call(&format!("XGROUP CREATE {key} g $ MKSTREAM"));
        }
        let line = "XREADGROUP GROUP g c BLOCK 0 STREAMS k1 k2 k3 k4 > > > >";
        let mut client = trial.waiting(line, 1);
        trial.call("PEXPIRE k3 5");
        until("it waits no more", || {
            trial.call(look);
            trial.info("blocked_clients") == 0
        });
        assert!(read(&mut client).is_error(), "{look}");
        trial.call("FLUSHALL");
    }
    for active in ["1", "0"] {
        trial.call(&format!("DEBUG SET-ACTIVE-EXPIRE {active}"));
        trial.call("XGROUP CREATE s g $ MKSTREAM");
        let mut client = trial.waiting("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", 1);
        trial.call("PEXPIRE s 5");
        until("the key is gone", || trial.call("EXISTS s") == Reply::Integer(0));
        assert!(read(&mut client).is_error());
    }
    trial.ends_clean();
}

#[test]
fn who_was_woken_in_vain_keeps_its_place_and_its_time() {
    let mut trial = Trial::new();
    if trial.call("XGROUP CREATE s g 0 MKSTREAM").is_error() {
        return;
    }
    trial.call("XGROUP CREATE s h 0");
    trial.call("XGROUP CREATE t h 0 MKSTREAM");
    trial.call("OCHRE.CLOCK FREEZE");
    let mut first = trial.waiting("XREADGROUP GROUP h a BLOCK 1000 COUNT 1 STREAMS t s > >", 1);
    let mut second = trial.waiting("XREADGROUP GROUP h b BLOCK 0 COUNT 1 STREAMS s >", 2);
    let mut third = trial.waiting("XREADGROUP GROUP h c BLOCK 1500 COUNT 1 STREAMS t s > >", 3);
    // A change that gives nobody anything.
    trial.call("XADD t 1-1 a b");
    let Reply::Array(streams) = read(&mut first) else { panic!("a stream") };
    assert_eq!(streams[0].members().expect("a pair")[0], bulk("t"));
    trial.until_blocked(2);
    trial.call("XADD s 1-1 a b");
    assert!(!read(&mut second).is_error());
    trial.call("XTRIM s MAXLEN 0");
    trial.call("XGROUP CREATECONSUMER t h d");
    trial.call("OCHRE.CLOCK ADVANCE 1499");
    trial.until_blocked(1);
    trial.call("OCHRE.CLOCK ADVANCE 1");
    assert_eq!(read(&mut third), Reply::NullArray);
    trial.ends_clean();
}

#[test]
fn a_key_that_comes_from_elsewhere_is_ready() {
    let mut trial = Trial::new();
    trial.server.host().log.set_read(true);
    let serve = |trial: &mut Trial, setup: &[&str], change: &str| {
        let mut client = trial.waiting("BLPOP nothing k 0", 1);
        setup.iter().for_each(|line| drop(trial.call(line)));
        trial.effects();
        assert!(!trial.call(change).is_error(), "{change}");
        assert_eq!(read(&mut client), pair("k", "x"), "{change}");
        assert_eq!(trial.effects(), [change, "LPOP k"]);
        trial.call("FLUSHALL");
        trial.call("SELECT 0");
    };
    serve(&mut trial, &["RPUSH away x"], "RENAME away k");
    serve(&mut trial, &["RPUSH away x"], "RENAMENX away k");
    serve(&mut trial, &["RPUSH away x"], "COPY away k");
    serve(&mut trial, &["SELECT 2", "RPUSH away x"], "COPY away k DB 0");
    serve(&mut trial, &["SELECT 2", "RPUSH k x"], "MOVE k 0");
    serve(&mut trial, &["SELECT 2", "RPUSH k x"], "SWAPDB 0 2");
    serve(&mut trial, &["RPUSH away x"], "LMOVE away k LEFT RIGHT");
    trial.ends_clean();
}

#[test]
fn a_served_command_does_what_it_would_do_now() {
    const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
    let mut trial = Trial::new();
    // A string is nothing to wait for, but it is in the way when the command runs.
    let mut client = trial.waiting("BLPOP a b 0", 1);
    trial.call("SET a string");
    trial.until_blocked(1);
    trial.call("RPUSH b x");
    assert_eq!(read(&mut client), error(WRONG_TYPE));
    assert_eq!(trial.call("LLEN b"), Reply::Integer(1));
    trial.call("FLUSHALL");
    let mut client = trial.waiting("BLMOVE a b LEFT LEFT 0", 1);
    let mut behind = trial.waiting("BLPOP a 0", 2);
    trial.call("SET b string");
    trial.call("RPUSH a x");
    assert_eq!(read(&mut client), error(WRONG_TYPE));
    assert_eq!(read(&mut behind), pair("a", "x"));
    // Two keys are ready at the same moment: the left one counts.
    let mut client = trial.waiting("BLPOP left right 0", 1);
    for line in ["SELECT 1", "RPUSH right r", "RPUSH left l", "SWAPDB 0 1", "SELECT 0"] {
        trial.call(line);
    }
    assert_eq!(read(&mut client), pair("left", "l"));
    trial.ends_clean();
}

#[test]
fn a_wait_ends_by_its_timeout_by_unblock_or_by_kill() {
    let mut trial = Trial::new();
    let mut client = trial.client();
    for (hello, null) in [("HELLO 2", Reply::NullArray), ("HELLO 3", Reply::Null)] {
        call(&mut client, hello);
        assert_eq!(call(&mut client, "BLPOP a b 0.02"), null);
        assert_eq!(call(&mut client, "BLMOVE a b LEFT LEFT 0.02"), null);
        let id = id(&mut client);
        for (line, expected) in [
            (format!("CLIENT UNBLOCK {id}"), null.clone()),
            (format!("CLIENT UNBLOCK {id} TIMEOUT"), null.clone()),
            (format!("CLIENT UNBLOCK {id} ERROR"), error("UNBLOCKED client unblocked via CLIENT UNBLOCK")),
        ] {
            assert_eq!(trial.call(&line), Reply::Integer(0));
            send(&mut client, "BLPOP a b 0");
            trial.until_blocked(1);
            let shown = trial.call(&format!("CLIENT LIST ID {id}")).text().expect("a line");
            assert!(shown.contains(" flags=b ") && shown.contains(" cmd=blpop "), "{shown}");
            assert_eq!(trial.call(&line), Reply::Integer(1));
            assert_eq!(read(&mut client), expected);
            assert_eq!(trial.call(&line), Reply::Integer(0));
        }
    }
    let id = id(&mut client);
    send(&mut client, "BLPOP a b 0");
    trial.until_blocked(1);
    assert_eq!(trial.call(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    assert_eq!(trial.call("RPUSH a x"), Reply::Integer(1));
    assert_eq!(trial.call("LLEN a"), Reply::Integer(1));
    assert!(client.read().is_err());
    trial.ends_clean();
}

#[test]
fn a_blocked_command_is_notable_once_when_it_is_over() {
    let mut trial = Trial::new();
    trial.call("CONFIG SET slowlog-log-slower-than 0");
    let mut client = trial.client();
    let id = id(&mut client);
    let unblock = format!("CLIENT UNBLOCK {id} ERROR");
    for (wait, end) in [("BLPOP a b 0", "RPUSH b x"), ("BLPOP a b 0", &unblock), ("BLPOP a b 0.02", "PING")] {
        trial.call("SLOWLOG RESET");
        send(&mut client, wait);
        if wait.ends_with(" 0") {
            trial.until_blocked(1);
            let noted = trial.call("SLOWLOG GET");
            assert!(!format!("{noted:?}").contains("BLPOP"), "{noted:?}");
        }
        trial.call(end);
        read(&mut client);
        let noted = trial.call("SLOWLOG GET");
        let args = |entry: &Reply| entry.members().expect("an entry")[3].clone();
        let all = noted.members().expect("entries").iter().map(args);
        let expected = Reply::Array(wait.split(' ').map(bulk).collect());
        assert_eq!(all.filter(|args| *args == expected).count(), 1, "{wait}, {end}: {noted:?}");
    }
    trial.ends_clean();
}

#[test]
fn who_is_gone_is_served_nothing() {
    let mut trial = Trial::new();
    for shutdown in [Shutdown::Both, Shutdown::Write] {
        let mut stream = TcpStream::connect(trial.server.addr()).expect("the server accepts");
        stream.write_all(b"PING\r\nBLPOP b a 0\r\nSET told 1\r\n").expect("it is sent");
        trial.until_blocked(1);
        stream.shutdown(shutdown).expect("it can be shut");
        trial.until_blocked(0);
        assert_eq!(trial.call("RPUSH a x"), Reply::Integer(1));
        assert_eq!(trial.call("DEL a told"), Reply::Integer(1));
        if shutdown == Shutdown::Write {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("the server closes");
            assert_eq!(answer, b"+PONG\r\n");
        }
    }
    // One that closes in the same moment as it asks.
    let mut stream = TcpStream::connect(trial.server.addr()).expect("the server accepts");
    stream.write_all(b"BLPOP c 0\r\nSET told 1\r\n").expect("it is sent");
    drop(stream);
    trial.until_alone(4);
    trial.ends_clean();
}

#[test]
fn what_is_sent_behind_a_blocked_command_runs_after_it() {
    let mut trial = Trial::new();
    let mut client = trial.client();
    let pipeline =
        "BLPOP a 0\r\nSET x 1\r\nBLPOP a 0\r\nAPPEND x 2\r\nCLIENT REPLY SKIP\r\nBLPOP a 0\r\nGET x\r\n";
    client.send_raw(pipeline.as_bytes()).expect("it is sent");
    trial.until_blocked(1);
    client.send_raw(b"ECHO more\r\n").expect("it is sent");
    assert_eq!(trial.call("EXISTS x"), Reply::Integer(0));
    trial.call("RPUSH a one");
    assert_eq!(read(&mut client), pair("a", "one"));
    assert_eq!(read(&mut client), Reply::Simple(b"OK".to_vec()));
    trial.until_blocked(1);
    assert_eq!(trial.call("GET x"), bulk("1"));
    trial.call("RPUSH a two");
    assert_eq!(read(&mut client), pair("a", "two"));
    assert_eq!(read(&mut client), Reply::Integer(2));
    trial.until_blocked(1);
    trial.call("RPUSH a three");
    assert_eq!(read(&mut client), bulk("12"));
    assert_eq!(read(&mut client), bulk("more"));
    // More than a turn takes of one connection.
    let mut pipeline = b"BLPOP a 0\r\n".to_vec();
    pipeline.extend(b"INCR n\r\n".repeat(5_000));
    client.send_raw(&pipeline).expect("it is sent");
    trial.until_blocked(1);
    trial.call("RPUSH a four");
    assert_eq!(read(&mut client), pair("a", "four"));
    (1..=5_000).for_each(|n| assert_eq!(read(&mut client), Reply::Integer(n)));
    trial.ends_clean();
}

/// Identifier, idle time and deliveries of each entry in an answer of XREADGROUP with CLAIM about one stream;
/// for a new entry they are zero.
fn claimed(reply: &Reply) -> Vec<(String, i64, i64)> {
    let streams = reply.members().unwrap_or_else(|| panic!("no streams: {reply:?}"));
    let entries = streams[0].members().and_then(|pair| pair[1].members()).expect("a stream has entries");
    let number = |reply: Option<&Reply>| match reply {
        Some(Reply::Integer(number)) => *number,
        _ => 0,
    };
    let entry =
        |parts: &[Reply]| (parts[0].text().expect("an id"), number(parts.get(2)), number(parts.get(3)));
    entries.iter().map(|it| entry(it.members().expect("an entry"))).collect()
}

fn one_claimed(client: &mut Client, id: &str, idle_ms: i64, deliveries: i64) {
    assert_eq!(claimed(&read(client)), [(id.to_owned(), idle_ms, deliveries)]);
}

/// A server with a stopped clock, and entries of a stream that a consumer has just been given.
fn pending(ids: &[&str]) -> Trial {
    let mut trial = Trial::new();
    trial.call("OCHRE.CLOCK FREEZE");
    trial.call("XGROUP CREATE s g 0 MKSTREAM");
    for id in ids {
        trial.call(&format!("XADD s {id} f v"));
    }
    trial.call("XREADGROUP GROUP g holder STREAMS s >");
    trial
}

#[test]
fn who_waits_to_claim_is_served_when_an_entry_has_been_pending_for_long_enough() {
    for steps in [&[49_u64, 1, 49, 1, 99, 1][..], &[200], &[60, 60, 80]] {
        let mut trial = pending(&["1-0"]);
        let mut last = trial.waiting("XREADGROUP GROUP g a BLOCK 0 CLAIM 100 STREAMS s >", 1);
        let mut never = trial.waiting("XREADGROUP GROUP g b BLOCK 0 STREAMS s >", 2);
        let mut first = trial.waiting("XREADGROUP GROUP g c BLOCK 9999 CLAIM 50 STREAMS s >", 3);
        let mut second = trial.waiting("XREADGROUP GROUP g d BLOCK 0 COUNT 3 CLAIM 50 STREAMS t s > >", 3);
        assert!(read(&mut second).is_error(), "one of the streams is missing");
        trial.call("XGROUP CREATE t g 0 MKSTREAM");
        send(&mut second, "XREADGROUP GROUP g d BLOCK 0 COUNT 3 CLAIM 50 STREAMS t s > >");
        trial.until_blocked(4);
        assert_eq!(trial.info("clients_in_timeout_table"), 1);
        let (mut passed, mut waiting) = (0, 4);
        for step in steps {
            trial.call(&format!("OCHRE.CLOCK ADVANCE {step}"));
            passed += step;
            waiting = [50, 100, 200].iter().filter(|&&at| at > passed).count() + 1;
            trial.until_blocked(waiting);
        }
        assert_eq!(waiting, 1);
        one_claimed(&mut first, "1-0", 50, 1);
        one_claimed(&mut second, "1-0", 50, 2);
        one_claimed(&mut last, "1-0", 100, 3);
        trial.call("XADD s 2-0 f v");
        one_claimed(&mut never, "2-0", 0, 0);
        trial.ends_clean();
    }
}

#[test]
fn of_those_who_wait_to_claim_at_one_time_who_came_first_is_served() {
    let mut trial = pending(&["1-0", "2-0", "3-0"]);
    let line = "XREADGROUP GROUP g c BLOCK 0 COUNT 1 CLAIM 50 STREAMS s >";
    let mut clients: Vec<Client> = (0..5).map(|at| trial.waiting(line, at + 1)).collect();
    trial.call("OCHRE.CLOCK ADVANCE 50");
    trial.until_blocked(2);
    for (client, id) in clients.iter_mut().zip(["1-0", "2-0", "3-0"]) {
        one_claimed(client, id, 50, 1);
    }
    trial.call("OCHRE.CLOCK ADVANCE 1000");
    for (client, id) in clients[3..].iter_mut().zip(["1-0", "2-0"]) {
        one_claimed(client, id, 50, 2);
    }
    trial.ends_clean();
}

#[test]
fn a_wait_to_claim_ends_by_its_timeout_and_goes_on_when_there_is_nothing_left() {
    let mut trial = pending(&["1-0", "2-0"]);
    let mut late = trial.waiting("XREADGROUP GROUP g a BLOCK 100 CLAIM 101 STREAMS s >", 1);
    let mut just = trial.waiting("XREADGROUP GROUP g b BLOCK 100 CLAIM 100 STREAMS s >", 2);
    trial.call("XDEL s 2-0");
    trial.call("OCHRE.CLOCK ADVANCE 5000");
    assert_eq!(read(&mut late), Reply::NullArray);
    one_claimed(&mut just, "1-0", 100, 1);
    let mut client = trial.waiting("XREADGROUP GROUP g a BLOCK 0 CLAIM 10000 STREAMS s >", 1);
    // Younger by a claim, then older; gone, then there again.
    trial.call("OCHRE.CLOCK ADVANCE 5000");
    trial.call("XCLAIM s g b 0 1-0 JUSTID");
    trial.call("OCHRE.CLOCK ADVANCE 5000");
    trial.until_blocked(1);
    trial.call("XCLAIM s g b 0 1-0 IDLE 9990 JUSTID");
    trial.call("OCHRE.CLOCK ADVANCE 9");
    trial.call("XACK s g 1-0");
    trial.call("OCHRE.CLOCK ADVANCE 10000");
    trial.until_blocked(1);
    trial.call("XCLAIM s g b 0 1-0 FORCE JUSTID");
    trial.call("OCHRE.CLOCK ADVANCE 9999");
    trial.until_blocked(1);
    trial.call("OCHRE.CLOCK ADVANCE 1");
    one_claimed(&mut client, "1-0", 10_000, 1);
    let mut client = trial.waiting("XREADGROUP GROUP g a BLOCK 0 CLAIM 10000 STREAMS s >", 1);
    trial.call("XCLAIM s g b 0 1-0 IDLE 20000 JUSTID");
    one_claimed(&mut client, "1-0", 20_000, 2);
    trial.ends_clean();
}

#[test]
fn who_waits_to_claim_is_woken_by_the_real_clock_too() {
    let mut trial = pending(&["1-0"]);
    trial.call("OCHRE.CLOCK RESUME");
    let lines = (0..8).map(|at| format!("XREADGROUP GROUP g c{at} BLOCK 0 CLAIM 5 STREAMS s >"));
    let mut clients: Vec<Client> = lines
        .map(|line| {
            let mut client = trial.client();
            send(&mut client, &line);
            client
        })
        .collect();
    let mut deliveries = Vec::new();
    for client in &mut clients {
        let all = claimed(&read(client));
        assert!(all.len() == 1 && all[0].1 >= 5, "{all:?}");
        deliveries.push(all[0].2);
    }
    deliveries.sort_unstable();
    assert!(deliveries.into_iter().eq(1..=8));
    trial.ends_clean();
}

/// What a group with readers that claim one entry at a time ought to do.
struct Claims {
    now_ms: i64,
    /// Entries by identifier: when they were delivered, and how often.
    pending: BTreeMap<u64, (i64, i64)>,
    fresh: VecDeque<u64>,
    /// Who waits, in order of arrival.
    parked: Vec<usize>,
    /// By reader.
    patience_ms: Vec<i64>,
}

impl Claims {
    /// What a reader is given now: an entry, how long it was pending, and how often it was delivered before.
    fn read(&mut self, reader: usize) -> Option<(String, i64, i64)> {
        let now_ms = self.now_ms;
        let is_idle = |delivered_ms: i64| now_ms - delivered_ms >= self.patience_ms[reader];
        let idle = self.pending.iter().filter(|(_, (delivered_ms, _))| is_idle(*delivered_ms));
        if let Some((_, id)) = idle.map(|(&id, &(delivered_ms, _))| (delivered_ms, id)).min() {
            let (delivered_ms, deliveries) = self.pending[&id];
            self.pending.insert(id, (now_ms, deliveries + 1));
            return Some((format!("{id}-0"), now_ms - delivered_ms, deliveries));
        }
        let id = self.fresh.pop_front()?;
        self.pending.insert(id, (now_ms, 1));
        Some((format!("{id}-0"), 0, 0))
    }

    /// Everybody who waits looks: who is given something leaves.
    fn look(&mut self, given: &mut Vec<(usize, (String, i64, i64))>) {
        for reader in std::mem::take(&mut self.parked) {
            match self.read(reader) {
                Some(entry) => given.push((reader, entry)),
                None => self.parked.push(reader),
            }
        }
    }
}

/// Readers of various patience, entries that come and are acknowledged, and time that passes.
#[test]
fn entries_are_claimed_once_at_their_time_by_who_came_first() {
    const READERS: usize = 5;
    for seed in 0..5 {
        let mut chance = Chance::new(seed);
        let mut trial = pending(&[]);
        let patience_ms = (0..READERS).map(|_| 15 + chance.below(40) as i64).collect();
        let (pending, fresh, parked) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        let mut model = Claims { now_ms: 0, pending, fresh, parked, patience_ms };
        let mut clients: Vec<Client> = (0..READERS).map(|_| trial.client()).collect();
        for id in 1..80 {
            let mut given = Vec::new();
            let reader = chance.below(READERS as u64) as usize;
            match chance.below(6) {
                0 => {
                    model.fresh.push_back(id);
                    model.look(&mut given);
                    trial.call(&format!("XADD s {id}-0 f v"));
                }
                1 => {
                    let id = 1 + chance.below(id);
                    model.pending.remove(&id);
                    trial.call(&format!("XACK s g {id}-0"));
                }
                2 | 3 if !model.parked.contains(&reader) => {
                    model.parked.push(reader);
                    model.look(&mut given);
                    let patience_ms = model.patience_ms[reader];
                    let line =
                        format!("XREADGROUP GROUP g c BLOCK 0 COUNT 1 CLAIM {patience_ms} STREAMS s >");
                    send(&mut clients[reader], &line);
                }
                _ => {
                    let by_ms = 1 + chance.below(40);
                    for _ in 0..by_ms {
                        model.now_ms += 1;
                        model.look(&mut given);
                    }
                    trial.call(&format!("OCHRE.CLOCK ADVANCE {by_ms}"));
                }
            }
            for (reader, entry) in given {
                assert_eq!(claimed(&read(&mut clients[reader])), [entry], "seed {seed}, step {id}");
            }
            trial.until_blocked(model.parked.len());
        }
        drop(clients);
        trial.ends_clean();
    }
}
