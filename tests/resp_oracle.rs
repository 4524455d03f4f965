//! The request parser and the reply writer against an independent implementation of the protocol, and on
//! request (`OCHRE_REFERENCE=host:port`, a server that accepts EVAL) against a real server.
//!
//! Where parser and decoder differ by design, and the comparison therefore stops: the decoder refuses arrays
//! of zero or fewer and what is no array, reads numbers with plus signs and leading zeros, reads nested and
//! non-string elements, does not look at the two bytes after a string, and gives no limit to lengths.

use std::io::{Read, Write};
use std::net::TcpStream;

use ochre::resp::{Limits, Out, Parsed, Parser, Proto, ProtocolError, Scratch, format_double};
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode as decode2;
use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode as decode3;
use redis_protocol::resp3::types::OwnedFrame as Frame3;

type Commands = Vec<Vec<Vec<u8>>>;

/// A connection as a worker keeps it: a parser, and the bytes of half a request.
#[derive(Default)]
struct Connection {
    parser: Parser,
    kept: Vec<u8>,
    found: Commands,
}

impl Connection {
    fn receive(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let mut buf = std::mem::take(&mut self.kept);
        buf.extend_from_slice(bytes);
        let (mut at, mut scratch) = (0, Scratch::new());
        loop {
            match self.parser.next(&buf, &mut at, &mut scratch, &Limits::default())? {
                Parsed::Command(command) => {
                    self.found.push(scratch.args(&buf, &command).iter().map(<[u8]>::to_vec).collect());
                }
                Parsed::Incomplete { keep, .. } => {
                    self.kept = buf[at..keep].to_vec();
                    return Ok(());
                }
            }
        }
    }
}

fn encode(commands: &Commands) -> Vec<u8> {
    let mut out = Out::new();
    for args in commands {
        out.array(args.len());
        args.iter().for_each(|arg| out.bulk(arg));
    }
    out.as_slice().expect("one run").to_vec()
}

/// The commands the decoder finds at the front of `bytes`, up to what it does not take for a command.
fn decoded(mut bytes: &[u8]) -> Commands {
    let mut found = Vec::new();
    while let Ok(Some((Frame2::Array(frames), len))) = decode2(bytes) {
        let args = frames.into_iter().map(|frame| match frame {
            Frame2::BulkString(data) => Some(data),
            _ => None,
        });
        let Some(args) = args.collect::<Option<Vec<_>>>() else { break };
        found.push(args);
        bytes = &bytes[len..];
    }
    found
}

fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        2 => "[a-z*$\r\n0-9\"' ]{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 90..120),
    ]
}

fn command_list() -> impl Strategy<Value = Commands> {
    prop::collection::vec(prop::collection::vec(argument(), 1..14), 1..5)
}

/// Commands as a pipeline has them: few names, and arguments of few lengths.
fn pipeline() -> impl Strategy<Value = Commands> {
    let lengths =
        prop::collection::vec(prop::sample::select(&[0, 1, 3, 9, 16, 99, 100, 999, 1000][..]), 0..5);
    let shapes =
        prop::collection::vec((prop::sample::select(&["GET", "INCR", "XREADGROUP"][..]), lengths), 1..3);
    (shapes, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24)).prop_map(
        |(shapes, commands)| {
            let command = |(shape, seed): &(prop::sample::Index, u8)| {
                let (name, lengths) = shape.get(&shapes);
                let byte = |at: usize| b"\r\n$*0123456789abc"[(at * 7 + usize::from(*seed)) % 17];
                let args = lengths.iter().map(|&length| (0..length).map(byte).collect());
                [name.as_bytes().to_vec()].into_iter().chain(args).collect()
            };
            commands.iter().map(command).collect()
        },
    )
}

/// Changes bytes, puts some in or takes some out.
fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for (place, kind, byte) in damage {
        let place = place.index(bytes.len());
        match kind {
            0 => bytes[place] = *byte,
            1 => bytes[place] = b"0123456789-+ $*\r\n\"'"[usize::from(*byte) % 19],
            2 => bytes.insert(place, *byte),
            _ if bytes.len() > 1 => drop(bytes.remove(place)),
            _ => {}
        }
    }
    bytes
}

/// Where, how and with what bytes are changed.
type Damage = (prop::sample::Index, u8, u8);

fn damage(times: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), times)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_read_before_does_not_matter(commands in pipeline(), damage in damage(0..3)) {
        let bytes = damaged(encode(&commands), &damage);
        let (mut whole, mut trickle) = (Connection::default(), Connection::default());
        let ended = whole.receive(&bytes);
        // A byte at a time: each look begins with nothing known.
        let trickle_ended = bytes.iter().try_for_each(|byte| trickle.receive(&[*byte]));
        prop_assert!(!damage.is_empty() || whole.found == commands);
        prop_assert_eq!(whole.found, trickle.found);
        prop_assert_eq!(ended, trickle_ended);
    }

    #[test]
    fn commands_are_read_as_they_were_written(commands in command_list()) {
        let bytes = encode(&commands);
        prop_assert_eq!(&decoded(&bytes), &commands);
        let mut whole = Connection::default();
        prop_assert_eq!(whole.receive(&bytes), Ok(()));
        prop_assert_eq!(&whole.found, &commands);
        prop_assert!(whole.kept.is_empty() && !whole.parser.is_pending());
    }

    #[test]
    fn any_split_gives_the_same_commands(commands in command_list()) {
        let bytes = encode(&commands);
        for cut in 0..=bytes.len() {
            let mut halves = Connection::default();
            prop_assert_eq!(halves.receive(&bytes[..cut]), Ok(()));
            prop_assert_eq!(&halves.found, &decoded(&bytes[..cut]));
            prop_assert_eq!(halves.receive(&bytes[cut..]), Ok(()));
            prop_assert_eq!(&halves.found, &commands);
        }
        let mut trickle = Connection::default();
        for byte in &bytes {
            prop_assert_eq!(trickle.receive(&[*byte]), Ok(()));
        }
        prop_assert_eq!(&trickle.found, &commands);
    }

    #[test]
    fn damaged_input_never_panics_and_splits_do_not_matter(
        commands in command_list(),
        damage in damage(1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = damaged(encode(&commands), &damage);
        let mut whole = Connection::default();
        let ended = whole.receive(&bytes);
        let mut halves = Connection::default();
        let cut = cut.index(bytes.len());
        let halves_ended = halves.receive(&bytes[..cut]).and_then(|()| halves.receive(&bytes[cut..]));
        prop_assert_eq!(&halves.found, &whole.found);
        prop_assert_eq!(halves_ended, ended);
        // Commands found before the first one either side judges alone are the same.
        let canonical = |bytes: &[u8], args: &Vec<Vec<u8>>| bytes.starts_with(&encode(&vec![args.clone()]));
        let mut rest = &bytes[..];
        for (ours, theirs) in whole.found.iter().zip(decoded(&bytes)) {
            if !canonical(rest, ours) || !canonical(rest, &theirs) {
                break;
            }
            prop_assert_eq!(ours, &theirs);
            rest = &rest[encode(&vec![theirs]).len()..];
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(prop_oneof![
        any::<u8>(),
        prop::sample::select(&b"*$\r\n0123456789-\"'\\x"[..]),
    ], 0..80)) {
        let (mut whole, mut trickle) = (Connection::default(), Connection::default());
        let ended = whole.receive(&bytes);
        let trickle_ended = bytes.iter().try_for_each(|byte| trickle.receive(&[*byte]));
        prop_assert_eq!(whole.found, trickle.found);
        prop_assert_eq!(ended, trickle_ended);
    }
}

/// A reply, as a tree.
#[derive(Clone, Debug)]
enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    Bool(bool),
    Double(f64),
    Big(i128),
    Verbatim(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(i64, Value)>),
    Deferred(Vec<Value>),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[A-Za-z ]{0,12}".prop_map(Value::Simple),
        "[A-Z]{3} [A-Za-z ]{0,12}".prop_map(Value::Error),
        any::<i64>().prop_map(Value::Int),
        (0i64..200).prop_map(Value::Int),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_filter("a number", |double| !double.is_nan()).prop_map(Value::Double),
        any::<i128>().prop_map(Value::Big),
        "[a-z]{0,20}".prop_map(|text| Value::Verbatim(text.into_bytes())),
    ];
    leaf.prop_recursive(3, 40, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::Array),
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::Deferred),
            prop::collection::btree_map(any::<i64>(), inner, 0..12)
                .prop_map(|map| Value::Map(map.into_iter().collect())),
        ]
    })
}

fn write(out: &mut Out, value: &Value) {
    match value {
        Value::Simple(text) => out.simple(text),
        Value::Error(text) => out.error(text),
        Value::Int(int) => out.int(*int),
        Value::Bulk(data) => out.bulk(data),
        Value::Null => out.null(),
        Value::Bool(bool) => out.boolean(*bool),
        Value::Double(double) => out.double(*double),
        Value::Big(big) => out.big_number(&big.to_string()),
        Value::Verbatim(data) => out.verbatim("txt", data),
        Value::Array(values) => {
            out.array(values.len());
            values.iter().for_each(|value| write(out, value));
        }
        Value::Deferred(values) => {
            let deferred = out.deferred_array();
            values.iter().for_each(|value| write(out, value));
            out.finish(deferred, values.len());
        }
        Value::Map(pairs) => {
            out.map(pairs.len());
            for (key, value) in pairs {
                out.int(*key);
                write(out, value);
            }
        }
    }
}

fn agrees2(value: &Value, frame: &Frame2) -> bool {
    match (value, frame) {
        (Value::Simple(text), Frame2::SimpleString(got)) => text.as_bytes() == got,
        (Value::Error(text), Frame2::Error(got)) => text == got,
        (Value::Int(int), Frame2::Integer(got)) => int == got,
        (Value::Bulk(data) | Value::Verbatim(data), Frame2::BulkString(got)) => data == got,
        (Value::Null, Frame2::Null) => true,
        (Value::Bool(bool), Frame2::Integer(got)) => i64::from(*bool) == *got,
        (Value::Double(double), Frame2::BulkString(got)) => {
            std::str::from_utf8(got).is_ok_and(|text| text.parse() == Ok(*double))
        }
        (Value::Big(big), Frame2::BulkString(got)) => big.to_string().as_bytes() == got,
        (Value::Array(values) | Value::Deferred(values), Frame2::Array(got)) => {
            values.len() == got.len() && values.iter().zip(got).all(|(value, got)| agrees2(value, got))
        }
        (Value::Map(pairs), Frame2::Array(got)) => {
            pairs.len() * 2 == got.len()
                && pairs
                    .iter()
                    .zip(got.chunks(2))
                    .all(|((key, value), got)| agrees2(&Value::Int(*key), &got[0]) && agrees2(value, &got[1]))
        }
        _ => false,
    }
}

fn agrees3(value: &Value, frame: &Frame3) -> bool {
    match (value, frame) {
        (Value::Simple(text), Frame3::SimpleString { data, .. }) => text.as_bytes() == data,
        (Value::Error(text), Frame3::SimpleError { data, .. }) => text == data,
        (Value::Int(int), Frame3::Number { data, .. }) => int == data,
        (Value::Bulk(bulk), Frame3::BlobString { data, .. }) => bulk == data,
        (Value::Verbatim(text), Frame3::VerbatimString { data, .. }) => text == data,
        (Value::Null, Frame3::Null) => true,
        (Value::Bool(bool), Frame3::Boolean { data, .. }) => bool == data,
        (Value::Double(double), Frame3::Double { data, .. }) => double == data,
        (Value::Big(big), Frame3::BigNumber { data, .. }) => big.to_string().as_bytes() == data,
        (Value::Array(values) | Value::Deferred(values), Frame3::Array { data, .. }) => {
            values.len() == data.len() && values.iter().zip(data).all(|(value, got)| agrees3(value, got))
        }
        (Value::Map(pairs), Frame3::Map { data, .. }) => {
            pairs.len() == data.len()
                && pairs.iter().all(|(key, value)| {
                    let key = Frame3::Number { data: *key, attributes: None };
                    data.get(&key).is_some_and(|got| agrees3(value, got))
                })
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn replies_decode_to_what_was_written(value in value()) {
        let mut out = Out::new();
        write(&mut out, &value);
        let bytes = out.as_slice().expect("one run");
        let (frame, len) = decode2(bytes).expect("valid").expect("complete");
        prop_assert_eq!(len, bytes.len());
        prop_assert!(agrees2(&value, &frame), "{frame:?}");

        out.clear();
        out.set_proto(Proto::Resp3);
        write(&mut out, &value);
        let bytes = out.as_slice().expect("one run");
        let (frame, len) = decode3(bytes).expect("valid").expect("complete");
        prop_assert_eq!(len, bytes.len());
        prop_assert!(agrees3(&value, &frame), "{frame:?}");
    }
}

/// A connection to a real server, when one was named.
fn reference() -> Option<TcpStream> {
    let address = std::env::var("OCHRE_REFERENCE").ok()?;
    Some(TcpStream::connect(address).expect("the named server answers"))
}

/// Sends `request` and decodes one reply.
fn ask(server: &mut TcpStream, request: &[u8]) -> Frame2 {
    server.write_all(request).expect("sent");
    let mut got = Vec::new();
    let mut piece = [0; 65536];
    loop {
        if let Some((frame, _)) = decode2(&got).expect("valid") {
            return frame;
        }
        let n = server.read(&mut piece).expect("received");
        assert!(n > 0, "closed after {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&piece[..n]);
    }
}

#[test]
fn doubles_are_spelled_as_the_reference_spells_them() {
    let Some(mut server) = reference() else { return };
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..400 {
        let doubles: Vec<f64> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            let bits = seed ^ seed >> 29;
            match round % 4 {
                0 => f64::from_bits(bits),
                1 => (bits % 1_000_000_000) as f64 / 10f64.powi((bits >> 40) as i32 % 14),
                2 => (bits >> 12) as f64 * 2f64.powi((bits % 64) as i32 - 40),
                _ => 10f64.powi((bits >> 20) as i32 % 640 - 320) * (bits % 1000) as f64,
            }
        })
        .filter(|double| double.is_finite())
        .take(500)
        .collect();
        let script =
            "server.setresp(3) local r={} for i=1,#ARGV do r[i]={double=tonumber(ARGV[i])} end return r";
        let mut args = vec![b"EVAL".to_vec(), script.into(), b"0".to_vec()];
        args.extend(doubles.iter().map(|double| format!("{double:e}").into_bytes()));
        let Frame2::Array(replies) = ask(&mut server, &encode(&vec![args])) else { panic!("an array") };
        for (double, reply) in doubles.iter().zip(replies) {
            let mut text = Vec::new();
            format_double(*double, &mut text);
            assert_eq!(Frame2::BulkString(text), reply, "{double:e}");
        }
    }
}

#[test]
fn inline_words_are_split_as_the_reference_splits_them() {
    const BYTES: &[u8] = b"ab\"\"\"'''\\\\xx4F  \t\r\x0b\x0c\xffnq";
    let Some(mut server) = reference() else { return };
    let mut seed = 7u64;
    for _ in 0..20_000 {
        let mut line = b"EVAL 'return ARGV' 0 ".to_vec();
        for _ in 0..(seed >> 33) % 12 {
            seed = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            line.push(BYTES[(seed >> 40) as usize % BYTES.len()]);
        }
        seed = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        line.extend_from_slice(b"\r\n");
        let mut ours = Connection::default();
        let reply = ask(&mut server, &line);
        match ours.receive(&line) {
            Ok(()) => {
                let words = ours.found[0][3..].iter().cloned().map(Frame2::BulkString).collect();
                assert_eq!(Frame2::Array(words), reply, "{:?}", String::from_utf8_lossy(&line));
            }
            Err(error) => {
                let text = String::from_utf8_lossy(&error.text()).into_owned();
                assert_eq!(Frame2::Error(text), reply, "{:?}", String::from_utf8_lossy(&line));
                server = reference().expect("named above");
            }
        }
    }
}
