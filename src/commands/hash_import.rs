//! Hashes: importing many that have the same fields.
//!
//! For: HIMPORT, whose client names the fields once and then sends only values. May touch: what `Cx` carries.
//! Always: what was prepared belongs to the session and ends with it; a follower hears of plain hashes.

use std::collections::HashSet;

use super::hash::limits;
use crate::client::fieldsets::Fields;
use crate::command::{
    Acl, Command, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Locks, Outcome, cmd, container,
};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::keyspace::db::Deadline;
use crate::resp::Args;
use crate::value::Hash;
use crate::value::hash::Until;

/// The rows of this file.
pub const ROWS: &[Command] = &[container(
    "HIMPORT",
    &[
        session("DISCARD", discard, 3)
            .cost("O(log N), N lists of fields.")
            .doc("Forgets a list of fields that the client has prepared.", "fieldset-name"),
        session("DISCARDALL", discardall, 2)
            .cost("O(N), N lists of fields.")
            .doc("Forgets all lists of fields that the client has prepared.", ""),
        session("PREPARE", prepare, -4)
            .flags(Flags::DENY_OOM)
            .cost("O(N), N fields.")
            .doc("Names the fields of hashes that are to be imported.", "fieldset-name field [field ...]"),
        sub("SET", set, -5)
            .flags(Flags::WRITE.union(Flags::DENY_OOM))
            .keys(&[KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE))])
            .cost("O(N), N fields.")
            .doc(
                "Makes a hash of fields that were prepared and of their values.",
                "key fieldset-name value [value ...]",
            ),
    ],
)
.group(Group::Hash)
.since("8.10.0")
.doc("Commands that import hashes with the same fields.", "")];

const fn sub(name: &'static str, handler: Handler, arity: i16) -> Command {
    cmd(name, handler).arity(arity).acl(Acl::HASH).group(Group::Hash).since("8.10.0")
}

/// A row that has to do with the session alone.
const fn session(name: &'static str, handler: Handler, arity: i16) -> Command {
    sub(name, handler, arity).locks(Locks::None).tips(&["request_policy:all_shards"])
}

fn discard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let is_gone = cx.session.fieldsets.as_mut().is_some_and(|sets| sets.discard(args.get(2)));
    cx.out.int(i64::from(is_gone));
    Ok(Outcome::Done)
}

fn discardall(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.int(cx.session.fieldsets.take().map_or(0, |sets| sets.len() as i64));
    Ok(Outcome::Done)
}

fn prepare(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let names = args.from(3);
    let mut seen = HashSet::with_capacity(names.len());
    if !names.iter().all(|name| seen.insert(name)) {
        return Err(Fault::FIELD_TWICE);
    }
    let fields: Fields = names.iter().map(Box::from).collect();
    if !cx.session.fieldsets.get_or_insert_default().prepare(args.get(2), fields) {
        return Err(Fault::FIELDSETS_FULL);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (key, values) = (args.get(2), args.from(4));
    let fields = cx.session.fieldsets.as_ref().and_then(|sets| sets.get(args.get(3)));
    let fields = Fields::clone(fields.ok_or(Fault::NO_FIELDSET)?);
    if values.len() != fields.len() {
        return Err(Fault::FIELDSET_VALUES);
    }
    let limits = limits(cx);
    let mut w = cx.db.open(key);
    let is_there = w.view::<Hash>()?.is_some();
    let mut hash = Hash::default();
    hash.expect(fields.len(), &limits);
    for (field, value) in fields.iter().zip(values.iter()) {
        hash.set(field, value, Until::Cleared, &limits);
    }
    w.put_value(hash, Deadline::Clear);
    w.commit_counting(Event::HSET, fields.len() as u64);
    if cx.db.logs() {
        if is_there {
            cx.db.propagate(&[b"DEL", key]);
        }
        let mut argv = vec![&b"HSET"[..], key];
        fields.iter().zip(values.iter()).for_each(|(field, value)| argv.extend([&**field, value]));
        cx.db.propagate(&argv);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}
