//! Keys leaving on time.
//!
//! For: taking due keys out of a shard, in deadline order, a bounded number at a time; and, when the clock
//! was moved, out of all shards; and telling those who wait for a key that is to be looked at. May touch:
//! held shards and the record.
//! Always: a shard's published `due` is never later than its earliest deadline while the shard is not held.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::alarm::NEVER_MS;
use super::db::{Db, is_due};
use super::hash::KeyHasher;
use super::record::Record;
use super::shard::{Keys, Shard, Tally};
use super::space::Space;
use super::table::Table;
use super::watchers::Interests;
use super::wheel::{Owner, Verdict};

/// Fields of hashes that leave in one call at most.
const FIELDS_PER_SLICE: usize = 1024;

/// After that many keys a moved clock lets what waits for their events take it in.
const FIRINGS_PER_SLICE: usize = 10_000;

/// Expires up to `budget` keys of a shard that are due at `now_ms`, and up to [`FIELDS_PER_SLICE`] fields;
/// publishes when the shard has to be looked at next. A hash with more fields that are due comes up again a
/// millisecond later; whoever looks it up before does not see them.
pub fn expire_due(
    space: &Space,
    index: usize,
    shard: &mut Shard,
    now_ms: u64,
    budget: usize,
    record: &mut Record,
) {
    expire_up_to(space, index, shard, now_ms, (budget, FIELDS_PER_SLICE), record);
}

/// [`expire_due`] with a budget of keys and one of fields. Returns how many items were looked at: fewer than
/// the budget means that nothing due is left, unless there were too many fields.
fn expire_up_to(
    space: &Space,
    index: usize,
    shard: &mut Shard,
    now_ms: u64,
    (budget, mut fields): (usize, usize),
    record: &mut Record,
) -> usize {
    let mut looked = 0;
    shard.stir_looks(now_ms, record);
    let next = loop {
        let first =
            shard.databases().filter_map(|(db, keys)| Some((keys.wheel.as_ref()?.next_due_ms()?, db))).min();
        match first {
            Some((due_ms, db)) if due_ms <= now_ms && looked < budget && fields > 0 => {
                let (keys, interests) = shard.parts_mut(db);
                let keys = keys.expect("it has a wheel");
                // One tick at a time, so that keys of several databases leave in one order.
                let left = (budget - looked, &mut fields);
                looked += expire_tick(space, keys, db, (due_ms, interests), left, record).max(1);
            }
            Some((due_ms, _)) => break due_ms,
            None => break u64::MAX,
        }
    };
    space.publish_due(index, next.min(shard.next_look_ms()));
    looked
}

/// Expires every key that is due at `now_ms`, in order of deadlines over all shards and databases. For a
/// command that holds everything and has moved the clock.
pub fn expire_all_due(db: &mut Db<'_>, now_ms: u64) {
    db.record.are_apart = true;
    let due = db.space().due.iter().enumerate();
    let mut queue = due.map(|(index, due)| Reverse((due.at_ms(), index))).collect();
    while expire_slice(db, &mut queue, now_ms) {}
}

/// Expires up to [`FIRINGS_PER_SLICE`] keys. The queue holds every shard with its next tick. False: nothing
/// due is left.
fn expire_slice(db: &mut Db<'_>, queue: &mut BinaryHeap<Reverse<(u64, usize)>>, now_ms: u64) -> bool {
    let space = db.space();
    let mut left = FIRINGS_PER_SLICE;
    while left > 0 {
        let Some(mut first) = queue.peek_mut() else { return false };
        let Reverse((tick_ms, index)) = *first;
        if tick_ms > now_ms || tick_ms == NEVER_MS {
            return false;
        }
        db.each_shard(index, |_, shard, record| {
            left -= expire_up_to(space, index, shard, tick_ms, (left, usize::MAX), record).min(left);
            false
        });
        *first = Reverse((space.due[index].at_ms(), index));
    }
    true
}

/// Has every deadline of a shard filed anew, after the clock has gone back: a wheel only turns forward, so
/// what was filed since would come up late. The shard is due until [`expire_due`] is done with that.
pub fn refile(space: &Space, index: usize, shard: &mut Shard, now_ms: u64) {
    let mut next_ms = shard.next_look_ms();
    for (_, keys) in shard.databases_mut() {
        keys.refile(now_ms);
        next_ms = next_ms.min(keys.wheel.as_ref().and_then(|wheel| wheel.next_due_ms()).unwrap_or(u64::MAX));
    }
    space.publish_due(index, next_ms);
}

/// [`refile`]s all shards. The caller pokes the workers afterwards.
pub fn refile_all(db: &mut Db<'_>, now_ms: u64) {
    let space = db.space();
    db.each_shard(0, |index, shard, _| {
        refile(space, index, shard, now_ms);
        true
    });
}

fn expire_tick(
    space: &Space,
    keys: &mut Keys,
    db: usize,
    (tick_ms, interests): (u64, Option<&mut Interests>),
    (budget, fields): (usize, &mut usize),
    record: &mut Record,
) -> usize {
    let Keys { table, wheel, tally } = keys;
    let wheel = wheel.as_mut().expect("the caller saw it");
    let hasher = &space.hasher;
    let mut leaving = Leaving { db, table, tally, hasher, interests, fields, record };
    let looked = wheel.advance(tick_ms, budget, &mut leaving);
    if table.has_retired() {
        record.retired.append(&mut table.take_retired());
    }
    keys.tidy(hasher);
    looked
}

/// What the entries of a wheel's items are in, and what hears of those that leave.
struct Leaving<'a> {
    db: usize,
    table: &'a mut Table,
    tally: &'a mut Tally,
    hasher: &'a KeyHasher,
    interests: Option<&'a mut Interests>,
    /// How many fields of hashes may still leave.
    fields: &'a mut usize,
    record: &'a mut Record,
}

impl Owner for Leaving<'_> {
    fn expect(&mut self, hashes: &[u64]) {
        self.table.fetch(hashes);
    }

    fn look(&mut self, hash: u64, tick_ms: u64) -> Verdict {
        let Leaving { db, table, tally, hasher, interests, fields, record } = self;
        let mut slot =
            table.find_by_hash(hash, |e| e.next_due_ms().is_some() && hasher.hash(e.key()) == hash);
        let Some(entry) = slot.entry() else { return Verdict::Gone };
        match entry.next_due_ms() {
            Some(at) if at > tick_ms => return Verdict::Due(at),
            Some(at) if **fields == 0 && !is_due(entry, tick_ms) => return Verdict::Due(at),
            _ => {}
        }
        slot = record.expire((*db, hash), tick_ms, slot, (tally, interests.as_deref_mut()), fields);
        let Some(mut entry) = slot.entry_mut() else { return Verdict::Gone };
        match entry.next_due_ms() {
            Some(at) => Verdict::Due(at),
            None => {
                entry.set_filed(false);
                Verdict::Gone
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::db::{Deadline, Reach};
    use super::super::entry::NewValue;
    use super::super::record::Event;
    use super::*;
    use crate::clock::{Chance, Clock};
    use crate::value::hash::Until;
    use crate::value::{Hash, HashLimits, HashRef};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const START_MS: u64 = 1_700_000_000_000;

    /// Runs `f` on database 0 with everything held, at that time; answers what expired, in order.
    fn at(space: &Space, now_ms: u64, f: impl FnOnce(&mut Db<'_>)) -> Vec<(usize, String)> {
        let mut record = Record::new(Chance::new(1));
        record.listens = true;
        let mut part = space.shards.part(0);
        let mut turn = part.enter(std::time::Duration::MAX).expect("nobody else is here");
        turn.go_exclusive();
        f(&mut Db::new(Reach::Held(turn.all()), space, 0, now_ms, &mut record));
        let expired = record.happenings.iter().filter(|h| h.event == Event::EXPIRED);
        expired.map(|h| (h.db, String::from_utf8_lossy(&h.key).into_owned())).collect()
    }

    fn space() -> Space {
        let space = Space::new(1, 0, 3, 7, Clock::real(), Box::new(|_| ()));
        space.clock.freeze();
        space.clock.set_ms(START_MS);
        space
    }

    fn put(db: &mut Db<'_>, index: usize, key: &str, at_ms: u64) {
        let home = db.switch(index);
        let mut write = db.open(key.as_bytes());
        write.set(NewValue::Bytes(b"v"), Deadline::At(at_ms));
        write.commit(Event::SET);
        db.switch(home);
    }

    #[test]
    fn a_moved_clock_expires_in_order_of_deadlines_over_shards_and_databases() {
        let space = space();
        let count = 2 * FIRINGS_PER_SLICE as u64 + 500;
        // A step coprime to the count visits every offset once, in no order that a shard or a database would
        // keep.
        let offset = |i: u64| (i * 7_919) % count;
        at(&space, START_MS, |db| {
            for i in 0..count {
                put(db, (i % 3) as usize, &format!("{}", offset(i)), START_MS + 1 + 37 * offset(i));
            }
        });
        let half_ms = START_MS + 37 * (count / 2);
        let first = at(&space, half_ms, |db| expire_all_due(db, half_ms));
        let rest = at(&space, u64::MAX, |db| expire_all_due(db, u64::MAX));
        assert_eq!(first.len() as u64, count / 2);
        let keys: Vec<u64> =
            first.iter().chain(&rest).map(|(_, key)| key.parse().expect("a number")).collect();
        assert!(keys.iter().copied().eq(0..count), "not in order");
        let mut dbs = [0; 3];
        first.iter().chain(&rest).for_each(|&(db, _)| dbs[db] += 1);
        assert!(dbs.iter().all(|&n| n >= count / 3));
        assert!(space.due.iter().all(|due| due.at_ms() == u64::MAX));
    }

    #[test]
    fn after_the_clock_went_back_deadlines_fire_at_their_time() {
        const KEYS: usize = 500;
        let space = space();
        let ahead_ms = START_MS + 800_000;
        let put_all = |db: &mut Db<'_>, name: &str, at_ms: u64| {
            (0..KEYS).for_each(|i| put(db, i % 3, &format!("{name}{i}"), at_ms));
        };
        // The wheels turn to a time that comes after the one the clock is then set back to.
        at(&space, START_MS, |db| put_all(db, "late", ahead_ms + 100));
        let gone = at(&space, ahead_ms, |db| {
            put_all(db, "gone", ahead_ms);
            expire_all_due(db, ahead_ms);
        });
        assert_eq!(gone.len(), KEYS);
        at(&space, START_MS, |db| {
            refile_all(db, START_MS);
            put_all(db, "soon", START_MS + 10);
        });
        let expired_at = |now_ms| at(&space, now_ms, |db| expire_all_due(db, now_ms));
        assert_eq!(expired_at(START_MS + 9), []);
        assert_eq!(expired_at(START_MS + 10).len(), KEYS);
        assert_eq!(expired_at(ahead_ms + 99), []);
        assert_eq!(expired_at(ahead_ms + 100).len(), KEYS);
    }

    #[test]
    fn a_clock_that_went_back_is_followed_a_little_at_a_time() {
        const KEYS: u64 = 30_000;
        let space = space();
        let ahead_ms = START_MS + 800_000;
        at(&space, START_MS, |db| {
            (0..KEYS).for_each(|i| put(db, (i % 2) as usize, &format!("{i}"), ahead_ms + i));
        });
        assert_eq!(at(&space, ahead_ms + 10, |db| expire_all_due(db, ahead_ms + 10)).len(), 11);
        let mut rounds = 0;
        at(&space, START_MS, |db| {
            refile_all(db, START_MS);
            // Keys that come meanwhile, and some whose deadlines change.
            (0..100).for_each(|i| put(db, 0, &format!("new{i}"), START_MS + 50));
            (20..40).for_each(|i| put(db, (i % 2) as usize, &format!("{i}"), START_MS + 60));
            (40..60).for_each(|i| put(db, (i % 2) as usize, &format!("{i}"), ahead_ms + 2 * KEYS));
            db.each_shard(0, |index, shard, record| {
                while space.due[index].at_ms() <= START_MS {
                    expire_due(&space, index, shard, START_MS, 1, record);
                    shard.databases().for_each(|(_, keys)| keys.check_invariants());
                    rounds += 1;
                }
                assert!(shard.databases().all(|(_, keys)| !keys.wheel.as_ref().expect("one").is_behind()));
                true
            });
        });
        assert!(rounds > 3 * space.shard_count(), "{rounds}");
        let expired_at = |now_ms| at(&space, now_ms, |db| expire_all_due(db, now_ms)).len();
        assert_eq!(expired_at(START_MS + 49), 0);
        assert_eq!(expired_at(START_MS + 50), 100);
        assert_eq!(expired_at(START_MS + 60), 20);
        assert_eq!(expired_at(ahead_ms + 59), 9);
        assert_eq!(expired_at(ahead_ms + 1_000), 1_000 - 59);
        assert_eq!(expired_at(ahead_ms + 2 * KEYS) as u64, KEYS - 1_001 + 20);
    }

    /// Fields of a few hashes, by hash and name, with their deadlines.
    type Fields = BTreeMap<(u8, u16), u64>;

    fn put_fields(db: &mut Db<'_>, fields: &Fields) {
        let limits = HashLimits { max_entries: 8, max_value: 8, seed: 5 };
        for (&(key, field), &at_ms) in fields {
            let (key, field) = ([b'a' + key], field.to_string());
            let mut write = db.open(&key);
            write.update(|hash: &mut Hash| {
                hash.set(field.as_bytes(), b"v", Until::Cleared, &limits);
                hash.set_deadline(field.as_bytes(), Some(at_ms), limits.seed);
            });
            write.commit(Event::HSET);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn fields_leave_a_few_at_a_time_and_no_reader_sees_one_that_is_due(
            fields in prop::collection::btree_map((0..3u8, 0..400u16), 1..60u64, 1..400),
            steps in prop::collection::vec((0..4u64, 1..12usize, any::<bool>()), 1..60),
        ) {
            let space = space();
            let fields: Fields = fields.into_iter().map(|(field, ms)| (field, START_MS + ms)).collect();
            at(&space, START_MS, |db| put_fields(db, &fields));
            let (mut now_ms, mut expired, mut events) = (START_MS, 0, 0);
            let mut work = |now_ms: u64, limit: usize, reads: bool| {
                at(&space, now_ms, |db| {
                    db.each_shard(0, |index, shard, record| {
                        let before = record.counts.expired_fields;
                        expire_up_to(&space, index, shard, now_ms, (64, limit), record);
                        assert!(record.counts.expired_fields - before <= limit as u64);
                        shard.databases().for_each(|(_, keys)| keys.check_invariants());
                        true
                    });
                    for key in 0..3u8 {
                        let left = fields.iter().filter(|((of, _), at)| *of == key && **at > now_ms).count();
                        let seen = |hash: Option<HashRef<'_>>| hash.map_or(0, |hash| hash.len());
                        if reads {
                            assert_eq!(seen(db.read_as::<Hash>(&[b'a' + key]).expect("a hash")), left);
                        }
                    }
                    expired += db.record.counts.expired_fields;
                    events += db.record.happenings.iter().filter(|it| it.event == Event::HEXPIRED).count();
                });
            };
            for (later_ms, limit, reads) in steps {
                now_ms += later_ms;
                work(now_ms, limit, reads);
            }
            // Without any reader they all leave, too, with an event for each few.
            (1..=500).for_each(|later_ms| work(now_ms + later_ms, 3, false));
            prop_assert_eq!(expired as usize, fields.len());
            prop_assert!(events <= fields.len());
            prop_assert!(space.due.iter().all(|due| due.at_ms() == u64::MAX));
        }
    }

    /// A shard in which keys come and go with ever new deadlines: its wheel does not grow with their number,
    /// and what is left fires in time.
    #[test]
    fn a_wheel_is_renewed_while_keys_come_and_go() {
        const KEYS: u64 = 2_000;
        let space = space();
        let deadline = |round: u64, key: u64| START_MS + 1_000_000 - 10 * round + key % 7;
        for round in 0..40 {
            at(&space, START_MS + round, |db| {
                for key in 0..KEYS {
                    put(db, 0, &format!("{key}"), deadline(round, key));
                }
                db.each_shard(0, |_, shard, _| {
                    let keys = shard.keys(0).expect("some are there");
                    keys.check_invariants();
                    let (items, live) = (keys.wheel.as_ref().map_or(0, |it| it.len()), keys.table.len());
                    assert!(items <= 4 * live + 256, "{items} items for {live} keys");
                    true
                });
            });
        }
        let last_ms = deadline(39, 0);
        let expired = |now_ms| at(&space, now_ms, |db| expire_all_due(db, now_ms)).len();
        assert_eq!(expired(last_ms - 1), 0);
        assert_eq!(expired(last_ms) as u64, KEYS.div_ceil(7));
        assert_eq!(expired(last_ms + 6) as u64, KEYS - KEYS.div_ceil(7));
    }
}
