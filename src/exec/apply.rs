//! What follows from a command, under its locks and right after them.
//!
//! For: handing the record of a command to those who wait for it. May touch: the commit log, counters, the
//! reclaim thread.
//! Always: the unit of a command enters the log while its shards are held; nothing large is freed while they
//! are.

use super::notify;
use crate::command::Host;
use crate::keyspace::record::{Effect, Garbage, Record};
use crate::resp::Args;

/// Freeing this many bytes takes long enough to be another thread's work.
const RECLAIM_BYTES: usize = 256 * 1024;

/// Under the locks: the commit log. `db` is the database the command ran in.
#[inline]
pub fn under_locks(host: &Host, lane: usize, record: &mut Record, db: usize, args: Args<'_>) {
    tell(host, record);
    if record.logs {
        log(host, lane, record, db, args);
    }
}

#[inline(never)]
fn log(host: &Host, lane: usize, record: &mut Record, db: usize, args: Args<'_>) {
    let effects = effects(record, db, &args);
    if record.are_apart {
        effects.into_iter().for_each(|effect| host.log.append(lane, vec![effect]));
    } else if !effects.is_empty() {
        host.log.append(lane, effects);
    }
}

/// Publishes what happened to keys, if anybody wants to know; their shards are held.
#[inline]
pub fn tell(host: &Host, record: &mut Record) {
    if record.listens && !record.happenings.is_empty() {
        notify::publish(host, record.events, &record.happenings);
    }
}

/// Takes the effects of a command out of its record: nothing while nobody reads the log.
pub fn effects(record: &mut Record, db: usize, args: &Args<'_>) -> Vec<Effect> {
    let mut effects = std::mem::take(&mut record.effects);
    if record.logs && record.dirty > 0 && !record.rewritten {
        effects.push(Effect { db, argv: args.iter().map(Into::into).collect() });
    }
    effects
}

/// After the locks: frees what was detached.
#[inline(never)]
pub fn after_locks(host: &Host, record: &mut Record) {
    for garbage in record.garbage.drain(..) {
        let large = match &garbage {
            Garbage::Entry(entry) | Garbage::Copy(_, entry) => entry.block_bytes() >= RECLAIM_BYTES,
            Garbage::Bytes(bytes) => bytes.len() >= RECLAIM_BYTES,
            Garbage::Value(value) => value.heap_bytes() >= RECLAIM_BYTES,
        };
        if large {
            host.reclaim.free(garbage);
        }
    }
}
