//! Streams: reading what is new, from several streams at once.
//!
//! For: XREAD, and what it shares with XREADGROUP (`stream_deliver`). May touch: what `Cx` carries.
//! Always: a reply has only streams that have something; a client that waits is asked again about all of its
//! streams when one of them has changed.

use super::blocking::parse_timeout_ms;
use super::stream::{READ, strict_id, write_entry};
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, Wait, cmd};
use crate::fault::Fault;
use crate::keyspace::Kind;
use crate::resp::{Args, Deferred, Out, OwnedArgs, Proto};
use crate::value::Stream;
use crate::value::stream::StreamId;

/// The rows of this file.
pub const ROWS: &[Command] = &[cmd("XREAD", xread)
    .arity(-4)
    .flags(READ.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS))
    .acl(Acl::STREAM)
    .keys(&[KeySpec::streams(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
    .group(Group::Stream)
    .since("5.0.0")
    .cost("O(M), M entries answered of each stream; O(1) where there are none above the identifier")
    .history(&[("8.10.0", "Takes MAXCOUNT and MAXSIZE.")])
    .args_since(&[("8.10.0", "maxcount maxsize")])
    .doc(
        "Answers the entries of streams above an identifier each, and waits for some if wanted.",
        "[COUNT count] [MAXCOUNT maxcount:integer] [MAXSIZE maxsize:integer] [BLOCK milliseconds] \
         <STREAMS key [key ...] id [id ...]>",
    )];

/// The options of XREAD and XREADGROUP.
pub(super) struct Reading<'a> {
    /// Most entries of each stream.
    pub count: usize,
    /// Most entries of all streams together.
    pub max_count: usize,
    /// No further entry once the reply has so many bytes.
    pub max_bytes: usize,
    /// Until when to wait: `Some(None)` for ever, `None` not at all.
    pub block: Option<Option<u64>>,
    /// Group and consumer.
    pub group: Option<(&'a [u8], &'a [u8])>,
    /// What is delivered needs no acknowledgement.
    pub no_ack: bool,
    /// Entries that have been pending for that many milliseconds are delivered first.
    pub claim_idle_ms: Option<u64>,
    /// Where the keys begin.
    pub keys_at: usize,
    /// How many there are.
    pub streams: usize,
}

impl<'a> Reading<'a> {
    /// Reads the options, and finds keys and identifiers.
    pub fn parse(cx: &Cx<'_>, args: Args<'a>, in_group: bool) -> Result<Reading<'a>, Fault> {
        let now_ms = cx.db.now_ms();
        let mut cursor = Cursor::new(args, 1);
        let mut reading = Reading {
            count: usize::MAX,
            max_count: usize::MAX,
            max_bytes: usize::MAX,
            block: None,
            group: None,
            no_ack: false,
            claim_idle_ms: None,
            keys_at: 0,
            streams: 0,
        };
        while reading.keys_at == 0 {
            let left = cursor.left();
            if left > 1 && cursor.word("BLOCK") {
                reading.block = Some(parse_timeout_ms(cursor.need()?, now_ms)?);
            } else if left > 1 && cursor.word("COUNT") {
                reading.count = positive(cursor.int()?).unwrap_or(usize::MAX);
            } else if left > 1 && cursor.word("MAXCOUNT") {
                reading.max_count = positive(cursor.int()?).ok_or(Fault::MAXCOUNT_NOT_POSITIVE)?;
            } else if left > 1 && cursor.word("MAXSIZE") {
                reading.max_bytes = positive(cursor.int()?).ok_or(Fault::MAXSIZE_NOT_POSITIVE)?;
            } else if left > 1 && cursor.word("STREAMS") {
                reading.keys_at = cursor.index();
                reading.streams = cursor.left() / 2;
                if !cursor.left().is_multiple_of(2) {
                    let symbol = if in_group { '>' } else { '$' };
                    return Err(Fault::unbalanced_streams(&cx.command.full_name, symbol));
                }
            } else if left > 2 && cursor.word("GROUP") {
                if !in_group {
                    return Err(Fault::GROUP_IN_XREAD);
                }
                reading.group = Some((cursor.need()?, cursor.need()?));
            } else if cursor.word("NOACK") {
                if !in_group {
                    return Err(Fault::NOACK_IN_XREAD);
                }
                reading.no_ack = true;
            } else if in_group && left > 1 && cursor.word("CLAIM") {
                reading.claim_idle_ms = Some(u64::try_from(cursor.int()?).map_err(|_| Fault::NOT_POSITIVE)?);
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        if reading.count != usize::MAX && reading.max_count < reading.count {
            return Err(Fault::MAXCOUNT_BELOW_COUNT);
        }
        Ok(reading)
    }

    /// Position of the key of stream `at`.
    pub fn key_at(&self, at: usize) -> usize {
        self.keys_at + at
    }

    /// Position of the identifier of stream `at`.
    pub fn id_at(&self, at: usize) -> usize {
        self.keys_at + self.streams + at
    }

    /// Ends a command that found nothing: waits, if that was asked for and may be, or answers that there is
    /// nothing. `argv` is what it is to run with later, where that is not what came; `look` is as in `Wait`.
    pub fn nothing(&self, cx: &mut Cx<'_>, argv: Option<OwnedArgs>, look: Option<(u64, u32)>) -> Outcome {
        let Some(until_ms) = self.block else {
            cx.out.null_array();
            return Outcome::Done;
        };
        let keys = self.keys_at..self.keys_at + self.streams;
        let on_removal = self.group.is_some();
        let wait = Wait { until_ms, argv, on_removal, look, ..Wait::new(keys, Kind::Stream) };
        super::blocking::block(cx, wait, |cx| cx.out.null_array())
    }
}

fn positive(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|&number| number > 0)
}

/// The array, in RESP3 the map, of streams that have something; begins with the first of them. Knows when
/// the reply is as long as it may be.
pub(super) struct Answer {
    head: Option<Deferred>,
    streams: usize,
    entries: usize,
    /// Most entries.
    max_count: usize,
    /// Length of the output from which on there are no further entries, but for the first.
    until_bytes: usize,
}

impl Answer {
    /// A reply that is written to `out` from now on.
    pub fn new(reading: &Reading<'_>, out: &Out) -> Answer {
        let until_bytes = out.len_bytes().saturating_add(reading.max_bytes);
        Answer { head: None, streams: 0, entries: 0, max_count: reading.max_count, until_bytes }
    }

    /// Whether there is room for one more entry. There is for the first, so that whoever reads gets on.
    pub fn has_room(&self, out: &Out) -> bool {
        self.entries == 0 || self.entries < self.max_count && out.len_bytes() < self.until_bytes
    }

    /// How many entries one stream may still have, its size apart.
    pub fn left_of(&self, count: usize) -> usize {
        count.min(self.max_count - self.entries)
    }

    /// Begins with a stream; its entries are to follow. False, and nothing is written, if there is no room
    /// for one: then there is none for other streams either.
    #[must_use]
    pub fn stream(&mut self, out: &mut Out, key: &[u8]) -> bool {
        let is_map = out.proto() == Proto::Resp3;
        self.head.get_or_insert_with(|| if is_map { out.deferred_map() } else { out.deferred_array() });
        let mark = out.mark();
        if !is_map {
            out.array(2);
        }
        out.bulk(key);
        if !self.has_room(out) {
            out.rollback(mark);
            self.max_count = self.entries;
            return false;
        }
        self.streams += 1;
        true
    }

    /// Writes entries with `write`, the first `count` of them if there is room.
    pub fn entries<T>(
        &mut self,
        out: &mut Out,
        count: usize,
        entries: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Out, T),
    ) -> usize {
        let before = self.entries;
        for entry in entries.take(self.left_of(count)) {
            if !self.has_room(out) {
                break;
            }
            write(out, entry);
            self.entries += 1;
        }
        self.entries - before
    }

    /// Ends the reply; false when no stream had anything, and nothing was written.
    pub fn finish(self, out: &mut Out) -> bool {
        let Some(head) = self.head else { return false };
        out.finish(head, self.streams);
        true
    }
}

fn xread(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let reading = Reading::parse(cx, args, false)?;
    let mut after = Vec::with_capacity(reading.streams);
    for at in 0..reading.streams {
        let last =
            cx.db.read_as::<Stream>(args.get(reading.key_at(at)))?.map(|stream| stream.log().last_id());
        let last = last.unwrap_or_default();
        after.push(match args.get(reading.id_at(at)) {
            b"$" => last,
            b"+" => last.predecessor().unwrap_or_default(),
            b">" => return Err(Fault::ID_ONLY_IN_GROUP),
            text => strict_id(text)?,
        });
    }
    let mut answer = Answer::new(&reading, cx.out);
    for (at, &after) in after.iter().enumerate() {
        let key = args.get(reading.key_at(at));
        let Some(stream) = cx.db.read_as::<Stream>(key)? else { continue };
        let (true, Some(start)) = (stream.log().has_above(after), after.successor()) else { continue };
        let is_newest = args.get(reading.id_at(at)) == b"+";
        if !answer.stream(cx.out, key) {
            break;
        }
        let count = if is_newest { 1 } else { reading.count };
        let head = cx.out.deferred_array();
        let entries = stream.log().up(start, StreamId::MAX);
        let len = answer.entries(cx.out, count, entries, |out, entry| write_entry(out, &entry));
        cx.out.finish(head, len);
    }
    if answer.finish(cx.out) {
        return Ok(Outcome::Done);
    }
    let argv = reading.block.map(|_| resolved(&reading, args, &after));
    Ok(reading.nothing(cx, argv, None))
}

/// The arguments with `$` replaced by what it stood for when the client began to wait.
fn resolved(reading: &Reading<'_>, args: Args<'_>, after: &[StreamId]) -> OwnedArgs {
    let first_id = reading.id_at(0);
    let mut argv = OwnedArgs::with_capacity(args.len(), args.size_bytes());
    for (at, arg) in args.iter().enumerate() {
        match at.checked_sub(first_id).and_then(|at| after.get(at)) {
            Some(id) if arg == b"$" => argv.push(id.to_text().as_bytes()),
            _ => argv.push(arg),
        }
    }
    argv
}
