//! Looking for keys without knowing their names.
//!
//! For: SCAN, KEYS, RANDOMKEY. May touch: what `Cx` carries.
//! Always: no key whose deadline has passed is shown; a key that is there from the first to the last call of
//! an iteration is returned by it, whatever else comes and goes.
//!
//! A cursor is a shard and a position in that shard's table:
//!
//! ```text
//!  52     45 44                        0
//! +---------+---------------------------+
//! |  shard  |  position, without its    |
//! |         |  lowest 3 bits            |
//! +---------+---------------------------+
//! ```
//!
//! With 256 shards it stays below 2^53, because there are clients that keep it in a double. What the lost
//! bits cost: the next call begins up to seven positions early and may return a key there twice, which
//! iterations are allowed to. So a call goes on until it has moved on by the bits that are kept.

use crate::command::cursor::{Cursor, int};
use crate::command::row::{Acl, Command, Flags, Locks, cmd};
use crate::command::{Cx, Outcome};
use crate::fault::Fault;
use crate::keyspace::db::is_due;
use crate::keyspace::hash::POSITION_BITS;
use crate::keyspace::watchers::Interests;
use crate::keyspace::{Db, Keys, Kind, Record, Space};
use crate::resp::Args;
use crate::value::{glob, number};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    cmd("KEYS", keys)
        .arity(2)
        .locks(Locks::All)
        .flags(Flags::READONLY)
        .acl(Acl::KEYSPACE.union(Acl::DANGEROUS))
        .since("1.0.0")
        .cost("O(N) for N keys in the database.")
        .doc("Lists the keys that match a pattern.", "pattern")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    cmd("RANDOMKEY", randomkey)
        .arity(1)
        .locks(Locks::All)
        .flags(Flags::READONLY)
        .acl(Acl::KEYSPACE)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Returns one of the keys, each as likely as any other.", "")
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
    cmd("SCAN", scan)
        .args_since(&[("6.0.0", "type")])
        .arity(-2)
        .locks(Locks::OneShardAtATime)
        .flags(Flags::READONLY)
        .acl(Acl::KEYSPACE)
        .since("2.8.0")
        .cost("O(1) for a call, O(N) for all calls that visit N keys.")
        .history(&[("6.0.0", "Takes TYPE.")])
        .doc("Visits the keys some at a time.", "cursor [MATCH pattern] [COUNT count] [TYPE type]")
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
];

/// Bits of a position that a cursor leaves out.
const LOST_BITS: u32 = 3;
/// Bits of a position in a cursor.
const KEPT_BITS: u32 = POSITION_BITS - LOST_BITS;
/// COUNT, where none is given.
const DEFAULT_COUNT: u64 = 10;
/// A call takes at most this many steps for each key that COUNT asks for, however few keys it meets.
const STEPS_PER_COUNT: u64 = 10;
/// Due keys that RANDOMKEY draws before it gives up.
const RANDOM_TRIES: usize = 100;

fn keys(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let pattern = args.get(1);
    if let Some(name) = glob::literal(pattern) {
        let is_there = cx.db.peek(name).is_some();
        cx.out.array(usize::from(is_there));
        if is_there {
            cx.out.bulk(name);
        }
        return Ok(Outcome::Done);
    }
    let (index, now_ms) = (cx.db.index(), cx.db.now_ms());
    let lists_all = glob::is_all(pattern);
    let array = cx.out.deferred_array();
    let mut count = 0;
    cx.db.each_shard(0, |_, shard, _| {
        let entries = shard.keys(index).into_iter().flat_map(|keys| keys.table.iter());
        for entry in entries.filter(|entry| !is_due(entry, now_ms)) {
            if lists_all || glob::matches(pattern, entry.key(), false) {
                cx.out.bulk(entry.key());
                count += 1;
            }
        }
        true
    });
    cx.out.finish(array, count);
    Ok(Outcome::Done)
}

fn randomkey(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    match random(&mut cx.db) {
        Some(key) => cx.out.bulk(&key),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

fn scan(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let cursor = number::parse_u64(args.get(1)).ok_or(Fault::BAD_CURSOR)?;
    let (wanted, count) = options(args)?;
    let mut found = Names::default();
    let next = walk(&mut cx.db, cursor, count, &wanted, &mut found);
    cx.out.array(2);
    cx.out.bulk_int(next as i64);
    cx.out.array(found.len());
    for name in found.iter() {
        cx.out.bulk(name);
    }
    Ok(Outcome::Done)
}

/// Which keys a SCAN returns.
#[derive(Clone, Copy, Default)]
struct Wanted<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<Kind>,
}

/// Names one behind the other, so that finding many costs few allocations.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, &end)| &self.bytes[begin..end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

fn options(args: Args<'_>) -> Result<(Wanted<'_>, u64), Fault> {
    let (mut wanted, mut count) = (Wanted::default(), DEFAULT_COUNT);
    let mut options = Cursor::new(args, 2);
    while !options.is_end() {
        // A word that needs an argument and has none is as good as unknown.
        let has_argument = options.left() > 1;
        if has_argument && options.word("COUNT") {
            count =
                u64::try_from(int(options.need()?)?).ok().filter(|&count| count > 0).ok_or(Fault::SYNTAX)?;
        } else if has_argument && options.word("MATCH") {
            wanted.pattern = Some(options.need()?).filter(|pattern| !glob::is_all(pattern));
        } else if has_argument && options.word("TYPE") {
            let name = options.need()?;
            wanted.kind = Some(kind_named(name).ok_or_else(|| Fault::unknown_type(name))?);
        } else if options.word("NOVALUES") {
            return Err(Fault::NO_VALUES_ELSEWHERE);
        } else if options.word("NOSCORES") {
            return Err(Fault::NO_SCORES_ELSEWHERE);
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    Ok((wanted, count))
}

fn kind_named(name: &[u8]) -> Option<Kind> {
    let kinds = [Kind::String, Kind::List, Kind::Set, Kind::ZSet, Kind::Hash, Kind::Stream];
    kinds.into_iter().find(|&kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
}

fn pack(shard: usize, position: u64) -> u64 {
    (shard as u64) << KEPT_BITS | position >> LOST_BITS
}

fn unpack(cursor: u64) -> (usize, u64) {
    ((cursor >> KEPT_BITS) as usize, cursor << LOST_BITS & ((1 << POSITION_BITS) - 1))
}

/// Goes on from a cursor until `count` keys were seen, wanted or not, or enough steps were taken; returns the
/// next cursor, 0 at the end and for a cursor behind it.
fn walk(db: &mut Db<'_>, cursor: u64, count: u64, wanted: &Wanted<'_>, found: &mut Names) -> u64 {
    let (space, index, now_ms) = (db.space(), db.index(), db.now_ms());
    let (first, mut position) = unpack(cursor);
    let (mut seen, mut steps, mut next) = (0, 0, 0);
    let mut due = Names::default();
    let is_kept = space.pause.keeps_keys(now_ms);
    db.each_shard(first, |at, shard, record| {
        let begin = std::mem::take(&mut position);
        let (keys, mut interests) = shard.parts_mut(index);
        let Some(keys) = keys.filter(|keys| !keys.table.is_empty()) else {
            return true;
        };
        let mut here = begin;
        loop {
            let is_enough = seen >= count || steps >= count.saturating_mul(STEPS_PER_COUNT);
            if is_enough && pack(at, here) > cursor {
                next = pack(at, here);
                return false;
            }
            here = keys.table.scan(here, &mut |entry| {
                seen += 1;
                let is_wanted =
                    wanted.pattern.is_none_or(|pattern| glob::matches(pattern, entry.key(), false))
                        && wanted.kind.is_none_or(|kind| kind == entry.kind());
                if is_wanted {
                    let names = if is_due(entry, now_ms) { &mut due } else { &mut *found };
                    names.push(entry.key());
                }
            });
            steps += 1;
            for name in due.iter().filter(|_| !is_kept) {
                expire(space, index, keys, name, interests.as_deref_mut(), record);
            }
            due.clear();
            if here == 0 {
                return true;
            }
        }
    });
    next
}

/// A key of the database, each as likely as any other. Due ones that are drawn leave.
fn random(db: &mut Db<'_>) -> Option<Box<[u8]>> {
    let (space, index, now_ms) = (db.space(), db.index(), db.now_ms());
    let is_kept = space.pause.keeps_keys(now_ms);
    for _ in 0..RANDOM_TRIES {
        let mut total = 0;
        db.each_shard(0, |_, shard, _| {
            total += shard.keys(index).map_or(0, |keys| keys.table.len() as u64);
            true
        });
        if total == 0 {
            return None;
        }
        let mut nth = db.record.chance.below(total);
        let mut drawn = None;
        db.each_shard(0, |_, shard, record| {
            let (keys, interests) = shard.parts_mut(index);
            let Some(keys) = keys else { return true };
            let len = keys.table.len() as u64;
            if nth >= len {
                nth -= len;
                return true;
            }
            let entry = keys.table.random(&mut || record.chance.next_u64());
            let key = entry.map(|entry| (Box::<[u8]>::from(entry.key()), is_due(entry, now_ms)));
            match key {
                Some((_, true)) if is_kept => {}
                Some((key, true)) => expire(space, index, keys, &key, interests, record),
                Some((key, false)) => drawn = Some(key),
                None => {}
            }
            false
        });
        if drawn.is_some() {
            return drawn;
        }
    }
    None
}

/// Removes a key whose deadline has passed.
fn expire(
    space: &Space,
    index: usize,
    keys: &mut Keys,
    key: &[u8],
    interests: Option<&mut Interests>,
    record: &mut Record,
) {
    let Some(entry) = keys.table.remove(space.hasher.hash(key), key) else { return };
    keys.tally.sub_entry(&entry);
    keys.tally.expired_ms = keys.tally.expired_ms.max(entry.deadline_ms().unwrap_or(0));
    if let Some(interests) = interests {
        interests.lapsed(index, key, record);
    }
    record.expired(index, entry);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::commands::trial::Trial;
    use crate::keyspace::Event;

    fn step(trial: &mut Trial, cursor: u64, count: u64, wanted: Wanted<'_>) -> (u64, Vec<Vec<u8>>) {
        let mut found = Names::default();
        let next = trial.run_by_shard(|db| walk(db, cursor, count, &wanted, &mut found));
        (next, found.iter().map(<[u8]>::to_vec).collect())
    }

    fn name(number: u32) -> Vec<u8> {
        format!("key:{number}").into_bytes()
    }

    fn delete(trial: &mut Trial, key: &[u8]) {
        trial.run(|db| {
            let mut key = db.open(key);
            if key.exists() {
                key.remove();
                key.commit(Event::DEL);
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Whatever is added and removed between the calls, keys that stay are returned, keys that were never
        /// there are not, and cursors only grow.
        #[test]
        fn an_iteration_returns_every_key_that_stays(
            stay in 0u32..600,
            count in 1u64..40,
            changes in prop::collection::vec((any::<bool>(), 0u32..200, 1u32..300), 0..30),
        ) {
            let mut trial = Trial::new();
            (0..stay).for_each(|n| trial.set(&name(n), b"v", None));
            let mut known: BTreeSet<_> = (0..stay).map(name).collect();
            let (mut cursor, mut seen) = (0, BTreeSet::new());
            let mut changes = changes.into_iter();
            loop {
                let (next, found) = step(&mut trial, cursor, count, Wanted::default());
                prop_assert!(next == 0 || next > cursor);
                prop_assert!(next < 1 << 53);
                seen.extend(found);
                cursor = next;
                if cursor == 0 {
                    break;
                }
                if let Some((adds, first, number)) = changes.next() {
                    for other in (first..first + number).map(|n| name(1_000_000 + n)) {
                        if adds {
                            trial.set(&other, b"v", None);
                            known.insert(other);
                        } else {
                            delete(&mut trial, &other);
                        }
                    }
                }
            }
            prop_assert!((0..stay).all(|n| seen.contains(&name(n))));
            prop_assert!(seen.is_subset(&known));
        }
    }

    #[test]
    fn a_call_ends_when_enough_keys_were_seen_even_if_none_is_wanted() {
        let mut trial = Trial::new();
        (0..5_000).for_each(|n| trial.set(&name(n), b"v", None));
        let (next, found) = step(&mut trial, 0, 100, Wanted::default());
        assert!(next != 0 && (100..400).contains(&found.len()), "{}", found.len());
        let nothing = Wanted { pattern: Some(b"nothing*"), kind: None };
        assert_eq!(step(&mut trial, 0, 100, nothing), (next, vec![]));
        let nothing = Wanted { pattern: None, kind: Some(Kind::List) };
        assert_eq!(step(&mut trial, 0, 100, nothing), (next, vec![]));
        let (next, found) = step(&mut trial, 0, u64::MAX, Wanted { pattern: Some(b"key:77*"), kind: None });
        assert_eq!((next, found.len()), (0, 11));
    }

    #[test]
    fn cursors_that_no_call_returned_still_end() {
        let mut trial = Trial::new();
        (0..3_000).for_each(|n| trial.set(&name(n), b"v", None));
        for begin in [1, 5, (1 << KEPT_BITS) - 1, 63 << KEPT_BITS, u64::MAX >> 1, 7 << KEPT_BITS | 12_345] {
            let (mut cursor, mut calls) = (begin, 0);
            loop {
                let (next, _) = step(&mut trial, cursor, 1, Wanted::default());
                assert!(next == 0 || next > cursor, "{begin}");
                cursor = next;
                calls += 1;
                if cursor == 0 {
                    break;
                }
            }
            assert!(calls <= 3_001, "{begin}");
        }
        assert_eq!(step(&mut trial, 64 << KEPT_BITS, 10, Wanted::default()), (0, vec![]));
        assert_eq!(step(&mut trial, u64::MAX, 10, Wanted::default()), (0, vec![]));
    }

    #[test]
    fn due_keys_leave_when_they_would_have_been_returned() {
        let mut trial = Trial::new();
        trial.set(b"stays", b"v", None);
        trial.set(b"goes", b"v", Some(1_500_000));
        trial.now_ms = 1_500_000;
        assert_eq!(
            step(&mut trial, 0, 10, Wanted { pattern: Some(b"s*"), kind: None }),
            (0, vec![b"stays".to_vec()])
        );
        assert!(trial.events().is_empty());
        assert_eq!(step(&mut trial, 0, 10, Wanted::default()), (0, vec![b"stays".to_vec()]));
        assert_eq!(trial.events(), ["0:expired=goes"]);
        assert_eq!(step(&mut trial, 0, 10, Wanted::default()).1.len(), 1);
        assert!(trial.events().is_empty());
    }

    #[test]
    fn random_keys_are_drawn_evenly_and_never_due() {
        let mut trial = Trial::new();
        assert_eq!(trial.run(random), None);
        (0..40).for_each(|n| trial.set(&name(n), b"v", None));
        (40..60).for_each(|n| trial.set(&name(n), b"v", Some(1_500_000)));
        trial.now_ms = 1_500_000;
        let mut drawn = BTreeMap::new();
        for _ in 0..8_000 {
            *drawn.entry(trial.run(random).expect("there are keys")).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 40);
        assert!(drawn.values().all(|times| (100..=300).contains(times)), "{drawn:?}");
        let left = trial.run(|db| (40..60).filter(|&n| db.peek(&name(n)).is_some()).count());
        assert_eq!(left, 0);
    }

    #[test]
    fn random_gives_up_when_it_draws_only_due_keys() {
        let mut trial = Trial::new();
        (0..300).for_each(|n| trial.set(&name(n), b"v", Some(1_500_000)));
        trial.now_ms = 1_500_000;
        assert_eq!(trial.run(random), None);
        assert_eq!(trial.events().len(), RANDOM_TRIES);
    }
}
