//! Runs against vectors of texts, and the sizes of the original's encodings.

use super::*;
use proptest::prelude::*;

fn texts(pack: &Pack) -> Vec<Vec<u8>> {
    pack.as_ref().iter().map(|(_, item)| item.to_vec()).collect()
}

/// Texts around every change of encoding, and texts that only look like integers.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let edges = [0, 1, 127, 128, 4095, 4096, 32_767, 32_768, 8_388_607, 8_388_608, 1 << 31, i64::MAX];
    prop_oneof![
        4 => proptest::sample::select(edges.to_vec()).prop_map(|edge| edge.to_string().into_bytes()),
        4 => proptest::sample::select(edges.to_vec()).prop_map(|edge| (-edge - 1).to_string().into_bytes()),
        2 => any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        4 => proptest::collection::vec(any::<u8>(), 0..5),
        1 => proptest::sample::select(vec!["-0", "01", "+1", " 1", "1.0", "9223372036854775808"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::sample::select(vec![62usize, 63, 64, 65, 4094, 4095, 4096, 5000])
            .prop_map(|len| vec![b'x'; len]),
    ]
}

#[derive(Clone, Debug)]
enum Change {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    Insert(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => text().prop_map(Change::PushBack),
        1 => text().prop_map(Change::PushFront),
        2 => (0usize..40, text()).prop_map(|(index, text)| Change::Insert(index, text)),
        2 => (0usize..40, text()).prop_map(|(index, text)| Change::Replace(index, text)),
        2 => (0usize..40, 0usize..4).prop_map(|(index, count)| Change::Remove(index, count)),
    ]
}

fn apply(change: &Change, pack: &mut Pack, model: &mut Vec<Vec<u8>>) {
    match change {
        Change::PushBack(text) => {
            pack.push_back(text);
            model.push(text.clone());
        }
        Change::PushFront(text) => {
            pack.push_front(text);
            model.insert(0, text.clone());
        }
        Change::Insert(index, text) => {
            let index = (*index).min(model.len());
            let behind = pack.insert(pack.as_ref().seek(index), text);
            model.insert(index, text.clone());
            assert_eq!(behind, pack.as_ref().seek(index + 1));
        }
        Change::Replace(index, text) => {
            if let Some((at, _)) = pack.as_ref().get(*index) {
                let behind = pack.replace(at, text);
                model[*index] = text.clone();
                assert_eq!(behind, pack.as_ref().seek(index + 1));
            }
        }
        Change::Remove(index, count) => {
            let index = (*index).min(model.len());
            pack.remove(pack.as_ref().seek(index), *count);
            model.drain(index..(index + count).min(model.len()));
        }
    }
}

proptest! {
    #[test]
    fn a_run_behaves_as_a_vector_of_texts(changes in proptest::collection::vec(change(), 0..60)) {
        let (mut pack, mut model) = (Pack::new(), Vec::new());
        for change in &changes {
            apply(change, &mut pack, &mut model);
            let run = pack.as_ref();
            prop_assert_eq!(run.len(), model.len());
            prop_assert_eq!(run.is_empty(), model.is_empty());
        }
        prop_assert_eq!(texts(&pack), model.clone());
        let pack = Pack::from_vec(pack.into_vec());
        for stride in 1..4 {
            for wanted in &model {
                let found = pack.as_ref().find(wanted, stride);
                let expected = (0..model.len()).step_by(stride).find(|index| model[*index] == *wanted);
                prop_assert_eq!(found.map(|(index, _)| index), expected);
                if let Some((index, at)) = found {
                    prop_assert_eq!(pack.as_ref().get(index).map(|(at, _)| at), Some(at));
                    prop_assert!(pack.as_ref().item(at).is_some_and(|item| item.eq_bytes(wanted)));
                }
            }
            prop_assert!(pack.as_ref().find(b"not there", stride).is_none());
        }
    }

    #[test]
    fn an_element_survives_encoding(text in text(), other in text()) {
        let pack: Pack = [&text].into_iter().collect();
        let item = pack.as_ref().get(0).expect("one element").1;
        prop_assert_eq!(item.to_vec(), text.clone());
        prop_assert_eq!(item.len(), text.len());
        prop_assert_eq!(matches!(item, Item::Int(_)), parse_i64(&text).is_some());
        prop_assert!(item.eq_bytes(&text) && item == Item::Bytes(&text) && item == Item::of(&text));
        prop_assert_eq!(item.eq_bytes(&other), text == other);
        prop_assert_eq!(item == Item::of(&other), text == other);
        prop_assert_eq!(pack.as_ref().byte_len(), HEAD + Encoded::of(&text).size());
        let mut appended = b"before".to_vec();
        item.append_to(&mut appended);
        prop_assert_eq!(&appended[6..], &text[..]);
    }
}

/// The sizes that `MEMORY USAGE` and the list thresholds of the original rest on.
#[test]
fn an_element_takes_as_many_bytes_as_in_a_listpack() {
    let cases: [(&str, usize); 14] = [
        ("", 2),
        ("a", 3),
        ("0", 2),
        ("127", 2),
        ("128", 3),
        ("-1", 3),
        ("-4096", 3),
        ("4096", 4),
        ("-4097", 4),
        ("32768", 5),
        ("8388608", 6),
        ("2147483648", 10),
        ("-9223372036854775808", 10),
        ("-0", 4),
    ];
    for (text, size) in cases {
        assert_eq!(listpack_bytes(text.as_bytes()), size, "{text:?}");
    }
    let long = |len: usize| listpack_bytes(&vec![b'x'; len]);
    assert_eq!((long(63), long(64), long(125), long(126)), (65, 67, 128, 130));
    assert_eq!((long(4095), long(4096)), (4099, 4103));
    assert_eq!((long(16_377), long(16_378)), (16_384, 16_386));
}

#[test]
fn more_elements_than_the_count_can_hold_are_still_counted() {
    let mut pack = Pack::new();
    for _ in 0..65_534 {
        pack.push_back(b"1");
    }
    assert_eq!(pack.as_ref().len(), 65_534);
    for wanted in 65_535..65_540 {
        pack.push_back(b"1");
        assert_eq!(pack.as_ref().len(), wanted);
    }
    pack.remove(pack.as_ref().start(), 3);
    assert_eq!(pack.as_ref().len(), 65_536);
    pack.remove(pack.as_ref().start(), 10);
    assert_eq!(pack.as_ref().len(), 65_526);
}

#[test]
fn no_bytes_are_a_run_without_elements() {
    let pack = Pack::new();
    assert!(pack.as_ref().is_empty() && pack.as_ref().iter().next().is_none());
    assert!(pack.as_ref().get(0).is_none() && pack.as_ref().find(b"", 1).is_none());
    assert_eq!((pack.as_ref().len(), pack.capacity()), (0, 0));
    assert_eq!(pack.as_ref().seek(3), pack.as_ref().end());
}

#[test]
fn an_emptied_run_can_be_filled_again() {
    let mut pack: Pack = ["a", "b"].into_iter().collect();
    pack.remove(pack.as_ref().start(), 9);
    assert!(pack.as_ref().is_empty());
    pack.push_back(b"c");
    pack.clear();
    pack.push_front(b"d");
    assert_eq!(texts(&pack), [b"d".to_vec()]);
}
