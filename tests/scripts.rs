//! Scripts that do not behave.
//!
//! For: what one script does to the server, and to the scripts after it. May touch: sockets.
//! Always: the server answers afterwards.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::local::{Local, ask, ask_int};

fn eval(local: &Local, script: &str) -> support::Reply {
    local.client().call(&["EVAL", script, "0"]).expect("the server answers")
}

#[test]
fn a_script_without_end_ends_with_the_server() {
    for script in ["while true do end", "while true do pcall(function() while true do end end) end"] {
        let local = Local::start();
        local.client().send(&["EVAL", script, "0"]).expect("a request is sent");
        std::thread::sleep(Duration::from_millis(100));
        drop(local);
    }
}

#[test]
fn scripts_are_compiled_on_every_worker_and_forgotten_by_all() {
    let local = Local::start();
    let mut clients: Vec<_> = (0..8).map(|_| local.client()).collect();
    let sha = clients[0].call(&["SCRIPT", "LOAD", "return 7"]).expect("an answer").text().expect("a digest");
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(ask_int(client, &format!("EVALSHA {sha} 0")), 7);
        }
    }
    ask(&mut clients[1], "SCRIPT FLUSH");
    for client in &mut clients {
        let reply = client.call(&["EVALSHA", &sha, "0"]).expect("an answer");
        assert!(reply.is_error(), "{reply:?}");
    }
}

#[test]
fn every_script_finds_its_own_keys_and_arguments_and_nothing_else_in_them() {
    let local = Local::with(&[("io-threads", "1")]);
    let seen = "local n = 0 for _ in pairs(KEYS) do n = n + 1 end for _ in pairs(ARGV) do n = n + 1 end \
                return table.concat({#KEYS, #ARGV, n, tostring(getmetatable(KEYS)), tostring(KEYS[1]), \
                tostring(ARGV[1])}, ' ')";
    for script in [
        "return 1",
        "KEYS.x = 1 ARGV.x = 2",
        "setmetatable(KEYS, {__index = function() return 'x' end, __newindex = function() end})",
        "for i = 1, 1000 do KEYS[i] = i ARGV[-i] = i end",
        "for i = 1, 64 do KEYS[i] = i end",
        "KEYS[1] = nil",
        "KEYS[KEYS] = KEYS",
        "ARGV[2] = 'x'",
        "for i = 1, 5 do ARGV[#ARGV + 1] = i end",
        "table.remove(KEYS, 1) KEYS.x = 1 KEYS[1] = 2",
        "rawset(ARGV, 3, 1) rawset(ARGV, 'x', 1)",
        "KEYS.x = 1 KEYS.x = nil",
        "KEYS = nil",
        "error(KEYS)",
    ] {
        let mut client = local.client();
        for (given, expected) in [
            (&["1", "k", "v"][..], "1 1 2 nil k v"),
            (&["0"], "0 0 0 nil nil nil"),
            (&["3", "k", "l", "m", "v", "w"], "3 2 5 nil k v"),
            (&["1", "k"], "1 0 1 nil k nil"),
        ] {
            let _ = client.call(&["EVAL", script, "2", "a", "b", "c"]);
            let answer = client.call(&[&["EVAL", seen][..], given].concat()).expect("a reply");
            assert_eq!(answer.text().as_deref(), Some(expected), "after {script}");
        }
    }
}

#[test]
fn a_reply_of_many_large_pieces_is_read_whole() {
    let local = Local::with(&[("io-threads", "1")]);
    let script = "redis.call('SET', 'big', string.rep('x', 100000)) redis.call('SET', 'small', 'y') \
                  local a = redis.call('MGET', 'big', 'small', 'none', 'big') \
                  return table.concat({#a[1], a[2], tostring(a[3]), #a[4]}, ' ')";
    for _ in 0..2 {
        assert_eq!(eval(&local, script).text().as_deref(), Some("100000 y false 100000"));
    }
}

#[test]
fn nothing_of_a_script_is_left_for_the_next() {
    let local = Local::with(&[("io-threads", "1")]);
    for script in [
        "x = 1",
        "rawset(_G, 'x', 1)",
        "rawset(redis, 'x', 1)",
        "table.insert(redis, 1)",
        "getmetatable(_G).__newindex = nil",
        "getmetatable('').__index.x = 1",
        "local _, t = pairs(redis) t.x = 1",
        "loadstring('x = 1')()",
        "string.x = 1",
    ] {
        eval(&local, script);
        let seen = eval(
            &local,
            "return tostring(rawget(_G,'x'))..tostring(redis.x)..tostring(redis[1])..tostring(('').x)",
        );
        assert_eq!(seen.text().as_deref(), Some("nilnilnilnil"), "after {script}");
    }
}

#[test]
fn options_of_cjson_take_what_they_know_and_nothing_else() {
    let local = Local::start();
    let refused = |call: &str, complaint: &str| {
        let function = call.split('(').next().expect("a name");
        let reply = eval(&local, &format!("return cjson.{call}"));
        let text = reply.text();
        let (at, why) = complaint.split_once(' ').expect("a place and a reason");
        let wanted = format!(
            "ERR user_script:1: bad argument {at} to '{function}' ({why}) script: on @user_script:1."
        );
        assert_eq!(text, Some(wanted), "{call}");
    };
    for switch in
        ["encode_invalid_numbers", "decode_invalid_numbers", "encode_keep_buffer", "encode_sparse_array"]
    {
        refused(&format!("{switch}('foo')"), "#1 invalid option 'foo'");
        refused(&format!("{switch}('ON')"), "#1 invalid option 'ON'");
        refused(&format!("{switch}(1)"), "#1 invalid option '1'");
        refused(&format!("{switch}({{}})"), "#1 string expected, got table");
        for (word, value) in [("true", "true"), ("'off'", "false"), ("'on'", "true"), ("false", "false")] {
            let seen = eval(&local, &format!("return tostring(cjson.{switch}({word}))"));
            assert_eq!(seen.text().as_deref(), Some(value), "{switch}({word})");
        }
    }
    refused("encode_keep_buffer('null')", "#1 invalid option 'null'");
    refused("encode_invalid_numbers(true,true)", "#2 found too many arguments");
    refused("encode_sparse_array(1,2,3,4)", "#4 found too many arguments");
    refused("encode_sparse_array(true,'a')", "#2 number expected, got string");
    refused("encode_sparse_array(true,-1)", "#1 expected integer between 0 and 2147483647");
    refused("encode_max_depth('foo')", "#1 number expected, got string");
    refused("decode_max_depth(0)", "#1 expected integer between 1 and 2147483647");
    refused("encode_number_precision(15)", "#1 expected integer between 1 and 14");
    refused("encode_number_precision(0/0)", "#1 expected integer between 1 and 14");
    for (script, seen) in [
        ("return cjson.encode_invalid_numbers('null')", "null"),
        (
            "return select(2,pcall(cjson.encode_max_depth,{}))",
            "bad argument #1 to '?' (number expected, got table)",
        ),
        ("return select(2,pcall(cjson.decode,{}))", "bad argument #1 to '?' (string expected, got table)"),
        ("return table.concat({cjson.encode_sparse_array(nil,3)},' ',2)", "3 10"),
        ("pcall(cjson.encode_sparse_array,true,-1) return tostring(cjson.encode_sparse_array())", "true"),
    ] {
        assert_eq!(eval(&local, script).text().as_deref(), Some(seen), "{script}");
    }
}

/// The first so many bytes of the reply to a script.
fn begin_of_reply(local: &Local, proto: &str, script: &str, bytes: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(local.addr()).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
    let request =
        format!("HELLO {proto}\r\n*3\r\n$4\r\nEVAL\r\n${}\r\n{script}\r\n$1\r\n0\r\n", script.len());
    // The reply to HELLO ends where that to ECHO begins.
    let request = request.replacen("\r\n*3", "\r\nECHO begin\r\n*3", 1);
    stream.write_all(request.as_bytes()).expect("a request is sent");
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    let begin = b"$5\r\nbegin\r\n";
    loop {
        let read = stream.read(&mut piece).expect("the server answers");
        assert!(read > 0, "the server closed");
        all.extend_from_slice(&piece[..read]);
        let at = all.windows(begin.len()).position(|it| it == begin).map(|at| at + begin.len());
        if let Some(reply) = at.and_then(|at| all.get(at..at + bytes)) {
            return reply.to_vec();
        }
    }
}

#[test]
fn a_value_too_deep_in_a_result_is_an_error_in_its_place() {
    const ERROR: &str = "-ERR reached lua stack limit\r\n";
    let local = Local::start();
    let arrays = |head: &str, depth: usize, tail: String| format!("{}{tail}", head.repeat(depth));
    for (proto, script, reply) in [
        ("2", "local t={} t[1]=t return t", arrays("*1\r\n", 7995, ERROR.into())),
        (
            "3",
            "local t={1} t[2]=t t[3]='z' return t",
            arrays("*3\r\n:1\r\n", 7994, format!("*3\r\n{}{}", ERROR.repeat(3), "$1\r\nz\r\n".repeat(7994))),
        ),
        (
            "3",
            "redis.setresp(3) local t={} t.map={k=t} return t",
            arrays("%1\r\n$1\r\nk\r\n", 2664, format!("%1\r\n{}", ERROR.repeat(2))),
        ),
        ("3", "redis.setresp(3) local t={} t.set={[t]=true} return t", arrays("~1\r\n", 2665, ERROR.into())),
        ("2", "local t={} for i=1,7994 do t={t} end return t", arrays("*1\r\n", 7994, "*0\r\n".into())),
    ] {
        let seen = begin_of_reply(&local, proto, script, reply.len());
        assert!(seen == reply.as_bytes(), "{script} in RESP{proto}");
    }
    // 1 and 3 and 2 and 1 values.
    let stats = ask(&mut local.client(), "INFO errorstats").text().expect("a text");
    assert!(stats.contains("errorstat_ERR:count=7\r\n"), "{stats}");
}

#[test]
fn libraries_show_no_metatable() {
    let local = Local::start();
    for library in ["cjson", "redis", "server", "cmsgpack", "bit", "struct", "string", "table", "math", "os"]
    {
        for (script, seen) in [
            ("return tostring(getmetatable(LIB))", "nil"),
            ("return tostring(pcall(setmetatable, LIB, {}))", "false"),
            ("return tostring(pcall(function() LIB.x = 1 end))", "false"),
            ("return tostring(pcall(rawset, LIB, 'x', 1))", "false"),
            ("return tostring(rawget(LIB, 'x'))", "nil"),
        ] {
            let script = script.replace("LIB", library);
            assert_eq!(eval(&local, &script).text().as_deref(), Some(seen), "{script}");
        }
    }
    for (script, seen) in [
        ("return tostring(getmetatable(setmetatable({}, {__metatable = false})))", "false"),
        ("return type(getmetatable(_G).__index)", "function"),
        ("return type(getmetatable('').__index)", "table"),
        ("return tostring(getmetatable(getmetatable(_G)))", "nil"),
        ("return tostring(getmetatable({}))", "nil"),
        ("return tostring(getmetatable(1))", "nil"),
        (
            "return getmetatable()",
            "ERR user_script:1: bad argument #1 to 'getmetatable' (value expected) script: on @user_script:1.",
        ),
    ] {
        assert_eq!(eval(&local, script).text().as_deref(), Some(seen), "{script}");
    }
}
