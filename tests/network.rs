//! What a connection is promised: requests in any pieces, replies in order, limits that hold, an end that is
//! clean.
//!
//! For: src/net. May touch: servers inside this process, sockets.
//! Always: a server of one worker where two connections must share it, of several where they must not;
//! nothing is asserted about how long something takes.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use ochre::Server;
use support::client::{is_closed, is_silence};
use support::patience::until;
use support::{Client, Reply};

/// A read waits for this long before the server counts as silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server with these settings.
fn start(settings: &[(&str, &str)]) -> Server {
    let mut builder =
        Server::builder().config("port", "0").config("bind", "127.0.0.1").config("io-threads", "1");
    for (name, value) in settings {
        builder = builder.config(name, value);
    }
    builder.start().expect("a server starts on a free port")
}

fn client(server: &Server) -> Client {
    Client::connect(server.addr()).expect("the server accepts")
}

fn raw(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Bytes without a short period, so that a piece lost, doubled or moved shows.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}

/// All that a connection still gets before the server closes it; a silent server is a failure.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        Err(e) => {
            panic!("the server neither answers nor closes: {e}, after {:?}", String::from_utf8_lossy(&bytes))
        }
    }
    String::from_utf8(bytes).expect("replies of these tests are text")
}

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

fn pong() -> Reply {
    Reply::Simple(b"PONG".to_vec())
}

fn bulk(bytes: &[u8]) -> Reply {
    Reply::Bulk(bytes.to_vec())
}

fn is_ended(client: &mut Client) -> bool {
    match client.read() {
        Err(e) => is_closed(&e),
        Ok(_) => false,
    }
}

// Requests in pieces.

#[test]
fn thousands_of_pipelined_commands_are_answered_in_order() {
    let server = start(&[]);
    let mut client = client(&server);
    const COUNT: usize = 30_000;
    let mut bytes = Vec::new();
    (0..COUNT).for_each(|i| bytes.extend(request(&["ECHO".to_string(), format!("message {i}")])));
    client.send_raw(&bytes).unwrap();
    for i in 0..COUNT {
        assert_eq!(client.read().unwrap(), bulk(format!("message {i}").as_bytes()));
    }
}

#[test]
fn pipelined_writes_and_reads_see_each_other_in_order() {
    let server = start(&[("io-threads", "2")]);
    let mut client = client(&server);
    let mut bytes = Vec::new();
    for i in 0..5_000 {
        bytes.extend(request(&["SET", "counter", &i.to_string()]));
        bytes.extend(request(&["INCR", "counter"]));
        bytes.extend_from_slice(b"GET counter\r\n");
    }
    client.send_raw(&bytes).unwrap();
    for i in 0..5_000_i64 {
        assert_eq!(client.read().unwrap(), ok());
        assert_eq!(client.read().unwrap(), Reply::Integer(i + 1));
        assert_eq!(client.read().unwrap(), bulk((i + 1).to_string().as_bytes()));
    }
}

/// Requests of every form, and their replies.
fn mixture() -> (Vec<u8>, Vec<Reply>) {
    let mut bytes = request(&["SET", "key", "a\r\nb"]);
    bytes.extend_from_slice(b"PING\r\n");
    bytes.extend(request(&["GET", "key"]));
    bytes.extend_from_slice(b"\r\n*0\r\n  SET other \"x y\\x00\"\r\n");
    bytes.extend(request(&["MGET", "key", "other", "missing"]));
    bytes.extend_from_slice(b"ECHO 'end'\n");
    let values = vec![bulk(b"a\r\nb"), bulk(b"x y\0"), Reply::NullBulk];
    (bytes, vec![ok(), pong(), bulk(b"a\r\nb"), ok(), Reply::Array(values), bulk(b"end")])
}

#[test]
fn a_request_may_be_split_at_every_byte() {
    let server = start(&[]);
    let (bytes, replies) = mixture();
    let (mut divided, mut other) = (client(&server), client(&server));
    for at in 1..bytes.len() {
        divided.send_raw(&bytes[..at]).unwrap();
        // The worker has met the first part when it answers somebody else.
        assert_eq!(other.call(&["PING"]).unwrap(), pong());
        divided.send_raw(&bytes[at..]).unwrap();
        for reply in &replies {
            assert_eq!(divided.read().unwrap(), *reply, "split at {at}");
        }
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = start(&[]);
    let (bytes, replies) = mixture();
    let mut client = client(&server);
    for _ in 0..3 {
        bytes.iter().for_each(|byte| client.send_raw(&[*byte]).unwrap());
        for reply in &replies {
            assert_eq!(client.read().unwrap(), *reply);
        }
    }
}

#[test]
fn a_long_request_of_small_arguments_may_come_in_small_pieces() {
    let server = start(&[]);
    let mut client = client(&server);
    let mut args = vec!["MSET".to_string()];
    for i in 0..20_000 {
        args.extend([format!("key {i}"), format!("value {i}")]);
    }
    for piece in request(&args).chunks(977) {
        client.send_raw(piece).unwrap();
    }
    assert_eq!(client.read().unwrap(), ok());
    assert_eq!(client.call(&["GET", "key 19999"]).unwrap(), bulk(b"value 19999"));
    assert_eq!(client.call(&["DBSIZE"]).unwrap(), Reply::Integer(20_000));
}

#[test]
fn big_arguments_arrive_whole_and_what_follows_them_is_answered() {
    let server = start(&[]);
    let mut client = client(&server);
    for len in
        [32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 100_000, 300_000, 1 << 20, 5_000_001, 20 << 20]
    {
        let value = pattern(len);
        let mut bytes = request(&[&b"SET"[..], b"big", &value]);
        bytes.extend(request(&["STRLEN", "big"]));
        bytes.extend_from_slice(b"PING\r\n");
        bytes.extend(request(&["GET", "big"]));
        client.send_raw(&bytes).unwrap();
        assert_eq!(client.read().unwrap(), ok(), "{len}");
        assert_eq!(client.read().unwrap(), Reply::Integer(len as i64));
        assert_eq!(client.read().unwrap(), pong());
        assert!(client.read().unwrap() == bulk(&value), "{len} bytes come back as they went");
    }
}

#[test]
fn a_big_argument_may_come_in_pieces_of_any_size() {
    let server = start(&[]);
    let (mut slow, mut other) = (client(&server), client(&server));
    let value = pattern(400_000);
    let mut bytes = request(&[&b"SET"[..], b"big", &value]);
    bytes.extend(request(&["GET", "big"]));
    for size in [1_001, 16_384, 32_768, 70_001, 399_999, 400_010] {
        for piece in bytes.chunks(size) {
            slow.send_raw(piece).unwrap();
            assert_eq!(other.call(&["PING"]).unwrap(), pong());
        }
        assert_eq!(slow.read().unwrap(), ok());
        assert!(slow.read().unwrap() == bulk(&value), "in pieces of {size}");
    }
}

#[test]
fn big_arguments_of_several_connections_do_not_mix() {
    let server = start(&[("io-threads", "2")]);
    let addr = server.addr();
    let writers: Vec<_> = (0..6)
        .map(|n| {
            thread::spawn(move || {
                let mut client = Client::connect(addr).unwrap();
                let value = pattern(3_000_000 + n);
                let key = format!("big {n}");
                for piece in request(&[&b"SET"[..], key.as_bytes(), &value]).chunks(50_000 + n) {
                    client.send_raw(piece).unwrap();
                }
                assert_eq!(client.read().unwrap(), ok());
                assert!(client.call(&["GET", &key]).unwrap() == bulk(&value));
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[test]
fn small_and_big_arguments_mix_in_one_request() {
    let server = start(&[]);
    let mut client = client(&server);
    let mut args = vec![b"MSET".to_vec()];
    for i in 0..2_000 {
        args.push(format!("key {i}").into_bytes());
        args.push(pattern(if i % 500 == 7 { 700_000 + i } else { i % 50 }));
    }
    client.send_raw(&request(&args)).unwrap();
    client.send_raw(b"PING\r\n").unwrap();
    assert_eq!(client.read().unwrap(), ok());
    assert_eq!(client.read().unwrap(), pong());
    for pair in args[1..].chunks(2) {
        assert!(client.call(&[&b"GET"[..], &pair[0]]).unwrap() == bulk(&pair[1]));
    }
}

// Replies.

#[test]
fn a_slow_reader_of_big_replies_holds_nobody_up() {
    let server = start(&[]);
    let (mut slow, mut other) = (client(&server), client(&server));
    let value = pattern(20 << 20);
    assert_eq!(slow.call(&[&b"SET"[..], b"big", &value]).unwrap(), ok());
    for _ in 0..3 {
        slow.send(&["GET", "big"]).unwrap();
    }
    slow.send(&["ECHO", "end"]).unwrap();
    // All of this is answered before the first byte of the big replies is read.
    for i in 0..200 {
        let text = i.to_string();
        assert_eq!(other.call(&["SET", "small", &text]).unwrap(), ok());
        assert_eq!(other.call(&["GET", "small"]).unwrap(), bulk(text.as_bytes()));
    }
    for _ in 0..3 {
        assert!(slow.read().unwrap() == bulk(&value));
    }
    assert_eq!(slow.read().unwrap(), bulk(b"end"));
}

#[test]
fn many_replies_of_shared_values_all_arrive() {
    let server = start(&[]);
    let mut client = client(&server);
    for len in [1_000, 17_000, 40_000] {
        let value = pattern(len);
        assert_eq!(client.call(&[&b"SET"[..], b"value", &value]).unwrap(), ok());
        for _ in 0..3 {
            client.send_raw(&request(&["GET", "value"]).repeat(1_500)).unwrap();
            for at in 0..1_500 {
                assert!(client.read().unwrap() == bulk(&value), "reply {at} of {len} bytes");
            }
        }
    }
}

#[test]
fn a_slow_reader_may_go_on_sending_commands() {
    let server = start(&[]);
    let mut client = client(&server);
    let value = pattern(500_000);
    assert_eq!(client.call(&[&b"SET"[..], b"value", &value]).unwrap(), ok());
    for i in 0..60 {
        client.send(&["GET", "value"]).unwrap();
        client.send(&["SET", "done", &i.to_string()]).unwrap();
    }
    // The server has run them all although nothing was read.
    let mut other = self::client(&server);
    until("the last write", || other.call(&["GET", "done"]).unwrap() == bulk(b"59"));
    for _ in 0..60 {
        assert!(client.read().unwrap() == bulk(&value));
        assert_eq!(client.read().unwrap(), ok());
    }
}

// The end of a connection.

#[test]
fn what_came_before_the_peers_end_is_answered() {
    let server = start(&[("enable-debug-command", "yes")]);
    let mut setter = client(&server);
    let value = pattern(8 << 20).iter().map(|b| b'a' + b % 26).collect::<Vec<_>>();
    assert_eq!(setter.call(&[&b"SET"[..], b"big", &value]).unwrap(), ok());
    let big = format!("${}\r\n{}\r\n", value.len(), String::from_utf8(value).unwrap());
    let cases: [(Vec<u8>, String); 6] = [
        (b"PING\r\n".to_vec(), "+PONG\r\n".into()),
        (b"PING\r\n".repeat(3), "+PONG\r\n".repeat(3)),
        (request(&["PING"]).repeat(5_000), "+PONG\r\n".repeat(5_000)),
        (b"PING\r\nGET big\r\nPING\r\n".to_vec(), format!("+PONG\r\n{big}+PONG\r\n")),
        (b"PING\r\n*2\r\n$3\r\nGET\r\n$3\r\nbi".to_vec(), "+PONG\r\n".into()),
        (Vec::new(), String::new()),
    ];
    for (bytes, expected) in cases {
        for round in 0..5 {
            let mut stream = raw(server.addr());
            if round % 2 == 1 {
                // The worker sleeps, and then finds all of it at once.
                setter.send(&["DEBUG", "SLEEP", "0.02"]).unwrap();
            }
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert!(
                rest(&mut stream) == expected,
                "{:?}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(40)])
            );
            if round % 2 == 1 {
                assert_eq!(setter.read().unwrap(), ok());
            }
        }
    }
    // A big argument that ends too early is given up with its connection.
    let mut stream = raw(server.addr());
    stream.write_all(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1000000\r\n").unwrap();
    stream.write_all(&[b'x'; 500_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), "");
    assert_eq!(setter.call(&["STRLEN", "big"]).unwrap(), Reply::Integer(8 << 20));
}

#[test]
fn connections_that_vanish_leave_nothing_behind() {
    let server = start(&[("io-threads", "2")]);
    let mut observer = client(&server);
    assert_eq!(observer.call(&[&b"SET"[..], b"big", &pattern(4 << 20)]).unwrap(), ok());
    for round in 0..60 {
        let mut stream = raw(server.addr());
        match round % 4 {
            0 => {}
            1 => stream.write_all(b"PING\r\n").unwrap(),
            2 => stream.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nabc").unwrap(),
            // Closing with unread replies resets the connection.
            _ => stream.write_all(&b"GET big\r\n".repeat(4)).unwrap(),
        }
    }
    until("all have been met", || server.host().observe.totals().connections == 61);
    until("the end of all but one", || server.host().clients.count() == 1);
    assert_eq!(server.host().clients.all().len(), 1);
    assert_eq!(observer.call(&["PING"]).unwrap(), pong());
}

#[test]
fn quit_answers_what_came_before_it_and_nothing_after_it() {
    let server = start(&[]);
    let mut stream = raw(server.addr());
    stream.write_all(b"PING\r\nQUIT\r\nSET after quit\r\nPING\r\n").unwrap();
    assert_eq!(rest(&mut stream), "+PONG\r\n+OK\r\n");
    assert_eq!(client(&server).call(&["GET", "after"]).unwrap(), Reply::NullBulk);
}

#[test]
fn a_protocol_error_is_told_after_earlier_replies_and_ends_the_connection() {
    let server = start(&[]);
    let long = "x".repeat(70_000);
    let cases = [
        ("*x\r\n".to_string(), "invalid multibulk length"),
        ("*3000000000\r\n".to_string(), "invalid multibulk length"),
        ("*1\r\nPING\r\n".to_string(), "expected '$', got 'P'"),
        ("*1\r\n$x\r\n".to_string(), "invalid bulk length"),
        ("*1\r\n$-5\r\n".to_string(), "invalid bulk length"),
        ("*1\r\n$536870913\r\n".to_string(), "invalid bulk length"),
        ("SET k \"open\r\n".to_string(), "unbalanced quotes in request"),
        (long.clone(), "too big inline request"),
        (format!("*{}", "1".repeat(70_000)), "too big mbulk count string"),
        (format!("*1\r\n${}", "1".repeat(70_000)), "too big bulk count string"),
    ];
    for (bytes, text) in cases {
        let mut stream = raw(server.addr());
        stream.write_all(b"PING\r\nSET k v\r\n").unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(rest(&mut stream), format!("+PONG\r\n+OK\r\n-ERR Protocol error: {text}\r\n"));
    }
}

#[test]
fn a_browser_is_shown_the_door_without_a_word() {
    let server = start(&[("requirepass", "secret")]);
    for text in
        ["POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET a b\r\n", "Host: localhost\r\nPING\r\n", "post\r\n"]
    {
        let mut stream = raw(server.addr());
        stream.write_all(text.as_bytes()).unwrap();
        assert_eq!(rest(&mut stream), "", "{text:?}");
    }
    let mut stream = raw(server.addr());
    stream.write_all(b"AUTH secret\r\nGET / HTTP/1.1\r\nHost: x\r\nPING\r\n").unwrap();
    assert!(rest(&mut stream).starts_with("+OK\r\n-ERR wrong number of arguments for 'get' command\r\n"));
}

#[test]
fn a_client_killed_by_another_worker_is_closed() {
    let server = start(&[("io-threads", "4")]);
    let mut killer = client(&server);
    let mut victims: Vec<Client> = (0..12).map(|_| client(&server)).collect();
    for victim in &mut victims {
        let Reply::Integer(id) = victim.call(&["CLIENT", "ID"]).unwrap() else { panic!("an id is a number") };
        assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id.to_string()]).unwrap(), Reply::Integer(1));
        assert!(is_ended(victim));
    }
    let mut victims: Vec<Client> = (0..40).map(|_| client(&server)).collect();
    victims.iter_mut().for_each(|victim| assert_eq!(victim.call(&["PING"]).unwrap(), pong()));
    assert_eq!(killer.call(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap(), Reply::Integer(40));
    victims.iter_mut().for_each(|victim| assert!(is_ended(victim)));
    assert_eq!(
        killer.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"]).unwrap(),
        Reply::Integer(1)
    );
    assert!(is_ended(&mut killer));
    assert_eq!(client(&server).call(&["PING"]).unwrap(), pong());
}

// Limits.

#[test]
fn a_client_too_many_is_told_so_and_a_place_that_is_free_again_is_given() {
    let server = start(&[("maxclients", "3"), ("io-threads", "2")]);
    let mut inside: Vec<Client> = (0..3).map(|_| client(&server)).collect();
    inside.iter_mut().for_each(|c| assert_eq!(c.call(&["PING"]).unwrap(), pong()));
    for _ in 0..5 {
        assert_eq!(rest(&mut raw(server.addr())), "-ERR max number of clients reached\r\n");
    }
    assert_eq!(server.host().observe.refused.load(std::sync::atomic::Ordering::Relaxed), 5);
    inside.iter_mut().for_each(|c| assert_eq!(c.call(&["PING"]).unwrap(), pong()));
    drop(inside.pop());
    until("a free place", || server.host().clients.count() == 2);
    assert_eq!(client(&server).call(&["PING"]).unwrap(), pong());
}

#[test]
fn an_idle_client_is_closed_and_a_busy_one_is_not() {
    let server = start(&[("timeout", "3")]);
    let (mut idle, mut busy, mut uploading) = (client(&server), client(&server), raw(server.addr()));
    assert_eq!(idle.call(&["PING"]).unwrap(), pong());
    uploading.write_all(b"*2\r\n$4\r\nECHO\r\n$44\r\n").unwrap();
    let watch = thread::spawn(move || is_ended(&mut idle));
    for _ in 0..44 {
        assert_eq!(busy.call(&["PING"]).unwrap(), pong());
        uploading.write_all(b"x").unwrap();
        thread::sleep(Duration::from_millis(100));
    }
    assert!(watch.join().unwrap());
    uploading.write_all(b"\r\n").unwrap();
    let mut reply = [0; 51];
    uploading.read_exact(&mut reply).unwrap();
    assert_eq!(String::from_utf8_lossy(&reply), format!("$44\r\n{}\r\n", "x".repeat(44)));
}

#[test]
fn a_reader_beyond_the_hard_output_limit_is_closed() {
    let server = start(&[("client-output-buffer-limit", "normal 10mb 0 0")]);
    let mut other = client(&server);
    let value = pattern(1 << 20);
    assert_eq!(other.call(&[&b"SET"[..], b"value", &value]).unwrap(), ok());
    let mut greedy = client(&server);
    greedy.send_raw(&b"GET value\r\n".repeat(500)).unwrap();
    until("a close", || server.host().observe.totals().output_limit_closes == 1);
    let mut whole = 0;
    while greedy.read().is_ok() {
        whole += 1;
    }
    assert!(whole < 100, "{whole} replies came through");
    // A reader who keeps up may ask for as much.
    for _ in 0..50 {
        assert!(other.call(&["GET", "value"]).unwrap() == bulk(&value));
    }
}

#[test]
fn replies_beyond_the_hard_output_limit_are_not_sent_at_all() {
    let server = start(&[("client-output-buffer-limit", "normal 100kb 0 0")]);
    let mut other = client(&server);
    let value = pattern(50_000);
    assert_eq!(other.call(&[&b"SET"[..], b"value", &value]).unwrap(), ok());
    for greedy in ["GET value\r\n".repeat(3), "MULTI\r\nMGET value value value\r\nINCR n\r\nEXEC\r\n".into()]
    {
        let mut stream = raw(server.addr());
        stream.write_all(greedy.as_bytes()).unwrap();
        assert_eq!(rest(&mut stream), "", "{greedy}");
    }
    // What was asked for was done; who asks for less at a time is answered.
    assert_eq!(other.call(&["GET", "n"]).unwrap(), bulk(b"1"));
    (0..3).for_each(|_| assert!(other.call(&["GET", "value"]).unwrap() == bulk(&value)));
    assert_eq!(server.host().observe.totals().output_limit_closes, 2);
}

#[test]
fn a_reader_beyond_the_soft_output_limit_is_closed_after_its_time() {
    let server = start(&[("client-output-buffer-limit", "normal 0 1mb 3")]);
    let (mut slow, mut late) = (client(&server), client(&server));
    assert_eq!(slow.call(&[&b"SET"[..], b"value", &pattern(1 << 20)]).unwrap(), ok());
    late.send_raw(&b"GET value\r\n".repeat(30)).unwrap();
    slow.send_raw(&b"GET value\r\n".repeat(30)).unwrap();
    // One who catches up in time stays.
    (0..30).for_each(|_| assert!(late.read().is_ok()));
    until("a close", || server.host().observe.totals().output_limit_closes == 1);
    assert_eq!(late.call(&["PING"]).unwrap(), pong());
    while slow.read().is_ok() {}
    assert_eq!(server.host().observe.totals().output_limit_closes, 1);
}

#[test]
fn a_request_beyond_the_query_buffer_limit_ends_its_connection() {
    let server = start(&[("client-query-buffer-limit", "1mb")]);
    let small = pattern(900_000);
    assert_eq!(client(&server).call(&[&b"SET"[..], b"k", &small]).unwrap(), ok());
    let big = request(&[&b"SET"[..], b"k", &pattern(3 << 20)]);
    let many: Vec<String> = (0..400_000).map(|i| format!("{i}")).collect();
    for bytes in [big, request(&many)] {
        let mut stream = raw(server.addr());
        // The server may close while this is being sent.
        let _ = stream.write_all(&bytes);
        assert_eq!(rest(&mut stream), "");
    }
    assert_eq!(server.host().observe.totals().query_limit_closes, 2);
    assert_eq!(client(&server).call(&["STRLEN", "k"]).unwrap(), Reply::Integer(900_000));
}

#[test]
fn an_argument_beyond_proto_max_bulk_len_is_refused() {
    let server = start(&[("proto-max-bulk-len", "1mb")]);
    let value = pattern(1 << 20);
    let mut fine = client(&server);
    assert_eq!(fine.call(&[&b"SET"[..], b"k", &value]).unwrap(), ok());
    let mut stream = raw(server.addr());
    stream.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n").unwrap();
    assert_eq!(rest(&mut stream), "-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn who_has_not_authenticated_may_send_only_little() {
    let server = start(&[("requirepass", "secret")]);
    let refused = |bytes: &[u8]| {
        let mut stream = raw(server.addr());
        stream.write_all(bytes).unwrap();
        rest(&mut stream)
    };
    assert_eq!(refused(b"*11\r\n"), "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_eq!(
        refused(b"*2\r\n$3\r\nGET\r\n$16385\r\n"),
        "-ERR Protocol error: unauthenticated bulk length\r\n"
    );
    let mut client = client(&server);
    let reply = client.call(&["GET", "k"]).unwrap();
    assert_eq!(reply, Reply::Error(b"NOAUTH Authentication required.".to_vec()));
    // The same write holds the password and what needs it.
    let value = pattern(50_000);
    let mut args: Vec<Vec<u8>> = vec![b"MSET".to_vec()];
    (0..20).for_each(|i| args.extend([format!("k{i}").into_bytes(), value.clone()]));
    let mut bytes = request(&["AUTH", "secret"]);
    bytes.extend(request(&args));
    client.send_raw(&bytes).unwrap();
    assert_eq!(client.read().unwrap(), ok());
    assert_eq!(client.read().unwrap(), ok());
}

// CLIENT REPLY and CLIENT PAUSE.

#[test]
fn replies_are_left_out_across_pipelines() {
    let server = start(&[]);
    let mut client = client(&server);
    client.send_raw(b"CLIENT REPLY OFF\r\nPING\r\nNOTHING\r\nSET a 1\r\n").unwrap();
    client.send_raw(b"GET a\r\nCLIENT REPLY ON\r\nECHO on\r\n").unwrap();
    assert_eq!(client.read().unwrap(), ok());
    assert_eq!(client.read().unwrap(), bulk(b"on"));
    client.send_raw(b"CLIENT REPLY SKIP\r\nECHO skipped\r\nECHO told\r\n").unwrap();
    assert_eq!(client.read().unwrap(), bulk(b"told"));
    let mut other = self::client(&server);
    client.send_raw(b"CLIENT REPLY SKIP\r\n").unwrap();
    assert_eq!(other.call(&["PING"]).unwrap(), pong());
    client.send_raw(b"NOTHING\r\n").unwrap();
    assert_eq!(other.call(&["PING"]).unwrap(), pong());
    assert_eq!(client.call(&["GET", "a"]).unwrap(), bulk(b"1"));
    // Many of them, over several turns and with big replies among them.
    assert_eq!(client.call(&[&b"SET"[..], b"big", &pattern(100_000)]).unwrap(), ok());
    client.send_raw(b"CLIENT REPLY OFF\r\n").unwrap();
    client.send_raw(&b"GET big\r\nINCR n\r\n".repeat(3_000)).unwrap();
    client.send_raw(b"CLIENT REPLY ON\r\nGET n\r\n").unwrap();
    assert_eq!(client.read().unwrap(), ok());
    assert_eq!(client.read().unwrap(), bulk(b"3000"));
}

#[test]
fn commands_of_a_pipeline_are_counted_one_by_one_though_they_are_timed_together() {
    for threads in ["1", "3"] {
        let server = start(&[("io-threads", threads)]);
        let mut client = client(&server);
        let mut bytes = b"SET text x\r\n".to_vec();
        for n in 0..100 {
            let names = ["n", "n", "text"].map(|name| format!("INCR {name}\r\nGET {name}{n}\r\n"));
            bytes.extend_from_slice(names[n % 3].as_bytes());
        }
        bytes.extend_from_slice(&b"INCR n\r\n".repeat(20));
        client.send_raw(&bytes).unwrap();
        (0..221).for_each(|_| _ = client.read().unwrap());
        let stats = client.call(&["INFO", "commandstats"]).unwrap().text().unwrap();
        for (row, calls, failed) in [("incr", 120, 33), ("get", 100, 0)] {
            let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{row}:"))).unwrap();
            assert!(line.contains(&format!(":calls={calls},")), "{line}");
            assert!(line.ends_with(&format!(",failed_calls={failed}")), "{line}");
        }
        // Where everything is slow, each of them is noted with its own time.
        assert_eq!(client.call(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]).unwrap(), ok());
        client.send_raw(&b"INCR n\r\n".repeat(30)).unwrap();
        (0..30).for_each(|_| _ = client.read().unwrap());
        assert_eq!(client.call(&["SLOWLOG", "LEN"]).unwrap(), Reply::Integer(31));
        let histogram = client.call(&["LATENCY", "HISTOGRAM", "incr"]).unwrap();
        let calls = &histogram.members().unwrap()[1].members().unwrap()[1];
        assert_eq!(*calls, Reply::Integer(150));
    }
}

#[test]
#[cfg(debug_assertions)] // Only then do lockings rest.
fn quick_commands_that_were_held_up_are_noted() {
    let server = start(&[("io-threads", "3"), ("slowlog-log-slower-than", "100")]);
    let mut client = client(&server);
    // Each locking takes 50 microseconds more: five of them are notable, one is not.
    server.host().space.shards.rest(1);
    // The time is read because another command follows, because none does, and because there are eight.
    for (names, behind) in [("abcdefg", "GET h"), ("abcdefg", ""), ("abcdefgh", "")] {
        client.call(&["SLOWLOG", "RESET"]).unwrap();
        let mut bytes: String = names.chars().map(|name| format!("INCR {name}\r\n")).collect();
        bytes.extend([behind, "\r\n"]);
        client.send_raw(bytes.as_bytes()).unwrap();
        for _ in names.chars() {
            assert!(matches!(client.read().unwrap(), Reply::Integer(_)));
        }
        if !behind.is_empty() {
            assert_eq!(client.read().unwrap(), Reply::NullBulk);
        }
        let noted = format!("{:?}", client.call(&["SLOWLOG", "GET", "-1"]).unwrap());
        let last = format!("{:?}", bulk(&names.as_bytes()[names.len() - 1..]));
        assert!(noted.contains(&format!("{:?}", bulk(b"INCR"))) && noted.contains(&last), "{noted}");
    }
}

#[test]
fn a_pause_of_writes_holds_a_pipeline_back_from_its_first_write_on() {
    let server = start(&[("io-threads", "3")]);
    let (mut admin, mut writer) = (client(&server), client(&server));
    assert_eq!(admin.call(&["SET", "n", "0"]).unwrap(), ok());
    assert_eq!(admin.call(&["CLIENT", "PAUSE", "100000", "WRITE"]).unwrap(), ok());
    let mut bytes = b"GET n\r\n".to_vec();
    (0..3_000).for_each(|_| bytes.extend_from_slice(b"INCR n\r\nGET n\r\n"));
    writer.send_raw(&bytes).unwrap();
    assert_eq!(writer.read().unwrap(), bulk(b"0"));
    let mut reader = client(&server);
    assert_eq!(reader.call(&["GET", "n"]).unwrap(), bulk(b"0"));
    // More of it while the pause lasts.
    writer.send_raw(b"ECHO end\r\n").unwrap();
    assert_eq!(admin.call(&["GET", "n"]).unwrap(), bulk(b"0"));
    assert_eq!(admin.call(&["CLIENT", "UNPAUSE"]).unwrap(), ok());
    for i in 1..=3_000_i64 {
        assert_eq!(writer.read().unwrap(), Reply::Integer(i));
        assert_eq!(writer.read().unwrap(), bulk(i.to_string().as_bytes()));
    }
    assert_eq!(writer.read().unwrap(), bulk(b"end"));
}

#[test]
fn a_pause_of_writes_holds_scripts_back_unless_they_say_that_they_only_read() {
    const LIBRARY: &str = "#!lua name=it\nredis.register_function('writes', function() return 1 end)\n\
        redis.register_function{function_name='reads', callback=function() return 1 end, flags={'no-writes'}}";
    const READS: &str = "#!lua flags=no-writes\nreturn 1";
    let server = start(&[]);
    let mut admin = client(&server);
    admin.call(&["FUNCTION", "LOAD", LIBRARY]).unwrap();
    let load =
        |admin: &mut Client, text: &str| admin.call(&["SCRIPT", "LOAD", text]).unwrap().text().unwrap();
    let (plain, reads) = (load(&mut admin, "return 1"), load(&mut admin, READS));
    let blocked = |admin: &mut Client| {
        let info = admin.call(&["INFO", "clients"]).unwrap().text().unwrap();
        info.contains("\r\nblocked_clients:1\r\n")
    };
    let held = [
        [&["EVAL", "return 1", "0"][..], &["EVAL", "#!lua\nreturn 1", "0"], &["EVALSHA", &plain, "0"]],
        [&["FCALL", "writes", "0"][..], &["FCALL", "none", "0"], &["EVAL_RO", "#!lua\nreturn 1", "0"]],
    ];
    for request in held.as_flattened() {
        let mut paused = client(&server);
        assert_eq!(paused.call(&["MULTI"]).unwrap(), ok());
        paused.send(request).unwrap();
        assert_eq!(paused.read().unwrap(), Reply::Simple(b"QUEUED".to_vec()));
        admin.call(&["CLIENT", "PAUSE", "100000", "WRITE"]).unwrap();
        paused.send(&["EXEC"]).unwrap();
        until("EXEC to be held back", || blocked(&mut admin));
        admin.call(&["CLIENT", "UNPAUSE"]).unwrap();
        assert!(!paused.read().unwrap().is_error(), "{request:?}");
        admin.call(&["CLIENT", "PAUSE", "100000", "WRITE"]).unwrap();
        paused.send(request).unwrap();
        until("it to be held back", || blocked(&mut admin));
        admin.call(&["CLIENT", "UNPAUSE"]).unwrap();
        paused.read().unwrap();
    }
    admin.call(&["CLIENT", "PAUSE", "100000", "WRITE"]).unwrap();
    for request in [
        &["EVAL", READS, "0"][..],
        &["EVALSHA", &reads, "0"],
        &["EVAL_RO", "return 1", "0"],
        &["EVALSHA_RO", &plain, "0"],
        &["FCALL", "reads", "0"],
        &["FCALL_RO", "reads", "0"],
    ] {
        assert_eq!(admin.call(request).unwrap(), Reply::Integer(1), "{request:?}");
    }
}

#[test]
fn a_pause_that_begins_within_a_long_pipeline_keeps_its_order() {
    let server = start(&[("enable-debug-command", "yes")]);
    let mut sleeper = client(&server);
    let padding = "x".repeat(200);
    for round in 0..5 {
        // Long enough that a further part is received while an earlier one is held back.
        let mut bytes = b"CLIENT PAUSE 30 WRITE\r\nSET n 0\r\n".to_vec();
        let mut expected = "+OK\r\n+OK\r\n".to_string();
        for i in 0..2_000 {
            bytes.extend_from_slice(format!("GET n\r\nINCR n\r\nECHO {padding}\r\n").as_bytes());
            let text = i.to_string();
            expected.push_str(&format!("${}\r\n{text}\r\n:{}\r\n$200\r\n{padding}\r\n", text.len(), i + 1));
        }
        bytes.extend_from_slice(b"*x\r\n");
        expected.push_str("-ERR Protocol error: invalid multibulk length\r\n");
        let mut stream = raw(server.addr());
        // While the worker sleeps all of it arrives.
        sleeper.send(&["DEBUG", "SLEEP", "0.05"]).unwrap();
        stream.write_all(&bytes).unwrap();
        assert_eq!(sleeper.read().unwrap(), ok());
        assert!(rest(&mut stream) == expected, "round {round}");
        assert_eq!(sleeper.call(&["GET", "n"]).unwrap(), bulk(b"2000"));
    }
}

#[test]
fn a_pause_of_everything_ends_with_its_time() {
    let server = start(&[("io-threads", "2")]);
    let mut clients: Vec<Client> = (0..6).map(|_| client(&server)).collect();
    clients.iter_mut().for_each(|c| assert_eq!(c.call(&["PING"]).unwrap(), pong()));
    assert_eq!(clients[0].call(&["CLIENT", "PAUSE", "150"]).unwrap(), ok());
    for client in &mut clients {
        client.send_raw(b"PING\r\nINCR n\r\nQUIT\r\nINCR n\r\n").unwrap();
    }
    let mut counted: Vec<i64> = Vec::new();
    for client in &mut clients {
        assert_eq!(client.read().unwrap(), pong());
        let Reply::Integer(n) = client.read().unwrap() else { panic!("INCR answers a number") };
        counted.push(n);
        assert_eq!(client.read().unwrap(), ok());
        assert!(is_ended(client));
    }
    counted.sort_unstable();
    assert_eq!(counted, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_held_back_client_can_be_killed_and_leaves_nothing_undone_behind() {
    let server = start(&[("io-threads", "2")]);
    let (mut admin, mut held) = (client(&server), client(&server));
    let Reply::Integer(id) = held.call(&["CLIENT", "ID"]).unwrap() else { panic!("an id is a number") };
    assert_eq!(admin.call(&["CLIENT", "PAUSE", "100000", "WRITE"]).unwrap(), ok());
    held.send_raw(b"ECHO before\r\nSET k v\r\n").unwrap();
    assert_eq!(held.read().unwrap(), bulk(b"before"));
    assert_eq!(admin.call(&["CLIENT", "KILL", "ID", &id.to_string()]).unwrap(), Reply::Integer(1));
    assert!(is_ended(&mut held));
    assert_eq!(admin.call(&["CLIENT", "UNPAUSE"]).unwrap(), ok());
    assert_eq!(admin.call(&["GET", "k"]).unwrap(), Reply::NullBulk);
}

// Where it listens.

/// A path for a socket that no other test uses.
fn socket_path(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("ochre-network-{}-{name}.sock", std::process::id()));
    path.to_str().unwrap().to_string()
}

#[test]
fn a_unix_socket_has_its_mode_replaces_a_stale_one_and_is_removed_at_the_end() {
    let path = socket_path("modes");
    // What an earlier run left behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = start(&[("unixsocket", &path), ("unixsocketperm", "740")]);
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o740);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&b"PING\r\n".repeat(2_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "+PONG\r\n".repeat(2_000));
    let mut whole = UnixStream::connect(&path).unwrap();
    whole.write_all(&request(&[&b"SET"[..], b"big", &pattern(3 << 20)])).unwrap();
    let mut reply = [0; 5];
    whole.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+OK\r\n");
    assert_eq!(client(&server).call(&["STRLEN", "big"]).unwrap(), Reply::Integer(3 << 20));
    server.shutdown();
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn a_file_that_is_no_socket_is_not_replaced() {
    let path = socket_path("file");
    std::fs::write(&path, "kept").unwrap();
    let error = Server::builder().config("port", "0").config("unixsocket", &path).start().err().unwrap();
    assert!(error.to_string().starts_with("Failed opening Unix socket: bind:"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn it_listens_on_every_address_of_bind_and_passes_over_optional_ones_that_do_not_exist() {
    let server = start(&[("bind", "127.0.0.1 127.0.0.2 -192.0.2.77"), ("tcp-backlog", "4")]);
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let addr = SocketAddr::new(ip.parse().unwrap(), server.addr().port());
        assert_eq!(Client::connect(addr).unwrap().call(&["PING"]).unwrap(), pong());
    }
    assert!(TcpStream::connect(("127.0.0.3", server.addr().port())).is_err());
    let builder = Server::builder().config("port", "0").config("bind", "127.0.0.1 192.0.2.77");
    let error = builder.start().err().expect("an address that is not optional must exist");
    assert!(error.to_string().starts_with("Failed listening on port"), "{error}");
}

#[test]
fn the_address_of_a_server_that_listens_everywhere_can_be_connected_to() {
    let server = start(&[("bind", "*")]);
    assert!(server.addr().ip().is_loopback(), "{}", server.addr());
    assert_eq!(client(&server).call(&["PING"]).unwrap(), pong());
}

#[test]
fn it_listens_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    }
    let server = start(&[("bind", "::1 127.0.0.1")]);
    assert!(server.addr().is_ipv6());
    assert_eq!(client(&server).call(&["PING"]).unwrap(), pong());
    let also = SocketAddr::from(([127, 0, 0, 1], server.addr().port()));
    assert_eq!(Client::connect(also).unwrap().call(&["PING"]).unwrap(), pong());
    let info = client(&server).call(&["CLIENT", "INFO"]).unwrap().text().unwrap();
    assert!(info.contains("addr=[::1]:"), "{info}");
}

#[test]
fn connections_are_spread_over_the_workers() {
    let server = start(&[("io-threads", "4")]);
    let mut clients: Vec<Client> = (0..40).map(|_| client(&server)).collect();
    clients.iter_mut().for_each(|c| assert_eq!(c.call(&["PING"]).unwrap(), pong()));
    let mut per_worker = [0; 4];
    server.host().clients.all().iter().for_each(|c| per_worker[c.worker] += 1);
    assert_eq!(per_worker, [10; 4]);
}

#[test]
fn silence_is_not_taken_for_a_request() {
    let server = start(&[]);
    let mut client = client(&server);
    client.send_raw(b"\r\n\r\n*0\r\n*-1\r\n\r\n").unwrap();
    assert!(matches!(client.exchange_raw(b"").unwrap(), (bytes, false) if bytes.is_empty()));
    let mut stream = raw(server.addr());
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = stream.read(&mut [0; 8]).expect_err("nothing was asked");
    assert!(is_silence(&error));
}

// Settings that change while it runs.

/// What CONFIG GET answers for one name.
fn setting(client: &mut Client, name: &str) -> String {
    let reply = client.call(&["CONFIG", "GET", name]).unwrap();
    reply.members().expect("an array")[1].text().expect("a text")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

fn answers(addr: SocketAddr) -> bool {
    Client::connect(addr).is_ok_and(|mut client| client.call(&["PING"]).is_ok_and(|reply| reply == pong()))
}

#[test]
fn the_port_may_change_and_connections_stay() {
    let server = start(&[]);
    let mut client = client(&server);
    let (old, new) = (server.addr().port(), free_port());
    assert_eq!(client.call(&["CONFIG", "SET", "port", &new.to_string()]).unwrap(), ok());
    assert!(answers(at("127.0.0.1", new)) && !answers(at("127.0.0.1", old)));
    assert_eq!(client.call(&["PING"]).unwrap(), pong());
    assert_eq!(setting(&mut client, "port"), new.to_string());
    // The old one is free for others, and for the server again.
    drop(TcpListener::bind(at("127.0.0.1", old)).unwrap());
    assert_eq!(client.call(&["CONFIG", "SET", "port", &old.to_string()]).unwrap(), ok());
    assert!(answers(at("127.0.0.1", old)) && !answers(at("127.0.0.1", new)));
    assert_eq!(client.call(&["CONFIG", "SET", "port", "0"]).unwrap(), ok());
    assert!(!answers(at("127.0.0.1", old)));
    assert_eq!(client.call(&["CONFIG", "SET", "port", &old.to_string()]).unwrap(), ok());
    assert!(answers(at("127.0.0.1", old)));
}

#[test]
fn a_port_that_is_taken_changes_nothing_at_all() {
    let server = start(&[]);
    let mut client = client(&server);
    let old = server.addr().port();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let reply = client.call(&["CONFIG", "SET", "maxmemory", "77mb", "port", &port, "timeout", "9"]).unwrap();
    let text = "ERR CONFIG SET failed (possibly related to argument 'port') - \
                Unable to listen on this port. Check server logs.";
    assert_eq!(reply, Reply::Error(text.into()));
    assert_eq!(setting(&mut client, "maxmemory"), "0");
    assert_eq!(setting(&mut client, "timeout"), "0");
    assert_eq!(setting(&mut client, "port"), old.to_string());
    assert!(answers(at("127.0.0.1", old)));
}

#[test]
fn addresses_may_come_and_go() {
    let server = start(&[]);
    let mut client = client(&server);
    let port = server.addr().port();
    let mut bind = |words: &str| client.call(&["CONFIG", "SET", "bind", words]).unwrap();
    assert_eq!(bind("127.0.0.1 127.0.0.2"), ok());
    assert!(answers(at("127.0.0.1", port)) && answers(at("127.0.0.2", port)));
    assert_eq!(bind("127.0.0.2"), ok());
    assert!(!answers(at("127.0.0.1", port)) && answers(at("127.0.0.2", port)));
    let text = "ERR CONFIG SET failed (possibly related to argument 'bind') - \
                Failed to bind to specified addresses.";
    assert_eq!(bind("127.0.0.1 192.0.2.77"), Reply::Error(text.into()));
    assert!(!answers(at("127.0.0.1", port)) && answers(at("127.0.0.2", port)));
    assert_eq!(bind("127.0.0.1 -192.0.2.77"), ok());
    assert!(answers(at("127.0.0.1", port)) && !answers(at("127.0.0.2", port)));
    // All addresses at once take the place of one.
    assert_eq!(bind("*"), ok());
    assert!(answers(at("127.0.0.1", port)) && answers(at("127.0.0.2", port)));
    assert_eq!(bind("127.0.0.1"), ok());
    assert!(answers(at("127.0.0.1", port)) && !answers(at("127.0.0.2", port)));
}

#[test]
fn limits_of_clients_change_while_it_runs() {
    let server = start(&[("io-threads", "2")]);
    let (mut admin, mut other) = (client(&server), client(&server));
    let mut set = |name: &str, value: &str| {
        assert_eq!(admin.call(&["CONFIG", "SET", name, value]).unwrap(), ok());
    };
    assert_eq!(other.call(&["PING"]).unwrap(), pong());
    set("maxclients", "2");
    assert_eq!(rest(&mut raw(server.addr())), "-ERR max number of clients reached\r\n");
    set("maxclients", "100");
    assert_eq!(client(&server).call(&["PING"]).unwrap(), pong());
    set("proto-max-bulk-len", "1mb");
    other.send_raw(b"PING\r\n*2\r\n$3\r\nGET\r\n$1048577\r\n").unwrap();
    assert_eq!(other.read().unwrap(), pong());
    assert_eq!(other.read().unwrap(), Reply::Error(b"ERR Protocol error: invalid bulk length".to_vec()));
    let mut idle = client(&server);
    assert_eq!(idle.call(&["PING"]).unwrap(), pong());
    set("timeout", "1");
    assert!(is_ended(&mut idle));
}

#[test]
fn settings_of_addresses_and_the_end_of_the_server_do_not_wait_for_each_other() {
    for _ in 0..10 {
        let server = start(&[("io-threads", "2")]);
        let addr = server.addr();
        let mut witness = client(&server);
        let setters: Vec<Client> = (0..2).map(|_| client(&server)).collect();
        let setters: Vec<_> = setters
            .into_iter()
            .map(|mut client| {
                let ports = [free_port().to_string(), free_port().to_string()];
                thread::spawn(move || {
                    let mut turns = ports.iter().cycle();
                    while client.call(&["CONFIG", "SET", "port", turns.next().unwrap()]).is_ok() {}
                })
            })
            .collect();
        (0..20).for_each(|_| assert_eq!(witness.call(&["PING"]).unwrap(), pong()));
        server.shutdown();
        setters.into_iter().for_each(|setter| setter.join().unwrap());
        assert!(!answers(addr));
    }
}
