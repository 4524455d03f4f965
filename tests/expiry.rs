//! Whether keys leave when they should: not before, not much later, and in order.
//!
//! For: deadlines on a real clock and on one that is moved. May touch: sockets, the commit log, lengths of
//! wheels.
//! Always: nothing is asserted about how long anything takes, except that it ends.
//!
//! `OCHRE_TEST_SEED` repeats a run's choices.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ochre::clock::Chance;
use ochre::keyspace::log::Unit;
use ochre::keyspace::record::Effect;
use support::local::{DATABASES, Local, Place, START_MS, ask, ask_all, ask_int, dataset};
use support::{Client, Reply};

/// Looks at whether keys are gone, 5 ms apart, before a test gives up.
const TRIES: usize = 4_000;
/// Steps of the random test.
const STEPS: usize = 3_000;

/// Calls `done` until it says so.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not after {TRIES} tries");
}

/// The keys that the units removed, in order.
fn removed(units: &[Unit]) -> Vec<Place> {
    let effects = units.iter().flat_map(|unit| &unit.effects);
    let removals = effects.filter(|it| &*it.argv[0] == b"UNLINK");
    removals.map(|it| (it.db, it.argv[1].to_vec())).collect()
}

fn seed() -> u64 {
    let given = std::env::var("OCHRE_TEST_SEED").ok().and_then(|v| v.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OCHRE_TEST_SEED={seed}");
    seed
}

/// Sets so many keys that live from `least_ms` on, spread over `spread_ms`; answers their deadlines.
fn set_spread(client: &mut Client, count: u64, least_ms: u64, spread_ms: u64) -> BTreeMap<Vec<u8>, u64> {
    let lifetime = |n: u64| least_ms + n * 7_919 % spread_ms;
    let set: Vec<String> = (0..count).map(|n| format!("PSETEX key:{n} {} v", lifetime(n))).collect();
    ask_all(client, &set);
    let tell: Vec<String> = (0..count).map(|n| format!("PEXPIRETIME key:{n}")).collect();
    let told = ask_all(client, &tell).into_iter().enumerate().filter_map(|(n, reply)| match reply {
        Reply::Integer(at) => u64::try_from(at).ok().map(|at| (format!("key:{n}").into_bytes(), at)),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn keys_leave_by_themselves_on_a_real_clock_and_none_before_its_time() {
    const COUNT: u64 = 2_000;
    let local = Local::start();
    let clock = &local.host().space.clock;
    let mut client = local.client();
    // Long enough for all to be set before the first leaves.
    let deadlines = set_spread(&mut client, COUNT, 4_000, 1_000);
    assert_eq!(deadlines.len() as u64, COUNT);
    local.read_log();
    let mut left = BTreeSet::new();
    wait_for("2,000 keys leave", || {
        let units = local.drain();
        let now_ms = clock.now_ms();
        for (db, key) in removed(&units) {
            assert!(deadlines[&key] <= now_ms, "{} left early", key.escape_ascii());
            assert_eq!((db, left.insert(key)), (0, true));
        }
        left.len() as u64 == COUNT
    });
    assert_eq!(ask_int(&mut client, "DBSIZE"), 0);
    // Counters are added up at the end of a turn, after the log was written.
    wait_for("INFO counts 2,000 keys", || {
        let stats = ask(&mut client, "INFO stats").text().expect("INFO answers a text");
        stats.lines().any(|line| line == format!("expired_keys:{COUNT}"))
    });
    let (items, live) = local.wheel_items();
    assert_eq!((items, live), (0, 0));
}

#[test]
fn what_is_told_about_a_lifetime_agrees_with_the_clock_until_the_key_is_gone() {
    let local = Local::start();
    let clock = &local.host().space.clock;
    let mut client = local.client();
    let deadlines = set_spread(&mut client, 40, 100, 300);
    let mut here: BTreeMap<_, _> = deadlines.iter().collect();
    wait_for("keys leave", || {
        here.retain(|key, at| {
            let before_ms = clock.now_ms();
            let told = client.call(&[b"PTTL", &key[..]]).expect("PTTL is answered");
            let after_ms = clock.now_ms();
            match told {
                Reply::Integer(-2) => assert!(**at <= after_ms, "{} left early", key.escape_ascii()),
                Reply::Integer(ms) => {
                    let now_ms = **at - ms as u64;
                    assert!(ms > 0 && (before_ms..=after_ms).contains(&now_ms), "{ms} of {at}");
                    return true;
                }
                other => panic!("{other:?}"),
            }
            false
        });
        here.is_empty()
    });
}

#[test]
fn a_stopped_clock_keeps_every_key_and_each_step_removes_exactly_what_is_due() {
    let local = Local::frozen(&[]);
    let mut client = local.client();
    let mut deadlines: Vec<(u64, Place)> = Vec::new();
    for db in 0..DATABASES {
        ask(&mut client, &format!("SELECT {db}"));
        let keys: Vec<u64> = (0..3_000).collect();
        let lifetime = |n: u64| 1 + (n * 7_919 + db as u64 * 13) % 10_000;
        let set: Vec<String> = keys.iter().map(|n| format!("PSETEX {db}:{n} {} v", lifetime(*n))).collect();
        ask_all(&mut client, &set);
        let place = |n: &u64| (START_MS + lifetime(*n), (db, format!("{db}:{n}").into_bytes()));
        deadlines.extend(keys.iter().map(place));
    }
    deadlines.sort();
    local.read_log();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(ask_int(&mut client, "DBSIZE"), 3_000);
    let at: BTreeMap<Place, u64> = deadlines.iter().map(|(at, place)| (place.clone(), *at)).collect();
    let (mut now_ms, mut gone) = (START_MS, 0);
    for by_ms in [0, 1, 1, 98, 1_000, 3, 5_000, 3_896, 1, 10_000] {
        now_ms += by_ms;
        assert_eq!(ask_int(&mut client, &format!("OCHRE.CLOCK ADVANCE {by_ms}")) as u64, now_ms);
        let found = removed(&local.drain());
        let due = deadlines.partition_point(|(at, _)| *at <= now_ms);
        let expected: BTreeSet<&Place> = deadlines[gone..due].iter().map(|(_, place)| place).collect();
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(found.len(), due - gone);
        assert!(found.is_sorted_by_key(|place| at[place]), "not in order of deadlines");
        gone = due;
        let left: i64 = (0..DATABASES)
            .map(|db| {
                ask(&mut client, &format!("SELECT {db}"));
                ask_int(&mut client, "DBSIZE")
            })
            .sum();
        assert_eq!(left as usize, deadlines.len() - gone);
    }
    assert_eq!(gone, deadlines.len());
}

#[test]
fn a_clock_that_is_set_back_gives_time_back_and_one_set_forward_takes_it() {
    let local = Local::frozen(&[]);
    local.read_log();
    let mut client = local.client();
    ask_all(&mut client, &["PSETEX a 100 v", "PSETEX b 200 v", "PSETEX c 5000 v", "SET d v"]);
    // In every shard something leaves, so that all wheels have turned to a time that then lies ahead.
    let others: Vec<String> = (0..1_000).map(|n| format!("PSETEX other:{n} 100 v")).collect();
    ask_all(&mut client, &others);
    ask(&mut client, "OCHRE.CLOCK ADVANCE 150");
    let names = |units: &[Unit]| -> Vec<String> {
        removed(units).into_iter().map(|(_, key)| String::from_utf8_lossy(&key).into_owned()).collect()
    };
    assert_eq!(names(&local.drain()).len(), 1_001);
    ask(&mut client, &format!("OCHRE.CLOCK SET {}", START_MS - 1_000));
    assert_eq!(ask_int(&mut client, "PTTL b"), 1_200);
    assert_eq!(ask_int(&mut client, "EXISTS a"), 0, "what is gone stays gone");
    ask(&mut client, "PSETEX e 10 v");
    ask(&mut client, "OCHRE.CLOCK ADVANCE 9");
    assert!(names(&local.drain()).is_empty());
    ask(&mut client, "OCHRE.CLOCK ADVANCE 1");
    assert_eq!(names(&local.drain()), ["e"]);
    ask(&mut client, &format!("OCHRE.CLOCK SET {}", START_MS + 199));
    assert!(names(&local.drain()).is_empty());
    ask(&mut client, &format!("OCHRE.CLOCK SET {}", START_MS + 200));
    assert_eq!(names(&local.drain()), ["b"]);
    ask(&mut client, &format!("OCHRE.CLOCK SET {}", START_MS + 1_000_000_000));
    assert_eq!(names(&local.drain()), ["c"]);
    ask(&mut client, "PSETEX f 60000 v");
    // The machine's time is far ahead.
    ask(&mut client, "OCHRE.CLOCK RESUME");
    assert_eq!(names(&local.drain()), ["f"]);
    assert_eq!(ask_int(&mut client, "DBSIZE"), 1);
}

#[test]
fn a_fast_clock_makes_keys_leave_by_themselves_and_none_before_its_time() {
    const COUNT: u64 = 500;
    let local = Local::frozen(&[]);
    local.read_log();
    let clock = &local.host().space.clock;
    let mut client = local.client();
    let deadlines = set_spread(&mut client, COUNT, 1, 30_000);
    ask(&mut client, "PSETEX far 3000000 v");
    ask(&mut client, "OCHRE.CLOCK RATE 100");
    let mut left = 0;
    wait_for("keys leave at a hundred times the speed", || {
        let units = local.drain();
        let now_ms = clock.now_ms();
        for (_, key) in removed(&units) {
            assert!(deadlines[&key] <= now_ms, "{} left early", key.escape_ascii());
            left += 1;
        }
        left == COUNT
    });
    assert_eq!(ask_int(&mut client, "DBSIZE"), 1);
    ask(&mut client, "OCHRE.CLOCK FREEZE");
    let ttl_ms = ask_int(&mut client, "PTTL far");
    // The last of the others has left, so it is at least that late.
    let last_ms = *deadlines.values().max().expect("there are some");
    let most_ms = (START_MS + 3_000_000 - last_ms) as i64;
    assert!((1..=most_ms).contains(&ttl_ms), "{ttl_ms} of {most_ms}");
    assert_eq!(ask_int(&mut client, "PTTL far"), ttl_ms);
}

#[test]
fn a_key_given_less_time_by_another_client_leaves_while_its_server_sleeps() {
    let local = Local::start();
    local.read_log();
    let mut clients: Vec<Client> = (0..4).map(|_| local.client()).collect();
    for round in 0..20 {
        for n in 0..64 {
            ask(&mut clients[n % 4], &format!("SET {round}:{n} v EX 1000"));
        }
        for n in 0..64 {
            ask(&mut clients[(n + round) % 4], &format!("PEXPIRE {round}:{n} {}", 1 + n % 7));
        }
        let mut left = 0;
        wait_for("shortened keys leave", || {
            left += removed(&local.drain()).len();
            left == 64
        });
    }
}

/// What a random test expects: the deadline of every key, by database and name.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Place, Option<u64>>,
    now_ms: u64,
}

/// One step of the random test: the line to send, after the model has done it.
fn step(model: &mut Model, chance: &mut Chance, db: usize) -> String {
    let mut name = || format!("k{}", chance.below(40));
    let (one, other) = (name(), name());
    let here = (db, one.clone().into_bytes());
    let ms = 1 + chance.below(3_000);
    let at = model.now_ms + ms;
    let target = chance.below(DATABASES as u64) as usize;
    let old = model.keys.get(&here).copied();
    let choice = chance.below(17);
    match choice {
        0 | 1 => {
            model.keys.insert(here, Some(at));
            format!("SET {one} v PX {ms}")
        }
        2 => {
            model.keys.insert(here, Some(at));
            format!("PSETEX {one} {ms} {}", "long".repeat(chance.below(40) as usize + 1))
        }
        3 => {
            model.keys.insert(here, None);
            format!("SET {one} v")
        }
        4 => {
            model.keys.insert(here, old.flatten());
            format!("SET {one} w KEEPTTL")
        }
        5 | 6 => {
            model.keys.entry(here).and_modify(|it| *it = Some(at));
            format!("PEXPIRE {one} {ms}")
        }
        7 => {
            model.keys.entry(here).and_modify(|it| *it = it.map(|old| old.max(at)));
            format!("PEXPIREAT {one} {at} GT")
        }
        8 => {
            model.keys.entry(here).and_modify(|it| *it = Some(it.map_or(at, |old| old.min(at))));
            format!("PEXPIREAT {one} {at} LT")
        }
        9 => {
            model.keys.entry(here).and_modify(|it| *it = None);
            format!("PERSIST {one}")
        }
        13 => {
            model.keys.entry(here).and_modify(|it| *it = Some(at));
            format!("GETEX {one} PX {ms}")
        }
        14 => {
            model.keys.insert(here, old.flatten());
            format!("APPEND {one} x")
        }
        _ => {
            let swap = choice == 16 && chance.below(10) == 0;
            travel(model, (one, other), (db, target), if swap { 17 } else { choice }, ms)
        }
    }
}

/// Steps that move keys, or concern two of them.
fn travel(
    model: &mut Model,
    (one, other): (String, String),
    (db, target): (usize, usize),
    choice: u64,
    ms: u64,
) -> String {
    let (here, there) = ((db, one.clone().into_bytes()), (db, other.clone().into_bytes()));
    let old = model.keys.get(&here).copied();
    let at = model.now_ms + ms;
    match choice {
        10 => {
            if let Some(deadline) = model.keys.remove(&here) {
                model.keys.insert(there, deadline);
            }
            format!("RENAME {one} {other}")
        }
        11 => {
            if let Some(deadline) = old
                && (db, &one) != (target, &other)
            {
                model.keys.insert((target, other.clone().into_bytes()), deadline);
            }
            format!("COPY {one} {other} DB {target} REPLACE")
        }
        12 => {
            let goal = (target, one.clone().into_bytes());
            if let Some(deadline) = old
                && !model.keys.contains_key(&goal)
            {
                model.keys.remove(&here);
                model.keys.insert(goal, deadline);
            }
            format!("MOVE {one} {target}")
        }
        15 => {
            model.keys.remove(&here);
            model.keys.remove(&there);
            format!("DEL {one} {other}")
        }
        17 => {
            let swapped = |at: usize| {
                if at == db {
                    target
                } else if at == target {
                    db
                } else {
                    at
                }
            };
            let keys = std::mem::take(&mut model.keys);
            model.keys =
                keys.into_iter().map(|((at, key), deadline)| ((swapped(at), key), deadline)).collect();
            format!("SWAPDB {db} {target}")
        }
        _ => {
            model.keys.insert(here, Some(at));
            model.keys.insert(there, Some(at));
            format!("MSETEX 2 {one} 1 {other} 2 PX {ms}")
        }
    }
}

#[test]
fn whatever_is_done_to_keys_they_leave_at_their_deadlines() {
    let mut chance = Chance::new(seed());
    let local = Local::frozen(&[]);
    local.read_log();
    let mut clients: Vec<Client> = (0..DATABASES).map(|_| local.client()).collect();
    for (db, client) in clients.iter_mut().enumerate() {
        ask(client, &format!("SELECT {db}"));
    }
    let mut control = local.client();
    let mut model = Model { now_ms: START_MS, ..Model::default() };
    for number in 0..STEPS {
        let db = chance.below(DATABASES as u64) as usize;
        let line = step(&mut model, &mut chance, db);
        // RENAME of a missing key and COPY onto itself are refused.
        clients[db].call(&support::local::words(&line)).expect("the server answers");
        if chance.below(8) > 0 {
            continue;
        }
        local.drain();
        let was_ms = model.now_ms;
        let line = match chance.below(12) {
            0 => {
                model.now_ms -= chance.below(2_000);
                format!("OCHRE.CLOCK SET {}", model.now_ms)
            }
            1 => {
                model.now_ms += chance.below(100_000);
                format!("OCHRE.CLOCK SET {}", model.now_ms)
            }
            _ => {
                model.now_ms += chance.below(400);
                format!("OCHRE.CLOCK ADVANCE {}", model.now_ms - was_ms)
            }
        };
        assert_eq!(ask_int(&mut control, &line) as u64, model.now_ms, "step {number}: {line}");
        let found = removed(&local.drain());
        let now_ms = model.now_ms;
        let due: BTreeMap<Place, u64> = model
            .keys
            .extract_if(.., |_, deadline| deadline.is_some_and(|at| at <= now_ms))
            .filter_map(|(place, deadline)| Some((place, deadline?)))
            .collect();
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), due.keys().collect(), "step {number}: {line}");
        assert_eq!(found.len(), due.len(), "step {number}: {line}");
        assert!(found.is_sorted_by_key(|place| due[place]), "step {number}: not in order of deadlines");
    }
    let expected: BTreeMap<&Place, i64> =
        model.keys.iter().map(|(place, deadline)| (place, deadline.map_or(-1, |at| at as i64))).collect();
    let found = dataset(&mut control);
    let found: BTreeMap<&Place, i64> = found.iter().map(|(place, it)| (place, it.deadline_ms)).collect();
    assert_eq!(found, expected);
    let (items, live) = local.wheel_items();
    assert_eq!(live, expected.values().filter(|at| **at >= 0).count());
    assert!(items >= live);
}

/// Rewrites a few keys many times; the wheels must not keep an item of each.
fn rewrite(line: impl Fn(u64) -> Vec<String>) {
    const TIMES: u64 = 100_000;
    let local = Local::frozen(&[]);
    let mut client = local.client();
    for batch in 0..TIMES / 1_000 {
        let lines: Vec<String> = (0..1_000).flat_map(|n| line(batch * 1_000 + n)).collect();
        ask_all(&mut client, &lines);
    }
    let (items, live) = local.wheel_items();
    assert!((1..=4).contains(&live), "{live}");
    // A wheel is made anew when it holds twice as many items as there are keys, and some.
    assert!(items < 4 * 100, "{items} items for {live} keys");
}

#[test]
fn rewriting_keys_with_ever_new_lifetimes_leaves_nothing_behind() {
    rewrite(|n| vec![format!("PSETEX k{} {} v", n % 4, 1_000_000 + n)]);
    rewrite(|n| vec![format!("PSETEX k{} {} v", n % 4, 1_000_000 - n)]);
    rewrite(|n| {
        vec![format!("SET k{} v", n % 4), format!("PEXPIRE k{} {}", n % 4, 500_000 + n * 7_919 % 500_000)]
    });
    rewrite(|n| vec![format!("DEL k{}", n % 4), format!("SET k{} v PX {}", n % 4, 1_000_000 - n)]);
    rewrite(|n| vec![format!("SET k0 v PX {}", 1_000_000 - n), "RENAME k0 k1".to_owned()]);
}

/// A reply's words, those of an aggregate in order of the alphabet.
fn sorted(reply: &Reply) -> String {
    match reply.members() {
        Some(members) => {
            let mut all: Vec<String> = members.iter().map(sorted).collect();
            all.sort();
            format!("[{}]", all.join(" "))
        }
        None => match reply {
            Reply::NullBulk => "nil".into(),
            Reply::Integer(n) => n.to_string(),
            other => other.text().expect("a text"),
        },
    }
}

#[test]
fn a_pause_hides_what_is_due_and_removes_nothing_until_it_ends() {
    let local = Local::frozen(&[]);
    let (mut admin, mut watcher) = (local.client(), local.client());
    ask_all(
        &mut admin,
        &["PSETEX due 100 v", "SADD set a", "PEXPIRE set 100", "SADD other a b", "SET stays v"],
    );
    ask_all(&mut admin, &["HSET h a 1 b 2 c 3", "HPEXPIRE h 100 FIELDS 2 a b", "HSET all a 1"]);
    ask_all(&mut admin, &["HPEXPIRE all 100 FIELDS 1 a", "PSETEX later 2000 v"]);
    ask_all(&mut watcher, &["WATCH due", "GET due", "MULTI", "GET stays"]);
    local.read_log();
    ask_all(&mut admin, &["CLIENT PAUSE 1000 WRITE", "OCHRE.CLOCK ADVANCE 999"]);
    let lines = [
        ("DBSIZE", "7"),
        ("GET due", "nil"),
        ("EXISTS due set all h", "1"),
        ("TTL due", "-2"),
        ("KEYS *", "[all h later other stays]"),
        ("KEYS due", "[]"),
        ("SCAN 0 COUNT 1000", "[0 [all h later other stays]]"),
        ("SUNION set other", "[a b]"),
        ("ZUNION 2 set other", "[a b]"),
        ("SINTERCARD 2 set other", "0"),
        ("HGETALL h", "[3 c]"),
        ("HLEN h", "1"),
        ("HGET h a", "nil"),
        ("HTTL h FIELDS 2 a c", "[-1 -2]"),
        ("HSCAN h 0", "[0 [3 c]]"),
        ("HLEN all", "0"),
        (
            "EVAL_RO return{redis.call('HLEN','h'),redis.call('HKEYS','h'),redis.call('HLEN','all')} 0",
            "[0 1 [c]]",
        ),
        ("DBSIZE", "7"),
    ];
    for (line, expected) in lines {
        assert_eq!(sorted(&ask(&mut admin, line)), expected, "{line}");
    }
    for _ in 0..100 {
        let drawn = sorted(&ask(&mut admin, "RANDOMKEY"));
        assert!(["all", "h", "later", "other", "stays"].contains(&&*drawn), "{drawn}");
    }
    assert_eq!(ask(&mut watcher, "EXEC"), Reply::NullArray, "what it watched is due");
    // Who watches only now has never seen it.
    ask_all(&mut watcher, &["WATCH due h", "MULTI", "GET stays"]);
    assert_eq!(sorted(&ask(&mut watcher, "EXEC")), "[v]");
    ask_all(&mut watcher, &["WATCH due", "MULTI", "GET stays"]);
    assert_eq!(local.drain(), []);
    // With the pause it is over for all of them.
    ask(&mut admin, "OCHRE.CLOCK ADVANCE 1");
    let mut effects: Vec<String> = local.drain().iter().flat_map(|unit| &unit.effects).map(effect).collect();
    effects.sort();
    assert_eq!(effects, ["HDEL all a", "HDEL h a b", "UNLINK due", "UNLINK set"]);
    assert_eq!(ask_int(&mut admin, "DBSIZE"), 4);
    assert_eq!(sorted(&ask(&mut watcher, "EXEC")), "[v]", "that it went is no change");
    ask_all(&mut admin, &["PSETEX due 1000 v", "CLIENT PAUSE 5000 WRITE", "OCHRE.CLOCK ADVANCE 1000"]);
    ask_all(&mut watcher, &["WATCH due", "MULTI", "GET stays"]);
    ask_all(&mut admin, &["CLIENT UNPAUSE", "DEL due", "SET due v"]);
    assert_eq!(ask(&mut watcher, "EXEC"), Reply::NullArray, "that it came back is one");
}

fn effect(effect: &Effect) -> String {
    effect.argv.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_pause_that_is_ended_lets_what_is_due_go_at_once_and_a_write_within_it_does_so_too() {
    let local = Local::frozen(&[]);
    let mut admin = local.client();
    ask_all(&mut admin, &["PSETEX a 100 1", "PSETEX b 100 1", "HSET h a 1 b 2", "HPEXPIRE h 100 FIELDS 1 a"]);
    ask_all(&mut admin, &["CLIENT PAUSE 1000 WRITE", "OCHRE.CLOCK ADVANCE 500", "HLEN h"]);
    local.read_log();
    // Only what is asked for together with a pause is not held back by it.
    ask_all(
        &mut admin,
        &["CLIENT UNPAUSE", "MULTI", "CLIENT PAUSE 1000 WRITE", "HLEN h", "INCR a", "HSET h a 3"],
    );
    let reply = ask(&mut admin, "EXEC");
    assert_eq!(sorted(&reply), "[1 1 1 OK]");
    assert_eq!(sorted(&ask(&mut admin, "HGETALL h")), "[2 3 a b]");
    ask(&mut admin, "CLIENT UNPAUSE");
    wait_for("the other key leaves", || ask_int(&mut admin, "DBSIZE") == 2);
}

#[test]
fn a_pause_of_everything_keeps_keys_from_leaving_by_themselves() {
    let local = Local::start();
    let space = &local.host().space;
    let mut client = local.client();
    local.read_log();
    // In one step: the key must not leave before there is a pause.
    ask_all(&mut client, &["MULTI", "PSETEX k 50 v", "CLIENT PAUSE 300 ALL", "EXEC"]);
    let until_ms = space.pause.until_ms();
    let mut units = Vec::new();
    wait_for("the key leaves", || {
        units.append(&mut local.drain());
        !removed(&units).is_empty()
    });
    assert!(space.clock.now_ms() >= until_ms);
    assert_eq!(ask_int(&mut client, "DBSIZE"), 0);
}
