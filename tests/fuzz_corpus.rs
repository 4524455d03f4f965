//! The fuzz targets' harness on inputs that are kept: the committed corpus, and the transcripts as requests.
//!
//! For: keeping what fuzzing has found, without a fuzzer. May touch: fuzz/harness, files.
//! Always: bounded: every input once.

// The harness and the other tests each include `support/node.rs`.
#![allow(clippy::duplicate_mod)]

#[path = "../fuzz/harness/mod.rs"]
mod harness;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use support::transcript::{Action, Transcript};
use support::words;

/// The `.bin` files of a target's corpus, with their names, in order.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    files(&format!("fuzz/corpus/{target}"), "bin")
}

fn files(folder: &str, extension: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = std::fs::read_dir(&folder).expect("the folder is there").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("it is readable")))
        .collect();
    files.sort();
    files
}

/// Runs all inputs and names the first that fails.
fn replay(inputs: &[(String, Vec<u8>)], mut run: impl FnMut(&[u8])) {
    assert!(!inputs.is_empty());
    for (name, input) in inputs {
        let ran = catch_unwind(AssertUnwindSafe(|| run(input)));
        assert!(ran.is_ok(), "{name} fails:\n{}", input.escape_ascii());
    }
}

#[test]
fn the_parser_reads_the_corpus_alike_however_it_is_cut() {
    replay(&corpus("parse"), harness::parse::run);
}

#[test]
fn commands_of_the_corpus_keep_every_invariant() {
    let mut bench = harness::commands::Bench::default();
    replay(&corpus("commands"), |input| bench.run(input));
}

#[test]
fn what_transcripts_do_is_propagated_whole() {
    let mut inputs = Vec::new();
    for (name, text) in files("tests/transcripts", "txt") {
        let transcript = Transcript::parse(&String::from_utf8_lossy(&text)).expect("it is a transcript");
        for section in &transcript.sections {
            let mut input = if section.resp3 { b"HELLO 3\n".to_vec() } else { Vec::new() };
            for step in &section.steps {
                if let Action::Call { args, .. } | Action::Send(args) = &step.action {
                    let words: Vec<String> = args.iter().map(|arg| words::quote(arg)).collect();
                    input.extend_from_slice(words.join(" ").as_bytes());
                    input.push(b'\n');
                }
            }
            inputs.push((format!("{name}: {}", section.title), input));
        }
    }
    let mut bench = harness::commands::Bench::default();
    replay(&inputs, |input| bench.run(input));
}

#[test]
fn the_harness_tells_replies_from_other_bytes() {
    use harness::reply::{Forms, read};
    let resp2 = Forms { resp2: true, resp3: false };
    let resp3 = Forms { resp2: false, resp3: true };
    let good = read(b"*2\r\n$3\r\na\r\n\r\n:-5\r\n>1\r\n+x\r\n", Forms { resp2: true, resp3: true });
    assert_eq!((good.replies, good.pushes, good.is_error), (1, 1, false));
    assert!(read(b"-ERR x\r\n", resp2).is_error);
    for (bytes, forms) in [
        (&b"$3\r\nab\r\n"[..], resp2),
        (b"$-1\r\n", resp3),
        (b"_\r\n", resp2),
        (b"*2\r\n:1\r\n", resp2),
        (b"+a\nb\r\n", resp2),
        (b":1x\r\n", resp2),
        (b",1.5.2\r\n", resp3),
        (b"OK\r\n", resp3),
    ] {
        let objects = catch_unwind(|| read(bytes, forms)).is_err();
        assert!(objects, "{}", bytes.escape_ascii());
    }
}
