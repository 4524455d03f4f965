//! Whether readings of several streams end where they are told to.
//!
//! For: COUNT, MAXCOUNT and MAXSIZE of XREAD and XREADGROUP beside a reading that spells every reply. May
//! touch: sockets.
//! Always: what was not answered was not delivered.

mod support;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use support::local::{Local, ask, words};
use support::{Client, Reply};

/// Streams of a test.
const STREAMS: usize = 3;
/// Sequences of steps.
const CASES: u32 = 300;
/// Longest value of an entry.
const MOST_VALUE_BYTES: usize = 150;

/// What is done to the streams.
#[derive(Clone, Debug)]
enum Step {
    /// An entry whose value has so many bytes.
    Add(usize, usize),
    Read(Reading),
}

/// A reading, with or without the group.
#[derive(Clone, Debug)]
struct Reading {
    in_group: bool,
    is_resp3: bool,
    /// Which streams, and from where on; in the group, `None` stands for what is new.
    from: Vec<(usize, Option<u64>)>,
    count: Option<usize>,
    /// How much more than COUNT.
    max_count: Option<usize>,
    max_size: Option<usize>,
}

impl Reading {
    fn most(&self) -> usize {
        self.max_count.map_or(usize::MAX, |more| self.count.unwrap_or(0) + more)
    }

    fn line(&self) -> String {
        let mut line = if self.in_group { "XREADGROUP GROUP g c" } else { "XREAD" }.to_owned();
        let options = [
            ("MAXSIZE", self.max_size),
            ("COUNT", self.count),
            ("MAXCOUNT", self.max_count.map(|_| self.most())),
        ];
        for (word, number) in options {
            line += &number.map(|number| format!(" {word} {number}")).unwrap_or_default();
        }
        line += " STREAMS";
        self.from.iter().for_each(|(stream, _)| line += &format!(" {}", name(*stream)));
        for (_, after) in &self.from {
            line += &after.map_or(" >".to_owned(), |id| format!(" {id}-0"));
        }
        line
    }
}

/// What the streams hold, and how far the group is.
#[derive(Default)]
struct Model {
    /// Values; the identifiers of entries are their places, beginning with 1.
    values: [Vec<usize>; STREAMS],
    delivered: [u64; STREAMS],
}

impl Model {
    /// The identifiers that one stream has for a reading.
    fn found(&self, reading: &Reading, (stream, after): (usize, Option<u64>)) -> Vec<u64> {
        let last = self.values[stream].len() as u64;
        let range = match after {
            Some(after) if reading.in_group => after + 1..=self.delivered[stream],
            Some(after) => after + 1..=last,
            None => self.delivered[stream] + 1..=last,
        };
        range.take(reading.count.unwrap_or(usize::MAX)).collect()
    }

    /// The reply to a reading, which delivers what it has.
    fn read(&mut self, reading: &Reading) -> Option<Vec<(usize, Vec<u64>)>> {
        let (mut reply, mut bytes, mut total) = (Vec::new(), 0, 0);
        for &(stream, after) in &reading.from {
            let found = self.found(reading, (stream, after));
            if found.is_empty() && !(reading.in_group && after.is_some()) {
                continue;
            }
            bytes += if reading.is_resp3 { 0 } else { "*2\r\n".len() } + spelled(&name(stream));
            let is_full = |total, bytes| {
                total > 0 && (total >= reading.most() || reading.max_size.is_some_and(|most| bytes >= most))
            };
            if is_full(total, bytes) {
                break;
            }
            let mut taken = Vec::new();
            for id in found {
                if is_full(total, bytes) {
                    break;
                }
                let value = value(self.values[stream][id as usize - 1]);
                bytes += "*2\r\n*2\r\n".len() + spelled(&format!("{id}-0")) + spelled("f") + spelled(&value);
                total += 1;
                taken.push(id);
            }
            bytes += format!("*{}\r\n", taken.len()).len();
            if after.is_none() {
                self.delivered[stream] += taken.len() as u64;
            }
            reply.push((stream, taken));
        }
        Some(reply).filter(|reply| !reply.is_empty())
    }

    fn reply(&mut self, reading: &Reading) -> Reply {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let Some(streams) = self.read(reading) else {
            return if reading.is_resp3 { Reply::Null } else { Reply::NullArray };
        };
        let pairs = streams.into_iter().map(|(stream, ids)| {
            let entry = |id: u64| {
                let value = value(self.values[stream][id as usize - 1]);
                Reply::Array(vec![bulk(&format!("{id}-0")), Reply::Array(vec![bulk("f"), bulk(&value)])])
            };
            (bulk(&name(stream)), Reply::Array(ids.into_iter().map(entry).collect()))
        });
        if reading.is_resp3 {
            return Reply::Map(pairs.collect());
        }
        Reply::Array(pairs.map(|(key, entries)| Reply::Array(vec![key, entries])).collect())
    }
}

fn name(stream: usize) -> String {
    format!("stream{}", "-".repeat(stream * 3))
}

fn value(len: usize) -> String {
    "v".repeat(len)
}

/// Bytes of a string on the wire.
fn spelled(text: &str) -> usize {
    format!("${}\r\n{text}\r\n", text.len()).len()
}

fn step() -> impl Strategy<Value = Step> {
    let from = vec((0..STREAMS, option::of(0..6_u64)), 1..=STREAMS);
    let limits = (option::of(1..6_usize), option::of(0..6_usize), option::of(1..500_usize));
    let read = (any::<bool>(), any::<bool>(), from, limits).prop_map(|(in_group, is_resp3, from, limits)| {
        let (count, max_count, max_size) = limits;
        let max_count = max_count.map(|more| more.max(usize::from(count.is_none())));
        let from = from.into_iter().map(|(at, after)| (at, if in_group { after } else { after.or(Some(0)) }));
        Step::Read(Reading { in_group, is_resp3, from: from.collect(), count, max_count, max_size })
    });
    prop_oneof![
        3 => (0..STREAMS, 0..MOST_VALUE_BYTES).prop_map(|(stream, len)| Step::Add(stream, len)),
        2 => read,
    ]
}

/// Begins with streams that have nothing but a group.
fn begin(client: &mut Client) {
    ask(client, "FLUSHALL");
    for stream in 0..STREAMS {
        ask(client, &format!("XGROUP CREATE {} g 0 MKSTREAM", name(stream)));
    }
}

/// How many entries of a stream are pending, and how many of it the group has read.
fn state(client: &mut Client, stream: usize) -> (i64, Option<String>) {
    let pending = match ask(client, &format!("XPENDING {} g", name(stream))) {
        Reply::Array(parts) => match parts[0] {
            Reply::Integer(count) => count,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let groups = ask(client, &format!("XINFO GROUPS {}", name(stream)));
    let group = groups.members().and_then(|groups| groups[0].members()).expect("an array of arrays");
    (pending, group[7].text())
}

/// Runs the steps on both, and compares what is answered and what the groups have come to.
fn compare(local: &Local, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut clients = [local.client(), local.client()];
    ask(&mut clients[1], "HELLO 3");
    begin(&mut clients[0]);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Add(stream, len) => {
                model.values[stream].push(len);
                let id = format!("{}-0", model.values[stream].len());
                let added = ["XADD", &name(stream), &id, "f", &value(len)];
                clients[0].call(&added).expect("XADD is answered");
            }
            Step::Read(reading) => {
                let client = &mut clients[usize::from(reading.is_resp3)];
                let reply = client.call(&words(&reading.line())).expect("a reading is answered");
                prop_assert_eq!(reply, model.reply(&reading), "{}", reading.line());
            }
        }
    }
    for stream in 0..STREAMS {
        let delivered = model.delivered[stream];
        let id = format!("{delivered}-0");
        prop_assert_eq!(state(&mut clients[0], stream), (delivered as i64, Some(id)));
    }
    Ok(())
}

#[test]
fn a_reading_answers_and_delivers_what_a_naive_one_does() {
    let local = Local::start();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
    if let Err(failure) = runner.run(&vec(step(), 1..40), |steps| compare(&local, steps)) {
        panic!("{failure}");
    }
}
