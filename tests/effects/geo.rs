//! Places in sorted sets.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: every write command of the family is in both lists.

use super::pick::{Draw, Pick};

/// For every write command: a line with a form of its own, and what becomes of it.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("GEOADD g 1 1 a 2 2 b", "ZADD g 3377822707026402 a 3378191666521995 b"),
    ("GEOADD g 1 1 a", ""),
    ("GEOADD g xx ch 3 3 a 3 3 c", "ZADD g xx ch 3379368329318596 a 3379368329318596 c"),
    ("GEOADD g NX 9 9 a", ""),
    ("GEOADD g 1 1000 a", ""),
    ("GEOSEARCH g FROMLONLAT 2 2 BYRADIUS 1000 km", ""),
    ("GEOSEARCHSTORE h g FROMLONLAT 2 2 BYRADIUS 1000 km", "="),
    ("GEOSEARCHSTORE h g FROMLONLAT 2 2 BYRADIUS 1000 km STOREDIST COUNT 1", "="),
    ("GEOSEARCHSTORE h g FROMLONLAT 50 50 BYRADIUS 1 km", "="),
    ("GEOSEARCHSTORE h g FROMLONLAT 50 50 BYRADIUS 1 km", ""),
    ("GEORADIUS g 2 2 1000 km", ""),
    ("GEORADIUS g 2 2 1000 km STORE h", "="),
    ("GEORADIUS g 50 50 1 km STOREDIST h", "="),
    ("GEORADIUSBYMEMBER g a 1000 km STOREDIST h", "="),
    ("GEORADIUSBYMEMBER nothing a 1000 km STORE h", "="),
    ("GEORADIUSBYMEMBER nothing a 1000 km STORE h", ""),
    ("DEL g", "="),
];

/// For every write command, how its arguments are drawn.
pub const DRAWN: &[(&str, Draw)] = &[
    ("GEOADD", |p| {
        let places = (0..=p.below(4)).map(|_| format!(" {} m{}", place(p), p.below(20))).collect::<String>();
        format!("{}{}{places}", map(p), p.one(&["", "", " NX", " XX", " CH"]))
    }),
    ("GEOSEARCHSTORE", |p| {
        let (to, from) = (map(p), map(p));
        let form = p.one(&["BYRADIUS 300 km", "BYBOX 400 200 mi", "BYRADIUS 1 m"]);
        let rest = p.one(&["", " STOREDIST", " COUNT 2", " COUNT 2 ANY", " DESC COUNT 3"]);
        format!("{to} {from} FROMLONLAT {} {form}{rest}", place(p))
    }),
    ("GEORADIUS", |p| {
        let (from, to) = (map(p), map(p));
        format!("{from} {} 300 km {} {to}", place(p), p.one(&["STORE", "STOREDIST"]))
    }),
    ("GEORADIUSBYMEMBER", |p| {
        let (from, to) = (map(p), map(p));
        format!("{from} m{} 300 km {} {to}", p.below(20), p.one(&["STORE", "STOREDIST"]))
    }),
];

fn map(p: &mut Pick) -> String {
    p.key_of("g")
}

/// A longitude and a latitude.
fn place(p: &mut Pick) -> String {
    format!("{}.{} {}", p.below(4), p.below(100), p.below(3))
}
