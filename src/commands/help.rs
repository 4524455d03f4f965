//! The HELP subcommand of containers.
//!
//! For: one shape for all of them. May touch: the reply.
//! Always: an array of status lines, the container's usage first, HELP itself last.

use crate::resp::Out;

/// Writes the help of a container; `lines` are usages, each followed by indented lines about it.
pub fn write_help(out: &mut Out, container: &str, lines: &[&str]) {
    out.array(lines.len() + 3);
    out.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| out.simple(line));
    out.simple("HELP");
    out.simple("    Prints this help.");
}
