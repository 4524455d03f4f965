//! Streams: delivering entries to the consumers of groups.
//!
//! For: XREADGROUP. May touch: what `Cx` carries.
//! Always: a new entry is delivered once; what is propagated is not the reading but what became of it: who
//! has which entries pending, and how far the group is.

use super::stream::{strict_id, write_entry, write_id, write_pairs};
use super::stream_read::{Answer, Reading};
use crate::command::{Acl, Command, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, Out};
use crate::value::Stream;
use crate::value::stream::{self, ConsumerKey, Log, Pending, StreamId};

/// The rows of this file.
pub const ROWS: &[Command] = &[cmd("XREADGROUP", xreadgroup)
    .arity(-7)
    .flags(Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS))
    .acl(Acl::STREAM)
    .keys(&[KeySpec::streams(4, KeyFlags::RO.union(KeyFlags::ACCESS))])
    .group(Group::Stream)
    .since("5.0.0")
    .cost("O(M) for each stream, M entries in the answer; and O(N) for XADD when N clients wait.")
    .history(&[("8.4.0", "Takes CLAIM."), ("8.10.0", "Takes MAXCOUNT and MAXSIZE.")])
    .args_since(&[("8.4.0", "min-idle-time"), ("8.10.0", "maxcount maxsize")])
    .doc(
        "Answers entries to a consumer of a group: new ones, or those it has pending.",
        "group-block=<GROUP group consumer> [COUNT count] [MAXCOUNT maxcount:integer] \
         [MAXSIZE maxsize:integer] [BLOCK milliseconds] [CLAIM min-idle-time:integer] [NOACK] \
         <STREAMS key [key ...] id [id ...]>",
    )];

/// What is propagated when entries change hands.
#[derive(Default)]
pub(super) struct Effects(Vec<Vec<Vec<u8>>>);

impl Effects {
    /// An entry is pending as said.
    pub fn claim(
        &mut self,
        (key, group_name): (&[u8], &[u8]),
        group: &stream::Group,
        id: StreamId,
        pending: &Pending,
    ) {
        if pending.consumer.is_none() {
            return self.gone((key, group_name), id);
        }
        let consumer = group.holder(pending);
        let number = |number: u64| number.to_string().into_bytes();
        let id = id.to_text();
        let last_id = group.last_id.to_text();
        let words = [&b"XCLAIM"[..], key, group_name, consumer, b"0", id.as_bytes(), b"TIME"];
        let mut argv: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        argv.push(number(pending.delivered_ms));
        argv.push(b"RETRYCOUNT".to_vec());
        argv.push(number(pending.deliveries));
        argv.extend([&b"FORCE"[..], b"JUSTID", b"LASTID", last_id.as_bytes()].map(<[u8]>::to_vec));
        self.0.push(argv);
    }

    /// A released entry was found to be no longer in the stream.
    fn gone(&mut self, (key, group_name): (&[u8], &[u8]), id: StreamId) {
        let id = id.to_text();
        self.0.push([&b"XACK"[..], key, group_name, id.as_bytes()].map(<[u8]>::to_vec).to_vec());
    }

    /// The group has got as far as it is.
    pub fn position(&mut self, (key, group_name): (&[u8], &[u8]), group: &stream::Group) {
        let read = group.entries_read.unwrap_or(-1).to_string();
        let last_id = group.last_id.to_text();
        let words =
            [&b"XGROUP"[..], b"SETID", key, group_name, last_id.as_bytes(), b"ENTRIESREAD", read.as_bytes()];
        self.0.push(words.map(<[u8]>::to_vec).to_vec());
    }

    /// There is a consumer that was not there before.
    pub fn consumer(&mut self, (key, group_name): (&[u8], &[u8]), consumer: &[u8]) {
        let words = [&b"XGROUP"[..], b"CREATECONSUMER", key, group_name, consumer];
        self.0.push(words.map(<[u8]>::to_vec).to_vec());
    }

    /// Whether one of them names the consumer.
    pub fn names(&self, consumer: &[u8]) -> bool {
        self.0.iter().any(|argv| argv[0] == b"XCLAIM" && argv[3] == consumer)
    }

    /// Hands them on.
    pub fn propagate(self, cx: &mut Cx<'_>) {
        for argv in self.0 {
            let argv: Vec<&[u8]> = argv.iter().map(|word| &word[..]).collect();
            cx.db.propagate(&argv);
        }
    }
}

/// What is wanted of one stream.
#[derive(Clone, Copy)]
enum Wanted {
    /// `>`
    New,
    /// What the consumer has pending above an identifier.
    PendingAfter(StreamId),
}

fn xreadgroup(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let reading = Reading::parse(cx, args, true)?;
    let (group, consumer) = reading.group.ok_or(Fault::GROUP_MISSING)?;
    let mut wanted = Vec::with_capacity(reading.streams);
    for at in 0..reading.streams {
        let key = args.get(reading.key_at(at));
        let stream = cx.db.read_as::<Stream>(key)?;
        if stream.is_none_or(|stream| stream.group(group).is_none()) {
            return Err(Fault::no_group_to_read(key, group));
        }
        wanted.push(match args.get(reading.id_at(at)) {
            b"$" => return Err(Fault::id_meaningless('$')),
            b"+" => return Err(Fault::id_meaningless('+')),
            b">" => Wanted::New,
            text => match strict_id(text)? {
                StreamId::MAX => Wanted::New,
                id => Wanted::PendingAfter(id),
            },
        });
    }
    let now_ms = cx.db.now_ms();
    let mut effects = cx.db.logs().then(Effects::default);
    let mut answer = Answer::new(&reading, cx.out);
    let mut look = None;
    for (at, &wanted) in wanted.iter().enumerate() {
        if !answer.has_room(cx.out) {
            break;
        }
        let key = args.get(reading.key_at(at));
        let mut w = cx.db.open(key);
        w.count_lookup();
        let (out, effects, answer) = (&mut *cx.out, effects.as_mut(), &mut answer);
        let delivery = Delivery { key, group_name: group, consumer, now_ms, reading: &reading };
        let (is_new, changes, look_ms) =
            w.update(|stream: &mut Stream| delivery.serve(stream, wanted, answer, out, effects));
        let stream_look = look_ms.map(|at_ms| (at_ms, reading.key_at(at) as u32));
        look = look.into_iter().chain(stream_look).min();
        if is_new {
            w.also(Event::XGROUP_CREATECONSUMER);
        }
        w.commit_quietly(changes);
    }
    if let Some(effects) = effects {
        effects.propagate(cx);
    }
    if answer.finish(cx.out) {
        return Ok(Outcome::Done);
    }
    Ok(reading.nothing(cx, None, look))
}

/// What XREADGROUP does with one of its streams.
struct Delivery<'a> {
    key: &'a [u8],
    group_name: &'a [u8],
    consumer: &'a [u8],
    now_ms: u64,
    reading: &'a Reading<'a>,
}

impl Delivery<'_> {
    /// Delivers; answers whether the consumer is a new one, how many changes that made, and when there will
    /// be something to claim if there was nothing.
    fn serve(
        &self,
        stream: &mut Stream,
        wanted: Wanted,
        answer: &mut Answer,
        out: &mut Out,
        mut effects: Option<&mut Effects>,
    ) -> (bool, u64, Option<u64>) {
        let (log, group) =
            stream.group_mut(self.group_name).expect("the group was seen under the same locks");
        let before = effects.as_ref().map_or(0, |effects| effects.0.len());
        let added = group.add_consumer(self.consumer, self.now_ms);
        let Some(consumer) = added.or(group.find_consumer(self.consumer)) else { return (false, 0, None) };
        group.consumer_mut(consumer).seen_ms = self.now_ms;
        if added.is_some()
            && self.reading.no_ack
            && let Some(effects) = &mut effects
        {
            effects.consumer((self.key, self.group_name), self.consumer);
        }
        let (changes, look_ms) = match wanted {
            Wanted::PendingAfter(id) => {
                if answer.stream(out, self.key) {
                    self.again(log, group, (consumer, id), answer, out);
                }
                (0, None)
            }
            Wanted::New => self.fresh(log, group, consumer, answer, out, effects.as_deref_mut()),
        };
        // A follower that does not hear of a delivery has to hear of the consumer.
        if added.is_some()
            && let Some(effects) = effects
            && effects.0.len() == before
        {
            effects.consumer((self.key, self.group_name), self.consumer);
        }
        (added.is_some(), u64::from(added.is_some()) + changes, look_ms)
    }

    /// Writes what the consumer has pending above `after`.
    fn again(
        &self,
        log: &Log,
        group: &mut stream::Group,
        (consumer, after): (ConsumerKey, StreamId),
        answer: &mut Answer,
        out: &mut Out,
    ) {
        let from = after.successor().unwrap_or(StreamId::MAX);
        let count = answer.left_of(self.reading.count);
        let ids: Vec<_> = group.consumer(consumer).pending_from(from).take(count).collect();
        let head = out.deferred_array();
        let len = answer.entries(out, count, ids.into_iter(), |out, id| match log.get(id) {
            Some(entry) => {
                write_entry(out, &entry);
                group.redeliver(id, |pending| {
                    pending.delivered_ms = self.now_ms;
                    pending.deliveries = pending.deliveries.saturating_add(1);
                });
            }
            None => {
                out.array(2);
                write_id(out, id);
                out.null_array();
            }
        });
        out.finish(head, len);
    }

    /// Delivers what has been pending for too long and what is new; answers whether that was a change, and if
    /// not, when something will have been pending for too long.
    fn fresh(
        &self,
        log: &Log,
        group: &mut stream::Group,
        consumer: ConsumerKey,
        answer: &mut Answer,
        out: &mut Out,
        mut effects: Option<&mut Effects>,
    ) -> (u64, Option<u64>) {
        let count = answer.left_of(self.reading.count);
        let (idle, look_ms) = self.idle(log, group, count);
        if idle.is_empty() && !log.has_above(group.last_id) {
            return (0, look_ms);
        }
        if !answer.stream(out, self.key) {
            return (0, None);
        }
        let head = out.deferred_array();
        let claimed = answer.entries(out, count, idle.into_iter(), |out, id| {
            self.claim(log, group, consumer, id, out, effects.as_deref_mut());
        });
        let place = (self.key, self.group_name);
        let start = group.last_id.successor().unwrap_or(StreamId::MAX);
        let new = log.up(start, StreamId::MAX);
        let moved = answer.entries(out, count - claimed, new, |out, entry| {
            log.advance(group, entry.id);
            write_entry(out, &entry);
            if !self.reading.no_ack {
                let pending = Pending::of(consumer, self.now_ms, 1);
                group.deliver(entry.id, pending);
                group.consumer_mut(consumer).active_ms = Some(self.now_ms);
                if let Some(effects) = &mut effects {
                    effects.claim(place, group, entry.id, &pending);
                }
            }
        });
        out.finish(head, claimed + moved);
        if moved > 0
            && let Some(effects) = &mut effects
        {
            effects.position(place, group);
        }
        (1, None)
    }

    /// Up to `count` entries that CLAIM takes over, those that have been pending longest first; and if those
    /// are all, when the first of the others may be taken over, unix milliseconds.
    fn idle(&self, log: &Log, group: &mut stream::Group, count: usize) -> (Vec<StreamId>, Option<u64>) {
        let Some(idle_ms) = self.reading.claim_idle_ms else { return (Vec::new(), None) };
        let mut found = Vec::new();
        for (id, pending) in group.pending_by_rank().filter(|(id, _)| log.has(*id)) {
            if found.len() == count {
                break;
            }
            if pending.is_idle(idle_ms, self.now_ms) {
                found.push(id);
            } else if pending.delivered_ms > 0 {
                return (found, pending.delivered_ms.checked_add(idle_ms));
            }
        }
        (found, None)
    }

    /// Takes a pending entry over and writes it, how long it was pending and how often it was delivered.
    fn claim(
        &self,
        log: &Log,
        group: &mut stream::Group,
        consumer: ConsumerKey,
        id: StreamId,
        out: &mut Out,
        effects: Option<&mut Effects>,
    ) {
        let (Some(entry), Some(&before)) = (log.get(id), group.pending(id)) else { return };
        out.array(4);
        write_id(out, id);
        write_pairs(out, &entry);
        out.int(before.idle_ms(self.now_ms));
        out.int(before.deliveries as i64);
        let deliveries = before.deliveries.saturating_add(1);
        let pending = Pending::of(consumer, self.now_ms, deliveries);
        group.deliver(id, pending);
        group.consumer_mut(consumer).active_ms = Some(self.now_ms);
        if let Some(effects) = effects {
            effects.claim((self.key, self.group_name), group, id, &pending);
        }
    }
}
