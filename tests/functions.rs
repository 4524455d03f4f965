//! Libraries of functions, as several workers see them, and functions that do not behave.
//!
//! For: the one state that a dataset has for functions. May touch: sockets.
//! Always: what a library keeps is there afterwards.

mod support;

use support::Reply;
use support::client::Client;
use support::local::{Local, ask};
use support::patience::until;

fn load(client: &mut Client, body: &str) {
    let text = format!("#!lua name=lib\n{body}");
    let reply = client.call(&["FUNCTION", "LOAD", "REPLACE", &text]).expect("an answer");
    assert_eq!(reply.text().as_deref(), Some("lib"), "{body}");
}

fn fails(client: &mut Client, line: &str) -> String {
    let reply = ask_any(client, line);
    assert!(reply.is_error(), "{line}: {reply:?}");
    shown(&reply)
}

/// A reply as people read it.
fn shown(reply: &Reply) -> String {
    support::render::lines(reply, 2).join("\n")
}

fn ask_any(client: &mut Client, line: &str) -> Reply {
    client.call(&support::local::words(line)).expect("an answer")
}

/// A library with a counter beside the function that is looked at.
fn counting(f: &str) -> String {
    format!(
        "local n = 0 server.register_function('count', function() n = n + 1 return n end) \
         server.register_function('f', function() {f} end)"
    )
}

#[test]
fn every_worker_calls_into_the_same_state() {
    let local = Local::with(&[("io-threads", "4")]);
    let mut clients: Vec<_> = (0..8).map(|_| local.client()).collect();
    load(&mut clients[3], &counting("return server.call('incr', 'k')"));
    for round in 0..10 {
        for (at, client) in clients.iter_mut().enumerate() {
            assert_eq!(ask_any(client, "FCALL count 0"), Reply::Integer(round * 8 + at as i64 + 1));
        }
    }
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                (0..50).map(|_| ask_any(&mut client, "FCALL f 0")).filter(|it| !it.is_error()).count()
            })
        })
        .collect();
    let ran: usize = threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum();
    let mut client = local.client();
    assert_eq!((ran, ask(&mut client, "GET k").text().as_deref()), (400, Some("400")));
    ask(&mut client, "FUNCTION FLUSH");
    assert!(fails(&mut local.client(), "FCALL f 0").contains("Function not found"));
}

/// Waits until a function runs for longer than the threshold.
fn wait_until_busy(client: &mut Client) {
    until("a function is found to be slow", || shown(&ask_any(client, "PING")).contains("BUSY"));
}

#[test]
fn a_function_without_end_is_killed_from_another_connection_and_its_library_goes_on() {
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "coroutine.wrap(function() while true do end end)()",
    ] {
        let local = Local::with(&[("io-threads", "2"), ("busy-reply-threshold", "20")]);
        let (mut one, mut other) = (local.client(), local.client());
        load(&mut one, &counting(body));
        for round in 1..=2 {
            one.send(&["FCALL", "f", "1", "key"]).expect("a request is sent");
            wait_until_busy(&mut other);
            let stats = shown(&ask_any(&mut other, "FUNCTION STATS"));
            assert!(stats.contains("duration_ms") && stats.contains("key"), "{stats}");
            assert!(fails(&mut other, "SCRIPT KILL").contains("FUNCTION KILL"));
            ask(&mut other, "FUNCTION KILL");
            let reply = one.read().expect("an answer");
            assert!(reply.is_error(), "{body}: {reply:?}");
            assert!(shown(&reply).contains("killed by user with FUNCTION KILL."), "{body}: {reply:?}");
            assert_eq!(ask_any(&mut other, "FCALL count 0"), Reply::Integer(round));
            assert!(fails(&mut other, "FUNCTION KILL").contains("NOTBUSY"));
        }
    }
}

#[test]
fn a_script_is_not_killed_as_a_function() {
    let local = Local::with(&[("io-threads", "2"), ("busy-reply-threshold", "20")]);
    let (mut one, mut other) = (local.client(), local.client());
    one.send(&["EVAL", "while true do end", "0"]).expect("a request is sent");
    wait_until_busy(&mut other);
    assert!(fails(&mut other, "FUNCTION KILL").contains("SCRIPT KILL"));
    assert!(fails(&mut other, "FUNCTION STATS").contains("BUSY"));
    ask(&mut other, "SCRIPT KILL");
    let reply = shown(&one.read().expect("an answer"));
    assert!(
        reply.contains("ERR Script killed by user with SCRIPT KILL. script: on @user_script:1."),
        "{reply}"
    );
}

#[test]
fn a_function_that_has_written_is_not_killed_and_ends_with_the_server() {
    let local = Local::with(&[("io-threads", "2"), ("busy-reply-threshold", "20")]);
    let (mut one, mut other) = (local.client(), local.client());
    load(&mut one, &counting("server.call('set', 'k', 1) while true do end"));
    one.send(&["FCALL", "f", "0"]).expect("a request is sent");
    wait_until_busy(&mut other);
    assert!(fails(&mut other, "FUNCTION KILL").contains("UNKILLABLE"));
}

#[test]
fn nothing_of_a_function_is_left_but_what_its_library_keeps() {
    let local = Local::with(&[("io-threads", "1")]);
    let mut client = local.client();
    for body in [
        "x = 1",
        "rawset(_G, 'x', 1)",
        "rawset(server, 'x', 1)",
        "table.insert(server, 1)",
        "getmetatable(_G).__newindex = nil",
        "getmetatable('').__index.x = 1",
        "local _, t = pairs(server) t.x = 1",
        "loadstring('x = 1')()",
        "string.x = 1",
        "setmetatable(_G, nil)",
        "server.setresp(3)",
        "server.call('select', 3)",
        "server.set_repl(server.REPL_NONE)",
        "coroutine.wrap(function() error('x') end)()",
    ] {
        load(&mut client, &counting(body));
        ask_any(&mut client, "FCALL f 0");
        let seen = "return tostring(rawget(_G, 'x')) .. tostring(server.x) .. tostring(server[1]) .. \
            tostring(('').x) .. tostring(#server.call('keys', '*'))";
        load(&mut client, &counting(seen));
        ask(&mut client, "SET k v");
        assert_eq!(ask(&mut client, "FCALL f 0").text().as_deref(), Some("nilnilnilnil1"), "after {body}");
        let reply = client.call(&["EVAL", &seen.replace("keys", "KEYS"), "0"]).expect("an answer");
        assert_eq!(reply.text().as_deref(), Some("nilnilnilnil1"), "after {body}");
    }
}

#[test]
fn functions_that_go_too_deep_fail_and_their_library_goes_on() {
    let local = Local::start();
    let mut client = local.client();
    for body in [
        "local function f() return f() + 1 end return f()",
        "local t = {} t[1] = t t[2] = t return t",
        "local t = {} t[1] = t return cjson.encode(t)",
        "local function f() return coroutine.wrap(f)() end return f()",
        "return ('x'):find(('('):rep(20000))",
        "return server.call('fcall', 'f', 0)",
    ] {
        load(&mut client, &counting(body));
        fails(&mut client, "FCALL f 0");
        assert_eq!(ask_any(&mut client, "FCALL count 0"), Reply::Integer(1), "after {body}");
    }
}

#[test]
fn a_library_that_cannot_be_loaded_leaves_the_others_as_they_were() {
    let local = Local::start();
    let mut client = local.client();
    load(&mut client, &counting("return 1"));
    for (text, said) in [
        ("#!lua name=lib\nwhile true do end", "FUNCTION LOAD timeout"),
        ("#!lua name=lib\nlocal function f() return f() + 1 end f()", "stack overflow"),
        ("#!lua name=lib\nserver.register_function('g', function() end) x()", "nonexistent global"),
    ] {
        let reply = client.call(&["FUNCTION", "LOAD", "REPLACE", text]).expect("an answer");
        assert!(reply.is_error() && shown(&reply).contains(said), "{reply:?}");
    }
    assert_eq!(ask_any(&mut client, "FCALL count 0"), Reply::Integer(1));
    // What a library sees while it is loaded is not what functions see.
    assert_eq!(
        ask_any(&mut client, "EVAL return\ttostring(server.register_function) 0").text().as_deref(),
        Some("nil")
    );
}

#[test]
fn a_dump_is_restored_elsewhere() {
    let (here, there) = (Local::start(), Local::start());
    let (mut one, mut other) = (here.client(), there.client());
    load(&mut one, &counting(&format!("return '{}'", "long ".repeat(5000))));
    let dump = support::local::bytes(&ask(&mut one, "FUNCTION DUMP"));
    let mut restore =
        |how: &[u8]| other.call(&[&b"FUNCTION"[..], b"RESTORE", &dump, how]).expect("an answer");
    assert!(!restore(b"APPEND").is_error() && restore(b"APPEND").is_error());
    assert!(!restore(b"REPLACE").is_error() && !restore(b"FLUSH").is_error());
    assert_eq!(
        format!("{:?}", ask(&mut one, "FUNCTION LIST WITHCODE")),
        format!("{:?}", ask(&mut other, "FUNCTION LIST WITHCODE"))
    );
}
