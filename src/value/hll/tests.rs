//! Estimates, forms and broken bytes.

use super::*;
use proptest::prelude::*;

/// `hll-sparse-max-bytes` unless configured.
const SPARSE_MAX: u64 = 3000;

fn registers_of(bytes: &[u8]) -> Result<Box<Registers>, Corrupt> {
    let mut registers = Box::new([0; REGISTERS]);
    HllRef::of(bytes).ok_or(Corrupt)?.merge_into(&mut registers)?;
    Ok(registers)
}

fn adds(bytes: &mut Vec<u8>, elements: impl IntoIterator<Item = String>, sparse_max_bytes: u64) {
    for element in elements {
        add(bytes, element.as_bytes(), sparse_max_bytes).unwrap();
    }
}

#[test]
fn bytes_are_those_of_the_original() {
    assert_eq!(empty(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff");
    let mut bytes = empty();
    adds(&mut bytes, ["a".into(), "b".into()], SPARSE_MAX);
    // Z:12711 v:2,1 Z:3068 v:1,1 Z:603, as taken down.
    assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x71\xa6\x84\x4b\xfb\x80\x42\x5a");
    assert_eq!(HllRef::of(&bytes).unwrap().count(), Ok(2));
}

#[test]
fn hashes_are_those_of_the_original() {
    // Computed with the published C function, for every length of tail.
    let hashes = [
        (0, 0xd8df_ea65_85bc_9732),
        (1, 0xd68c_fa33_ac86_5d67),
        (2, 0x489f_141f_676c_cf38),
        (3, 0xd5f6_e372_1657_c42b),
        (4, 0x0efd_86de_8240_bced),
        (5, 0xa1a1_9286_4caf_f970),
        (6, 0xd626_34ec_96bc_47b5),
        (7, 0x8556_3db1_6363_2857),
        (8, 0x95eb_b863_8913_2953),
        (16, 0x4026_1cbd_3777_4e4c),
    ];
    for (len, hash) in hashes {
        assert_eq!(estimate::murmur64a(&b"1234567890abcdef"[..len], SEED), hash, "{len} bytes");
    }
}

#[test]
fn counts_are_within_a_few_standard_errors() {
    let (mut bytes, mut next) = (empty(), 0);
    for count in [1, 10, 100, 1_000, 10_000, 100_000] {
        adds(&mut bytes, (next..count).map(|n| format!("element:{n}")), SPARSE_MAX);
        next = count;
        let error = HllRef::of(&bytes).unwrap().count().unwrap() as f64 / f64::from(count) - 1.0;
        assert!(error.abs() < 0.04, "{count}: off by {error}");
    }
}

#[test]
fn a_sparse_one_becomes_dense_when_it_has_no_room_left() {
    let mut bytes = empty();
    let mut longest = 0;
    for n in 0.. {
        adds(&mut bytes, [n.to_string()], 100);
        if HllRef::of(&bytes).unwrap().is_dense() {
            break;
        }
        longest = longest.max(bytes.len());
    }
    assert!((97..=100).contains(&longest), "{longest}");
    assert_eq!(bytes.len(), DENSE_LEN);
    assert_eq!(make_dense(&mut bytes), Ok(false));
    assert!(HllRef::of(&bytes).unwrap().runs().is_none());
}

#[test]
fn the_count_is_known_until_registers_change() {
    let mut bytes = empty();
    assert_eq!(HllRef::of(&bytes).unwrap().known_count(), None);
    remember_count(&mut bytes, 0);
    assert_eq!(HllRef::of(&bytes).unwrap().known_count(), Some(0));
    assert_eq!(add(&mut bytes, b"x", SPARSE_MAX), Ok(true));
    assert_eq!(HllRef::of(&bytes).unwrap().known_count(), None);
    remember_count(&mut bytes, 77);
    assert_eq!(add(&mut bytes, b"x", SPARSE_MAX), Ok(false));
    assert_eq!(HllRef::of(&bytes).unwrap().known_count(), Some(77));
    make_dense(&mut bytes).unwrap();
    assert_eq!(HllRef::of(&bytes).unwrap().known_count(), Some(77));
}

#[test]
fn other_strings_are_no_hyperloglog() {
    let dense = [b"HYLL\0\0\0\0".as_slice(), &[0; 8 + dense::LEN]].concat();
    assert!(HllRef::of(&dense).is_some());
    assert!(HllRef::of(&dense[1..]).is_none());
    assert!(HllRef::of(&dense[..DENSE_LEN - 1]).is_none());
    assert!(HllRef::of(&[dense.as_slice(), b"x"].concat()).is_none());
    for text in
        [b"".as_slice(), b"HYLL", b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0", b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0"]
    {
        assert!(HllRef::of(text).is_none());
    }
}

#[test]
fn runs_that_are_not_those_of_all_registers_are_refused() {
    let sparse = |runs: &[u8]| [&empty()[..HEADER_LEN], runs].concat();
    for runs in [b"".as_slice(), b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x40", b"\x80\x7f\xff"] {
        let mut bytes = sparse(runs);
        assert_eq!(HllRef::of(&bytes).unwrap().count(), Err(Corrupt), "{runs:?}");
        assert_eq!(make_dense(&mut bytes), Err(Corrupt));
        assert_eq!(bytes, sparse(runs));
    }
    // The register of this element is behind the end.
    assert_eq!(HllRef::of(&sparse(b"\x00")).unwrap().would_change(b"a"), Err(Corrupt));
    assert_eq!(add(&mut sparse(b"\x00"), b"a", SPARSE_MAX), Err(Corrupt));
    assert!(HllRef::of(&sparse(b"\x7f\xfe\x00")).unwrap().count().is_ok());
}

#[test]
fn registers_beyond_what_elements_make_are_counted_without_end() {
    let full = [b"HYLL\0\0\0\0".as_slice(), &[0; 8], &[0xff; dense::LEN]].concat();
    assert_eq!(HllRef::of(&full).unwrap().count(), Ok(1 << 63));
}

fn arb_hll() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![Just(1u8), Just(0), any::<u8>()];
    (header, prop::collection::vec(any::<u8>(), 0..600))
        .prop_map(|(encoding, tail)| [b"HYLL".as_slice(), &[encoding, 0, 0, 0], &[0; 8], &tail].concat())
}

proptest! {
    #[test]
    fn every_form_holds_what_a_plain_array_holds(
        elements in prop::collection::vec((0u32..4000).prop_map(|n| n.to_string()), 0..500),
        sparse_max in prop_oneof![Just(0u64), 16..1200u64, Just(u64::MAX)],
    ) {
        let (mut bytes, mut model) = (empty(), Box::new([0u8; REGISTERS]));
        for element in &elements {
            let (index, value) = place(element.as_bytes());
            let changes = value > model[index];
            model[index] = model[index].max(value);
            prop_assert_eq!(HllRef::of(&bytes).unwrap().would_change(element.as_bytes()), Ok(changes));
            prop_assert_eq!(add(&mut bytes, element.as_bytes(), sparse_max), Ok(changes));
            prop_assert!(bytes.len() as u64 <= sparse_max.max(18) || bytes.len() == DENSE_LEN);
        }
        prop_assert_eq!(registers_of(&bytes), Ok(model.clone()));
        prop_assert_eq!(HllRef::of(&bytes).unwrap().count(), Ok(count_of(&model)));
        let mut dense = bytes.clone();
        make_dense(&mut dense).unwrap();
        prop_assert_eq!(registers_of(&dense), Ok(model.clone()));
        let mut merged = empty();
        raise_all(&mut merged, &model, false, sparse_max).unwrap();
        prop_assert_eq!(registers_of(&merged), Ok(model));
    }

    #[test]
    fn any_bytes_are_met_without_panic(mut bytes in arb_hll(), elements: Vec<[u8; 3]>, max in 0u64..2000) {
        let Some(hll) = HllRef::of(&bytes) else { return Ok(()) };
        let _ = (hll.known_count(), hll.runs().map(Iterator::count));
        let sound = hll.count().is_ok();
        let mut dense = bytes.clone();
        prop_assert_eq!(make_dense(&mut dense).is_ok(), sound);
        for element in &elements {
            let before = bytes.clone();
            let foreseen = HllRef::of(&bytes).unwrap().would_change(element);
            let added = add(&mut bytes, element, max);
            prop_assert!(added == foreseen || added == Err(Corrupt));
            prop_assert_eq!(added == Ok(true), bytes != before);
            prop_assert!(HllRef::of(&bytes).is_some());
            prop_assert_eq!(registers_of(&bytes).is_ok(), sound);
        }
    }

    #[test]
    fn any_runs_that_add_up_are_sound(codes in prop::collection::vec(any::<u8>(), 0..300)) {
        // Filled up with zeros to all registers.
        let mut bytes = empty()[..HEADER_LEN].to_vec();
        let mut left = REGISTERS;
        let mut at = 0;
        while at < codes.len() {
            let Some(run) = Runs::of(&codes[at..]).next().filter(|run| run.len() <= left) else { break };
            run.append_to(&mut bytes);
            left -= run.len();
            at += if matches!(run, Run::Zeros(_)) { 2 } else { 1 };
        }
        if left > 0 {
            Run::Zeros(left).append_to(&mut bytes);
        }
        let registers = registers_of(&bytes).unwrap();
        for n in 0..50 {
            let (index, value) = place(format!("{n}").as_bytes());
            let mut changed = bytes.clone();
            let added = add(&mut changed, format!("{n}").as_bytes(), u64::MAX);
            prop_assert_eq!(added, Ok(registers[index] < value));
            let mut expected = registers.clone();
            expected[index] = expected[index].max(value);
            prop_assert_eq!(registers_of(&changed), Ok(expected));
        }
    }
}
