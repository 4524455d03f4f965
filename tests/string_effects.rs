//! What string and bitmap commands leave behind besides their reply: changes counted, events, and the form in
//! which they are propagated. The expectations for commands of Valkey were taken down from one with
//! notifications, a replica and `INFO`; those of commands it lacks follow Redis's documentation.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ochre::exec::Call;
use ochre::resp::{OwnedArgs, Proto};
use support::bench::Bench;

#[test]
fn set_is_propagated_with_absolute_times_and_without_get() {
    Bench::new().check(&[
        ("SET k v", 1, "new k, set k", "="),
        ("SET k v EX 100", 1, "set k, expire k", "SET k v PXAT @100000"),
        ("SET k v PX 7 GET", 1, "set k, expire k", "SET k v PXAT @7"),
        ("SET k v KEEPTTL", 1, "set k", "="),
        ("SET k v PXAT @5000", 1, "set k, expire k", "="),
        ("SET k v PXAT @5000 GET", 1, "set k, expire k", "="),
        ("SET k v EX 50 XX", 1, "set k, expire k", "SET k v PXAT @50000"),
        ("SET k v NX", 0, "", ""),
        ("SET k v NX GET", 0, "", ""),
        ("SET k v GET", 1, "set k", "SET k v"),
        ("SET k w IFEQ v", 1, "set k", "="),
        ("SET k w IFEQ w GET", 1, "set k", "SET k w IFEQ w"),
        ("SET k v IFEQ w GET KEEPTTL", 1, "set k", "SET k v IFEQ w KEEPTTL"),
        ("SET k v IFEQ x", 0, "", ""),
        ("SET n v XX", 0, "", ""),
        ("SET n v XX GET", 0, "keymiss n", ""),
        ("SET n v NX GET", 1, "keymiss n, new n, set n", "SET n v NX"),
        ("SET m v IFNE x", 1, "new m, set m", "SET m v"),
        ("SET m v IFNE x EX 3", 1, "set m, expire m", "SET m v PXAT @3000"),
        ("SET m v IFNE v", 0, "", ""),
        ("SET m v IFNE x KEEPTTL", 1, "set m", "SET m v KEEPTTL"),
        ("SETNX o v", 1, "new o, set o", "="),
        ("SETNX o v", 0, "", ""),
        ("SETEX o 10 v", 1, "set o, expire o", "SET o v PXAT @10000"),
        ("PSETEX o 10 v", 1, "set o, expire o", "SET o v PXAT @10"),
        ("GETSET o w", 1, "set o", "SET o w"),
        ("GETSET p w", 1, "keymiss p, new p, set p", "SET p w"),
    ]);
}

#[test]
fn a_deadline_that_has_passed_removes_the_key() {
    let mut bench = Bench::new();
    bench.check(&[
        ("SET k v EXAT 1", 0, "", ""),
        ("SET k v", 1, "new k, set k", "="),
        ("SET k v EXAT 1", 1, "expired k", "UNLINK k"),
        ("SET k v", 1, "new k, set k", "="),
        ("GETEX k PXAT 1", 1, "expired k", "UNLINK k"),
        ("GETEX k PXAT 1", 0, "keymiss k", ""),
        ("INCREX n EXAT 1", 0, "", ""),
        ("SET n 5", 1, "new n, set n", "="),
        ("INCREX n EXAT 1", 1, "del n", "UNLINK n"),
    ]);
    assert_eq!(bench.run("GET k").reply, "$-1");
}

#[test]
fn getex_and_getdel_are_propagated_as_what_they_did() {
    Bench::new().check(&[
        ("SET k v", 1, "new k, set k", "="),
        ("GETEX k", 0, "", ""),
        ("GETEX k EX 100", 1, "expire k", "PEXPIREAT k @100000"),
        ("GETEX k PXAT @9", 1, "expire k", "PEXPIREAT k @9"),
        ("GETEX k PERSIST", 1, "persist k", "PERSIST k"),
        ("GETEX k PERSIST", 0, "", ""),
        ("GETDEL k", 1, "del k", "DEL k"),
        ("GETDEL k", 0, "keymiss k", ""),
        ("SET k v", 1, "new k, set k", "="),
        ("DELIFEQ k w", 0, "", ""),
        ("DELIFEQ k v", 1, "del k", "DEL k"),
        ("DELIFEQ k v", 0, "", ""),
    ]);
}

#[test]
fn commands_on_several_keys_count_each() {
    Bench::new().check(&[
        ("MSET a 1 b 2 a 3", 3, "new a, set a, new b, set b, set a", "="),
        ("MSETNX a 1 c 2", 0, "", ""),
        ("MSETNX c 1 c 2", 2, "new c, set c, set c", "="),
        ("MSETEX 2 a 1 b 2 EX 100", 2, "set a, expire a, set b, expire b", "MSETEX 2 a 1 b 2 PXAT @100000"),
        ("MSETEX 2 a 1 b 2 KEEPTTL XX", 2, "set a, set b", "="),
        ("MSETEX 1 a 1 PX 5 XX", 1, "set a, expire a", "MSETEX 1 a 1 XX PXAT @5"),
        ("MSETEX 2 a 1 d 2 XX", 0, "", ""),
        ("MSETEX 2 a 1 d 2 NX", 0, "", ""),
        ("MSETEX 1 d 2 NX", 1, "new d, set d", "="),
        ("MGET a nothing", 0, "keymiss nothing", ""),
    ]);
}

#[test]
fn numbers_are_counted_up_under_one_event() {
    Bench::new().check(&[
        ("INCR c", 1, "new c, incrby c", "="),
        ("DECR c", 1, "incrby c", "="),
        ("DECRBY c 3", 1, "incrby c", "="),
        ("INCRBY c x", 0, "", ""),
        ("INCRBYFLOAT c 0.5", 1, "incrbyfloat c", "SET c -2.5 KEEPTTL"),
        ("INCR c", 0, "", ""),
        ("APPEND c ''", 1, "append c", "="),
        ("APPEND e ''", 1, "new e, append e", "="),
        ("SETRANGE r 3 ''", 0, "", ""),
        ("SETRANGE r 3 x", 1, "new r, setrange r", "="),
    ]);
}

#[test]
fn a_bit_that_stays_counts_only_when_the_string_grew() {
    let mut bench = Bench::new();
    bench.check(&[
        ("SETBIT b 7 1", 1, "new b, setbit b", "="),
        ("SETBIT b 7 1", 0, "", ""),
        ("SETBIT b 100 0", 1, "setbit b", "="),
        ("BITFIELD f SET u8 0 0 SET u8 8 0", 2, "new f, setbit f", "="),
        ("BITFIELD f SET u8 0 0 SET u8 8 1", 1, "setbit f", "="),
        ("BITFIELD f SET u8 0 0 GET u8 8", 0, "", ""),
        ("BITFIELD g OVERFLOW FAIL INCRBY u8 8 300", 0, "new g", "="),
        ("BITFIELD g GET u8 0", 0, "", ""),
        ("BITFIELD_RO h GET u8 0", 0, "keymiss h", ""),
        ("BITOP OR d b f", 1, "new d, set d", "="),
        ("BITOP OR d no no", 1, "keymiss no, keymiss no, del d", "="),
        ("BITOP OR d no", 0, "keymiss no", ""),
    ]);
    assert_eq!(bench.run("STRLEN g").reply, ":2");
}

#[test]
fn a_failed_command_changes_nothing() {
    let mut bench = Bench::new();
    bench.run("SET k abc");
    for line in [
        "SET k v EX 0",
        "SET k v NX XX",
        "SET k v IFEQ abc IFEQ abc",
        "SET k v IFDEQ 123",
        "SETEX k 9223372036854775807 v",
        "GETEX k EX 1 PERSIST",
        "MSET k 1 l",
        "MSETEX 2 k 1",
        "INCR k",
        "INCRBYFLOAT k 1",
        "SETRANGE k 9223372036854775807 x",
        "SETRANGE k -1 x",
        "SETBIT k 0 2",
        "SETBIT k 4294967296 1",
        "BITFIELD k SET u8 0 1 SET u64 0 1",
        "BITFIELD_RO k SET u8 0 1",
        "BITOP NOT k k k",
        "BITOP DIFF k k",
        "DELEX k IFEQ",
        "DELEX k IFANY abc",
        "INCREX k ENX",
        "INCREX k",
    ] {
        let trace = bench.run(line);
        assert!(trace.reply.starts_with("-ERR"), "{line}: {trace:?}");
        assert_eq!((trace.dirty, trace.events.as_str(), trace.effects.as_str()), (0, "", ""), "{line}");
    }
    assert_eq!(bench.run("GET k").reply, "$3 abc");
}

#[test]
fn increx_adds_within_bounds_and_is_propagated_as_set() {
    Bench::new().check(&[
        ("INCREX c", 1, "new c, incrby c", "SET c 1 KEEPTTL"),
        ("INCREX c BYINT 5 EX 100", 1, "incrby c, expire c", "SET c 6 PXAT @100000"),
        ("INCREX c EX 7 ENX", 1, "incrby c", "SET c 7 KEEPTTL"),
        ("INCREX c UBOUND 5", 0, "", ""),
        ("INCREX c PERSIST", 1, "incrby c, persist c", "SET c 8"),
        ("INCREX c PERSIST", 1, "incrby c", "SET c 9"),
        ("INCREX c EX 7 ENX", 1, "incrby c, expire c", "SET c 10 PXAT @7000"),
        ("INCREX c BYFLOAT 0.25", 1, "incrbyfloat c", "SET c 10.25 KEEPTTL"),
    ]);
}

#[test]
fn commands_of_redis_alone_answer_as_documented() {
    let mut bench = Bench::new();
    for (line, reply) in [
        ("INCREX c BYINT 10", "*2 :10 :10"),
        ("INCREX c BYINT 10 UBOUND 15", "*2 :10 :0"),
        ("INCREX c BYINT 10 UBOUND 15 SATURATE", "*2 :15 :5"),
        ("INCREX c LBOUND 0 BYINT -100 UBOUND 10 SATURATE", "*2 :0 :-15"),
        ("INCREX n BYINT 15 UBOUND 10", "*2 :0 :0"),
        ("GET n", "$-1"),
        ("INCREX n LBOUND 5 SATURATE", "*2 :5 :5"),
        ("INCREX f BYFLOAT 10.5 UBOUND 15.5", "*2 $4 10.5 $4 10.5"),
        ("INCREX f BYFLOAT 10 UBOUND 15.5", "*2 $4 10.5 $1 0"),
        ("INCREX f BYFLOAT 10 UBOUND 15.5 SATURATE", "*2 $4 15.5 $1 5"),
        ("INCREX f", "-ERR value is not an integer or out of range"),
        ("INCREX c BYINT 1 BYFLOAT 1", "-ERR syntax error"),
        ("INCREX c EX 1 EX 1", "-ERR syntax error"),
        ("INCREX c ENX PERSIST", "-ERR syntax error"),
        ("INCREX c ENX", "-ERR ENX flag requires an expiration"),
        ("INCREX c LBOUND 2 UBOUND 1", "-ERR LBOUND can't be greater than UBOUND"),
        ("INCREX c UBOUND x", "-ERR UBOUND is not an integer or out of range"),
        ("INCREX c BYFLOAT 1 LBOUND x", "-ERR LBOUND is not a valid float"),
        ("INCREX c BYINT 1.5", "-ERR Increment is not an integer or out of range"),
        ("INCREX c EX 0", "-ERR invalid expire time in 'increx' command"),
        ("SET k hello", "+OK"),
        ("DIGEST k", "$16 9555e8555c62dcfd"),
        ("DIGEST nothing", "$-1"),
        ("SET e v8", "+OK"),
        ("DIGEST e", "$16 0cc76dbb41381419"),
        ("SET k other IFDEQ 0000000000000000", "$-1"),
        ("SET k other IFDNE 0000000000000000 GET", "$5 hello"),
        ("SET nothing v IFEQ x", "$-1"),
        ("SET nothing v IFDEQ x", "$-1"),
        ("SET k hello IFNE other", "$-1"),
        ("DELEX k IFEQ hello", ":0"),
        ("DELEX k IFNE other", ":0"),
        ("DELEX k IFDEQ 12", "-ERR must be exactly 16 hexadecimal characters"),
        ("DELEX k FOO x", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"),
        ("DELEX nothing FOO x", ":0"),
        ("DELEX k IFNE hello", ":1"),
        ("SET k hello", "+OK"),
        ("DELEX k IFDEQ 9555E8555C62DCFD", ":1"),
        ("DELEX k", ":0"),
        ("SETRANGE x 0 a", ":1"),
        ("SETRANGE y 0 c", ":1"),
        ("BITOP DIFF d x y", ":1"),
        ("BITOP ONE d x y", ":1"),
        ("GET d", "$1 \u{2}"),
    ] {
        assert_eq!(bench.run(line).reply, reply, "{line}");
    }
    bench.node.out.set_proto(Proto::Resp3);
    assert_eq!(bench.run("INCREX c BYFLOAT 0.1").reply, "*2 ,0.1 ,0.1");
}

#[test]
fn a_large_value_is_stored_and_answered_without_a_copy() {
    let mut bench = Bench::new();
    let big = Arc::new(vec![b'x'; 100_000]);
    let mut args: OwnedArgs = [&b"SET"[..], b"k"].into_iter().collect();
    args.push_shared(Arc::clone(&big));
    let node = &mut bench.node;
    node.host.log.set_read(false);
    let mut run = |args: OwnedArgs| {
        let mut turn = node.part.enter(Duration::MAX).unwrap();
        let call = Call::of(&node.host, args.as_args());
        node.executor.refresh(&node.host);
        node.executor.run(&node.host, &mut turn, &mut node.session, &mut node.out, call);
    };
    run(args);
    assert_eq!(Arc::strong_count(&big), 2);
    run([&b"GET"[..], b"k"].into_iter().collect());
    // The third is in the reply.
    assert_eq!(Arc::strong_count(&big), 3);
}
