//! Functions.
//!
//! For: the replay of effects. May touch: nothing.
//! Always: a change of the libraries is propagated as it came, a call as what its commands did.

use super::pick::{Draw, Pick};

const LIBRARY: &str = "FUNCTION LOAD #!lua\tname=l\nserver.register_function('f',function(k,a)\t\
    server.call('incr','n')\treturn\tserver.call('set',k[1],a[1])\tend)";

/// A line, and what becomes of it. Spaces within a library are tabs.
pub const EXAMPLES: &[(&str, &str)] = &[
    (LIBRARY, "="),
    (LIBRARY, ""),
    ("FUNCTION LOAD #!lua\tname=m\nx", ""),
    ("FCALL f 1 k v", "incr n; set k v"),
    ("FCALL_RO f 1 k v", ""),
    ("FCALL none 0", ""),
    ("FUNCTION LIST", ""),
    ("FUNCTION STATS", ""),
    ("FUNCTION DUMP", ""),
    ("FUNCTION DELETE none", ""),
    ("FUNCTION DELETE l", "="),
    ("FCALL f 1 k v", ""),
    ("FUNCTION FLUSH", "="),
    ("MULTI", ""),
    ("FUNCTION LOAD #!lua\tname=l\nserver.register_function('f',server.log)", ""),
    ("SET k w", ""),
    ("FUNCTION DELETE l", ""),
    (
        "EXEC",
        "FUNCTION LOAD #!lua\tname=l\nserver.register_function('f',server.log); SET k w; FUNCTION DELETE l",
    ),
];

/// How the arguments of the commands are drawn.
pub const DRAWN: &[(&str, Draw)] = &[("FUNCTION", libraries), ("FCALL", calls)];

fn libraries(pick: &mut Pick) -> String {
    match pick.below(8) {
        0 => "FLUSH".to_owned(),
        1 => "DELETE l".to_owned(),
        2 => LIBRARY.trim_start_matches("FUNCTION ").to_owned(),
        _ => LIBRARY.replace("FUNCTION LOAD", "LOAD REPLACE"),
    }
}

fn calls(pick: &mut Pick) -> String {
    format!("f 1 {} v", pick.key())
}
