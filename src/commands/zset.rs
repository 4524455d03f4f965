//! Sorted sets: members and their scores.
//!
//! For: the commands at single members, counts, random members and scans; what the other sorted set families
//! share with them. May touch: what `Cx` carries.
//! Always: all scores and bounds are read before the key is looked up.

use std::collections::HashSet;

use super::zset_range::{LexRange, ScoreRange};
use crate::clock::Chance;
use crate::command::cursor::int;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::Directive;
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, Out, Proto};
use crate::value::number::{parse_double, parse_u64};
use crate::value::zset::{ZSetLimits, ZSetRef};
use crate::value::{Item, ZSet, glob};

pub(super) const READ: Flags = Flags::READONLY;
pub(super) const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
pub(super) const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const GROW_FAST: Flags = Flags::WRITE.union(Flags::DENY_OOM).union(Flags::FAST);

pub(super) const READS_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
pub(super) const TRIMS_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];

/// Elements that ZSCAN looks at unless told otherwise.
const DEFAULT_SCAN: i64 = 10;
/// Most members, with repetition, that ZRANDMEMBER draws, so that no reply grows without bound.
const MOST_DRAWS: u64 = 1 << 26;
/// Of more members than one in so many, positions are drawn from a list of all instead of drawn again.
const DENSE_SAMPLE: usize = 3;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("ZADD", zadd)
        .args_since(&[("3.0.2", "condition change increment"), ("6.2.0", "comparison")])
        .arity(-4)
        .flags(GROW_FAST)
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))])
        .group(Group::SortedSet)
        .since("1.2.0")
        .cost("O(log N) for each member, N members in the set.")
        .history(&[
            ("2.4.0", "Takes more than one member."),
            ("3.0.2", "Takes XX, NX, CH and INCR."),
            ("6.2.0", "Takes GT and LT."),
        ])
        .doc(
            "Adds members to a sorted set, or gives them other scores.",
            "key condition=[NX | XX] comparison=[GT | LT] change=[CH] increment=[INCR] \
             data=<score:double member> [score:double member ...]",
        ),
    cmd("ZCARD", zcard)
        .arity(2)
        .flags(READ_FAST)
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .group(Group::SortedSet)
        .since("1.2.0")
        .doc("Counts the members of a sorted set.", "key"),
    cmd("ZCOUNT", zcount)
        .arity(4)
        .flags(READ_FAST)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("2.0.0")
        .cost("O(log N), N members.")
        .doc("Counts the members whose scores lie in a range.", "key min:double max:double"),
    cmd("ZINCRBY", zincrby)
        .arity(4)
        .flags(GROW_FAST)
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))])
        .group(Group::SortedSet)
        .since("1.2.0")
        .cost("O(log N), N members.")
        .doc("Adds to the score of a member.", "key increment member"),
    cmd("ZLEXCOUNT", zlexcount)
        .arity(4)
        .flags(READ_FAST)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("2.8.9")
        .cost("O(log N), N members.")
        .doc("Counts the members between two others, where all scores are equal.", "key min max"),
    cmd("ZMSCORE", zmscore)
        .arity(-3)
        .flags(READ_FAST)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("6.2.0")
        .cost("O(N), N members asked for.")
        .doc("Answers the scores of members.", "key member [member ...]"),
    cmd("ZRANDMEMBER", zrandmember)
        .arity(-2)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .tips(&["nondeterministic_output"])
        .group(Group::SortedSet)
        .since("6.2.0")
        .cost("O(N log M), N members answered of M.")
        .doc("Answers members drawn at random.", "key [options=<count [WITHSCORES]>]"),
    cmd("ZRANK", zrank)
        .arity(-3)
        .flags(READ_FAST)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("2.0.0")
        .cost("O(log N), N members.")
        .history(&[("7.2.0", "Takes WITHSCORE.")])
        .doc("Answers how many members stand before one, from the lowest score.", "key member [WITHSCORE]"),
    cmd("ZREM", zrem)
        .arity(-3)
        .flags(WRITE_FAST)
        .acl(Acl::SORTEDSET)
        .keys(TRIMS_IT)
        .group(Group::SortedSet)
        .since("1.2.0")
        .cost("O(M log N), M members removed of N.")
        .history(&[("2.4.0", "Takes more than one member.")])
        .doc("Removes members from a sorted set.", "key member [member ...]"),
    cmd("ZREVRANK", zrevrank)
        .arity(-3)
        .flags(READ_FAST)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("2.0.0")
        .cost("O(log N), N members.")
        .history(&[("7.2.0", "Takes WITHSCORE.")])
        .doc("Answers how many members stand before one, from the highest score.", "key member [WITHSCORE]"),
    cmd("ZSCAN", zscan)
        .arity(-3)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .tips(&["nondeterministic_output"])
        .group(Group::SortedSet)
        .since("2.8.0")
        .cost("O(1) for a call, O(N) for a whole iteration, N members.")
        .history(&[("8.0.0", "Takes NOSCORES.")])
        .doc(
            "Goes through the members of a sorted set, step by step.",
            "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
        ),
    cmd("ZSCORE", zscore)
        .arity(3)
        .flags(READ_FAST)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("1.2.0")
        .doc("Answers the score of a member.", "key member"),
];

/// On what condition, and how, ZADD changes scores.
#[derive(Clone, Copy, Default)]
struct AddOptions {
    only_new: bool,
    only_old: bool,
    only_greater: bool,
    only_less: bool,
    counts_changes: bool,
    increments: bool,
}

impl AddOptions {
    fn read(cursor: &mut Cursor<'_>) -> AddOptions {
        let mut options = AddOptions::default();
        loop {
            let flag = if cursor.word("NX") {
                &mut options.only_new
            } else if cursor.word("XX") {
                &mut options.only_old
            } else if cursor.word("GT") {
                &mut options.only_greater
            } else if cursor.word("LT") {
                &mut options.only_less
            } else if cursor.word("CH") {
                &mut options.counts_changes
            } else if cursor.word("INCR") {
                &mut options.increments
            } else {
                return options;
            };
            *flag = true;
        }
    }

    fn check(self, pairs: usize) -> Result<(), Fault> {
        if self.only_new && self.only_old {
            return Err(Fault::ZADD_NX_XX);
        }
        let conditions = [self.only_new, self.only_greater, self.only_less];
        if conditions.into_iter().filter(|is_set| *is_set).count() > 1 {
            return Err(Fault::ZADD_GT_LT_NX);
        }
        if self.increments && pairs > 1 {
            return Err(Fault::ZADD_INCR_PAIRS);
        }
        Ok(())
    }
}

/// What adding members did.
#[derive(Default)]
struct Added {
    added: u64,
    changed: u64,
    /// The score after an increment; `None` when a condition forbade it.
    score: Option<f64>,
    is_nan: bool,
}

impl Added {
    /// The new score of a member, `None` when it stays as it is.
    fn decide(&mut self, options: AddOptions, old: Option<f64>, given: f64) -> Option<f64> {
        self.score = None;
        let Some(old) = old else {
            if options.only_old {
                return None;
            }
            self.added += 1;
            self.score = Some(given);
            return self.score;
        };
        if options.only_new {
            return None;
        }
        let new = if options.increments { old + given } else { given };
        if new.is_nan() {
            self.is_nan = true;
            return None;
        }
        if (options.only_less && new >= old) || (options.only_greater && new <= old) {
            return None;
        }
        self.score = Some(new);
        if new == old {
            return None;
        }
        self.changed += 1;
        Some(new)
    }
}

pub(super) fn zadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 2);
    let options = AddOptions::read(&mut cursor);
    let first = cursor.index();
    if cursor.is_end() || cursor.left() % 2 == 1 {
        return Err(Fault::SYNTAX);
    }
    options.check(cursor.left() / 2)?;
    add(cx, args, first, options, Event::ZADD)
}

fn zcard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let len = cx.db.read_as::<ZSet>(args.get(1))?.map_or(0, ZSetRef::len);
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

fn zcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let range = ScoreRange::read(args.get(2), args.get(3))?;
    let count = cx.db.read_as::<ZSet>(args.get(1))?.map_or(0, |set| range.ranks(set).len());
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

fn zincrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    add(cx, args, 2, AddOptions { increments: true, ..AddOptions::default() }, Event::ZINCR)
}

fn zlexcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let range = LexRange::read(args.get(2), args.get(3))?;
    let count = cx.db.read_as::<ZSet>(args.get(1))?.map_or(0, |set| range.ranks(set, false).len());
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

fn zmscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let set = cx.db.read_as::<ZSet>(args.get(1))?;
    cx.out.array(args.len() - 2);
    for at in 2..args.len() {
        reply_score(cx.out, set.and_then(|set| set.score(args.get(at))));
    }
    Ok(Outcome::Done)
}

fn zrandmember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if args.len() == 2 {
        let chance = cx.db.record.chance.next_u64();
        match cx.db.read_as::<ZSet>(args.get(1))? {
            Some(set) => cx.out.item(set.nth(scaled(chance, set.len())).0),
            None => cx.out.null(),
        }
        return Ok(Outcome::Done);
    }
    let count = int(args.get(2))?;
    if count == i64::MIN {
        return Err(Fault::NOT_NEGATABLE);
    }
    let mut cursor = Cursor::new(args, 3);
    let with_scores = cursor.word("WITHSCORES");
    cursor.end()?;
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Fault::OUT_OF_RANGE);
    }
    if count < 0 && count.unsigned_abs() > MOST_DRAWS {
        return Err(Fault::OUT_OF_RANGE);
    }
    // The set borrows the database, and with it the worker's chance.
    let mut chance = Chance::new(cx.db.record.chance.next_u64());
    let Some(set) = cx.db.read_as::<ZSet>(args.get(1))? else {
        cx.out.array(0);
        return Ok(Outcome::Done);
    };
    let (len, wanted) = (set.len(), usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX));
    let mut below = |limit: usize| chance.below(limit as u64) as usize;
    if count >= 0 && wanted >= len {
        reply_entries(cx.out, set.iter(), len, with_scores);
    } else if count >= 0 {
        let ranks = sample(len, wanted, &mut below);
        reply_entries(cx.out, ranks.into_iter().map(|rank| set.nth(rank)), wanted, with_scores);
    } else {
        reply_entries(cx.out, (0..wanted).map(|_| set.nth(below(len))), wanted, with_scores);
    }
    Ok(Outcome::Done)
}

fn zrank(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    rank(cx, args, "zrank", |rank, _| rank)
}

fn zrem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(args.get(1));
    if w.view::<ZSet>()?.is_none() {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let members = (2..args.len()).map(|at| args.get(at));
    let removed = w.update(|set: &mut ZSet| members.filter(|member| set.remove(member).is_some()).count());
    if removed == 0 {
        w.abandon_unchanged();
    } else {
        w.commit_counting(Event::ZREM, removed as u64);
    }
    cx.out.int(removed as i64);
    Ok(Outcome::Done)
}

fn zrevrank(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    rank(cx, args, "zrevrank", |rank, len| len - 1 - rank)
}

fn zscan(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let cursor = parse_u64(args.get(2)).ok_or(Fault::BAD_CURSOR)?;
    let Some(set) = cx.db.read_as::<ZSet>(args.get(1))? else {
        cx.out.array(2);
        cx.out.bulk(b"0");
        cx.out.array(0);
        return Ok(Outcome::Done);
    };
    // Only of a key that is there are the options looked at.
    let options = ScanOptions::read(args)?;
    let (mut found, mut shown) = (Out::new(), 0);
    let is_large = matches!(set, ZSetRef::Large(_));
    let mut text = Vec::new();
    let next = set.scan(cursor, options.count, &mut |member, score| {
        text.clear();
        member.append_to(&mut text);
        if options.pattern.is_some_and(|pattern| !glob::matches(pattern, &text, false)) {
            return;
        }
        found.bulk(&text);
        shown += 1;
        if options.with_scores {
            reply_scanned_score(&mut found, score, is_large);
            shown += 1;
        }
    });
    cx.out.array(2);
    cx.out.bulk(next.to_string().as_bytes());
    cx.out.array(shown);
    cx.out.append(found);
    Ok(Outcome::Done)
}

fn zscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let set = cx.db.read_as::<ZSet>(args.get(1))?;
    reply_score(cx.out, set.and_then(|set| set.score(args.get(2))));
    Ok(Outcome::Done)
}

/// What decides about the form of the server's sorted sets.
pub(super) fn limits(cx: &Cx<'_>) -> ZSetLimits {
    let limit = |directive| usize::try_from(cx.settings.int(directive)).unwrap_or(usize::MAX);
    ZSetLimits {
        max_packed_entries: limit(Directive::ZsetMaxListpackEntries),
        max_packed_value: limit(Directive::ZsetMaxListpackValue),
        seed: cx.host.identity.seed,
    }
}

/// Writes a score, or that there is none.
fn reply_score(out: &mut Out, score: Option<f64>) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

/// Writes members, with their scores if asked: as pairs in RESP3, one behind the other in RESP2.
pub(super) fn reply_entries<'a>(
    out: &mut Out,
    entries: impl Iterator<Item = (Item<'a>, f64)>,
    count: usize,
    with_scores: bool,
) {
    let in_pairs = with_scores && out.proto() == Proto::Resp3;
    out.array(if with_scores && !in_pairs { count * 2 } else { count });
    for (member, score) in entries {
        if in_pairs {
            out.array(2);
        }
        out.item(member);
        if with_scores {
            out.double(score);
        }
    }
}

/// Adds the pairs of score and member from argument `first` on.
fn add(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    first: usize,
    options: AddOptions,
    event: Event,
) -> Result<Outcome, Fault> {
    let event = if options.increments { Event::ZINCR } else { event };
    let mut longest = 0;
    for at in (first..args.len()).step_by(2) {
        parse_double(args.get(at)).ok_or(Fault::NOT_A_FLOAT)?;
        longest = longest.max(args.get(at + 1).len());
    }
    let limits = limits(cx);
    let pairs = (args.len() - first) / 2;
    let mut w = cx.db.open(args.get(1));
    let is_there = w.view::<ZSet>()?.is_some();
    let mut done = Added::default();
    if is_there || !options.only_old {
        w.update(|set: &mut ZSet| {
            set.expect(pairs, longest, limits);
            for at in (first..args.len()).step_by(2) {
                let given = parse_double(args.get(at)).expect("it was read before");
                set.edit(args.get(at + 1), limits, |old| done.decide(options, old, given));
            }
        });
    }
    match done.added + done.changed {
        0 => w.abandon_unchanged(),
        changes => w.commit_counting(event, changes),
    }
    if done.is_nan {
        return Err(Fault::SCORE_NAN);
    }
    if options.increments {
        reply_score(cx.out, done.score);
    } else {
        cx.out.int((done.added + if options.counts_changes { done.changed } else { 0 }) as i64);
    }
    Ok(Outcome::Done)
}

/// Answers a member's rank as `place` makes it of the rank and the number of members.
fn rank(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &str,
    place: fn(usize, usize) -> usize,
) -> Result<Outcome, Fault> {
    if args.len() > 4 {
        return Err(Fault::arity(name));
    }
    let mut cursor = Cursor::new(args, 3);
    let with_score = cursor.word("WITHSCORE");
    cursor.end()?;
    let found = cx
        .db
        .read_as::<ZSet>(args.get(1))?
        .and_then(|set| set.rank_of(args.get(2)).map(|(rank, score)| (place(rank, set.len()), score)));
    match found {
        Some((rank, score)) if with_score => {
            cx.out.array(2);
            cx.out.int(rank as i64);
            cx.out.double(score);
        }
        Some((rank, _)) => cx.out.int(rank as i64),
        None if with_score => cx.out.null_array(),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

/// Scales a uniform word to a number below `limit`.
fn scaled(word: u64, limit: usize) -> usize {
    ((u128::from(word) * limit as u128) >> u64::BITS) as usize
}

/// `wanted` different numbers below `len`, which is larger.
fn sample(len: usize, wanted: usize, below: &mut dyn FnMut(usize) -> usize) -> Vec<usize> {
    if wanted * DENSE_SAMPLE > len {
        let mut all: Vec<usize> = (0..len).collect();
        for at in 0..wanted {
            let other = at + below(len - at);
            all.swap(at, other);
        }
        all.truncate(wanted);
        return all;
    }
    let (mut drawn, mut seen) = (Vec::with_capacity(wanted), HashSet::with_capacity(wanted));
    while drawn.len() < wanted {
        let number = below(len);
        if seen.insert(number) {
            drawn.push(number);
        }
    }
    drawn
}

/// What ZSCAN shows.
struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    with_scores: bool,
}

impl<'a> ScanOptions<'a> {
    fn read(args: Args<'a>) -> Result<ScanOptions<'a>, Fault> {
        let (mut pattern, mut count, mut with_scores) = (None, DEFAULT_SCAN, true);
        let mut options = Cursor::new(args, 3);
        while !options.is_end() {
            // A word that needs an argument and has none is as good as unknown.
            let has_argument = options.left() > 1;
            if has_argument && options.word("COUNT") {
                count = options.int()?;
                if count < 1 {
                    return Err(Fault::SYNTAX);
                }
            } else if has_argument && options.word("MATCH") {
                pattern = Some(options.need()?).filter(|pattern| !glob::is_all(pattern));
            } else if options.word("NOSCORES") {
                with_scores = false;
            } else if options.word("NOVALUES") {
                return Err(Fault::NO_VALUES_ELSEWHERE);
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(ScanOptions { pattern, count: usize::try_from(count).unwrap_or(usize::MAX), with_scores })
    }
}

/// Writes a score as ZSCAN does, which spells those of large sets with seventeen digits.
fn reply_scanned_score(out: &mut Out, score: f64, is_large: bool) {
    let mut text = Vec::new();
    if is_large {
        spell_17_digits(score, &mut text);
    } else {
        crate::resp::format_double(score, &mut text);
    }
    out.bulk(&text);
}

/// Appends `value` with up to 17 significant digits, without trailing zeros, in exponent form where it is
/// below
/// 0.0001 or needs more places.
fn spell_17_digits(value: f64, out: &mut Vec<u8>) {
    const DIGITS: i32 = 17;
    if value == 0.0 || !value.is_finite() {
        return crate::resp::format_double(value, out);
    }
    let text = format!("{value:.*e}", DIGITS as usize - 1);
    let (digits, exponent) = text.split_once('e').expect("this form has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let trim = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    let spelled = if (-4..DIGITS).contains(&exponent) {
        let places = (DIGITS - 1 - exponent) as usize;
        let plain = format!("{value:.places$}");
        if places == 0 { plain } else { trim(&plain) }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(digits), exponent.abs())
    };
    out.extend_from_slice(spelled.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanned_scores_have_seventeen_digits() {
        let cases = [
            (0.1, "0.10000000000000001"),
            (0.2, "0.20000000000000001"),
            (1e-7, "9.9999999999999995e-08"),
            (1e20, "1e+20"),
            (3.0, "3"),
            (-2.5, "-2.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (100.0, "100"),
            (0.0001, "0.0001"),
            (0.0, "0"),
            (f64::INFINITY, "inf"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            spell_17_digits(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn a_sample_has_different_numbers_and_leaves_none_out() {
        let mut chance = crate::clock::Chance::new(3);
        for (len, wanted) in [(10, 1), (10, 3), (10, 4), (10, 9), (1000, 20)] {
            let mut counts = vec![0; len];
            for _ in 0..20_000 / wanted {
                let drawn = sample(len, wanted, &mut |limit| chance.below(limit as u64) as usize);
                let different: HashSet<_> = drawn.iter().collect();
                assert_eq!((drawn.len(), different.len()), (wanted, wanted));
                drawn.iter().for_each(|&number| counts[number] += 1);
            }
            let mean = 20_000 / len;
            assert!(counts.iter().all(|&count| count > mean / 8 && count < mean * 4), "{counts:?}");
        }
    }
}
