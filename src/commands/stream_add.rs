//! Streams: adding entries, and keeping streams short.
//!
//! For: XADD and XTRIM, which share the options of trimming. May touch: what `Cx` carries.
//! Always: what is propagated names the identifier that was given and, where it trimmed approximately, the
//! length or identifier that came of it.

use super::stream::{DELETES_FROM_IT, WRITE_FAST, strict_id, write_id};
use super::stream_refs::{References, trim_with_references};
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::Args;
use crate::value::Stream;
use crate::value::stream::{NodeLimits, StreamId, Trim};

/// Entries that approximate trimming removes at most, for each that a node may hold, unless LIMIT says more.
const LIMIT_PER_NODE_ENTRY: i64 = 100;
/// That limit where a node may hold any number.
const LIMIT_OF_ENDLESS_NODES: i64 = 10_000;
/// That limit at most.
const LIMIT_MAX: i64 = 1_000_000;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("XADD", xadd)
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
             [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> <field value> [field value ...]",
        ),
    cmd("XTRIM", xtrim)
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
            "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [KEEPREF | DELREF | ACKED]",
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

/// What stands before XADD's identifier, and in XTRIM.
struct Options {
    trimming: Option<Trimming>,
    makes_stream: bool,
    /// Where XADD's identifier stands.
    id_at: usize,
}

impl Options {
    /// Reads from argument 2 on, to XADD's identifier or XTRIM's end.
    fn parse(args: Args<'_>, settings: &Settings, is_xadd: bool) -> Result<Options, Fault> {
        let mut cursor = Cursor::new(args, 2);
        let (mut makes_stream, mut references) = (true, None);
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
        let mut options = Options { trimming: None, makes_stream, id_at };
        // The real server complains of an identifier before it complains of options.
        if is_xadd && let Some(text) = args.opt(id_at) {
            wanted(text)?;
        }
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
    let Options { trimming, makes_stream, id_at } = Options::parse(args, cx.settings, true)?;
    let pairs = args.from(id_at + 1);
    if pairs.len() < 2 || pairs.len() % 2 == 1 {
        return Err(Fault::arity(&cx.command.full_name));
    }
    let wanted = wanted(args.get(id_at))?;
    if matches!(wanted, Wanted::Exactly(StreamId::MIN)) {
        return Err(Fault::ID_ZERO);
    }
    let limits = NodeLimits {
        max_bytes: cx.settings.bytes(Directive::StreamNodeMaxBytes) as usize,
        max_entries: cx.settings.int(Directive::StreamNodeMaxEntries) as u64,
    };
    let now_ms = cx.db.now_ms();
    let mut w = cx.db.open(args.get(1));
    let last = match w.view::<Stream>()? {
        Some(stream) => stream.log().last_id(),
        None if !makes_stream => {
            cx.out.null();
            return Ok(Outcome::Done);
        }
        None => StreamId::MIN,
    };
    if last == StreamId::MAX {
        return Err(Fault::IDS_EXHAUSTED);
    }
    let id = wanted.after(last, now_ms)?;
    let added = w.update(|stream: &mut Stream| -> Result<_, Fault> {
        stream.log_mut().append(id, pairs.iter(), limits).map_err(|_| Fault::ENTRY_TOO_LARGE)?;
        Ok(trimming.as_ref().map(|trimming| trimming.apply(stream)))
    });
    let trimmed = match added {
        Ok(trimmed) => trimmed,
        Err(fault) => {
            w.commit_quietly(0);
            return Err(fault);
        }
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
        propagate(cx, args, trimming.as_ref(), threshold, Some((id_at, id)));
    }
    Ok(Outcome::Done)
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
            propagate(cx, args, Some(&trimming), trimming.rewritten(left), None);
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

/// Propagates XADD with the identifier it chose, XTRIM without, and both with exact trimming.
fn propagate(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    trimming: Option<&Trimming>,
    threshold: Option<Vec<u8>>,
    id: Option<(usize, StreamId)>,
) {
    let id = id.map(|(at, id)| (at, id.to_text()));
    let mut argv: Vec<&[u8]> = Vec::with_capacity(args.len());
    for (at, arg) in args.iter().enumerate() {
        let is_limit =
            trimming.and_then(|it| it.limit_at).is_some_and(|limit| at == limit || at == limit + 1);
        match (&id, trimming, &threshold) {
            // An exact trim has no limit.
            _ if is_limit => {}
            (Some((id_at, id)), ..) if *id_at == at => argv.push(id.as_bytes()),
            (_, Some(it), Some(_)) if it.sign_at == Some(at) => argv.push(b"="),
            (_, Some(it), Some(threshold)) if it.threshold_at == at => argv.push(threshold),
            _ => argv.push(arg),
        }
    }
    cx.db.propagate(&argv);
}
