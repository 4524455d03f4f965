//! Scripts that run for too long.
//!
//! For: what everybody else is told meanwhile, on the worker that runs the script and on the others, and how
//! such a script is ended. May touch: sockets.
//! Always: every test runs with one worker and with four; a script that never ends is killed by the test.

mod support;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use support::Reply;
use support::client::Client;
use support::local::{Local, ask, ask_all, ask_int, words};
use support::patience::until;

/// `busy-reply-threshold`, milliseconds.
const THRESHOLD: &str = "60";
const BUSY: &str = "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const KILLED: &str = "Script killed by user with SCRIPT KILL.";
const FOREVER: &str = "while true do end";
/// As many connections as it takes for every worker to have some.
const CROWD: usize = 12;
/// Keys that clients can come to watch while one script runs.
const MOST_WATCHED: usize = 10_000;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// Does something with a server of one worker, and with one of four.
fn with_one_and_four(test: impl Fn(&Local)) {
    for threads in ["1", "4"] {
        test(&Local::with(&[("io-threads", threads), ("busy-reply-threshold", THRESHOLD)]));
    }
}

fn crowd(local: &Local) -> Vec<Client> {
    (0..CROWD).map(|_| local.client()).collect()
}

/// The text of the reply to a line.
fn told(client: &mut Client, line: &str) -> String {
    client.call(&words(line)).expect("the server answers").text().unwrap_or_default()
}

/// Starts a script and waits until others are told of it.
fn hold_up(local: &Local, client: &mut Client, script: &str) {
    client.send(&["EVAL", script, "0"]).expect("a request is sent");
    let mut other = local.client();
    until("the script is found to be slow", || told(&mut other, "PING") == BUSY);
}

fn killed(client: &mut Client) -> bool {
    client.read().expect("a killed script is answered").text().is_some_and(|text| text.contains(KILLED))
}

#[test]
fn every_other_connection_is_told_busy_and_each_can_kill() {
    with_one_and_four(|local| {
        let mut clients = crowd(local);
        for killer in 1..CROWD {
            let mut runner = local.client();
            hold_up(local, &mut runner, FOREVER);
            for client in &mut clients {
                assert_eq!(told(client, "GET x"), BUSY);
                assert_eq!(told(client, "EVAL x"), "ERR wrong number of arguments for 'eval' command");
            }
            assert_eq!(told(&mut clients[killer], "SCRIPT KILL"), "OK");
            assert!(killed(&mut runner));
            for client in &mut clients {
                assert_eq!(told(client, "PING"), "PONG");
            }
            assert!(told(&mut runner, "SCRIPT KILL").starts_with("NOTBUSY"));
        }
    });
}

#[test]
fn who_comes_while_a_script_runs_is_served() {
    with_one_and_four(|local| {
        let mut runner = local.client();
        hold_up(local, &mut runner, FOREVER);
        let mut late = crowd(local);
        late.iter_mut().for_each(|client| assert_eq!(told(client, "SET x 1"), BUSY));
        assert_eq!(told(&mut late[5], "SELECT 1"), "OK");
        assert_eq!(told(&mut late[CROWD - 1], "SCRIPT KILL"), "OK");
        assert!(killed(&mut runner));
        ask(&mut late[5], "SET x 1");
        ask(&mut late[6], "SELECT 1");
        assert_eq!(told(&mut late[6], "GET x"), "1");
    });
}

#[test]
fn a_script_that_has_written_is_not_killable_but_ends_with_the_server() {
    with_one_and_four(|local| {
        let mut runner = local.client();
        let mut clients = crowd(local);
        hold_up(local, &mut runner, "redis.call('set', 'x', '1') while true do end");
        for client in &mut clients {
            assert!(told(client, "SCRIPT KILL").starts_with("UNKILLABLE "));
            assert_eq!((told(client, "SHUTDOWN"), told(client, "SHUTDOWN SAVE")), (BUSY.into(), BUSY.into()));
        }
        for client in &mut clients[..2] {
            client.send(&["SHUTDOWN", "NOSAVE"]).expect("a request is sent");
        }
        for client in &mut clients[..2] {
            assert!(client.read().is_err());
        }
        // It may be told why its script has ended.
        if let Ok(reply) = runner.read() {
            assert!(reply.is_error() && runner.read().is_err(), "{reply:?}");
        }
    });
}

#[test]
fn a_command_that_writes_nothing_makes_a_script_unkillable_too() {
    with_one_and_four(|local| {
        let (mut runner, mut killer) = (local.client(), local.client());
        ask(&mut killer, "PING");
        // It ends when the killer has left.
        let script = "redis.call('del', 'none') repeat local info = redis.call('info', 'clients') \
                      until string.find(info, 'connected_clients:1\\r')";
        hold_up(local, &mut runner, script);
        assert!(told(&mut killer, "SCRIPT KILL").starts_with("UNKILLABLE "));
        drop(killer);
        assert!(runner.read().expect("the script ends").is_null());
    });
}

/// Reads one reply of each client on a thread of its own; they come with the client's number and the client.
fn replies(clients: Vec<Client>) -> Receiver<(usize, Reply, Client)> {
    let (sender, receiver) = channel();
    for (at, mut client) in clients.into_iter().enumerate() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let reply = client.read().expect("the server answers in the end");
            let _ = sender.send((at, reply, client));
        });
    }
    receiver
}

#[test]
fn of_many_scripts_at_once_one_runs_and_the_others_are_told_busy() {
    with_one_and_four(|local| {
        for _ in 0..5 {
            let mut clients = crowd(local);
            clients.iter_mut().for_each(|it| it.send(&["EVAL", FOREVER, "0"]).expect("a request is sent"));
            let replies = replies(clients);
            let mut answered = Vec::new();
            while answered.len() < CROWD - 1 {
                let (_, reply, client) = replies.recv_timeout(LONG).expect("all but one are told at once");
                assert_eq!(reply.text().as_deref(), Some(BUSY));
                answered.push(client);
            }
            assert_eq!(told(&mut answered[0], "SCRIPT KILL"), "OK");
            let (_, reply, _) = replies.recv_timeout(LONG).expect("the killed script is answered");
            assert!(reply.text().is_some_and(|text| text.contains(KILLED)), "{reply:?}");
        }
    });
}

#[test]
fn requests_received_together_with_the_script_are_answered_too() {
    with_one_and_four(|local| {
        let (mut first, mut clients) = (local.client(), crowd(local));
        // Everything that is sent while this runs comes in one turn.
        let short = "local begin = redis.call('time') repeat local now = redis.call('time') \
                     until (now[1] - begin[1]) * 1000000 + now[2] - begin[2] > 20000";
        first.send(&["EVAL", short, "0"]).expect("a request is sent");
        clients[0].send(&["EVAL", FOREVER, "0"]).expect("a request is sent");
        clients[0].send(&["PING"]).expect("a request is sent");
        for client in &mut clients[1..] {
            client.send_raw(b"MULTI\r\nGET x\r\nGET y\r\nEXEC\r\nSELECT 1\r\n").expect("bytes are sent");
        }
        for client in &mut clients[1..] {
            // Some may have come in before the script.
            let replies: Vec<_> = (0..5).map(|_| client.read().expect("an answer")).collect();
            assert_eq!((replies[0].text(), replies[4].text()), (Some("OK".into()), Some("OK".into())));
        }
        let (mut killer, mut reply) = (local.client(), None);
        let replies = replies(vec![clients.remove(0)]);
        until("the script is killed", || {
            told(&mut killer, "SCRIPT KILL");
            reply = replies.try_recv().ok();
            reply.is_some()
        });
        let (_, reply, mut runner) = reply.expect("it has come");
        // On a busy machine the first script may have been over the threshold.
        assert!(reply.text().is_some_and(|text| text.contains(KILLED) || text == BUSY), "{reply:?}");
        let text = runner.read().expect("an answer").text().unwrap_or_default();
        assert!(text == "PONG" || text == BUSY, "{text}");
        clients.iter_mut().for_each(|client| assert_eq!(told(client, "PING"), "PONG"));
    });
}

#[test]
fn a_script_in_a_transaction_is_killed_and_the_transaction_goes_on() {
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        ask_all(&mut runner, &["MULTI", "INCR x"]);
        runner.call(&["EVAL", FOREVER, "0"]).expect("it is queued");
        ask(&mut runner, "INCR x");
        runner.send(&["EXEC"]).expect("a request is sent");
        until("the script is found to be slow", || told(&mut clients[0], "PING") == BUSY);
        clients.iter_mut().for_each(|client| assert_eq!(told(client, "PING"), BUSY));
        assert_eq!(told(&mut clients[CROWD - 1], "SCRIPT KILL"), "OK");
        let reply = runner.read().expect("the transaction is answered");
        let replies = reply.members().expect("an array");
        assert_eq!((&replies[0], &replies[2]), (&Reply::Integer(1), &Reply::Integer(2)));
        assert!(replies[1].text().is_some_and(|text| text.contains(KILLED)), "{reply:?}");
    });
}

#[test]
fn a_transaction_can_be_begun_and_discarded_while_a_script_runs_but_not_executed() {
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        for client in &mut clients {
            ask_all(client, &["WATCH x", "MULTI"]);
        }
        hold_up(local, &mut runner, FOREVER);
        let aborted = format!("EXECABORT Transaction discarded because of: {BUSY}");
        for client in &mut clients {
            assert_eq!(told(client, "SCRIPT KILL"), "QUEUED");
            assert_eq!(told(client, "DISCARD"), "OK");
            assert_eq!(told(client, "DISCARD"), "ERR DISCARD without MULTI");
            assert_eq!(told(client, "UNWATCH"), "OK");
            assert_eq!(told(client, "MULTI"), "OK");
            assert_eq!(told(client, "SET x 1"), BUSY);
            assert_eq!(told(client, "EXEC"), aborted);
            assert_eq!(told(client, "RESET"), "RESET");
        }
        assert_eq!(told(&mut clients[0], "SCRIPT KILL"), "OK");
        assert!(killed(&mut runner));
        ask(&mut runner, "SET x 2");
        for client in &mut clients {
            assert_eq!(
                ask_all(client, &["MULTI", "GET x", "EXEC"])[2],
                Reply::Array(vec![Reply::Bulk(b"2".to_vec())])
            );
        }
        let info = told(&mut runner, "CLIENT LIST");
        assert!(info.lines().all(|line| line.contains(" watch=0 ")), "{info}");
    });
}

/// What EXEC of a queued GET of `x` answers each client.
fn executed(clients: &mut [Client]) -> Vec<Option<String>> {
    let executed = |client: &mut Client| match &ask_all(client, &["MULTI", "GET x", "EXEC"])[2] {
        Reply::Array(replies) => replies[0].text(),
        _ => None,
    };
    clients.iter_mut().map(executed).collect()
}

#[test]
fn a_key_watched_while_a_script_runs_is_watched_when_it_ends() {
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        hold_up(local, &mut runner, FOREVER);
        for client in &mut clients {
            assert_eq!((told(client, "WATCH x y x"), told(client, "GET x")), ("OK".into(), BUSY.into()));
        }
        assert_eq!(told(&mut clients[1], "UNWATCH"), "OK");
        assert_eq!(told(&mut clients[2], "RESET"), "RESET");
        drop(clients.remove(3));
        assert_eq!(told(&mut clients[0], "SCRIPT KILL"), "OK");
        assert!(killed(&mut runner));
        ask(&mut runner, "SET x 1");
        let mut expected = vec![None; clients.len()];
        (expected[1], expected[2]) = (Some("1".into()), Some("1".into()));
        assert_eq!(executed(&mut clients), expected);
        assert_eq!(executed(&mut clients), vec![Some("1".into()); clients.len()]);
    });
}

#[test]
fn a_key_watched_while_a_script_runs_is_changed_by_what_that_does_later() {
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        let script = format!(
            "redis.call('set', 'x', '1') repeat local info = redis.call('info', 'clients') \
             until string.find(info, 'watching_clients:{CROWD}') redis.call('set', 'x', '2')"
        );
        hold_up(local, &mut runner, &script);
        clients.iter_mut().for_each(|client| assert_eq!(told(client, "WATCH x"), "OK"));
        assert!(runner.read().expect("the script ends").is_null());
        assert_eq!(executed(&mut clients), vec![None; CROWD]);
        // By what comes after it in its transaction.
        ask(&mut runner, "MULTI");
        runner.call(&["EVAL", FOREVER, "0"]).expect("it is queued");
        ask(&mut runner, "SET x 3");
        runner.send(&["EXEC"]).expect("a request is sent");
        until("the script is found to be slow", || told(&mut clients[0], "PING") == BUSY);
        clients.iter_mut().for_each(|client| assert_eq!(told(client, "WATCH x"), "OK"));
        assert_eq!(told(&mut clients[0], "SCRIPT KILL"), "OK");
        runner.read().expect("the transaction is answered");
        assert_eq!(executed(&mut clients), vec![None; CROWD]);
        assert_eq!(executed(&mut clients), vec![Some("3".into()); CROWD]);
    });
}

#[test]
fn a_script_is_not_asked_to_watch_without_end() {
    with_one_and_four(|local| {
        let (mut runner, mut other) = (local.client(), local.client());
        hold_up(local, &mut runner, FOREVER);
        let most: Vec<String> = (1..MOST_WATCHED).map(|n| format!("key{n}")).collect();
        assert_eq!(told(&mut other, &format!("WATCH {}", most.join(" "))), "OK");
        assert_eq!(told(&mut other, "UNWATCH"), "OK");
        assert_eq!(told(&mut other, "WATCH a b"), BUSY);
        assert_eq!(told(&mut other, "WATCH a"), "OK");
        assert_eq!(told(&mut other, "WATCH b"), BUSY);
        assert_eq!(told(&mut other, "SCRIPT KILL"), "OK");
        assert!(killed(&mut runner));
        ask_all(&mut other, &["MULTI", "GET x", "EXEC"]);
    });
}

#[test]
fn who_leaves_while_a_script_runs_is_gone_when_it_ends() {
    with_one_and_four(|local| {
        let (mut runner, mut other) = (local.client(), local.client());
        let mut waiting = crowd(local);
        for client in &mut waiting {
            ask(client, "WATCH w");
            client.send(&["BLPOP", "l", "0"]).expect("a request is sent");
        }
        until("all wait", || told(&mut other, "INFO clients").contains(&format!("blocked_clients:{CROWD}")));
        // It ends when all but its own client and the other one have left.
        let script = "repeat local info = redis.call('info', 'clients') \
                      until string.find(info, 'connected_clients:2\\r') \
                      redis.call('rpush', 'l', 'a', 'b') return 7";
        hold_up(local, &mut runner, script);
        drop(waiting);
        assert_eq!(runner.read().expect("the script ends"), Reply::Integer(7));
        assert_eq!(ask_int(&mut other, "LLEN l"), 2);
        until("nobody waits", || told(&mut other, "INFO clients").contains("blocked_clients:0"));
        // One whose script runs leaves.
        hold_up(local, &mut runner, FOREVER);
        drop(runner);
        assert_eq!(told(&mut other, "SCRIPT KILL"), "OK");
        until("the runner is gone", || told(&mut other, "INFO clients").contains("connected_clients:1\r"));
    });
}

#[test]
fn what_is_sent_during_a_script_is_neither_lost_nor_reordered() {
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        hold_up(local, &mut runner, FOREVER);
        let big = vec![b'v'; 3 << 20];
        let header = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", big.len());
        for (at, client) in clients.iter_mut().enumerate() {
            match at % 3 {
                // Many, of which a turn takes a part.
                0 => client.send_raw(&b"PING\r\n".repeat(30_000)).expect("bytes are sent"),
                // A long one.
                1 => client
                    .send_raw(&[header.as_bytes(), &big, b"\r\nPING\r\n"].concat())
                    .expect("bytes are sent"),
                // Half a one.
                _ => client.send_raw(b"*2\r\n$4\r\nECHO\r\n$4\r\nha").expect("bytes are sent"),
            }
        }
        runner.send(&["ECHO", "one"]).expect("a request is sent");
        runner.send(&["ECHO", "two"]).expect("a request is sent");
        for (at, client) in clients.iter_mut().enumerate() {
            for _ in 0..[30_000, 2, 0][at % 3] {
                assert_eq!(client.read().expect("an answer").text().as_deref(), Some(BUSY));
            }
        }
        assert_eq!(told(&mut clients[0], "SCRIPT KILL"), "OK");
        assert!(killed(&mut runner));
        runner.send(&["ECHO", "three"]).expect("a request is sent");
        for word in ["one", "two", "three"] {
            assert_eq!(runner.read().expect("an answer").text().as_deref(), Some(word));
        }
        for client in clients.iter_mut().skip(2).step_by(3) {
            client.send_raw(b"lf\r\n").expect("bytes are sent");
            assert_eq!(client.read().expect("an answer").text().as_deref(), Some("half"));
        }
        clients.iter_mut().for_each(|client| assert_eq!(told(client, "PING"), "PONG"));
    });
}

#[test]
fn messages_that_a_script_has_published_come_when_it_ends() {
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        runner.call(&["HELLO", "3"]).expect("an answer");
        runner.send(&["SUBSCRIBE", "own"]).expect("a request is sent");
        runner.read_push().expect("it has subscribed");
        for client in &mut clients {
            client.call(&["HELLO", "3"]).expect("an answer");
            client.send(&["SUBSCRIBE", "c"]).expect("a request is sent");
            client.read_push().expect("it has subscribed");
        }
        let script = "redis.call('publish', 'own', 'x') redis.call('publish', 'c', 'y') while true do end";
        hold_up(local, &mut runner, script);
        let mut late = local.client();
        clients.iter_mut().for_each(|client| assert_eq!(told(client, "GET x"), BUSY));
        assert_eq!(told(&mut late, "SCRIPT KILL"), "OK");
        assert!(killed(&mut runner));
        runner.read_push().expect("its own message");
        clients.iter_mut().for_each(|client| drop(client.read_push().expect("a message")));
    });
}

#[test]
fn without_a_threshold_nobody_is_told_and_all_wait() {
    let script = "local begin = redis.call('time') repeat local now = redis.call('time') \
                  until (now[1] - begin[1]) * 1000000 + now[2] - begin[2] > 300000 return 7";
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        ask(&mut runner, "CONFIG SET lua-time-limit 0");
        runner.send(&["EVAL", script, "0"]).expect("a request is sent");
        clients.iter_mut().for_each(|client| assert_eq!(told(client, "PING"), "PONG"));
        assert_eq!(runner.read().expect("the script ends"), Reply::Integer(7));
        // And with one again, from the next script on.
        ask(&mut runner, &format!("CONFIG SET busy-reply-threshold {THRESHOLD}"));
        hold_up(local, &mut runner, FOREVER);
        assert_eq!(told(&mut clients[0], "SCRIPT KILL"), "OK");
        assert!(killed(&mut runner));
    });
}

#[test]
fn a_script_that_spends_its_time_in_commands_is_killable_too() {
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        let fill = "for i = 1, 2000 do redis.call('rpush', 'l', i) end";
        runner.call(&["EVAL", fill, "0"]).expect("an answer");
        for script in [
            "while true do redis.call('lrange', 'l', 0, -1) end",
            "while true do pcall(redis.call, 'lrange', 'l', 0, -1) end",
            "coroutine.wrap(function() while true do redis.pcall('lrange', 'l', 0, -1) end end)()",
        ] {
            hold_up(local, &mut runner, script);
            clients.iter_mut().for_each(|client| assert_eq!(told(client, "PING"), BUSY));
            assert_eq!(told(&mut clients[3], "SCRIPT KILL"), "OK");
            assert!(killed(&mut runner));
        }
    });
}

#[test]
fn a_script_of_short_coroutines_within_short_coroutines_is_killable_too() {
    let inner = "local function inner() for i = 1, 20000 do end end \
                 local function outer() for i = 1, 5000 do coroutine.wrap(inner)() end end";
    with_one_and_four(|local| {
        let (mut runner, mut clients) = (local.client(), crowd(local));
        for forever in [
            "while true do coroutine.wrap(outer)() end",
            "while true do pcall(coroutine.wrap(outer)) end",
            "while true do coroutine.resume(coroutine.create(outer)) end",
        ] {
            hold_up(local, &mut runner, &format!("{inner} {forever}"));
            clients.iter_mut().for_each(|client| assert_eq!(told(client, "PING"), BUSY));
            assert_eq!(told(&mut clients[3], "SCRIPT KILL"), "OK");
            assert!(killed(&mut runner));
        }
    });
}
