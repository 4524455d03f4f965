//! The instant at which a command sees its keys.
//!
//! For: workers that are held up between reading the clock and locking several shards. May touch: executors
//! without sockets, two at one dataset.
//! Always: the clock moves only when told; nothing here depends on how threads are scheduled.

mod support;

use support::local::START_MS;
use support::node::Node;
use support::spelling::words;

/// Deadlines of the keys that expire together, from the start.
const DUE_MS: u64 = 10;

/// A dataset whose clock stands at [`START_MS`].
fn frozen() -> Node {
    let node = Node::new(&[("enable-debug-command", "yes")]);
    node.host.space.clock.freeze();
    node.host.space.clock.set_ms(START_MS);
    node
}

fn ask(node: &mut Node, line: &str) -> String {
    shown(node.run(&words(line)))
}

/// At the instant of this worker's last command.
fn ask_late(node: &mut Node, line: &str) -> String {
    shown(node.run_late(&words(line)))
}

fn shown(reply: Vec<u8>) -> String {
    String::from_utf8_lossy(&reply).replace("\r\n", " ").trim_end().to_string()
}

/// A key that lives in the shard of `key`, or in any other.
fn key_beside(node: &Node, key: &str, is_same_shard: bool) -> String {
    let space = &node.host.space;
    let shard = |key: &str| space.shard_of(space.hasher.hash(key.as_bytes()));
    let mut names = (0..).map(|n| format!("k{n}"));
    names.find(|name| name != key && (shard(name) == shard(key)) == is_same_shard).expect("there are plenty")
}

/// Makes keys with one deadline, of which another worker then finds the first gone while the first worker
/// still has an earlier instant.
fn half_gone(late: &mut Node, keys: [&str; 2], second: &str) {
    ask(late, &format!("SET {} v PX {DUE_MS}", keys[0]));
    ask(late, second);
    ask(late, &format!("PEXPIRE {} {DUE_MS}", keys[1]));
    let mut other = late.beside();
    late.host.space.clock.set_ms(START_MS + DUE_MS);
    assert_eq!(ask(&mut other, &format!("GET {}", keys[0])), "$-1");
}

#[test]
fn keys_that_expire_together_are_gone_together_for_a_late_command() {
    let mut late = frozen();
    let other = key_beside(&late, "a", false);
    half_gone(&mut late, ["a", &other], &format!("SET {other} v"));
    assert_eq!(ask_late(&mut late, &format!("MGET a {other}")), "*2 $-1 $-1");
}

#[test]
fn keys_that_expire_together_are_gone_together_for_a_late_transaction() {
    let mut late = frozen();
    let other = key_beside(&late, "a", false);
    ask(&mut late, "MULTI");
    ask(&mut late, "GET a");
    ask(&mut late, &format!("GET {other}"));
    // Another client of the same worker.
    let mut late_client = std::mem::replace(&mut late.session, support::node::client(&late.host, 0));
    half_gone(&mut late, ["a", &other], &format!("SET {other} v"));
    std::mem::swap(&mut late.session, &mut late_client);
    assert_eq!(ask_late(&mut late, "EXEC"), "*2 $-1 $-1");
}

#[test]
fn a_late_transaction_sees_together_what_expired_in_several_databases() {
    let mut late = frozen();
    let other = key_beside(&late, "a", false);
    let lines = ["MULTI", "GET a", "SELECT 1", &format!("GET {other}"), "SELECT 0"];
    lines.iter().for_each(|line| drop(ask(&mut late, line)));
    let transaction = std::mem::replace(&mut late.session, support::node::client(&late.host, 0));
    ask(&mut late, &format!("SET a v PX {DUE_MS}"));
    ask(&mut late, "SELECT 1");
    ask(&mut late, &format!("SET {other} v PX {DUE_MS}"));
    let mut beside = late.beside();
    late.host.space.clock.set_ms(START_MS + DUE_MS);
    ask(&mut beside, "SELECT 1");
    assert_eq!(ask(&mut beside, &format!("GET {other}")), "$-1");
    late.session = transaction;
    assert_eq!(ask_late(&mut late, "EXEC"), "*4 $-1 +OK $-1 +OK");
}

#[test]
fn a_late_command_sees_together_what_expired_in_its_database_and_in_the_one_that_it_names() {
    for (apart, line) in [(false, "MOVE a 1"), (true, "COPY a KEY DB 1"), (true, "COPY a KEY DB 1 REPLACE")] {
        let mut late = frozen();
        let other = if apart { key_beside(&late, "a", false) } else { "a".to_string() };
        for line in ["SELECT 1", &format!("SET {other} v PX {DUE_MS}"), "SELECT 0"] {
            ask(&mut late, line);
        }
        ask(&mut late, &format!("SET a v PX {DUE_MS}"));
        let mut beside = late.beside();
        late.host.space.clock.set_ms(START_MS + DUE_MS);
        ask(&mut beside, "SELECT 1");
        assert_eq!(ask(&mut beside, &format!("GET {other}")), "$-1");
        assert_eq!(ask_late(&mut late, &line.replace("KEY", &other)), ":0", "{line}");
    }
}

#[test]
fn a_late_write_serves_a_blocked_client_at_an_instant_that_its_keys_have_reached() {
    let mut late = frozen();
    let (near, target) = (key_beside(&late, "list", true), key_beside(&late, "list", false));
    let waits = std::mem::replace(&mut late.session, support::node::client(&late.host, 0));
    let writes = std::mem::replace(&mut late.session, waits);
    assert_eq!(ask(&mut late, &format!("BLMOVE list {target} LEFT RIGHT 0")), "");
    late.session = writes;
    half_gone(&mut late, [&near, &target], &format!("RPUSH {target} old"));
    assert_eq!(ask_late(&mut late, "RPUSH list new"), ":1");
    assert_eq!(ask(&mut late, &format!("LRANGE {target} 0 -1")), "*1 $3 new");
    assert_eq!(ask(&mut late, &format!("PTTL {target}")), ":-1");
}

#[test]
fn a_clock_that_went_back_leaves_no_instant_to_catch_up_with() {
    let mut node = frozen();
    half_gone(&mut node, ["a", "b"], "SET b v");
    node.run(&words(&format!("OCHRE.CLOCK SET {START_MS}")));
    let mut turn = node.part.enter(std::time::Duration::MAX).expect("nobody else is here");
    let shard = node.host.space.shard_of(node.host.space.hasher.hash(b"a"));
    assert!(!turn.one(shard).get(shard).has_passed_anywhere(START_MS));
}

#[test]
fn time_stands_still_in_a_transaction() {
    let mut node = Node::new(&[("enable-debug-command", "yes")]);
    ask(&mut node, "SET a v PX 100000");
    let lines = ["MULTI", "PEXPIRETIME a", "PTTL a", "DEBUG SLEEP 0.005", "PTTL a"];
    lines.iter().for_each(|line| drop(ask(&mut node, line)));
    let reply = ask(&mut node, "EXEC");
    let parts: Vec<&str> = reply.split(' ').collect();
    assert_eq!(parts[2], parts[4], "{reply}");
}
