//! Streams against a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a stream means: a sorted map, and groups of plain maps.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: BTreeMap<StreamId, Vec<Vec<u8>>>,
    last_id: StreamId,
    max_deleted_id: StreamId,
    added: u64,
    pending: BTreeMap<StreamId, (Vec<u8>, u64, u64)>,
}

#[derive(Clone, Debug)]
enum Step {
    Add { ms: u64, seq: u64, shape: u8, value: Vec<u8> },
    Delete(usize),
    Trim { trim: bool, at: usize, is_approximate: bool, limit: u64 },
    Walk(usize, usize),
    Deliver(usize, u8),
    Release(usize, u64),
    Acknowledge(usize),
    RemoveConsumer(u8),
    Clone,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        any::<i64>().prop_map(|int| int.to_string().into_bytes()),
        (0..300i64).prop_map(|int| int.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    let add = (prop_oneof![Just(0u64), 0..3u64, 0..1_000_000u64], 1..5u64, 0..4u8, value)
        .prop_map(|(ms, seq, shape, value)| Step::Add { ms, seq, shape, value });
    prop_oneof![
        20 => add,
        4 => (0..300usize).prop_map(Step::Delete),
        1 => (any::<bool>(), 0..300usize, any::<bool>(), prop_oneof![Just(0u64), 1..40u64])
            .prop_map(|(trim, at, is_approximate, limit)| Step::Trim { trim, at, is_approximate, limit }),
        2 => (0..300usize, 0..300usize).prop_map(|(from, to)| Step::Walk(from, to)),
        5 => (0..300usize, 0..4u8).prop_map(|(at, consumer)| Step::Deliver(at, consumer)),
        3 => (0..300usize).prop_map(Step::Acknowledge),
        2 => (0..300usize, 0..9u64).prop_map(|(at, deliveries)| Step::Release(at, deliveries)),
        1 => (0..4u8).prop_map(Step::RemoveConsumer),
        1 => Just(Step::Clone),
    ]
}

/// Fields and values in one of four shapes.
fn pairs(shape: u8, value: &[u8]) -> Vec<Vec<u8>> {
    let field = |name: &str| name.as_bytes().to_vec();
    match shape {
        0 => vec![field("temperature"), value.to_vec()],
        1 => vec![field("a"), value.to_vec(), field("b"), b"17".to_vec()],
        2 => vec![field("12"), value.to_vec()],
        _ => vec![value.to_vec(), value.to_vec(), field("x"), field("y"), value.to_vec(), field("")],
    }
}

fn content(entry: &Entry<'_>) -> (StreamId, Vec<Vec<u8>>) {
    let mut texts = Vec::new();
    for (field, value) in entry.pairs() {
        texts.push(field.to_vec());
        texts.push(value.to_vec());
    }
    assert_eq!(texts.len(), 2 * entry.field_count());
    (entry.id, texts)
}

impl Model {
    /// Some identifier: mostly of an entry, otherwise near one.
    fn pick(&self, at: usize) -> StreamId {
        let id = self.entries.keys().nth(at).copied().unwrap_or(self.last_id);
        if at % 5 == 4 { id.successor().unwrap_or(id) } else { id }
    }

    /// What exact trimming removes.
    fn trimmed(&self, by: Trim) -> Vec<StreamId> {
        match by {
            Trim::MaxLen(max) => {
                let surplus = self.entries.len().saturating_sub(max as usize);
                self.entries.keys().take(surplus).copied().collect()
            }
            Trim::MinId(min) => self.entries.range(..min).map(|(id, _)| *id).collect(),
        }
    }

    fn check(&self, stream: &Stream, from: StreamId, to: StreamId) {
        let expected: Vec<_> = match from <= to {
            true => self.entries.range(from..=to).map(|(id, texts)| (*id, texts.clone())).collect(),
            false => Vec::new(),
        };
        let up: Vec<_> = stream.log().up(from, to).map(|entry| content(&entry)).collect();
        assert_eq!(up, expected);
        let mut down: Vec<_> = stream.log().down(from, to).map(|entry| content(&entry)).collect();
        down.reverse();
        assert_eq!(down, expected);
    }

    fn check_all(&self, stream: &Stream) {
        self.check(stream, StreamId::MIN, StreamId::MAX);
        let log = stream.log();
        assert_eq!(log.len(), self.entries.len() as u64);
        assert_eq!(log.entries_added(), self.added);
        assert_eq!((log.last_id(), log.max_deleted_id()), (self.last_id, self.max_deleted_id));
        let group = stream.group(b"g").expect("never removed");
        let pending: Vec<_> = group
            .pending_from(StreamId::MIN)
            .map(|(id, p)| (id, (group.holder(p).to_vec(), p.delivered_ms, p.deliveries)))
            .collect();
        assert!(pending.iter().map(|(id, p)| (id, p)).eq(&self.pending));
        group.check_invariants();
        log.check_invariants();
    }
}

fn apply(stream: &mut Stream, model: &mut Model, step: &Step, limits: NodeLimits) {
    match step {
        Step::Add { ms, seq, shape, value } => {
            let id = match ms {
                0 => StreamId::new(model.last_id.ms, model.last_id.seq + seq),
                ms => StreamId::new(model.last_id.ms + ms, seq - 1),
            };
            let texts = pairs(*shape, value);
            stream.log_mut().append(id, texts.iter().map(|text| &text[..]), limits).expect("small");
            model.entries.insert(id, texts);
            model.last_id = id;
            model.added += 1;
        }
        Step::Delete(at) => {
            let id = model.pick(*at);
            let expected = model.entries.remove(&id).is_some();
            if expected {
                model.max_deleted_id = model.max_deleted_id.max(id);
            }
            assert_eq!(stream.log().has(id), expected);
            assert_eq!(stream.log_mut().delete(id), expected);
        }
        Step::Trim { trim, at, is_approximate, limit } => {
            let limit = if *is_approximate { *limit } else { 0 };
            let by = if *trim { Trim::MaxLen(*at as u64) } else { Trim::MinId(model.pick(*at)) };
            let wanted = model.trimmed(by);
            let removed = stream.log_mut().trim(by, *is_approximate, limit) as usize;
            assert!(if *is_approximate { removed <= wanted.len() } else { removed == wanted.len() });
            assert!(limit == 0 || removed as u64 <= limit);
            wanted[..removed].iter().for_each(|id| drop(model.entries.remove(id)));
        }
        Step::Walk(from, to) => model.check(stream, model.pick(*from), model.pick(*to)),
        Step::Deliver(at, consumer) => {
            let (id, name) = (model.pick(*at), [b'a' + consumer]);
            let (_, group) = stream.group_mut(b"g").expect("never removed");
            let key = group.add_consumer(&name, 5).or(group.find_consumer(&name)).expect("there now");
            let (delivered_ms, deliveries) = (model.added, *at as u64);
            group.deliver(id, Pending::of(key, delivered_ms, deliveries));
            model.pending.insert(id, (name.to_vec(), delivered_ms, deliveries));
        }
        Step::Release(at, deliveries) => release(stream, model, *at, *deliveries),
        Step::Acknowledge(at) => {
            let id = model.pending.keys().nth(*at % 40).copied().unwrap_or(model.pick(*at));
            let (_, group) = stream.group_mut(b"g").expect("never removed");
            if at % 4 == 0 {
                assert!(group.pending_by_rank().is_sorted_by_key(|(_, pending)| pending.rank()));
                assert_eq!(group.pending_by_rank().count(), group.pending_len());
            }
            assert_eq!(group.acknowledge(id).is_some(), model.pending.remove(&id).is_some());
        }
        Step::RemoveConsumer(consumer) => {
            let name = [b'a' + consumer];
            let (_, group) = stream.group_mut(b"g").expect("never removed");
            let before = model.pending.len();
            model.pending.retain(|_, (owner, ..)| *owner != name);
            let removed = group.find_consumer(&name).map_or(0, |key| group.remove_consumer(key));
            assert_eq!(removed, before - model.pending.len());
        }
        Step::Clone => {}
    }
}

fn release(stream: &mut Stream, model: &mut Model, at: usize, deliveries: u64) {
    let id = model.pending.keys().nth(at % 40).copied().unwrap_or(model.pick(at));
    let (_, group) = stream.group_mut(b"g").expect("never removed");
    group.release(id, deliveries);
    model.pending.insert(id, (Vec::new(), 0, deliveries));
    let released = model.pending.values().filter(|(owner, ..)| owner.is_empty()).count();
    assert_eq!(group.released_len(), released);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn a_stream_is_a_sorted_map_and_clones_keep_what_they_were(
        steps in prop::collection::vec(step(), 1..400),
        max_bytes in prop_oneof![Just(0usize), Just(300), Just(4096)],
        max_entries in prop_oneof![Just(0u64), Just(1), Just(7), Just(100)],
    ) {
        let limits = NodeLimits { max_bytes, max_entries };
        let (mut stream, mut model) = (Stream::default(), Model::default());
        stream.add_group(b"g", Group::new(StreamId::MIN, None));
        let mut kept = None;
        for step in &steps {
            if matches!(step, Step::Clone) {
                kept = Some((stream.clone(), model.clone()));
            }
            apply(&mut stream, &mut model, step, limits);
        }
        model.check_all(&stream);
        if let Some((stream, model)) = kept {
            model.check_all(&stream);
        }
    }
}

fn added(ids: &[(u64, u64)], limits: NodeLimits) -> Log {
    let mut log = Log::default();
    for (ms, seq) in ids {
        let pair = [&b"a"[..], b"1"];
        log.append(StreamId::new(*ms, *seq), pair.into_iter(), limits).expect("small");
    }
    log
}

#[test]
fn a_block_ends_where_redis_ends_a_node() {
    let (long, longer) = ("x".repeat(64), "x".repeat(130));
    let (medium, huge) = ("x".repeat(20), "x".repeat(5000));
    // A value, the limits of bytes and entries, and the entries with which the first blocks begin.
    let cases: &[(&str, usize, u64, &[usize])] = &[
        ("1", 100, 0, &[0, 8, 16, 24, 32]),
        ("128", 100, 0, &[0, 7, 14, 21, 28, 35]),
        ("1", 0, 3, &[0, 3, 6, 9]),
        ("1", 4096, 100, &[0, 100, 200]),
        (&medium, 4096, 100, &[0, 100, 200]),
        (&long, 300, 0, &[0, 3, 6, 9, 12, 15, 18]),
        (&longer, 4096, 100, &[0, 28, 56]),
        (&huge, 4096, 100, &[0, 1, 2, 3]),
    ];
    for (value, max_bytes, max_entries, begins) in cases {
        let limits = NodeLimits { max_bytes: *max_bytes, max_entries: *max_entries };
        let mut log = Log::default();
        for n in 0..=begins[begins.len() - 1] {
            let pair = [&b"field"[..], value.as_bytes()];
            log.append(StreamId::new(1, 1 + n as u64), pair.into_iter(), limits).expect("small");
            let expected = begins.iter().filter(|begin| **begin <= n).count();
            assert_eq!(log.block_count(), expected, "{} bytes, entry {n}", value.len());
        }
    }
}

#[test]
fn an_entry_is_refused_that_no_node_could_hold() {
    let huge = vec![b'x'; block::NODE_MAX_BYTES / 1024];
    let mut log = Log::default();
    let limits = NodeLimits { max_bytes: 0, max_entries: 0 };
    let pairs = std::iter::repeat_n(&huge[..], 1026);
    assert_eq!(log.append(StreamId::new(1, 1), pairs, limits), Err(TooLarge));
    assert_eq!((log.len(), log.block_count()), (0, 0));
}

#[test]
fn what_a_group_has_read_is_counted_while_that_can_be_told() {
    let limits = NodeLimits { max_bytes: 0, max_entries: 0 };
    let mut stream = Stream::default();
    for ms in 1..=5 {
        let pair = [&b"a"[..], b"1"];
        stream.log_mut().append(StreamId::new(ms, 0), pair.into_iter(), limits).expect("small");
    }
    stream.add_group(b"g", Group::new(StreamId::MIN, None));
    let lag = |stream: &Stream| stream.lag(stream.group(b"g").expect("never removed"));
    assert_eq!(lag(&stream), Some(5));
    for (ms, read) in [(1, 1), (2, 2)] {
        let (log, group) = stream.group_mut(b"g").expect("never removed");
        log.advance(group, StreamId::new(ms, 0));
        assert_eq!(group.entries_read, Some(read));
    }
    assert_eq!(lag(&stream), Some(3));
    // An entry missing ahead leaves nothing to count by, until the last one is read.
    stream.log_mut().delete(StreamId::new(4, 0));
    assert_eq!(lag(&stream), None);
    let (log, group) = stream.group_mut(b"g").expect("never removed");
    log.advance(group, StreamId::new(3, 0));
    assert_eq!(group.entries_read, None);
    log.advance(group, StreamId::new(5, 0));
    assert_eq!((group.entries_read, lag(&stream)), (Some(5), Some(0)));
}

#[test]
fn a_radix_tree_is_counted_as_redis_does() {
    let limits = NodeLimits { max_bytes: 0, max_entries: 1 };
    let cases: &[(&[(u64, u64)], u64)] = &[
        (&[], 1),
        (&[(1, 1)], 2),
        (&[(1, 1), (1, 2)], 4),
        (&[(1, 1), (1, 2), (1, 3)], 5),
        (&[(1, 1), (2, 1)], 6),
        (&[(1, 1), (2, 1), (2, 2)], 8),
        (&[(1, 1), (1, 2), (1, 256), (2, 1)], 11),
        (&[(1, 1), (1, 255), (1, 256), (1, 257), (1, 65536), (2, 1), (2, 2), (256, 1), (256, 65536)], 24),
        (&[(1, 1), (1, 256), (1, 65536), (2, 1), (256, 1), (256, 65536)], 20),
    ];
    for (ids, expected) in cases {
        assert_eq!(added(ids, limits).radix_nodes(), *expected, "{ids:?}");
    }
}

#[test]
fn a_block_whose_entries_are_all_deleted_goes() {
    let mut log = added(&[(1, 1), (1, 2), (2, 1)], NodeLimits { max_bytes: 0, max_entries: 2 });
    assert_eq!(log.block_count(), 2);
    assert!(log.delete(StreamId::new(2, 1)) && !log.delete(StreamId::new(2, 1)));
    assert_eq!(log.block_count(), 1);
    assert!(log.delete(StreamId::new(1, 1)) && log.delete(StreamId::new(1, 2)));
    assert_eq!((log.block_count(), log.first_id(), log.last_id()), (0, StreamId::MIN, StreamId::new(2, 1)));
}

#[test]
fn an_identifier_has_neighbours_up_to_the_ends() {
    assert_eq!(StreamId::MAX.successor(), None);
    assert_eq!(StreamId::MIN.predecessor(), None);
    assert_eq!(StreamId::new(1, u64::MAX).successor(), Some(StreamId::new(2, 0)));
    assert_eq!(StreamId::new(2, 0).predecessor(), Some(StreamId::new(1, u64::MAX)));
}

#[test]
fn an_identifier_is_read_as_leniently_as_redis_does() {
    let parse = |text: &str| StreamId::parse(text.as_bytes(), 9).map(|id| (id.ms, id.seq));
    assert_eq!(parse("5-7"), Some((5, 7)));
    assert_eq!(parse("5"), Some((5, 9)));
    assert_eq!(parse("18446744073709551615-18446744073709551615"), Some((u64::MAX, u64::MAX)));
    for text in ["", "-", "-5", "5-", "5--7", "5-7-9", "18446744073709551616", "5-*", "x", &"0".repeat(128)] {
        assert_eq!(parse(text), None, "{text}");
    }
    assert_eq!(StreamId::parse_time(b"5-*"), Some(5));
    assert_eq!(StreamId::parse_time(b"5-7"), None);
    assert_eq!(StreamId::new(u64::MAX, 0).to_text().as_bytes(), b"18446744073709551615-0");
}
