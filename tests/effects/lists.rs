//! Lists.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists.

use super::pick::{Draw, Pick};

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("LPUSHX l a", ""),
    ("RPUSHX l a", ""),
    ("RPUSH l a b c", "="),
    ("LPUSH l 1 2 3", "="),
    ("lpushx l 4", "="),
    ("RPUSHX l d", "="),
    ("LPOP l", "="),
    ("RPOP l 2", "="),
    ("LPOP l 0", ""),
    ("LPOP nothing 2", ""),
    ("LSET l 0 x", "="),
    ("LSET l 0 x", "="),
    ("LSET l 99 x", ""),
    ("LINSERT l BEFORE x y", "="),
    ("LINSERT l AFTER nothing y", ""),
    ("LREM l 0 nothing", ""),
    ("LREM l 0 y", "="),
    ("LTRIM l 0 -1", ""),
    ("LTRIM l 0 3", "="),
    ("LMOVE l m LEFT right", "="),
    ("LMOVE l l LEFT RIGHT", "="),
    ("LMOVE nothing l LEFT LEFT", ""),
    ("RPOPLPUSH m m", "="),
    ("RPOPLPUSH m l", "="),
    ("RPUSH l 5 6 7 8 9", "="),
    ("LMPOP 2 nothing l LEFT", "LPOP l 1"),
    ("LMPOP 1 l right COUNT 2", "RPOP l 2"),
    ("LMPOP 1 nothing LEFT", ""),
    ("BLPOP nothing l 0", "LPOP l"),
    ("BRPOP l 0", "RPOP l"),
    ("BLMOVE l m LEFT right 0", "LMOVE l m LEFT right"),
    ("BRPOPLPUSH l m 0", "RPOPLPUSH l m"),
    ("BLMPOP 0 2 nothing l LEFT COUNT 99", "LPOP l 2"),
    ("BLMPOP 0 1 m RIGHT", "RPOP m 1"),
    ("LPOP m 99", "="),
    ("RPUSH l 1 2 3 4 5", "="),
    ("LMOVEM l m LEFT right", "="),
    ("LMOVEM l m LEFT right COUNT 2 BULK", "="),
    ("LMOVEM l m LEFT LEFT EXACTLY 3 OBO", ""),
    ("LMOVEM nothing m LEFT LEFT", ""),
    ("BLMOVEM m l LEFT LEFT 0 COUNT 9 BULK", "LMOVEM m l LEFT LEFT EXACTLY 3 BULK"),
    ("BLMOVEM l m RIGHT LEFT 0 EXACTLY 2 OBO", "LMOVEM l m RIGHT LEFT EXACTLY 2 OBO"),
    ("BLMOVEM l m RIGHT LEFT 0", "LMOVEM l m RIGHT LEFT EXACTLY 1 OBO"),
];

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[
    ("LPUSH", |p| format!("{} {}", list(p), elements(p))),
    ("RPUSH", |p| format!("{} {}", list(p), elements(p))),
    ("LPUSHX", |p| format!("{} {}", list(p), elements(p))),
    ("RPUSHX", |p| format!("{} {}", list(p), elements(p))),
    ("LPOP", |p| format!("{}{}", list(p), p.one(&["", " 0", " 2", " 5"]))),
    ("RPOP", |p| format!("{}{}", list(p), p.one(&["", " 0", " 2", " 5"]))),
    ("LSET", |p| format!("{} {} {}", list(p), p.below(8) as i64 - 4, p.value())),
    ("LINSERT", |p| {
        let side = p.one(&["BEFORE", "AFTER"]);
        format!("{} {side} {} {}", list(p), p.value(), p.value())
    }),
    ("LREM", |p| format!("{} {} {}", list(p), p.below(5) as i64 - 2, p.value())),
    ("LTRIM", |p| format!("{} {} {}", list(p), p.below(4), -1 - p.below(4) as i64)),
    ("LMOVE", |p| format!("{} {} {} {}", list(p), list(p), side(p), side(p))),
    ("RPOPLPUSH", |p| format!("{} {}", list(p), list(p))),
    ("LMOVEM", |p| {
        let many = p.one(&["", " COUNT 3 OBO", " COUNT 9 BULK", " EXACTLY 2 OBO", " EXACTLY 3 BULK"]);
        format!("{} {} {} {}{many}", list(p), list(p), side(p), side(p))
    }),
    ("LMPOP", |p| {
        let count = p.one(&["", " COUNT 1", " COUNT 4"]);
        format!("2 {} {} {}{count}", list(p), list(p), side(p))
    }),
    // One that finds nothing would wait for ever, for time stands still between the slices. So these are
    // refused; the examples have what they do.
    ("BLPOP", |p| format!("{} never", list(p))),
    ("BRPOP", |p| format!("{} never", list(p))),
    ("BLMOVE", |p| format!("{} {} LEFT LEFT never", list(p), list(p))),
    ("BRPOPLPUSH", |p| format!("{} {} never", list(p), list(p))),
    ("BLMOVEM", |p| format!("{} {} LEFT LEFT never", list(p), list(p))),
    ("BLMPOP", |p| format!("never 1 {} LEFT", list(p))),
];

fn list(p: &mut Pick) -> String {
    p.key_of("l")
}

fn side(p: &mut Pick) -> &'static str {
    if p.below(2) == 0 { "LEFT" } else { "RIGHT" }
}

fn elements(p: &mut Pick) -> String {
    (0..=p.below(4)).map(|_| p.value()).collect::<Vec<_>>().join(" ")
}
