//! The table alone: GET and SET over a million keys in batches of sixteen, and resident memory per key.
//!
//! `cargo bench --bench table` times; `TABLE_MEMORY=1 cargo bench --bench table` prints memory instead.

use divan::{Bencher, black_box};
use ochre::keyspace::entry::{Entry, NewValue, ValueRef};
use ochre::keyspace::hash::{KeyHasher, shard};
use ochre::keyspace::table::{Hint, Table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 1_000_000;
const SHARDS: usize = 64;
const BATCH: usize = 16;
const VALUE: [u8; 32] = [b'v'; 32];

fn main() {
    if std::env::var_os("TABLE_MEMORY").is_some() { memory() } else { divan::main() }
}

/// Tables as the server has them: one per shard.
struct Tables {
    hasher: KeyHasher,
    tables: Vec<Table>,
    hints: Vec<Hint>,
}

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let digits = number.to_string();
    key[16 - digits.len()..].copy_from_slice(digits.as_bytes());
    key
}

impl Tables {
    fn new() -> Tables {
        let hasher = KeyHasher::new(42);
        let tables: Vec<Table> = (0..SHARDS).map(|_| Table::new(hasher.clone())).collect();
        let hints = tables.iter().map(Table::hint).collect();
        Tables { hasher, tables, hints }
    }

    fn fill(&mut self, from: usize, to: usize, deadline_ms: Option<u64>) {
        for number in from..to {
            let key = key(number);
            let hash = self.hasher.hash(&key);
            let table = &mut self.tables[shard(hash, SHARDS)];
            let mut slot = table.slot(hash, &key);
            if slot.entry().is_none() {
                slot.insert(hash, Entry::new(&key, NewValue::Bytes(&VALUE), deadline_ms));
            }
            if table.has_retired() {
                drop(table.take_retired());
            }
        }
    }

    /// Sixteen random keys with their hashes; `stages` of prefetching done for them.
    #[inline]
    fn batch(&self, random: &mut u64, stages: u32) -> [(u64, [u8; 16]); BATCH] {
        let keys = std::array::from_fn(|_| {
            *random = random.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            let key = key((((*random >> 32) * KEYS as u64) >> 32) as usize);
            (self.hasher.hash(&key), key)
        });
        // SAFETY: one thread, so nothing is freed while the hints read.
        unsafe {
            if stages >= 1 {
                let spots =
                    keys.map(|(hash, _)| (hash, self.hints[shard(hash, SHARDS)].prefetch_bucket(hash)));
                if stages >= 2 {
                    spots.iter().filter_map(|(hash, spot)| Some((hash, (*spot)?))).for_each(
                        |(hash, spot)| {
                            spot.prefetch_entries(*hash);
                        },
                    );
                }
            }
        }
        keys
    }
}

/// The cost of making keys and hashes, to be taken off the others.
#[divan::bench(items_count = BATCH)]
fn keys_only(bencher: Bencher) {
    let (tables, mut random) = (Tables::new(), 1);
    bencher.bench_local(|| black_box(tables.batch(&mut random, 0)));
}

#[divan::bench(items_count = BATCH, args = [0, 1, 2])]
fn get(bencher: Bencher, stages: u32) {
    let mut tables = Tables::new();
    tables.fill(0, KEYS, None);
    let mut random = 1;
    bencher.bench_local(|| {
        let mut sum = 0;
        for (hash, key) in tables.batch(&mut random, stages) {
            if let Some(ValueRef::Bytes(bytes)) =
                tables.tables[shard(hash, SHARDS)].find(hash, &key).map(Entry::value)
            {
                sum += bytes[31] as usize;
            }
        }
        sum
    });
}

#[divan::bench(items_count = BATCH, args = [0, 1, 2])]
fn set(bencher: Bencher, stages: u32) {
    let mut tables = Tables::new();
    tables.fill(0, KEYS, None);
    let mut random = 1;
    bencher.bench_local(|| {
        for (hash, key) in tables.batch(&mut random, stages) {
            let mut slot = tables.tables[shard(hash, SHARDS)].slot(hash, &key);
            let mut entry = slot.entry_mut().expect("every key is there");
            entry.set_value(NewValue::Bytes(&VALUE));
        }
    });
}

/// From an empty table to a million keys; the time is per key.
#[divan::bench(items_count = KEYS, sample_count = 5, sample_size = 1)]
fn fill(bencher: Bencher) {
    bencher.bench_local(|| {
        let mut tables = Tables::new();
        tables.fill(0, KEYS, None);
        tables
    });
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

/// With `TABLE_DEADLINE` set every key has a deadline.
fn memory() {
    let deadline_ms = std::env::var_os("TABLE_DEADLINE").map(|_| 1_900_000_000_000);
    let before = resident_bytes();
    let mut tables = Tables::new();
    let (mut from, mut sum) = (0, 0.0);
    for to in [1_000_000, 1_300_000, 1_600_000, 2_000_000] {
        tables.fill(from, to, deadline_ms);
        from = to;
        let per_key = (resident_bytes() - before) as f64 / to as f64;
        sum += per_key / 4.0;
        let heap: usize = tables.tables.iter().map(Table::heap_bytes).sum();
        let stats = tables.tables[0].stats();
        println!(
            "{to} keys: {per_key:.1} bytes resident per key, {:.1} of them table; {stats:?}",
            heap as f64 / to as f64
        );
    }
    println!("mean {sum:.1}");
}
