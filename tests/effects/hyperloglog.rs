//! HyperLogLogs.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists, and PFCOUNT, which writes down what it counts.

use super::pick::{Draw, Pick};

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("PFADD p a b c", "="),
    ("PFADD p a b c", ""),
    ("PFADD p", ""),
    ("PFADD q", "="),
    ("PFCOUNT p", "="),
    ("PFCOUNT p", ""),
    ("PFCOUNT p q", ""),
    ("PFMERGE r p q", "="),
    ("PFMERGE r", "="),
    ("PFDEBUG ENCODING p", ""),
    ("PFDEBUG GETREG p", "="),
    ("PFDEBUG TODENSE p", ""),
    ("PFDEBUG TODENSE q", "="),
    ("DEL p q r", "="),
];

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[
    ("PFADD", |p| {
        let elements = (0..p.below(5)).map(|_| format!(" {}", p.below(300))).collect::<String>();
        format!("{}{elements}", estimate(p))
    }),
    ("PFCOUNT", estimate),
    ("PFMERGE", |p| format!("{} {} {}", estimate(p), estimate(p), estimate(p))),
    ("PFDEBUG", |p| format!("{} {}", p.one(&["TODENSE", "GETREG", "ENCODING"]), estimate(p))),
];

fn estimate(p: &mut Pick) -> String {
    p.key_of("p")
}
