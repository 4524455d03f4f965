//! Whole databases: emptying, swapping, counting.
//!
//! For: commands that treat a database as one thing. May touch: what `Cx` carries.
//! Always: everything is held exclusively, so nobody sees a database half emptied or half swapped.

use crate::command::cursor::{Cursor, int};
use crate::command::row::{Acl, Command, Flags, Group, Locks, cmd};
use crate::command::{Cx, Outcome};
use crate::fault::Fault;
use crate::keyspace::{Db, Keys};
use crate::resp::Args;

/// The rows of this family.
pub const ROWS: &[Command] = &[
    cmd("DBSIZE", dbsize)
        .arity(1)
        .locks(Locks::All)
        .flags(Flags::READONLY.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .group(Group::Server)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Counts the keys of the selected database.", "")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    cmd("FLUSHALL", flushall)
        .args_since(&[("4.0.0", "async"), ("6.2.0", "sync")])
        .arity(-1)
        .locks(Locks::All)
        .flags(Flags::WRITE)
        .acl(Acl::KEYSPACE.union(Acl::DANGEROUS))
        .group(Group::Server)
        .since("1.0.0")
        .cost("O(N) for N keys in all databases, spent in the background with ASYNC.")
        .history(&[("4.0.0", "Takes ASYNC."), ("6.2.0", "Takes SYNC.")])
        .doc("Removes every key of every database.", "[ASYNC | SYNC]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    cmd("FLUSHDB", flushdb)
        .args_since(&[("4.0.0", "async"), ("6.2.0", "sync")])
        .arity(-1)
        .locks(Locks::All)
        .flags(Flags::WRITE)
        .acl(Acl::KEYSPACE.union(Acl::DANGEROUS))
        .group(Group::Server)
        .since("1.0.0")
        .cost("O(N) for N keys in the database, spent in the background with ASYNC.")
        .history(&[("4.0.0", "Takes ASYNC."), ("6.2.0", "Takes SYNC.")])
        .doc("Removes every key of the selected database.", "[ASYNC | SYNC]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    cmd("SWAPDB", swapdb)
        .arity(3)
        .locks(Locks::All)
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::KEYSPACE.union(Acl::DANGEROUS))
        .group(Group::Server)
        .since("4.0.0")
        .cost("O(1) in the number of keys.")
        .doc("Exchanges the contents of two databases.", "index1 index2"),
];

fn dbsize(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let (index, mut count) = (cx.db.index(), 0);
    cx.db.each_shard(0, |_, shard, _| {
        count += shard.keys(index).map_or(0, |keys| keys.table.len());
        true
    });
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

fn flushall(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    flush(cx, args, None)
}

fn flushdb(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let index = cx.db.index();
    flush(cx, args, Some(index))
}

fn swapdb(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let one = index(args.get(1), Fault::FIRST_DB_INDEX)?;
    let other = index(args.get(2), Fault::SECOND_DB_INDEX)?;
    let databases = cx.db.space().databases;
    let within =
        |index: i32| usize::try_from(index).ok().filter(|&index| index < databases).ok_or(Fault::DB_INDEX);
    let (one, other) = (within(one)?, within(other)?);
    let space = cx.db.space();
    let mut watched = Vec::new();
    cx.db.each_shard(0, |_, shard, _| {
        watched.extend([one, other].into_iter().flat_map(|db| shard.watched(db)).map(<[u8]>::to_vec));
        true
    });
    for key in &watched {
        // One that is due goes before: to those who watch the other database it was never there.
        cx.db.lend(one).peek(key);
        cx.db.lend(other).peek(key);
    }
    cx.db.each_shard(0, |_, shard, record| {
        shard.touch_existing(one, &[one, other], &space.hasher);
        shard.touch_existing(other, &[one, other], &space.hasher);
        shard.swap(one, other);
        shard.stir(one, record);
        shard.stir(other, record);
        true
    });
    cx.db.record.dirty += 1;
    cx.out.ok();
    Ok(Outcome::Done)
}

fn index(arg: &[u8], fault: Fault) -> Result<i32, Fault> {
    int(arg).ok().and_then(|index| i32::try_from(index).ok()).ok_or(fault)
}

fn flush(cx: &mut Cx<'_>, args: Args<'_>, only: Option<usize>) -> Result<Outcome, Fault> {
    let mut options = Cursor::new(args, 1);
    let waits = options.word("SYNC");
    let _ = waits || options.word("ASYNC");
    options.end()?;
    let detached = detach(&mut cx.db, only);
    if waits {
        drop(detached);
    } else if !detached.is_empty() {
        cx.host.reclaim.free(detached);
    }
    if cx.db.logs() {
        // Also when there was nothing to remove here: others may have keys that they should not have.
        let argv: Vec<&[u8]> = args.iter().collect();
        cx.db.propagate(&argv);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Takes the keys of one database, or of all, out of every shard.
fn detach(db: &mut Db<'_>, only: Option<usize>) -> Vec<Keys> {
    let space = db.space();
    let databases = only.map_or(0..space.databases, |index| index..index + 1);
    let mut detached = Vec::new();
    db.each_shard(0, |at, shard, record| {
        databases.clone().for_each(|index| shard.touch_existing(index, &[index], &space.hasher));
        for keys in databases.clone().filter_map(|index| shard.detach(index)) {
            record.dirty += keys.table.len() as u64;
            detached.push(*keys);
        }
        shard.forget_readers(record);
        databases.clone().for_each(|index| shard.stir(index, record));
        if only.is_none() {
            // With other databases left it stays: too early does no harm.
            space.publish_due(at, u64::MAX);
        }
        true
    });
    // Everybody who tracks keys forgets all of them, whatever the database.
    db.record.stale.read.push(None);
    detached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::trial::Trial;
    use crate::keyspace::{Deadline, Event, NewValue};

    fn filled() -> Trial {
        let mut trial = Trial::new();
        for (index, n) in (0..4).flat_map(|index| (0..100).map(move |n| (index, n))) {
            trial.run(|db| {
                db.switch(index);
                let name = format!("key:{n}");
                let mut key = db.open(name.as_bytes());
                key.set(NewValue::Int(n), Deadline::At(2_000_000));
                key.commit(Event::SET);
            });
        }
        trial
    }

    fn sizes(trial: &mut Trial) -> [usize; 4] {
        let mut sizes = [0; 4];
        trial.run(|db| {
            db.each_shard(0, |_, shard, _| {
                shard.databases().for_each(|(index, keys)| sizes[index] += keys.table.len());
                true
            });
        });
        sizes
    }

    #[test]
    fn flushing_counts_what_it_removes_and_leaves_other_databases_alone() {
        let mut trial = filled();
        assert_eq!(sizes(&mut trial), [100; 4]);
        trial.run(|db| drop(detach(db, Some(2))));
        assert_eq!((trial.record.dirty, trial.events()), (100, vec![]));
        assert_eq!(sizes(&mut trial), [100, 100, 0, 100]);
        trial.run(|db| drop(detach(db, None)));
        assert_eq!(trial.record.dirty, 300);
        assert_eq!(sizes(&mut trial), [0; 4]);
        assert!(trial.space.due.iter().all(|due| due.at_ms() == u64::MAX));
    }
}
