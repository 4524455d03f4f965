//! Sorted sets.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists.

use super::pick::{Draw, Pick};

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("ZADD z 1 a 2 b 3 c", "="),
    ("ZADD z 1 a", ""),
    ("ZADD z CH 2 a 4 d", "="),
    ("ZADD z INCR 1 a", "="),
    ("ZADD z NX INCR 1 a", ""),
    ("ZADD z XX 9 nobody", ""),
    ("ZADD z GT 1 a", ""),
    ("ZINCRBY z 0 a", ""),
    ("ZINCRBY z 2.5 a", "="),
    ("ZINCRBY z nan a", ""),
    ("ZREM z a nobody", "="),
    ("ZREM z nobody", ""),
    ("ZPOPMIN z", "="),
    ("ZPOPMAX z 2", "="),
    ("ZPOPMAX z 2", ""),
    ("ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h", "="),
    ("ZPOPMIN z 0", ""),
    ("ZMPOP 2 nothing z MIN COUNT 2", "ZPOPMIN z 2"),
    ("ZMPOP 1 nothing MAX", ""),
    ("BZPOPMIN nothing z 1", "ZPOPMIN z"),
    ("BZPOPMAX z 1", "ZPOPMAX z"),
    ("BZMPOP 1 1 z MAX", "ZPOPMAX z 1"),
    ("ZREMRANGEBYRANK z 9 10", ""),
    ("ZREMRANGEBYRANK z 0 0", "="),
    ("ZREMRANGEBYSCORE z 5 5", "="),
    ("ZREMRANGEBYSCORE z 5 5", ""),
    ("ZREMRANGEBYLEX z [f [f", "="),
    ("ZREMRANGEBYLEX z [f [f", ""),
    ("ZADD z 1 a 2 b 3 c 4 d 5 e", "="),
    ("ZADD y 10 b 20 c", "="),
    ("ZRANGESTORE x z 1 2", "="),
    ("ZRANGESTORE x z 10 20", "="),
    ("ZRANGESTORE x z 10 20", ""),
    ("ZUNIONSTORE x 2 z y WEIGHTS 2 0.5", "="),
    ("ZINTERSTORE x 2 z y AGGREGATE MAX", "="),
    ("ZINTERSTORE x 2 z nothing", "="),
    ("ZINTERSTORE x 2 z nothing", ""),
    ("ZDIFFSTORE x 2 z y", "="),
    ("ZUNION 2 z y", ""),
    ("ZMPOP 1 x MIN COUNT 100", "ZPOPMIN x 3"),
    ("ZRANDMEMBER z", ""),
    ("DEL z y", "="),
];

/// For every write command, how its arguments are drawn; those that would wait are refused, as time stands
/// still.
pub const DRAWN: &[(&str, Draw)] = &[
    ("ZADD", |p| {
        let condition = p.one(&["", "", "", " NX", " XX", " GT", " LT", " CH", " XX CH"]);
        let pairs = (0..=p.below(4)).map(|_| format!(" {} {}", score(p), member(p))).collect::<String>();
        format!("{}{condition}{pairs}", set(p))
    }),
    ("ZINCRBY", |p| format!("{} {} {}", set(p), score(p), member(p))),
    ("ZREM", |p| format!("{} {} {}", set(p), member(p), member(p))),
    ("ZPOPMIN", |p| format!("{} {}", set(p), p.below(4))),
    ("ZPOPMAX", set),
    ("ZMPOP", |p| format!("2 {} {} {} COUNT {}", set(p), set(p), p.one(&["MIN", "MAX"]), p.below(5) + 1)),
    ("BZPOPMIN", |p| format!("{} {} never", set(p), set(p))),
    ("BZPOPMAX", |p| format!("{} never", set(p))),
    ("BZMPOP", |p| format!("never 1 {} {}", set(p), p.one(&["MIN", "MAX"]))),
    ("ZREMRANGEBYRANK", |p| format!("{} {} {}", set(p), p.below(5), p.below(10))),
    ("ZREMRANGEBYSCORE", |p| format!("{} {} {}", set(p), score(p), score(p))),
    ("ZREMRANGEBYLEX", |p| format!("{} [{} ({}", set(p), member(p), member(p))),
    ("ZRANGESTORE", |p| {
        let how = p.one(&["0 -1", "1 5 REV", "-inf 5 BYSCORE", "9 -9 BYSCORE REV LIMIT 1 3"]);
        format!("{} {} {how}", set(p), set(p))
    }),
    ("ZUNIONSTORE", |p| {
        let how = p.one(&["", " WEIGHTS 0.1 -2", " AGGREGATE MIN", " AGGREGATE COUNT"]);
        format!("{} 2 {} {}{how}", set(p), set(p), set(p))
    }),
    ("ZINTERSTORE", |p| {
        let how = p.one(&["", " WEIGHTS 1 inf", " AGGREGATE MAX"]);
        format!("{} 2 {} {}{how}", set(p), set(p), set(p))
    }),
    ("ZDIFFSTORE", |p| format!("{} 2 {} {}", set(p), set(p), set(p))),
];

fn set(p: &mut Pick) -> String {
    p.key_of("z")
}

fn score(p: &mut Pick) -> String {
    match p.below(8) {
        0 => p.one(&["inf", "-inf", "1e17", "-0", "0.1"]).to_owned(),
        1 => format!("{}.5", p.below(10)),
        _ => (p.below(20) as i64 - 10).to_string(),
    }
}

fn member(p: &mut Pick) -> String {
    if p.below(20) == 0 { "m".repeat(p.below(200) as usize) + "x" } else { format!("m{}", p.below(300)) }
}
