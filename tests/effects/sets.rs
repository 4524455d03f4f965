//! Sets.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists.

use super::pick::{Draw, Pick};

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("SADD s a b 1", "="),
    ("SADD s a b", ""),
    ("SADD s a c", "="),
    ("SREM s x", ""),
    ("SREM s x c", "="),
    ("SADD t a", "="),
    ("SINTERSTORE d s t", "="),
    ("SUNIONSTORE d s t", "="),
    ("SDIFFSTORE d s t", "="),
    ("SDIFFSTORE d s s", "="),
    ("SDIFFSTORE d s s", ""),
    ("SINTERSTORE d s nothing", ""),
    ("SUNIONSTORE d nothing", ""),
    ("SMOVE s t x", ""),
    ("SMOVE s s a", ""),
    ("SMOVE s t a", "="),
    ("SMOVE s t 1", "="),
    ("SMOVE s u b", "="),
    ("SRANDMEMBER u", ""),
    ("SPOP u", "SREM u b"),
    ("SPOP u", ""),
    ("SPOP u 3", ""),
    ("SPOP t 0", ""),
    ("SPOP t 2", "UNLINK t"),
    ("CONFIG SET lazyfree-lazy-server-del no", ""),
    ("SADD t 5 6", "="),
    ("SPOP t 9", "DEL t"),
    ("SADD t 5 6", "="),
    ("SREM t 5 6 7", "="),
];

fn set(p: &mut Pick) -> String {
    p.key_of("s")
}

fn sets(p: &mut Pick) -> String {
    (0..=p.below(3)).map(|_| set(p)).collect::<Vec<_>>().join(" ")
}

fn members(p: &mut Pick) -> String {
    let count = if p.below(20) == 0 { 200 } else { 1 + p.below(6) };
    let wide = p.below(10) * 40 + 20;
    (0..count)
        .map(|_| if p.below(3) == 0 { p.value() } else { p.below(wide).to_string() })
        .collect::<Vec<_>>()
        .join(" ")
}

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[
    ("SADD", |p| format!("{} {}", set(p), members(p))),
    ("SREM", |p| format!("{} {}", set(p), members(p))),
    ("SMOVE", |p| format!("{} {} {}", set(p), set(p), p.value())),
    ("SPOP", |p| {
        let count = if p.below(2) == 0 { String::new() } else { format!(" {}", p.below(300)) };
        format!("{}{count}", set(p))
    }),
    ("SINTERSTORE", |p| format!("{} {}", set(p), sets(p))),
    ("SUNIONSTORE", |p| format!("{} {}", set(p), sets(p))),
    ("SDIFFSTORE", |p| format!("{} {}", set(p), sets(p))),
];
