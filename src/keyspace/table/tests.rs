//! The table against a model that cannot be wrong.
//!
//! For: insertion, removal, scanning, growing and shrinking in any order. May touch: the table alone.
//! Always: after every step the table holds what the model holds, and its invariants.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::keyspace::entry::{INLINE_MAX, NewValue, ValueRef};

/// A stream of pseudo-random words from a seed.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

fn bytes_of(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Shared(bytes) => bytes.to_vec(),
    }
}

fn put(table: &mut Table, key: &[u8]) {
    let hash = table.hasher().hash(key);
    let mut slot = table.slot(hash, key);
    match slot.entry_mut() {
        Some(mut entry) => entry.set_value(NewValue::Int(1)),
        None => assert_eq!(slot.insert(hash, Entry::new(key, NewValue::Int(0), None)).key(), key),
    }
}

fn delete(table: &mut Table, key: &[u8]) -> bool {
    let hash = table.hasher().hash(key);
    table.remove(hash, key).is_some()
}

/// Values and deadlines by key.
type Plain = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// A table and what it should hold.
struct Model {
    table: Table,
    plain: Plain,
    words: Words,
}

impl Model {
    fn new(hasher: KeyHasher, seed: u64) -> Model {
        Model { table: Table::new(hasher), plain: HashMap::new(), words: Words(seed) }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = [3, 20, 32, 60, INLINE_MAX + 5][self.words.below(64).saturating_sub(59)];
        vec![self.words.next() as u8; len]
    }

    fn insert(&mut self, key: Vec<u8>) {
        let value = self.value();
        let deadline = (self.words.below(3) == 0).then(|| self.words.next());
        let hash = self.table.hasher().hash(&key);
        let entry = Entry::new(&key, NewValue::Bytes(&value), deadline);
        let mut slot = self.table.slot(hash, &key);
        let old = match slot.entry_mut() {
            Some(mut there) => Some(bytes_of(&there.replace(entry))),
            None => {
                assert_eq!(slot.insert(hash, entry).key(), key);
                assert_eq!(slot.entry().unwrap().key(), key);
                None
            }
        };
        assert_eq!(self.plain.insert(key, (value, deadline)).map(|(value, _)| value), old);
    }

    fn remove(&mut self, key: &[u8]) {
        let hash = self.table.hasher().hash(key);
        let removed = self.table.remove(hash, key).map(|entry| (bytes_of(&entry), entry.deadline_ms()));
        assert_eq!(removed, self.plain.remove(key));
    }

    fn change(&mut self, key: &[u8]) {
        let hash = self.table.hasher().hash(key);
        let choice = self.words.below(4);
        let bytes = self.value();
        let mut slot = self.table.slot(hash, key);
        let Some(mut entry) = slot.entry_mut() else {
            assert!(!self.plain.contains_key(key));
            return;
        };
        entry.set_lru(hash as u32);
        let (value, deadline) = self.plain.get_mut(key).expect("the table has it");
        match choice {
            0 => {
                *deadline = if deadline.is_some() { None } else { Some(hash) };
                entry.set_deadline(*deadline);
            }
            1 => {
                entry.edit_bytes(|old| old.extend_from_slice(&bytes));
                value.extend_from_slice(&bytes);
            }
            2 => {
                entry.set_value(NewValue::Shared(Arc::new(bytes.clone())));
                *value = bytes;
            }
            _ => {
                if let (Some(first), Some(same)) =
                    (entry.into_bytes_mut().and_then(|b| b.first_mut()), value.first_mut())
                {
                    (*first, *same) = (b'!', b'!');
                }
            }
        }
        assert_eq!(slot.entry().unwrap().lru(), hash as u32 & 0xff_ffff);
    }

    /// Random operations on keys below `range`, `grow` of ten of which insert.
    fn run(&mut self, operations: usize, range: usize, grow: usize) {
        for _ in 0..operations {
            let key = key(self.words.below(range));
            match self.words.below(12) {
                choice if choice < grow => self.insert(key),
                choice if choice < 10 => self.remove(&key),
                _ => self.change(&key),
            }
            if self.table.retired.len() > 100 {
                drop(self.table.take_retired());
            }
        }
    }

    fn check(&self) {
        self.table.check_invariants();
        assert_eq!(self.table.len(), self.plain.len());
        let all = self.table.iter().map(|e| (e.key().to_vec(), (bytes_of(e), e.deadline_ms())));
        assert_eq!(all.collect::<Plain>(), self.plain);
        for (key, (value, _)) in &self.plain {
            let hash = self.table.hasher().hash(key);
            assert_eq!(bytes_of(self.table.find(hash, key).unwrap()), *value);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_table_behaves_like_a_map(
        seed: u64, phases in prop::collection::vec((0usize..2500, 1usize..4000, 0usize..=10), 1..6),
    ) {
        let mut model = Model::new(KeyHasher::new(seed), seed);
        for (operations, range, grow) in phases {
            model.run(operations, range, grow);
            model.check();
        }
    }

    /// Few distinct hashes, or many that agree in their leading or trailing bits.
    #[test]
    fn colliding_hashes_cost_time_but_nothing_is_lost(seed: u64, keep in prop_oneof![
        Just(0), Just(3), Just(0xff), Just(0xffff_ffff), Just(3 << 40), Just(0xff00_0000_00ff), any::<u64>(),
    ]) {
        let mut model = Model::new(KeyHasher::with_mask(seed, keep), seed);
        for grow in [8, 5, 1] {
            model.run(1000, 700, grow);
            model.check();
        }
    }
}

#[test]
fn a_table_grows_to_fifty_thousand_keys_and_shrinks_back_to_one_bucket() {
    let mut model = Model::new(KeyHasher::new(11), 12);
    (0..50_000).for_each(|number| model.insert(key(number)));
    model.check();
    let full = model.table.stats();
    assert!(full.entries * 100 > full.slots * 55, "{full:?}");
    assert!(full.directory <= 8 * full.segments && full.spilled == 0, "{full:?}");
    (0..49_000).for_each(|number| model.remove(&key(number)));
    model.check();
    let sparse = model.table.stats();
    assert!(sparse.slots < 5 * sparse.entries, "{sparse:?}");
    (49_000..50_000).for_each(|number| model.remove(&key(number)));
    model.check();
    let empty = model.table.stats();
    assert!(empty.buckets <= 2 && empty.directory <= 2, "{empty:?}");
}

#[test]
fn churn_at_constant_size_does_not_lengthen_searches() {
    let mut table = Table::new(KeyHasher::new(5));
    (0..20_000).for_each(|number| put(&mut table, &key(number)));
    for number in 0..100_000 {
        assert!(delete(&mut table, &key(number)));
        put(&mut table, &key(number + 20_000));
        drop(table.take_retired());
    }
    table.check_invariants();
    let stats = table.stats();
    let reach: usize =
        table.directory.segments().flat_map(|(_, s)| s.buckets).map(|b| b.word().reach()).sum();
    assert!(reach < 2 * stats.buckets, "a miss looks into {reach} more of {stats:?}");
    assert!(stats.displaced * 3 < stats.entries, "{stats:?}");
}

#[test]
fn keys_of_one_hash_end_in_the_spill_and_leave_it() {
    let mut table = Table::new(KeyHasher::with_mask(1, 0));
    (0..3000).for_each(|number| put(&mut table, &key(number)));
    table.check_invariants();
    let stats = table.stats();
    assert!(stats.spilled > 2000 && stats.directory == 1, "{stats:?}");
    assert!(table.find(0, &key(2999)).is_some() && table.find(0, b"none").is_none());
    let wanted = key(2500);
    assert_eq!(table.find_by_hash(0, |entry| entry.key() == wanted).entry().unwrap().key(), wanted);
    assert!((0..3000).all(|number| delete(&mut table, &key(number))));
    table.check_invariants();
    assert!(table.is_empty() && table.iter().next().is_none());
}

#[test]
fn searching_by_hash_offers_every_entry_of_that_hash() {
    let mut table = Table::new(KeyHasher::with_mask(1, 0xffff_0000_03ff));
    (0..5000).for_each(|number| put(&mut table, &key(number)));
    for number in 0..5000 {
        let (key, mut offered) = (key(number), 0);
        let hash = table.hasher().hash(&key);
        let found = table.find_by_hash(hash, |entry| {
            offered += 1;
            entry.key() == key
        });
        assert_eq!(found.entry().unwrap().key(), key);
        assert!(offered < 64);
    }
}

/// One whole iteration, with `between` called after every step; how often each key came.
fn scan_all(table: &mut Table, mut between: impl FnMut(&mut Table)) -> HashMap<Vec<u8>, u32> {
    let (mut seen, mut cursor) = (HashMap::new(), 0);
    for step in 0.. {
        assert!(step < 1_000_000, "the iteration must end");
        let next = table.scan(cursor, &mut |entry| *seen.entry(entry.key().to_vec()).or_default() += 1);
        assert!(next == 0 || next > cursor && next < 1 << 48);
        if next == 0 {
            return seen;
        }
        cursor = next;
        between(table);
    }
    unreachable!()
}

#[test]
fn a_scan_of_a_quiet_table_visits_every_key_once() {
    for (count, keep) in [(0, u64::MAX), (5, u64::MAX), (9000, u64::MAX), (900, 0), (3000, 0x0f00_0000_0000)]
    {
        let mut table = Table::new(KeyHasher::with_mask(9, keep));
        (0..count).for_each(|number| put(&mut table, &key(number)));
        let seen = scan_all(&mut table, |_| ());
        assert_eq!(seen.len(), count);
        assert!(seen.values().all(|&times| times == 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_scan_returns_once_every_key_that_was_there_throughout(
        seed: u64, kept in 0usize..600, other in 1usize..6000,
        keep in prop_oneof![3 => Just(u64::MAX), 1 => any::<u64>()],
    ) {
        let mut table = Table::new(KeyHasher::with_mask(seed, keep));
        let mut words = Words(seed);
        (0..kept).for_each(|number| put(&mut table, &key(number)));
        let mut growing = words.below(2) == 0;
        if !growing {
            (kept..kept + other).for_each(|number| put(&mut table, &key(number)));
        }
        let seen = scan_all(&mut table, |table| {
            if words.below(24) == 0 {
                growing = !growing;
            }
            for _ in 0..words.below(150) {
                let key = key(kept + words.below(other));
                if growing { put(table, &key) } else { _ = delete(table, &key) }
            }
            drop(table.take_retired());
        });
        prop_assert!((0..kept).all(|number| seen.get(&key(number)) == Some(&1)));
        table.check_invariants();
    }

    #[test]
    fn any_number_is_a_cursor(cursor: u64, count in 0usize..3000) {
        let mut table = Table::new(KeyHasher::new(cursor));
        (0..count).for_each(|number| put(&mut table, &key(number)));
        let next = table.scan(cursor, &mut |_| ());
        prop_assert!(next == 0 || next > cursor & ((1 << 48) - 1));
    }
}

#[test]
fn random_draws_every_key_equally_often() {
    for (count, keep) in
        [(1, u64::MAX), (40, u64::MAX), (700, u64::MAX), (300, 0), (700, 0x0003_0000_0000_0fff)]
    {
        let mut table = Table::new(KeyHasher::with_mask(21, keep));
        // Grown and shrunk again, so that segments differ in size, depth and load.
        (0..count * 5).for_each(|number| put(&mut table, &key(number)));
        (count..count * 5).for_each(|number| _ = delete(&mut table, &key(number)));
        let mut words = Words(count as u64);
        let mut drawn = HashMap::new();
        for _ in 0..count * 50 {
            *drawn.entry(table.random(&mut || words.next()).unwrap().key().to_vec()).or_insert(0u32) += 1;
        }
        assert_eq!(drawn.len(), count);
        let chi: f64 = drawn.values().map(|&n| (n as f64 - 50.0).powi(2) / 50.0).sum();
        let (free, spread) = (count as f64 - 1.0, (2.0 * count as f64).sqrt());
        assert!((chi - free).abs() <= 5.0 * spread, "{count} keys, mask {keep:x}: {chi}");
    }
}

#[test]
fn counting_off_reaches_every_key() {
    let mut table = Table::new(KeyHasher::new(2));
    assert!(table.random(&mut || 0).is_none());
    (0..2000).for_each(|number| put(&mut table, &key(number)));
    let all: HashSet<_> = (0..2000).filter_map(|nth| table.nth_in_buckets(nth)).map(Entry::key).collect();
    assert_eq!(all.len(), 2000);
    // A source that never varies must not hang.
    assert!(table.random(&mut || u64::MAX).is_some());
}

#[test]
fn a_panicking_edit_leaves_the_entry_in_its_slot() {
    let mut table = Table::new(KeyHasher::new(2));
    put(&mut table, b"k");
    let hash = table.hasher().hash(b"k");
    let edit = std::panic::AssertUnwindSafe(|| {
        table.slot(hash, b"k").entry_mut().unwrap().edit_bytes(|_| panic!("edit"));
    });
    assert!(std::panic::catch_unwind(edit).is_err());
    assert_eq!(table.find(hash, b"k").unwrap().value(), ValueRef::Int(0));
}

#[test]
fn hints_read_a_table_that_another_thread_rebuilds() {
    let hasher = KeyHasher::new(4);
    let mut table = Table::new(hasher.clone());
    let hint = table.hint();
    let done = std::sync::atomic::AtomicBool::new(false);
    let mut kept = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut words = Words(1);
            while !done.load(Relaxed) {
                let hash = hasher.hash(&key(words.below(4000)));
                // SAFETY: nothing retired is freed, and the table not dropped, before this thread has ended.
                unsafe {
                    if let Some(spot) = hint.prefetch_bucket(hash) {
                        spot.prefetch_entries(hash);
                    }
                }
            }
        });
        for _ in 0..4 {
            (0..4000).for_each(|number| put(&mut table, &key(number)));
            (0..4000).for_each(|number| _ = delete(&mut table, &key(number)));
            kept.extend(table.take_retired());
        }
        done.store(true, Relaxed);
    });
    assert!(!kept.is_empty() && !table.has_retired());
    drop(table);
    // SAFETY: no turn is needed for a table that is gone; the hint finds nothing to read.
    assert!(unsafe { hint.prefetch_bucket(0) }.is_none());
}

#[test]
fn hints_lead_to_the_bucket_where_an_entry_has_found_room() {
    let mut table = Table::new(KeyHasher::new(4));
    let hint = table.hint();
    let (mut found, mut displaced, mut misled) = (0, 0, 0);
    for count in [100, 1_000, 5_000, 20_000] {
        (0..count).for_each(|number| put(&mut table, &key(number)));
        for number in 0..count {
            let hash = table.hasher().hash(&key(number));
            // SAFETY: nothing changes the table meanwhile.
            let mut spot = unsafe { hint.prefetch_bucket(hash) }.unwrap();
            let mut steps = 0;
            let distance = loop {
                // SAFETY: as above.
                match unsafe { spot.prefetch_entries(hash) } {
                    Sight::Further(next) => (spot, steps) = (next, steps + 1),
                    Sight::There(distance) => break distance,
                    Sight::Nowhere => panic!("a key that is there was not found"),
                }
                assert!(steps <= bucket::REACH, "{steps}");
            };
            let segment = table.directory.find(hash);
            let (bucket, _) = segment.number(table.cell_of(hash, &key(number), 0).unwrap()).unwrap();
            let is_right = bucket == segment.behind(segment.home(hash), distance.into());
            found += usize::from(is_right);
            displaced += usize::from(is_right && distance > 0);
            misled += usize::from(!is_right);
        }
    }
    // Another entry on the way may carry the same tag.
    assert!(displaced > found / 50 && misled < displaced / 4, "{found} {displaced} {misled}");
}

#[test]
fn an_entry_is_found_wherever_it_was_seen_before() {
    let mut table = Table::new(KeyHasher::new(4));
    for number in 0..2_000 {
        put(&mut table, &key(number));
        let seen = key(number / 2);
        let hash = table.hasher().hash(&seen);
        for distance in 0..=SPILLED as u8 {
            assert_eq!(table.slot_near(hash, &seen, distance).entry().unwrap().key(), seen);
            let missing = [b"no ", &seen[..]].concat();
            let hash = table.hasher().hash(&missing);
            assert!(table.slot_near(hash, &missing, distance).entry().is_none());
        }
    }
}

#[test]
fn memory_is_accounted_for() {
    let mut table = Table::new(KeyHasher::new(4));
    (0..3000).for_each(|number| put(&mut table, &key(number)));
    let with_retired = table.heap_bytes();
    drop(table.take_retired());
    let stats = table.stats();
    assert!(table.heap_bytes() < with_retired);
    assert!(table.heap_bytes() >= stats.buckets * 64 + stats.directory * 10);
}

#[test]
fn tables_may_change_threads_and_hints_be_shared() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Table>();
    sent::<Entry>();
    sent::<Retired>();
    sent::<Hint>();
    shared::<Hint>();
}
