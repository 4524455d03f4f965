//! Keys leaving on time.
//!
//! For: taking due keys out of a shard, in deadline order, a bounded number at a time. May touch: one held shard and
//! the record.
//! Always: a shard's published `due` is never later than its earliest deadline while the shard is not held.

use super::record::Record;
use super::shard::{Keys, Shard};
use super::space::Space;
use super::wheel::Verdict;

/// Expires up to `budget` keys of a shard that are due at `now_ms`; publishes when the shard has to be looked at next.
/// Returns how many items were looked at: fewer than `budget` means that nothing due is left.
pub fn expire_due(
    space: &Space,
    index: usize,
    shard: &mut Shard,
    now_ms: u64,
    budget: usize,
    record: &mut Record,
) -> usize {
    let mut looked = 0;
    let next = loop {
        let first =
            shard.databases().filter_map(|(db, keys)| Some((keys.wheel.as_ref()?.next_due_ms()?, db))).min();
        match first {
            Some((due_ms, db)) if due_ms <= now_ms && looked < budget => {
                let keys = shard.keys_mut(db).expect("it has a wheel");
                // One tick at a time, so that keys of several databases leave in one order.
                looked += expire_tick(space, keys, db, due_ms, budget - looked, record).max(1);
            }
            Some((due_ms, _)) => break due_ms,
            None => break u64::MAX,
        }
    };
    space.due[index].publish(next);
    looked
}

fn expire_tick(
    space: &Space,
    keys: &mut Keys,
    db: usize,
    tick_ms: u64,
    budget: usize,
    record: &mut Record,
) -> usize {
    let Keys { table, wheel, tally } = keys;
    let wheel = wheel.as_mut().expect("the caller saw it");
    let hasher = &space.hasher;
    let looked = wheel.advance(tick_ms, budget, &mut |hash, _| {
        let found = table.find_by_hash(hash, |e| e.deadline_ms().is_some() && hasher.hash(e.key()) == hash);
        let Some(entry) = found else { return Verdict::Gone };
        let at = entry.deadline_ms().expect("the search asks for one");
        if at > tick_ms {
            return Verdict::Due(at);
        }
        let entry = entry.remove();
        tally.sub(at);
        record.expired(db, entry);
        Verdict::Gone
    });
    if table.has_retired() {
        record.retired.append(&mut table.take_retired());
    }
    keys.tidy(tick_ms, hasher);
    looked
}
