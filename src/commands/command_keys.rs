//! COMMAND GETKEYS and GETKEYSANDFLAGS.
//!
//! For: the keys of a request that is given as arguments. May touch: the command table; never the keyspace.
//! Always: keys are found by the rows' specifications, as the executor finds what to lock.

use super::command::{flag_words, words};
use crate::command::keys::{KeyFlags, KeySpec};
use crate::command::{Cx, Entry, Flags, Outcome, Table};
use crate::fault::Fault;
use crate::resp::Args;

pub(super) fn getkeys(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let keys = keys_of(&cx.host.table, args.from(2))?;
    cx.out.array(keys.len());
    keys.iter().for_each(|(key, _)| cx.out.bulk(key));
    Ok(Outcome::Done)
}

pub(super) fn getkeysandflags(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let keys = keys_of(&cx.host.table, args.from(2))?;
    cx.out.array(keys.len());
    for (key, flags) in keys {
        cx.out.array(2);
        cx.out.bulk(key);
        words(cx.out, flag_words(flags));
    }
    Ok(Outcome::Done)
}

/// The keys of `request`, each with what is done to it.
fn keys_of<'a>(table: &Table, request: Args<'a>) -> Result<Vec<(&'a [u8], KeyFlags)>, Fault> {
    let entry = target(table, &request).ok_or(Fault::BAD_COMMAND)?;
    let is_key = |spec: &KeySpec| !spec.flags.contains(KeyFlags::NOT_KEY);
    if !entry.row.keys.iter().any(is_key) {
        return Err(Fault::NO_KEY_ARGUMENTS);
    }
    if !entry.row.takes(request.len()) {
        return Err(Fault::BAD_ARGUMENT_COUNT);
    }
    let plainly = entry.row.keys.iter().find_map(|spec| spec.counts_plainly(&request));
    let (mut keys, mut counted) = (Vec::new(), Vec::new());
    let found = entry.visit_keys(&request, |at, spec| {
        let flags = settled(entry, &request, spec.flags, plainly);
        let list = if spec.counts_plainly(&request).is_some() { &mut counted } else { &mut keys };
        list.push((request.get(at), flags));
    });
    let is_unusual = plainly == Some(false);
    let is_sound = found
        && !(if plainly.is_some() { &counted } else { &keys }).is_empty()
        && !(is_unusual && entry.row.name == "MSETEX");
    // As in the real server, a destination stands behind what is counted by an unusual number.
    let at = if is_unusual { 0 } else { keys.len() };
    keys.splice(at..at, counted);
    if entry.row.flags.contains(Flags::NO_MANDATORY_KEYS) || is_sound {
        Ok(keys)
    } else {
        Err(Fault::BAD_COMMAND_ARGUMENTS)
    }
}

/// The row that would run: a container's subcommand if there is a second argument.
fn target<'t>(table: &'t Table, request: &Args<'_>) -> Option<&'t Entry> {
    let entry = table.find(request.opt(0)?)?;
    match request.opt(1) {
        Some(sub) if !entry.subs.is_empty() => table.find_sub(entry, sub),
        _ => Some(entry),
    }
}

/// What this request does with keys of these flags. Nothing is said of keys that are counted by a number that
/// is not spelled as integers are.
fn settled(entry: &Entry, request: &Args<'_>, flags: KeyFlags, plainly: Option<bool>) -> KeyFlags {
    let has = |from: usize, word: &[u8]| request.from(from).iter().any(|arg| arg.eq_ignore_ascii_case(word));
    match entry.row.name {
        _ if plainly == Some(false) => KeyFlags::empty(),
        _ if !flags.contains(KeyFlags::VARIABLE) => flags,
        // The value is the third argument, whatever it says.
        "SET" if !has(3, b"GET") => KeyFlags::OW | KeyFlags::UPDATE,
        "BITFIELD" if only_reads(request) => KeyFlags::RO | KeyFlags::ACCESS,
        _ => flags - KeyFlags::VARIABLE,
    }
}

/// Whether a BITFIELD request consists of complete GET and OVERFLOW operations.
fn only_reads(request: &Args<'_>) -> bool {
    let mut at = 2;
    while let Some(word) = request.opt(at) {
        at += match word.to_ascii_lowercase().as_slice() {
            b"get" => 3,
            b"overflow" => 2,
            _ => return false,
        };
    }
    at == request.len()
}
