//! The request parser: whatever comes, and however it is cut.
//!
//! An input's first byte chooses the limits, the next two seed where the rest is cut. In the rest, 0xff and a
//! byte `n` stand for `n` KiB of `x`, so that small inputs reach arguments with allocations of their own.

use ochre::clock::Chance;
use ochre::resp::{Limits, Parsed, Parser, ProtocolError, Scratch};

/// What an input expands to, at most.
const MOST_BYTES: usize = 1024 * 1024;
/// A parser may hold this much more than twice what it was sent: what it reserves ahead.
const AHEAD_BYTES: usize = 1024 * 1024 + 64 * 1024;

/// A connection as a worker keeps it.
struct Connection {
    limits: Limits,
    /// Whether big arguments are received straight into their place.
    uses_target: bool,
    parser: Parser,
    kept: Vec<u8>,
    received: usize,
    found: Vec<Vec<Vec<u8>>>,
}

impl Connection {
    fn new(limits: Limits, uses_target: bool) -> Connection {
        Connection {
            limits,
            uses_target,
            parser: Parser::new(),
            kept: Vec::new(),
            received: 0,
            found: Vec::new(),
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        self.received += bytes.len();
        if self.uses_target
            && let Some(target) = self.parser.target()
        {
            let (there, rest) = bytes.split_at(bytes.len().min(target.missing));
            target.data.extend_from_slice(there);
            bytes = rest;
        }
        let mut buf = std::mem::take(&mut self.kept);
        buf.extend_from_slice(bytes);
        let (mut at, mut scratch) = (0, Scratch::new());
        loop {
            let before = at;
            let parsed = self.parser.next(&buf, &mut at, &mut scratch, &self.limits)?;
            assert!(before <= at && at <= buf.len(), "{before} {at} {}", buf.len());
            match parsed {
                Parsed::Command(command) => {
                    let args = scratch.args(&buf, &command);
                    assert!(!args.is_empty() && args.len() == command.len());
                    assert!(at > before || args.size_bytes() > 0, "a command out of nothing");
                    assert!(before <= command.bytes().start && command.bytes().end == at);
                    assert!(
                        args.iter()
                            .all(|arg| arg.len() as u64 <= self.limits.max_bulk.max(MOST_BYTES as u64))
                    );
                    self.found.push(args.iter().map(<[u8]>::to_vec).collect());
                }
                Parsed::Incomplete { keep, need } => {
                    assert!((at..=buf.len()).contains(&keep) && need > 0);
                    self.kept = buf[at..keep].to_vec();
                    let held = self.parser.memory_bytes();
                    assert!(held <= 2 * self.received + AHEAD_BYTES, "{held} bytes for {}", self.received);
                    return Ok(());
                }
            }
        }
    }
}

fn limits(choice: u8) -> Limits {
    let mut limits = Limits { authenticated: choice & 1 == 1, ..Limits::default() };
    if choice & 2 != 0 {
        limits.max_bulk = 40 * 1024;
    }
    if choice & 4 != 0 {
        limits.max_inline = 64;
    }
    if choice & 8 != 0 {
        limits.max_multibulk = 5;
    }
    limits
}

fn expanded(input: &[u8]) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < input.len() && bytes.len() < MOST_BYTES {
        if input[at] == 0xff
            && let Some(&n) = input.get(at + 1)
        {
            bytes.resize(bytes.len() + 1024 * usize::from(n), b'x');
            at += 2;
        } else {
            bytes.push(input[at]);
            at += 1;
        }
    }
    bytes
}

/// Parses the input whole and in pieces.
pub fn run(input: &[u8]) {
    let [choice, seed @ .., _] = input.get(..4).map_or([0; 4], |head| [head[0], head[1], head[2], 0]);
    let bytes = expanded(input.get(3..).unwrap_or(&[]));
    let limits = limits(choice);
    let mut whole = Connection::new(limits, false);
    let ended = whole.receive(&bytes);
    for uses_target in [false, true] {
        let mut chance = Chance::new(u64::from(u16::from_le_bytes(seed)));
        // Pieces of up to that size, those around a command's lines or those around a big argument's blocks.
        let most = [1, 3, 17, 1024, 20_000, 70_000][usize::from(seed[0]) % 6].max(bytes.len() as u64 / 400);
        let mut pieces = Connection::new(limits, uses_target);
        let (mut pieces_ended, mut at) = (Ok(()), 0);
        while at < bytes.len() && pieces_ended.is_ok() {
            let len = (1 + chance.below(most)) as usize;
            let end = bytes.len().min(at + len);
            pieces_ended = pieces.receive(&bytes[at..end]);
            at = end;
        }
        assert_eq!(pieces.found, whole.found);
        assert_eq!(pieces_ended, ended);
    }
}
