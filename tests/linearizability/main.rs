//! Whether concurrent clients see one order of events.
//!
//! For: the claim that every command, transaction and script happens at one instant between its request and
//! its reply. May touch: sockets.
//! Always: a verdict is a proof (an order was found, or none exists) or says that it is none (the search was
//! cut).
//!
//! Rounds of a few operations by several clients are recorded with the stamps of a common counter: one taken
//! before a request is sent, one after its reply has come. An order of the operations is looked for that
//! respects the stamps and every client's own order, and in which a small model answers what the server
//! answered (Wing and Gong; states already tried are remembered, after Lowe). A round ends with a reading of
//! all keys while nobody else is active, so the next round starts from a known state and each search stays
//! small. In every other round a client sends its operations at once instead of one by one.
//!
//! | file | for |
//! |---|---|
//! | search.rs | the search for an order |
//! | rounds.rs | clients that act and what they saw |
//! | strings.rs | the world of single values: commands of one key and of several, databases, transactions |
//! | lists.rs | the world of lists: blocked clients, transactions, scripts, messages |
//! | wrong.rs, wrong/ | servers that are wrong on purpose and have to be found out |
//!
//! `OCHRE_TEST_SEED` repeats a run's choices (not its timing), `OCHRE_LINEARIZABILITY_ROUNDS` makes it
//! longer.

mod lists;
mod rounds;
mod search;
mod strings;
#[path = "../support/mod.rs"]
mod support;
mod wrong;

use rounds::{ROUNDS, run_rounds, seed, variable};
use search::World;
use support::TestServer;

/// Of so many rounds one may be given up; with more, the test fails for want of proof.
const ROUNDS_PER_UNDECIDED: u64 = 10;

/// Runs rounds against a server, which must be right.
fn prove<W: World>(server: &TestServer, rounds: u64) {
    let rounds = variable("OCHRE_LINEARIZABILITY_ROUNDS").unwrap_or(rounds);
    match run_rounds::<W>(|| server.client(), rounds, seed()) {
        Ok(undecided) => {
            println!("{rounds} rounds, {undecided} undecided");
            assert!(
                undecided <= rounds / ROUNDS_PER_UNDECIDED,
                "{undecided} of {rounds} rounds could not be decided"
            );
        }
        Err((number, history)) => panic!("round {number}: no order explains\n{history}"),
    }
}

/// First as it is, which finds what goes wrong between whole turns, then resting before some locks, which
/// finds what goes wrong between two locks of one command. One after the other: a server given from outside
/// is the same.
#[test]
fn concurrent_clients_see_one_order() {
    for server in [support::server, support::restless_server] {
        let Some(server) = server() else { return };
        prove::<strings::Strings>(&server, ROUNDS);
        // Waits take their time.
        prove::<lists::Lists>(&server, ROUNDS / 3);
    }
}
