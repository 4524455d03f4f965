//! Hashes.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists.

use super::pick::{Draw, Pick};

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("HSET h a 1 b 2 a 3", "="),
    ("hset h a 1", "="),
    ("HMSET h c 3", "="),
    ("HSETNX h a 5", ""),
    ("HSETNX h d 5", "="),
    ("HINCRBY h a 5", "="),
    ("HINCRBYFLOAT h a 0.5", "HSET h a 6.5"),
    ("HINCRBYFLOAT h new 1e2", "HSET h new 100"),
    ("HDEL h nothing", ""),
    ("HDEL h new nothing", "="),
    ("HGETDEL h FIELDS 1 nothing", ""),
    ("HGETDEL h FIELDS 2 d d", "="),
    ("HEXPIRE h 10 FIELDS 1 nothing", ""),
    ("HEXPIRE h 10 XX FIELDS 1 a", ""),
    ("HEXPIRE h 10 FIELDS 2 a nothing", "HPEXPIREAT h @10000 FIELDS 2 a nothing"),
    ("HPEXPIRE h 20 gt fields 2 a b", ""),
    ("HPEXPIRE h 20000 gt fields 2 a b", "HPEXPIREAT h @20000 gt fields 2 a b"),
    ("HEXPIREAT h @@5 LT FIELDS 1 a", "HPEXPIREAT h @5000 LT FIELDS 1 a"),
    ("hpexpireat h @6000 FIELDS 1 a", "="),
    ("HSETNX h d 5", "HSET h d 5"),
    ("HINCRBY h d 5", "HSET h d 10"),
    ("HINCRBYFLOAT h d 1.5", "HSET h d 11.5"),
    ("HSET h a 1", "="),
    ("HEXPIREAT h @@5 FIELDS 1 a", "HPEXPIREAT h @5000 FIELDS 1 a"),
    ("HINCRBY h a 5", "HSETEX h PXAT @5000 FIELDS 1 a 6"),
    ("HINCRBYFLOAT h a 1.5", "HSETEX h PXAT @5000 FIELDS 1 a 7.5"),
    ("HPERSIST h FIELDS 2 b c", ""),
    ("HPERSIST h FIELDS 2 a b", "="),
    ("HGETEX h FIELDS 1 a", ""),
    ("HGETEX h EX 10 FIELDS 3 a nothing b", "HPEXPIREAT h @10000 FIELDS 2 a b"),
    ("HGETEX h PX 10 FIELDS 1 a", "HPEXPIREAT h @10 FIELDS 1 a"),
    ("HGETEX h PERSIST FIELDS 3 a b c", "HPERSIST h FIELDS 2 a b"),
    ("HGETEX h PERSIST FIELDS 3 a b c", ""),
    ("HGETEX h PXAT 1 FIELDS 3 a nothing a", "HDEL h a"),
    ("HPEXPIRE h 0 FIELDS 2 nothing c", "HDEL h c"),
    ("HSETEX h FIELDS 1 a 1", "="),
    ("HSETEX h EX 10 FIELDS 2 a 1 b 2", "HSETEX h PXAT @10000 FIELDS 2 a 1 b 2"),
    ("HSETEX h PXAT @7 FIELDS 1 a 1", "="),
    ("HSETEX h KEEPTTL FIELDS 1 a 2", "="),
    ("HSETEX h XX FXX KEEPTTL FIELDS 1 a 2", "HSETEX h KEEPTTL FIELDS 1 a 2"),
    ("HSETEX h FXX PX 9 FIELDS 1 a 2", "HSETEX h PXAT @9 FIELDS 1 a 2"),
    ("HSETEX h FNX FIELDS 1 a 2", ""),
    ("HSETEX h FNX FIELDS 1 e 2", "HSETEX h FIELDS 1 e 2"),
    ("HSETEX h NX FIELDS 1 a 2", ""),
    ("HSETEX h EX 0 FIELDS 2 a 1 nothing 2", "HDEL h a"),
    ("HSETEX h EX 0 FIELDS 1 nothing 2", ""),
    ("HSETEX new EX 0 FIELDS 1 nothing 2", ""),
    ("DEL h", "="),
    ("HIMPORT PREPARE u a b", ""),
    ("HIMPORT SET h u 1 2", "HSET h a 1 b 2"),
    ("HIMPORT SET h u 3 4", "DEL h; HSET h a 3 b 4"),
    ("HIMPORT SET h u 3", ""),
    ("HIMPORT DISCARDALL", ""),
];

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[
    ("HSET", |p| format!("{} {}", p.key_of("h"), pairs(p).1)),
    ("HMSET", |p| format!("{} {}", p.key_of("h"), pairs(p).1)),
    ("HSETNX", |p| format!("{} {} {}", p.key_of("h"), field(p), p.value())),
    ("HIMPORT", |p| match p.below(2) {
        0 => format!("PREPARE u {} other", field(p)),
        _ => format!("SET {} u {} {}", p.key_of("h"), p.value(), p.value()),
    }),
    ("HINCRBY", |p| format!("{} {} {}", p.key_of("h"), field(p), p.below(9))),
    ("HINCRBYFLOAT", |p| format!("{} {} 0.{}", p.key_of("h"), field(p), p.below(99))),
    ("HDEL", |p| format!("{} {}", p.key_of("h"), fields(p).1)),
    ("HGETDEL", |p| format!("{} {}", p.key_of("h"), counted(p))),
    ("HPERSIST", |p| format!("{} {}", p.key_of("h"), counted(p))),
    ("HEXPIRE", |p| {
        let seconds = p.below(4).to_string();
        sets(p, &seconds)
    }),
    ("HPEXPIRE", |p| {
        let millis = p.below(3_000).to_string();
        sets(p, &millis)
    }),
    ("HEXPIREAT", |p| {
        let seconds = format!("@@{}", p.below(5));
        sets(p, &seconds)
    }),
    ("HPEXPIREAT", |p| {
        let millis = if p.below(8) == 0 { "1".to_owned() } else { format!("@{}", p.below(3_000)) };
        sets(p, &millis)
    }),
    ("HGETEX", |p| {
        let lifetime = if p.below(4) == 0 { " PERSIST".to_owned() } else { p.lifetime() };
        format!("{}{lifetime} {}", p.key_of("h"), counted(p))
    }),
    ("HSETEX", |p| {
        let lifetime = if p.below(4) == 0 { " KEEPTTL".to_owned() } else { p.lifetime() };
        let condition = p.one(&["", "", "", " FNX", " FXX", " NX", " XX"]);
        let key = p.key_of("h");
        let (count, pairs) = pairs(p);
        format!("{key}{condition}{lifetime} FIELDS {count} {pairs}")
    }),
];

fn field(p: &mut Pick) -> String {
    format!("f{}", p.below(8))
}

fn fields(p: &mut Pick) -> (u64, String) {
    let count = p.below(3) + 1;
    (count, (0..count).map(|_| field(p)).collect::<Vec<_>>().join(" "))
}

fn counted(p: &mut Pick) -> String {
    let (count, fields) = fields(p);
    format!("FIELDS {count} {fields}")
}

fn pairs(p: &mut Pick) -> (u64, String) {
    let count = p.below(4) + 1;
    let pairs = (0..count).map(|_| format!("{} {}", field(p), p.value()));
    (count, pairs.collect::<Vec<_>>().join(" "))
}

fn sets(p: &mut Pick, time: &str) -> String {
    let condition = p.one(&["", "", "", " NX", " XX", " GT", " LT", " XX GT", " lt"]);
    format!("{} {time}{condition} {}", p.key_of("h"), counted(p))
}
