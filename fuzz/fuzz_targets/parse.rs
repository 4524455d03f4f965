//! See `harness/parse.rs`.

#![no_main]

#[path = "../harness/parse.rs"]
mod parse;

libfuzzer_sys::fuzz_target!(|input: &[u8]| parse::run(input));
