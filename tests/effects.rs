//! Whether a follower that hears only of effects ends up with the same data.
//!
//! For: the commit log: the form in which each write command is propagated, that nothing else is, and that
//! its order is the order in which things happened. May touch: sockets, the commit log.
//! Always: the follower removes nothing by itself, and is asked to change nothing but by effects.
//!
//! `OCHRE_TEST_SEED` repeats a run's choices (not its timing), `OCHRE_EFFECTS_SEQUENCES` makes it longer.

#[path = "effects/functions.rs"]
mod functions;
#[path = "effects/geo.rs"]
mod geo;
#[path = "effects/hashes.rs"]
mod hashes;
#[path = "effects/hyperloglog.rs"]
mod hyperloglog;
#[path = "effects/lists.rs"]
mod lists;
#[path = "effects/pick.rs"]
mod pick;
#[path = "effects/scripts.rs"]
mod scripts;
#[path = "effects/sets.rs"]
mod sets;
#[path = "effects/sort.rs"]
mod sort;
#[path = "effects/sorted_sets.rs"]
mod sorted_sets;
#[path = "effects/streams.rs"]
mod streams;
#[path = "effects/strings.rs"]
mod strings;
mod support;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;

use ochre::clock::Chance;
use ochre::command::Flags;
use ochre::config::Directive;
use ochre::keyspace::log::Unit;
use ochre::keyspace::record::Effect;
use pick::{Draw, Pick};
use support::Client;
use support::local::{Content, DATABASES, Dataset, Local, START_MS, ask, ask_all, ask_int, dataset};
use support::spelling::{shown, spelled};

/// Random sequences unless told otherwise.
const SEQUENCES: u64 = 12;
/// Commands of a sequence.
const COMMANDS: usize = 400;
/// Connections that act at the same time.
const CLIENTS: usize = 4;

/// Lockings between two short rests, which let clients meet where they otherwise hardly do.
const LOCKINGS_PER_REST: u32 = 10;

/// A server that is told effects, and the client that tells them.
struct Follower {
    local: Local,
    client: Client,
    db: usize,
}

impl Follower {
    /// A follower with the same settings.
    fn of(leader: &Local) -> Follower {
        let lazy = leader.host().settings.load().bool(Directive::LazyfreeLazyExpire);
        let local = Local::frozen(&[("lazyfree-lazy-expire", if lazy { "yes" } else { "no" })]);
        local.read_log();
        local.host().space.active_expiry.store(false, Ordering::SeqCst);
        let client = local.client();
        Follower { local, client, db: 0 }
    }

    /// Does what the units say. Each must be propagated again as it came, or a follower of this one would
    /// differ.
    fn apply(&mut self, units: &[Unit]) {
        let effects: Vec<&Effect> = units.iter().flat_map(|unit| &unit.effects).collect();
        let mut sent = Vec::new();
        for effect in &effects {
            if effect.db != self.db {
                self.db = effect.db;
                sent.push(format!("SELECT {}", self.db));
                self.client.send(&["SELECT", &self.db.to_string()]).expect("a request is sent");
            }
            sent.push(shown(effect, START_MS));
            self.client.send(&effect.argv).expect("a request is sent");
        }
        for line in sent {
            let reply = self.client.read().expect("a request is answered");
            assert!(!reply.is_error(), "the effect {line}: {reply:?}");
        }
        let again = self.local.drain();
        let again: Vec<&Effect> = again.iter().flat_map(|unit| &unit.effects).collect();
        for (first, second) in effects.iter().zip(&again) {
            assert_eq!(shown(first, START_MS), shown(second, START_MS), "an effect's own effect");
        }
        assert_eq!(effects.len(), again.len());
    }

    fn dataset(&mut self) -> Dataset {
        let mut client = self.local.client();
        dataset(&mut client)
    }
}

/// Runs each line and compares what was logged; `=` is the line itself. Ends by comparing a follower's data.
fn check(leader: &Local, steps: &[(&str, &str)]) {
    leader.read_log();
    let mut follower = Follower::of(leader);
    let mut client = leader.client();
    let clock = &leader.host().space.clock;
    for (at, &(line, expected)) in steps.iter().enumerate() {
        let now_ms = clock.now_ms();
        let sent = spelled(line, now_ms);
        // Errors are among the steps.
        client.call(&support::local::words(&sent)).expect("the server answers");
        let units = leader.drain();
        let effects = units.iter().flat_map(|unit| &unit.effects).map(|effect| shown(effect, clock.now_ms()));
        let found = effects.collect::<Vec<_>>().join("; ");
        let expected = match expected {
            "=" if line.contains("@@") => panic!("step {at}: seconds are not shown as they came"),
            "=" => line,
            _ => expected,
        };
        assert_eq!(found, expected, "step {at}: {line}");
        follower.apply(&units);
    }
    leader.host().space.active_expiry.store(true, Ordering::SeqCst);
    ask(&mut client, "OCHRE.CLOCK ADVANCE 0");
    follower.apply(&leader.drain());
    assert_eq!(dataset(&mut client), follower.dataset());
}

#[test]
fn every_command_is_propagated_in_its_own_form() {
    for (examples, _) in FAMILIES {
        check(&Local::frozen(&[]), examples);
    }
}

#[test]
fn a_script_is_propagated_as_what_its_commands_did() {
    check(&Local::frozen(&[]), scripts::EXAMPLES);
}

#[test]
fn a_script_is_one_unit_of_the_log() {
    let leader = Local::frozen(&[]);
    leader.read_log();
    let mut client = leader.client();
    ask(&mut client, "EVAL redis.call('set','a',1)redis.call('set','b',2)redis.call('set','c',3) 0");
    let units = leader.drain();
    assert_eq!(units.iter().map(|unit| unit.effects.len()).collect::<Vec<_>>(), [3]);
}

/// What happens to a key whose deadline has passed when nothing but commands removes it; `E` is its removal.
const EXPIRED: &[(&str, &str)] = &[
    ("GET k", "E k"),
    ("EXISTS k", "E k"),
    ("TYPE k", "E k"),
    ("TTL k", "E k"),
    ("TOUCH k", "E k"),
    ("MGET a k", "E k"),
    ("STRLEN k", "E k"),
    ("SET k v", "E k; SET k v"),
    ("SET k v XX", "E k"),
    ("SET k v NX", "E k; SET k v NX"),
    ("SETEX k 1 v", "E k; SET k v PXAT @1000"),
    ("INCR k", "E k; INCR k"),
    ("APPEND k v", "E k; APPEND k v"),
    ("GETDEL k", "E k"),
    ("GETEX k PERSIST", "E k"),
    ("INCRBYFLOAT k 1", "E k; SET k 1 KEEPTTL"),
    ("MSETNX a 1 k 2", "E k; MSETNX a 1 k 2"),
    ("DEL k", "E k"),
    ("UNLINK a k", "E k"),
    ("RENAME k a", "E k"),
    ("COPY k a", "E k"),
    ("MOVE k 1", "E k"),
    ("EXPIRE k 10", "E k"),
    ("EXPIRE k -1", "E k"),
    ("PERSIST k", "E k"),
    ("SCAN 0 COUNT 1000", "E k"),
    ("RANDOMKEY", "E k"),
    ("MSETEX 1 k v EXAT 1", "E k; MSETEX 1 k v PXAT 1000"),
    ("MSETEX 2 l v l w EXAT 1", "E l; MSETEX 2 l v l w PXAT 1000"),
    ("INCR k x", ""),
    ("KEYS *", ""),
    ("DBSIZE", ""),
    ("FLUSHDB", "FLUSHDB"),
];

#[test]
fn a_key_that_expired_is_removed_before_anything_else_happens_to_it() {
    for (lazy, removal) in [("yes", "UNLINK"), ("no", "DEL")] {
        for &(line, expected) in EXPIRED {
            let leader = Local::frozen(&[("lazyfree-lazy-expire", lazy)]);
            leader.host().space.active_expiry.store(false, Ordering::SeqCst);
            let expected = expected.replace("E ", &format!("{removal} "));
            check(
                &leader,
                &[("PSETEX k 10 5", "SET k 5 PXAT @10"), ("OCHRE.CLOCK ADVANCE 10", ""), (line, &expected)],
            );
        }
        let leader = Local::frozen(&[("lazyfree-lazy-expire", lazy)]);
        let (one, two, three) = (format!("{removal} k"), format!("[1] {removal} k"), format!("{removal} l"));
        check(
            &leader,
            &[
                ("PSETEX k 10 v", "SET k v PXAT @10"),
                ("PSETEX l 5 v", "SET l v PXAT @5"),
                ("COPY k k DB 1", "="),
                ("OCHRE.CLOCK ADVANCE 9", &three),
                ("PERSIST k", "="),
                ("PEXPIREAT k @10", "="),
                ("OCHRE.CLOCK ADVANCE 1", &two),
                ("OCHRE.CLOCK ADVANCE 9", &one),
                ("PSETEX k 10 v", "SET k v PXAT @10"),
                ("GETEX k EXAT 1", &one),
                ("PSETEX k 10 v", "SET k v PXAT @10"),
                ("INCREX k EXAT 1", ""),
                ("SET k v EXAT 1", &one),
                ("INCREX n", "SET n 1 KEEPTTL"),
            ],
        );
    }
}

/// A family's examples: a line, and what becomes of it.
type Examples = &'static [(&'static str, &'static str)];

/// The families: examples that write, in an order in which they can run, and how the arguments of every write
/// command are drawn.
const FAMILIES: &[(Examples, &[(&str, Draw)])] = &[
    (strings::EXAMPLES, strings::DRAWN),
    (sets::EXAMPLES, sets::DRAWN),
    (hashes::EXAMPLES, hashes::DRAWN),
    (geo::EXAMPLES, geo::DRAWN),
    (hyperloglog::EXAMPLES, hyperloglog::DRAWN),
    (sort::EXAMPLES, sort::DRAWN),
    (lists::EXAMPLES, lists::DRAWN),
    (sorted_sets::EXAMPLES, sorted_sets::DRAWN),
    (streams::EXAMPLES, streams::DRAWN),
    (functions::EXAMPLES, functions::DRAWN),
    // More families follow.
];

/// A random command that may write, read, or choose another database.
fn drawn(pick: &mut Pick, now_ms: u64) -> String {
    let line = match pick.below(12) {
        0 => format!("SELECT {}", pick.below(DATABASES as u64)),
        1 => format!("MGET {}", pick.keys()),
        2 => "SCAN 0 COUNT 100".to_owned(),
        _ => {
            let (_, family) = FAMILIES[pick.below(FAMILIES.len() as u64) as usize];
            let (name, arguments) = &family[pick.below(family.len() as u64) as usize];
            // Emptying is drawn less often than anything else, or there would be little to do for the others.
            if name.starts_with("FLUSH") && pick.below(4) > 0 {
                return drawn(pick, now_ms);
            }
            format!("{name} {}", arguments(pick)).trim_end().to_owned()
        }
    };
    spelled(&line, now_ms)
}

/// The names of the commands that write.
fn writers(local: &Local) -> BTreeSet<String> {
    let entries = local.host().table.entries().iter();
    let writes = entries.filter(|e| e.subs.is_empty() && e.row.flags.contains(Flags::WRITE));
    // Subcommands stand together.
    let name = |name: &str| name.split('|').next().unwrap_or_default().to_ascii_uppercase();
    writes.map(|e| name(&e.full_name)).collect()
}

#[test]
fn every_write_command_is_among_the_examples_and_among_those_drawn() {
    let writers = writers(&Local::start());
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    let examples: BTreeSet<_> = FAMILIES
        .iter()
        .flat_map(|(examples, _)| *examples)
        .filter(|(_, e)| !e.is_empty())
        .map(|(l, _)| name(l))
        .collect();
    let drawn: BTreeSet<_> =
        FAMILIES.iter().flat_map(|(_, drawn)| *drawn).map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(writers.difference(&examples).collect::<Vec<_>>(), Vec::<&String>::new(), "lack an example");
    assert_eq!(writers.difference(&drawn).collect::<Vec<_>>(), Vec::<&String>::new(), "are never drawn");
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok())
}

fn seed() -> u64 {
    let seed = variable("OCHRE_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OCHRE_TEST_SEED={seed}");
    seed
}

/// Runs sequences of random commands by so many clients at once, the clock moving in between; after each, a
/// follower that was told the effects has to hold the same.
fn follow(clients: usize, removes_by_itself: bool) {
    let chance = Chance::new(seed());
    let leader = Local::frozen(&[]);
    leader.read_log();
    let space = &leader.host().space;
    if clients > 1 {
        space.shards.rest(LOCKINGS_PER_REST);
    }
    let mut follower = Follower::of(&leader);
    let mut control = leader.client();
    let mut connections: Vec<Client> = (0..clients).map(|_| leader.client()).collect();
    let mut logged = BTreeSet::new();
    for sequence in 0..variable("OCHRE_EFFECTS_SEQUENCES").unwrap_or(SEQUENCES) {
        space.active_expiry.store(removes_by_itself, Ordering::SeqCst);
        for slice in 0..4 {
            std::thread::scope(|scope| {
                for (id, client) in connections.iter_mut().enumerate() {
                    let mut pick = Pick(chance.fork(sequence << 16 | slice << 8 | id as u64));
                    scope.spawn(move || {
                        let now_ms = space.clock.now_ms();
                        let count = COMMANDS / 4 / clients;
                        let lines: Vec<String> = (0..count).map(|_| drawn(&mut pick, now_ms)).collect();
                        // Some are refused, as such commands are.
                        ask_all(client, &lines);
                    });
                }
            });
            ask(&mut control, "OCHRE.CLOCK ADVANCE 700");
        }
        space.active_expiry.store(true, Ordering::SeqCst);
        ask(&mut control, "OCHRE.CLOCK ADVANCE 0");
        let expected = dataset(&mut control);
        let units = leader.drain();
        let effects = units.iter().flat_map(|unit| &unit.effects);
        logged.extend(effects.map(|it| String::from_utf8_lossy(&it.argv[0]).to_ascii_uppercase()));
        follower.apply(&units);
        compare(sequence, &expected, &follower.dataset());
    }
    let rewritten = ["SETEX", "PSETEX", "GETSET", "GETEX", "GETDEL", "INCRBYFLOAT", "INCREX", "DELIFEQ"];
    let relative = ["EXPIRE", "PEXPIRE", "EXPIREAT"];
    for name in rewritten.iter().chain(&relative) {
        assert!(!logged.contains(*name), "{name} is propagated as something else");
    }
}

fn compare(sequence: u64, leader: &Dataset, follower: &Dataset) {
    let places: BTreeSet<_> = leader.keys().chain(follower.keys()).collect();
    for place in places {
        let (here, there): (Option<&Content>, Option<&Content>) = (leader.get(place), follower.get(place));
        assert_eq!(here, there, "sequence {sequence}: {} in database {}", place.1.escape_ascii(), place.0);
    }
}

#[test]
fn a_follower_of_one_client_holds_the_same() {
    follow(1, true);
    follow(1, false);
}

#[test]
fn a_follower_of_several_clients_holds_the_same() {
    follow(CLIENTS, true);
    follow(CLIENTS, false);
}

/// SCAN holds one shard after another. Keys that it finds expired are set again by others as soon as it lets
/// go.
#[test]
fn a_key_that_a_scan_removes_and_another_client_sets_again_is_there_for_a_follower() {
    let leader = Local::frozen(&[]);
    leader.read_log();
    leader.host().space.active_expiry.store(false, Ordering::SeqCst);
    let mut follower = Follower::of(&leader);
    let mut control = leader.client();
    let mut others: Vec<Client> = (0..CLIENTS).map(|_| leader.client()).collect();
    let keys: Vec<String> = (0..500).map(|n| format!("key:{n}")).collect();
    for round in 0..10 {
        let set: Vec<String> = keys.iter().map(|key| format!("PSETEX {key} 10 {round}")).collect();
        ask_all(&mut control, &set);
        ask(&mut control, "OCHRE.CLOCK ADVANCE 10");
        std::thread::scope(|scope| {
            let control = &mut control;
            scope.spawn(move || ask(control, "SCAN 0 COUNT 100000"));
            for (id, client) in others.iter_mut().enumerate() {
                let keys = &keys;
                scope.spawn(move || {
                    for key in keys.iter().skip(id).step_by(CLIENTS) {
                        ask(client, &format!("SET {key} again"));
                    }
                });
            }
        });
        let expected = dataset(&mut control);
        assert_eq!(expected.len(), keys.len());
        follower.apply(&leader.drain());
        compare(round, &expected, &follower.dataset());
    }
    assert_eq!(ask_int(&mut control, "DBSIZE"), keys.len() as i64);
}
