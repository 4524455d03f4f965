//! Whether a client library of others gets on with the server.
//!
//! For: the `redis` crate, in both protocols. May touch: sockets.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use ochre::clock::Clock;
use redis::{
    Commands, Connection, ErrorKind, ExistenceCheck, Expiry, IntegerReplyOrNoOp, ServerErrorKind, SetExpiry,
    SetOptions, Value,
};

/// Looks at a key, 5 ms apart, before a test gives up.
const TRIES: usize = 2_000;

/// Runs a test over a connection of each protocol, each to a server of its own.
fn in_both_protocols(test: impl Fn(&mut Connection)) {
    for protocol in ["resp2", "resp3"] {
        let Some(server) = support::server() else { return };
        let client = redis::Client::open(format!("redis://{}/?protocol={protocol}", server.addr()));
        let mut connection = client.and_then(|it| it.get_connection()).expect("the library connects");
        connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        test(&mut connection);
    }
}

#[test]
fn strings_of_any_bytes_come_back_as_they_were_set() {
    in_both_protocols(|c| {
        let any: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for value in [&b""[..], b"v", b"\r\n", b"-1", &any] {
            let () = c.set("key", value).expect("SET");
            assert_eq!(c.get::<_, Vec<u8>>("key").expect("GET"), value);
            assert_eq!(c.strlen::<_, usize>("key").expect("STRLEN"), value.len());
        }
        assert_eq!(c.get::<_, Option<String>>("nothing").expect("GET"), None);
        assert!(!c.set_nx::<_, _, bool>("key", 1).expect("SETNX"));
        let () = c.mset(&[("a", 1), ("b", 2)]).expect("MSET");
        assert_eq!(c.mget::<_, (i64, Option<i64>, i64)>(&["a", "nothing", "b"]).expect("MGET"), (1, None, 2));
        assert_eq!(c.incr::<_, _, i64>("a", 41).expect("INCRBY"), 42);
        assert_eq!(c.incr::<_, _, f64>("a", 0.5).expect("INCRBYFLOAT"), 42.5);
        assert_eq!(c.append::<_, _, usize>("b", "345").expect("APPEND"), 4);
        assert_eq!(c.getrange::<_, String>("b", 1, -2).expect("GETRANGE"), "34");
        assert!(!c.setbit::<_, bool>("bits", 7, true).expect("SETBIT"));
        assert_eq!(c.bitcount::<_, u64>("bits").expect("BITCOUNT"), 1);
        assert_eq!(c.get_del::<_, String>("b").expect("GETDEL"), "2345");
        assert_eq!(c.exists::<_, u64>(&["a", "b", "bits"]).expect("EXISTS"), 2);
        let () = c.rename("a", "c").expect("RENAME");
        assert_eq!(c.del::<_, u64>(&["a", "c"]).expect("DEL"), 1);
    });
}

#[test]
fn errors_arrive_as_the_kinds_the_library_knows() {
    in_both_protocols(|c| {
        let () = c.set("key", "text").expect("SET");
        let error = c.incr::<_, _, i64>("key", 1).expect_err("text is no number");
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
        assert_eq!(error.code(), Some("ERR"));
        assert_eq!(error.detail(), Some("value is not an integer or out of range"));
        let error = redis::cmd("NOTHING").exec(c).expect_err("there is no such command");
        assert!(error.to_string().contains("unknown command"), "{error}");
        assert_eq!(c.ping::<String>().expect("PING"), "PONG");
    });
}

#[test]
fn keys_live_as_long_as_they_are_told_to() {
    in_both_protocols(|c| {
        let until = |c: &mut Connection, key: &str| {
            c.pexpire_time::<_, IntegerReplyOrNoOp>(key).expect("PEXPIRETIME")
        };
        let options =
            SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::EX(100));
        assert!(c.set_options::<_, _, bool>("key", "v", options.clone()).expect("SET"));
        assert_eq!(c.set_options::<_, _, Option<bool>>("key", "w", options).expect("SET"), None);
        assert!((1..=100).contains(&c.ttl::<_, i64>("key").expect("TTL")));
        assert_eq!(c.get_ex::<_, String>("key", Expiry::PERSIST).expect("GETEX"), "v");
        assert_eq!(until(c, "key"), IntegerReplyOrNoOp::ExistsButNotRelevant);
        let at_ms = Clock::real().now_ms() as i64 + 50_000;
        assert!(c.pexpire_at::<_, bool>("key", at_ms).expect("PEXPIREAT"));
        assert_eq!(until(c, "key"), IntegerReplyOrNoOp::IntegerReply(at_ms as usize));
        assert_eq!(until(c, "nothing"), IntegerReplyOrNoOp::NotExists);
        assert!(c.persist::<_, bool>("key").expect("PERSIST"));
        let () = c.pset_ex("short", "v", 20).expect("PSETEX");
        let gone = (0..TRIES).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            !c.exists::<_, bool>("short").expect("EXISTS")
        });
        assert!(gone, "a key stayed");
        assert_eq!(c.get::<_, Option<String>>("key").expect("GET"), Some("v".to_owned()));
    });
}

#[test]
fn an_iteration_by_the_library_visits_every_key() {
    in_both_protocols(|c| {
        let items: Vec<(String, u64)> = (0..3_000).map(|n| (format!("key:{n}"), n)).collect();
        let () = c.mset(&items).expect("MSET");
        let expected: BTreeSet<String> = items.into_iter().map(|(key, _)| key).collect();
        let found = c.scan::<String>().expect("SCAN").collect::<Result<BTreeSet<_>, _>>().expect("keys");
        assert_eq!(found, expected);
        let found = c.scan_match::<_, String>("key:29*").expect("SCAN");
        assert_eq!(found.collect::<Result<BTreeSet<_>, _>>().expect("keys").len(), 111);
        assert_eq!(c.keys::<_, Vec<String>>("key:?").expect("KEYS").len(), 10);
    });
}

#[test]
fn pipelines_answer_in_order_and_errors_do_not_end_them() {
    in_both_protocols(|c| {
        let mut pipe = redis::pipe();
        for n in 0..5_000 {
            pipe.set(format!("key:{n}"), n).ignore().get(format!("key:{n}"));
        }
        let expected: Vec<u64> = (0..5_000).collect();
        assert_eq!(pipe.query::<Vec<u64>>(c).expect("a pipeline"), expected);
        let mut pipe = redis::pipe();
        pipe.ignore_errors().set("key", "text").incr("key", 1).strlen("key");
        let replies: Vec<redis::RedisResult<Value>> = pipe.query(c).expect("a pipeline with an error in it");
        assert_eq!(replies[0], Ok(Value::Okay));
        assert!(replies[1].is_err());
        assert_eq!(replies[2], Ok(Value::Int(4)));
    });
}

#[test]
fn the_protocol_is_what_was_asked_for() {
    in_both_protocols(|c| {
        let hello: Value = redis::cmd("HELLO").query(c).expect("HELLO");
        let proto = match &hello {
            Value::Map(_) => 3,
            Value::Array(_) => 2,
            other => panic!("{other:?}"),
        };
        let facts: std::collections::HashMap<String, Value> = redis::from_redis_value(hello).expect("pairs");
        assert_eq!(facts["proto"], Value::Int(proto));
        assert_eq!(facts["mode"], Value::BulkString(b"standalone".to_vec()));
        let name: Option<String> = redis::cmd("CLIENT").arg("GETNAME").query(c).expect("CLIENT GETNAME");
        assert_eq!(name.unwrap_or_default(), "");
    });
}
