//! INFO.
//!
//! For: which sections are asked for, and how they are laid out; what stands in them is in the files
//! `info_*`. May touch: what `Cx` carries.
//! Always: a field has one owner, the function of its section; a field whose value is not known is left out.

use std::fmt::Display;
use std::io::Write as _;

use super::{info_data, info_memory, info_server, info_stats};
use crate::command::{Acl, Command, Cx, Flags, Group, Locks, Outcome, cmd};
use crate::fault::Fault;
use crate::resp::Args;

/// The rows of this family.
pub const ROWS: &[Command] = &[cmd("INFO", info)
    .arity(-1)
    .flags(Flags::LOADING.union(Flags::STALE))
    .locks(Locks::OneShardAtATime)
    .acl(Acl::DANGEROUS)
    .group(Group::Server)
    .since("1.0.0")
    .cost("O(1)")
    .history(&[("7.0.0", "Takes more than one section.")])
    .doc("Tells facts and figures about the server.", "[section ...]")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])];

/// When a section is shown that was not named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Always.
    ByDefault,
    /// With `all` and `everything`.
    WithAll,
    /// Never.
    WhenNamed,
}

/// A section of INFO.
struct Section {
    /// The word that asks for it.
    name: &'static str,
    /// Its headline.
    title: &'static str,
    shown: Shown,
    fill: fn(&mut Cx<'_>, &mut Text),
}

const fn section(
    name: &'static str,
    title: &'static str,
    shown: Shown,
    fill: fn(&mut Cx<'_>, &mut Text),
) -> Section {
    Section { name, title, shown, fill }
}

use Shown::{ByDefault, WhenNamed, WithAll};

/// Every section, in order.
const SECTIONS: &[Section] = &[
    section("server", "Server", ByDefault, info_server::server),
    section("tls", "TLS", WithAll, info_server::tls),
    section("clients", "Clients", ByDefault, info_server::clients),
    section("memory", "Memory", ByDefault, info_memory::memory),
    section("persistence", "Persistence", ByDefault, info_data::persistence),
    section("stats", "Stats", ByDefault, info_stats::stats),
    section("replication", "Replication", ByDefault, info_data::replication),
    section("cpu", "CPU", ByDefault, info_server::cpu),
    section("modules", "Modules", ByDefault, info_data::modules),
    section("commandstats", "Commandstats", WithAll, info_stats::commandstats),
    section("errorstats", "Errorstats", ByDefault, info_stats::errorstats),
    section("latencystats", "Latencystats", WithAll, info_stats::latencystats),
    section("cluster", "Cluster", ByDefault, info_data::cluster),
    section("scriptingengines", "Scripting Engines", WithAll, info_data::scripting_engines),
    section("keyspace", "Keyspace", ByDefault, info_data::keyspace),
    section("debug", "Debug", WhenNamed, info_stats::debug),
];

/// The text of INFO as it grows.
#[derive(Default)]
pub(super) struct Text(Vec<u8>);

impl Text {
    fn headline(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b"\r\n");
        }
        self.line(format_args!("# {title}"));
    }

    /// A field and its value.
    pub(super) fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:{value}"));
    }

    /// A field and its value, if it is known.
    pub(super) fn known(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// A number of bytes, and the same again in the form that people read, as `name_human`.
    pub(super) fn bytes(&mut self, name: &str, bytes: usize) {
        self.field(name, bytes);
        self.line(format_args!("{name}_human:{}", human(bytes)));
    }

    /// Fields that are 0 as long as there is nothing that they count.
    pub(super) fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.field(name, 0));
    }

    /// A whole line.
    pub(super) fn line(&mut self, line: impl Display) {
        let wrote = write!(self.0, "{line}\r\n");
        debug_assert!(wrote.is_ok(), "a vector takes everything");
    }
}

/// A text from a client or a configuration, without what would make another field or line of it.
pub(super) fn harmless(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(['#', ':', '\n', '\r'], "_")
}

/// Bytes as people read them: `1.50M`.
pub(super) fn human(bytes: usize) -> String {
    const UNITS: &str = "KMGTP";
    let mut scaled = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    for unit in UNITS.chars() {
        scaled /= 1024.0;
        if scaled < 1024.0 {
            return format!("{scaled:.2}{unit}");
        }
    }
    format!("{bytes}B")
}

fn info(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let wanted = |section: &Section| {
        let shown = section.shown;
        let by_word = |word: &[u8]| match () {
            () if word.eq_ignore_ascii_case(b"default") => shown == ByDefault,
            () if is_everything(word) => shown != WhenNamed,
            () => word.eq_ignore_ascii_case(section.name.as_bytes()),
        };
        if args.len() == 1 { shown == ByDefault } else { args.from(1).iter().any(by_word) }
    };
    let mut text = Text::default();
    for section in SECTIONS.iter().filter(|section| wanted(section)) {
        text.headline(section.title);
        (section.fill)(cx, &mut text);
    }
    cx.out.verbatim("txt", &text.0);
    Ok(Outcome::Done)
}

fn is_everything(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"all") || word.eq_ignore_ascii_case(b"everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_people_read_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_043_216, "1018.77K"),
            (25_276_502_016, "23.54G"),
            (usize::MAX, "18446744073709551615B"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn sections_are_parted_by_one_empty_line() {
        let mut text = Text::default();
        text.headline("One");
        text.zeros(&["a", "b"]);
        text.headline("Two");
        text.known("absent", None::<u8>);
        text.bytes("c", 2048);
        let lines = "# One\r\na:0\r\nb:0\r\n\r\n# Two\r\nc:2048\r\nc_human:2.00K\r\n";
        assert_eq!(text.0, lines.as_bytes());
    }

    #[test]
    fn a_text_of_a_client_cannot_make_a_field() {
        assert_eq!(harmless(b"x\r\nrole:slave#"), "x__role_slave_");
    }
}
