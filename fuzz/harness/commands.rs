//! Requests of one client, run as a worker would, under a clock that moves only when told.
//!
//! Checked: no command panics; each is answered once, in well-formed RESP; one that fails or only reads has
//! changed nothing; what is propagated gives a second dataset the same content; tables, wheels and counts
//! agree.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ochre::client::{ReplyMode, Session};
use ochre::clock::Chance;
use ochre::command::{Acl, Flags, Host};
use ochre::config::Settings;
use ochre::exec::{Call, Executor, Ran, block};
use ochre::fault::Fault;
use ochre::keyspace::expiry::expire_due;
use ochre::keyspace::log::Unit;
use ochre::keyspace::{Shard, Space};
use ochre::resp::{Args, Limits, Out, OwnedArgs, Parsed, Parser, Proto, Scratch, parse_i64};

use super::node::{self, Node, drained};
use super::reply::{self, Forms};

/// Requests of an input, at most.
const MOST_COMMANDS: usize = 256;
/// Requests of a turn.
const BATCH: usize = 8;
/// Longest argument and string.
const MOST_BULK: u64 = 1024 * 1024;
/// Longer replies are not looked at.
const MOST_REPLY: usize = 4 * 1024 * 1024;
/// Keys of one DEBUG POPULATE, at most, and bytes of each value.
const MOST_POPULATED: i64 = 3000;
const MOST_POPULATED_BYTES: i64 = 256;
/// The time when an input starts, unix milliseconds.
const START_MS: u64 = 1_700_000_000_000;
/// Keys looked at by the expiry between two turns.
const EXPIRE_SLICE: usize = 64;
/// After so many inputs the datasets are made anew: what a worker would be sent by mail gathers there, with
/// nobody to read it.
const INPUTS: u32 = 2_000;
/// The place of the only worker.
const LANE: usize = 0;

/// An empty dataset under a clock that stands.
fn node() -> Node {
    let node = Node::new(&[
        ("databases", "4"),
        ("proto-max-bulk-len", "1mb"),
        ("enable-debug-command", "yes"),
        ("dev-commands", "yes"),
    ]);
    node.host.space.clock.freeze();
    node
}

/// Empties it; everything is as it was when it was new, counters and logs excepted.
fn reset(node: &mut Node, settings: &Settings, listens: bool) {
    renew(node);
    node.run(&[b"OCHRE.CLOCK", b"SET", START_MS.to_string().as_bytes()]);
    node.run(&[b"FLUSHALL", b"SYNC"]);
    let host = &node.host;
    host.reconfigure(settings.clone());
    host.space.active_expiry.store(listens, Ordering::Relaxed);
    host.space.listens.store(listens, Ordering::Relaxed);
    host.log.set_read(listens);
    host.log.drain();
    node.executor = Executor::new(host, LANE, Chance::new(1));
}

/// Another client takes the place of the one that is here, which may have asked for silence or a pause.
fn renew(node: &mut Node) {
    node.host.pause.end();
    node.renew();
}

/// Does what another dataset has propagated.
fn follow(node: &mut Node, units: Vec<Unit>, now_ms: u64) {
    if node.host.space.clock.now_ms() != now_ms {
        node.run(&[b"OCHRE.CLOCK", b"SET", now_ms.to_string().as_bytes()]);
    }
    for effect in units.into_iter().flat_map(|unit| unit.effects) {
        node.session.select(effect.db);
        let words: Vec<&[u8]> = effect.argv.iter().map(|word| &**word).collect();
        let reply = node.run(&words);
        assert!(!reply.starts_with(b"-"), "{:?}: {}", text(&words), reply.escape_ascii());
    }
}

/// A digest of all data, once every invariant was found to hold.
fn digest(node: &mut Node) -> Vec<u8> {
    let mut turn = node.part.enter(Duration::MAX).expect("patience without end");
    turn.go_exclusive();
    let held = turn.all();
    for shard in 0..node.host.space.shard_count() {
        held.get(shard).databases().for_each(|(_, keys)| keys.check_invariants());
    }
    drop(held);
    drop(turn);
    node.run(&[b"DEBUG", b"DIGEST"])
}

fn text(words: &[&[u8]]) -> Vec<String> {
    words.iter().map(|word| word[..word.len().min(80)].escape_ascii().to_string()).collect()
}

/// A dataset, and a second one that follows it.
pub struct Bench {
    settings: Arc<Settings>,
    first: Node,
    second: Node,
    inputs: u32,
}

impl Default for Bench {
    fn default() -> Bench {
        let (first, second) = (node(), node());
        Bench { settings: first.host.settings.load_full(), first, second, inputs: 0 }
    }
}

impl Bench {
    /// Runs an input.
    pub fn run(&mut self, input: &[u8]) {
        if self.inputs == INPUTS {
            *self = Bench::default();
        }
        self.inputs += 1;
        reset(&mut self.first, &self.settings, true);
        reset(&mut self.second, &self.settings, false);
        for batch in requests(input).chunks(BATCH) {
            self.turn(batch);
        }
        self.first.host.space.active_expiry.store(true, Ordering::Relaxed);
        self.turn(&[]);
        renew(&mut self.first);
        let (first, second) = (digest(&mut self.first), digest(&mut self.second));
        assert_eq!(text(&[&first]), text(&[&second]), "what was propagated gives other data");
    }

    /// As a worker's turn: the batch, with its memory fetched ahead, then what is due.
    fn turn(&mut self, batch: &[OwnedArgs]) {
        let Bench { first, second, .. } = self;
        let Node { host, executor, part, session: client, out, .. } = first;
        let host = Arc::clone(host);
        let mut turn = part.enter(Duration::MAX).expect("patience without end");
        executor.refresh(&host);
        let buckets = batch.iter().map(|args| {
            let hash = Call::of(&host, args.as_args()).hash?;
            host.space.ahead.bucket(turn.inside(), host.space.shard_of(hash), client.db, hash)
        });
        let buckets: Vec<_> = buckets.collect();
        for (args, bucket) in batch.iter().zip(buckets) {
            if let Some(bucket) = bucket {
                bucket.entries(turn.inside());
            }
            let args = args.as_args();
            if client.transaction.is_some() && stays_here(&args) {
                // Whether EXEC ran it would not show here.
                continue;
            }
            let call = Call::of(&host, args);
            let before = Shown::of(client, out);
            executor.record.begin();
            let ran = executor.run(&host, &mut turn, client, out, call);
            let after = Shown::of(client, out);
            let failed = check_reply(&args, out, ran, before, after);
            let entry = call.entry(&host);
            // A script keeps what it wrote before it failed.
            let failed = failed && !entry.is_some_and(|entry| entry.row.acl.contains(Acl::SCRIPTING));
            let reads = entry.is_some_and(|entry| {
                entry.row.flags.contains(Flags::READONLY) && !entry.row.flags.contains(Flags::MAY_REPLICATE)
            });
            assert!(!(failed || reads) || executor.record.dirty == 0, "{:?} wrote", words(&args));
            follow(second, host.log.drain(), host.space.clock.now_ms());
            if stays_here(&args) && ran == Ran::Done && !failed {
                // It is propagated to nobody.
                second.session.select(client.db);
                second.run(&args.iter().collect::<Vec<_>>());
            }
            if ran == Ran::Wait {
                host.pause.end();
            }
            if ran == Ran::Parked {
                // Nobody here takes in what a blocked client is answered later.
                block::abandon(&host, &mut turn, &client.client);
            }
            if ran == Ran::Close || client.closing || client.client.killed.load(Ordering::Relaxed) {
                host.clients.remove(client.client.id);
                *client = node::client(&host, LANE);
                *out = Out::new();
            }
        }
        turn.go_shared();
        expire(&host, executor, &mut turn);
        executor.end_turn(&host, turn);
        follow(second, host.log.drain(), host.space.clock.now_ms());
    }
}

fn expire(host: &Host, executor: &mut Executor, turn: &mut ochre::keyspace::lock::Turn<'_, Shard>) {
    let space: &Space = &host.space;
    let now_ms = space.clock.now_ms();
    for shard in space.homes(0).filter(|_| space.active_expiry.load(Ordering::Relaxed)) {
        while space.due[shard].at_ms() <= now_ms {
            executor.record.begin();
            let mut held = turn.one(shard);
            expire_due(space, shard, held.get_mut(shard), now_ms, EXPIRE_SLICE, &mut executor.record);
            executor.log_expired(host);
            drop(held);
            executor.free_garbage(host);
        }
    }
}

/// What decides the form of a reply.
#[derive(Clone, Copy)]
struct Shown {
    mode: ReplyMode,
    proto: Proto,
}

impl Shown {
    fn of(session: &Session, out: &Out) -> Shown {
        Shown { mode: session.reply, proto: out.proto() }
    }
}

/// Checks the reply to a command; true: it is an error.
fn check_reply(args: &Args<'_>, out: &mut Out, ran: Ran, before: Shown, after: Shown) -> bool {
    if out.len_bytes() > MOST_REPLY {
        out.clear();
        return false;
    }
    let bytes = drained(out);
    let has = |proto| before.proto == proto || after.proto == proto;
    let forms = Forms { resp2: has(Proto::Resp2), resp3: has(Proto::Resp3) };
    let found = reply::read(&bytes, forms);
    let expected = match (ran, before.mode, after.mode) {
        (Ran::Wait | Ran::Parked, ..) => 0,
        // It is confirmed by a push or array for each channel, whatever the mode.
        _ if is_subscribing(args) => found.replies,
        // Who monitors already is not told so again.
        _ if args.get(0).eq_ignore_ascii_case(b"MONITOR") => found.replies.min(1),
        (_, ReplyMode::On, ReplyMode::On) => 1,
        _ => found.replies.min(1),
    };
    assert_eq!(found.replies, expected, "{:?}: {}", words(args), bytes.escape_ascii());
    assert!(
        !bytes.windows(Fault::INTERNAL.text().len()).any(|part| part == Fault::INTERNAL.text()),
        "{:?} panicked",
        words(args)
    );
    found.is_error
}

fn is_subscribing(args: &Args<'_>) -> bool {
    let name = args.get(0).to_ascii_uppercase();
    // It may have been queued.
    name.ends_with(b"SUBSCRIBE") || name == b"EXEC"
}

fn words(args: &Args<'_>) -> Vec<String> {
    text(&args.iter().collect::<Vec<_>>())
}

/// The requests of an input, those left out that would end or stall the process, or leave the frozen clock or
/// the dataset.
fn requests(input: &[u8]) -> Vec<OwnedArgs> {
    let bytes = [input, b"\r\n"].concat();
    let limits = Limits { max_bulk: MOST_BULK, ..Limits::default() };
    let (mut parser, mut scratch, mut at) = (Parser::new(), Scratch::new(), 0);
    let mut found = Vec::new();
    while found.len() < MOST_COMMANDS {
        match parser.next(&bytes, &mut at, &mut scratch, &limits) {
            Ok(Parsed::Command(command)) => found.push(scratch.args(&bytes, &command).to_owned()),
            Ok(Parsed::Incomplete { .. }) => break,
            Err(_) => {
                // A real connection would end here; the next line is as good as another connection's.
                let Some(line) = bytes[at..].iter().position(|b| *b == b'\n') else { break };
                (parser, at) = (Parser::new(), at + line + 1);
            }
        }
    }
    found.retain(|args| !is_left_out(&args.as_args()));
    found
}

/// A change that is propagated to nobody, but shows in the data: keys made up, or the limits of forms.
fn stays_here(args: &Args<'_>) -> bool {
    let is_config = args.get(0).eq_ignore_ascii_case(b"CONFIG")
        && args.opt(1).is_some_and(|sub| sub.eq_ignore_ascii_case(b"SET"));
    is_config || is_populate(args)
}

fn is_populate(args: &Args<'_>) -> bool {
    args.get(0).eq_ignore_ascii_case(b"DEBUG")
        && args.opt(1).is_some_and(|sub| sub.eq_ignore_ascii_case(b"POPULATE"))
}

fn is_left_out(args: &Args<'_>) -> bool {
    let upper = |at| args.opt(at).map(<[u8]>::to_ascii_uppercase).unwrap_or_default();
    let sub = upper(1);
    match &*upper(0) {
        b"SHUTDOWN" => true,
        b"DEBUG" if is_populate(args) => [(2, MOST_POPULATED), (4, MOST_POPULATED_BYTES)]
            .iter()
            .any(|&(at, most)| args.opt(at).and_then(parse_i64).is_some_and(|number| number > most)),
        b"DEBUG" => {
            matches!(&*sub, b"ASSERT" | b"CONFIG-REWRITE-FORCE-ALL" | b"PANIC" | b"SEGFAULT" | b"SLEEP")
        }
        b"CONFIG" => {
            let elsewhere: [&[u8]; 4] = [b"DIR", b"DBFILENAME", b"LOGFILE", b"PROTO-MAX-BULK-LEN"];
            sub == b"REWRITE" || (sub == b"SET" && (2..args.len()).any(|at| elsewhere.contains(&&*upper(at))))
        }
        b"OCHRE.CLOCK" => matches!(&*sub, b"RATE" | b"RESUME"),
        _ => false,
    }
}
