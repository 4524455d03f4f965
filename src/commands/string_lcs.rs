//! Comparing two strings.
//!
//! For: LCS. May touch: what `Cx` carries.
//! Always: the table of a comparison is no larger than an argument may be.

use super::string::{Kept, READ};
use crate::command::{Acl, Command, Cursor, Cx, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::Directive;
use crate::fault::Fault;
use crate::keyspace::{Db, Kind};
use crate::resp::{Args, Out};
use crate::value::lcs::{self, Lcs, LcsError};

/// The rows of this file.
pub const ROWS: &[Command] = &[cmd("LCS", lcs)
    .arity(-3)
    .flags(READ)
    .acl(Acl::STRING)
    .keys(&[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))])
    .group(Group::String)
    .since("7.0.0")
    .cost("O(N*M), N and M bytes in the strings.")
    .doc(
        "Finds the longest sequence of bytes that two strings have in common, not necessarily without gaps.",
        "key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    )];

fn lcs(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    // Both keys are looked up before anything else is judged, and count as read even then.
    let (a, b) = (keep(&mut cx.db, args.get(1)), keep(&mut cx.db, args.get(2)));
    let (Some(a), Some(b)) = (a, b) else { return Err(Fault::LCS_NEEDS_STRINGS) };
    let options = Options::parse(Cursor::new(args, 3))?;
    let limit_bytes = cx.settings.bytes(Directive::ProtoMaxBulkLen);
    if options.len {
        cx.out.int(lcs::length(a.bytes(), b.bytes(), limit_bytes).map_err(fault)? as i64);
        return Ok(Outcome::Done);
    }
    let found = lcs::trace(a.bytes(), b.bytes(), options.min_match_len, limit_bytes).map_err(fault)?;
    if options.idx {
        reply_matches(cx.out, &found, options.with_match_len)
    } else {
        cx.out.bulk(&found.text)
    }
    Ok(Outcome::Done)
}

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    min_match_len: usize,
    with_match_len: bool,
}

impl Options {
    fn parse(mut cursor: Cursor<'_>) -> Result<Options, Fault> {
        let mut options = Options::default();
        while !cursor.is_end() {
            if cursor.word("IDX") {
                options.idx = true;
            } else if cursor.word("LEN") {
                options.len = true;
            } else if cursor.word("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if cursor.word("MINMATCHLEN") {
                // A negative length asks for nothing.
                options.min_match_len = usize::try_from(cursor.int()?).unwrap_or(0);
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        if options.len && options.idx { Err(Fault::LCS_LEN_AND_IDX) } else { Ok(options) }
    }
}

/// The string at a key, empty for a missing one; `None` for another type.
fn keep(db: &mut Db<'_>, key: &[u8]) -> Option<Kept> {
    match db.read(key) {
        None => Some(Kept::of(None)),
        Some(entry) if entry.kind() == Kind::String => Some(Kept::of(Some(entry.value()))),
        Some(_) => None,
    }
}

fn fault(error: LcsError) -> Fault {
    match error {
        LcsError::TooLong => Fault::LCS_TOO_LONG,
        LcsError::TooMuchMemory => Fault::LCS_MEMORY,
    }
}

fn reply_matches(out: &mut Out, found: &Lcs, with_match_len: bool) {
    out.map(2);
    out.bulk(b"matches");
    out.array(found.matches.len());
    for run in &found.matches {
        out.array(if with_match_len { 3 } else { 2 });
        for (from, to) in [run.a, run.b] {
            out.array(2);
            out.int(from as i64);
            out.int(to as i64);
        }
        if with_match_len {
            out.int(run.len() as i64);
        }
    }
    out.bulk(b"len");
    out.int(found.text.len() as i64);
}
