//! Sorting.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists.

use super::pick::Draw;

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("RPUSH l 3 1 2", "="),
    ("MSET w_1 9 w_2 8", "="),
    ("SORT l", ""),
    ("SORT l BY w_* GET #", ""),
    ("SORT l STORE d", "="),
    ("SORT l BY w_* GET # GET w_* STORE d", "="),
    ("SORT l LIMIT 9 9 STORE d", "="),
    ("SORT l LIMIT 9 9 STORE d", ""),
    ("SADD s b a", "="),
    ("SORT s STORE d", ""),
    ("SORT s BY nosort STORE d", "="),
    ("SORT s ALPHA STORE s", "="),
    ("SORT nothing STORE s", "="),
    ("DEL l d w_1 w_2", "="),
];

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[("SORT", |p| {
    let family = p.one(&["l", "s", "z", "k"]);
    let from = p.key_of(family);
    let by = p.one(&["", " BY k*", " BY nosort", " BY h*->f"]);
    let get = p.one(&["", " GET #", " GET k*", " GET k* GET #"]);
    let part = p.one(&["", " LIMIT 1 5", " DESC"]);
    format!("{from}{by}{part}{get} ALPHA STORE {}", p.key_of("l"))
})];
