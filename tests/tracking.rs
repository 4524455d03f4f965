//! Whether clients that cache what they read hear of every change in time, and monitors of every command.
//!
//! For: CLIENT TRACKING and MONITOR between many clients on several workers. May touch: sockets.
//! Always: what must hold whatever the timing; waits are for a state, never for a time.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::scope;

use support::local::{Local, ask, ask_all, ask_int};
use support::patience::until;
use support::{Client, Reply};

/// A connection that speaks RESP3, after these commands.
fn speaking3(local: &Local, lines: &[&str]) -> Client {
    let mut client = local.client();
    ask(&mut client, "HELLO 3");
    lines.iter().for_each(|line| drop(ask(&mut client, line)));
    client
}

fn id(client: &mut Client) -> i64 {
    ask_int(client, "CLIENT ID")
}

/// A number in INFO.
fn info(client: &mut Client, field: &str) -> i64 {
    let text = ask(client, "INFO everything").text().expect("INFO answers a text");
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("INFO has no {field}"))
}

/// The keys that a push or message says are stale; `None`: all.
fn stale(push: &Reply) -> Option<Vec<String>> {
    let members = push.members().unwrap_or_else(|| panic!("not a message: {push:?}"));
    let last = members.last().expect("a message has members");
    last.members().map(|keys| keys.iter().map(|key| key.text().expect("a key")).collect())
}

/// What a client that caches has.
#[derive(Default)]
struct Cache(HashMap<String, i64>);

impl Cache {
    /// Forgets what the pushes say that have come.
    fn heed(&mut self, client: &mut Client) {
        while let Some(push) = client.take_push() {
            match stale(&push) {
                Some(keys) => self.0.retain(|key, _| !keys.contains(key)),
                None => self.0.clear(),
            }
        }
    }
}

/// Whoever has been told that a write is done finds, in any client's cache that has heard all that was sent
/// until then, no older value.
fn no_cache_is_stale_after_an_acknowledged_write(mode: &[&str], write: fn(usize, i64) -> Vec<String>) {
    const KEYS: usize = 8;
    const WRITES: i64 = 1_500;
    let local = Local::start();
    let acknowledged: Vec<AtomicI64> = (0..KEYS).map(|_| AtomicI64::new(0)).collect();
    let is_over = AtomicBool::new(false);
    let name = |key: usize| format!("key:{key}");
    scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|half| {
                let (mut client, acknowledged) = (local.client(), &acknowledged);
                scope.spawn(move || {
                    for n in 1..=WRITES {
                        let key = half * (KEYS / 2) + n as usize % (KEYS / 2);
                        ask_all(&mut client, &write(key, n));
                        acknowledged[key].store(n, Ordering::Release);
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            let (mut client, acknowledged, is_over) = (speaking3(&local, mode), &acknowledged, &is_over);
            scope.spawn(move || {
                let mut cache = Cache::default();
                let mut at = 0;
                while !is_over.load(Ordering::Relaxed) {
                    at = (at + 1) % KEYS;
                    let key = name(at);
                    let floor = acknowledged[at].load(Ordering::Acquire);
                    ask(&mut client, "PING");
                    cache.heed(&mut client);
                    if let Some(cached) = cache.0.get(&key) {
                        assert!(*cached >= floor, "{key}: {cached} is cached after {floor} was acknowledged");
                        continue;
                    }
                    let value = ask(&mut client, &format!("GET {key}")).text();
                    cache.heed(&mut client);
                    cache.0.insert(key, value.map_or(0, |value| value.parse().expect("a number")));
                }
            });
        }
        for writer in writers {
            let ended = writer.join();
            is_over.store(ended.is_err(), Ordering::Relaxed);
            ended.expect("a writer writes");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn caches_of_readers_are_never_stale() {
    no_cache_is_stale_after_an_acknowledged_write(&["CLIENT TRACKING ON"], |key, n| {
        vec![format!("SET key:{key} {n}")]
    });
}

#[test]
fn caches_by_prefix_are_never_stale() {
    no_cache_is_stale_after_an_acknowledged_write(&["CLIENT TRACKING ON BCAST PREFIX key:"], |key, n| {
        vec![format!("SET key:{key} {n}")]
    });
}

#[test]
fn caches_are_never_stale_after_transactions_and_scripts() {
    no_cache_is_stale_after_an_acknowledged_write(&["CLIENT TRACKING ON NOLOOP"], |key, n| {
        let command = format!("SET key:{key} {n}");
        match n % 8 {
            0 => vec!["MULTI".into(), command, "INCR other".into(), "EXEC".into()],
            1 => vec![format!("EVAL return(redis.call('SET',KEYS[1],ARGV[1])) 1 key:{key} {n}")],
            _ => vec![command],
        }
    });
}

#[test]
fn messages_can_go_to_another_client() {
    let local = Local::start();
    let (mut old, mut new, mut writer) = (local.client(), speaking3(&local, &[]), local.client());
    let (old_id, new_id) = (id(&mut old), id(&mut new));
    let mut by_old = local.client();
    ask(&mut by_old, &format!("CLIENT TRACKING ON REDIRECT {old_id}"));
    let mut by_new = speaking3(&local, &[&format!("CLIENT TRACKING ON BCAST REDIRECT {new_id}")]);
    assert_eq!(
        (ask_int(&mut by_old, "CLIENT GETREDIR"), ask_int(&mut by_new, "CLIENT GETREDIR")),
        (old_id, new_id)
    );
    // Without subscriptions a connection without pushes cannot be told.
    ask(&mut by_old, "GET a");
    ask(&mut writer, "SET a 1");
    assert_eq!(ask(&mut old, "PING").text().as_deref(), Some("PONG"));
    assert_eq!(stale(&new.read_push().expect("a push")), Some(vec!["a".into()]));
    ask(&mut old, "SUBSCRIBE anything");
    ask(&mut by_old, "GET a");
    ask(&mut writer, "SET a 2");
    let message = old.read().expect("a message");
    let words: Vec<_> =
        message.members().expect("three members")[..2].iter().filter_map(Reply::text).collect();
    assert_eq!(words, ["message", "__redis__:invalidate"]);
    assert_eq!(stale(&message), Some(vec!["a".into()]));
    assert_eq!(stale(&new.read_push().expect("a push")), Some(vec!["a".into()]));
    // What the other client changes itself comes right behind its reply.
    new.send_raw(b"SET b 1\r\nPING\r\n").expect("two requests are sent");
    assert_eq!(new.read().expect("OK").text().as_deref(), Some("OK"));
    assert_eq!(new.read().expect("PONG").text().as_deref(), Some("PONG"));
    assert_eq!(stale(&new.take_push().expect("it came before PONG")), Some(vec!["b".into()]));
    ask(&mut writer, "FLUSHALL");
    assert_eq!(stale(&old.read().expect("a message")), None);
    assert_eq!(stale(&new.read_push().expect("a push")), None);
}

#[test]
fn a_client_is_told_when_the_other_one_is_gone() {
    let local = Local::start();
    let mut other = local.client();
    let other_id = id(&mut other);
    let mut client = speaking3(&local, &[&format!("CLIENT TRACKING ON REDIRECT {other_id}"), "GET a"]);
    let (mut writer, me) = (local.client(), id(&mut client));
    other.abandon();
    until("the other client is gone", || {
        ask(&mut writer, &format!("CLIENT LIST ID {other_id}")).text().is_some_and(|list| list.is_empty())
    });
    ask(&mut writer, "SET a 1");
    let push = client.read_push().expect("a push");
    let expected = [Reply::Bulk(b"tracking-redir-broken".to_vec()), Reply::Integer(other_id)];
    assert_eq!(push.members().expect("two members"), expected);
    let line = ask(&mut writer, &format!("CLIENT LIST ID {me}")).text().expect("a line");
    assert!(line.contains(" flags=tR ") && line.contains(&format!(" redir={other_id} ")), "{line}");
}

#[test]
fn who_leaves_is_forgotten() {
    let local = Local::start();
    let mut watcher = local.client();
    let mut by_prefix = speaking3(&local, &["CLIENT TRACKING ON BCAST PREFIX a PREFIX b"]);
    let reader = speaking3(&local, &["CLIENT TRACKING ON", "MGET a b c"]);
    let mut figures = |fields: [&str; 4]| fields.map(|field| info(&mut watcher, field));
    let fields =
        ["tracking_clients", "tracking_total_prefixes", "tracking_total_keys", "tracking_total_items"];
    assert_eq!(figures(fields), [2, 2, 3, 3]);
    drop(reader);
    until("the reader is gone", || figures(fields) == [1, 2, 3, 3]);
    ask(&mut by_prefix, "RESET");
    assert_eq!(figures(fields), [0, 0, 3, 3]);
    let mut writer = local.client();
    ask(&mut writer, "MSET a 1 b 1");
    assert_eq!(figures(fields), [0, 0, 1, 1]);
    ask(&mut writer, "FLUSHALL");
    assert_eq!(figures(fields), [0, 0, 0, 0]);
}

#[test]
fn keys_beyond_the_limit_are_given_up_and_told() {
    const MOST: i64 = 100;
    const READ: i64 = 2_000;
    let local = Local::with(&[("tracking-table-max-keys", "100")]);
    let mut client = speaking3(&local, &["CLIENT TRACKING ON"]);
    for n in 0..READ {
        ask(&mut client, &format!("GET key:{n}"));
    }
    let told = client.pushes().expect("the server answers").len() as i64;
    let kept = info(&mut client, "tracking_total_keys");
    assert_eq!((told, kept), (READ - MOST, MOST));
    assert_eq!(info(&mut client, "tracking_total_items"), MOST);
    // A lower limit holds at once.
    assert_eq!(
        ask(&mut local.client(), "CONFIG SET tracking-table-max-keys 1"),
        Reply::Simple(b"OK".to_vec())
    );
    assert_eq!(client.pushes().expect("the server answers").len() as i64, MOST - 1);
    assert_eq!((info(&mut client, "tracking_total_keys"), info(&mut client, "tracking_total_items")), (1, 1));
}

#[test]
fn who_drives_tracked_keys_out_hears_of_it_whatever_noloop_says() {
    let local = Local::with(&[("tracking-table-max-keys", "1")]);
    let mut client = speaking3(&local, &["CLIENT TRACKING ON NOLOOP", "GET a", "GET b"]);
    assert_eq!(client.pushes().expect("the server answers").len(), 1);
    ask_all(
        &mut client,
        &["CONFIG SET tracking-table-max-keys 3", "GET c", "CONFIG SET tracking-table-max-keys 1"],
    );
    assert_eq!(client.pushes().expect("the server answers").len(), 1);
}

#[test]
fn a_key_that_expires_is_told_when_the_clock_is_moved() {
    let local = Local::frozen(&[]);
    let mut client = speaking3(&local, &["CLIENT TRACKING ON"]);
    let mut other = local.client();
    ask_all(&mut other, &["SET a 1 PX 1000", "SET b 1 PX 5000"]);
    ask(&mut client, "MGET a b");
    ask(&mut other, "OCHRE.CLOCK ADVANCE 1000");
    let told = client.pushes().expect("the server answers");
    assert_eq!(told.iter().map(stale).collect::<Vec<_>>(), [Some(vec!["a".to_string()])]);
}

#[test]
fn what_changes_after_a_client_was_served_is_told_after_its_reply() {
    let local = Local::start();
    let mut client = speaking3(&local, &["CLIENT TRACKING ON"]);
    let (mut other, me) = (local.client(), id(&mut client));
    for _ in 0..50 {
        client.send(&["XREAD", "BLOCK", "0", "STREAMS", "s", "0"]).expect("a request is sent");
        until("it waits", || {
            let line = ask(&mut other, &format!("CLIENT LIST ID {me}")).text().expect("a line");
            line.contains(" flags=bt ")
        });
        // One change serves it; the other one makes what it was served stale.
        ask_all(&mut other, &["XADD s * a 1", "DEL s"]);
        assert!(!client.read().expect("it is served").is_null());
        let before: Vec<Reply> = std::iter::from_fn(|| client.take_push()).collect();
        assert_eq!(before.len(), 1, "{before:?}");
        assert_eq!(client.pushes().expect("the server answers").len(), 1);
    }
}

#[test]
fn what_a_served_command_makes_stale_is_told_to_its_client_behind_the_reply() {
    let local = Local::start();
    let mut client = speaking3(&local, &["CLIENT TRACKING ON"]);
    let (mut reader, mut other) = (speaking3(&local, &["CLIENT TRACKING ON"]), local.client());
    for _ in 0..50 {
        ask(&mut other, "DEL target");
        [&mut client, &mut reader].into_iter().for_each(|it| drop(ask(it, "LRANGE target 0 -1")));
        [&mut client, &mut reader].into_iter().for_each(|it| while it.take_push().is_some() {});
        client.send(&["BLMOVE", "source", "target", "LEFT", "LEFT", "0"]).expect("a request is sent");
        until("it waits", || info(&mut other, "blocked_clients") == 1);
        ask(&mut other, "RPUSH source x");
        assert_eq!(client.read().expect("it is served"), Reply::Bulk(b"x".to_vec()));
        assert_eq!(client.take_push(), None);
        for it in [&mut client, &mut reader] {
            let told: Vec<_> = it.pushes().expect("the server answers").iter().map(stale).collect();
            assert_eq!(told, [Some(vec!["target".to_string()])]);
        }
    }
}

#[test]
fn all_monitors_see_one_order_in_which_a_key_was_changed() {
    const EACH: usize = 300;
    const WRITERS: usize = 3;
    let local = Local::start();
    let mut monitors: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = local.client();
            ask(&mut client, "MONITOR");
            client
        })
        .collect();
    scope(|scope| {
        for writer in 0..WRITERS {
            let mut client = local.client();
            scope.spawn(move || {
                for n in 0..EACH {
                    ask(&mut client, &format!("APPEND log <{writer}.{n}>"));
                }
            });
        }
    });
    let mut reader = local.client();
    let log = ask(&mut reader, "GET log").text().expect("a text");
    for monitor in &mut monitors {
        let mut seen = String::new();
        for _ in 0..WRITERS * EACH {
            let line = monitor.read().expect("a line").text().expect("a status");
            let argument = line.split('"').nth(5).unwrap_or_else(|| panic!("{line}"));
            seen.push_str(argument);
        }
        assert_eq!(seen, log);
    }
}
