//! Strings and keys of any type.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists.

use super::DATABASES;
use super::pick::Draw;

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("SET k v", "="),
    ("set k v get", "SET k v"),
    ("SET k v EX 10", "SET k v PXAT @10000"),
    ("SET k v PX 10 GET", "SET k v PXAT @10"),
    ("SET k v EXAT @@100", "SET k v PXAT @100000"),
    ("SET k v PXAT @77", "="),
    ("SET k w XX KEEPTTL", "="),
    ("SET k v NX", ""),
    ("SET nothing v XX GET", ""),
    ("SET k v IFEQ w", "="),
    ("SET k v IFEQ w", ""),
    ("SET k v EXAT 1", "UNLINK k"),
    ("SET k v EXAT 1", ""),
    ("SETEX k 10 v", "SET k v PXAT @10000"),
    ("SETEX k 0 v", ""),
    ("PSETEX k 10 v", "SET k v PXAT @10"),
    ("SETNX k v", ""),
    ("SETNX l ''", "="),
    ("GETSET l 5", "SET l 5"),
    ("GETEX l", ""),
    ("GETEX l EX 10", "PEXPIREAT l @10000"),
    ("GETEX l PX 10", "PEXPIREAT l @10"),
    ("GETEX l EXAT @@10", "PEXPIREAT l @10000"),
    ("GETEX l PERSIST", "PERSIST l"),
    ("GETEX l PERSIST", ""),
    ("GETEX l PXAT 1", "UNLINK l"),
    ("GETDEL l", ""),
    ("GETDEL k", "DEL k"),
    ("MSET a 1 b 2 a 3", "="),
    ("MSETNX b 1 c 2", ""),
    ("MSETNX c 1 d 2", "="),
    ("MSETEX 2 a 1 e 2 EX 10", "MSETEX 2 a 1 e 2 PXAT @10000"),
    ("MSETEX 2 a 1 f 2 NX", ""),
    ("MSETEX 2 a 1 e 2 XX KEEPTTL", "="),
    ("APPEND a 1", "="),
    ("APPEND a ''", "="),
    ("SETRANGE s 3 abc", "="),
    ("SETRANGE nothing 3 ''", ""),
    ("SETBIT s 7 1", "="),
    ("SETBIT s 7 1", ""),
    ("BITFIELD s SET u8 0 9 GET u8 8 INCRBY i5 3 1", "="),
    ("BITFIELD s GET u8 0", ""),
    ("BITFIELD s OVERFLOW FAIL INCRBY u8 0 300", ""),
    ("BITOP OR t s a", "="),
    ("BITOP AND t nothing", "="),
    ("BITOP AND t nothing", ""),
    ("INCR a", "="),
    ("DECR a", "="),
    ("INCRBY a -5", "="),
    ("DECRBY a 3", "="),
    ("INCR s", ""),
    ("INCRBYFLOAT a 0.5", "SET a 3.5 KEEPTTL"),
    ("INCRBYFLOAT a 0.5", "SET a 4 KEEPTTL"),
    ("INCREX a", "SET a 5 KEEPTTL"),
    ("INCREX a BYINT 2 PX 50", "SET a 7 PXAT @50"),
    ("INCREX a UBOUND 7", ""),
    ("DELIFEQ b x", ""),
    ("DELIFEQ b 2", "DEL b"),
    ("SET b 2", "="),
    ("DELEX b IFNE 2", ""),
    ("DELEX b IFEQ 2", "DEL b"),
    ("EXPIRE b 10", ""),
    ("EXPIRE c 10", "PEXPIREAT c @10000"),
    ("expire c 20 gt", "PEXPIREAT c @20000 gt"),
    ("EXPIRE c 10 GT", ""),
    ("EXPIRE c 5 LT", "PEXPIREAT c @5000 LT"),
    ("PEXPIRE c 100 XX", "PEXPIREAT c @100 XX"),
    ("EXPIREAT c @@9", "PEXPIREAT c @9000"),
    ("PEXPIREAT c @8", "="),
    ("PERSIST c", "="),
    ("PERSIST c", ""),
    ("PEXPIRE c 100 NX", "PEXPIREAT c @100 NX"),
    ("PEXPIRE c 100 NX", ""),
    ("EXPIRE c -1", "UNLINK c"),
    ("EXPIREAT d 1", "UNLINK d"),
    ("PEXPIRE e 0", "UNLINK e"),
    ("SETEX d 100 v", "SET d v PXAT @100000"),
    ("RENAME d e", "="),
    ("RENAME d e", ""),
    ("RENAME e e", ""),
    ("RENAMENX e a", ""),
    ("RENAMENX e d", "="),
    ("COPY d e", "="),
    ("COPY d e", ""),
    ("COPY d d DB 2 REPLACE", "="),
    ("MOVE d 2", ""),
    ("MOVE e 2", "="),
    ("MOVE e 2", ""),
    ("SWAPDB 2 3", "="),
    ("SELECT 3", ""),
    ("DEL nothing e nothing", "[3] DEL nothing e nothing"),
    ("DEL e", ""),
    ("COPY d d DB 1", "[3] COPY d d DB 1"),
    ("FLUSHDB", "[3] FLUSHDB"),
    ("SELECT 1", ""),
    ("UNLINK d", "[1] UNLINK d"),
    ("UNLINK d", ""),
    ("MSET x 1 y 2", "[1] MSET x 1 y 2"),
    ("FLUSHALL ASYNC", "[1] FLUSHALL ASYNC"),
];

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[
    ("SET", |p| {
        let when = match p.below(8) {
            0 => " NX".to_owned(),
            1 => " XX".to_owned(),
            2 => format!(" IFEQ {}", p.value()),
            3 => format!(" IFNE {}", p.value()),
            _ => String::new(),
        };
        let lifetime = if p.below(5) == 0 { " KEEPTTL".to_owned() } else { p.lifetime() };
        format!("{} {}{when}{}{lifetime}", p.key(), p.value(), p.one(&["", "", " GET"]))
    }),
    ("SETEX", |p| format!("{} {} {}", p.key(), p.below(4), p.value())),
    ("PSETEX", |p| format!("{} {} {}", p.key(), p.below(3_000), p.value())),
    ("SETNX", |p| format!("{} {}", p.key(), p.value())),
    ("GETSET", |p| format!("{} {}", p.key(), p.value())),
    ("GETDEL", |p| p.key()),
    ("GETEX", |p| {
        let lifetime = if p.below(5) == 0 { " PERSIST".to_owned() } else { p.lifetime() };
        format!("{}{lifetime}", p.key())
    }),
    ("MSET", |p| p.pairs().1),
    ("MSETNX", |p| p.pairs().1),
    ("MSETEX", |p| {
        let (count, pairs) = p.pairs();
        // With a time that has passed it sets keys that are gone at once, for a follower as well.
        let ahead = Some(p.lifetime()).filter(|it| !it.contains("AT ")).unwrap_or_default();
        let lifetime = if p.below(5) == 0 { " KEEPTTL".to_owned() } else { ahead };
        format!("{count} {pairs}{}{lifetime}", p.one(&["", "", " NX", " XX"]))
    }),
    ("APPEND", |p| format!("{} {}", p.key(), p.value())),
    ("SETRANGE", |p| format!("{} {} {}", p.key(), p.below(20), p.value())),
    ("SETBIT", |p| format!("{} {} {}", p.key(), p.below(100), p.below(2))),
    ("BITFIELD", |p| {
        let operations = (0..=p.below(3)).map(|_| match p.below(3) {
            0 => format!(" GET u8 {}", p.below(60)),
            1 => format!(" SET i9 {} {}", p.below(60), p.below(200)),
            _ => {
                format!(
                    " OVERFLOW {} INCRBY u5 {} {}",
                    p.one(&["WRAP", "SAT", "FAIL"]),
                    p.below(60),
                    p.below(40)
                )
            }
        });
        let operations = operations.collect::<String>();
        format!("{}{operations}", p.key())
    }),
    ("BITOP", |p| match p.below(5) {
        0 => format!("NOT {} {}", p.key(), p.key()),
        _ => format!("{} {} {}", p.one(&["AND", "OR", "XOR", "ONE", "DIFF"]), p.key(), p.keys()),
    }),
    ("INCR", |p| p.key()),
    ("DECR", |p| p.key()),
    ("INCRBY", |p| format!("{} {}", p.key(), p.below(100))),
    ("DECRBY", |p| format!("{} {}", p.key(), p.below(100))),
    ("INCRBYFLOAT", |p| format!("{} {}", p.key(), p.one(&["0.1", "-3", "1e3", "2.75", "inf"]))),
    ("INCREX", |p| {
        let by =
            p.one(&["", " BYINT 3", " BYFLOAT 0.3", " BYINT 10 UBOUND 15", " BYINT 10 UBOUND 15 SATURATE"]);
        let lifetime = if p.below(5) == 0 { " PERSIST".to_owned() } else { p.lifetime() };
        let only = if lifetime.contains('X') { p.one(&["", " ENX"]) } else { "" };
        format!("{}{by}{lifetime}{only}", p.key())
    }),
    ("DELIFEQ", |p| format!("{} {}", p.key(), p.value())),
    ("DELEX", |p| format!("{}{} {}", p.key(), p.one(&[" IFEQ", " IFNE"]), p.value())),
    ("DEL", |p| p.keys()),
    ("UNLINK", |p| p.keys()),
    ("EXPIRE", |p| {
        let time = p.one(&["-1", "0", "1", "2", "3"]);
        p.expiry(time)
    }),
    ("PEXPIRE", |p| {
        let time = (p.below(3_000) as i64 - 100).to_string();
        p.expiry(&time)
    }),
    ("EXPIREAT", |p| {
        let time = p.one(&["1", "@@-1", "@@0", "@@1", "@@2", "@@3"]);
        p.expiry(time)
    }),
    ("PEXPIREAT", |p| {
        let time = format!("@{}", p.below(3_000) as i64 - 100);
        p.expiry(&time)
    }),
    ("PERSIST", |p| p.key()),
    ("RENAME", |p| format!("{} {}", p.key(), p.key())),
    ("RENAMENX", |p| format!("{} {}", p.key(), p.key())),
    ("COPY", |p| {
        let target =
            if p.below(2) == 0 { String::new() } else { format!(" DB {}", p.below(DATABASES as u64)) };
        format!("{} {}{target}{}", p.key(), p.key(), p.one(&["", " REPLACE"]))
    }),
    ("MOVE", |p| format!("{} {}", p.key(), p.below(DATABASES as u64))),
    ("SWAPDB", |p| format!("{} {}", p.below(DATABASES as u64), p.below(DATABASES as u64))),
    ("FLUSHDB", |p| p.one(&["", "ASYNC", "SYNC"]).to_owned()),
    ("FLUSHALL", |p| p.one(&["", "ASYNC", "SYNC"]).to_owned()),
];
