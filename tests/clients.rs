//! Whether a client library of others gets on with the server.
//!
//! For: the `redis` crate, in both protocols. May touch: sockets.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ochre::clock::Clock;
use redis::geo::{Coord, RadiusOptions, RadiusOrder, RadiusSearchResult, Unit};
use redis::streams::{
    StreamAutoClaimReply, StreamClaimReply, StreamId, StreamInfoConsumersReply, StreamInfoGroupsReply,
    StreamMaxlen, StreamPendingCountReply, StreamPendingReply, StreamRangeReply, StreamReadOptions,
    StreamReadReply,
};
use redis::{
    Commands, Connection, Direction, ErrorKind, ExistenceCheck, ExpireOption, Expiry, IntegerReplyOrNoOp,
    LposOptions, ServerErrorKind, SetExpiry, SetOptions, Value,
};

/// Looks at a key, 5 ms apart, before a test gives up.
const TRIES: usize = 2_000;

/// Runs a test over a connection of each protocol, each to a server of its own.
fn in_both_protocols(test: impl Fn(&mut Connection)) {
    with_connections(|connect| test(&mut connect()));
}

/// As [`in_both_protocols`], for a test that makes several connections to its server.
fn with_connections(test: impl Fn(&(dyn Fn() -> Connection + Sync))) {
    for protocol in ["resp2", "resp3"] {
        let Some(server) = support::server() else { return };
        let client = redis::Client::open(format!("redis://{}/?protocol={protocol}", server.addr()));
        let client = client.expect("the library knows such addresses");
        test(&|| {
            let connection = client.get_connection().expect("the library connects");
            connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
            connection
        });
    }
}

/// What `waiting` answers on a connection of its own when it blocks and `then` serves it.
fn meanwhile<T: Send>(
    connect: &(dyn Fn() -> Connection + Sync),
    waiting: impl FnOnce(&mut Connection) -> T + Send,
    then: impl FnOnce(&mut Connection),
) -> T {
    let mut c = connect();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| waiting(&mut connect()));
        let is_blocked = (0..TRIES).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            let info: String = redis::cmd("INFO").arg("clients").query(&mut c).expect("INFO");
            info.contains("blocked_clients:1\r\n")
        });
        assert!(is_blocked, "nobody waits");
        then(&mut c);
        waiter.join().expect("a blocked client is served")
    })
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|&text| text.to_owned()).collect()
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

#[test]
fn lists_are_driven_from_both_ends_and_waited_for() {
    with_connections(|connect| {
        let c = &mut connect();
        assert_eq!(c.rpush::<_, _, usize>("l", &[0, 1, 2, 3]).expect("RPUSH"), 4);
        assert_eq!(c.lpush::<_, _, usize>("l", "first").expect("LPUSH"), 5);
        assert_eq!(c.lrange::<_, Vec<String>>("l", 0, 1).expect("LRANGE"), ["first", "0"]);
        assert_eq!(c.linsert_before::<_, _, _, i64>("l", 2, "x").expect("LINSERT"), 6);
        assert_eq!(c.lpos::<_, _, usize>("l", "x", LposOptions::default()).expect("LPOS"), 3);
        assert_eq!(c.lrem::<_, _, usize>("l", 1, "x").expect("LREM"), 1);
        let () = c.lset("l", 0, "f").expect("LSET");
        assert_eq!(c.lpop::<_, Vec<String>>("l", std::num::NonZeroUsize::new(2)).expect("LPOP"), ["f", "0"]);
        let moved = c.lmove::<_, _, String>("l", "m", Direction::Right, Direction::Left).expect("LMOVE");
        assert_eq!((moved.as_str(), c.llen::<_, usize>("l").expect("LLEN")), ("3", 2));
        let popped: Option<(String, Vec<u8>)> =
            c.lmpop(2, &["none", "m"], Direction::Left, 1).expect("LMPOP");
        assert_eq!(popped, Some(("m".to_owned(), vec![3])));
        assert_eq!(c.blpop::<_, Option<(String, u8)>>("none", 0.01).expect("BLPOP"), None);
        let served: (String, String) =
            meanwhile(connect, |c| c.blpop(&["p", "q"], 0.0), |c| c.rpush("q", "v").expect("RPUSH"))
                .expect("BLPOP");
        assert_eq!(served, ("q".to_owned(), "v".to_owned()));
        let wait = |c: &mut Connection| c.blmove("p", "to", Direction::Left, Direction::Right, 0.0);
        let moved: String = meanwhile(connect, wait, |c| c.rpush("p", "w").expect("RPUSH")).expect("BLMOVE");
        assert_eq!((moved, c.lrange("to", 0, -1).expect("LRANGE")), ("w".to_owned(), texts(&["w"])));
        assert!(c.incr::<_, _, i64>("to", 1).expect_err("a list is no number").code() == Some("WRONGTYPE"));
    });
}

#[test]
fn hashes_and_the_deadlines_of_their_fields() {
    use IntegerReplyOrNoOp::{ExistsButNotRelevant, IntegerReply, NotExists};
    in_both_protocols(|c| {
        let () = c.hset_multiple("h", &[("a", "1"), ("b", "x"), ("c", "2")]).expect("HSET");
        let all: BTreeMap<String, String> = c.hgetall("h").expect("HGETALL");
        assert_eq!(all.into_iter().map(|(field, value)| field + &value).collect::<String>(), "a1bxc2");
        let some: (u8, Option<u8>) = c.hmget("h", &["a", "none"]).expect("HMGET");
        assert_eq!(some, (1, None));
        assert_eq!(c.hincr::<_, _, _, i64>("h", "a", 4).expect("HINCRBY"), 5);
        assert_eq!(c.hincr::<_, _, _, f64>("h", "a", 0.5).expect("HINCRBYFLOAT"), 5.5);
        assert!(!c.hset_nx::<_, _, _, bool>("h", "a", 0).expect("HSETNX"));
        assert_eq!(c.hdel::<_, _, usize>("h", &["b", "none"]).expect("HDEL"), 1);
        let found = c.hscan::<_, (String, f64)>("h").expect("HSCAN").collect::<Result<Vec<_>, _>>();
        assert_eq!(found.expect("pairs"), [("a".to_owned(), 5.5), ("c".to_owned(), 2.0)]);
        let reply: Vec<i64> = c.hexpire("h", 100, ExpireOption::NONE, &["a", "none"]).expect("HEXPIRE");
        assert_eq!(reply, [1, -2]);
        let left: Vec<IntegerReplyOrNoOp> = c.httl("h", &["a", "c", "none"]).expect("HTTL");
        assert!(matches!(left[..], [IntegerReply(90..=100), ExistsButNotRelevant, NotExists]), "{left:?}");
        assert_eq!(c.hpersist::<_, _, Vec<i64>>("h", "a").expect("HPERSIST"), [1]);
        let () = c.hpexpire("h", 20, ExpireOption::NONE, "a").expect("HPEXPIRE");
        let gone = (0..TRIES).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            !c.hexists::<_, _, bool>("h", "a").expect("HEXISTS")
        });
        assert!(gone, "a field stayed");
        assert_eq!(c.hget_ex::<_, _, Vec<u8>>("h", "c", Expiry::EX(50)).expect("HGETEX"), [2]);
        assert_eq!(c.hget_del::<_, _, Vec<u8>>("h", "c").expect("HGETDEL"), [2]);
        assert!(!c.exists::<_, bool>("h").expect("EXISTS"));
    });
}

#[test]
fn sets_are_compared_and_drawn_from() {
    in_both_protocols(|c| {
        assert_eq!(c.sadd::<_, _, usize>("s", &["a", "b", "c", "a"]).expect("SADD"), 3);
        assert_eq!(c.sadd::<_, _, usize>("t", &["b", "z"]).expect("SADD"), 2);
        let members: BTreeSet<String> = c.smembers("s").expect("SMEMBERS");
        assert!(members.iter().eq(["a", "b", "c"]));
        assert_eq!(c.smismember::<_, _, Vec<bool>>("s", &["a", "z"]).expect("SMISMEMBER"), [true, false]);
        assert_eq!(c.sinter::<_, BTreeSet<String>>(&["s", "t"]).expect("SINTER").len(), 1);
        assert_eq!(c.sunion::<_, BTreeSet<String>>(&["s", "t"]).expect("SUNION").len(), 4);
        assert_eq!(c.sdiffstore::<_, _, usize>("d", &["s", "t"]).expect("SDIFFSTORE"), 2);
        assert!(c.smove::<_, _, _, bool>("s", "t", "a").expect("SMOVE"));
        assert_eq!(c.srem::<_, _, usize>("s", "c").expect("SREM"), 1);
        assert_eq!(c.spop::<_, String>("s").expect("SPOP"), "b");
        assert!(!c.exists::<_, bool>("s").expect("EXISTS"));
        let () = c.sadd("n", (0..2_000).collect::<Vec<u32>>()).expect("SADD");
        let seen = c.sscan::<_, u32>("n").expect("SSCAN").collect::<Result<BTreeSet<_>, _>>();
        assert_eq!(seen.expect("members").len(), 2_000);
        let drawn: BTreeSet<u32> = c.srandmember_multiple("n", 10).expect("SRANDMEMBER");
        assert_eq!(drawn.len(), 10);
    });
}

#[test]
fn sorted_sets_are_ranged_joined_and_waited_for() {
    with_connections(|connect| {
        let c = &mut connect();
        let () = c.zadd_multiple("z", &[(1.0, "a"), (2.0, "b"), (3.5, "c")]).expect("ZADD");
        assert_eq!(c.zscore::<_, _, f64>("z", "c").expect("ZSCORE"), 3.5);
        assert_eq!(c.zincr::<_, _, _, f64>("z", "a", 0.5).expect("ZINCRBY"), 1.5);
        assert_eq!(c.zrank::<_, _, Option<usize>>("z", "b").expect("ZRANK"), Some(1));
        let first: Vec<(String, f64)> = c.zrange_withscores("z", 0, 0).expect("ZRANGE");
        assert_eq!(first, [("a".to_owned(), 1.5)]);
        let between: Vec<String> = c.zrangebyscore_limit("z", "(1.5", "+inf", 0, 1).expect("ZRANGEBYSCORE");
        assert_eq!(between, ["b"]);
        assert_eq!(c.zcount::<_, _, _, usize>("z", 2, "inf").expect("ZCOUNT"), 2);
        let () = c.zadd("y", "b", 10).expect("ZADD");
        let kept: usize = c.zinterstore_weights("i", &[("z", 2), ("y", 1)]).expect("ZINTERSTORE");
        assert_eq!((kept, c.zscore("i", "b").expect("ZSCORE")), (1, 14.0));
        let popped: Vec<(String, f64)> = c.zpopmin("z", 1).expect("ZPOPMIN");
        assert_eq!(popped, [("a".to_owned(), 1.5)]);
        assert_eq!(c.zrembyscore::<_, _, _, usize>("z", 3, 4).expect("ZREMRANGEBYSCORE"), 1);
        let found = c.zscan::<_, (String, f64)>("z").expect("ZSCAN").collect::<Result<Vec<_>, _>>();
        assert_eq!(found.expect("pairs"), [("b".to_owned(), 2.0)]);
        let serve = |c: &mut Connection| c.zadd("q", "v", 1.25).expect("ZADD");
        let served: (String, String, f64) =
            meanwhile(connect, |c| c.bzpopmin(&["p", "q"], 0.0), serve).expect("BZPOPMIN");
        assert_eq!(served, ("q".to_owned(), "v".to_owned(), 1.25));
        assert!(!c.exists::<_, bool>("q").expect("EXISTS"));
    });
}

#[test]
fn places_and_estimates() {
    in_both_protocols(|c| {
        let places = [
            (Coord::lon_lat("13.361389", "38.115556"), "Palermo"),
            (Coord::lon_lat("15.087269", "37.502669"), "Catania"),
        ];
        assert_eq!(c.geo_add::<_, _, usize>("g", &places[..]).expect("GEOADD"), 2);
        let distance: f64 = c.geo_dist("g", "Palermo", "Catania", Unit::Kilometers).expect("GEODIST");
        assert_eq!(distance, 166.2742);
        assert_eq!(c.geo_hash::<_, _, Vec<String>>("g", "Palermo").expect("GEOHASH"), ["sqc8b49rny0"]);
        let at: Vec<Option<Coord<f64>>> = c.geo_pos("g", &["Palermo", "none"]).expect("GEOPOS");
        assert!(at[0].as_ref().is_some_and(|at| (at.longitude - 13.361389).abs() < 1e-5) && at[1].is_none());
        let options = RadiusOptions::default().with_dist().order(RadiusOrder::Asc);
        let near: Vec<RadiusSearchResult> =
            c.geo_radius("g", 15.0, 37.0, 200.0, Unit::Kilometers, options).expect("GEORADIUS");
        assert_eq!(near.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["Catania", "Palermo"]);
        assert_eq!(near[0].dist, Some(56.4413));
        assert!(c.pfadd::<_, _, bool>("a", &["x", "y"]).expect("PFADD"));
        assert!(c.pfadd::<_, _, bool>("b", &["y", "z"]).expect("PFADD"));
        let () = c.pfmerge("c", &["a", "b"]).expect("PFMERGE");
        assert_eq!(c.pfcount::<_, usize>("c").expect("PFCOUNT"), 3);
    });
}

fn ids(entries: &[StreamId]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

#[test]
fn streams_are_read_by_groups() {
    with_connections(|connect| {
        let c = &mut connect();
        let first: String = c.xadd("x", "*", &[("n", 1)]).expect("XADD");
        let second: String = c.xadd("x", "*", &[("n", 2)]).expect("XADD");
        let all: StreamRangeReply = c.xrange_all("x").expect("XRANGE");
        assert_eq!(ids(&all.ids), [first.as_str(), &second]);
        assert_eq!(all.ids[1].get::<u8>("n"), Some(2));
        let read: StreamReadReply = c.xread(&["x"], &[&first]).expect("XREAD");
        assert_eq!((read.keys[0].key.as_str(), ids(&read.keys[0].ids)), ("x", vec![second.as_str()]));
        let () = c.xgroup_create("x", "g", "0").expect("XGROUP CREATE");
        let again = c.xgroup_create::<_, _, _, ()>("x", "g", "0").expect_err("the group is there");
        assert_eq!(again.code(), Some("BUSYGROUP"));
        let alice = StreamReadOptions::default().group("g", "alice");
        let read: StreamReadReply = c.xread_options(&["x"], &[">"], &alice).expect("XREADGROUP");
        assert_eq!(ids(&read.keys[0].ids), [first.as_str(), &second]);
        assert_eq!(c.xack::<_, _, _, usize>("x", "g", &[&first]).expect("XACK"), 1);
        let pending: StreamPendingReply = c.xpending("x", "g").expect("XPENDING");
        assert_eq!(pending.count(), 1);
        let pending: StreamPendingCountReply = c.xpending_count("x", "g", "-", "+", 9).expect("XPENDING");
        assert_eq!((pending.ids[0].id.as_str(), pending.ids[0].consumer.as_str()), (&*second, "alice"));
        let claimed: StreamClaimReply = c.xclaim("x", "g", "bob", 0, &[&second]).expect("XCLAIM");
        assert_eq!(ids(&claimed.ids), [&second]);
        let claimed: StreamAutoClaimReply =
            c.xautoclaim_options("x", "g", "carol", 0, "0", Default::default()).expect("XAUTOCLAIM");
        assert_eq!((ids(&claimed.claimed), claimed.next_stream_id.as_str()), (vec![second.as_str()], "0-0"));
        let patient = StreamReadOptions::default().group("g", "alice").block(0);
        let wait = |c: &mut Connection| c.xread_options(&["x"], &[">"], &patient);
        let serve = |c: &mut Connection| c.xadd("x", "*", &[("n", 3)]).expect("XADD");
        let served: StreamReadReply = meanwhile(connect, wait, serve).expect("XREADGROUP");
        assert_eq!(served.keys[0].ids[0].get::<u8>("n"), Some(3));
        let groups: StreamInfoGroupsReply = c.xinfo_groups("x").expect("XINFO GROUPS");
        let group = &groups.groups[0];
        assert_eq!((group.name.as_str(), group.consumers, group.pending, group.lag), ("g", 3, 2, Some(0)));
        let consumers: StreamInfoConsumersReply = c.xinfo_consumers("x", "g").expect("XINFO CONSUMERS");
        let told: Vec<_> = consumers.consumers.iter().map(|it| (it.name.as_str(), it.pending)).collect();
        assert_eq!(told, [("alice", 1), ("bob", 0), ("carol", 1)]);
        assert_eq!(c.xtrim::<_, usize>("x", StreamMaxlen::Equals(1)).expect("XTRIM"), 2);
        assert!(c.xgroup_destroy::<_, _, bool>("x", "g").expect("XGROUP DESTROY"));
    });
}

#[test]
fn transactions_run_as_a_whole_unless_a_watched_key_changes() {
    with_connections(|connect| {
        let (c, other) = (&mut connect(), &mut connect());
        let mut pipe = redis::pipe();
        pipe.atomic().set("a", 1).ignore().incr("a", 1).rpush("l", "x");
        assert_eq!(pipe.query::<(u8, u8)>(c).expect("MULTI"), (2, 1));
        let mut tries = 0;
        let result: (u8,) = redis::transaction(c, &["a"], |c, pipe| {
            tries += 1;
            let n: u8 = c.get("a")?;
            if tries == 1 {
                let () = other.set("a", 20)?;
            }
            pipe.set("a", n + 1).ignore().get("a").query(c)
        })
        .expect("WATCH");
        assert_eq!((result.0, tries), (21, 2));
    });
}

#[test]
fn scripts_answer_what_they_return() {
    in_both_protocols(|c| {
        let lua = "return {redis.call('INCRBY', KEYS[1], ARGV[1]), KEYS[1], {false}}";
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(lua).query(c).expect("SCRIPT LOAD");
        let reply = redis::cmd("EVALSHA").arg(&sha).arg(1).arg("n").arg(5).query(c);
        assert_eq!(reply, Ok((5, "n".to_owned(), (None::<u8>,))));
        let unknown =
            redis::cmd("EVALSHA").arg("0".repeat(40)).arg(0).exec(c).expect_err("nobody has sent it");
        assert_eq!(unknown.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
        let own = redis::cmd("EVAL").arg("return redis.error_reply('MINE own words')").arg(0).exec(c);
        assert_eq!(own.expect_err("an error reply").code(), Some("MINE"));
    });
}

#[test]
fn messages_and_keyspace_events_arrive() {
    with_connections(|connect| {
        let (c, subscriber) = (&mut connect(), &mut connect());
        let () = redis::cmd("CONFIG")
            .arg(&["SET", "notify-keyspace-events", "KEA"])
            .query(c)
            .expect("events can be switched on");
        let mut subscriber = subscriber.as_pubsub();
        subscriber.subscribe("news").expect("SUBSCRIBE");
        subscriber.psubscribe("__keyspace@0__:k*").expect("PSUBSCRIBE");
        let mut next = || {
            let message = subscriber.get_message().expect("a message");
            let pattern = message.get_pattern::<Option<String>>().expect("a pattern or none");
            let channel = message.get_channel_name().to_owned();
            (pattern.is_some(), channel, message.get_payload::<String>().expect("text"))
        };
        assert_eq!(c.publish::<_, _, usize>("news", "one").expect("PUBLISH"), 1);
        assert_eq!(next(), (false, "news".to_owned(), "one".to_owned()));
        let () = c.pset_ex("key", "v", 10).expect("PSETEX");
        for event in ["set", "expire", "expired"] {
            assert_eq!(next(), (true, "__keyspace@0__:key".to_owned(), event.to_owned()));
        }
    });
}
