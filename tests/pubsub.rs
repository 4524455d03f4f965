//! Whether messages reach those who listen, in one order, and nobody waits for those who do not read.
//!
//! For: pub/sub and keyspace events between many clients on several workers. May touch: sockets.
//! Always: what must hold whatever the timing; waits are for a state, never for a time.

mod support;

use std::collections::HashMap;
use std::thread::scope;

use support::local::{Local, START_MS, ask, ask_all, ask_int};
use support::patience::until;
use support::{Client, Reply};

/// Subscribes and reads the confirmation.
fn listening(local: &Local, line: &str) -> Client {
    let mut client = local.client();
    ask(&mut client, line);
    client
}

/// The last member of a message: its payload.
fn payload(reply: &Reply) -> String {
    let last = reply.members().and_then(<[Reply]>::last).and_then(Reply::text);
    last.unwrap_or_else(|| panic!("not a message: {reply:?}"))
}

fn next(client: &mut Client) -> String {
    payload(&client.read().expect("a message comes"))
}

fn event_count(client: &mut Client) -> i64 {
    let info = ask(client, "INFO clients").text().expect("INFO answers a text");
    let line = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
    line.and_then(|n| n.parse().ok()).expect("INFO clients counts")
}

#[test]
fn all_subscribers_of_a_channel_see_one_order() {
    const EACH: usize = 400;
    const PUBLISHERS: usize = 4;
    let local = Local::start();
    let mut listeners: Vec<Client> =
        (0..12).map(|n| listening(&local, ["SUBSCRIBE c", "PSUBSCRIBE c*", "PSUBSCRIBE ?"][n % 3])).collect();
    let seen: Vec<Vec<String>> = scope(|scope| {
        for from in 0..PUBLISHERS {
            let mut client = local.client();
            scope.spawn(move || {
                for n in 0..EACH / 20 {
                    let lines: Vec<String> =
                        (0..20).map(|at| format!("PUBLISH c {from}:{}", n * 20 + at)).collect();
                    let heard = ask_all(&mut client, &lines);
                    assert!(heard.iter().all(|it| *it == Reply::Integer(12)), "{heard:?}");
                }
            });
        }
        let readers: Vec<_> = listeners
            .iter_mut()
            .map(|client| scope.spawn(|| (0..EACH * PUBLISHERS).map(|_| next(client)).collect()))
            .collect();
        readers.into_iter().map(|it| it.join().expect("a reader works")).collect()
    });
    assert!(seen.iter().all(|order| *order == seen[0]), "two orders");
    for from in 0..PUBLISHERS {
        let mine: Vec<&String> = seen[0].iter().filter(|it| it.starts_with(&format!("{from}:"))).collect();
        let sent: Vec<String> = (0..EACH).map(|n| format!("{from}:{n}")).collect();
        assert!(mine.iter().zip(&sent).all(|(a, b)| *a == b) && mine.len() == EACH);
    }
}

#[test]
fn publishers_that_listen_see_the_same_order_as_everybody() {
    const EACH: usize = 600;
    const CLIENTS: usize = 6;
    let local = Local::start();
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = local.client();
            client.call(&["HELLO", "3"]).expect("HELLO is answered");
            client.send(&["SUBSCRIBE", "c"]).expect("a request is sent");
            client.read_push().expect("a confirmation comes");
            client
        })
        .collect();
    let seen: Vec<Vec<String>> = scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(id, client)| {
                scope.spawn(move || {
                    for n in 0..EACH / 10 {
                        let lines: Vec<String> =
                            (0..10).map(|at| format!("PUBLISH c {id}:{}", n * 10 + at)).collect();
                        let heard = ask_all(client, &lines);
                        assert!(heard.iter().all(|it| *it == Reply::Integer(CLIENTS as i64)));
                    }
                    let push = |_| payload(&client.read_push().expect("a message comes"));
                    (0..EACH * CLIENTS).map(push).collect::<Vec<String>>()
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().expect("a client works")).collect()
    });
    for (id, order) in seen.iter().enumerate() {
        let at = order.iter().zip(&seen[0]).position(|(a, b)| a != b);
        assert_eq!(at, None, "client {id} saw another order than the first");
    }
}

#[test]
fn nothing_is_lost_between_an_answered_publish_and_a_later_unsubscribe() {
    let local = Local::start();
    let mut publisher = local.client();
    let mut listeners: Vec<Client> = (0..8).map(|_| local.client()).collect();
    for n in 0..300 {
        for client in &mut listeners {
            ask(client, "SUBSCRIBE c");
        }
        assert_eq!(ask_int(&mut publisher, &format!("PUBLISH c {n}")), 8);
        for client in &mut listeners {
            client.send(&["UNSUBSCRIBE", "c"]).expect("a request is sent");
        }
        for client in &mut listeners {
            assert_eq!(next(client), n.to_string());
            let ended = client.read().expect("the end is confirmed");
            assert_eq!(ended.members().expect("an array")[0], Reply::Bulk(b"unsubscribe".to_vec()));
        }
        assert_eq!(ask_int(&mut publisher, "PUBLISH c nobody"), 0);
    }
}

#[test]
fn a_subscriber_above_the_hard_limit_is_dropped_and_publishers_never_wait() {
    let local = Local::with(&[("client-output-buffer-limit", "pubsub 1mb 0 0")]);
    let mut slow = listening(&local, "SUBSCRIBE c");
    let mut reader = listening(&local, "SUBSCRIBE d");
    let mut publisher = local.client();
    let long = "x".repeat(100_000);
    // The sockets' own buffers take some of it.
    until("the slow one is dropped", || ask_int(&mut publisher, &format!("PUBLISH c {long}")) == 0);
    assert_eq!(ask(&mut publisher, "PUBSUB NUMSUB c").members().expect("pairs")[1], Reply::Integer(0));
    assert_eq!(ask_int(&mut publisher, "PUBLISH d hello"), 1);
    assert_eq!(next(&mut reader), "hello");
    while let Ok(message) = slow.read() {
        assert_eq!(payload(&message).len(), long.len());
    }
    let info = ask(&mut publisher, "INFO stats").text().expect("a text");
    assert!(info.contains("client_output_buffer_limit_disconnections:1"), "{info}");
}

#[test]
fn a_subscriber_above_the_soft_limit_is_dropped_after_its_time() {
    let local = Local::with(&[("client-output-buffer-limit", "pubsub 0 100kb 1")]);
    let _slow = listening(&local, "SUBSCRIBE c");
    let mut brisk = listening(&local, "SUBSCRIBE c");
    let mut publisher = local.client();
    let long = "x".repeat(1_000_000);
    // More than the sockets' own buffers take.
    for _ in 0..40 {
        let heard = ask_int(&mut publisher, &format!("PUBLISH c {long}"));
        assert_eq!(next(&mut brisk).len(), long.len());
        if heard == 1 {
            break; // It took long enough already.
        }
        assert_eq!(heard, 2);
    }
    // Nobody sends anything more: the server notices by itself.
    until("the slow one is dropped", || {
        ask(&mut publisher, "PUBSUB NUMSUB c").members().expect("pairs")[1] == Reply::Integer(1)
    });
    assert_eq!(ask_int(&mut publisher, "PUBLISH c end"), 1);
    assert_eq!(next(&mut brisk), "end");
}

#[test]
fn a_subscriber_that_disconnects_is_forgotten() {
    let local = Local::start();
    let mut client = local.client();
    let listeners: Vec<Client> = (0..40)
        .map(|n| {
            let mut client = listening(&local, "SUBSCRIBE c");
            ask(&mut client, &format!("PSUBSCRIBE p{n}"));
            ask(&mut client, "SSUBSCRIBE s");
            client
        })
        .collect();
    assert_eq!(ask_int(&mut client, "PUBSUB NUMPAT"), 40);
    assert_eq!(ask_int(&mut client, "SPUBLISH s x"), 40);
    drop(listeners);
    until("all are forgotten", || event_count(&mut client) == 1);
    assert_eq!(ask_int(&mut client, "PUBSUB NUMPAT"), 0);
    for look in ["PUBSUB NUMSUB c", "PUBSUB SHARDNUMSUB s"] {
        assert_eq!(ask(&mut client, look).members().expect("pairs")[1], Reply::Integer(0));
    }
    assert_eq!(ask(&mut client, "PUBSUB CHANNELS"), Reply::Array(Vec::new()));
    assert_eq!(ask_int(&mut client, "PUBLISH c x"), 0);
}

#[test]
fn every_expired_event_comes_exactly_once() {
    const KEYS: usize = 3_000;
    let local = Local::with(&[("notify-keyspace-events", "Ex")]);
    let mut listeners: Vec<Client> =
        (0..3).map(|_| listening(&local, "SUBSCRIBE __keyevent@0__:expired")).collect();
    scope(|scope| {
        for part in 0..4 {
            let mut client = local.client();
            scope.spawn(move || {
                for n in (part..KEYS).step_by(4) {
                    ask(&mut client, &format!("SET k{n} v PX {}", 1 + n % 40));
                    // Whoever looks at a key that is due removes it, and must be the only one who tells.
                    ask(&mut client, &format!("EXISTS k{} k{}", n / 2, n.saturating_sub(9)));
                }
            });
        }
    });
    for client in &mut listeners {
        let mut seen: HashMap<String, usize> = HashMap::new();
        (0..KEYS).for_each(|_| *seen.entry(next(client)).or_default() += 1);
        assert!(seen.values().all(|&times| times == 1) && seen.len() == KEYS);
        let rest = client.call(&["PING", "end"]).expect("PING is answered");
        assert_eq!(payload(&rest), "end", "an event too many");
    }
}

#[test]
fn under_a_clock_that_is_moved_expired_events_come_in_order_of_their_deadlines() {
    const KEYS: u64 = 200;
    let local = Local::frozen(&[("notify-keyspace-events", "Ex")]);
    let mut listener = listening(&local, "SUBSCRIBE __keyevent@0__:expired");
    let mut client = local.client();
    for n in 0..KEYS {
        let at_ms = START_MS + 1_000 + (n * 77 % KEYS) * 10;
        ask(&mut client, &format!("SET {at_ms} v PXAT {at_ms}"));
    }
    let mut seen = Vec::new();
    for step in 0..=KEYS / 10 {
        let now_ms = START_MS + 1_000 + step * 100;
        ask(&mut client, &format!("OCHRE.CLOCK SET {now_ms}"));
        let due = KEYS.min(step * 10 + 1) as usize;
        // The batch of a step comes from several workers; the next step only after it.
        let mut batch: Vec<u64> =
            (seen.len()..due).map(|_| next(&mut listener).parse().expect("a deadline")).collect();
        batch.sort_unstable();
        seen.extend(batch);
    }
    let deadlines: Vec<u64> = (0..KEYS).map(|n| START_MS + 1_000 + n * 10).collect();
    assert_eq!(seen, deadlines);
    assert_eq!(ask_int(&mut client, "DBSIZE"), 0);
    assert_eq!(payload(&listener.call(&["PING", "end"]).expect("PING is answered")), "end");
}
