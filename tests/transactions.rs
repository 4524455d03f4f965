//! Whether transactions are one step for everybody, and WATCH misses nothing.
//!
//! For: the patterns that people build on MULTI and WATCH, with many clients on several workers. May touch:
//! sockets and the commit log.
//! Always: what must hold whatever the timing; the keys of a transaction are many enough to lie in several
//! shards.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use ochre::clock::Chance;
use support::local::{Local, ask, ask_all, ask_int};
use support::patience::until;
use support::{Client, Reply};

/// Lockings between two short rests, which let clients meet where they otherwise hardly do.
const LOCKINGS_PER_REST: u32 = 40;

/// A server that takes rests before some of its locks.
fn start() -> Local {
    let local = Local::start();
    local.host().space.shards.rest(LOCKINGS_PER_REST);
    local
}

/// Runs `act` for so many clients at once.
fn at_once<R: Send>(local: &Local, clients: usize, act: impl Fn(usize, &mut Client) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = (0..clients)
            .map(|id| {
                let mut client = local.client();
                scope.spawn(move || act(id, &mut client))
            })
            .collect();
        threads.into_iter().map(|it| it.join().expect("a client works")).collect()
    })
}

/// MULTI, the commands, EXEC in one request: what EXEC answers; `None`: a watched key had changed.
fn transact(client: &mut Client, lines: &[String]) -> Option<Vec<Reply>> {
    let all: Vec<&str> =
        ["MULTI"].into_iter().chain(lines.iter().map(String::as_str)).chain(["EXEC"]).collect();
    let replies = ask_all(client, &all);
    let queued = &replies[1..replies.len() - 1];
    assert!(queued.iter().all(|it| *it == Reply::Simple(b"QUEUED".to_vec())), "{queued:?}");
    match replies.last().expect("EXEC is answered") {
        Reply::Array(all) => Some(all.clone()),
        Reply::NullArray => None,
        other => panic!("EXEC answered {other:?}"),
    }
}

fn number(reply: &Reply) -> i64 {
    reply.text().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("not a number: {reply:?}"))
}

#[test]
fn transfers_between_accounts_never_show_a_wrong_total() {
    const ACCOUNTS: u64 = 10;
    const EACH: i64 = 100;
    const TRANSFERS: usize = 250;
    let local = start();
    let names: Vec<String> = (0..ACCOUNTS).map(|n| format!("account:{n}")).collect();
    let all = names.join(" ");
    let mut client = local.client();
    names.iter().for_each(|name| drop(ask(&mut client, &format!("SET {name} {EACH}"))));
    let busy = AtomicUsize::new(6);
    let aborted = AtomicU64::new(0);
    at_once(&local, 8, |id, client| {
        let mut chance = Chance::new(id as u64);
        if id >= 6 {
            while busy.load(Ordering::SeqCst) > 0 {
                let balances = if id == 6 {
                    ask(client, &format!("MGET {all}")).members().expect("an array").to_vec()
                } else {
                    let gets: Vec<String> = names.iter().map(|name| format!("GET {name}")).collect();
                    transact(client, &gets).expect("nothing is watched")
                };
                let total: i64 = balances.iter().map(number).sum();
                assert_eq!(total, EACH * ACCOUNTS as i64, "{balances:?}");
            }
            return;
        }
        let mut done = 0;
        while done < TRANSFERS {
            let from = chance.below(ACCOUNTS);
            let to = (from + 1 + chance.below(ACCOUNTS - 1)) % ACCOUNTS;
            ask(client, &format!("WATCH account:{from} account:{to}"));
            let balances = ask(client, &format!("MGET account:{from} account:{to}"));
            let balances: Vec<i64> = balances.members().expect("an array").iter().map(number).collect();
            let sum = 1 + chance.below(20) as i64;
            if balances[0] < sum {
                ask(client, "UNWATCH");
                continue;
            }
            let (from, to) = (
                format!("SET account:{from} {}", balances[0] - sum),
                format!("SET account:{to} {}", balances[1] + sum),
            );
            match transact(client, &[from, to]) {
                Some(_) => done += 1,
                None => drop(aborted.fetch_add(1, Ordering::SeqCst)),
            }
        }
        busy.fetch_sub(1, Ordering::SeqCst);
    });
    assert!(aborted.into_inner() > 0, "the clients never met");
}

#[test]
fn a_lock_with_fifty_contenders_is_held_by_one_at_a_time() {
    const CONTENDERS: usize = 50;
    const TIMES: usize = 12;
    let local = start();
    let (inside, entered) = (AtomicBool::new(false), AtomicUsize::new(0));
    at_once(&local, CONTENDERS, |id, client| {
        let mut had = 0;
        while had < TIMES {
            let token = format!("{id}:{had}");
            if ask(client, &format!("SET lock {token} NX EX 1000")).is_null() {
                // Who does not own it must not be able to remove it.
                ask(client, "WATCH lock");
                assert_ne!(ask(client, "GET lock").text().as_ref(), Some(&token));
                ask(client, "UNWATCH");
                continue;
            }
            assert!(!inside.swap(true, Ordering::SeqCst), "two hold the lock");
            entered.fetch_add(1, Ordering::SeqCst);
            ask(client, "WATCH lock");
            assert_eq!(ask(client, "GET lock").text().as_ref(), Some(&token));
            assert!(inside.swap(false, Ordering::SeqCst));
            let freed = transact(client, &["DEL lock".to_owned()]);
            assert_eq!(freed, Some(vec![Reply::Integer(1)]), "nobody else may change the lock");
            had += 1;
        }
    });
    assert_eq!(entered.into_inner(), CONTENDERS * TIMES);
}

#[test]
fn a_watch_by_fifty_clients_lets_exactly_one_through() {
    const CLIENTS: usize = 50;
    const ROUNDS: usize = 20;
    let local = start();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| local.client()).collect();
    for round in 0..ROUNDS {
        for client in &mut clients {
            ask(client, "WATCH seat");
        }
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .enumerate()
                .map(|(id, client)| {
                    let line = format!("SET seat {round}:{id}");
                    scope.spawn(move || usize::from(transact(client, &[line]).is_some()))
                })
                .collect();
            threads.into_iter().map(|it| it.join().expect("a client works")).sum()
        });
        assert_eq!(won, 1, "round {round}");
    }
}

#[test]
fn each_task_of_a_delayed_queue_is_taken_once() {
    const TASKS: usize = 640;
    const CONSUMERS: usize = 16;
    let local = start();
    let mut client = local.client();
    let adds: Vec<String> = (0..TASKS).map(|n| format!("ZADD delayed {} task:{n}", n % 50)).collect();
    ask_all(&mut client, &adds);
    let taken = at_once(&local, CONSUMERS, |id, client| {
        let mut mine = Vec::new();
        loop {
            ask(client, "WATCH delayed");
            let due = ask(client, "ZRANGEBYSCORE delayed -inf 50 LIMIT 0 3");
            let due: Vec<String> = due.members().expect("an array").iter().filter_map(Reply::text).collect();
            if due.is_empty() {
                return mine;
            }
            let pushes = due.iter().map(|task| format!("RPUSH done:{id} {task}"));
            let removes = due.iter().map(|task| format!("ZREM delayed {task}"));
            if let Some(replies) = transact(client, &removes.chain(pushes).collect::<Vec<_>>()) {
                assert!(replies[..due.len()].iter().all(|it| *it == Reply::Integer(1)), "{replies:?}");
                mine.extend(due);
            }
        }
    });
    let mut all: Vec<String> = taken.into_iter().flatten().collect();
    all.sort();
    let mut expected: Vec<String> = (0..TASKS).map(|n| format!("task:{n}")).collect();
    expected.sort();
    assert_eq!(all, expected);
    let moved: i64 = (0..CONSUMERS).map(|id| ask_int(&mut client, &format!("LLEN done:{id}"))).sum();
    assert_eq!(moved, TASKS as i64);
}

#[test]
fn transactions_and_plain_commands_lose_nothing() {
    const TIMES: usize = 400;
    let local = start();
    at_once(&local, 8, |id, client| {
        for n in 0..TIMES {
            match (id + n) % 4 {
                0 => {
                    let both = ["INCR a", "SELECT 1", "INCR b", "SELECT 0", "INCR c"].map(str::to_owned);
                    transact(client, &both).expect("nothing is watched");
                }
                1 => drop(transact(client, &["INCR c".to_owned(), "INCR a".to_owned(), "DBSIZE".to_owned()])),
                2 => drop(ask_int(client, "INCR a")),
                _ => {
                    let seen =
                        transact(client, &["GET c".to_owned(), "EXISTS a c".to_owned(), "GET c".to_owned()]);
                    let seen = seen.expect("nothing is watched");
                    assert_eq!(seen[0], seen[2]);
                }
            }
        }
    });
    let mut client = local.client();
    let quarter = (8 * TIMES / 4) as i64;
    let counts: Vec<i64> = ["a", "c"].map(|key| number(&ask(&mut client, &format!("GET {key}")))).to_vec();
    assert_eq!(counts, [quarter * 3, quarter * 2]);
    ask(&mut client, "SELECT 1");
    assert_eq!(number(&ask(&mut client, "GET b")), quarter);
}

/// Waits until so many clients are blocked.
fn wait_blocked(client: &mut Client, count: usize) {
    let wanted = format!("blocked_clients:{count}\r");
    let are_blocked = |info: Reply| info.text().is_some_and(|info| info.contains(&wanted));
    until("so many clients are blocked", || are_blocked(ask(client, "INFO clients")));
}

/// The commands of each unit of the log, as lines.
fn units(local: &Local) -> Vec<Vec<String>> {
    let line = |argv: &[Box<[u8]>]| {
        argv.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join(" ")
    };
    local.drain().iter().map(|unit| unit.effects.iter().map(|it| line(&it.argv)).collect()).collect()
}

#[test]
fn the_blocked_are_served_after_the_last_command_and_a_transaction_is_one_unit() {
    let local = Local::start();
    let mut client = local.client();
    let mut waiting: Vec<Client> = (0..3).map(|_| local.client()).collect();
    for (n, blocked) in waiting.iter_mut().enumerate() {
        blocked.send(&["BLPOP", "q", "0"]).expect("a request is sent");
        wait_blocked(&mut client, n + 1);
    }
    local.read_log();
    let lines =
        ["SET seen 1", "RPUSH q a b", "LPOP q", "RPUSH q c", "LRANGE q 0 -1", "INCR seen", "GET seen"];
    let replies = transact(&mut client, &lines.map(str::to_owned)).expect("nothing is watched");
    let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
    assert_eq!(replies[4], Reply::Array(vec![bulk("b"), bulk("c")]), "nobody takes anything in between");
    assert_eq!(waiting[0].read().expect("it is served"), Reply::Array(vec![bulk("q"), bulk("b")]));
    assert_eq!(waiting[1].read().expect("it is served"), Reply::Array(vec![bulk("q"), bulk("c")]));
    wait_blocked(&mut client, 1);
    let units = units(&local);
    assert_eq!(units[0], ["SET seen 1", "RPUSH q a b", "LPOP q", "RPUSH q c", "INCR seen"]);
    assert_eq!(units[1..], [vec!["LPOP q"], vec!["LPOP q"]]);
    // What reads only, or is aborted, is no unit.
    transact(&mut client, &["GET seen".to_owned(), "LLEN q".to_owned()]);
    ask(&mut client, "WATCH seen");
    ask(&mut client, "INCR seen");
    assert_eq!(transact(&mut client, &["SET seen 9".to_owned()]), None);
    assert_eq!(self::units(&local), [["INCR seen"]]);
}

#[test]
fn blocked_consumers_take_all_that_transactions_push() {
    const EACH: usize = 150;
    const PRODUCERS: usize = 4;
    let local = start();
    let taken = AtomicUsize::new(0);
    let lists: Vec<Vec<String>> = at_once(&local, 8, |id, client| {
        if id < PRODUCERS {
            for n in 0..EACH {
                let lines = [
                    format!("RPUSH q:{} {id}:{n}", n % 3),
                    format!("RPUSH q:{} {id}:{n}:b", (n + 1) % 3),
                    "INCR pushed".to_owned(),
                ];
                transact(client, &lines).expect("nothing is watched");
            }
            return Vec::new();
        }
        let mut mine = Vec::new();
        while taken.load(Ordering::SeqCst) < EACH * PRODUCERS * 2 {
            if let Some(members) = ask(client, "BLPOP q:0 q:1 q:2 0.1").members() {
                mine.extend(members[1].text());
                taken.fetch_add(1, Ordering::SeqCst);
            }
        }
        mine
    });
    let mut all: Vec<String> = lists.into_iter().flatten().collect();
    assert_eq!(all.len(), EACH * PRODUCERS * 2);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), EACH * PRODUCERS * 2, "something was taken twice");
}

#[test]
fn a_transaction_without_end_is_closed_by_the_query_buffer_limit() {
    let local = Local::with(&[("client-query-buffer-limit", "1mb")]);
    let mut client = local.client();
    ask(&mut client, "SET k before");
    ask(&mut client, "MULTI");
    let line = ["SET", "k", &"x".repeat(10_000)];
    let closed = (0..500).any(|_| client.call(&line).is_err());
    assert!(closed, "five times the limit was queued");
    let mut client = local.client();
    assert_eq!(ask(&mut client, "GET k").text().as_deref(), Some("before"));
    // Small commands weigh what they hold in memory.
    ask(&mut client, "MULTI");
    let batch = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(500);
    let closed =
        (0..500).any(|_| client.send_raw(&batch).is_err() || (0..500).any(|_| client.read().is_err()));
    assert!(closed, "250,000 commands were queued in a limit of 1 MB");
    let info = ask(&mut local.client(), "INFO stats").text().expect("a text");
    assert!(info.contains("client_query_buffer_limit_disconnections:2"), "{info}");
}

#[test]
fn very_many_keys_are_watched_without_looking_through_them_for_each() {
    const KEYS: usize = 300_000;
    let local = Local::start();
    let (mut client, mut other) = (local.client(), local.client());
    let all: String = (0..KEYS).map(|n| format!(" key:{n}")).collect();
    for _ in 0..2 {
        ask(&mut client, &format!("WATCH{all}"));
    }
    assert!(ask_all(&mut other, &["CLIENT LIST"])[0].text().is_some_and(|it| it.contains(" watch=300000 ")));
    ask(&mut other, &format!("SET key:{} x", KEYS / 2));
    assert!(transact(&mut client, &["GET key:1".into()]).is_none());
    assert!(transact(&mut client, &["GET key:1".into()]).is_some());
}

#[test]
fn a_watched_key_that_expires_aborts_at_its_millisecond() {
    let local = Local::frozen(&[]);
    let (mut client, mut other) = (local.client(), local.client());
    for (step_ms, aborts) in [(9, false), (10, true), (50, true)] {
        ask(&mut client, "SET k v PX 10");
        ask(&mut client, "WATCH k");
        ask(&mut other, &format!("OCHRE.CLOCK ADVANCE {step_ms}"));
        let ran = transact(&mut client, &["PING".to_owned()]);
        assert_eq!(ran.is_none(), aborts, "after {step_ms} ms");
        ask(&mut other, "FLUSHALL");
    }
}
