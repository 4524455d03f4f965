//! The search for an order.
//!
//! For: whether a history can have happened one operation at a time. May touch: nothing.
//! Always: `Linearizable` and `Impossible` are proofs.

use crate::rounds::Choice;
use crate::support::Reply;
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// A model of what the server holds, and the operations on it.
pub trait World: Clone + Eq + Hash + Default + Debug + Send {
    /// What is done in one step.
    type Op: Clone + Debug + Send + Sync;
    /// What a step answers.
    type Answer: Clone + PartialEq + Debug + Send;
    /// Channels that are listened to: their names.
    const CHANNELS: &'static [&'static str];
    /// Whether clients may wait, without a timeout: then they have to be released.
    const WAITS: bool;

    /// Does the operation and tells what it answers.
    fn apply(&mut self, op: &Self::Op) -> Self::Answer;
    /// Whether the answer says that nothing was changed that another operation could see.
    fn only_read(op: &Self::Op, answer: &Self::Answer) -> bool;
    /// Whether the answer says that a wait ended because the client was released.
    fn was_released(op: &Self::Op, answer: &Self::Answer) -> bool;

    /// What a client says before the first round.
    fn greeting(client: usize) -> Vec<String>;
    /// Blocking operations to begin a round with, in this state: the n-th is for the n-th client, and all
    /// have to wait.
    fn openings(&self, choice: &mut Choice) -> Vec<Self::Op>;
    /// An operation of a client; what it writes begins with `value`, which nobody else writes.
    fn choose(choice: &mut Choice, client: usize, value: i64) -> Self::Op;
    /// The requests that ask for an operation.
    fn requests(op: &Self::Op) -> Vec<Vec<String>>;
    /// The steps in which an operation happened, by the replies to all its requests; none: it did not.
    fn steps(op: &Self::Op, replies: &[Reply]) -> Vec<(Self::Op, Self::Answer)>;

    /// The messages of an operation: index of the channel, and the text.
    fn messages(op: &Self::Op) -> Vec<(usize, i64)>;
    /// Notes for each message of an operation how many came before it on its channel.
    fn place(answer: &mut Self::Answer, places: &[usize]);

    /// The operations that read everything; the n-th is for the n-th client.
    fn readings() -> Vec<Self::Op>;
    /// The model after a round, by what the readings answered.
    fn after(readings: &[Self::Answer]) -> Self;
}

/// One operation of a history.
#[derive(Debug, Clone)]
pub struct Event<W: World> {
    pub client: usize,
    pub op: W::Op,
    pub answer: W::Answer,
    /// Stamp before the request was sent.
    pub asked: u64,
    /// Stamp after the reply had come; later than `asked`.
    pub answered: u64,
}

/// What a search found.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Verdict {
    Linearizable,
    Impossible,
    /// The search was given up.
    Undecided,
}

/// One bit for each event.
type Mask = u128;

/// Most events of a history.
pub const MOST_EVENTS: usize = Mask::BITS as usize;

/// Looks for an order of `events` in which `start` answers as the server did; visits at most `limit` states.
pub fn check<W: World>(start: &W, events: &[Event<W>], limit: usize) -> Verdict {
    assert!(events.len() <= MOST_EVENTS, "a history fits the mask");
    let mut order = events.to_vec();
    order.sort_by_key(|e| (e.answered, e.asked));
    let mut search = Search { events: &order, seen: HashSet::new(), limit };
    search.from(0, start.clone())
}

struct Search<'a, W: World> {
    /// By the time of their answers: the likeliest order is tried first.
    events: &'a [Event<W>],
    /// Which events were done, and the state they led to, of branches that failed.
    seen: HashSet<(Mask, W)>,
    limit: usize,
}

impl<W: World> Search<'_, W> {
    fn from(&mut self, mut done: Mask, mut model: W) -> Verdict {
        // An operation that only read, and read what is there now, loses nothing by coming now.
        while let Some((i, after)) = self
            .candidates(done)
            .filter(|&i| W::only_read(&self.events[i].op, &self.events[i].answer))
            .find_map(|i| Some((i, self.explained(i, &model)?)))
        {
            done |= 1 << i;
            model = after;
        }
        if done.count_ones() as usize == self.events.len() {
            return Verdict::Linearizable;
        }
        if self.seen.len() >= self.limit {
            return Verdict::Undecided;
        }
        if !self.seen.insert((done, model.clone())) {
            return Verdict::Impossible;
        }
        let mut verdict = Verdict::Impossible;
        let candidates: Vec<usize> = self.candidates(done).collect();
        for i in candidates {
            let Some(next) = self.explained(i, &model) else { continue };
            match self.from(done | 1 << i, next) {
                Verdict::Impossible => {}
                Verdict::Linearizable => return Verdict::Linearizable,
                Verdict::Undecided => verdict = Verdict::Undecided,
            }
        }
        verdict
    }

    /// The events that may come next: asked before any open one was answered, and first of their client.
    fn candidates(&self, done: Mask) -> impl Iterator<Item = usize> {
        let open = move |i: &usize| done & (1 << *i) == 0;
        let first = (0..self.events.len()).find(open).unwrap_or(0);
        // `events` is ordered by `answered`, so the first open one has the earliest answer.
        let bound = self.events[first].answered;
        (first..self.events.len()).filter(open).filter(move |&i| {
            let event = &self.events[i];
            let waits = |j: usize| open(&j) && self.events[j].client == event.client;
            event.asked <= bound && !(first..i).any(waits)
        })
    }

    /// The state after event `i`, if it answers now what it did answer.
    fn explained(&self, i: usize, model: &W) -> Option<W> {
        let mut next = model.clone();
        (next.apply(&self.events[i].op) == self.events[i].answer).then_some(next)
    }
}
