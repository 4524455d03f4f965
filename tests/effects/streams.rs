//! Streams.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists. What is drawn delivers without keeping
//! deliveries, or at times long past: a follower's clock stands still, and claims no time that is to come.

use super::pick::{Draw, Pick};

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("XADD x 1-1 a 1", "="),
    ("XADD x 1-* a 1 b 2", "XADD x 1-2 a 1 b 2"),
    ("XADD x 1-1 a 1", ""),
    ("XADD y NOMKSTREAM 1-1 a 1", ""),
    ("XADD x NOMKSTREAM MAXLEN ~ 100 LIMIT 5 2 c 3", "XADD x NOMKSTREAM MAXLEN = 3 2-0 c 3"),
    ("xadd x maxlen 2 3-* c 3", "xadd x maxlen 2 3-0 c 3"),
    ("XADD x MINID ~ 3 4-1 c 3", "XADD x MINID = 2-0 4-1 c 3"),
    ("XTRIM x MAXLEN ~ 1", ""),
    ("XTRIM x MINID = 3", "="),
    ("XADD y 1-1 a 1", "="),
    ("XTRIM y MAXLEN ~ 0 LIMIT 0", "XTRIM y MAXLEN = 0"),
    ("XADD y 2-1 a 1", "="),
    ("XADD y MINID ~ 9 3-1 a 1", "XADD y MINID = 18446744073709551615-18446744073709551615 3-1 a 1"),
    ("XSETID y 9-9", "="),
    ("XSETID y 9-9 ENTRIESADDED 7 MAXDELETEDID 2-2", "="),
    ("XSETID y 1-1", ""),
    ("XGROUP CREATE x g 0", "="),
    ("XGROUP CREATE x g 0", ""),
    ("XGROUP CREATE z g $ MKSTREAM ENTRIESREAD 3", "="),
    ("XGROUP SETID z g 5 ENTRIESREAD 2", "="),
    ("XGROUP CREATECONSUMER z g c", "="),
    ("XGROUP CREATECONSUMER z g c", ""),
    ("XGROUP DELCONSUMER z g c", "="),
    ("XGROUP DELCONSUMER z g c", ""),
    (
        "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
        "XCLAIM x g c 0 3-0 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 3-0; XGROUP SETID x g 3-0 ENTRIESREAD 4",
    ),
    ("XREADGROUP GROUP g c STREAMS x 0-0", ""),
    (
        "XCLAIM x g c 0 3-0 JUSTID RETRYCOUNT 1",
        "XCLAIM x g c 0 3-0 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 3-0",
    ),
    (
        "XREADGROUP GROUP g d NOACK STREAMS z x > >",
        "XGROUP CREATECONSUMER z g d; XGROUP CREATECONSUMER x g d; XGROUP SETID x g 4-1 ENTRIESREAD 5",
    ),
    ("XREADGROUP GROUP g d STREAMS x >", ""),
    ("XREADGROUP GROUP g e STREAMS x >", "XGROUP CREATECONSUMER x g e"),
    ("XCLAIM x g f 0 4-1", "XGROUP CREATECONSUMER x g f"),
    ("XCLAIM x g f 0 4-1 FORCE", "XCLAIM x g f 0 4-1 TIME @0 RETRYCOUNT 2 FORCE JUSTID LASTID 4-1"),
    (
        "XCLAIM x g f 0 4-1 IDLE 7 RETRYCOUNT 5 LASTID 8-8",
        "XCLAIM x g f 0 4-1 TIME @-7 RETRYCOUNT 5 FORCE JUSTID LASTID 8-8",
    ),
    ("XCLAIM x g f 8 4-1", ""),
    ("XCLAIM x g f 0 9-9 LASTID 8-9", "XGROUP SETID x g 8-9 ENTRIESREAD 5"),
    ("XDEL x 3-0 9-9", "="),
    ("XDEL x 3-0", ""),
    (
        "XAUTOCLAIM x g h 0 0 JUSTID",
        "XCLAIM x g h 0 4-1 TIME @0 RETRYCOUNT 5 FORCE JUSTID LASTID 8-9; \
         XCLAIM x g c 0 3-0 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 8-9",
    ),
    ("XAUTOCLAIM x g i 5 0", "XGROUP CREATECONSUMER x g i"),
    (
        "XREADGROUP GROUP g i CLAIM 0 STREAMS x >",
        "XCLAIM x g i 0 4-1 TIME @0 RETRYCOUNT 6 FORCE JUSTID LASTID 8-9",
    ),
    ("XACK x g 4-1 3-0", "="),
    ("XACK x g 4-1", ""),
    ("XDELEX x ACKED IDS 2 4-1 5-1", "="),
    ("XDELEX x IDS 1 4-1", ""),
    ("XADD x 9-1 a 1", "="),
    (
        "XREADGROUP GROUP g c STREAMS x >",
        "XCLAIM x g c 0 9-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 9-1; XGROUP SETID x g 9-1 ENTRIESREAD 6",
    ),
    ("XACKDEL x g DELREF IDS 1 9-1", "="),
    ("XACKDEL x g IDS 1 9-1", ""),
    ("XADD x 10-1 a 1", "="),
    ("XNACK x g FAIL IDS 1 10-1", ""),
    ("XNACK x g FAIL IDS 1 10-1 FORCE", "="),
    ("XNACK x g FATAL IDS 2 10-1 11-1", "="),
    ("XIDMPRECORD x p i 10-1", "="),
    ("XIDMPRECORD x p i 10-1", ""),
    ("XADD x IDMP p i * a 1", ""),
    ("XCFGSET x IDMP-DURATION 100", ""),
    ("XCFGSET x IDMP-DURATION 7 IDMP-MAXSIZE 8", "="),
    ("XDEL x 10-1", "="),
    ("XCLAIM x g c 0 10-1", "XACK x g 10-1"),
    ("XGROUP DESTROY x g", "="),
    ("XGROUP DESTROY x g", ""),
    ("XADD v 1-1 a 1", "="),
    ("XADD w 1-1 a 1", "="),
    ("XADD w 2-1 a 1", "="),
    ("XGROUP CREATE v g 0", "="),
    ("XGROUP CREATE w g 0", "="),
    (
        "XREADGROUP GROUP g c MAXCOUNT 1 STREAMS w v > >",
        "XCLAIM w g c 0 1-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1; XGROUP SETID w g 1-1 ENTRIESREAD 1",
    ),
    ("XREADGROUP GROUP g c MAXSIZE 1 NOACK STREAMS w v > >", "XGROUP SETID w g 2-1 ENTRIESREAD 2"),
    (
        "XREADGROUP GROUP g d MAXSIZE 1 CLAIM 0 STREAMS v w > >",
        "XCLAIM v g d 0 1-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1; XGROUP SETID v g 1-1 ENTRIESREAD 1",
    ),
    (
        "XREADGROUP GROUP g e MAXCOUNT 1 CLAIM 0 STREAMS v w > >",
        "XCLAIM v g e 0 1-1 TIME @0 RETRYCOUNT 2 FORCE JUSTID LASTID 1-1",
    ),
    ("DEL v w x y z", "="),
];

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[
    ("XADD", |p| {
        let trim = if p.below(3) == 0 { format!("{} ", trim(p)) } else { String::new() };
        let id = match p.below(3) {
            0 => "*".to_owned(),
            1 => format!("{}-*", p.below(2_000)),
            _ => id(p),
        };
        let fields = p.one(&["a 1", "a foo", "a 1 b 2", "b -70000"]);
        format!("{}{} {trim}{id} {fields}", stream(p), p.one(&["", "", " NOMKSTREAM"]))
    }),
    ("XADD", |p| format!("{} * a {}", stream(p), p.below(300))),
    ("XADD", |p| {
        let message = p.one(&["IDMP p i", "IDMP q i", "IDMP p j", "IDMPAUTO p", "IDMPAUTO q MAXLEN = 0"]);
        format!("{} {message} * a {}", stream(p), p.below(3))
    }),
    ("XCFGSET", |p| format!("{} IDMP-MAXSIZE {}", stream(p), p.below(3) + 1)),
    ("XIDMPRECORD", |p| format!("{} p i {}", stream(p), id(p))),
    ("XNACK", |p| {
        let mode = p.one(&["SILENT", "FAIL FORCE", "FATAL", "FAIL RETRYCOUNT 3 FORCE"]);
        format!("{} {} {mode} IDS 1 {}", stream(p), group(p), id(p))
    }),
    ("XTRIM", |p| format!("{} {}", stream(p), trim(p))),
    ("XDEL", |p| format!("{} {}", stream(p), ids(p))),
    ("XDELEX", |p| format!("{}{} IDS 1 {}", stream(p), p.one(&["", " DELREF", " ACKED"]), id(p))),
    ("XACKDEL", |p| {
        format!("{} {}{} IDS 1 {}", stream(p), group(p), p.one(&["", " DELREF", " ACKED"]), id(p))
    }),
    ("XSETID", |p| format!("{} {}", stream(p), id(p))),
    ("XGROUP", |p| match p.below(8) {
        0 => format!("DESTROY {} {}", stream(p), group(p)),
        1 => format!("SETID {} {} {}", stream(p), group(p), p.one(&["$", "0", "1000"])),
        2 => format!("CREATECONSUMER {} {} {}", stream(p), group(p), consumer(p)),
        3 => format!("DELCONSUMER {} {} {}", stream(p), group(p), consumer(p)),
        _ => format!("CREATE {} {} {} MKSTREAM", stream(p), group(p), p.one(&["$", "0", "1000"])),
    }),
    ("XREADGROUP", |p| {
        let (group, consumer) = (group(p), consumer(p));
        format!("GROUP {group} {consumer} COUNT {} NOACK STREAMS {} >", p.below(4) + 1, stream(p))
    }),
    ("XACK", |p| format!("{} {} {}", stream(p), group(p), ids(p))),
    ("XCLAIM", |p| {
        let place = format!("{} {} {}", stream(p), group(p), consumer(p));
        let options = p.one(&["", " JUSTID", " RETRYCOUNT 9", " LASTID 1500-3"]);
        format!("{place} {} {} FORCE TIME 100{options}", p.below(2), ids(p))
    }),
    ("XAUTOCLAIM", |p| format!("{} {} {} 9999999999999 0", stream(p), group(p), consumer(p))),
];

fn stream(p: &mut Pick) -> String {
    p.key_of("x")
}

fn group(p: &mut Pick) -> &'static str {
    p.one(&["g", "h"])
}

fn consumer(p: &mut Pick) -> &'static str {
    p.one(&["c", "d", "e"])
}

fn id(p: &mut Pick) -> String {
    format!("{}-{}", p.below(2_000), p.below(4))
}

fn ids(p: &mut Pick) -> String {
    (0..=p.below(20)).map(|_| id(p)).collect::<Vec<_>>().join(" ")
}

fn trim(p: &mut Pick) -> String {
    let sign = p.one(&["~", "="]);
    match p.below(2) {
        0 => format!("MAXLEN {sign} {}", p.below(10)),
        _ => format!("MINID {sign} {}", id(p)),
    }
}
