//! COMMAND DOCS.
//!
//! For: writing what rows say about purpose and arguments. May touch: the command table; never the keyspace.
//! Always: a command that does not exist is left out.

use crate::command::docs::{Arg, ArgFlags, arguments};
use crate::command::{Command, Cx, Entry, Outcome, Table};
use crate::fault::Fault;
use crate::resp::{Args, Out};

use super::command::words;

pub(super) fn docs(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let table = &cx.host.table;
    let named: Vec<&Entry> = match args.len() {
        2 => table.top().collect(),
        _ => args.from(2).iter().filter_map(|name| table.find_full(name)).collect(),
    };
    cx.out.map(named.len());
    for entry in named {
        cx.out.bulk(entry.full_name.as_bytes());
        write_docs(table, entry, cx.out);
    }
    Ok(Outcome::Done)
}

/// A map with these keys.
pub(super) fn write_map<T>(out: &mut Out, pairs: &[(&str, T)], value: impl Fn(&mut Out, &T)) {
    out.map(pairs.len());
    for (key, of) in pairs {
        out.bulk(key.as_bytes());
        value(out, of);
    }
}

fn write_docs(table: &Table, entry: &Entry, out: &mut Out) {
    let row = entry.row;
    let (map, mut pairs) = (out.deferred_map(), 4);
    let facts = [
        ("summary", row.summary),
        ("since", row.since),
        ("group", row.group.name()),
        ("complexity", row.cost),
    ];
    facts.iter().for_each(|(key, text)| write_pair(out, key, text));
    if row.is_internal {
        out.bulk(b"doc_flags");
        words(out, ["syscmd"].into_iter());
        pairs += 1;
    }
    if let Some((since, instead)) = row.deprecated {
        out.bulk(b"doc_flags");
        words(out, ["deprecated"].into_iter());
        write_pair(out, "deprecated_since", since);
        write_pair(out, "replaced_by", instead);
        pairs += 3;
    }
    if !row.history.is_empty() {
        out.bulk(b"history");
        write_history(out, row.history);
        pairs += 1;
    }
    // tests/command_table.rs sees to it that every row's syntax can be parsed.
    let args = arguments(row).unwrap_or_default();
    if !args.is_empty() {
        out.bulk(b"arguments");
        write_args(out, row, &args);
        pairs += 1;
    }
    let subs = table.subs(entry);
    if !subs.is_empty() {
        out.bulk(b"subcommands");
        out.map(subs.len());
        for sub in subs {
            out.bulk(sub.full_name.as_bytes());
            write_docs(table, sub, out);
        }
        pairs += 1;
    }
    out.finish(map, pairs);
}

fn write_pair(out: &mut Out, key: &str, text: &str) {
    out.bulk(key.as_bytes());
    out.bulk(text.as_bytes());
}

fn write_history(out: &mut Out, history: &[(&str, &str)]) {
    out.set(history.len());
    for (version, change) in history {
        out.array(2);
        out.bulk(version.as_bytes());
        out.bulk(change.as_bytes());
    }
}

fn write_args(out: &mut Out, row: &Command, args: &[Arg]) {
    out.array(args.len());
    for arg in args {
        let (map, mut pairs) = (out.deferred_map(), 2);
        write_pair(out, "name", &arg.name);
        write_pair(out, "type", arg.kind.name());
        if arg.is_shown() {
            write_pair(out, "display_text", &arg.name);
            pairs += 1;
        }
        if let Some(spec) = arg.key_spec {
            out.bulk(b"key_spec_index");
            out.int(spec as i64);
            pairs += 1;
        }
        if let Some(token) = &arg.token {
            write_pair(out, "token", token);
            pairs += 1;
        }
        if let Some((since, _)) =
            row.args_since.iter().find(|(_, names)| names.split(' ').any(|name| name == arg.name))
        {
            write_pair(out, "since", since);
            pairs += 1;
        }
        if !arg.flags.is_empty() {
            out.bulk(b"flags");
            words(out, ArgFlags::NAMES.iter().filter(|(f, _)| arg.flags.contains(*f)).map(|(_, name)| *name));
            pairs += 1;
        }
        if !arg.args.is_empty() {
            out.bulk(b"arguments");
            write_args(out, row, &arg.args);
            pairs += 1;
        }
        out.finish(map, pairs);
    }
}
