//! Walking over hashes and drawing from them.
//!
//! For: HRANDFIELD and HSCAN. May touch: what `Cx` carries.
//! Always: a call returns at most as much as its count asks for, and a stated number of bytes.

use super::hash::{READS, hash};
use crate::clock::Chance;
use crate::command::{Command, Cursor, Cx, Flags, Outcome, int};
use crate::fault::Fault;
use crate::resp::{Args, Out, Proto};
use crate::value::number::{self, MAX_I64_LEN};
use crate::value::{Hash, HashRef, Item, glob};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    hash("HRANDFIELD", hrandfield, Flags::READONLY, READS)
        .arity(-2)
        .since("6.2.0")
        .cost("O(N), N fields returned.")
        .doc("Returns fields of a hash, each as likely as any other.", "key options=[count [WITHVALUES]]")
        .tips(&["nondeterministic_output"]),
    hash("HSCAN", hscan, Flags::READONLY, READS)
        .arity(-3)
        .since("2.8.0")
        .cost("O(1) for a call, O(N) for all calls that visit N fields.")
        .doc(
            "Visits the fields of a hash some at a time.",
            "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        )
        .tips(&["nondeterministic_output"]),
];

/// HSCAN's COUNT, where none is given.
const DEFAULT_COUNT: usize = 10;
/// Most fields that HRANDFIELD draws when it may draw the same one again,
const MAX_DRAWN: u64 = 1 << 26;
/// and most bytes that it then answers.
const MAX_DRAWN_BYTES: usize = 1 << 30;

fn hrandfield(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let Some(count) = args.opt(2) else {
        return one_field(cx, args.get(1));
    };
    let count = int(count)?;
    if count == i64::MIN {
        return Err(Fault::COUNT_RANGE);
    }
    let with_values = match args.opt(3) {
        None => false,
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"WITHVALUES") => true,
        Some(_) => return Err(Fault::SYNTAX),
    };
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Fault::OUT_OF_RANGE);
    }
    let mut chance = Chance::new(cx.db.record.chance.next_u64());
    let mut draw = |below| chance.below(below);
    let Some(hash) = cx.db.read_as::<Hash>(args.get(1))? else {
        cx.out.array(0);
        return Ok(Outcome::Done);
    };
    if count < 0 {
        draw_repeatedly(cx.out, hash, count.unsigned_abs(), with_values, &mut draw)?;
    } else {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(hash.len());
        begin(cx.out, count, with_values);
        let out = &mut *cx.out;
        hash.sample(count, &mut draw, &mut |field, value| pair(out, field, value, with_values));
    }
    Ok(Outcome::Done)
}

fn hscan(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let cursor = number::parse_u64(args.get(2)).ok_or(Fault::BAD_CURSOR)?;
    let hash = cx.db.read_as::<Hash>(args.get(1))?;
    // A missing key is empty, whatever the options say.
    let Some(hash) = hash else {
        cx.out.array(2);
        cx.out.bulk_int(0);
        cx.out.array(0);
        return Ok(Outcome::Done);
    };
    let options = ScanOptions::parse(args)?;
    // The cursor is told before the fields that it comes out with.
    let (mut items, mut count) = (Out::new(), 0);
    let next = hash.scan(cursor, options.count, &mut |field, value| {
        let mut digits = [0; MAX_I64_LEN];
        if options.pattern.is_some_and(|wanted| !glob::matches(wanted, field.bytes(&mut digits), false)) {
            return;
        }
        items.item(field);
        count += 1;
        if options.with_values {
            items.item(value);
            count += 1;
        }
    });
    cx.out.array(2);
    cx.out.bulk_int(next as i64);
    cx.out.array(count);
    cx.out.raw(items.as_slice().expect("strings that are copied make one run"));
    Ok(Outcome::Done)
}

fn one_field(cx: &mut Cx<'_>, key: &[u8]) -> Result<Outcome, Fault> {
    let mut chance = Chance::new(cx.db.record.chance.next_u64());
    let hash = cx.db.read_as::<Hash>(key)?;
    match hash.and_then(|hash| hash.random(&mut |below| chance.below(below))) {
        Some((field, _)) => cx.out.item(field),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

/// Answers `count` fields, each drawn from all.
fn draw_repeatedly(
    out: &mut Out,
    hash: HashRef<'_>,
    count: u64,
    with_values: bool,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Result<(), Fault> {
    if count > MAX_DRAWN {
        return Err(Fault::OUT_OF_RANGE);
    }
    begin(out, count as usize, with_values);
    let most_bytes = out.len_bytes() + MAX_DRAWN_BYTES;
    let mut left = count;
    hash.draw_repeatedly(draw, &mut |field, value| {
        pair(out, field, value, with_values);
        left -= 1;
        left > 0 && out.len_bytes() < most_bytes
    });
    if left == 0 { Ok(()) } else { Err(Fault::OUT_OF_RANGE) }
}

/// Begins an answer of that many fields.
fn begin(out: &mut Out, count: usize, with_values: bool) {
    let is_flat = with_values && out.proto() == Proto::Resp2;
    out.array(if is_flat { count * 2 } else { count });
}

/// Answers a field, with its value if wanted.
fn pair(out: &mut Out, field: Item<'_>, value: Item<'_>, with_values: bool) {
    if with_values && out.proto() == Proto::Resp3 {
        out.array(2);
    }
    out.item(field);
    if with_values {
        out.item(value);
    }
}

/// HSCAN's options.
struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    with_values: bool,
}

impl<'a> ScanOptions<'a> {
    fn parse(args: Args<'a>) -> Result<ScanOptions<'a>, Fault> {
        let mut options = ScanOptions { pattern: None, count: DEFAULT_COUNT, with_values: true };
        let mut cursor = Cursor::new(args, 3);
        while !cursor.is_end() {
            // A word that needs an argument and has none is as good as unknown.
            let has_argument = cursor.left() > 1;
            if has_argument && cursor.word("COUNT") {
                let count = usize::try_from(int(cursor.need()?)?).ok();
                options.count = count.filter(|&count| count > 0).ok_or(Fault::SYNTAX)?;
            } else if has_argument && cursor.word("MATCH") {
                options.pattern = Some(cursor.need()?).filter(|pattern| !glob::is_all(pattern));
            } else if cursor.word("NOVALUES") {
                options.with_values = false;
            } else if cursor.word("NOSCORES") {
                return Err(Fault::NO_SCORES_ELSEWHERE);
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(options)
    }
}
