//! Streams: adding entries, and keeping streams short.
//!
//! For: XADD and XTRIM, which share the options of trimming. May touch: what `Cx` carries.
//! Always: what is propagated names the identifier that was given and, where it trimmed approximately, the
//! length or identifier that came of it.

use std::borrow::Cow;
use std::ops::Range;

use super::stream::{DELETES_FROM_IT, WRITE_FAST, strict_id, write_id};
use super::stream_refs::{References, trim_with_references};
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::Args;
use crate::value::Stream;
use crate::value::sha1::sha1_hex;
use crate::value::stream::{NodeLimits, StreamId, TooLarge, Trim};

/// Entries that approximate trimming removes at most, for each that a node may hold, unless LIMIT says more.
const LIMIT_PER_NODE_ENTRY: i64 = 100;
/// That limit where a node may hold any number.
const LIMIT_OF_ENDLESS_NODES: i64 = 10_000;
/// That limit at most.
const LIMIT_MAX: i64 = 1_000_000;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("XADD", xadd)
        .args_since(&[("6.2.0", "nomkstream minid count")])
        .arity(-5)
        .flags(WRITE_FAST.union(Flags::DENY_OOM))
        .acl(Acl::STREAM)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))
            .notes("UPDATE instead of INSERT because of the optional trimming feature")])
        .tips(&["nondeterministic_output"])
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(1); with trimming O(N), N entries removed.")
        .history(&[
            ("6.2.0", "Takes NOMKSTREAM, MINID and LIMIT."),
            ("7.0.0", "Takes ids of the form <ms>-*."),
        ])
        .doc(
            "Adds an entry to a stream, and makes the stream if there is none.",
            "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] \
             idempotence=[IDMPAUTO producer-id | <IDMP producer-id idempotent-id>] \
             trim=[strategy=<MAXLEN | MINID> operator=[equal=<=> | approximately=<~>] threshold \
             [LIMIT count]] id-selector=<auto-id=<*> | id> <field value> [field value ...]",
        ),
    cmd("XTRIM", xtrim)
        .args_since(&[("6.2.0", "minid count")])
        .arity(-4)
        .flags(Flags::WRITE)
        .acl(Acl::STREAM)
        .keys(DELETES_FROM_IT)
        .tips(&["nondeterministic_output"])
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(N), N entries removed; whole nodes go at once.")
        .history(&[("6.2.0", "Takes MINID and LIMIT.")])
        .doc(
            "Deletes the oldest entries of a stream.",
            "key trim=<strategy=<MAXLEN | MINID> operator=[equal=<=> | approximately=<~>] threshold \
             [LIMIT count]> [KEEPREF | DELREF | ACKED]",
        ),
];

/// The identifier that XADD is asked for.
#[derive(Clone, Copy)]
enum Wanted {
    /// `*`
    Next,
    /// `ms-*`
    NextWithin(u64),
    /// This one.
    Exactly(StreamId),
}

/// Trimming, as asked for.
struct Trimming {
    trim: Trim,
    is_approximate: bool,
    /// Most entries to remove; 0: any number.
    limit: u64,
    references: References,
    /// Where the word `=` or `~` stands, if there is one.
    sign_at: Option<usize>,
    /// Where the threshold stands.
    threshold_at: usize,
    /// Where the word LIMIT stands, if it does.
    limit_at: Option<usize>,
}

/// A message that is to be added once, whoever sends it again.
struct Message<'a> {
    producer: &'a [u8],
    /// Its name; `None`: told from its fields and values.
    name: Option<&'a [u8]>,
    /// Where the words for it stand.
    at: Range<usize>,
}

/// What stands before XADD's identifier, and in XTRIM.
struct Options<'a> {
    message: Option<Message<'a>>,
    trimming: Option<Trimming>,
    makes_stream: bool,
    /// Where XADD's identifier stands.
    id_at: usize,
}

impl<'a> Message<'a> {
    /// Reads what follows IDMP or IDMPAUTO.
    fn parse(cursor: &mut Cursor<'a>, is_named: bool) -> Result<Message<'a>, Fault> {
        let begin = cursor.index() - 1;
        let producer = cursor.need()?;
        if producer.is_empty() {
            return Err(if is_named { Fault::IDMP_PRODUCER } else { Fault::IDMPAUTO_PRODUCER });
        }
        let name = if is_named { Some(cursor.need()?) } else { None };
        if name.is_some_and(<[u8]>::is_empty) {
            return Err(Fault::IDMP_NAME);
        }
        Ok(Message { producer, name, at: begin..cursor.index() })
    }

    /// Tells a follower which entry it is.
    fn propagate(&self, cx: &mut Cx<'_>, key: &[u8], name: &[u8], id: StreamId) {
        cx.db.propagate(&[b"XIDMPRECORD", key, self.producer, name, id.to_text().as_bytes()]);
    }

    /// Its name; one that is not given is the same for the same fields and values in any order.
    fn name(&self, pairs: Args<'_>) -> Cow<'a, [u8]> {
        if let Some(name) = self.name {
            return Cow::Borrowed(name);
        }
        let mut sorted: Vec<_> =
            (0..pairs.len()).step_by(2).map(|at| [pairs.get(at), pairs.get(at + 1)]).collect();
        sorted.sort_unstable();
        let mut whole = Vec::with_capacity(pairs.size_bytes() + pairs.len() * size_of::<u64>());
        for text in sorted.as_flattened() {
            whole.extend_from_slice(&(text.len() as u64).to_le_bytes());
            whole.extend_from_slice(text);
        }
        Cow::Owned(sha1_hex(&whole).to_vec())
    }
}

impl<'a> Options<'a> {
    /// Reads from argument 2 on, to XADD's identifier or XTRIM's end.
    fn parse(args: Args<'a>, settings: &Settings, is_xadd: bool) -> Result<Options<'a>, Fault> {
        let mut cursor = Cursor::new(args, 2);
        let (mut makes_stream, mut references, mut message) = (true, None, None);
        let (mut chosen, mut limit, mut limit_at) = (None, None, None);
        while let Some(word) = cursor.peek() {
            let at = cursor.index();
            let has_more = cursor.left() > 1;
            if is_xadd && word == b"*" {
                break;
            } else if has_more && (cursor.word("MAXLEN") || cursor.word("MINID")) {
                if chosen.is_some() {
                    return Err(Fault::TWO_TRIMS);
                }
                chosen = Some(threshold(&mut cursor, word)?);
            } else if has_more && cursor.word("LIMIT") {
                limit = Some(u64::try_from(cursor.int()?).map_err(|_| Fault::NEGATIVE_TRIM_LIMIT)?);
                limit_at = Some(at);
            } else if is_xadd && cursor.word("NOMKSTREAM") {
                makes_stream = false;
            } else if is_xadd && has_more && (cursor.word("IDMP") || cursor.word("IDMPAUTO")) {
                let is_named = word.len() == "IDMP".len();
                if message.replace(Message::parse(&mut cursor, is_named)?).is_some() {
                    return Err(Fault::TWO_IDEMPOTENCES);
                }
            } else if let Some(how) = References::of(word) {
                cursor.next();
                if references.replace(how).is_some() {
                    return Err(Fault::SYNTAX);
                }
            } else if is_xadd {
                break;
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        let id_at = cursor.index();
        // The real server complains of an identifier before it complains of options.
        if is_xadd && let Some(text) = args.opt(id_at) {
            check_id(text, message.is_some())?;
        }
        let mut options = Options { message, trimming: None, makes_stream, id_at };
        let Some((trim, sign_at, threshold_at)) = chosen else {
            return match limit {
                Some(1..) => Err(Fault::LIMIT_WITHOUT_TRIM),
                _ if !is_xadd => Err(Fault::NO_TRIM),
                Some(0) => Err(Fault::LIMIT_WITHOUT_TILDE),
                None => Ok(options),
            };
        };
        let is_approximate = sign_at.is_some_and(|at| args.get(at) == b"~");
        if limit.is_some() && !is_approximate {
            return Err(Fault::LIMIT_WITHOUT_TILDE);
        }
        let limit = limit.unwrap_or(if is_approximate { default_limit(settings) } else { 0 });
        let references = references.unwrap_or(References::Keep);
        options.trimming =
            Some(Trimming { trim, is_approximate, limit, references, sign_at, threshold_at, limit_at });
        Ok(options)
    }
}

/// Whether an identifier is one, and one that goes with a message that is to be added once.
fn check_id(text: &[u8], is_message: bool) -> Result<(), Fault> {
    match wanted(text)? {
        Wanted::Next => Ok(()),
        _ if is_message => Err(Fault::IDEMPOTENT_ID),
        _ => Ok(()),
    }
}

/// Reads what follows MAXLEN or MINID: the trimming, where its sign stands, and where its threshold.
fn threshold(cursor: &mut Cursor<'_>, word: &[u8]) -> Result<(Trim, Option<usize>, usize), Fault> {
    let sign_at = cursor.index();
    let has_sign = cursor.left() >= 2 && matches!(cursor.peek(), Some(b"~" | b"="));
    if has_sign {
        cursor.next();
    }
    let at = cursor.index();
    let trim = if word.eq_ignore_ascii_case(b"MAXLEN") {
        Trim::MaxLen(u64::try_from(cursor.int()?).map_err(|_| Fault::NEGATIVE_TRIM_LENGTH)?)
    } else {
        Trim::MinId(strict_id(cursor.need()?)?)
    };
    Ok((trim, has_sign.then_some(sign_at), at))
}

fn default_limit(settings: &Settings) -> u64 {
    let entries = settings.int(Directive::StreamNodeMaxEntries);
    match entries.saturating_mul(LIMIT_PER_NODE_ENTRY) {
        ..=0 => LIMIT_OF_ENDLESS_NODES as u64,
        limit => limit.min(LIMIT_MAX) as u64,
    }
}

fn wanted(text: &[u8]) -> Result<Wanted, Fault> {
    if text == b"*" {
        return Ok(Wanted::Next);
    }
    match StreamId::parse_time(text) {
        Some(ms) => Ok(Wanted::NextWithin(ms)),
        None => Ok(Wanted::Exactly(strict_id(text)?)),
    }
}

impl Wanted {
    /// The identifier that follows `last`.
    fn after(self, last: StreamId, now_ms: u64) -> Result<StreamId, Fault> {
        match self {
            Wanted::Exactly(id) => Some(id).filter(|id| *id > last),
            Wanted::Next if now_ms > last.ms => Some(StreamId::new(now_ms, 0)),
            Wanted::Next => last.successor(),
            Wanted::NextWithin(ms) if ms == last.ms => {
                last.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
            }
            Wanted::NextWithin(ms) => Some(StreamId::new(ms, 0)).filter(|id| *id > last),
        }
        .ok_or(Fault::ID_TOO_LOW)
    }
}

fn xadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let Options { message, trimming, makes_stream, id_at } = Options::parse(args, cx.settings, true)?;
    let pairs = args.from(id_at + 1);
    if pairs.len() < 2 || pairs.len() % 2 == 1 {
        return Err(Fault::arity(&cx.command.full_name));
    }
    let wanted = wanted(args.get(id_at))?;
    if matches!(wanted, Wanted::Exactly(StreamId::MIN)) {
        return Err(Fault::ID_ZERO);
    }
    let now_ms = cx.db.now_ms();
    let message = message.as_ref().map(|it| (it, it.name(pairs)));
    let mut w = cx.db.open(args.get(1));
    let stream = w.view::<Stream>()?;
    if let Some(id) = message.as_ref().and_then(|(it, name)| find(stream, it.producer, name, now_ms)) {
        w.update(|stream: &mut Stream| stream.idempotence_mut().count_duplicate());
        w.commit_quietly(0);
        write_id(cx.out, id);
        return Ok(Outcome::Done);
    }
    if stream.is_none() && !makes_stream {
        cx.out.null();
        return Ok(Outcome::Done);
    }
    let last = stream.map_or(StreamId::MIN, |stream| stream.log().last_id());
    if last == StreamId::MAX {
        return Err(Fault::IDS_EXHAUSTED);
    }
    let id = wanted.after(last, now_ms)?;
    let added = w.update(|stream: &mut Stream| -> Result<_, TooLarge> {
        stream.log_mut().append(id, pairs.iter(), node_limits(cx.settings))?;
        let trimmed = trimming.as_ref().map(|trimming| trimming.apply(stream));
        // One that is trimmed away at once has nothing a follower could remember it by.
        if let Some((it, name)) = message.as_ref().filter(|_| stream.log().has(id)) {
            stream.idempotence_mut().add(it.producer, name, id, now_ms);
        }
        Ok(trimmed)
    });
    let Ok(trimmed) = added else {
        w.commit_quietly(0);
        return Err(Fault::ENTRY_TOO_LARGE);
    };
    if matches!(trimmed, Some((1.., _))) {
        w.also(Event::XADD);
        w.commit(Event::XTRIM);
    } else {
        w.commit(Event::XADD);
    }
    write_id(cx.out, id);
    if cx.db.logs() {
        let threshold = trimming.as_ref().zip(trimmed).and_then(|(it, (_, left))| it.rewritten(left));
        let words = message.as_ref().map_or(0..0, |(it, _)| it.at.clone());
        propagate(cx, args, trimming.as_ref(), threshold, Some((id_at, id)), words);
        let is_there = trimmed.is_none_or(|(_, (_, first))| first <= id);
        if let Some((it, name)) = message.filter(|_| is_there) {
            it.propagate(cx, args.get(1), &name, id);
        }
    }
    Ok(Outcome::Done)
}

fn node_limits(settings: &Settings) -> NodeLimits {
    NodeLimits {
        max_bytes: settings.bytes(Directive::StreamNodeMaxBytes) as usize,
        max_entries: settings.int(Directive::StreamNodeMaxEntries) as u64,
    }
}

/// The entry that a producer added as the message of that name.
fn find(stream: Option<&Stream>, producer: &[u8], name: &[u8], now_ms: u64) -> Option<StreamId> {
    stream?.idempotence()?.find(producer, name, now_ms)
}

fn xtrim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let trimming = Options::parse(args, cx.settings, false)?.trimming.ok_or(Fault::NO_TRIM)?;
    let mut w = cx.db.open(args.get(1));
    if w.view::<Stream>()?.is_none() {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let (removed, left) = w.update(|stream: &mut Stream| trimming.apply(stream));
    if removed == 0 {
        w.abandon_unchanged();
    } else {
        w.commit_counting(Event::XTRIM, removed);
        if cx.db.logs() && trimming.is_approximate {
            propagate(cx, args, Some(&trimming), trimming.rewritten(left), None, 0..0);
        }
    }
    cx.out.int(removed as i64);
    Ok(Outcome::Done)
}

/// What is left of a stream: its length, and its first identifier.
type Left = (u64, StreamId);

impl Trimming {
    /// Trims; answers how many entries went, and what is left.
    fn apply(&self, stream: &mut Stream) -> (u64, Left) {
        let removed = match self.references {
            References::Keep => stream.log_mut().trim(self.trim, self.is_approximate, self.limit),
            how => trim_with_references(stream, self.trim, self.is_approximate, self.limit, how),
        };
        let log = stream.log();
        let first = if log.is_empty() { StreamId::MAX } else { log.first_id() };
        (removed, (log.len(), first))
    }

    /// The threshold that has the same outcome when it is exact, where it was approximate.
    fn rewritten(&self, left: Left) -> Option<Vec<u8>> {
        self.is_approximate.then(|| match self.trim {
            Trim::MaxLen(_) => left.0.to_string().into_bytes(),
            Trim::MinId(_) => left.1.to_text().as_bytes().to_vec(),
        })
    }
}

/// Propagates XADD with the identifier it chose, XTRIM without, and both with exact trimming. `left_out`:
/// arguments that stay out.
fn propagate(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    trimming: Option<&Trimming>,
    threshold: Option<Vec<u8>>,
    id: Option<(usize, StreamId)>,
    left_out: Range<usize>,
) {
    let id = id.map(|(at, id)| (at, id.to_text()));
    let mut argv: Vec<&[u8]> = Vec::with_capacity(args.len());
    for (at, arg) in args.iter().enumerate() {
        let is_limit =
            trimming.and_then(|it| it.limit_at).is_some_and(|limit| at == limit || at == limit + 1);
        match (&id, trimming, &threshold) {
            // An exact trim has no limit.
            _ if is_limit || left_out.contains(&at) => {}
            (Some((id_at, id)), ..) if *id_at == at => argv.push(id.as_bytes()),
            (_, Some(it), Some(_)) if it.sign_at == Some(at) => argv.push(b"="),
            (_, Some(it), Some(threshold)) if it.threshold_at == at => argv.push(threshold),
            _ => argv.push(arg),
        }
    }
    cx.db.propagate(&argv);
}
