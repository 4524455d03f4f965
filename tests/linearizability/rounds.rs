//! Clients that act, and what they saw.
//!
//! For: histories of one round after the other. May touch: sockets.
//! Always: a round begins and ends with nobody active; what an event saw lies between its stamps.

use crate::search::{Event, MOST_EVENTS, Verdict, World, check};
use crate::support::{Client, Reply};
use std::hash::{BuildHasher, RandomState};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Keys in play.
pub const KEYS: usize = 8;
/// Connections that act at the same time.
pub const CLIENTS: usize = 8;
/// Connections that listen to the channels.
pub const LISTENERS: usize = 3;
/// Operations of a client in a round, one by one.
const OPERATIONS: usize = 6;
/// Operations of a client in a round where they are sent at once: all overlap, so there are fewer.
const OPERATIONS_AT_ONCE: usize = 3;
/// Of so many rounds one begins with clients that wait; both kinds of rounds do.
const ROUNDS_PER_OPENING: u64 = 3;
/// Looks until those who shall wait do so; then the round begins anyhow.
const LOOKS: usize = 50;
/// Between two releases.
const RELEASE_PAUSE: Duration = Duration::from_micros(100);
/// Values that an operation may write.
const VALUES: i64 = 1000;
/// Most rounds unless told otherwise.
pub const ROUNDS: u64 = 300;
/// States a search visits before it gives up.
const SEARCH_LIMIT: usize = 200_000;

/// Most steps of an operation, and readings at the end.
const STEPS: usize = 2;
const _: () = assert!(CLIENTS * (OPERATIONS + 1) * STEPS + CLIENTS <= MOST_EVENTS, "a round fits the mask");

/// A small generator, good enough to choose operations.
pub struct Choice(pub u64);

impl Choice {
    pub fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

/// What a client does in a round.
struct Plan<W: World> {
    /// What it has asked for already.
    opening: Option<Opening<W>>,
    ops: Vec<W::Op>,
    /// Whether to send `ops` at once instead of one by one.
    at_once: bool,
}

/// A blocking operation that was asked for before the round.
#[derive(Clone)]
struct Opening<W: World> {
    op: W::Op,
    asked: u64,
    /// A stamp after the client was seen to wait, if it was.
    parked: Option<u64>,
}

/// Does what is planned on one connection, and records it.
fn act<W: World>(id: usize, client: &mut Client, plan: Plan<W>, stamps: &AtomicU64) -> Vec<Event<W>> {
    let stamp = || stamps.fetch_add(STEPS as u64, Ordering::SeqCst);
    let mut events = Vec::new();
    let mut early = Vec::new();
    if plan.at_once {
        for op in &plan.ops {
            early.push(stamp());
            W::requests(op).iter().for_each(|it| client.send(it).expect("a request is sent"));
        }
    }
    if let Some(Opening { op, asked, parked }) = plan.opening {
        let reply = client.read().expect("a request is answered");
        let answered = stamp();
        for (n, (op, answer)) in (0..).zip(W::steps(&op, &[reply])) {
            let answered = if n == 0 { parked.unwrap_or(answered) } else { answered + n };
            events.push(Event { client: id, op, answer, asked: asked + n, answered });
        }
    }
    for (i, op) in plan.ops.iter().enumerate() {
        let asked = early.get(i).copied().unwrap_or_else(stamp);
        let mut replies = Vec::new();
        for request in W::requests(op) {
            if !plan.at_once {
                client.send(&request).expect("a request is sent");
            }
            replies.push(client.read().expect("a request is answered"));
        }
        let answered = stamp();
        for (n, (op, answer)) in (0..).zip(W::steps(op, &replies)) {
            events.push(Event { client: id, op, answer, asked: asked + n, answered: answered + n });
        }
    }
    events
}

/// A client that is not done; it is when this is dropped, even by a panic.
struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends waits, one client after the other, until all are done; for each client, stamps before those that it
/// ended.
///
/// A wait that was ended was one until then, which is more than its reply says.
fn release(watcher: &mut Client, ids: &[i64], busy: &AtomicUsize, stamps: &AtomicU64) -> Vec<Vec<u64>> {
    let mut released = vec![Vec::new(); ids.len()];
    for at in (0..ids.len()).cycle() {
        if busy.load(Ordering::SeqCst) == 0 {
            break;
        }
        std::thread::sleep(RELEASE_PAUSE);
        let asked = stamps.fetch_add(STEPS as u64, Ordering::SeqCst);
        let reply = watcher.call(&["CLIENT", "UNBLOCK", &ids[at].to_string()]);
        if reply.expect("CLIENT UNBLOCK is answered") == Reply::Integer(1) {
            released[at].push(asked);
        }
    }
    released
}

/// Everybody who takes part.
struct Party {
    clients: Vec<Client>,
    /// What CLIENT ID answers each of them.
    ids: Vec<i64>,
    /// Looks after those who wait.
    watcher: Client,
    listeners: Vec<Client>,
    stamps: AtomicU64,
}

impl Party {
    fn meet<W: World>(connect: impl Fn() -> Client) -> Party {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| connect()).collect();
        clients[0].call(&["FLUSHALL"]).expect("FLUSHALL is answered");
        for (id, client) in clients.iter_mut().enumerate() {
            client.call(&W::greeting(id)).expect("a greeting is answered");
        }
        let mut ids = Vec::new();
        for client in clients.iter_mut().filter(|_| W::WAITS) {
            match client.call(&["CLIENT", "ID"]).expect("CLIENT ID is answered") {
                Reply::Integer(id) => ids.push(id),
                other => panic!("{other:?}"),
            }
        }
        let mut listeners = Vec::new();
        if !W::CHANNELS.is_empty() {
            listeners.extend((0..LISTENERS).map(|_| connect()));
        }
        for listener in &mut listeners {
            for channel in W::CHANNELS {
                listener.call(&["SUBSCRIBE", channel]).expect("SUBSCRIBE is answered");
            }
        }
        Party { clients, ids, watcher: connect(), listeners, stamps: AtomicU64::new(0) }
    }

    /// Asks for what a round begins with, and waits a little until all who asked wait.
    fn open<W: World>(&mut self, ops: Vec<W::Op>) -> Vec<Opening<W>> {
        let stamp = || self.stamps.fetch_add(STEPS as u64, Ordering::SeqCst);
        let mut openings = Vec::new();
        for (client, op) in self.clients.iter_mut().zip(ops) {
            openings.push(Opening { asked: stamp(), op, parked: None });
            for request in W::requests(&openings[openings.len() - 1].op) {
                client.send(&request).expect("a request is sent");
            }
        }
        if openings.is_empty() {
            return openings;
        }
        let wanted = format!("blocked_clients:{}\r", openings.len());
        for _ in 0..LOOKS {
            let info = self.watcher.call(&["INFO", "clients"]).expect("INFO is answered");
            if info.text().is_some_and(|info| info.contains(&wanted)) {
                let parked = stamp();
                openings.iter_mut().for_each(|it| it.parked = Some(parked));
                break;
            }
        }
        openings
    }

    /// A round of all clients and the readings that end it; the state read.
    fn round<W: World>(&mut self, before: &W, choice: &mut Choice, number: u64) -> (Vec<Event<W>>, W) {
        let at_once = number % 2 == 1;
        let operations = if at_once { OPERATIONS_AT_ONCE } else { OPERATIONS };
        let openings =
            if number.is_multiple_of(ROUNDS_PER_OPENING) { before.openings(choice) } else { Vec::new() };
        let mut plans = Vec::new();
        for id in 0..CLIENTS {
            let serial = |i| number * (CLIENTS * OPERATIONS) as u64 + (id * OPERATIONS + i) as u64;
            let value = |i| (serial(i) as i64 + 1) * VALUES;
            let ops = (0..operations).map(|i| W::choose(choice, id, value(i))).collect();
            plans.push(Plan { opening: None, ops, at_once });
        }
        for (plan, opening) in plans.iter_mut().zip(self.open(openings)) {
            plan.opening = Some(opening);
        }
        let mut events = self.play(plans);
        let mut read: Vec<Event<W>> = Vec::new();
        for (id, op) in W::readings().into_iter().enumerate() {
            let plan = Plan { opening: None, ops: vec![op], at_once: false };
            read.extend(act(id, &mut self.clients[id], plan, &self.stamps));
        }
        let after: Vec<W::Answer> = read.iter().map(|e| e.answer.clone()).collect();
        events.extend(read);
        (events, W::after(&after))
    }

    /// All clients act at the same time.
    fn play<W: World>(&mut self, plans: Vec<Plan<W>>) -> Vec<Event<W>> {
        let (start, stamps) = (&Barrier::new(CLIENTS), &self.stamps);
        let busy = &AtomicUsize::new(CLIENTS);
        std::thread::scope(|scope| {
            let work = |(id, (client, plan)): (usize, (_, Plan<W>))| {
                scope.spawn(move || {
                    let _busy = Busy(busy);
                    start.wait();
                    act(id, client, plan, stamps)
                })
            };
            let threads: Vec<_> = self.clients.iter_mut().zip(plans).enumerate().map(work).collect();
            let released = release(&mut self.watcher, &self.ids, busy, stamps);
            let mut events = Vec::new();
            for (id, thread) in threads.into_iter().enumerate() {
                let mut mine = thread.join().expect("a client works");
                let ended = mine.iter_mut().filter(|e| W::was_released(&e.op, &e.answer));
                for (event, since) in ended.zip(released.get(id).into_iter().flatten()) {
                    event.asked = event.asked.max(*since);
                }
                events.extend(mine);
            }
            events
        })
    }

    /// Gives every message its place among those of its channel, if all listeners agree about them.
    fn listen<W: World>(&mut self, events: &mut [Event<W>]) -> Result<(), String> {
        let count: usize = events.iter().map(|e| W::messages(&e.op).len()).sum();
        let heard: Vec<Vec<Vec<i64>>> =
            self.listeners.iter_mut().map(|it| hear(it, W::CHANNELS, count)).collect::<Result<_, _>>()?;
        let Some(first) = heard.first() else { return Ok(()) };
        if heard.iter().any(|other| other != first) {
            return Err(format!("listeners heard different orders: {heard:?}"));
        }
        for event in events {
            let places: Option<Vec<usize>> = W::messages(&event.op)
                .iter()
                .map(|(channel, text)| first[*channel].iter().position(|it| it == text))
                .collect();
            let places = places.ok_or_else(|| format!("a message was lost: {:?} of {first:?}", event.op))?;
            W::place(&mut event.answer, &places);
        }
        Ok(())
    }
}

/// The next `count` messages, by channel.
fn hear(listener: &mut Client, channels: &[&str], count: usize) -> Result<Vec<Vec<i64>>, String> {
    let mut heard = vec![Vec::new(); channels.len()];
    for _ in 0..count {
        let message = listener.read().map_err(|e| format!("a message was lost ({e}): {heard:?}"))?;
        let words: Vec<String> =
            message.members().unwrap_or_default().iter().filter_map(Reply::text).collect();
        let [kind, channel, text] = &words[..] else { panic!("{message:?}") };
        assert_eq!(kind, "message");
        let at = channels.iter().position(|it| it == channel).expect("it was subscribed to");
        heard[at].push(text.parse::<i64>().expect("messages are numbers"));
    }
    Ok(heard)
}

/// Runs rounds against a server: how many could not be decided, or the round that no order explains.
pub fn run_rounds<W: World>(
    connect: impl Fn() -> Client,
    rounds: u64,
    seed: u64,
) -> Result<u64, (u64, String)> {
    let mut choice = Choice(seed);
    let mut party = Party::meet::<W>(connect);
    let mut model = W::default();
    let mut undecided = 0;
    for number in 0..rounds {
        let (mut events, after) = party.round(&model, &mut choice, number);
        let heard = party.listen(&mut events);
        heard.map_err(|why| (number, why + "\n" + &told(&model, &events)))?;
        match check(&model, &events, SEARCH_LIMIT) {
            Verdict::Linearizable => {}
            Verdict::Undecided => undecided += 1,
            Verdict::Impossible => return Err((number, told(&model, &events))),
        }
        model = after;
    }
    Ok(undecided)
}

pub fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok())
}

pub fn seed() -> u64 {
    let seed = variable("OCHRE_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OCHRE_TEST_SEED={seed}");
    seed
}

/// A history as a table, in the order of the requests.
pub fn told<W: World>(start: &W, events: &[Event<W>]) -> String {
    let mut events = events.to_vec();
    events.sort_by_key(|e| e.asked);
    let mut out = format!("start {start:?}\n");
    for e in events {
        out +=
            &format!("{:>6} {:>6}  client {}  {:?} -> {:?}\n", e.asked, e.answered, e.client, e.op, e.answer);
    }
    out
}
