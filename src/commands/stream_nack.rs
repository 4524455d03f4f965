//! Streams: giving pending entries back.
//!
//! For: XNACK. May touch: what `Cx` carries.
//! Always: an entry that was given back stays pending, belongs to nobody, and is the first to be claimed.

use super::stream::{UPDATES_IT, WRITE_FAST};
use super::stream_refs::counted_ids;
use crate::command::{Acl, Command, Cursor, Cx, Group, Outcome, cmd};
use crate::fault::Fault;
use crate::resp::Args;
use crate::value::Stream;
use crate::value::stream::{self, Log, StreamId};

/// The rows of this file.
pub const ROWS: &[Command] = &[cmd("XNACK", xnack)
    .arity(-7)
    .flags(WRITE_FAST)
    .acl(Acl::STREAM)
    .keys(UPDATES_IT)
    .group(Group::Stream)
    .since("8.8.0")
    .cost("O(1) for each entry.")
    .doc(
        "Gives entries back that consumers have pending, for others to claim them.",
        "key group mode=<SILENT | FAIL | FATAL> <IDS numids id [id ...]> [RETRYCOUNT count] [FORCE]",
    )];

/// What becomes of the number of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The last one did not count.
    Silent,
    /// It stays.
    Fail,
    /// As if there had been as many as can be.
    Fatal,
}

/// The arguments behind the group.
struct Release {
    mode: Mode,
    ids: Vec<StreamId>,
    deliveries: Option<u64>,
    is_forced: bool,
}

impl Release {
    fn parse(args: Args<'_>) -> Result<Release, Fault> {
        let mut cursor = Cursor::new(args, 3);
        let modes = [("SILENT", Mode::Silent), ("FAIL", Mode::Fail), ("FATAL", Mode::Fatal)];
        let mode = modes.iter().find(|(name, _)| cursor.word(name)).ok_or(Fault::RELEASE_MODE)?.1;
        let (mut ids, mut deliveries, mut is_forced) = (None, None, false);
        while !cursor.is_end() {
            if cursor.word("FORCE") {
                is_forced = true;
            } else if cursor.left() > 1 && cursor.word("RETRYCOUNT") {
                deliveries = Some(u64::try_from(cursor.int()?).map_err(|_| Fault::NOT_AN_INTEGER)?);
            } else if cursor.left() > 1 && ids.is_none() && cursor.word("IDS") {
                ids = Some(counted_ids(&mut cursor)?);
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(Release { mode, ids: ids.ok_or(Fault::SYNTAX)?, deliveries, is_forced })
    }

    /// Gives an entry back; false: it is not pending, and is not made so.
    fn release(&self, log: &Log, group: &mut stream::Group, id: StreamId) -> bool {
        let before = match group.pending(id) {
            Some(pending) => pending.deliveries,
            None if self.is_forced && log.has(id) => 0,
            None => return false,
        };
        let by_mode = match self.mode {
            Mode::Silent => before.saturating_sub(1),
            Mode::Fail => before,
            Mode::Fatal => i64::MAX as u64,
        };
        group.release(id, self.deliveries.unwrap_or(by_mode));
        true
    }
}

fn xnack(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let release = Release::parse(args)?;
    let (key, name) = (args.get(1), args.get(2));
    let mut w = cx.db.open(key);
    w.count_lookup();
    if w.view::<Stream>()?.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(Fault::no_group(key, name));
    }
    let released = w.update(|stream: &mut Stream| {
        let (log, group) = stream.group_mut(name).expect("the group was seen under the same locks");
        release.ids.iter().filter(|id| release.release(log, group, **id)).count()
    });
    if released == 0 {
        w.abandon_unchanged();
    } else {
        w.commit_waking(released as u64);
    }
    cx.out.int(released as i64);
    Ok(Outcome::Done)
}
