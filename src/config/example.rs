//! The example configuration file.
//! For: people who write their first one. May touch: the table.
//! Always: every directive of the table is in it, commented out, with its default.

use std::fmt::Write as _;

use super::table::{Flags, Kind, TABLE};

const HEAD: &str = "\
# Ochre configuration: every directive, commented out, with its default.
#
# A line is a name and its values. Values with blanks are put in quotes: \"...\" with \\n, \\xHH and the like,
# or '...'. Sizes may have a unit: 1k is 1000 bytes, 1kb is 1024, and so m, mb, g, gb. Later lines win.
# The same directives are options of the command line: --port 7777 --maxmemory 1gb
";

/// The text of redis.conf.example.
pub fn example() -> String {
    let mut out = HEAD.to_owned();
    let mut section = "";
    for row in TABLE {
        if row.section != section {
            section = row.section;
            // Writing to a String cannot fail.
            let _ = write!(out, "\n\n## {section}\n");
        }
        let _ = write!(out, "\n# {}", row.doc);
        if let [alias] = row.aliases {
            let _ = write!(out, " Also called {alias}.");
        }
        if let Kind::Choice(list) = row.kind {
            let _ = write!(out, " One of: {}.", list.join(", "));
        }
        if let Kind::Bits(list) = row.kind {
            let _ = write!(out, " Any of: {}.", list.join(", "));
        }
        if row.flags.contains(Flags::NO_EFFECT) {
            let _ = write!(out, " (no effect)");
        }
        let value = match row.kind {
            Kind::Statement(..) | Kind::Retired => "...",
            _ if row.default.is_empty() => "\"\"",
            _ => row.default,
        };
        let _ = writeln!(out, "\n# {} {value}", row.name);
    }
    out
}
