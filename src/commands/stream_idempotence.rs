//! Streams: what is remembered of messages, so that none is added twice.
//!
//! For: XCFGSET and XIDMPRECORD. May touch: what `Cx` carries.
//! Always: XADD with IDMP or IDMPAUTO is propagated as a plain XADD and an XIDMPRECORD.

use super::stream::{UPDATES_IT, WRITE_FAST, strict_id};
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, Outcome, cmd};
use crate::fault::Fault;
use crate::resp::Args;
use crate::value::Stream;
use crate::value::stream::Idempotence;

/// A message is remembered for at most a day.
const DURATION_MAX_S: i64 = 86_400;
/// So many messages of a producer are remembered at most.
const MAX_SIZE_MAX: i64 = 10_000;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("XCFGSET", xcfgset)
        .arity(-2)
        .flags(WRITE_FAST)
        .acl(Acl::STREAM)
        .keys(UPDATES_IT)
        .group(Group::Stream)
        .since("8.6.0")
        .doc(
            "Sets for how long, and how many, messages of a producer are remembered.",
            "key [IDMP-DURATION idmp-duration:integer] [IDMP-MAXSIZE idmp-maxsize:integer]",
        ),
    cmd("XIDMPRECORD", xidmprecord)
        .arity(5)
        .flags(WRITE_FAST.union(Flags::DENY_OOM))
        .acl(Acl::STREAM)
        .keys(UPDATES_IT)
        .group(Group::Stream)
        .since("8.8.0")
        .doc("Remembers which message of a producer an entry is.", "key pid iid stream-id"),
];

fn xcfgset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 2);
    if cursor.is_end() {
        return Err(Fault::NOTHING_TO_SET);
    }
    let (mut duration_s, mut max_size) = (None, None);
    while !cursor.is_end() {
        let (name, most, place) = if cursor.left() > 1 && cursor.word("IDMP-DURATION") {
            ("IDMP-DURATION", DURATION_MAX_S, &mut duration_s)
        } else if cursor.left() > 1 && cursor.word("IDMP-MAXSIZE") {
            ("IDMP-MAXSIZE", MAX_SIZE_MAX, &mut max_size)
        } else {
            return Err(Fault::SYNTAX);
        };
        let value = cursor.int()?;
        if !(1..=most).contains(&value) {
            return Err(Fault::not_between(name, 1, most));
        }
        *place = Some(value);
    }
    let mut w = cx.db.open(args.get(1));
    let default = Idempotence::default();
    let now = w.view::<Stream>()?.ok_or(Fault::NO_SUCH_KEY)?.idempotence().unwrap_or(&default);
    let duration_s = duration_s.map_or(now.duration_s(), |seconds| seconds as u64);
    let max_size = max_size.map_or(now.max_size(), |size| size as usize);
    if (duration_s, max_size) != (now.duration_s(), now.max_size()) {
        w.update(|stream: &mut Stream| stream.idempotence_mut().configure(duration_s, max_size));
        w.commit_quietly(1);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn xidmprecord(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (producer, name) = (args.get(2), args.get(3));
    if producer.is_empty() {
        return Err(Fault::IDMP_PRODUCER);
    }
    if name.is_empty() {
        return Err(Fault::IDMP_NAME);
    }
    let id = strict_id(args.get(4))?;
    let now_ms = cx.db.now_ms();
    let mut w = cx.db.open(args.get(1));
    let stream = w.view::<Stream>()?.ok_or(Fault::NO_SUCH_KEY)?;
    if !stream.log().has(id) {
        return Err(Fault::IDEMPOTENT_ENTRY);
    }
    match stream.idempotence().and_then(|it| it.find(producer, name, now_ms)) {
        Some(known) if known != id => return Err(Fault::IDEMPOTENT_OTHER),
        Some(_) => {}
        None => {
            w.update(|stream: &mut Stream| stream.idempotence_mut().add(producer, name, id, now_ms));
            w.commit_quietly(1);
        }
    }
    cx.out.ok();
    Ok(Outcome::Done)
}
