//! A sorted run of members with their scores: the block a sorted set's tree is made of.
//!
//! For: the leaves of the tree, and the separators of its inner nodes. May touch: nothing.
//! Always: ascending by score, then by the member's bytes. Members follow one another in `text` in that
//! order; an entry's mark says where its member ends. A long member lies outside, so that moving the run's
//! bytes stays cheap.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::value::steps;

/// The bit of `Mark::end` that says that the member lies outside.
const OUTSIDE: u16 = 1 << 15;
/// Vectors grow by this part of themselves, so that full ones waste little.
const GROWTH_DIVISOR: usize = 8;
/// And at least by this many entries.
const GROWTH_MIN: usize = 4;

/// What is kept of an entry beside its bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct Mark {
    score: f64,
    /// Where the member ends in `text`; [`OUTSIDE`] is set when it lies outside and `text` has nothing of
    /// it.
    end: u16,
    /// Some bits of the member's hash.
    tag: u16,
}

/// Bytes an entry takes beside its member.
pub const MARK_BYTES: usize = size_of::<Mark>();

/// A place in the order of entries.
#[derive(Clone, Copy, Debug)]
pub enum Probe<'a> {
    /// Where the entry of that score and member is or would be.
    Entry(f64, &'a [u8]),
    /// Before all entries of that score.
    BeforeScore(f64),
    /// After all entries of that score.
    AfterScore(f64),
    /// Before that member, where all scores are equal.
    BeforeMember(&'a [u8]),
    /// After that member, where all scores are equal.
    AfterMember(&'a [u8]),
}

/// A sorted run. The caller bounds its size: fewer than 2^15 bytes of members.
#[derive(Clone, Default, Debug)]
pub struct Run {
    marks: Vec<Mark>,
    text: Vec<u8>,
    /// Members that lie outside, in order.
    outside: Vec<Arc<[u8]>>,
}

impl Run {
    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Bytes in use, without members outside.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.marks.len() * MARK_BYTES + self.text.len()
    }

    /// Bytes that the entries of `range` use, without members outside.
    pub fn bytes_of(&self, range: Range<usize>) -> usize {
        let text = self.begin(range.end) - self.begin(range.start);
        range.len() * MARK_BYTES + text
    }

    /// Memory behind this run.
    pub fn heap_bytes(&self) -> usize {
        let outside: usize = self.outside.iter().map(|member| member.len() + 2 * size_of::<usize>()).sum();
        self.marks.capacity() * MARK_BYTES
            + self.text.capacity()
            + self.outside.capacity() * size_of::<Arc<[u8]>>()
            + outside
    }

    /// Score of entry `at`.
    #[inline]
    pub fn score(&self, at: usize) -> f64 {
        self.marks[at].score
    }

    /// Member of entry `at`.
    #[inline]
    pub fn member(&self, at: usize) -> &[u8] {
        let end = self.marks[at].end;
        if end & OUTSIDE != 0 {
            return &self.outside[self.outside_before(at)];
        }
        &self.text[self.begin(at)..usize::from(end)]
    }

    /// Where the member of entry `at` begins; the end of the text for the entry after the last.
    #[inline]
    fn begin(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| usize::from(self.marks[before].end & !OUTSIDE))
    }

    /// How many of the entries before `at` lie outside.
    fn outside_before(&self, at: usize) -> usize {
        if self.outside.is_empty() {
            return 0;
        }
        self.marks[..at].iter().filter(|mark| mark.end & OUTSIDE != 0).count()
    }

    /// Gives entry `at` another score that keeps it in its place.
    pub fn set_score(&mut self, at: usize, score: f64) {
        self.marks[at].score = score;
    }

    /// Number of entries before `probe`, and whether one of them stands exactly there.
    #[inline]
    pub fn position(&self, probe: Probe<'_>) -> (usize, bool) {
        match probe {
            Probe::Entry(score, member) => self.position_of(score, member),
            Probe::BeforeScore(score) => (self.marks.partition_point(|mark| mark.score < score), false),
            Probe::AfterScore(score) => (self.marks.partition_point(|mark| mark.score <= score), false),
            Probe::BeforeMember(member) => (self.members_before(0..self.len(), member).0, false),
            Probe::AfterMember(member) => {
                let (at, is_there) = self.members_before(0..self.len(), member);
                (at + usize::from(is_there), false)
            }
        }
    }

    fn position_of(&self, score: f64, member: &[u8]) -> (usize, bool) {
        let first = self.marks.partition_point(|mark| {
            steps::take(1);
            mark.score < score
        });
        if self.marks.get(first).is_none_or(|mark| mark.score != score) {
            return (first, false);
        }
        let same = self.marks[first + 1..].partition_point(|mark| mark.score <= score);
        self.members_before(first..first + 1 + same, member)
    }

    /// Index in `range`, whose members ascend, at which `member` is or would be.
    fn members_before(&self, range: Range<usize>, member: &[u8]) -> (usize, bool) {
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            steps::take(1);
            let middle = low.midpoint(high);
            match self.member(middle).cmp(member) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return (middle, true),
                Ordering::Greater => high = middle,
            }
        }
        (low, false)
    }

    /// Index of `member`, whose tag is `tag`.
    #[inline]
    pub fn find(&self, tag: u16, member: &[u8]) -> Option<usize> {
        self.tagged(tag).find(|&at| self.member(at) == member)
    }

    /// The entries that have this tag.
    #[inline]
    pub fn tagged(&self, tag: u16) -> impl Iterator<Item = usize> {
        steps::take(self.len());
        self.marks.iter().enumerate().filter(move |(_, mark)| mark.tag == tag).map(|(at, _)| at)
    }

    /// Whether the entry `at` would still stand between its neighbours with that score. Says no at the ends.
    pub fn stays(&self, at: usize, score: f64) -> bool {
        if at == 0 || at + 1 >= self.len() {
            return false;
        }
        let follows = |other: usize| match score.partial_cmp(&self.score(other)) {
            Some(Ordering::Equal) | None => self.member(at).cmp(self.member(other)),
            Some(order) => order,
        };
        follows(at - 1) == Ordering::Greater && follows(at + 1) == Ordering::Less
    }

    /// Puts an entry at index `at`, its member outside when it is longer than `inline_max`.
    pub fn insert(&mut self, at: usize, score: f64, tag: u16, member: &[u8], inline_max: usize) {
        let begin = self.begin(at);
        steps::take(self.len() - at);
        grow(&mut self.marks, 1);
        if member.len() > inline_max {
            let before = self.outside_before(at);
            self.outside.insert(before, member.into());
            self.marks.insert(at, Mark { score, end: begin as u16 | OUTSIDE, tag });
            return;
        }
        let added = member.len() as u16;
        self.marks.insert(at, Mark { score, end: begin as u16 + added, tag });
        for mark in &mut self.marks[at + 1..] {
            mark.end += added;
        }
        let old = self.text.len();
        grow(&mut self.text, member.len());
        if begin == old {
            self.text.extend_from_slice(member);
        } else {
            self.text.resize(old + member.len(), 0);
            self.text.copy_within(begin..old, begin + member.len());
            self.text[begin..begin + member.len()].copy_from_slice(member);
        }
        debug_assert!(self.text.len() < usize::from(OUTSIDE), "a run has outgrown its offsets");
    }

    /// Takes out the entries of `range`.
    pub fn remove(&mut self, range: Range<usize>) {
        let (first, last) = (self.outside_before(range.start), self.outside_before(range.end));
        self.outside.drain(first..last);
        let text = self.begin(range.start)..self.begin(range.end);
        let removed = text.len() as u16;
        self.text.drain(text);
        for mark in &mut self.marks[range.end..] {
            mark.end -= removed;
        }
        self.marks.drain(range);
        self.give_back();
    }

    /// Cuts the entries from `at` on off and returns them.
    pub fn split_off(&mut self, at: usize) -> Run {
        let (text, outside) = (self.begin(at), self.outside_before(at));
        let mut tail = Run {
            marks: self.marks[at..].to_vec(),
            text: self.text[text..].to_vec(),
            outside: self.outside.split_off(outside),
        };
        for mark in &mut tail.marks {
            mark.end -= text as u16;
        }
        self.marks.truncate(at);
        self.text.truncate(text);
        self.give_back();
        tail
    }

    /// Puts all of `other`, which comes after this in the order, at the end.
    pub fn append(&mut self, other: &Run) {
        let base = self.text.len() as u16;
        grow(&mut self.marks, other.marks.len());
        self.marks.extend(other.marks.iter().map(|mark| Mark { end: mark.end + base, ..*mark }));
        grow(&mut self.text, other.text.len());
        self.text.extend_from_slice(&other.text);
        self.outside.extend(other.outside.iter().cloned());
        debug_assert!(self.text.len() < usize::from(OUTSIDE), "a run has outgrown its offsets");
    }

    /// Gives memory back when much is unused.
    fn give_back(&mut self) {
        shrink(&mut self.marks);
        shrink(&mut self.text);
        if self.outside.is_empty() {
            self.outside = Vec::new();
        }
    }

    /// Panics unless the order and the offsets are right.
    #[cfg(test)]
    pub fn check(&self) {
        let mut end = 0;
        for (at, mark) in self.marks.iter().enumerate() {
            let next = usize::from(mark.end & !OUTSIDE);
            assert!(next >= end && (mark.end & OUTSIDE == 0 || next == end));
            end = next;
            assert!(!{ mark.score }.is_nan());
            if at > 0 {
                let order = self.score(at - 1).partial_cmp(&self.score(at)).expect("no NaN");
                assert_eq!(order.then_with(|| self.member(at - 1).cmp(self.member(at))), Ordering::Less);
            }
        }
        assert_eq!(end, self.text.len());
        assert_eq!(self.outside_before(self.len()), self.outside.len());
    }
}

/// Makes room for `more` elements, a little beyond when that means to allocate.
#[inline]
pub fn grow<T>(vector: &mut Vec<T>, more: usize) {
    if vector.capacity() - vector.len() < more {
        let extra = (vector.len() / GROWTH_DIVISOR).max(GROWTH_MIN);
        vector.reserve_exact(more + extra);
    }
}

/// Gives memory back when over a third of it is unused.
pub fn shrink<T>(vector: &mut Vec<T>) {
    if vector.capacity() > vector.len() / 2 * 3 + GROWTH_MIN {
        vector.shrink_to_fit();
    }
}
