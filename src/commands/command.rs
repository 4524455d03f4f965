//! COMMAND: what the server says about its commands.
//!
//! For: rows as clients see them. May touch: the command table; never the keyspace.
//! Always: everything is read from the rows; the order is the table's, a container before its subcommands.

use super::command_docs::{docs, write_map};
use super::command_keys::{getkeys, getkeysandflags};
use super::help::write_help;
use crate::command::keys::{Find, KeyFlags, KeySpec, STREAMS};
use crate::command::{Acl, Command, Cursor, Cx, Entry, Flags, Group, Outcome, Table, cmd};
use crate::fault::Fault;
use crate::resp::{Args, Out};
use crate::value::glob;

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

/// The rows of this file.
pub const ROWS: &[Command] = &[Command {
    subs: SUBS,
    ..cmd("COMMAND", command)
        .arity(-1)
        .flags(ANY_TIME)
        .acl(Acl::CONNECTION)
        .group(Group::Server)
        .since("2.8.13")
        .cost("O(N), N commands.")
        .doc("Tells the facts of every command.", "")
        .tips(ANY_ORDER)
}];

const SUBS: &[Command] = &[
    sub("COUNT", count, 2, "2.8.13").doc("Answers the number of commands.", ""),
    sub("DOCS", docs, -2, "7.0.0")
        .cost("O(N), N commands looked up.")
        .doc("Tells what commands are for and which arguments they take.", "[command-name ...]")
        .tips(ANY_ORDER),
    sub("GETKEYS", getkeys, -3, "2.8.13")
        .cost("O(N), N arguments of the request.")
        .doc("Answers the keys of a request.", "command [arg ...]"),
    sub("GETKEYSANDFLAGS", getkeysandflags, -3, "7.0.0")
        .cost("O(N), N arguments of the request.")
        .doc("Answers the keys of a request with what it does to each.", "command [arg ...]"),
    sub("HELP", help, 2, "5.0.0").doc("Describes the subcommands.", ""),
    sub("INFO", info, -2, "2.8.13")
        .cost("O(N), N commands looked up.")
        .history(&[("7.0.0", "Tells of all commands when none is named.")])
        .doc("Tells the facts of some commands, or of all.", "[command-name ...]")
        .tips(ANY_ORDER),
    sub("LIST", list, -2, "7.0.0")
        .cost("O(N), N commands.")
        .doc(
            "Answers the names of all commands, or of those that a filter lets through.",
            "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        )
        .tips(ANY_ORDER),
];

const fn sub(
    name: &'static str,
    handler: crate::command::Handler,
    arity: i16,
    since: &'static str,
) -> Command {
    cmd(name, handler).arity(arity).flags(ANY_TIME).acl(Acl::CONNECTION).group(Group::Server).since(since)
}

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Tell the facts of every command.",
    "COUNT",
    "    Answer the number of commands.",
    "LIST [FILTERBY <MODULE name | ACLCAT category | PATTERN pattern>]",
    "    Answer the names of all commands, or of those that pass the filter.",
    "INFO [<command-name> ...]",
    "    Tell the facts of these commands; of all when none is named.",
    "DOCS [<command-name> ...]",
    "    Tell purpose and arguments of these commands; of all when none is named.",
    "GETKEYS <full-command>",
    "    Answer the keys of a request.",
    "GETKEYSANDFLAGS <full-command>",
    "    Answer the keys of a request, each with what is done to it.",
];

fn command(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    every(&cx.host.table, cx.out);
    Ok(Outcome::Done)
}

fn count(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.int(cx.host.table.top().count() as i64);
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "COMMAND", HELP);
    Ok(Outcome::Done)
}

fn info(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let table = &cx.host.table;
    if args.len() == 2 {
        every(table, cx.out);
        return Ok(Outcome::Done);
    }
    cx.out.array(args.len() - 2);
    for name in args.from(2).iter() {
        match table.find_full(name) {
            Some(entry) => write_entry(table, entry, cx.out),
            None => cx.out.null(),
        }
    }
    Ok(Outcome::Done)
}

/// COMMAND LIST's filter.
enum Filter<'a> {
    None,
    Module,
    Category(Option<Acl>),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>) -> Result<Filter<'a>, Fault> {
        let mut cursor = Cursor::new(args, 2);
        if cursor.is_end() {
            return Ok(Filter::None);
        }
        if !cursor.word("FILTERBY") {
            return Err(Fault::SYNTAX);
        }
        let filter = if cursor.word("MODULE") {
            cursor.need()?;
            Filter::Module
        } else if cursor.word("ACLCAT") {
            Filter::Category(category(cursor.need()?))
        } else if cursor.word("PATTERN") {
            Filter::Pattern(cursor.need()?)
        } else {
            return Err(Fault::SYNTAX);
        };
        cursor.end()?;
        Ok(filter)
    }

    fn passes(&self, entry: &Entry) -> bool {
        match self {
            Filter::None => true,
            // There are no modules, so no command is from one.
            Filter::Module => false,
            Filter::Category(category) => category.is_some_and(|c| entry.row.categories().contains(c)),
            Filter::Pattern(pattern) => glob::matches(pattern, entry.full_name.as_bytes(), true),
        }
    }
}

/// The category of that name, which has no `@` here.
fn category(name: &[u8]) -> Option<Acl> {
    let named = |full: &str| full.as_bytes()[1..].eq_ignore_ascii_case(name);
    Acl::NAMES.iter().find(|(_, full)| named(full)).map(|(category, _)| *category)
}

fn list(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let filter = Filter::parse(args)?;
    let table = &cx.host.table;
    let (deferred, mut listed) = (cx.out.deferred_array(), 0);
    for entry in table.top().flat_map(|top| std::iter::once(top).chain(table.subs(top))) {
        if filter.passes(entry) {
            cx.out.bulk(entry.full_name.as_bytes());
            listed += 1;
        }
    }
    cx.out.finish(deferred, listed);
    Ok(Outcome::Done)
}

fn every(table: &Table, out: &mut Out) {
    out.array(table.top().count());
    table.top().for_each(|entry| write_entry(table, entry, out));
}

/// The ten elements of COMMAND INFO.
fn write_entry(table: &Table, entry: &Entry, out: &mut Out) {
    let row = entry.row;
    out.array(10);
    out.bulk(entry.full_name.as_bytes());
    out.int(row.arity.into());
    words(out, Flags::SHOWN.iter().filter(|(flag, _)| row.flags.contains(*flag)).map(|(_, name)| *name));
    let (first, last, step) = first_last_step(row.keys);
    [first, last, step].into_iter().for_each(|number| out.int(number.into()));
    let acl = row.categories();
    words(out, Acl::NAMES.iter().filter(|(category, _)| acl.contains(*category)).map(|(_, name)| *name));
    out.set(row.tips.len());
    row.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(row.keys.len());
    row.keys.iter().for_each(|spec| write_spec(spec, out));
    let subs = table.subs(entry);
    out.array(subs.len());
    subs.iter().for_each(|sub| write_entry(table, sub, out));
}

/// A set of status lines.
pub(super) fn words<'a>(out: &mut Out, words: impl Iterator<Item = &'a str> + Clone) {
    out.set(words.clone().count());
    words.for_each(|word| out.simple(word));
}

/// The names of a specification's flags.
pub(super) fn flag_words(flags: KeyFlags) -> impl Iterator<Item = &'static str> + Clone {
    KeyFlags::NAMES.iter().filter(move |(flag, _)| flags.contains(*flag)).map(|(_, name)| *name)
}

fn write_spec(spec: &KeySpec, out: &mut Out) {
    out.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        out.bulk(b"notes");
        out.bulk(spec.notes.as_bytes());
    }
    out.bulk(b"flags");
    words(out, flag_words(spec.flags));
    out.bulk(b"begin_search");
    match spec.find {
        Find::Range { .. } | Find::Count { .. } => write_search(out, "index", &[("index", spec.begin)]),
        Find::Behind { word, .. } => write_keyword(out, word, spec.begin),
        Find::Streams => write_keyword(out, STREAMS, spec.begin),
        Find::LastBehind { .. } | Find::Derived { .. } => write_search(out, "unknown", &[]),
    }
    out.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step } => {
            write_search(out, "range", &[("lastkey", last), ("keystep", step), ("limit", 0)]);
        }
        Find::Count { at, first, step } => {
            write_search(out, "keynum", &[("keynumidx", at), ("firstkey", first), ("keystep", step)]);
        }
        Find::Behind { .. } => {
            write_search(out, "range", &[("lastkey", 0), ("keystep", 1), ("limit", 0)]);
        }
        Find::Streams => write_search(out, "range", &[("lastkey", -1), ("keystep", 1), ("limit", 2)]),
        Find::LastBehind { .. } | Find::Derived { .. } => write_search(out, "unknown", &[]),
    }
}

fn write_keyword(out: &mut Out, word: &str, start: i32) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(b"keyword");
    out.bulk(b"spec");
    out.map(2);
    out.bulk(b"keyword");
    out.bulk(word.as_bytes());
    out.bulk(b"startfrom");
    out.int(start.into());
}

fn write_search(out: &mut Out, kind: &str, spec: &[(&str, i32)]) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    write_map(out, spec, |out, number| out.int((*number).into()));
}

/// The first and the last key and the distance between keys, for clients that know nothing of specifications:
/// those of the only range, or of ranges of neighbouring keys that follow each other.
fn first_last_step(specs: &[KeySpec]) -> (i32, i32, i32) {
    let absolute = |begin: i32, last: i32| if last >= 0 { begin + last } else { last };
    if let [KeySpec { begin, find: Find::Range { last, step }, .. }] = specs {
        return (*begin, absolute(*begin, *last), *step);
    }
    let mut joined: Option<(i32, i32)> = None;
    for spec in specs {
        let Find::Range { last, step: 1 } = spec.find else { continue };
        let last = absolute(spec.begin, last);
        joined = match joined {
            None => Some((spec.begin, last)),
            Some((first, end)) if end == spec.begin - 1 => Some((first, last)),
            Some(_) => break,
        };
    }
    joined.map_or((0, 0, 0), |(first, last)| (first, last, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_follow_each_other_are_joined_for_old_clients() {
        const FLAGS: KeyFlags = KeyFlags::RO;
        let one = KeySpec::one(1, FLAGS);
        assert_eq!(first_last_step(&[]), (0, 0, 0));
        assert_eq!(first_last_step(&[one]), (1, 1, 1));
        assert_eq!(first_last_step(&[KeySpec::range(1, -1, 2, FLAGS)]), (1, -1, 2));
        assert_eq!(first_last_step(&[one, KeySpec::one(2, FLAGS)]), (1, 2, 1));
        assert_eq!(first_last_step(&[one, KeySpec::one(3, FLAGS)]), (1, 1, 1));
        assert_eq!(first_last_step(&[KeySpec::one(2, FLAGS), KeySpec::range(3, -1, 1, FLAGS)]), (2, -1, 1));
        assert_eq!(first_last_step(&[KeySpec::counted(1, FLAGS)]), (0, 0, 0));
    }

    #[test]
    fn categories_are_found_without_their_sign() {
        assert_eq!(category(b"Bitmap"), Some(Acl::BITMAP));
        assert_eq!(category(b"@bitmap"), None);
        assert_eq!(category(b""), None);
    }
}
