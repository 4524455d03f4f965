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
use support::{Client, Reply};

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
const ROUNDS: u64 = 200;
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
    Get { db: usize, key: usize },
    Set { db: usize, key: usize, value: i64 },
    Incr { db: usize, key: usize },
    MsetNx { db: usize, keys: [usize; 2], value: i64 },
    Rename { db: usize, from: usize, to: usize },
    Copy { db: usize, from: usize, to: usize, to_db: usize, replace: bool },
    Swap,
    Flush { db: usize },
    ReadAll { db: usize },
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
        match self.next(40) {
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
            _ => Op::Flush { db },
        }
    }
}

/// The request that asks for an operation.
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
            client.send(&request(op)).expect("a request is sent");
        }
    }
    for (i, &op) in ops.iter().enumerate() {
        let asked = asked.get(i).copied().unwrap_or_else(|| {
            let stamp = stamp();
            client.send(&request(op)).expect("a request is sent");
            stamp
        });
        let reply = client.read().expect("a request is answered");
        events.push(Event { client: id, op, answer: answer(op, &reply), asked, answered: stamp() });
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

#[test]
fn concurrent_clients_see_one_order() {
    let Some(server) = support::server() else { return };
    let variable = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seed = variable("OCHRE_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let rounds = variable("OCHRE_LINEARIZABILITY_ROUNDS").unwrap_or(ROUNDS);
    println!("OCHRE_TEST_SEED={seed}");
    let mut choice = Choice(seed);
    let stamps = AtomicU64::new(0);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
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
            Verdict::Impossible => panic!("round {number}: no order explains\n{}", told(model, &events)),
        }
        model = after;
    }
    println!("{rounds} rounds, {undecided} undecided");
    assert!(
        undecided <= rounds / ROUNDS_PER_UNDECIDED,
        "{undecided} of {rounds} rounds could not be decided"
    );
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
