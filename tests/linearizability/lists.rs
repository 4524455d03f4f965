//! The world of lists.
//!
//! For: blocked clients, transactions, scripts and messages. May touch: nothing.
//! Always: an element is pushed once; a transaction and a script of the same commands answer the same.
//!
//! A blocking move is two steps. It *asks*: it moves at once or waits in line. It is *served*: it leaves with
//! the element that it got, or with nothing because it was released, which says that it was still in line.
//! Whoever brings an element to a list serves those in line in the same step, so nobody else ever sees that
//! element there.

use crate::rounds::{CLIENTS, Choice, KEYS, LISTENERS};
use crate::search::World;
use crate::support::Reply;

/// Clients that wait when a round begins.
const OPENINGS: usize = 3;
/// The channels' names.
const CHANNELS: &[&str] = &["first", "second"];

/// A command that takes no part of waiting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// LRANGE of everything.
    Read(usize),
    /// RPUSH
    Push(usize, i64),
    /// LMOVE from the left to the right.
    Move(usize, usize),
    /// RENAME
    Rename(usize, usize),
    /// DEL
    Delete(usize),
    /// PUBLISH
    Publish(usize, i64),
}

#[derive(Debug, Clone)]
pub enum Op {
    Once(Command),
    /// MULTI, the commands, EXEC.
    Transaction(Vec<Command>),
    /// WATCH, LRANGE, MULTI, the commands, EXEC; recorded only if it was not aborted: then it is one step, at
    /// EXEC.
    IfSame(usize, Vec<Command>),
    /// EVAL of the commands.
    Script(Vec<Command>),
    /// BLMOVE from the left to the right without a timeout, as it is asked for.
    Wait(Place),
    /// Its first step.
    Asked(Place),
    /// Its second step: the client it was.
    Served(usize),
}

/// A client in line for an element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub client: usize,
    pub from: usize,
    pub to: usize,
}

/// What a step answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// One for each command, without what MULTI and its like answer.
    pub replies: Vec<Reply>,
    /// For each message, how many came before it on its channel.
    pub places: Vec<usize>,
}

/// What the keys hold and who waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Lists {
    lists: [Vec<i64>; KEYS],
    /// First come, first served.
    line: Vec<Place>,
    /// What clients were served and did not take in yet.
    served: [Option<i64>; CLIENTS],
    /// Messages on each channel.
    told: [usize; CHANNELS.len()],
}

impl Lists {
    /// Does a command and notes the lists that it brought elements to.
    pub fn command(&mut self, command: Command, ready: &mut Vec<usize>) -> Reply {
        match command {
            Command::Read(key) => Reply::Array(self.lists[key].iter().map(|&it| bulk(it)).collect()),
            Command::Push(key, value) => {
                self.lists[key].push(value);
                ready.push(key);
                Reply::Integer(self.lists[key].len() as i64)
            }
            Command::Move(from, to) => self.shift(from, to, ready).map_or(Reply::NullBulk, bulk),
            Command::Rename(from, _) if self.lists[from].is_empty() => {
                Reply::Error(b"ERR no such key".to_vec())
            }
            Command::Rename(from, to) => {
                self.lists[to] = std::mem::take(&mut self.lists[from]);
                ready.push(to);
                Reply::Simple(b"OK".to_vec())
            }
            Command::Delete(key) => {
                Reply::Integer(i64::from(!std::mem::take(&mut self.lists[key]).is_empty()))
            }
            Command::Publish(channel, _) => {
                self.told[channel] += 1;
                Reply::Integer(LISTENERS as i64)
            }
        }
    }

    /// Serves those in line for what has become ready, and for what becomes ready by that.
    pub fn serve(&mut self, mut ready: Vec<usize>) {
        while !ready.is_empty() {
            let mut next = Vec::new();
            for key in ready {
                while !self.lists[key].is_empty()
                    && let Some(at) = self.line.iter().position(|it| it.from == key)
                {
                    let place = self.line.remove(at);
                    self.served[place.client] = self.shift(key, place.to, &mut next);
                }
            }
            ready = next;
        }
    }

    fn shift(&mut self, from: usize, to: usize, ready: &mut Vec<usize>) -> Option<i64> {
        let value = (!self.lists[from].is_empty()).then(|| self.lists[from].remove(0))?;
        self.lists[to].push(value);
        ready.push(to);
        Some(value)
    }

    /// Whether a blocking move has to wait.
    pub fn has_nothing(&self, place: Place) -> bool {
        self.lists[place.from].is_empty()
    }

    /// Puts a client in line.
    pub fn wait(&mut self, place: Place) {
        self.line.push(place);
    }

    /// Whether a client is in line.
    pub fn is_waiting(&self, client: usize) -> bool {
        self.line.iter().any(|it| it.client == client)
    }

    /// Takes a client out of the line.
    pub fn release(&mut self, client: usize) {
        self.line.retain(|it| it.client != client);
    }
}

fn bulk(value: i64) -> Reply {
    Reply::Bulk(value.to_string().into_bytes())
}

impl Op {
    /// The commands that answer, in their order.
    fn commands(&self) -> Vec<Command> {
        match self {
            Op::Once(command) => vec![*command],
            Op::Transaction(commands) | Op::Script(commands) => commands.clone(),
            Op::IfSame(watched, commands) => [&[Command::Read(*watched)], &commands[..]].concat(),
            Op::Wait(..) | Op::Asked(_) | Op::Served(_) => Vec::new(),
        }
    }
}

impl World for Lists {
    type Op = Op;
    type Answer = Answer;
    const CHANNELS: &'static [&'static str] = CHANNELS;
    const WAITS: bool = true;

    fn apply(&mut self, op: &Op) -> Answer {
        let mut ready = Vec::new();
        let mut answer = Answer { replies: Vec::new(), places: Vec::new() };
        match *op {
            Op::Asked(place) if self.has_nothing(place) => self.wait(place),
            Op::Asked(place) => self.served[place.client] = self.shift(place.from, place.to, &mut ready),
            Op::Served(client) => {
                let got = self.served[client].take();
                self.release(client);
                answer.replies.push(got.map_or(Reply::NullBulk, bulk));
            }
            _ => {
                for command in op.commands() {
                    if let Command::Publish(channel, _) = command {
                        answer.places.push(self.told[channel]);
                    }
                    answer.replies.push(self.command(command, &mut ready));
                }
            }
        }
        self.serve(ready);
        answer
    }

    fn was_released(op: &Op, answer: &Answer) -> bool {
        matches!(op, Op::Served(_)) && answer.replies == [Reply::NullBulk]
    }

    fn only_read(op: &Op, answer: &Answer) -> bool {
        match op {
            // Who has been served is in no line any more.
            Op::Served(_) => !Self::was_released(op, answer),
            Op::Wait(..) | Op::Asked(_) => false,
            _ => op.commands().iter().all(|it| matches!(it, Command::Read(_))),
        }
    }

    fn greeting(_: usize) -> Vec<String> {
        vec!["PING".to_owned()]
    }

    fn openings(&self, choice: &mut Choice) -> Vec<Op> {
        let empty: Vec<usize> = (0..KEYS).filter(|&key| self.lists[key].is_empty()).collect();
        if empty.is_empty() {
            return Vec::new();
        }
        let mut place = |client| {
            let from = empty[choice.next(empty.len())];
            Place { client, from, to: (from + 1 + choice.next(KEYS - 1)) % KEYS }
        };
        (0..OPENINGS).map(|client| Op::Wait(place(client))).collect()
    }

    fn choose(choice: &mut Choice, client: usize, value: i64) -> Op {
        let key = choice.next(KEYS);
        let other = (key + 1 + choice.next(KEYS - 1)) % KEYS;
        match choice.next(50) {
            0..20 => Op::Once(command(choice, value)),
            20..30 => Op::Wait(Place { client, from: key, to: other }),
            30..37 => Op::Transaction(commands(choice, value)),
            37..43 => Op::Script(commands(choice, value)),
            _ => Op::IfSame(key, commands(choice, value)),
        }
    }

    fn requests(op: &Op) -> Vec<Vec<String>> {
        let word = |word: &str| vec![word.to_owned()];
        let within = |commands: &[Command]| {
            let queued = commands.iter().map(|it| request(*it));
            [word("MULTI")].into_iter().chain(queued).chain([word("EXEC")]).collect::<Vec<_>>()
        };
        match op {
            Op::Once(command) => vec![request(*command)],
            Op::Transaction(commands) => within(commands),
            Op::IfSame(key, commands) => {
                let first = [vec!["WATCH".to_owned(), name(*key)], request(Command::Read(*key))];
                first.into_iter().chain(within(commands)).collect()
            }
            Op::Script(commands) => vec![script(commands)],
            Op::Wait(place) => {
                let words = ["BLMOVE", &name(place.from), &name(place.to), "LEFT", "RIGHT", "0"];
                vec![words.map(str::to_owned).to_vec()]
            }
            Op::Asked(_) | Op::Served(_) => unreachable!("nobody asks for a step"),
        }
    }

    fn steps(op: &Op, replies: &[Reply]) -> Vec<(Op, Answer)> {
        let answer = |replies: Vec<Reply>| Answer { replies, places: Vec::new() };
        let last = replies.last().expect("an operation has a request").clone();
        match (op, last) {
            (Op::Wait(place), last) => {
                let steps = [(Op::Asked(*place), Vec::new()), (Op::Served(place.client), vec![plain(last)])];
                steps.map(|(op, replies)| (op, answer(replies))).to_vec()
            }
            (Op::Once(_), last) => vec![(op.clone(), answer(vec![last]))],
            (Op::IfSame(..), Reply::NullArray) => Vec::new(),
            (Op::IfSame(..), Reply::Array(all)) => {
                vec![(op.clone(), answer([vec![replies[1].clone()], all].concat()))]
            }
            (_, Reply::Array(all)) => vec![(op.clone(), answer(all))],
            (_, other) => panic!("{op:?} answered {other:?}"),
        }
    }

    fn messages(op: &Op) -> Vec<(usize, i64)> {
        let message = |command: &Command| match *command {
            Command::Publish(channel, text) => Some((channel, text)),
            _ => None,
        };
        op.commands().iter().filter_map(message).collect()
    }

    fn place(answer: &mut Answer, places: &[usize]) {
        answer.places = places.to_vec();
    }

    fn readings() -> Vec<Op> {
        vec![Op::Transaction((0..KEYS).map(Command::Read).collect())]
    }

    fn after(readings: &[Answer]) -> Lists {
        let mut all = Lists::default();
        for (list, reply) in all.lists.iter_mut().zip(&readings[0].replies) {
            let elements = reply.members().expect("LRANGE answers an array").iter().filter_map(Reply::text);
            *list = elements.map(|it| it.parse::<i64>().expect("elements are numbers")).collect();
        }
        all
    }
}

/// A blocking move without success answers a missing array to some, a missing string to others.
fn plain(reply: Reply) -> Reply {
    if reply.is_null() { Reply::NullBulk } else { reply }
}

fn command(choice: &mut Choice, value: i64) -> Command {
    let key = choice.next(KEYS);
    let other = (key + 1 + choice.next(KEYS - 1)) % KEYS;
    match choice.next(20) {
        0..5 => Command::Read(key),
        5..12 => Command::Push(key, value),
        12..15 => Command::Move(key, other),
        15 => Command::Rename(key, other),
        16 => Command::Delete(key),
        _ => Command::Publish(choice.next(CHANNELS.len()), value),
    }
}

fn commands(choice: &mut Choice, value: i64) -> Vec<Command> {
    (0..2 + choice.next(2)).map(|n| command(choice, value + n as i64)).collect()
}

fn name(key: usize) -> String {
    format!("key{key}")
}

fn request(command: Command) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    match command {
        Command::Read(key) => words(&["LRANGE", &name(key), "0", "-1"]),
        Command::Push(key, value) => words(&["RPUSH", &name(key), &value.to_string()]),
        Command::Move(from, to) => words(&["LMOVE", &name(from), &name(to), "LEFT", "RIGHT"]),
        Command::Rename(from, to) => words(&["RENAME", &name(from), &name(to)]),
        Command::Delete(key) => words(&["DEL", &name(key)]),
        Command::Publish(channel, text) => words(&["PUBLISH", CHANNELS[channel], &text.to_string()]),
    }
}

/// EVAL of commands, all of whose words are arguments of the script: so there are few scripts.
fn script(commands: &[Command]) -> Vec<String> {
    let (mut calls, mut words) = (Vec::new(), Vec::new());
    for command in commands {
        let request = request(*command);
        let from = words.len() + 1;
        words.extend(request);
        calls.push(format!("redis.pcall(unpack(ARGV, {from}, {}))", words.len()));
    }
    // All keys are declared, as a script that may touch any of them has to.
    let keys = (0..KEYS).map(name);
    let head = ["EVAL".to_owned(), format!("return {{{}}}", calls.join(", ")), KEYS.to_string()];
    head.into_iter().chain(keys).chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::told;
    use crate::search::{Event, Verdict, check};

    fn verdict(events: &[Event<Lists>]) -> Verdict {
        check(&Lists::default(), events, 10_000)
    }

    fn event(client: usize, asked: u64, answered: u64, op: Op, replies: &[Reply]) -> Event<Lists> {
        Event {
            client,
            op,
            answer: Answer { replies: replies.to_vec(), places: Vec::new() },
            asked,
            answered,
        }
    }

    /// The steps of a blocking move.
    fn waited(client: usize, asked: u64, answered: u64, keys: [usize; 2], got: Reply) -> [Event<Lists>; 2] {
        let place = Place { client, from: keys[0], to: keys[1] };
        [
            event(client, asked, answered, Op::Asked(place), &[]),
            event(client, asked + 1, answered + 1, Op::Served(client), &[got]),
        ]
    }

    fn push(key: usize, value: i64) -> Op {
        Op::Once(Command::Push(key, value))
    }

    fn read(key: usize) -> Op {
        Op::Once(Command::Read(key))
    }

    fn list(elements: &[i64]) -> Reply {
        Reply::Array(elements.iter().map(|&it| bulk(it)).collect())
    }

    #[test]
    fn an_element_brought_to_a_client_in_line_is_seen_by_nobody_else() {
        let seen = |parked: u64, elements: &[i64]| {
            let mut events = waited(0, 0, 50, [0, 1], bulk(7)).to_vec();
            events[0].answered = parked;
            events.push(event(1, 10, 20, push(0, 7), &[Reply::Integer(1)]));
            events.push(event(2, 11, 15, read(0), &[list(elements)]));
            verdict(&events)
        };
        assert_eq!(seen(5, &[]), Verdict::Linearizable);
        assert_eq!(seen(5, &[7]), Verdict::Impossible);
        // It may have asked only after that.
        assert_eq!(seen(30, &[7]), Verdict::Linearizable);
    }

    #[test]
    fn a_client_that_was_released_met_no_element() {
        let waits_until = |answered| {
            let mut events = vec![event(1, 10, 20, push(0, 7), &[Reply::Integer(1)])];
            events.extend(waited(0, 30, answered, [0, 1], Reply::NullBulk));
            events.push(event(1, 40, 50, Op::Once(Command::Delete(0)), &[Reply::Integer(1)]));
            verdict(&events)
        };
        assert_eq!(waits_until(45), Verdict::Linearizable);
        assert_eq!(waits_until(38), Verdict::Impossible);
    }

    #[test]
    fn those_in_line_are_served_in_a_chain() {
        let mut events = waited(0, 0, 50, [0, 1], bulk(7)).to_vec();
        events.extend(waited(1, 0, 52, [1, 2], bulk(7)));
        events.push(event(2, 10, 20, push(0, 7), &[Reply::Integer(1)]));
        events.push(event(2, 60, 61, read(2), &[list(&[7])]));
        assert_eq!(verdict(&events), Verdict::Linearizable);
    }

    #[test]
    fn messages_keep_the_order_of_what_was_done_with_them() {
        let tell = |n: usize, place: usize| {
            let op = Op::Transaction(vec![Command::Push(0, n as i64), Command::Publish(0, n as i64)]);
            let replies = [Reply::Integer(n as i64), Reply::Integer(LISTENERS as i64)];
            let mut event = event(n, 0, 10, op, &replies);
            event.answer.places = vec![place];
            event
        };
        assert_eq!(verdict(&[tell(1, 0), tell(2, 1)]), Verdict::Linearizable);
        assert_eq!(verdict(&[tell(1, 1), tell(2, 0)]), Verdict::Impossible);
    }

    /// Histories made by doing operations in a known order and stretching their stamps around it.
    #[test]
    fn histories_of_the_model_itself_are_linearizable_until_an_answer_is_forged() {
        let mut choice = Choice(1);
        for _ in 0..200 {
            let mut model = Lists::default();
            let mut free = [0u64; 4];
            let mut events = Vec::new();
            for i in 0..24u64 {
                let client = choice.next(4);
                let at = 1000 + i * 10;
                let asked = free[client].max(at - choice.next(30) as u64);
                let answered = at + 1 + choice.next(8) as u64;
                free[client] = answered + 2;
                let steps = match Lists::choose(&mut choice, client, i as i64 * 10 + 10) {
                    Op::Wait(place) => vec![Op::Asked(place), Op::Served(client)],
                    op => vec![op],
                };
                for (n, op) in (0..).zip(steps) {
                    let answer = model.apply(&op);
                    events.push(Event { client, op, answer, asked: asked + n, answered: answered + n });
                }
            }
            let last = model.apply(&read(0));
            events.push(Event { client: 0, op: read(0), answer: last, asked: 9000, answered: 9001 });
            assert_eq!(verdict(&events), Verdict::Linearizable, "{}", told(&Lists::default(), &events));
            events.last_mut().expect("there is one").answer.replies = vec![list(&[-1])];
            assert_eq!(verdict(&events), Verdict::Impossible);
        }
    }
}
