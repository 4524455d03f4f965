//! Commands on keys, whatever they hold.
//!
//! For: which keys exist, what they are called and which database they are in. May touch: what `Cx` carries.
//! Always: a value that changes its key keeps its deadline and its encoding; the events of a change that
//! involves two keys are told when both are done.

use std::mem::replace;

use crate::command::cursor::{Cursor, int};
use crate::command::row::{Acl, Command, Flags, cmd};
use crate::command::{Cx, KeyFlags, KeySpec, Outcome};
use crate::fault::Fault;
use crate::keyspace::record::Touch;
use crate::keyspace::{Db, Entry, Event, Kind};
use crate::resp::Args;

/// The rows of this family.
pub const ROWS: &[Command] = &[
    cmd("COPY", copy)
        .arity(-3)
        .keys(&[
            KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        ])
        .flags(Flags::WRITE.union(Flags::DENY_OOM))
        .acl(Acl::KEYSPACE)
        .since("6.2.0")
        .cost("O(1) for strings, O(N) for collections of N elements.")
        .doc(
            "Stores a copy of a key's value under another key.",
            "source destination [DB destination-db] [REPLACE]",
        ),
    cmd("DEL", del)
        .arity(-2)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))])
        .flags(Flags::WRITE)
        .acl(Acl::KEYSPACE)
        .since("1.0.0")
        .cost("O(N) for N keys.")
        .doc("Removes keys.", "key [key ...]")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    cmd("EXISTS", exists)
        .arity(-2)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RO)])
        .flags(Flags::READONLY.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .since("1.0.0")
        .cost("O(N) for N keys.")
        .history(&[("3.0.3", "Takes more than one key.")])
        .doc("Counts how many of the named keys exist.", "key [key ...]")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    cmd("MOVE", move_key)
        .arity(3)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))])
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Takes a key to another database.", "key db"),
    cmd("RENAME", rename)
        .arity(3)
        .keys(&[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        ])
        .flags(Flags::WRITE)
        .acl(Acl::KEYSPACE)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Gives a key another name, in place of whatever had that name.", "key newkey"),
    cmd("RENAMENX", renamenx)
        .arity(3)
        .keys(&[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT)),
        ])
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .since("1.0.0")
        .cost("O(1)")
        .history(&[("3.2.0", "Two equal names are no error.")])
        .doc("Gives a key another name unless that is taken.", "key newkey"),
    cmd("TOUCH", touch)
        .arity(-2)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RO)])
        .flags(Flags::READONLY.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .since("3.2.1")
        .cost("O(N) for N keys.")
        .doc("Notes an access to keys and counts those that exist.", "key [key ...]")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    cmd("TYPE", type_of)
        .arity(2)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .flags(Flags::READONLY.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Names the type of a key's value.", "key"),
    cmd("UNLINK", del)
        .arity(-2)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))])
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .since("4.0.0")
        .cost("O(1) for each key; large values are freed by another thread.")
        .doc("Removes keys and leaves the freeing of their values to the background.", "key [key ...]")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
];

fn copy(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (from, to) = (args.get(1), args.get(2));
    let home = cx.db.index();
    let (mut target, mut overwrite) = (home, false);
    let mut options = Cursor::new(args, 3);
    while !options.is_end() {
        if options.word("REPLACE") {
            overwrite = true;
        } else if options.word("DB") {
            target = database(&cx.db, options.need()?)?;
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    if from == to && target == home {
        return Err(Fault::SAME_OBJECT);
    }
    cx.db.catch_up_with(target);
    let copied = copy_to(&mut cx.db, from, to, target, overwrite);
    cx.out.int(i64::from(copied));
    Ok(Outcome::Done)
}

fn del(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut removed = 0;
    for key in args.from(1).iter() {
        let mut key = cx.db.open(key);
        if key.exists() {
            key.remove();
            key.commit(Event::DEL);
            removed += 1;
        }
    }
    cx.out.int(removed);
    Ok(Outcome::Done)
}

fn exists(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let count = args.from(1).iter().filter(|key| inspect(&mut cx.db, key, |entry| entry.is_some())).count();
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

fn move_key(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let target = database(&cx.db, args.get(2))?;
    if target == cx.db.index() {
        return Err(Fault::SAME_OBJECT);
    }
    cx.db.catch_up_with(target);
    let moved = move_to(&mut cx.db, args.get(1), target);
    cx.out.int(i64::from(moved));
    Ok(Outcome::Done)
}

fn rename(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    rename_to(&mut cx.db, args.get(1), args.get(2), true)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

fn renamenx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let renamed = rename_to(&mut cx.db, args.get(1), args.get(2), false)?;
    cx.out.int(i64::from(renamed));
    Ok(Outcome::Done)
}

fn touch(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if cx.session.no_touch {
        // This command asks for what CLIENT NO-TOUCH switches off for all others.
        cx.db.record.touch = Touch::of(cx.settings);
    }
    let count = args.from(1).iter().filter(|key| cx.db.read(key).is_some()).count();
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

fn type_of(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let kind = inspect(&mut cx.db, args.get(1), |entry| entry.map(Entry::kind));
    cx.out.simple(kind.map_or("none", Kind::name));
    Ok(Outcome::Done)
}

/// Looks a key up as a read that is no access: counted, but its age and frequency stay.
pub(super) fn inspect<R>(db: &mut Db<'_>, key: &[u8], look: impl FnOnce(Option<&Entry>) -> R) -> R {
    let touch = replace(&mut db.record.touch, Touch::No);
    let answer = look(db.read(key));
    db.record.touch = touch;
    answer
}

/// An argument that names a database.
///
/// # Errors
/// When it is no integer, leaves the range of `i32`, or is no database.
fn database(db: &Db<'_>, arg: &[u8]) -> Result<usize, Fault> {
    let index = i32::try_from(int(arg)?).map_err(|_| Fault::NOT_AN_I32)?;
    usize::try_from(index).ok().filter(|&index| index < db.space().databases).ok_or(Fault::DB_INDEX)
}

/// Returns whether a copy was made: the source exists, and the destination was free or may be overwritten.
fn copy_to(db: &mut Db<'_>, from: &[u8], to: &[u8], target: usize, overwrite: bool) -> bool {
    let Some(mut entry) = db.read(from).map(|source| source.duplicate(to)) else { return false };
    entry.set_lru(db.record.first_touch(db.now_ms()));
    let home = db.switch(target);
    let is_free = overwrite || db.peek(to).is_none();
    if is_free {
        let mut destination = db.open(to);
        destination.put(entry);
        destination.commit(Event::COPY_TO);
    }
    db.switch(home);
    is_free
}

/// Returns whether the key went: it exists, and has no namesake in the target database.
fn move_to(db: &mut Db<'_>, key: &[u8], target: usize) -> bool {
    if !noted(db, key) {
        return false;
    }
    let home = db.switch(target);
    let is_taken = db.peek(key).is_some();
    db.switch(home);
    if is_taken {
        return false;
    }
    let mut source = db.open(key);
    let mut entry = source.take();
    source.commit_silently();
    // Who watches or caches it here does not do so there.
    entry.set_watched(false);
    entry.set_tracked(false);
    db.switch(target);
    let mut destination = db.open(key);
    destination.put(entry);
    destination.commit_silently();
    db.switch(home);
    tell(db, [(home, Event::MOVE_FROM, key), (target, Event::MOVE_TO, key)]);
    true
}

/// Returns whether the key has the new name now; false when `overwrite` would be needed for that, or nothing
/// is to be done.
///
/// # Errors
/// [`Fault::NO_SUCH_KEY`].
fn rename_to(db: &mut Db<'_>, from: &[u8], to: &[u8], overwrite: bool) -> Result<bool, Fault> {
    if !noted(db, from) {
        return Err(Fault::NO_SUCH_KEY);
    }
    if from == to || !overwrite && db.peek(to).is_some() {
        return Ok(false);
    }
    let mut source = db.open(from);
    let entry = source.take().into_renamed(to);
    source.commit_silently();
    let mut destination = db.open(to);
    destination.put(entry);
    destination.commit_silently();
    tell(db, [(db.index(), Event::RENAME_FROM, from), (db.index(), Event::RENAME_TO, to)]);
    Ok(true)
}

/// Notes an access to a key that is to be changed; returns whether it exists.
fn noted(db: &mut Db<'_>, key: &[u8]) -> bool {
    let mut key = db.open(key);
    key.touch();
    key.exists()
}

/// Tells the events of one change that involved two keys.
fn tell(db: &mut Db<'_>, events: [(usize, Event, &[u8]); 2]) {
    db.record.dirty += 1;
    for (index, event, key) in events {
        db.record.happened(index, event, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::object::encoding;
    use crate::commands::trial::Trial;
    use crate::keyspace::{NewValue, ValueRef};

    /// Value, deadline and encoding of a key in a database.
    fn shown(trial: &mut Trial, index: usize, key: &str) -> Option<(String, Option<u64>, &'static str)> {
        trial.run(|db| {
            db.switch(index);
            let entry = db.peek(key.as_bytes())?;
            let ValueRef::Bytes(bytes) = entry.value() else { panic!("the tests store short strings") };
            Some((String::from_utf8_lossy(bytes).into(), entry.deadline_ms(), encoding(entry)))
        })
    }

    #[test]
    fn rename_takes_value_and_deadline_along_and_tells_both_keys_at_the_end() {
        let mut trial = Trial::new();
        trial.set(b"a", b"1", Some(2_000_000));
        trial.set(b"b", b"2", Some(3_000_000));
        trial.run(|db| assert_eq!(rename_to(db, b"a", b"b", true), Ok(true)));
        assert_eq!(trial.events(), ["0:new=b", "0:rename_from=a", "0:rename_to=b"]);
        assert_eq!(trial.record.dirty, 1);
        assert_eq!(shown(&mut trial, 0, "a"), None);
        assert_eq!(shown(&mut trial, 0, "b"), Some(("1".into(), Some(2_000_000), "embstr")));
        trial.now_ms = 2_000_000;
        trial.run(|db| assert_eq!(rename_to(db, b"b", b"c", true), Err(Fault::NO_SUCH_KEY)));
        assert_eq!(trial.events(), ["0:expired=b"]);
    }

    #[test]
    fn rename_changes_nothing_when_told_not_to_overwrite_or_the_names_are_the_same() {
        let mut trial = Trial::new();
        trial.set(b"a", b"1", None);
        trial.set(b"b", b"2", Some(1_500_000));
        trial.run(|db| assert_eq!(rename_to(db, b"a", b"b", false), Ok(false)));
        trial.run(|db| assert_eq!(rename_to(db, b"a", b"a", true), Ok(false)));
        trial.run(|db| assert_eq!(rename_to(db, b"c", b"c", true), Err(Fault::NO_SUCH_KEY)));
        assert_eq!((trial.events(), trial.record.dirty), (vec![], 0));
        trial.now_ms = 1_500_000;
        trial.run(|db| assert_eq!(rename_to(db, b"a", b"b", false), Ok(true)));
        assert_eq!(trial.events(), ["0:expired=b", "0:new=b", "0:rename_from=a", "0:rename_to=b"]);
        assert_eq!(shown(&mut trial, 0, "b"), Some(("1".into(), None, "embstr")));
    }

    #[test]
    fn a_raw_string_stays_raw_under_any_name_and_an_embedded_one_only_under_short_ones() {
        let (long, value) = ([b'k'; 60], [b'v'; 90]);
        let mut trial = Trial::new();
        trial.set(b"a", &value, None);
        assert_eq!(shown(&mut trial, 0, "a").unwrap().2, "embstr");
        trial.run(|db| rename_to(db, b"a", &long, true)).unwrap();
        trial.run(|db| assert!(copy_to(db, &long, b"b", 0, false)));
        trial.run(|db| rename_to(db, &long, b"c", true)).unwrap();
        for key in ["b", "c"] {
            assert_eq!(shown(&mut trial, 0, key).unwrap().2, "raw");
        }
    }

    #[test]
    fn embedding_ends_where_key_and_value_do_not_fit() {
        for (key, longest) in [(1, 112), (31, 82), (32, 79), (100, 11), (111, 0)] {
            let encoded =
                |len| encoding(&Entry::new(&vec![b'k'; key], NewValue::Bytes(&vec![b'v'; len]), None));
            assert_eq!((encoded(longest), encoded(longest + 1)), ("embstr", "raw"), "{key}");
        }
    }

    #[test]
    fn a_value_that_replaces_one_with_a_deadline_must_be_shorter_to_be_embedded() {
        let mut trial = Trial::new();
        for (len, expected) in [(104, "embstr"), (105, "raw")] {
            trial.set(b"a", b"v", Some(2_000_000));
            trial.set(b"a", &vec![b'v'; len], None);
            assert_eq!(shown(&mut trial, 0, "a").unwrap().2, expected);
            trial.set(b"a", &vec![b'v'; len], None);
            assert_eq!(shown(&mut trial, 0, "a").unwrap().2, "embstr");
        }
    }

    #[test]
    fn copy_refuses_a_taken_name_unless_told_to_overwrite() {
        let mut trial = Trial::new();
        trial.set(b"a", b"1", Some(2_000_000));
        trial.run(|db| assert!(copy_to(db, b"a", b"a", 2, false)));
        assert_eq!(trial.events(), ["2:new=a", "2:copy_to=a"]);
        trial.set(b"a", b"2", None);
        trial.run(|db| assert!(!copy_to(db, b"a", b"a", 2, false)));
        assert_eq!(trial.record.dirty, 0);
        assert_eq!(shown(&mut trial, 2, "a"), Some(("1".into(), Some(2_000_000), "embstr")));
        trial.run(|db| assert!(copy_to(db, b"a", b"a", 2, true)));
        assert_eq!((trial.events(), trial.record.dirty), (vec!["2:new=a".into(), "2:copy_to=a".into()], 1));
        assert_eq!(shown(&mut trial, 2, "a"), Some(("2".into(), None, "embstr")));
        trial.run(|db| assert!(!copy_to(db, b"missing", b"a", 2, true)));
        assert_eq!(trial.events(), ["0:keymiss=missing"]);
        trial.run(|db| assert_eq!(db.index(), 0));
    }

    #[test]
    fn move_leaves_a_namesake_alone_and_keeps_the_deadline() {
        let mut trial = Trial::new();
        trial.set(b"a", b"1", Some(2_000_000));
        trial.run(|db| assert!(move_to(db, b"a", 3)));
        assert_eq!(trial.events(), ["3:new=a", "0:move_from=a", "3:move_to=a"]);
        assert_eq!((trial.record.dirty, shown(&mut trial, 0, "a")), (1, None));
        trial.run(|db| assert!(!move_to(db, b"a", 3)));
        trial.set(b"a", b"2", None);
        trial.run(|db| assert!(!move_to(db, b"a", 3)));
        assert_eq!(shown(&mut trial, 3, "a"), Some(("1".into(), Some(2_000_000), "embstr")));
        trial.now_ms = 2_000_000;
        trial.run(|db| assert!(move_to(db, b"a", 3)));
        assert_eq!(trial.events(), ["3:expired=a", "3:new=a", "0:move_from=a", "3:move_to=a"]);
    }

    #[test]
    fn looking_at_a_key_is_counted_but_is_no_access() {
        let mut trial = Trial::new();
        trial.set(b"a", b"1", None);
        trial.now_ms += 5_000;
        let before = trial.run(|db| db.peek(b"a").map(Entry::lru));
        trial.run(|db| assert_eq!(inspect(db, b"a", |entry| entry.map(Entry::lru)), before));
        assert_eq!((trial.record.counts.hits, trial.record.counts.misses), (1, 0));
        trial.run(|db| assert!(noted(db, b"a")));
        assert_eq!(trial.run(|db| db.peek(b"a").map(Entry::lru)), before.map(|lru| lru + 5));
    }
}
