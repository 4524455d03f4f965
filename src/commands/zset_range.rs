//! Sorted sets: ranges of ranks, scores and members.
//!
//! For: answering, storing and removing what lies in a range. May touch: what `Cx` carries.
//! Always: the options and both ends of a range are read before the key is looked up. Whatever a range is
//! given by, it becomes a range of ranks first, so an offset costs nothing.

use std::ops::Range;

use super::zset::{READ, READS_IT, TRIMS_IT, limits, reply_entries};
use super::zset_algebra::{collected, store};
use crate::command::cursor::int;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::Args;
use crate::value::number::parse_score_bound;
use crate::value::zset::{Probe, ZSetRef};
use crate::value::{Item, ZSet};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("ZRANGE", zrange)
        .args_since(&[("6.2.0", "sortby rev limit")])
        .arity(-4)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("1.2.0")
        .cost("O(log N + M), M members answered of N.")
        .history(&[("6.2.0", "Takes REV, BYSCORE, BYLEX and LIMIT.")])
        .doc(
            "Answers the members in a range of ranks, scores or members.",
            "key start:string stop:string sortby=[BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        ),
    cmd("ZRANGEBYLEX", zrangebylex)
        .arity(-4)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("2.8.9")
        .cost("O(log N + M), M members answered of N.")
        .doc(
            "Answers the members between two others, where all scores are equal.",
            "key min max [LIMIT offset count]",
        ),
    cmd("ZRANGEBYSCORE", zrangebyscore)
        .args_since(&[("2.0.0", "withscores")])
        .arity(-4)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("1.0.5")
        .cost("O(log N + M), M members answered of N.")
        .history(&[("2.0.0", "Takes WITHSCORES.")])
        .doc(
            "Answers the members whose scores lie in a range.",
            "key min:double max:double [WITHSCORES] [LIMIT offset count]",
        ),
    cmd("ZRANGESTORE", zrangestore)
        .arity(-5)
        .flags(Flags::WRITE.union(Flags::DENY_OOM))
        .acl(Acl::SORTEDSET)
        .keys(&[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ])
        .group(Group::SortedSet)
        .since("6.2.0")
        .cost("O(log N + M), M members stored of N.")
        .doc(
            "Stores the members in a range of ranks, scores or members.",
            "dst:key src:key min max sortby=[BYSCORE | BYLEX] [REV] [LIMIT offset count]",
        ),
    cmd("ZREMRANGEBYLEX", zremrangebylex)
        .arity(4)
        .flags(Flags::WRITE)
        .acl(Acl::SORTEDSET)
        .keys(TRIMS_IT)
        .group(Group::SortedSet)
        .since("2.8.9")
        .cost("O(log N + M), M members removed of N.")
        .doc("Removes the members between two others, where all scores are equal.", "key min max"),
    cmd("ZREMRANGEBYRANK", zremrangebyrank)
        .arity(4)
        .flags(Flags::WRITE)
        .acl(Acl::SORTEDSET)
        .keys(TRIMS_IT)
        .group(Group::SortedSet)
        .since("2.0.0")
        .cost("O(log N + M), M members removed of N.")
        .doc("Removes the members in a range of ranks.", "key start:integer stop:integer"),
    cmd("ZREMRANGEBYSCORE", zremrangebyscore)
        .arity(4)
        .flags(Flags::WRITE)
        .acl(Acl::SORTEDSET)
        .keys(TRIMS_IT)
        .group(Group::SortedSet)
        .since("1.2.0")
        .cost("O(log N + M), M members removed of N.")
        .doc("Removes the members whose scores lie in a range.", "key min:double max:double"),
    cmd("ZREVRANGE", zrevrange)
        .arity(-4)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("1.2.0")
        .cost("O(log N + M), M members answered of N.")
        .doc(
            "Answers the members in a range of ranks, from the highest score.",
            "key start:integer stop:integer [WITHSCORES]",
        ),
    cmd("ZREVRANGEBYLEX", zrevrangebylex)
        .arity(-4)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("2.8.9")
        .cost("O(log N + M), M members answered of N.")
        .doc(
            "Answers the members between two others from the last, where all scores are equal.",
            "key max min [LIMIT offset count]",
        ),
    cmd("ZREVRANGEBYSCORE", zrevrangebyscore)
        .arity(-4)
        .flags(READ)
        .acl(Acl::SORTEDSET)
        .keys(READS_IT)
        .group(Group::SortedSet)
        .since("2.2.0")
        .cost("O(log N + M), M members answered of N.")
        .history(&[("2.1.6", "Takes ranges without their ends.")])
        .doc(
            "Answers the members whose scores lie in a range, from the highest.",
            "key max:double min:double [WITHSCORES] [LIMIT offset count]",
        ),
];

/// What a range is given by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// What a command leaves to its options; `None` where the option may say it.
#[derive(Clone, Copy)]
struct Form {
    by: Option<By>,
    is_reverse: Option<bool>,
    stores: bool,
}

const ANY: Form = Form { by: None, is_reverse: None, stores: false };

fn zrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_range(cx, args, ANY)
}

fn zrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_range(cx, args, Form { by: Some(By::Member), is_reverse: Some(false), stores: false })
}

fn zrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_range(cx, args, Form { by: Some(By::Score), is_reverse: Some(false), stores: false })
}

fn zrangestore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let query = Query::read(args, 3, Form { stores: true, ..ANY })?;
    let limits = limits(cx);
    let result = match cx.db.read_as::<ZSet>(args.get(2))? {
        None => ZSet::default(),
        Some(set) => {
            let entries = collected(set.range(query.ranks(set), false));
            ZSet::of_sorted(entries.iter().map(|(member, score)| (&member[..], *score)), limits)
        }
    };
    store(cx, args.get(1), result, Event::ZRANGESTORE);
    Ok(Outcome::Done)
}

fn zremrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let range = LexRange::read(args.get(2), args.get(3))?;
    remove_range(cx, args.get(1), Event::ZREMRANGEBYLEX, |set| range.ranks(set, false))
}

fn zremrangebyrank(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (start, stop) = (int(args.get(2))?, int(args.get(3))?);
    remove_range(cx, args.get(1), Event::ZREMRANGEBYRANK, |set| rank_range(set.len(), start, stop))
}

fn zremrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let range = ScoreRange::read(args.get(2), args.get(3))?;
    remove_range(cx, args.get(1), Event::ZREMRANGEBYSCORE, |set| range.ranks(set))
}

fn zrevrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_range(cx, args, Form { by: Some(By::Rank), is_reverse: Some(true), stores: false })
}

fn zrevrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_range(cx, args, Form { by: Some(By::Member), is_reverse: Some(true), stores: false })
}

fn zrevrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_range(cx, args, Form { by: Some(By::Score), is_reverse: Some(true), stores: false })
}

/// Scores between two bounds.
#[derive(Clone, Copy)]
pub(super) struct ScoreRange {
    min: f64,
    max: f64,
    without_min: bool,
    without_max: bool,
}

impl ScoreRange {
    /// Reads two bounds; a parenthesis before one excludes it.
    ///
    /// # Errors
    /// [`Fault::SCORE_BOUND`].
    pub(super) fn read(min: &[u8], max: &[u8]) -> Result<ScoreRange, Fault> {
        let bound = |text: &[u8]| {
            let (number, is_out) = text.strip_prefix(b"(").map_or((text, false), |number| (number, true));
            parse_score_bound(number).map(|bound| (bound, is_out)).ok_or(Fault::SCORE_BOUND)
        };
        let ((min, without_min), (max, without_max)) = (bound(min)?, bound(max)?);
        Ok(ScoreRange { min, max, without_min, without_max })
    }

    /// The ranks of the members whose scores are in it. O(log N).
    pub(super) fn ranks(self, set: ZSetRef<'_>) -> Range<usize> {
        let start = match self {
            ScoreRange { min: f64::NEG_INFINITY, without_min: false, .. } => 0,
            ScoreRange { min, without_min: true, .. } => set.rank(Probe::AfterScore(min)),
            ScoreRange { min, .. } => set.rank(Probe::BeforeScore(min)),
        };
        let end = match self {
            ScoreRange { max: f64::INFINITY, without_max: false, .. } => set.len(),
            ScoreRange { max, without_max: true, .. } => set.rank(Probe::BeforeScore(max)),
            ScoreRange { max, .. } => set.rank(Probe::AfterScore(max)),
        };
        start..end.max(start)
    }
}

/// An end of a range of members.
#[derive(Clone, Copy)]
enum LexBound<'a> {
    /// Before all members: `-`.
    First,
    /// After all members: `+`.
    Last,
    /// With that member: `[member`.
    With(&'a [u8]),
    /// Without that member: `(member`.
    Without(&'a [u8]),
}

impl<'a> LexBound<'a> {
    fn read(text: &'a [u8]) -> Result<LexBound<'a>, Fault> {
        match text {
            [b'[', member @ ..] => Ok(LexBound::With(member)),
            [b'(', member @ ..] => Ok(LexBound::Without(member)),
            [b'-'] | [b'-', 0, ..] => Ok(LexBound::First),
            [b'+'] | [b'+', 0, ..] => Ok(LexBound::Last),
            _ => Err(Fault::LEX_BOUND),
        }
    }
}

/// Members between two bounds, of a set whose scores are all equal.
#[derive(Clone, Copy)]
pub(super) struct LexRange<'a> {
    min: LexBound<'a>,
    max: LexBound<'a>,
}

impl<'a> LexRange<'a> {
    /// Reads two bounds.
    ///
    /// # Errors
    /// [`Fault::LEX_BOUND`].
    pub(super) fn read(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, Fault> {
        Ok(LexRange { min: LexBound::read(min)?, max: LexBound::read(max)? })
    }

    /// The ranks of the members in it. O(log N). Where scores differ, members do not ascend; what is in the
    /// range then depends on the end from which a small set is looked through, as with the original.
    pub(super) fn ranks(self, set: ZSetRef<'_>, is_reverse: bool) -> Range<usize> {
        let len = set.len();
        let end = |rank| set.nth(rank).0.to_vec();
        if len == 0 || self.is_empty() || !self.is_behind_min(&end(len - 1)) || !self.is_before_max(&end(0)) {
            return 0..0;
        }
        if let ZSetRef::Packed(_) = set {
            return self.walked(set, is_reverse);
        }
        let start = match self.min {
            LexBound::First => 0,
            LexBound::Last => len,
            LexBound::With(member) => set.rank(Probe::BeforeMember(member)),
            LexBound::Without(member) => set.rank(Probe::AfterMember(member)),
        };
        let end = match self.max {
            LexBound::First => 0,
            LexBound::Last => len,
            LexBound::With(member) => set.rank(Probe::AfterMember(member)),
            LexBound::Without(member) => set.rank(Probe::BeforeMember(member)),
        };
        start..end.max(start)
    }

    /// Whether no member can be in it.
    fn is_empty(self) -> bool {
        match (self.min, self.max) {
            (LexBound::First | LexBound::With(_) | LexBound::Without(_), LexBound::Last) => false,
            (LexBound::First, LexBound::With(_) | LexBound::Without(_)) => false,
            (LexBound::With(min), LexBound::With(max)) => min > max,
            (LexBound::With(min) | LexBound::Without(min), LexBound::With(max) | LexBound::Without(max)) => {
                min >= max
            }
            _ => true,
        }
    }

    fn is_behind_min(self, member: &[u8]) -> bool {
        match self.min {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::With(min) => member >= min,
            LexBound::Without(min) => member > min,
        }
    }

    fn is_before_max(self, member: &[u8]) -> bool {
        match self.max {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::With(max) => member <= max,
            LexBound::Without(max) => member < max,
        }
    }

    /// The ranks of what follows the first member within one bound, as far as the other.
    fn walked(self, set: ZSetRef<'_>, is_reverse: bool) -> Range<usize> {
        let mut text = Vec::new();
        let mut sides = |member: Item<'_>| {
            text.clear();
            member.append_to(&mut text);
            (self.is_behind_min(&text), self.is_before_max(&text))
        };
        let sides: Vec<(bool, bool)> = set.iter().map(|(member, _)| sides(member)).collect();
        if is_reverse {
            let Some(last) = sides.iter().rposition(|side| side.1) else { return 0..0 };
            let count = sides[..=last].iter().rev().take_while(|side| side.0).count();
            return last + 1 - count..last + 1;
        }
        let Some(first) = sides.iter().position(|side| side.0) else { return 0..0 };
        let count = sides[first..].iter().take_while(|side| side.1).count();
        first..first + count
    }
}

/// The ranks that inclusive, possibly negative (from the end) indexes select of `len`.
fn rank_range(len: usize, start: i64, stop: i64) -> Range<usize> {
    let absolute = |index: i64| if index < 0 { index.saturating_add_unsigned(len as u64) } else { index };
    let first = usize::try_from(absolute(start).max(0)).unwrap_or(usize::MAX);
    let behind = usize::try_from(absolute(stop).saturating_add(1).max(0)).unwrap_or(usize::MAX).min(len);
    if first < behind { first..behind } else { 0..0 }
}

/// What of a range is given by.
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

/// A range with all its options.
struct Query<'a> {
    bounds: Bounds<'a>,
    is_reverse: bool,
    with_scores: bool,
    /// To be left out, and to be taken at most; negative: none, and all.
    limit: (i64, i64),
}

impl<'a> Query<'a> {
    /// Reads a range whose bounds are arguments `at` and `at + 1`, and the options behind them.
    fn read(args: Args<'a>, at: usize, form: Form) -> Result<Query<'a>, Fault> {
        let (mut by, mut is_reverse, mut limit) = (form.by, form.is_reverse, (0, -1));
        let mut with_scores = false;
        let mut options = Cursor::new(args, at + 2);
        while !options.is_end() {
            if !form.stores && options.word("WITHSCORES") {
                with_scores = true;
            } else if options.left() > 2 && options.word("LIMIT") {
                limit = (options.int()?, options.int()?);
            } else if is_reverse.is_none() && options.word("REV") {
                is_reverse = Some(true);
            } else if by.is_none() && options.word("BYLEX") {
                by = Some(By::Member);
            } else if by.is_none() && options.word("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        let (by, is_reverse) = (by.unwrap_or(By::Rank), is_reverse.unwrap_or(false));
        if limit.1 != -1 && by == By::Rank {
            return Err(Fault::LIMIT_WITHOUT_BY);
        }
        if with_scores && by == By::Member {
            return Err(Fault::WITHSCORES_BYLEX);
        }
        let (first, second) = (args.get(at), args.get(at + 1));
        let (min, max) = if is_reverse { (second, first) } else { (first, second) };
        let bounds = match by {
            By::Rank => Bounds::Ranks(int(first)?, int(second)?),
            By::Score => Bounds::Scores(ScoreRange::read(min, max)?),
            By::Member => Bounds::Members(LexRange::read(min, max)?),
        };
        Ok(Query { bounds, is_reverse, with_scores, limit })
    }

    /// The ranks, from the lowest score, of what it selects.
    fn ranks(&self, set: ZSetRef<'_>) -> Range<usize> {
        let all = match &self.bounds {
            Bounds::Ranks(start, stop) => {
                let ranks = rank_range(set.len(), *start, *stop);
                if !self.is_reverse {
                    return ranks;
                }
                return set.len() - ranks.end..set.len() - ranks.start;
            }
            Bounds::Scores(range) => range.ranks(set),
            Bounds::Members(range) => range.ranks(set, self.is_reverse),
        };
        let Some(offset) = self.offset(all.len(), set) else { return 0..0 };
        let count = usize::try_from(self.limit.1).unwrap_or(usize::MAX).min(all.len() - offset);
        if self.is_reverse {
            let end = all.end - offset;
            end - count..end
        } else {
            let start = all.start + offset;
            start..start + count
        }
    }

    /// How many of `len` members are left out. One below zero leaves out all but so many, and of a small set
    /// all, as with the original.
    fn offset(&self, len: usize, set: ZSetRef<'_>) -> Option<usize> {
        let distance = usize::try_from(self.limit.0.unsigned_abs()).unwrap_or(usize::MAX);
        match (self.limit.0 < 0, set) {
            (false, _) => Some(distance.min(len)),
            (true, ZSetRef::Packed(_)) => None,
            (true, ZSetRef::Large(_)) => len.checked_sub(distance),
        }
    }
}

fn reply_range(cx: &mut Cx<'_>, args: Args<'_>, form: Form) -> Result<Outcome, Fault> {
    let query = Query::read(args, 2, form)?;
    let Some(set) = cx.db.read_as::<ZSet>(args.get(1))? else {
        cx.out.array(0);
        return Ok(Outcome::Done);
    };
    let ranks = query.ranks(set);
    let count = ranks.len();
    reply_entries(cx.out, set.range(ranks, query.is_reverse), count, query.with_scores);
    Ok(Outcome::Done)
}

fn remove_range(
    cx: &mut Cx<'_>,
    key: &[u8],
    event: Event,
    ranks: impl FnOnce(ZSetRef<'_>) -> Range<usize>,
) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(key);
    let ranks = w.view::<ZSet>()?.map_or(0..0, ranks);
    let count = ranks.len();
    if count > 0 {
        w.update(|set: &mut ZSet| set.remove_ranks(ranks));
        w.commit_counting(event, count as u64);
    }
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_of_ranks_agrees_with_counting(len in 0usize..6, start in -8i64..8, stop in -8i64..8) {
            let absolute = |index: i64| if index < 0 { index + len as i64 } else { index };
            let wanted: Vec<usize> =
                (0..len).filter(|at| (absolute(start)..=absolute(stop)).contains(&(*at as i64))).collect();
            prop_assert_eq!(rank_range(len, start, stop).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn ends_of_a_range_that_leave_nothing_between_them_are_seen() {
        let empty = |min: &[u8], max: &[u8]| LexRange::read(min, max).expect("bounds").is_empty();
        for (min, max) in [("-", "+"), ("-", "[a"), ("(a", "+"), ("[a", "[a"), ("[a", "(b"), ("(a", "(b")] {
            assert!(!empty(min.as_bytes(), max.as_bytes()), "{min} {max}");
        }
        for (min, max) in [("+", "-"), ("-", "-"), ("+", "+"), ("[b", "[a"), ("(a", "[a"), ("[a", "(a")] {
            assert!(empty(min.as_bytes(), max.as_bytes()), "{min} {max}");
        }
    }

    #[test]
    fn extreme_ranks_do_not_overflow() {
        assert_eq!(rank_range(3, i64::MIN, i64::MAX), 0..3);
        assert_eq!(rank_range(3, i64::MAX, i64::MIN), 0..0);
        assert_eq!(rank_range(3, i64::MIN, i64::MIN), 0..0);
    }
}
