//! Whether concurrent clients see one order of events.
//!
//! For: the claim that every command happens at one instant between its request and its reply. May touch:
//! sockets.
//! Always: a verdict is a proof (an order was found, or none exists) or says that it is none (the search was
//! cut).
//!
//! Rounds of a few operations by several clients are recorded with the stamps of a common counter: one taken
//! before a request is sent, one after its reply has come. An order of the operations is looked for that
//! respects the stamps and every client's own order, and in which a small model answers what the server
//! answered (Wing and Gong; states already tried are remembered, after Lowe). A round ends with a reading of
//! all keys while nobody else is active, so the next round starts from a known state and each search stays
//! small. In every other round a client sends its operations at once instead of one by one.
//!
//! `OCHRE_TEST_SEED` repeats a run's choices (not its timing), `OCHRE_LINEARIZABILITY_ROUNDS` makes it
//! longer.

mod support;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Client, Reply, TestServer};

/// Keys in play.
const KEYS: usize = 8;
/// Databases in play.
const DATABASES: usize = 2;
/// Connections that act at the same time; half of them in each database.
const CLIENTS: usize = 8;
/// Operations of a client in a round, one by one.
const OPERATIONS: usize = 6;
/// Operations of a client in a round where they are sent at once: all overlap, so there are fewer.
const OPERATIONS_AT_ONCE: usize = 3;
/// Rounds unless told otherwise.
const ROUNDS: u64 = 300;
/// States a search visits before it gives up.
const SEARCH_LIMIT: usize = 200_000;
/// Of so many rounds one may be given up; with more, the test fails for want of proof.
const ROUNDS_PER_UNDECIDED: u64 = 10;

const _: () = assert!(CLIENTS * OPERATIONS + DATABASES <= u64::BITS as usize, "a round fits the mask");

/// What the keys hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Model {
    cells: [[Option<i64>; KEYS]; DATABASES],
}

/// An operation; `db` is the database of the client that asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Get {
        db: usize,
        key: usize,
    },
    Set {
        db: usize,
        key: usize,
        value: i64,
    },
    Incr {
        db: usize,
        key: usize,
    },
    MsetNx {
        db: usize,
        keys: [usize; 2],
        value: i64,
    },
    Rename {
        db: usize,
        from: usize,
        to: usize,
    },
    Copy {
        db: usize,
        from: usize,
        to: usize,
        to_db: usize,
        replace: bool,
    },
    Swap,
    Flush {
        db: usize,
    },
    /// MULTI, GET, SET, EXEC.
    ReadAndSet {
        db: usize,
        from: usize,
        to: usize,
        value: i64,
    },
    /// WATCH, GET, MULTI, SET, EXEC; recorded only if it was not aborted: then it is one step, at EXEC.
    SetIfSame {
        db: usize,
        from: usize,
        to: usize,
        value: i64,
    },
    ReadAll {
        db: usize,
    },
}

/// What an operation answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Done,
    Value(Option<i64>),
    Integer(i64),
    NoSuchKey,
    All([Option<i64>; KEYS]),
}

impl Model {
    /// Does the operation and tells what it answers.
    fn apply(&mut self, op: Op) -> Answer {
        match op {
            Op::Get { db, key } => Answer::Value(self.cells[db][key]),
            Op::Set { db, key, value } => {
                self.cells[db][key] = Some(value);
                Answer::Done
            }
            Op::Incr { db, key } => {
                let value = self.cells[db][key].unwrap_or(0) + 1;
                self.cells[db][key] = Some(value);
                Answer::Integer(value)
            }
            Op::MsetNx { db, keys, value } => {
                let free = keys.iter().all(|&k| self.cells[db][k].is_none());
                if free {
                    self.cells[db][keys[0]] = Some(value);
                    self.cells[db][keys[1]] = Some(value);
                }
                Answer::Integer(i64::from(free))
            }
            Op::Rename { db, from, to } => match self.cells[db][from].take() {
                Some(value) => {
                    self.cells[db][to] = Some(value);
                    Answer::Done
                }
                None => Answer::NoSuchKey,
            },
            Op::Copy { db, from, to, to_db, replace } => {
                let source = self.cells[db][from];
                let copied = source.is_some() && (replace || self.cells[to_db][to].is_none());
                if copied {
                    self.cells[to_db][to] = source;
                }
                Answer::Integer(i64::from(copied))
            }
            Op::Swap => {
                self.cells.swap(0, 1);
                Answer::Done
            }
            Op::Flush { db } => {
                self.cells[db] = [None; KEYS];
                Answer::Done
            }
            Op::ReadAndSet { db, from, to, value } | Op::SetIfSame { db, from, to, value } => {
                let was = self.cells[db][from];
                self.cells[db][to] = Some(value);
                Answer::Value(was)
            }
            Op::ReadAll { db } => Answer::All(self.cells[db]),
        }
    }
}

/// One operation of a history.
#[derive(Debug, Clone, Copy)]
struct Event {
    client: usize,
    op: Op,
    answer: Answer,
    /// Stamp before the request was sent.
    asked: u64,
    /// Stamp after the reply had come; later than `asked`.
    answered: u64,
}

impl Event {
    /// Whether the answer says that nothing was changed.
    fn only_read(&self) -> bool {
        match self.op {
            Op::Get { .. } | Op::ReadAll { .. } => true,
            Op::MsetNx { .. } | Op::Copy { .. } => self.answer == Answer::Integer(0),
            Op::Rename { .. } => self.answer == Answer::NoSuchKey,
            Op::Set { .. } | Op::Incr { .. } | Op::Swap | Op::Flush { .. } => false,
            Op::ReadAndSet { .. } | Op::SetIfSame { .. } => false,
        }
    }
}

/// What a search found.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Verdict {
    Linearizable,
    Impossible,
    /// The search was given up.
    Undecided,
}

/// Looks for an order of `events` in which `start` answers as the server did.
fn check(start: Model, events: &[Event], limit: usize) -> Verdict {
    assert!(events.len() <= u64::BITS as usize, "a history fits the mask");
    let mut order: Vec<Event> = events.to_vec();
    order.sort_by_key(|e| (e.answered, e.asked));
    let mut search = Search { events: &order, seen: HashSet::new(), limit };
    search.from(0, start)
}

struct Search<'a> {
    /// By the time of their answers: the likeliest order is tried first.
    events: &'a [Event],
    /// Which events were done, and the state they led to, of branches that failed.
    seen: HashSet<(u64, Model)>,
    limit: usize,
}

impl Search<'_> {
    fn from(&mut self, mut done: u64, model: Model) -> Verdict {
        // An operation that only read, and read what is there now, loses nothing by coming now.
        while let Some(i) =
            self.candidates(done).find(|&i| self.events[i].only_read() && self.explains(i, model))
        {
            done |= 1 << i;
        }
        if done.count_ones() as usize == self.events.len() {
            return Verdict::Linearizable;
        }
        if self.seen.len() >= self.limit {
            return Verdict::Undecided;
        }
        if !self.seen.insert((done, model)) {
            return Verdict::Impossible;
        }
        let mut verdict = Verdict::Impossible;
        let candidates: Vec<usize> = self.candidates(done).filter(|&i| self.explains(i, model)).collect();
        for i in candidates {
            let mut next = model;
            next.apply(self.events[i].op);
            match self.from(done | 1 << i, next) {
                Verdict::Impossible => {}
                Verdict::Linearizable => return Verdict::Linearizable,
                Verdict::Undecided => verdict = Verdict::Undecided,
            }
        }
        verdict
    }

    /// The events that may come next: asked before any open one was answered, and first of their client.
    fn candidates(&self, done: u64) -> impl Iterator<Item = usize> {
        let open = move |i: &usize| done & (1 << *i) == 0;
        let first = (0..self.events.len()).find(open).unwrap_or(0);
        // `events` is ordered by `answered`, so the first open one has the earliest answer.
        let bound = self.events[first].answered;
        (first..self.events.len()).filter(open).filter(move |&i| {
            let event = &self.events[i];
            let waits = |j: usize| open(&j) && self.events[j].client == event.client;
            event.asked <= bound && !(first..i).any(waits)
        })
    }

    /// Whether event `i`, done now, answers what it did answer.
    fn explains(&self, i: usize, mut model: Model) -> bool {
        model.apply(self.events[i].op) == self.events[i].answer
    }
}

/// A small generator, good enough to choose operations.
struct Choice(u64);

impl Choice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    /// An operation of a client in `db`; what it writes is `value`, which nobody else writes.
    fn op(&mut self, db: usize, value: i64) -> Op {
        let key = self.next(KEYS);
        let other = (key + 1 + self.next(KEYS - 1)) % KEYS;
        match self.next(50) {
            0..10 => Op::Get { db, key },
            10..18 => Op::Set { db, key, value },
            18..24 => Op::Incr { db, key },
            24..29 => Op::MsetNx { db, keys: [key, other], value },
            29..33 => Op::Rename { db, from: key, to: other },
            33..37 => {
                let to_db = self.next(DATABASES);
                Op::Copy { db, from: key, to: other, to_db, replace: self.next(2) == 0 }
            }
            37..39 => Op::Swap,
            39 => Op::Flush { db },
            40..44 => Op::ReadAndSet { db, from: key, to: other, value },
            _ => Op::SetIfSame { db, from: key, to: other, value },
        }
    }
}

/// The requests that ask for an operation.
fn requests(op: Op) -> Vec<Vec<String>> {
    let (db, from, to, value, watches) = match op {
        Op::ReadAndSet { db, from, to, value } => (db, from, to, value, false),
        Op::SetIfSame { db, from, to, value } => (db, from, to, value, true),
        _ => return vec![request(op)],
    };
    let word = |word: &str| vec![word.to_owned()];
    let (get, set) = (request(Op::Get { db, key: from }), request(Op::Set { db, key: to, value }));
    if watches {
        vec![vec!["WATCH".to_owned(), get[1].clone()], get, word("MULTI"), set, word("EXEC")]
    } else {
        vec![word("MULTI"), get, set, word("EXEC")]
    }
}

/// The request of an operation that takes one.
fn request(op: Op) -> Vec<String> {
    let name = |key: usize| format!("key{key}");
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    match op {
        Op::Get { key, .. } => words(&["GET", &name(key)]),
        Op::Set { key, value, .. } => words(&["SET", &name(key), &value.to_string()]),
        Op::Incr { key, .. } => words(&["INCR", &name(key)]),
        Op::MsetNx { keys: [a, b], value, .. } => {
            words(&["MSETNX", &name(a), &value.to_string(), &name(b), &value.to_string()])
        }
        Op::Rename { from, to, .. } => words(&["RENAME", &name(from), &name(to)]),
        Op::Copy { from, to, to_db, replace, .. } => {
            let mut all = words(&["COPY", &name(from), &name(to), "DB", &to_db.to_string()]);
            all.extend(replace.then(|| "REPLACE".to_owned()));
            all
        }
        Op::Swap => words(&["SWAPDB", "0", "1"]),
        Op::Flush { .. } => words(&["FLUSHDB"]),
        Op::ReadAll { .. } => {
            let mut all = words(&["MGET"]);
            all.extend((0..KEYS).map(name));
            all
        }
        Op::ReadAndSet { .. } | Op::SetIfSame { .. } => unreachable!("{op:?} takes several requests"),
    }
}

/// What the replies to all requests of an operation say; `None`: a transaction was aborted.
fn outcome(op: Op, replies: &[Reply]) -> Option<Answer> {
    let last = replies.last().expect("an operation has a request");
    match (op, last) {
        (Op::SetIfSame { .. }, Reply::NullArray) => None,
        (Op::SetIfSame { db, from, .. }, Reply::Array(all)) if all.len() == 1 => {
            Some(answer(Op::Get { db, key: from }, &replies[1]))
        }
        (Op::ReadAndSet { db, from, .. }, Reply::Array(all)) if all.len() == 2 => {
            Some(answer(Op::Get { db, key: from }, &all[0]))
        }
        _ => Some(answer(op, last)),
    }
}

/// What a reply says, in the model's terms.
fn answer(op: Op, reply: &Reply) -> Answer {
    let value = |r: &Reply| match r {
        Reply::NullBulk => None,
        Reply::Bulk(b) => Some(String::from_utf8_lossy(b).parse::<i64>().expect("values are integers")),
        other => panic!("{op:?} answered {other:?}"),
    };
    match (op, reply) {
        (Op::Get { .. }, r) => Answer::Value(value(r)),
        (Op::ReadAll { .. }, Reply::Array(m)) if m.len() == KEYS => {
            let mut all = [None; KEYS];
            all.iter_mut().zip(m).for_each(|(cell, r)| *cell = value(r));
            Answer::All(all)
        }
        (_, Reply::Simple(s)) if s == b"OK" => Answer::Done,
        (_, Reply::Integer(n)) => Answer::Integer(*n),
        (Op::Rename { .. }, Reply::Error(e)) if e == b"ERR no such key" => Answer::NoSuchKey,
        (_, other) => panic!("{op:?} answered {other:?}"),
    }
}

/// Does `ops` on one connection, one by one or all at once, and records them.
fn act(id: usize, client: &mut Client, ops: &[Op], at_once: bool, stamps: &AtomicU64) -> Vec<Event> {
    let stamp = || stamps.fetch_add(1, Ordering::SeqCst);
    let mut events = Vec::new();
    let mut asked = Vec::new();
    if at_once {
        for &op in ops {
            asked.push(stamp());
            requests(op).iter().for_each(|it| client.send(it).expect("a request is sent"));
        }
    }
    for (i, &op) in ops.iter().enumerate() {
        let asked = asked.get(i).copied().unwrap_or_else(stamp);
        let mut replies = Vec::new();
        for request in requests(op) {
            if !at_once {
                client.send(&request).expect("a request is sent");
            }
            replies.push(client.read().expect("a request is answered"));
        }
        if let Some(answer) = outcome(op, &replies) {
            events.push(Event { client: id, op, answer, asked, answered: stamp() });
        }
    }
    events
}

/// A round of all clients and the reading that ends it; the state read.
fn round(
    clients: &mut [Client],
    choice: &mut Choice,
    number: u64,
    stamps: &AtomicU64,
) -> (Vec<Event>, Model) {
    let at_once = number % 2 == 1;
    let operations = if at_once { OPERATIONS_AT_ONCE } else { OPERATIONS };
    let mut plans = Vec::new();
    for id in 0..clients.len() {
        let ops: Vec<Op> = (0..operations)
            .map(|i| {
                let serial = number * (CLIENTS * OPERATIONS) as u64 + (id * OPERATIONS + i) as u64;
                choice.op(id % DATABASES, (serial as i64 + 1) * 1000)
            })
            .collect();
        plans.push(ops);
    }
    let start = Barrier::new(clients.len());
    let mut events: Vec<Event> = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .zip(&plans)
            .enumerate()
            .map(|(id, (client, ops))| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    act(id, client, ops, at_once, stamps)
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().expect("a client works")).collect()
    });
    let mut model = Model::default();
    for (db, client) in clients.iter_mut().enumerate().take(DATABASES) {
        let read = act(db, client, &[Op::ReadAll { db }], false, stamps);
        if let Answer::All(cells) = read[0].answer {
            model.cells[db] = cells;
        }
        events.extend(read);
    }
    (events, model)
}

/// Runs rounds against a server: how many could not be decided, or the round that no order explains.
fn run_rounds(mut clients: Vec<Client>, rounds: u64, seed: u64) -> Result<u64, (u64, String)> {
    let mut choice = Choice(seed);
    let stamps = AtomicU64::new(0);
    clients[0].call(&["FLUSHALL"]).expect("FLUSHALL is answered");
    for (id, client) in clients.iter_mut().enumerate() {
        client.call(&["SELECT", &(id % DATABASES).to_string()]).expect("SELECT is answered");
    }
    let mut model = Model::default();
    let mut undecided = 0;
    for number in 0..rounds {
        let (events, after) = round(&mut clients, &mut choice, number, &stamps);
        match check(model, &events, SEARCH_LIMIT) {
            Verdict::Linearizable => {}
            Verdict::Undecided => undecided += 1,
            Verdict::Impossible => return Err((number, told(model, &events))),
        }
        model = after;
    }
    Ok(undecided)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok())
}

fn seed() -> u64 {
    let seed = variable("OCHRE_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OCHRE_TEST_SEED={seed}");
    seed
}

/// Runs rounds against a server, which must be right.
fn prove(server: &TestServer) {
    let rounds = variable("OCHRE_LINEARIZABILITY_ROUNDS").unwrap_or(ROUNDS);
    let clients = (0..CLIENTS).map(|_| server.client()).collect();
    match run_rounds(clients, rounds, seed()) {
        Ok(undecided) => {
            println!("{rounds} rounds, {undecided} undecided");
            assert!(
                undecided <= rounds / ROUNDS_PER_UNDECIDED,
                "{undecided} of {rounds} rounds could not be decided"
            );
        }
        Err((number, history)) => panic!("round {number}: no order explains\n{history}"),
    }
}

/// First as it is, which finds what goes wrong between whole turns, then resting before some locks, which
/// finds what goes wrong between two locks of one command. One after the other: a server given from outside
/// is the same.
#[test]
fn concurrent_clients_see_one_order() {
    for server in [support::server, support::restless_server] {
        let Some(server) = server() else { return };
        prove(&server);
    }
}

/// A history as a table, in the order of the requests.
fn told(start: Model, events: &[Event]) -> String {
    let mut events = events.to_vec();
    events.sort_by_key(|e| e.asked);
    let mut out = format!("start {start:?}\n");
    for e in events {
        out +=
            &format!("{:>6} {:>6}  client {}  {:?} -> {:?}\n", e.asked, e.answered, e.client, e.op, e.answer);
    }
    out
}

#[cfg(test)]
mod checker {
    use super::*;

    fn event(client: usize, asked: u64, answered: u64, op: Op, answer: Answer) -> Event {
        Event { client, op, answer, asked, answered }
    }

    fn get(key: usize) -> Op {
        Op::Get { db: 0, key }
    }

    fn set(key: usize, value: i64) -> Op {
        Op::Set { db: 0, key, value }
    }

    fn verdict(events: &[Event]) -> Verdict {
        check(Model::default(), events, 10_000)
    }

    #[test]
    fn operations_that_overlap_may_come_in_either_order() {
        for seen in [None, Some(1)] {
            let events = [
                event(0, 0, 10, set(0, 1), Answer::Done),
                event(1, 1, 5, get(0), Answer::Value(seen)),
                event(1, 11, 12, get(0), Answer::Value(Some(1))),
            ];
            assert_eq!(verdict(&events), Verdict::Linearizable, "{seen:?}");
        }
    }

    #[test]
    fn a_stale_read_is_found() {
        let events = [
            event(0, 0, 1, set(0, 1), Answer::Done),
            event(0, 2, 3, set(0, 2), Answer::Done),
            event(1, 4, 5, get(0), Answer::Value(Some(1))),
        ];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_read_that_goes_back_is_found() {
        let events = [
            event(0, 0, 10, set(0, 1), Answer::Done),
            event(1, 1, 2, get(0), Answer::Value(Some(1))),
            event(2, 3, 4, get(0), Answer::Value(None)),
        ];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_lost_update_is_found() {
        let incr = Op::Incr { db: 0, key: 0 };
        let events = [
            event(0, 0, 10, incr, Answer::Integer(1)),
            event(1, 1, 9, incr, Answer::Integer(1)),
            event(2, 11, 12, get(0), Answer::Value(Some(1))),
        ];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_half_seen_msetnx_is_found() {
        let both = Op::MsetNx { db: 0, keys: [0, 1], value: 7 };
        let seen = |first, second| {
            [
                event(0, 0, 10, both, Answer::Integer(1)),
                event(1, 1, 2, get(0), Answer::Value(first)),
                event(1, 3, 4, get(1), Answer::Value(second)),
            ]
        };
        assert_eq!(verdict(&seen(None, Some(7))), Verdict::Linearizable);
        assert_eq!(verdict(&seen(Some(7), None)), Verdict::Impossible);
    }

    #[test]
    fn a_key_renamed_twice_is_found() {
        let to = |to| Op::Rename { db: 0, from: 0, to };
        let twice = |second| {
            [
                event(0, 0, 1, set(0, 1), Answer::Done),
                event(1, 2, 10, to(1), Answer::Done),
                event(2, 3, 9, to(2), second),
            ]
        };
        assert_eq!(verdict(&twice(Answer::NoSuchKey)), Verdict::Linearizable);
        assert_eq!(verdict(&twice(Answer::Done)), Verdict::Impossible);
    }

    #[test]
    fn a_half_seen_swap_is_found() {
        let other = Op::Get { db: 1, key: 0 };
        let seen = |here, there| {
            [
                event(0, 0, 1, set(0, 1), Answer::Done),
                event(0, 2, 10, Op::Swap, Answer::Done),
                event(1, 3, 4, get(0), Answer::Value(here)),
                event(2, 5, 6, other, Answer::Value(there)),
            ]
        };
        assert_eq!(verdict(&seen(Some(1), Some(1))), Verdict::Linearizable);
        assert_eq!(verdict(&seen(None, Some(1))), Verdict::Linearizable);
        assert_eq!(verdict(&seen(None, None)), Verdict::Impossible);
    }

    #[test]
    fn requests_sent_at_once_keep_their_order() {
        let events = [event(0, 0, 10, set(0, 1), Answer::Done), event(0, 1, 11, get(0), Answer::Value(None))];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_search_that_is_cut_proves_nothing() {
        let events = [
            event(0, 0, 10, set(0, 1), Answer::Done),
            event(1, 1, 9, set(0, 2), Answer::Done),
            event(2, 2, 8, get(0), Answer::Value(Some(3))),
        ];
        assert_eq!(check(Model::default(), &events, 2), Verdict::Undecided);
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    /// Histories made by doing operations in a known order and stretching their stamps around it.
    #[test]
    fn histories_of_the_model_itself_are_linearizable_until_an_answer_is_forged() {
        let mut choice = Choice(1);
        for _ in 0..200 {
            let mut model = Model::default();
            let mut free = [0u64; 4];
            let mut events = Vec::new();
            for i in 0..24u64 {
                let client = choice.next(4);
                let at = 1000 + i * 10;
                let op = choice.op(client % 2, i as i64 + 1);
                let asked = free[client].max(at - choice.next(30) as u64);
                let answered = at + 1 + choice.next(8) as u64;
                free[client] = answered + 1;
                events.push(event(client, asked, answered, op, model.apply(op)));
            }
            events.push(event(0, 9000, 9001, get(0), model.apply(get(0))));
            assert_eq!(verdict(&events), Verdict::Linearizable, "{}", told(Model::default(), &events));
            events[24].answer = Answer::Value(Some(-1));
            assert_eq!(verdict(&events), Verdict::Impossible);
        }
    }
}

/// Whether servers that are wrong on purpose are found out: small ones, of the model itself.
#[cfg(test)]
mod wrong_servers {
    use super::*;
    use std::io::{self, BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    /// What goes wrong.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Wrong {
        Nothing,
        /// MSETNX lets go between looking and setting.
        MsetNx,
        /// RENAME lets go between taking the one key and setting the other.
        Rename,
        /// INCR lets go between reading and setting.
        Incr,
        /// EXEC lets go between looking at the watched key and running.
        Watch,
        /// EXEC lets go between its commands.
        Exec,
        /// SWAPDB exchanges one half of the keys, then the other.
        Swap,
    }

    /// Long enough for others to get in between.
    const GAP: Duration = Duration::from_micros(200);

    /// A server of [`CLIENTS`] connections, each with a thread that ends with it.
    fn start(wrong: Wrong) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let cells = Arc::new(Mutex::new(Model::default()));
        std::thread::spawn(move || {
            for stream in listener.incoming().take(CLIENTS) {
                let (stream, cells) = (stream.expect("a client connects"), Arc::clone(&cells));
                // An error means that the client is gone.
                std::thread::spawn(move || serve(stream, &cells, wrong));
            }
        });
        addr
    }

    fn serve(mut stream: TcpStream, cells: &Mutex<Model>, wrong: Wrong) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::new(stream.try_clone()?);
        let mut db = 0;
        let mut transaction = Transaction::default();
        loop {
            let words = read_request(&mut input)?;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let reply = match words[..] {
                ["SELECT", index] => {
                    db = index.parse().expect("a database");
                    "+OK\r\n".to_owned()
                }
                ["FLUSHALL"] => {
                    *cells.lock().expect("nobody panics") = Model::default();
                    "+OK\r\n".to_owned()
                }
                _ => match transaction.take_in(db, &words, cells, wrong) {
                    Some(reply) => reply,
                    None => {
                        let answer = act_wrongly(cells, parsed(db, &words), wrong);
                        transaction.saw(&words, answer);
                        shown(answer)
                    }
                },
            };
            stream.write_all(reply.as_bytes())?;
        }
    }

    /// Of one connection.
    #[derive(Default)]
    struct Transaction {
        queue: Option<Vec<Op>>,
        /// The watched key and its value; `Err` if that has changed since.
        watched: Option<(usize, Result<Option<i64>, ()>)>,
    }

    impl Transaction {
        /// Answers what has to do with transactions.
        fn take_in(
            &mut self,
            db: usize,
            words: &[&str],
            cells: &Mutex<Model>,
            wrong: Wrong,
        ) -> Option<String> {
            match *words {
                ["WATCH", key] => {
                    let Op::Get { key, .. } = parsed(db, &["GET", key]) else { unreachable!() };
                    self.watched = Some((key, Ok(cells.lock().expect("nobody panics").cells[db][key])));
                    Some("+OK\r\n".to_owned())
                }
                ["MULTI"] => {
                    self.queue = Some(Vec::new());
                    Some("+OK\r\n".to_owned())
                }
                ["EXEC"] => Some(self.exec(db, cells, wrong)),
                _ => {
                    self.queue.as_mut()?.push(parsed(db, words));
                    Some("+QUEUED\r\n".to_owned())
                }
            }
        }

        /// Notes what a GET answered.
        fn saw(&mut self, words: &[&str], answer: Answer) {
            if let (["GET", ..], Some((_, value)), Answer::Value(seen)) = (words, &mut self.watched, answer)
                && *value != Ok(seen)
            {
                *value = Err(());
            }
        }

        fn exec(&mut self, db: usize, cells: &Mutex<Model>, wrong: Wrong) -> String {
            let lock = || cells.lock().expect("nobody panics");
            let mut model = lock();
            if let Some((key, value)) = self.watched.take()
                && value != Ok(model.cells[db][key])
            {
                self.queue = None;
                return "*-1\r\n".to_owned();
            }
            let queue = self.queue.take().unwrap_or_default();
            let mut reply = format!("*{}\r\n", queue.len());
            for (n, op) in queue.into_iter().enumerate() {
                if (n == 0 && wrong == Wrong::Watch) || (n > 0 && wrong == Wrong::Exec) {
                    drop(model);
                    std::thread::sleep(GAP);
                    model = lock();
                }
                reply += &shown(model.apply(op));
            }
            reply
        }
    }

    fn read_request(input: &mut impl BufRead) -> io::Result<Vec<String>> {
        let line = |input: &mut dyn BufRead| -> io::Result<usize> {
            let mut line = String::new();
            input.read_line(&mut line)?;
            line.trim_end()
                .get(1..)
                .and_then(|n| n.parse().ok())
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        let count = line(input)?;
        let mut words = Vec::new();
        for _ in 0..count {
            let mut word = vec![0; line(input)? + 2];
            input.read_exact(&mut word)?;
            word.truncate(word.len() - 2);
            words.push(String::from_utf8(word).map_err(io::Error::other)?);
        }
        Ok(words)
    }

    /// The operation that [`request`] made the words from.
    fn parsed(db: usize, words: &[&str]) -> Op {
        let key = |word: &str| word.trim_start_matches("key").parse::<usize>().expect("a key");
        let number = |word: &str| word.parse::<i64>().expect("a number");
        match *words {
            ["GET", k] => Op::Get { db, key: key(k) },
            ["SET", k, v] => Op::Set { db, key: key(k), value: number(v) },
            ["INCR", k] => Op::Incr { db, key: key(k) },
            ["MSETNX", a, v, b, _] => Op::MsetNx { db, keys: [key(a), key(b)], value: number(v) },
            ["RENAME", from, to] => Op::Rename { db, from: key(from), to: key(to) },
            ["COPY", from, to, "DB", n, ref rest @ ..] => {
                let (to_db, replace) = (number(n) as usize, !rest.is_empty());
                Op::Copy { db, from: key(from), to: key(to), to_db, replace }
            }
            ["SWAPDB", ..] => Op::Swap,
            ["FLUSHDB"] => Op::Flush { db },
            ["MGET", ..] => Op::ReadAll { db },
            _ => panic!("{words:?}"),
        }
    }

    fn act_wrongly(cells: &Mutex<Model>, op: Op, wrong: Wrong) -> Answer {
        let lock = || cells.lock().expect("nobody panics");
        let gap = || std::thread::sleep(GAP);
        match op {
            Op::MsetNx { db, keys, value } if wrong == Wrong::MsetNx => {
                let is_free = keys.iter().all(|&key| lock().cells[db][key].is_none());
                gap();
                if is_free {
                    keys.iter().for_each(|&key| lock().cells[db][key] = Some(value));
                }
                Answer::Integer(i64::from(is_free))
            }
            Op::Rename { db, from, to } if wrong == Wrong::Rename => {
                let Some(value) = lock().cells[db][from].take() else { return Answer::NoSuchKey };
                gap();
                lock().cells[db][to] = Some(value);
                Answer::Done
            }
            Op::Incr { db, key } if wrong == Wrong::Incr => {
                let value = lock().cells[db][key].unwrap_or(0) + 1;
                gap();
                lock().cells[db][key] = Some(value);
                Answer::Integer(value)
            }
            Op::Swap if wrong == Wrong::Swap => {
                for half in [0..KEYS / 2, KEYS / 2..KEYS] {
                    let mut model = lock();
                    let [one, other] = &mut model.cells;
                    one[half.clone()].swap_with_slice(&mut other[half]);
                    drop(model);
                    gap();
                }
                Answer::Done
            }
            _ => lock().apply(op),
        }
    }

    fn shown(answer: Answer) -> String {
        let value = |value: Option<i64>| match value {
            None => "$-1\r\n".to_owned(),
            Some(n) => format!("${}\r\n{n}\r\n", n.to_string().len()),
        };
        match answer {
            Answer::Done => "+OK\r\n".to_owned(),
            Answer::Value(it) => value(it),
            Answer::Integer(n) => format!(":{n}\r\n"),
            Answer::NoSuchKey => "-ERR no such key\r\n".to_owned(),
            Answer::All(all) => format!("*{KEYS}\r\n{}", all.map(value).concat()),
        }
    }

    fn run(wrong: Wrong, rounds: u64) -> Result<u64, (u64, String)> {
        let addr = start(wrong);
        let connect = |_| Client::connect(addr).expect("the server accepts connections");
        run_rounds((0..CLIENTS).map(connect).collect(), rounds, seed())
    }

    #[test]
    fn a_right_server_is_not_accused() {
        let found = run(Wrong::Nothing, 30);
        assert!(found.is_ok(), "{found:?}");
    }

    #[test]
    fn a_server_that_lets_go_in_the_middle_of_a_command_is_found_out() {
        for wrong in [Wrong::MsetNx, Wrong::Rename, Wrong::Incr, Wrong::Swap, Wrong::Watch, Wrong::Exec] {
            match run(wrong, ROUNDS) {
                Ok(_) => panic!("{wrong:?} was not noticed in {ROUNDS} rounds"),
                Err((number, _)) => println!("{wrong:?}: round {number}"),
            }
        }
    }
}
