//! The world of single values.
//!
//! For: commands of one key, of several and of whole databases, and transactions, on keys that are integers.
//! May touch: nothing.
//! Always: a value is written by one operation only, INCR apart.

use crate::rounds::{Choice, KEYS};
use crate::search::World;
use crate::support::Reply;

/// Databases in play; half of the clients in each.
pub const DATABASES: usize = 2;

/// What the keys hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Strings {
    pub cells: [[Option<i64>; KEYS]; DATABASES],
}

/// An operation; `db` is the database of the client that asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    Get {
        db: usize,
        key: usize,
    },
    Set {
        db: usize,
        key: usize,
        value: i64,
    },
    Incr {
        db: usize,
        key: usize,
    },
    MsetNx {
        db: usize,
        keys: [usize; 2],
        value: i64,
    },
    Rename {
        db: usize,
        from: usize,
        to: usize,
    },
    Copy {
        db: usize,
        from: usize,
        to: usize,
        to_db: usize,
        replace: bool,
    },
    Swap,
    Flush {
        db: usize,
    },
    /// MULTI, GET, SET, EXEC.
    ReadAndSet {
        db: usize,
        from: usize,
        to: usize,
        value: i64,
    },
    /// WATCH, GET, MULTI, SET, EXEC; recorded only if it was not aborted: then it is one step, at EXEC.
    SetIfSame {
        db: usize,
        from: usize,
        to: usize,
        value: i64,
    },
    ReadAll {
        db: usize,
    },
}

/// What an operation answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    Done,
    Value(Option<i64>),
    Integer(i64),
    NoSuchKey,
    All([Option<i64>; KEYS]),
}

impl World for Strings {
    type Op = Op;
    type Answer = Answer;
    const CHANNELS: &'static [&'static str] = &[];
    const WAITS: bool = false;

    fn apply(&mut self, op: &Op) -> Answer {
        match *op {
            Op::Get { db, key } => Answer::Value(self.cells[db][key]),
            Op::Set { db, key, value } => {
                self.cells[db][key] = Some(value);
                Answer::Done
            }
            Op::Incr { db, key } => {
                let value = self.cells[db][key].unwrap_or(0) + 1;
                self.cells[db][key] = Some(value);
                Answer::Integer(value)
            }
            Op::MsetNx { db, keys, value } => {
                let free = keys.iter().all(|&k| self.cells[db][k].is_none());
                if free {
                    self.cells[db][keys[0]] = Some(value);
                    self.cells[db][keys[1]] = Some(value);
                }
                Answer::Integer(i64::from(free))
            }
            Op::Rename { db, from, to } => match self.cells[db][from].take() {
                Some(value) => {
                    self.cells[db][to] = Some(value);
                    Answer::Done
                }
                None => Answer::NoSuchKey,
            },
            Op::Copy { db, from, to, to_db, replace } => {
                let source = self.cells[db][from];
                let copied = source.is_some() && (replace || self.cells[to_db][to].is_none());
                if copied {
                    self.cells[to_db][to] = source;
                }
                Answer::Integer(i64::from(copied))
            }
            Op::Swap => {
                self.cells.swap(0, 1);
                Answer::Done
            }
            Op::Flush { db } => {
                self.cells[db] = [None; KEYS];
                Answer::Done
            }
            Op::ReadAndSet { db, from, to, value } | Op::SetIfSame { db, from, to, value } => {
                let was = self.cells[db][from];
                self.cells[db][to] = Some(value);
                Answer::Value(was)
            }
            Op::ReadAll { db } => Answer::All(self.cells[db]),
        }
    }

    fn was_released(_: &Op, _: &Answer) -> bool {
        false
    }

    fn only_read(op: &Op, answer: &Answer) -> bool {
        match op {
            Op::Get { .. } | Op::ReadAll { .. } => true,
            Op::MsetNx { .. } | Op::Copy { .. } => *answer == Answer::Integer(0),
            Op::Rename { .. } => *answer == Answer::NoSuchKey,
            Op::Set { .. } | Op::Incr { .. } | Op::Swap | Op::Flush { .. } => false,
            Op::ReadAndSet { .. } | Op::SetIfSame { .. } => false,
        }
    }

    fn greeting(client: usize) -> Vec<String> {
        vec!["SELECT".to_owned(), (client % DATABASES).to_string()]
    }

    fn openings(&self, _: &mut Choice) -> Vec<Op> {
        Vec::new()
    }

    fn choose(choice: &mut Choice, client: usize, value: i64) -> Op {
        let db = client % DATABASES;
        let key = choice.next(KEYS);
        let other = (key + 1 + choice.next(KEYS - 1)) % KEYS;
        match choice.next(50) {
            0..10 => Op::Get { db, key },
            10..18 => Op::Set { db, key, value },
            18..24 => Op::Incr { db, key },
            24..29 => Op::MsetNx { db, keys: [key, other], value },
            29..33 => Op::Rename { db, from: key, to: other },
            33..37 => {
                let to_db = choice.next(DATABASES);
                Op::Copy { db, from: key, to: other, to_db, replace: choice.next(2) == 0 }
            }
            37..39 => Op::Swap,
            39 => Op::Flush { db },
            40..44 => Op::ReadAndSet { db, from: key, to: other, value },
            _ => Op::SetIfSame { db, from: key, to: other, value },
        }
    }

    fn requests(op: &Op) -> Vec<Vec<String>> {
        requests(*op)
    }

    fn steps(op: &Op, replies: &[Reply]) -> Vec<(Op, Answer)> {
        outcome(*op, replies).map(|answer| (*op, answer)).into_iter().collect()
    }

    fn messages(_: &Op) -> Vec<(usize, i64)> {
        Vec::new()
    }

    fn place(_: &mut Answer, _: &[usize]) {}

    fn readings() -> Vec<Op> {
        (0..DATABASES).map(|db| Op::ReadAll { db }).collect()
    }

    fn after(readings: &[Answer]) -> Strings {
        let mut all = Strings::default();
        for (cells, answer) in all.cells.iter_mut().zip(readings) {
            if let Answer::All(read) = answer {
                *cells = *read;
            }
        }
        all
    }
}

/// The requests that ask for an operation.
fn requests(op: Op) -> Vec<Vec<String>> {
    let (db, from, to, value, watches) = match op {
        Op::ReadAndSet { db, from, to, value } => (db, from, to, value, false),
        Op::SetIfSame { db, from, to, value } => (db, from, to, value, true),
        _ => return vec![request(op)],
    };
    let word = |word: &str| vec![word.to_owned()];
    let (get, set) = (request(Op::Get { db, key: from }), request(Op::Set { db, key: to, value }));
    if watches {
        vec![vec!["WATCH".to_owned(), get[1].clone()], get, word("MULTI"), set, word("EXEC")]
    } else {
        vec![word("MULTI"), get, set, word("EXEC")]
    }
}

/// The request of an operation that takes one.
pub fn request(op: Op) -> Vec<String> {
    let name = |key: usize| format!("key{key}");
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    match op {
        Op::Get { key, .. } => words(&["GET", &name(key)]),
        Op::Set { key, value, .. } => words(&["SET", &name(key), &value.to_string()]),
        Op::Incr { key, .. } => words(&["INCR", &name(key)]),
        Op::MsetNx { keys: [a, b], value, .. } => {
            words(&["MSETNX", &name(a), &value.to_string(), &name(b), &value.to_string()])
        }
        Op::Rename { from, to, .. } => words(&["RENAME", &name(from), &name(to)]),
        Op::Copy { from, to, to_db, replace, .. } => {
            let mut all = words(&["COPY", &name(from), &name(to), "DB", &to_db.to_string()]);
            all.extend(replace.then(|| "REPLACE".to_owned()));
            all
        }
        Op::Swap => words(&["SWAPDB", "0", "1"]),
        Op::Flush { .. } => words(&["FLUSHDB"]),
        Op::ReadAll { .. } => {
            let mut all = words(&["MGET"]);
            all.extend((0..KEYS).map(name));
            all
        }
        Op::ReadAndSet { .. } | Op::SetIfSame { .. } => unreachable!("{op:?} takes several requests"),
    }
}

/// What the replies to all requests of an operation say; `None`: a transaction was aborted.
fn outcome(op: Op, replies: &[Reply]) -> Option<Answer> {
    let last = replies.last().expect("an operation has a request");
    match (op, last) {
        (Op::SetIfSame { .. }, Reply::NullArray) => None,
        (Op::SetIfSame { db, from, .. }, Reply::Array(all)) if all.len() == 1 => {
            Some(answer(Op::Get { db, key: from }, &replies[1]))
        }
        (Op::ReadAndSet { db, from, .. }, Reply::Array(all)) if all.len() == 2 => {
            Some(answer(Op::Get { db, key: from }, &all[0]))
        }
        _ => Some(answer(op, last)),
    }
}

/// What a reply says, in the model's terms.
fn answer(op: Op, reply: &Reply) -> Answer {
    let value = |r: &Reply| match r {
        Reply::NullBulk => None,
        Reply::Bulk(b) => Some(String::from_utf8_lossy(b).parse::<i64>().expect("values are integers")),
        other => panic!("{op:?} answered {other:?}"),
    };
    match (op, reply) {
        (Op::Get { .. }, r) => Answer::Value(value(r)),
        (Op::ReadAll { .. }, Reply::Array(m)) if m.len() == KEYS => {
            let mut all = [None; KEYS];
            all.iter_mut().zip(m).for_each(|(cell, r)| *cell = value(r));
            Answer::All(all)
        }
        (_, Reply::Simple(s)) if s == b"OK" => Answer::Done,
        (_, Reply::Integer(n)) => Answer::Integer(*n),
        (Op::Rename { .. }, Reply::Error(e)) if e == b"ERR no such key" => Answer::NoSuchKey,
        (_, other) => panic!("{op:?} answered {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::told;
    use crate::search::{Verdict, check};

    type Event = crate::search::Event<Strings>;

    fn event(client: usize, asked: u64, answered: u64, op: Op, answer: Answer) -> Event {
        Event { client, op, answer, asked, answered }
    }

    fn get(key: usize) -> Op {
        Op::Get { db: 0, key }
    }

    fn set(key: usize, value: i64) -> Op {
        Op::Set { db: 0, key, value }
    }

    fn verdict(events: &[Event]) -> Verdict {
        check(&Strings::default(), events, 10_000)
    }

    #[test]
    fn operations_that_overlap_may_come_in_either_order() {
        for seen in [None, Some(1)] {
            let events = [
                event(0, 0, 10, set(0, 1), Answer::Done),
                event(1, 1, 5, get(0), Answer::Value(seen)),
                event(1, 11, 12, get(0), Answer::Value(Some(1))),
            ];
            assert_eq!(verdict(&events), Verdict::Linearizable, "{seen:?}");
        }
    }

    #[test]
    fn a_stale_read_is_found() {
        let events = [
            event(0, 0, 1, set(0, 1), Answer::Done),
            event(0, 2, 3, set(0, 2), Answer::Done),
            event(1, 4, 5, get(0), Answer::Value(Some(1))),
        ];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_read_that_goes_back_is_found() {
        let events = [
            event(0, 0, 10, set(0, 1), Answer::Done),
            event(1, 1, 2, get(0), Answer::Value(Some(1))),
            event(2, 3, 4, get(0), Answer::Value(None)),
        ];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_lost_update_is_found() {
        let incr = Op::Incr { db: 0, key: 0 };
        let events = [
            event(0, 0, 10, incr, Answer::Integer(1)),
            event(1, 1, 9, incr, Answer::Integer(1)),
            event(2, 11, 12, get(0), Answer::Value(Some(1))),
        ];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_half_seen_msetnx_is_found() {
        let both = Op::MsetNx { db: 0, keys: [0, 1], value: 7 };
        let seen = |first, second| {
            [
                event(0, 0, 10, both, Answer::Integer(1)),
                event(1, 1, 2, get(0), Answer::Value(first)),
                event(1, 3, 4, get(1), Answer::Value(second)),
            ]
        };
        assert_eq!(verdict(&seen(None, Some(7))), Verdict::Linearizable);
        assert_eq!(verdict(&seen(Some(7), None)), Verdict::Impossible);
    }

    #[test]
    fn a_key_renamed_twice_is_found() {
        let to = |to| Op::Rename { db: 0, from: 0, to };
        let twice = |second| {
            [
                event(0, 0, 1, set(0, 1), Answer::Done),
                event(1, 2, 10, to(1), Answer::Done),
                event(2, 3, 9, to(2), second),
            ]
        };
        assert_eq!(verdict(&twice(Answer::NoSuchKey)), Verdict::Linearizable);
        assert_eq!(verdict(&twice(Answer::Done)), Verdict::Impossible);
    }

    #[test]
    fn a_half_seen_swap_is_found() {
        let other = Op::Get { db: 1, key: 0 };
        let seen = |here, there| {
            [
                event(0, 0, 1, set(0, 1), Answer::Done),
                event(0, 2, 10, Op::Swap, Answer::Done),
                event(1, 3, 4, get(0), Answer::Value(here)),
                event(2, 5, 6, other, Answer::Value(there)),
            ]
        };
        assert_eq!(verdict(&seen(Some(1), Some(1))), Verdict::Linearizable);
        assert_eq!(verdict(&seen(None, Some(1))), Verdict::Linearizable);
        assert_eq!(verdict(&seen(None, None)), Verdict::Impossible);
    }

    #[test]
    fn requests_sent_at_once_keep_their_order() {
        let events = [event(0, 0, 10, set(0, 1), Answer::Done), event(0, 1, 11, get(0), Answer::Value(None))];
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    #[test]
    fn a_search_that_is_cut_proves_nothing() {
        let events = [
            event(0, 0, 10, set(0, 1), Answer::Done),
            event(1, 1, 9, set(0, 2), Answer::Done),
            event(2, 2, 8, get(0), Answer::Value(Some(3))),
        ];
        assert_eq!(check(&Strings::default(), &events, 2), Verdict::Undecided);
        assert_eq!(verdict(&events), Verdict::Impossible);
    }

    /// Histories made by doing operations in a known order and stretching their stamps around it.
    #[test]
    fn histories_of_the_model_itself_are_linearizable_until_an_answer_is_forged() {
        let mut choice = Choice(1);
        for _ in 0..200 {
            let mut model = Strings::default();
            let mut free = [0u64; 4];
            let mut events = Vec::new();
            for i in 0..24u64 {
                let client = choice.next(4);
                let at = 1000 + i * 10;
                let op = Strings::choose(&mut choice, client, i as i64 + 1);
                let asked = free[client].max(at - choice.next(30) as u64);
                let answered = at + 1 + choice.next(8) as u64;
                free[client] = answered + 1;
                events.push(event(client, asked, answered, op, model.apply(&op)));
            }
            events.push(event(0, 9000, 9001, get(0), model.apply(&get(0))));
            assert_eq!(verdict(&events), Verdict::Linearizable, "{}", told(&Strings::default(), &events));
            events[24].answer = Answer::Value(Some(-1));
            assert_eq!(verdict(&events), Verdict::Impossible);
        }
    }
}
