//! Sorted sets: unions, intersections and differences.
//!
//! For: answering and storing what several sorted sets, or sets, are together. May touch: what `Cx` carries.
//! Always: the keys are looked up in their order before the options are read, so an error about a type comes
//! first. A member of a set counts with the score 1.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::zset::{READ, limits, reply_entries};
use crate::command::cursor::int;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::{Deadline, Entry, Event};
use crate::resp::Args;
use crate::value::number::{MAX_I64_LEN, parse_double};
use crate::value::set::SetRef;
use crate::value::zset::{ZSetLimits, ZSetRef};
use crate::value::{Item, Kind, Set, ZSet};

const READ_KEYS: Flags = READ.union(Flags::MOVABLE_KEYS);
const STORE_KEYS: Flags = Flags::WRITE.union(Flags::DENY_OOM).union(Flags::MOVABLE_KEYS);

const READS_THEM: &[KeySpec] = &[KeySpec::counted(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
const STORES_THEM: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
    KeySpec::counted(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
];

/// What a member of a set counts with.
const SET_SCORE: f64 = 1.0;

const UNION_COST: &str = "O(N + M log M), N members of all sets, M members of the result.";
const INTER_COST: &str = "O(N K + M log M), N members of the smallest of K sets, M members of the result.";
const DIFF_COST: &str =
    "O(N K + M log M) or less, N members of the first of K sets, M members of the result.";

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("ZDIFF", zdiff)
        .arity(-3)
        .flags(READ_KEYS)
        .acl(Acl::SORTEDSET)
        .keys(READS_THEM)
        .group(Group::SortedSet)
        .since("6.2.0")
        .cost(DIFF_COST)
        .doc("Answers the members of the first set that no other has.", "numkeys key [key ...] [WITHSCORES]"),
    cmd("ZDIFFSTORE", zdiffstore)
        .arity(-4)
        .flags(STORE_KEYS)
        .acl(Acl::SORTEDSET)
        .keys(STORES_THEM)
        .group(Group::SortedSet)
        .since("6.2.0")
        .cost(DIFF_COST)
        .doc("Stores the members of the first set that no other has.", "destination numkeys key [key ...]"),
    cmd("ZINTER", zinter)
        .arity(-3)
        .flags(READ_KEYS)
        .acl(Acl::SORTEDSET)
        .keys(READS_THEM)
        .group(Group::SortedSet)
        .since("6.2.0")
        .cost(INTER_COST)
        .doc(
            "Answers the members that all sets have.",
            "numkeys key [key ...] [WEIGHTS weight:integer [weight:integer ...]] \
             [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]",
        ),
    cmd("ZINTERCARD", zintercard)
        .arity(-3)
        .flags(READ_KEYS)
        .acl(Acl::SORTEDSET)
        .keys(READS_THEM)
        .group(Group::SortedSet)
        .since("7.0.0")
        .cost("O(N K), N members of the smallest of K sets.")
        .doc("Counts the members that all sets have.", "numkeys key [key ...] [LIMIT limit:integer]"),
    cmd("ZINTERSTORE", zinterstore)
        .arity(-4)
        .flags(STORE_KEYS)
        .acl(Acl::SORTEDSET)
        .keys(STORES_THEM)
        .group(Group::SortedSet)
        .since("2.0.0")
        .cost(INTER_COST)
        .doc(
            "Stores the members that all sets have.",
            "destination numkeys key [key ...] [WEIGHTS weight:integer [weight:integer ...]] \
             [AGGREGATE <SUM | MIN | MAX | COUNT>]",
        ),
    cmd("ZUNION", zunion)
        .arity(-3)
        .flags(READ_KEYS)
        .acl(Acl::SORTEDSET)
        .keys(READS_THEM)
        .group(Group::SortedSet)
        .since("6.2.0")
        .cost(UNION_COST)
        .doc(
            "Answers the members that any of the sets has.",
            "numkeys key [key ...] [WEIGHTS weight:integer [weight:integer ...]] \
             [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]",
        ),
    cmd("ZUNIONSTORE", zunionstore)
        .arity(-4)
        .flags(STORE_KEYS)
        .acl(Acl::SORTEDSET)
        .keys(STORES_THEM)
        .group(Group::SortedSet)
        .since("2.0.0")
        .cost(UNION_COST)
        .doc(
            "Stores the members that any of the sets has.",
            "destination numkeys key [key ...] [WEIGHTS weight:integer [weight:integer ...]] \
             [AGGREGATE <SUM | MIN | MAX | COUNT>]",
        ),
];

/// How several sets become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

fn zdiff(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_result(cx, args, Operation::Diff, "zdiff")
}

fn zdiffstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    store_result(cx, args, Operation::Diff, "zdiffstore", Event::ZDIFFSTORE)
}

fn zinter(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_result(cx, args, Operation::Inter, "zinter")
}

fn zintercard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (first, count) = keys(args, 1, "zintercard")?;
    look_up(cx, args, first, count)?;
    let mut limit = usize::MAX;
    let mut options = Cursor::new(args, first + count);
    while !options.is_end() {
        if options.left() < 2 || !options.word("LIMIT") {
            return Err(Fault::SYNTAX);
        }
        let given = options.int().ok().filter(|&limit| limit >= 0).ok_or(Fault::NEGATIVE_LIMIT)?;
        limit = if given == 0 { usize::MAX } else { usize::try_from(given).unwrap_or(usize::MAX) };
    }
    let mut sources = sources(cx, args, first, count);
    sources.sort_by_key(|source| source.members.len());
    let (smallest, others) = sources.split_first().expect("there is at least one key");
    let mut shared = 0;
    smallest.members.each(&mut |member, _| {
        shared += usize::from(has_all(others, member));
        shared < limit
    });
    cx.out.int(shared as i64);
    Ok(Outcome::Done)
}

fn zinterstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    store_result(cx, args, Operation::Inter, "zinterstore", Event::ZINTERSTORE)
}

fn zunion(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    reply_result(cx, args, Operation::Union, "zunion")
}

fn zunionstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    store_result(cx, args, Operation::Union, "zunionstore", Event::ZUNIONSTORE)
}

/// Stores a result at `key` in place of whatever is there, and answers its size; an empty one removes the
/// key.
pub(super) fn store(cx: &mut Cx<'_>, key: &[u8], result: ZSet, event: Event) {
    use crate::value::Collection as _;
    let len = result.as_ref().len();
    let mut w = cx.db.open(key);
    if len > 0 {
        w.put_value(result, Deadline::Clear);
        w.commit(event);
    } else if w.exists() {
        w.remove();
        w.commit(Event::DEL);
    }
    cx.out.int(len as i64);
}

/// Entries with members whose text is there, borrowed where it can be.
pub(super) fn collected<'a>(entries: impl Iterator<Item = (Item<'a>, f64)>) -> Vec<(Cow<'a, [u8]>, f64)> {
    entries.map(|(member, score)| (text_of(member), score)).collect()
}

fn text_of(member: Item<'_>) -> Cow<'_, [u8]> {
    match member {
        Item::Bytes(text) => Cow::Borrowed(text),
        number => Cow::Owned(number.to_vec()),
    }
}

/// Where the keys begin, and how many there are. `at` is where their number stands.
fn keys(args: Args<'_>, at: usize, name: &str) -> Result<(usize, usize), Fault> {
    let count = int(args.get(at))?;
    if count < 1 {
        return Err(Fault::no_input_key(name));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > args.len() - (at + 1) {
        return Err(Fault::SYNTAX);
    }
    Ok((at + 1, count))
}

/// Looks every key up as a read does, in their order.
fn look_up(cx: &mut Cx<'_>, args: Args<'_>, first: usize, count: usize) -> Result<(), Fault> {
    for at in first..first + count {
        let kind = cx.db.read(args.get(at)).map(|entry| entry.kind());
        if kind.is_some_and(|kind| !matches!(kind, Kind::ZSet | Kind::Set)) {
            return Err(Fault::WRONG_TYPE);
        }
    }
    Ok(())
}

/// The members behind one key.
#[derive(Clone, Copy)]
enum Members<'a> {
    None,
    Unscored(SetRef<'a>),
    Scored(ZSetRef<'a>),
}

impl<'a> Members<'a> {
    fn len(self) -> usize {
        match self {
            Members::None => 0,
            Members::Unscored(set) => set.len(),
            Members::Scored(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Members::None => None,
            Members::Unscored(set) => set.contains(member).then_some(SET_SCORE),
            Members::Scored(set) => set.score(member),
        }
    }

    /// Hands on one after another, until told to stop.
    fn each(self, visit: &mut dyn FnMut(Item<'a>, f64) -> bool) {
        match self {
            Members::None => {}
            Members::Unscored(set) => {
                set.iter().all(|member| visit(member, SET_SCORE));
            }
            Members::Scored(set) => {
                set.iter().all(|(member, score)| visit(member, score));
            }
        }
    }
}

/// One input.
#[derive(Clone, Copy)]
struct Source<'a> {
    members: Members<'a>,
    weight: f64,
}

/// The inputs, which were looked up before.
fn sources<'a>(cx: &'a Cx<'_>, args: Args<'_>, first: usize, count: usize) -> Vec<Source<'a>> {
    let members = |key: &[u8]| {
        let value = cx.db.look(key).and_then(Entry::collection)?;
        let scored = value.to::<ZSet>().map(Members::Scored);
        scored.or_else(|| value.to::<Set>().map(Members::Unscored))
    };
    (first..first + count)
        .map(|at| Source { members: members(args.get(at)).unwrap_or(Members::None), weight: 1.0 })
        .collect()
}

fn has_all(sources: &[Source<'_>], member: Item<'_>) -> bool {
    let mut digits = [0; MAX_I64_LEN];
    let member = member.bytes(&mut digits);
    sources.iter().all(|source| source.members.score(member).is_some())
}

/// Zero for what is no number.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// How scores of one member become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The sum of the weights, whatever the scores are.
    Count,
}

impl Aggregate {
    fn read(word: &[u8]) -> Result<Aggregate, Fault> {
        let words = [
            ("SUM", Aggregate::Sum),
            ("MIN", Aggregate::Min),
            ("MAX", Aggregate::Max),
            ("COUNT", Aggregate::Count),
        ];
        let found = words.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, aggregate)| aggregate).ok_or(Fault::SYNTAX)
    }

    /// What a source contributes: no number for zero times infinity.
    fn weighted(self, source: &Source<'_>, score: f64) -> f64 {
        if self == Aggregate::Count { source.weight } else { source.weight * score }
    }

    /// Infinities of both signs together are nothing, and neither is a sum with no number; of such and a
    /// number the number is the lowest and the highest.
    fn join(self, one: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum | Aggregate::Count => number(one + other),
            Aggregate::Min => one.min(other),
            Aggregate::Max => one.max(other),
        }
    }
}

/// What follows the keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    fn read(
        mut cursor: Cursor<'_>,
        count: usize,
        operation: Operation,
        stores: bool,
    ) -> Result<Options, Fault> {
        let mut options = Options { weights: Vec::new(), aggregate: Aggregate::Sum, with_scores: false };
        let joins = operation != Operation::Diff;
        while !cursor.is_end() {
            if joins && cursor.left() > count && cursor.word("WEIGHTS") {
                options.weights.clear();
                for weight in cursor.by_ref().take(count) {
                    options.weights.push(parse_double(weight).ok_or(Fault::WEIGHT_NOT_A_FLOAT)?);
                }
            } else if joins && cursor.left() > 1 && cursor.word("AGGREGATE") {
                options.aggregate = Aggregate::read(cursor.need()?)?;
            } else if !stores && cursor.word("WITHSCORES") {
                options.with_scores = true;
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(options)
    }
}

type Scored<'a> = (Cow<'a, [u8]>, f64);

/// The result in order, and whether scores are asked for. The number of keys stands at argument `at`.
fn compute<'a>(
    cx: &'a mut Cx<'_>,
    args: Args<'_>,
    at: usize,
    operation: Operation,
    name: &str,
    stores: bool,
) -> Result<(Vec<Scored<'a>>, bool), Fault> {
    let (first, count) = keys(args, at, name)?;
    look_up(cx, args, first, count)?;
    let options = Options::read(Cursor::new(args, first + count), count, operation, stores)?;
    let mut sources = sources(cx, args, first, count);
    for (source, weight) in sources.iter_mut().zip(&options.weights) {
        source.weight = *weight;
    }
    let mut result = match operation {
        Operation::Diff => difference(cx, &sources),
        _ => {
            sources.sort_by_key(|source| source.members.len());
            if operation == Operation::Union {
                union(cx, &sources, options.aggregate)
            } else {
                intersection(&sources, options.aggregate)
            }
        }
    };
    let order = |one: &Scored<'_>, two: &Scored<'_>| {
        one.1.partial_cmp(&two.1).expect("scores are no NaN").then_with(|| one.0.cmp(&two.0))
    };
    result.sort_unstable_by(order);
    Ok((result, options.with_scores))
}

fn reply_result(cx: &mut Cx<'_>, args: Args<'_>, operation: Operation, name: &str) -> Result<Outcome, Fault> {
    let mut found = crate::resp::Out::new();
    found.set_proto(cx.out.proto());
    let (result, with_scores) = compute(cx, args, 1, operation, name, false)?;
    let entries = result.iter().map(|(member, score)| (Item::Bytes(member), *score));
    reply_entries(&mut found, entries, result.len(), with_scores);
    cx.out.append(found);
    Ok(Outcome::Done)
}

fn store_result(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    operation: Operation,
    name: &str,
    event: Event,
) -> Result<Outcome, Fault> {
    let limits: ZSetLimits = limits(cx);
    let (result, _) = compute(cx, args, 2, operation, name, true)?;
    let result = ZSet::of_sorted(result.iter().map(|(member, score)| (&member[..], *score)), limits);
    store(cx, args.get(1), result, event);
    Ok(Outcome::Done)
}

/// Members by their hash, which a client cannot foresee.
struct Gathered<'a> {
    scores: HashMap<Hashed<'a>, f64, BuildHasherDefault<Ready>>,
}

struct Hashed<'a> {
    hash: u64,
    member: Cow<'a, [u8]>,
}

impl PartialEq for Hashed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.member == other.member
    }
}

impl Eq for Hashed<'_> {}

impl Hash for Hashed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes a hash through that is already one.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole hashes come here")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<'a> Gathered<'a> {
    fn with_capacity(capacity: usize) -> Gathered<'a> {
        Gathered { scores: HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default()) }
    }

    fn key<'k>(cx: &Cx<'_>, member: Cow<'k, [u8]>) -> Hashed<'k> {
        Hashed { hash: cx.db.space().hasher.hash(&member), member }
    }

    fn into_entries(self) -> Vec<Scored<'a>> {
        self.scores.into_iter().map(|(key, score)| (key.member, score)).collect()
    }
}

/// What any source has. Smaller sources come first.
fn union<'a>(cx: &Cx<'_>, sources: &[Source<'a>], aggregate: Aggregate) -> Vec<Scored<'a>> {
    let largest = sources.last().map_or(0, |source| source.members.len());
    let mut gathered = Gathered::with_capacity(largest);
    for source in sources {
        source.members.each(&mut |member, score| {
            let score = number(aggregate.weighted(source, score));
            let there = gathered.scores.entry(Gathered::key(cx, text_of(member)));
            there.and_modify(|sum| *sum = aggregate.join(*sum, score)).or_insert(score);
            true
        });
    }
    gathered.into_entries()
}

/// What all sources have. Smaller sources come first.
fn intersection<'a>(sources: &[Source<'a>], aggregate: Aggregate) -> Vec<Scored<'a>> {
    let Some((smallest, others)) = sources.split_first() else { return Vec::new() };
    let mut shared = Vec::new();
    smallest.members.each(&mut |member, score| {
        let member = text_of(member);
        // As others do it, only the first product is made a number before it is joined.
        let mut joined = Some(number(aggregate.weighted(smallest, score)));
        for other in others {
            let score = other.members.score(&member).map(|score| aggregate.weighted(other, score));
            joined = joined.zip(score).map(|(one, two)| aggregate.join(one, two));
            if joined.is_none() {
                break;
            }
        }
        shared.extend(joined.map(|score| (member, score)));
        true
    });
    shared
}

/// What the first source has and no other: by asking the others for each of its members, or, where that is
/// less, by taking theirs away.
fn difference<'a>(cx: &Cx<'_>, sources: &[Source<'a>]) -> Vec<Scored<'a>> {
    let Some((first, others)) = sources.split_first() else { return Vec::new() };
    let total: usize = others.iter().map(|source| source.members.len()).sum();
    if total < first.members.len().saturating_mul(others.len()) {
        let mut gathered = Gathered::with_capacity(first.members.len());
        first.members.each(&mut |member, score| {
            gathered.scores.insert(Gathered::key(cx, text_of(member)), score);
            true
        });
        for other in others {
            other.members.each(&mut |member, _| {
                gathered.scores.remove(&Gathered::key(cx, text_of(member)));
                !gathered.scores.is_empty()
            });
        }
        return gathered.into_entries();
    }
    let mut left = Vec::new();
    first.members.each(&mut |member, score| {
        let member = text_of(member);
        if !others.iter().any(|other| other.members.score(&member).is_some()) {
            left.push((member, score));
        }
        true
    });
    left
}
