//! The command table is consistent with itself, with the real server's list, and with the README.
//!
//! For: whoever adds a row. May touch: the rows, the README and, where it is there, the list of other
//! servers' commands.
//! Always: a failure names the row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ochre::command::docs::{self, Arg, Type};
use ochre::command::{Command, Find, Group, KeyFlags, KeySpec, Locks};
use ochre::commands::FAMILIES;

/// A row, with its container's name before its own, and the number of words that name it.
struct Row {
    name: String,
    words: i32,
    row: &'static Command,
}

fn rows() -> Vec<Row> {
    let tops = || FAMILIES.iter().flat_map(|family| family.iter());
    let subs =
        tops().flat_map(|top| top.subs.iter().map(move |sub| (format!("{} {}", top.name, sub.name), sub)));
    let tops = tops().map(|top| Row { name: top.name.to_string(), words: 1, row: top });
    tops.chain(subs.map(|(name, row)| Row { name, words: 2, row })).collect()
}

/// Runs a check on every row and fails with all that is wrong.
fn check_all(check: impl Fn(&Row) -> Result<(), String>) {
    let wrong: Vec<String> =
        rows().iter().filter_map(|row| check(row).err().map(|why| format!("{}: {why}", row.name))).collect();
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Commands whose arity says something else than their syntax, and why.
const LOOSE: &[(&str, &str)] = &[
    ("DEBUG", "its subcommands are for developers, who read its help"),
    ("QUIT", "it ignores arguments"),
    ("GEOSEARCH", "only a polygon needs no center, and it has many arguments of its own"),
    ("GEOSEARCHSTORE", "only a polygon needs no center, and it has many arguments of its own"),
    (
        "CLIENT KILL",
        "it takes one old argument or at least one filter; the documentation calls all filters optional",
    ),
];

#[test]
fn every_syntax_parses_and_agrees_with_the_arity() {
    check_all(|row| {
        let args = docs::arguments(row.row)?;
        if LOOSE.iter().any(|(name, _)| *name == row.name) {
            return Ok(());
        }
        if !row.row.subs.is_empty() {
            return ensure(args.is_empty(), || "a container has arguments of its own".into());
        }
        let widths = || args.iter().map(Arg::width);
        let least = row.words + widths().map(|w| w.0 as i32).sum::<i32>();
        let most = widths().map(|w| w.1).sum::<Option<usize>>().map(|most| row.words + most as i32);
        let arity = i32::from(row.row.arity);
        let agrees = if arity >= 0 {
            least == arity && most == Some(arity)
        } else {
            least == -arity && most != Some(least)
        };
        ensure(agrees, || format!("arity {arity}, but the syntax takes {least} to {most:?} arguments"))
    });
}

#[test]
fn every_summary_is_a_sentence_and_every_fact_is_there() {
    check_all(|Row { row, .. }| {
        ensure(row.summary.ends_with('.') && row.summary.len() > 8, || {
            format!("its summary is '{}'", row.summary)
        })?;
        ensure(row.summary.starts_with(|c: char| c.is_ascii_uppercase()), || {
            "its summary begins in lower case".into()
        })?;
        ensure(!row.cost.is_empty(), || "it has no complexity".into())?;
        ensure(version(row.since).is_some(), || format!("'{}' is no version", row.since))
    });
}

/// The numbers of a version; `None`: it is none.
fn version(text: &str) -> Option<[u8; 3]> {
    let numbers: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Changed, by its documentation, before the version that it is said to be there since.
const EARLY: &[&str] = &["ZREVRANGEBYSCORE"];

#[test]
fn every_change_of_a_command_came_after_the_command_and_is_a_sentence() {
    check_all(|Row { row, name, .. }| {
        let is_early = EARLY.contains(&&**name);
        for (since, change) in row.history {
            let is_later =
                version(since).zip(version(row.since)).is_some_and(|(then, first)| is_early || then >= first);
            ensure(is_later, || format!("a change of {since} in what is there since {}", row.since))?;
            ensure(change.ends_with('.') && change.starts_with(|c: char| c.is_ascii_uppercase()), || {
                format!("the change of {since} is '{change}'")
            })?;
        }
        Ok(())
    });
}

#[test]
fn every_argument_that_came_later_is_in_the_syntax_once() {
    fn count(args: &[Arg], name: &str) -> usize {
        args.iter().map(|arg| usize::from(arg.name == name) + count(&arg.args, name)).sum()
    }
    check_all(|row| {
        let args = docs::arguments(row.row)?;
        for (since, names) in row.row.args_since {
            for name in names.split(' ') {
                ensure(count(&args, name) == 1, || format!("'{name}' is not one argument"))?;
                let is_later = version(since) >= version(row.row.since);
                ensure(is_later, || format!("'{name}' came in {since}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn every_key_is_where_the_arity_allows_it_and_in_the_syntax() {
    check_all(|Row { row, .. }| {
        let size = i32::from(row.arity.abs());
        for KeySpec { begin, find, .. } in row.keys {
            // What is found behind a word, and what may be left out, need not be there.
            let begin = &match *find {
                Find::Range { last: ..0, .. } if i32::from(row.arity) == -begin => begin - 1,
                Find::Behind { .. } | Find::LastBehind { .. } | Find::Derived { .. } | Find::Streams => 1,
                _ => *begin,
            };
            let (last, step) = match *find {
                Find::Behind { .. } | Find::LastBehind { .. } | Find::Derived { .. } | Find::Streams => {
                    (1, 1)
                }
                Find::Range { last, step } => (begin + last.max(0), step),
                Find::Count { at, first, step } => (begin + at.max(first - 1), step),
            };
            let fits = (*begin >= 1 || row.arity == -1) && *begin < size && last < size && step >= 1;
            ensure(fits, || format!("keys from {begin} to {last} step {step} in {size} arguments"))?;
        }
        let named = count_keys(&docs::arguments(row)?);
        let shard_channels = row.group == Group::PubSub;
        ensure(shard_channels || row.keys.is_empty() == (named == 0), || {
            format!("{} key specifications, but {named} keys in the syntax", row.keys.len())
        })?;
        let has_keys = row.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
        ensure(!has_keys || row.locks != Locks::None, || "it names keys and locks nothing".into())
    });
}

fn count_keys(args: &[Arg]) -> usize {
    args.iter().map(|arg| usize::from(arg.kind == Type::Key) + count_keys(&arg.args)).sum()
}

#[test]
fn every_name_is_unique_and_upper_case() {
    let mut seen = BTreeMap::new();
    for Row { name, .. } in rows() {
        *seen.entry(name).or_insert(0) += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    check_all(|Row { row, .. }| {
        ensure(
            row.name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_.".contains(&b)),
            || "its name is not in upper case".into(),
        )
    });
}

/// Containers without HELP, as in the real server.
const HELPLESS: &[&str] = &["HIMPORT"];

#[test]
fn containers_have_help() {
    check_all(|Row { row, .. }| {
        if HELPLESS.contains(&row.name) {
            return Ok(());
        }
        ensure(row.subs.is_empty() || row.subs.iter().any(|sub| sub.name == "HELP"), || {
            "it has no HELP".into()
        })
    });
}

/// The list of what other servers have, beside the repository.
fn shared_list() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["../shared", "../../shared"]
        .iter()
        .find_map(|dir| std::fs::read_to_string(root.join(dir).join("commands.csv")).ok())
}

#[test]
fn arities_are_those_of_the_real_server() {
    let Some(list) = shared_list() else {
        eprintln!("skipped: there is no list of the real server's commands");
        return;
    };
    let mut lines = list.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().expect("the list has a head");
    let column =
        |name: &str| head.iter().position(|&column| column == name).expect("the list has that column");
    let (name, arity, valkey) = (column("name"), column("arity"), column("valkey_9"));
    let known: BTreeMap<String, i16> = lines
        .filter(|fields| fields[valkey] == "yes")
        .filter_map(|fields| Some((fields[name].to_string(), fields[arity].parse().ok()?)))
        .collect();
    assert!(known.len() > 200, "the list was not understood");
    check_all(|row| match known.get(&row.name) {
        // Valkey 9.1 has an optional argument that the list does not know.
        Some(_) if row.name == "SCRIPT DEBUG" => Ok(()),
        Some(&arity) => {
            ensure(arity == row.row.arity, || format!("arity {} instead of {arity}", row.row.arity))
        }
        None => Ok(()),
    });
}

const BEGIN: &str = "<!-- commands -->";
const END: &str = "<!-- /commands -->";

/// What the README says about commands: one line per group.
fn readme_table() -> String {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in FAMILIES.iter().flat_map(|family| family.iter()) {
        let subs: Vec<&str> = row.subs.iter().map(|sub| sub.name).filter(|name| *name != "HELP").collect();
        let text = if subs.is_empty() {
            format!("`{}`", row.name)
        } else {
            format!("`{}` ({})", row.name, subs.join(", "))
        };
        groups.entry(row.group.name()).or_default().push(text);
    }
    let mut table = String::from("| group | commands |\n|---|---|\n");
    for (group, mut commands) in groups {
        commands.sort_unstable_by(|a, b| a.split('`').nth(1).cmp(&b.split('`').nth(1)));
        table += &format!("| {group} | {} |\n", commands.join(", "));
    }
    table
}

#[test]
fn the_readme_lists_the_commands() {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let Ok(readme) = std::fs::read_to_string(&path) else { return };
    let Some((before, rest)) = readme.split_once(BEGIN) else { return };
    let (told, after) = rest.split_once(END).expect("the README has both markers");
    let wanted = format!("\n{}", readme_table());
    if told == wanted {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_README").is_some(),
        "the README lists other commands than the table has: run this test with UPDATE_README=1"
    );
    std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("the README can be written");
}
