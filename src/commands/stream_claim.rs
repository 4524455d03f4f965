//! Streams: taking over what other consumers have pending.
//!
//! For: XCLAIM and XAUTOCLAIM. May touch: what `Cx` carries.
//! Always: an entry that was deleted from the stream is not claimed but taken off the pending ones; what is
//! propagated is who has which entry pending afterwards.

use super::stream::{DELETES_FROM_IT, UPDATES_IT, WRITE_FAST, range_start, strict_id, write_entry, write_id};
use super::stream_deliver::Effects;
use crate::command::{Acl, Command, Cursor, Cx, Group, Outcome, cmd, int};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, Out};
use crate::value::Stream;
use crate::value::stream::{self, ConsumerKey, Log, Pending, StreamId};

/// Entries that XAUTOCLAIM looks at, for each that it may claim.
const ATTEMPTS_PER_CLAIM: u64 = 10;
/// XAUTOCLAIM's COUNT unless it is given.
const CLAIMS: u64 = 100;
/// Above this, a COUNT is refused for want of memory.
const CLAIMS_MAX: u64 = 1 << 30;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("XAUTOCLAIM", xautoclaim)
        .arity(-6)
        .flags(WRITE_FAST)
        .acl(Acl::STREAM)
        .keys(DELETES_FROM_IT)
        .tips(&["nondeterministic_output"])
        .group(Group::Stream)
        .since("6.2.0")
        .cost("O(COUNT).")
        .history(&[("7.0.0", "Answers also which entries were no longer there.")])
        .doc(
            "Gives a consumer what others have had pending for too long.",
            "key group consumer min-idle-time start:string [COUNT count] [JUSTID]",
        ),
    cmd("XCLAIM", xclaim)
        .arity(-6)
        .flags(WRITE_FAST)
        .acl(Acl::STREAM)
        .keys(UPDATES_IT)
        .tips(&["nondeterministic_output"])
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(log N) for each entry, N entries pending in the group.")
        .doc(
            "Gives a consumer entries that others have had pending for too long.",
            "key group consumer min-idle-time id [id ...] [IDLE ms:integer] [TIME unix-time-milliseconds] \
             [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        ),
];

/// XCLAIM's options.
#[derive(Default)]
struct Options {
    delivered_ms: Option<u64>,
    deliveries: Option<u64>,
    is_forced: bool,
    ids_only: bool,
    last_id: StreamId,
}

impl Options {
    fn parse(mut cursor: Cursor<'_>, now_ms: u64) -> Result<Options, Fault> {
        let mut options = Options::default();
        let now = now_ms as i64;
        // A time before the beginning or after now is now.
        let sane = |at: i64| if at < 0 || at > now { now_ms } else { at as u64 };
        while let Some(word) = cursor.peek() {
            let has_more = cursor.left() > 1;
            let number =
                |cursor: &mut Cursor<'_>, name| cursor.int().map_err(|_| Fault::bad_claim_argument(name));
            if cursor.word("FORCE") {
                options.is_forced = true;
            } else if cursor.word("JUSTID") {
                options.ids_only = true;
            } else if has_more && cursor.word("IDLE") {
                options.delivered_ms = Some(sane(now.wrapping_sub(number(&mut cursor, "IDLE")?)));
            } else if has_more && cursor.word("TIME") {
                options.delivered_ms = Some(sane(number(&mut cursor, "TIME")?));
            } else if has_more && cursor.word("RETRYCOUNT") {
                options.deliveries = u64::try_from(number(&mut cursor, "RETRYCOUNT")?).ok();
            } else if has_more && cursor.word("LASTID") {
                options.last_id = strict_id(cursor.need()?)?;
            } else {
                return Err(Fault::bad_claim_option(word));
            }
        }
        Ok(options)
    }
}

/// The group, which has to be there.
fn existing_group<'s>(
    stream: Option<&'s Stream>,
    key: &[u8],
    name: &[u8],
) -> Result<&'s stream::Group, Fault> {
    stream.and_then(|stream| stream.group(name)).ok_or_else(|| Fault::no_group(key, name))
}

/// A claim under way.
struct Claim<'a> {
    place: (&'a [u8], &'a [u8]),
    log: &'a Log,
    group: &'a mut stream::Group,
    consumer: ConsumerKey,
    now_ms: u64,
    idle_ms: u64,
    ids_only: bool,
    effects: Option<&'a mut Effects>,
    changes: u64,
    /// Entries may have got older, or be pending that were not: who waits to claim them has to look.
    wakes: bool,
}

impl Claim<'_> {
    fn tell(&mut self, id: StreamId, pending: &Pending) {
        self.changes += 1;
        if let Some(effects) = &mut self.effects {
            effects.claim(self.place, self.group, id, pending);
        }
    }

    /// Takes an entry off the pending ones that is no longer in the stream.
    fn drop_missing(&mut self, id: StreamId) {
        if let Some(&pending) = self.group.pending(id) {
            self.tell(id, &pending);
            self.group.acknowledge(id);
        }
    }

    /// Whether it has been pending for long enough.
    fn is_idle(&self, pending: &Pending) -> bool {
        pending.is_idle(self.idle_ms, self.now_ms)
    }

    /// Gives the entry to the consumer, and writes it.
    fn take(&mut self, id: StreamId, delivered_ms: u64, deliveries: u64, out: &mut Out) {
        let pending = Pending::of(self.consumer, delivered_ms, deliveries);
        self.group.deliver(id, pending);
        self.group.consumer_mut(self.consumer).active_ms = Some(self.now_ms);
        match self.log.get(id) {
            Some(entry) if !self.ids_only => write_entry(out, &entry),
            _ => write_id(out, id),
        }
        self.tell(id, &pending);
    }

    /// How often the entry was delivered when it is claimed now.
    fn counted(&self, deliveries: u64) -> u64 {
        deliveries.saturating_add(u64::from(!self.ids_only))
    }
}

/// Runs a claim for a consumer, who is made if need be: propagates, tells, and ends the write.
fn claim<'a>(
    cx: &mut Cx<'a>,
    (args, idle_ms, ids_only): (Args<'_>, u64, bool),
    work: impl FnOnce(&mut Claim<'_>, &mut Out),
) {
    let (key, name, consumer) = (args.get(1), args.get(2), args.get(3));
    let now_ms = cx.db.now_ms();
    let mut effects = cx.db.logs().then(Effects::default);
    let told = effects.as_mut();
    let out = &mut *cx.out;
    let mut w = cx.db.open(key);
    let (is_new, changes, wakes) = w.update(|stream: &mut Stream| {
        let (log, group) = stream.group_mut(name).expect("the group was seen under the same locks");
        let added = group.add_consumer(consumer, now_ms);
        let Some(consumer) = added.or(group.find_consumer(consumer)) else { return (false, 0, false) };
        group.consumer_mut(consumer).seen_ms = now_ms;
        let (place, effects) = ((key, name), told);
        let (changes, wakes) = (0, false);
        let mut claim =
            Claim { place, log, group, consumer, now_ms, idle_ms, ids_only, effects, changes, wakes };
        work(&mut claim, out);
        (added.is_some(), claim.changes, claim.wakes)
    });
    if is_new {
        w.also(Event::XGROUP_CREATECONSUMER);
    }
    let changes = changes + u64::from(is_new);
    if wakes {
        w.commit_waking(changes)
    } else {
        w.commit_quietly(changes)
    }
    if let Some(mut effects) = effects {
        // A claim names its consumer; where there is none to tell of, the consumer is.
        if is_new && !effects.names(consumer) {
            effects.consumer((key, name), consumer);
        }
        effects.propagate(cx);
    }
}

fn xclaim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (key, name) = (args.get(1), args.get(2));
    existing_group(cx.db.read_as::<Stream>(key)?, key, name)?;
    let idle_ms = int(args.get(4)).map_err(|_| Fault::bad_min_idle("XCLAIM"))?.max(0) as u64;
    let ids: Vec<_> = args.from(5).iter().map_while(|text| strict_id(text).ok()).collect();
    let now_ms = cx.db.now_ms();
    let options = Options::parse(Cursor::new(args, 5 + ids.len()), now_ms)?;
    claim(cx, (args, idle_ms, options.ids_only), |claim, out| {
        let has_moved = options.last_id > claim.group.last_id;
        if has_moved {
            claim.group.last_id = options.last_id;
        }
        let head = out.deferred_array();
        let mut len = 0;
        for id in ids {
            let before = claim.group.pending(id).copied();
            if !claim.log.has(id) {
                claim.drop_missing(id);
                continue;
            }
            let deliveries = match before {
                Some(pending) if !claim.is_idle(&pending) => continue,
                Some(pending) => pending.deliveries,
                None if options.is_forced => 1,
                None => continue,
            };
            let deliveries = options.deliveries.unwrap_or(claim.counted(deliveries));
            claim.take(id, options.delivered_ms.unwrap_or(now_ms), deliveries, out);
            len += 1;
        }
        out.finish(head, len);
        claim.wakes = len > 0 && (options.is_forced || options.delivered_ms.is_some());
        if has_moved && claim.changes == 0 {
            claim.changes = 1;
            if let Some(effects) = &mut claim.effects {
                effects.position(claim.place, claim.group);
            }
        }
    });
    Ok(Outcome::Done)
}

fn xautoclaim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (key, name) = (args.get(1), args.get(2));
    let idle_ms = int(args.get(4)).map_err(|_| Fault::bad_min_idle("XAUTOCLAIM"))?.max(0) as u64;
    let start = range_start(args.get(5))?;
    let mut cursor = Cursor::new(args, 6);
    let (mut count, mut ids_only) = (CLAIMS, false);
    while !cursor.is_end() {
        if cursor.left() > 1 && cursor.word("COUNT") {
            let given = cursor.int().ok().filter(|count| (1..=i64::MAX / 16).contains(count));
            count = given.ok_or(Fault::CLAIM_COUNT)? as u64;
        } else if cursor.word("JUSTID") {
            ids_only = true;
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    existing_group(cx.db.read_as::<Stream>(key)?, key, name)?;
    if count > CLAIMS_MAX {
        return Err(Fault::CLAIM_COUNT_MEMORY);
    }
    claim(cx, (args, idle_ms, ids_only), |claim, out| {
        out.array(3);
        // Where the next call is to go on comes first, so everything is decided before anything is written.
        let attempts = (count * ATTEMPTS_PER_CLAIM) as usize;
        let (mut chosen, mut missing) = (Vec::new(), Vec::new());
        let mut pending = claim.group.pending_from(start);
        for (id, pending) in pending.by_ref().take(attempts) {
            if !claim.log.has(id) {
                missing.push(id);
            } else if claim.is_idle(pending) {
                chosen.push((id, pending.deliveries));
            }
            if (chosen.len() + missing.len()) as u64 == count {
                break;
            }
        }
        let next = pending.next().map_or(StreamId::MIN, |(id, _)| id);
        drop(pending);
        write_id(out, next);
        out.array(chosen.len());
        for (id, deliveries) in chosen {
            let (now_ms, deliveries) = (claim.now_ms, claim.counted(deliveries));
            claim.take(id, now_ms, deliveries, out);
        }
        out.array(missing.len());
        for id in missing {
            write_id(out, id);
            claim.drop_missing(id);
        }
    });
    Ok(Outcome::Done)
}
