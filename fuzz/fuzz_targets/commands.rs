//! See `harness/commands.rs`, and for how inputs come about `mutate.rs`.

#![no_main]

#[path = "../harness/commands.rs"]
mod commands;
mod mutate;
#[allow(dead_code, reason = "tests use the rest")]
#[path = "../../tests/support/node.rs"]
mod node;
#[path = "../harness/reply.rs"]
mod reply;

use std::cell::RefCell;

thread_local! {
    static BENCH: RefCell<commands::Bench> = RefCell::default();
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| BENCH.with_borrow_mut(|bench| bench.run(input)));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed)
});
