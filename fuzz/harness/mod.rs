//! What the fuzz targets run and what they check.
//!
//! For: fuzz/fuzz_targets and tests/fuzz_corpus.rs, which replays the committed corpus. May touch: the public
//! API of the crate.
//! Always: a finding is a panic; the same input does the same every time.

pub mod commands;
#[allow(dead_code, reason = "tests use the rest")]
#[path = "../../tests/support/node.rs"]
pub mod node;
pub mod parse;
pub mod reply;
