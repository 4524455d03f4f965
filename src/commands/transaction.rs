//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! For: beginning, ending and guarding transactions. May touch: what `Cx` carries.
//! Always: what EXEC runs, and how, is decided in `exec/multi.rs`; its handler here answers only a session
//! without a transaction.

use crate::client::Session;
use crate::command::row::{Acl, Command, Flags, Group, Handler, Locks, cmd};
use crate::command::{Cx, KeyFlags, KeySpec, Outcome};
use crate::fault::Fault;
use crate::keyspace::Db;
use crate::resp::Args;

/// The rows of this family.
pub const ROWS: &[Command] = &[
    row("DISCARD", discard, ANY_TIME.union(Flags::FAST).union(Flags::ALLOW_BUSY).union(Flags::UNQUEUED))
        .locks(Locks::OneShardAtATime)
        .since("2.0.0")
        .cost("O(N), when N is the number of queued commands")
        .doc("Forgets the queued commands and the watched keys.", ""),
    row("EXEC", exec, ANY_TIME.union(Flags::SKIP_SLOWLOG).union(Flags::RUNS_QUEUE))
        .since("1.2.0")
        .cost("Depends on commands in the transaction")
        .doc("Runs the queued commands as one step.", ""),
    row("MULTI", multi, ANY_TIME.union(Flags::FAST).union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY))
        .since("1.2.0")
        .doc("Begins a transaction: commands are queued until EXEC.", ""),
    row("UNWATCH", unwatch, ANY_TIME.union(Flags::FAST).union(Flags::ALLOW_BUSY))
        .locks(Locks::OneShardAtATime)
        .since("2.2.0")
        .doc("Forgets the watched keys.", ""),
    row("WATCH", watch, ANY_TIME.union(Flags::FAST).union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY))
        .arity(-2)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RO)])
        .since("2.2.0")
        .cost("O(1) for every key.")
        .doc("Lets the next EXEC run only if none of these keys changes before.", "key [key ...]"),
];

const ANY_TIME: Flags = Flags::NO_SCRIPT.union(Flags::LOADING).union(Flags::STALE);

const fn row(name: &'static str, handler: Handler, flags: Flags) -> Command {
    cmd(name, handler).arity(1).flags(flags).acl(Acl::TRANSACTION).group(Group::Transactions)
}

fn discard(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    if cx.session.transaction.take().is_none() {
        return Err(Fault::DISCARD_WITHOUT_MULTI);
    }
    cx.session.end_transaction();
    forget_watches(&mut cx.db, cx.session);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn exec(_: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    Err(Fault::EXEC_WITHOUT_MULTI)
}

fn multi(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.session.transaction = Some(Box::default());
    cx.session.client.note_transaction(0, 0);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn unwatch(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    forget_watches(&mut cx.db, cx.session);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn watch(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let index = cx.db.index();
    let watching = cx.session.watching.get_or_insert_default();
    let keys = args.from(1).iter().map(|key| (index, key.into()));
    let new: Vec<(usize, Box<[u8]>)> = keys.filter(|key| watching.keys.insert(key.clone())).collect();
    if cx.db.reaches_nothing() {
        // The script that has all shards lets them in.
        if !cx.host.scripts.running.meet(&new, &watching.watcher) {
            for key in &new {
                watching.keys.remove(key);
            }
            cx.session.watching.take_if(|watching| watching.keys.is_empty());
            return Err(cx.host.scripts.running.busy());
        }
    } else {
        cx.db.watch(&new, &watching.watcher);
    }
    cx.session.note_watching();
    cx.session.client.note_watch();
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Lets go of the watched keys; the row locks one shard at a time.
pub(super) fn forget_watches(db: &mut Db<'_>, session: &mut Session) {
    if let Some(watching) = session.end_watching() {
        db.unwatch(&watching.keys, &watching.watcher);
    }
}
