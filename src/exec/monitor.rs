//! What monitors see of the commands that run.
//!
//! For: MONITOR. May touch: rows, the clock, monitors' mail.
//! Always: a line is sent while the locks of its command are held, so lines of commands on one key come in
//! the order in which they ran; secrets in arguments are replaced; administrative commands are left out.

use std::io::Write as _;

use super::notes;
use crate::client::Client;
use crate::command::table::Entry;
use crate::command::{Flags, Host};
use crate::resp::Args;

/// Commands that are not shown, or not where others are.
const HIDDEN: Flags = Flags::ADMIN.union(Flags::SKIP_MONITOR);

/// Shows a command that has run.
pub fn show(host: &Host, client: Option<&Client>, db: usize, entry: &Entry, args: &Args<'_>) {
    if !entry.row.flags.intersects(HIDDEN) {
        tell(host, client, db, entry, args);
    }
}

/// Shows a script that is about to run: its commands come behind it.
pub fn announce(host: &Host, client: &Client, db: usize, entry: &Entry, args: &Args<'_>) {
    if entry.row.flags.contains(Flags::SKIP_MONITOR) {
        tell(host, Some(client), db, entry, args);
    }
}

/// Sends the line of a command; without a client it is a script's.
#[cold]
fn tell(host: &Host, client: Option<&Client>, db: usize, entry: &Entry, args: &Args<'_>) {
    let now_us = host.space.clock.now_us();
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let mut line = Vec::new();
    let head = match client {
        None => write!(line, "+{seconds}.{micros:06} [{db} lua]"),
        Some(client) => match client.addr.ip() {
            Some(_) => write!(line, "+{seconds}.{micros:06} [{db} {}]", client.addr),
            None => write!(line, "+{seconds}.{micros:06} [{db} unix:{}]", client.laddr.path()),
        },
    };
    debug_assert!(head.is_ok(), "a vector takes all that is written to it");
    let secrets = notes::secrets(entry, args);
    for (at, arg) in args.iter().enumerate() {
        line.extend_from_slice(b" \"");
        quote(&mut line, if secrets.contains(&at) { notes::REDACTED } else { arg });
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    host.monitors.tell(&host.channels, line);
}

/// Writes an argument so that it stands in one line of printable characters.
fn quote(line: &mut Vec<u8>, arg: &[u8]) {
    for &byte in arg {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                line.extend_from_slice(b"\\x");
                line.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_into_one_line_of_printable_characters() {
        let mut line = Vec::new();
        quote(&mut line, b"a \"b\"\\\r\n\t\x07\x08\x00\xff~\x7f");
        assert_eq!(line, br#"a \"b\"\\\r\n\t\a\b\x00\xff~\x7f"#);
    }
}
