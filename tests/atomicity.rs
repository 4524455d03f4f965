//! Whether commands on several keys happen at once for everybody.
//!
//! For: many clients on few keys, and what must hold whatever the timing. May touch: sockets.
//! Always: the keys of a command are many enough to lie in several shards.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ochre::clock::Chance;
use support::local::{Local, ask, ask_int};
use support::{Client, Reply};

/// Clients that act at the same time.
const CLIENTS: u64 = 8;

/// Lockings between two short rests, which let clients meet where they otherwise hardly do.
const LOCKINGS_PER_REST: u32 = 40;

/// A server that takes rests before some of its locks.
fn start() -> Local {
    let local = Local::start();
    local.host().space.shards.rest(LOCKINGS_PER_REST);
    local
}

/// Runs `act` for every client at once.
fn at_once<R: Send>(local: &Local, act: impl Fn(u64, &mut Client) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = (0..CLIENTS)
            .map(|id| {
                let mut client = local.client();
                scope.spawn(move || act(id, &mut client))
            })
            .collect();
        threads.into_iter().map(|it| it.join().expect("a client works")).collect()
    })
}

/// Whether all members of a reply are the same.
fn is_whole(reply: &Reply) -> bool {
    reply.members().expect("MGET answers an array").windows(2).all(|pair| pair[0] == pair[1])
}

#[test]
fn values_set_together_are_never_seen_apart() {
    let local = start();
    let keys: Vec<String> = (0..12).map(|n| format!("key:{n}")).collect();
    let all = keys.join(" ");
    at_once(&local, |id, client| {
        let mut keys = keys.clone();
        for n in 0..1_500u64 {
            if id % 2 == 0 {
                // In another order each time: locks are not taken in the order of the words.
                keys.rotate_left((n % 7) as usize);
                let pairs = keys.iter().map(|key| format!(" {key} {id}:{n}")).collect::<String>();
                let line = match n % 50 {
                    0 => format!("DEL {all}"),
                    1 => "FLUSHDB".to_owned(),
                    2 => "SWAPDB 0 1".to_owned(),
                    n if n % 3 == 0 => format!("MSETNX{pairs}"),
                    n if n % 3 == 1 => format!("MSETEX 12{pairs} PX 5"),
                    _ => format!("MSET{pairs}"),
                };
                ask(client, &line);
            } else {
                let seen = ask(client, &format!("MGET {all}"));
                assert!(is_whole(&seen), "torn: {seen:?}");
                let there = ask_int(client, &format!("EXISTS {all}"));
                assert!(there == 0 || there == 12, "{there} of 12 keys");
            }
        }
    });
}

#[test]
fn no_increment_is_lost() {
    const TIMES: u64 = 2_000;
    let local = start();
    at_once(&local, |id, client| {
        let mut chance = Chance::new(id);
        let mut left = TIMES;
        while left > 0 {
            let batch = (1 + chance.below(40)).min(left);
            left -= batch;
            let line = |n: u64| match n % 3 {
                0 => "INCR n",
                1 => "INCRBY n 3",
                _ => "DECR n",
            };
            let sent: Vec<&str> = (0..batch).map(|n| line(left + n)).collect();
            let replies = support::local::ask_all(client, &sent);
            assert!(replies.iter().all(|it| matches!(it, Reply::Integer(_))));
            ask(client, "APPEND log x");
            ask(client, "INCRBYFLOAT f 0.5");
        }
    });
    let mut client = local.client();
    let sum: i64 = (0..TIMES).map(|n| [1, 3, -1][(n % 3) as usize]).sum::<i64>() * CLIENTS as i64;
    assert_eq!(ask(&mut client, "GET n").text(), Some(sum.to_string()));
    let appended = ask_int(&mut client, "STRLEN log");
    let halves: f64 = ask(&mut client, "GET f").text().and_then(|it| it.parse().ok()).expect("a number");
    assert_eq!(halves * 2.0, appended as f64);
}

#[test]
fn only_one_client_at_a_time_holds_a_lock_of_set_nx() {
    let local = start();
    let (inside, entered) = (AtomicBool::new(false), AtomicU64::new(0));
    at_once(&local, |id, client| {
        for n in 0..800 {
            let token = format!("{id}:{n}");
            if ask(client, &format!("SET lock {token} NX PX 100000")).is_null() {
                continue;
            }
            assert!(!inside.swap(true, Ordering::SeqCst), "two hold the lock");
            entered.fetch_add(1, Ordering::SeqCst);
            assert_eq!(ask(client, "GET lock").text().as_ref(), Some(&token));
            assert!(inside.swap(false, Ordering::SeqCst));
            assert_eq!(ask_int(client, &format!("DELIFEQ lock {token}")), 1);
            assert_eq!(ask_int(client, &format!("DELIFEQ lock {token}")), 0);
        }
    });
    assert!(entered.into_inner() >= CLIENTS);
}

#[test]
fn a_key_that_is_renamed_is_always_under_exactly_one_name() {
    let local = start();
    let names: Vec<String> = (0..6).map(|n| format!("name:{n}")).collect();
    ask(&mut local.client(), "SET name:0 it");
    at_once(&local, |id, client| {
        let mut chance = Chance::new(id);
        let mut renamed = 0;
        for _ in 0..2_000 {
            if id % 2 == 0 {
                let (from, to) = (chance.below(6), (chance.below(5) + 1) as usize);
                let to = &names[(from as usize + to) % 6];
                let command = if chance.below(2) == 0 { "RENAME" } else { "RENAMENX" };
                let words = [command, &names[from as usize], to];
                renamed += u64::from(!client.call(&words).expect("RENAME is answered").is_error());
            } else {
                let there = ask_int(client, &format!("EXISTS {}", names.join(" ")));
                assert_eq!(there, 1, "names");
                let seen = ask(client, &format!("MGET {}", names.join(" ")));
                let seen = seen.members().expect("MGET answers an array").iter();
                assert_eq!(seen.filter(|it| !it.is_null()).count(), 1);
            }
        }
        assert!(id % 2 == 1 || renamed > 0, "a client never found the key");
    });
}

#[test]
fn a_key_that_is_moved_is_always_in_exactly_one_database() {
    let local = start();
    ask(&mut local.client(), "SET key it");
    let moved: u64 = at_once(&local, |id, client| {
        ask(client, &format!("SELECT {}", id % 4));
        (0..1_000).map(|_| ask_int(client, &format!("MOVE key {}", (id + 1) % 4)) as u64).sum::<u64>()
    })
    .into_iter()
    .sum();
    let mut client = local.client();
    let there: Vec<i64> = (0..4)
        .map(|db| {
            ask(&mut client, &format!("SELECT {db}"));
            ask_int(&mut client, "EXISTS key")
        })
        .collect();
    assert_eq!(there.iter().sum::<i64>(), 1);
    assert_eq!(there[(moved % 4) as usize], 1, "after {moved} moves");
}

/// Moves an amount between two accounts if there is enough; answers what is left.
const TRANSFER: &str = "local from = tonumber(redis.call('get', KEYS[1])) \
    local amount = tonumber(ARGV[1]) \
    if from < amount then return redis.error_reply('POOR too little') end \
    redis.call('set', KEYS[1], from - amount) \
    return redis.call('incrby', KEYS[2], amount)";

#[test]
fn a_script_that_moves_money_never_shows_a_wrong_sum() {
    const ACCOUNTS: u64 = 8;
    const EACH: i64 = 100;
    let local = start();
    let mut control = local.client();
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| format!("account:{n}")).collect();
    accounts.iter().for_each(|account| drop(ask(&mut control, &format!("SET {account} {EACH}"))));
    let sha = control.call(&["SCRIPT", "LOAD", TRANSFER]).expect("the script is sound");
    let sha = sha.text().expect("a digest");
    at_once(&local, |id, client| {
        let mut chance = Chance::new(id);
        for n in 0..400 {
            if id % 4 == 3 {
                let seen = ask(client, &format!("MGET {}", accounts.join(" ")));
                let seen = seen.members().expect("an array").iter();
                let sum: i64 =
                    seen.map(|it| it.text().expect("a number").parse::<i64>().expect("digits")).sum();
                assert_eq!(sum, EACH * ACCOUNTS as i64);
                continue;
            }
            let pick = |chance: &mut Chance| accounts[chance.below(ACCOUNTS) as usize].clone();
            let (from, to, amount) = (pick(&mut chance), pick(&mut chance), chance.below(50).to_string());
            if from == to {
                continue;
            }
            let reply = match n % 2 {
                0 => client.call(&["EVAL", TRANSFER, "2", &from, &to, &amount]),
                _ => client.call(&["EVALSHA", &sha, "2", &from, &to, &amount]),
            };
            let reply = reply.expect("the server answers");
            assert!(!reply.is_error() || reply == Reply::Error(b"POOR too little".to_vec()), "{reply:?}");
        }
    });
}

#[test]
fn a_lock_is_released_only_by_its_holder() {
    const RELEASE: &str =
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";
    let local = start();
    let inside = AtomicU64::new(0);
    at_once(&local, |id, client| {
        let (own, other) = (format!("holder:{id}"), "somebody".to_owned());
        for _ in 0..150 {
            while ask(client, &format!("SET lock {own} NX PX 60000")).text().as_deref() != Some("OK") {
                let released = client.call(&["EVAL", RELEASE, "1", "lock", &other]).expect("an answer");
                assert_eq!(released, Reply::Integer(0), "somebody else has released it");
            }
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
            inside.fetch_sub(1, Ordering::SeqCst);
            let released = client.call(&["EVAL", RELEASE, "1", "lock", &own]).expect("an answer");
            assert_eq!(released, Reply::Integer(1));
        }
    });
}
