//! Lists against deques of texts, and where encodings change.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn texts(list: &List) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    List::visit(list.as_ref(), &mut |parts| all.push(parts[0].to_vec()));
    all
}

fn limits(max_listpack_size: i64) -> ListLimits {
    ListLimits { max_listpack_size, packed_threshold: None }
}

#[derive(Clone, Debug)]
enum Change {
    Push(Side, Vec<Vec<u8>>),
    Drop(Side, usize),
    Trim(usize, usize),
    Set(usize, Vec<u8>),
    Insert(usize, Side, Vec<u8>),
    Remove(usize, Side, usize),
    Rotate(Side),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Left), Just(Side::Right)]
}

/// Few different texts, so that they meet; long ones, so that nodes fill.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..6u8).prop_map(|digit| vec![b'0' + digit]),
        2 => (0..1i64 << 40).prop_map(|value| value.to_string().into_bytes()),
        3 => (0usize..6).prop_map(|step| vec![b'm'; 40 + 17 * step]),
        2 => proptest::sample::select(vec![500usize, 1000, 2000, 4000, 4097, 8192, 8193, 9000, 20_000])
            .prop_map(|len| vec![b'x'; len]),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (side(), proptest::collection::vec(text(), 1..12))
            .prop_map(|(side, texts)| Change::Push(side, texts)),
        2 => (side(), 0usize..20).prop_map(|(side, count)| Change::Drop(side, count)),
        1 => (0usize..15, 0usize..15).prop_map(|(left, right)| Change::Trim(left, right)),
        2 => (0usize..60, text()).prop_map(|(index, text)| Change::Set(index, text)),
        3 => (0usize..60, side(), text()).prop_map(|(at, side, text)| Change::Insert(at, side, text)),
        2 => (0usize..60, side(), 1usize..9).prop_map(|(at, side, most)| Change::Remove(at, side, most)),
        1 => side().prop_map(Change::Rotate),
    ]
}

type Model = VecDeque<Vec<u8>>;

fn apply(change: &Change, list: &mut List, model: &mut Model, limits: ListLimits) {
    let at = |index: usize| model.get(index % model.len().max(1)).cloned();
    match change {
        Change::Push(side, texts) => {
            list.push(*side, texts.iter().map(|text| Given::from(&text[..])), limits);
            for text in texts {
                push(model, *side, text.clone());
            }
        }
        Change::Drop(side, count) => {
            let count = (*count).min(model.len());
            list.drop(*side, count, limits);
            match side {
                Side::Left => drop(model.drain(..count)),
                Side::Right => model.truncate(model.len() - count),
            }
        }
        Change::Trim(left, right) => {
            let left = (*left).min(model.len());
            let right = (*right).min(model.len() - left);
            list.trim(left, right, limits);
            model.drain(..left);
            model.truncate(model.len() - right);
        }
        Change::Set(index, text) => {
            assert_eq!(list.set(*index, Given::from(&text[..]), limits), *index < model.len());
            if let Some(place) = model.get_mut(*index) {
                *place = text.clone();
            }
        }
        Change::Insert(index, side, text) => {
            let pivot = at(*index).unwrap_or_default();
            let place = model.iter().position(|text| *text == pivot);
            assert_eq!(list.insert(&pivot, *side, Given::from(&text[..]), limits), place.is_some());
            if let Some(place) = place {
                model.insert(place + usize::from(*side == Side::Right), text.clone());
            }
        }
        Change::Remove(index, side, most) => {
            let wanted = at(*index).unwrap_or_default();
            let removed = list.remove(&wanted, *side, *most, limits);
            assert_eq!(removed, remove(model, &wanted, *side, *most));
        }
        Change::Rotate(side) => {
            let Some(element) = list.as_ref().end(*side).map(Element::to_owned) else { return };
            list.rotate(*side, side.other(), &element, limits);
            match side {
                Side::Left => model.rotate_left(1),
                Side::Right => model.rotate_right(1),
            }
        }
    }
}

fn push(model: &mut Model, side: Side, text: Vec<u8>) {
    match side {
        Side::Left => model.push_front(text),
        Side::Right => model.push_back(text),
    }
}

fn remove(model: &mut Model, wanted: &[u8], side: Side, most: usize) -> usize {
    let mut places: Vec<usize> = (0..model.len()).filter(|at| model[*at] == wanted).collect();
    if side == Side::Right {
        places.reverse();
    }
    places.truncate(most);
    places.sort_unstable();
    places.iter().rev().for_each(|at| _ = model.remove(*at));
    places.len()
}

fn check(list: &List, model: &Model) {
    if let List::Large(large) = list {
        large.check_invariants();
    }
    let view = list.as_ref();
    assert_eq!(view.len(), model.len());
    assert_eq!(texts(list), Vec::from(model.clone()));
    for index in [0, 1, model.len() / 2, model.len().saturating_sub(1), model.len()] {
        let found = view.get(index).map(|element| element.item().to_vec());
        assert_eq!(found.as_ref(), model.get(index));
    }
}

fn check_reading(list: &List, model: &Model) {
    let view = list.as_ref();
    let len = model.len();
    for count in [0, 1.min(len), len / 3, len] {
        let mut back = Vec::new();
        view.each_back(count, |element| back.push(element.item().to_vec()));
        assert!(back.iter().eq(model.iter().rev().take(count)));
        let mut some = Vec::new();
        view.each(len - count, count, |element| some.push(element.item().to_vec()));
        assert!(some.iter().eq(model.iter().skip(len - count)));
    }
    for wanted in model {
        for most in [0, 1, len / 2, len, usize::MAX] {
            let expected: Vec<usize> = (0..len).filter(|at| model[*at] == *wanted).collect();
            let (mut left, mut right) = (Vec::new(), Vec::new());
            view.each_match(wanted, Side::Left, most, |index| {
                left.push(index);
                true
            });
            view.each_match(wanted, Side::Right, most, |index| {
                right.push(index);
                right.len() < 2
            });
            assert!(left.iter().eq(expected.iter().filter(|at| **at < most)), "{left:?} {expected:?} {most}");
            assert!(right.iter().eq(expected.iter().rev().filter(|at| len - **at <= most).take(2)));
        }
    }
}

fn any_limits() -> impl Strategy<Value = ListLimits> {
    let sizes = proptest::sample::select(vec![-2, -2, -1, -5, 0, 1, 3, 16, 100_000]);
    let thresholds = proptest::sample::select(vec![None, None, Some(1), Some(50), Some(1000), Some(9000)]);
    (sizes, thresholds)
        .prop_map(|(max_listpack_size, packed_threshold)| ListLimits { max_listpack_size, packed_threshold })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_list_behaves_as_a_deque(
        limits in any_limits(),
        changes in proptest::collection::vec(change(), 0..50),
    ) {
        let (mut list, mut model) = (List::default(), Model::new());
        for change in &changes {
            apply(change, &mut list, &mut model, limits);
            check(&list, &model);
            if let Ok((form, bytes)) = list.clone().into_compact() {
                list = List::from_compact(form, bytes);
            }
        }
        check_reading(&list, &model);
    }

    #[test]
    fn a_clone_keeps_what_it_had(changes in proptest::collection::vec(change(), 1..30)) {
        let filled: Model = (0..2_000).map(|number: usize| number.to_string().into_bytes()).collect();
        let mut list = List::of(filled.iter().map(|text| Given::from(&text[..])), limits(-1));
        let before = list.clone();
        let mut model = filled.clone();
        for change in &changes {
            apply(change, &mut list, &mut model, limits(-1));
        }
        check(&before, &filled);
        check(&list, &model);
    }
}

fn pushed(side: Side, count: usize, text: &[u8]) -> List {
    let mut list = List::default();
    for _ in 0..count {
        list.push(side, std::iter::once(Given::from(text)), limits(-2));
    }
    list
}

#[test]
fn a_list_becomes_a_quicklist_and_a_listpack_again_where_the_original_does() {
    let mut list = pushed(Side::Right, 4_092, b"1");
    assert_eq!(list.as_ref().encoding(), "listpack");
    list.push(Side::Right, std::iter::once(Given::from(&b"1"[..])), limits(-2));
    assert_eq!(list.as_ref().encoding(), "listpack");
    list.push(Side::Right, std::iter::once(Given::from(&b"1"[..])), limits(-2));
    assert_eq!(list.as_ref().encoding(), "quicklist");
    list.drop(Side::Left, 2_049, limits(-2));
    assert_eq!(list.as_ref().encoding(), "quicklist");
    list.drop(Side::Right, 3, limits(-2));
    assert_eq!((list.as_ref().encoding(), list.as_ref().len()), ("listpack", 2_042));
    list.drop(Side::Right, 2_000, limits(-2));
    assert!(matches!(list, List::Packed(_)));
}

#[test]
fn a_pivot_that_is_not_there_still_prepares_the_list() {
    let mut list = pushed(Side::Right, 1, b"a");
    assert!(!list.insert(b"b", Side::Left, Given::from(&vec![b'x'; 8_182][..]), limits(-2)));
    assert_eq!(list.as_ref().encoding(), "listpack");
    assert!(!list.insert(b"b", Side::Left, Given::from(&vec![b'x'; 8_183][..]), limits(-2)));
    assert_eq!(list.as_ref().encoding(), "quicklist");
}

#[test]
fn an_element_from_the_threshold_on_has_a_node_of_its_own() {
    let mut list = pushed(Side::Right, 5_000, b"1");
    let nodes = |list: &List| list.as_ref().nodes().expect("5,000 elements are many").count;
    let before = nodes(&list);
    let threshold = ListLimits { packed_threshold: Some(5), ..limits(-2) };
    list.push(Side::Right, std::iter::once(Given::from(&b"long"[..])), threshold);
    assert_eq!(nodes(&list), before);
    list.push(Side::Right, std::iter::once(Given::from(&b"longer"[..])), threshold);
    assert_eq!(nodes(&list), before + 1);
    list.set(0, Given::from(&b"longer"[..]), threshold);
    assert_eq!(nodes(&list), before + 2);
    list.insert(b"long", Side::Left, Given::from(&b"longer"[..]), threshold);
    assert_eq!(nodes(&list), before + 4);
    list.push(Side::Right, std::iter::once(Given::from(&b"shorter"[..])), limits(-2));
    list.push(Side::Right, std::iter::once(Given::from(&b"shorter"[..])), limits(-2));
    assert_eq!(nodes(&list), before + 5);
}

#[test]
fn a_change_copies_only_the_nodes_that_it_touches() {
    let list = pushed(Side::Right, 10_000, b"sixteen bytes ..");
    let mut copy = list.clone();
    copy.set(5_000, Given::from(&b"other"[..]), limits(-2));
    copy.push(Side::Left, std::iter::once(Given::from(&b"first"[..])), limits(-2));
    let (List::Large(one), List::Large(two)) = (&list, &copy) else { panic!("10,000 elements are many") };
    let count = list.as_ref().nodes().expect("they are many").count;
    assert!(count > 20);
    assert_eq!(two.shared_nodes(one), count - 2);
    let mut shorter = list.clone();
    shorter.drop(Side::Left, 10, limits(-2));
    shorter.drop(Side::Right, 10, limits(-2));
    assert_eq!(texts(&shorter).len(), 9_980);
    assert_eq!(texts(&list).len(), 10_000);
}

#[test]
fn a_long_element_is_shared_with_who_gave_it() {
    let long = Arc::new(vec![b'x'; 100_000]);
    let mut list = List::default();
    list.push(Side::Right, std::iter::once(Given { text: &long, shared: Some(&long) }), limits(-2));
    let Some(Element::Shared(kept)) = list.as_ref().get(0) else { panic!("a long element is shared") };
    assert!(Arc::ptr_eq(kept, &long));
}

/// A queue that is always about as long as one node: the room that one end gives back is taken by the other.
#[test]
fn a_queue_within_a_node_does_not_grow() {
    for (text, len) in [(vec![b'x'; 16], 440), (vec![b'x'; 700], 10), (b"7".to_vec(), 4_000)] {
        let mut list = pushed(Side::Left, len, &text);
        for _ in 0..10_000 {
            list.push(Side::Left, std::iter::once(Given::from(&text[..])), limits(-2));
            list.drop(Side::Right, 1, limits(-2));
        }
        assert_eq!(list.as_ref().len(), len);
        assert!(list.as_ref().heap_bytes() < 3 * 10_240, "{}", list.as_ref().heap_bytes());
    }
}

/// Pushes and, once the list is `len` long, takes as many from the other end. Says how many bytes were copied
/// from buffer to buffer or within one, for each byte that was pushed.
fn copied_per_byte(side: Side, text: &[u8], len: usize, pushes: usize) -> f64 {
    let mut list = List::default();
    let (mut copied, size) = (0, crate::value::pack::listpack_bytes(text));
    let edge = |list: &List| match list {
        List::Large(large) => large.edge(side),
        List::Packed(pack) => (0, pack.as_ref().byte_len()),
    };
    for number in 0..pushes {
        let (before, _) = edge(&list);
        list.push(side, std::iter::once(Given::from(text)), limits(-2));
        let (after, held) = edge(&list);
        let is_in_place = match side {
            Side::Left => before.wrapping_sub(size) == after,
            Side::Right => before.wrapping_add(size) == after,
        };
        copied += if is_in_place { 0 } else { held };
        if number >= len {
            list.drop(side.other(), 1, limits(-2));
        }
    }
    copied as f64 / (pushes * size) as f64
}

#[test]
fn pushing_costs_the_same_however_long_the_list_is() {
    for side in [Side::Left, Side::Right] {
        for pushes in [10_000, 100_000, 1_000_000] {
            let copied = copied_per_byte(side, b"sixteen bytes ..", pushes, pushes);
            assert!(copied < 5.0, "{side:?} {pushes}: {copied}");
        }
    }
}

/// Also when a single node is nearly full all the time, where little room is left at either end.
#[test]
fn a_queue_of_any_length_copies_little() {
    for side in [Side::Left, Side::Right] {
        for len in [100, 200, 300, 400, 440, 450, 453, 454, 455, 470, 900, 2_000] {
            let copied = copied_per_byte(side, b"sixteen bytes ..", len, 100_000);
            assert!(copied < 8.0, "{side:?} {len}: {copied}");
        }
    }
}
