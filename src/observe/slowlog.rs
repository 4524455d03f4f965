//! The logs of notable commands.
//!
//! For: SLOWLOG and COMMANDLOG: commands that took long, and requests and replies that were large. May touch:
//! nothing.
//! Always: a log has at most as many entries as its limit said when it last grew; arguments are cut when they
//! are noted.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Most arguments an entry keeps; the last one then says how many more there were.
const MOST_ARGS: usize = 32;
/// Most bytes of an argument an entry keeps.
const MOST_ARG_BYTES: usize = 128;

/// Why a command is notable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It took long.
    Slow,
    /// Its request was large.
    LargeRequest,
    /// Its reply was large.
    LargeReply,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Slow, Kind::LargeRequest, Kind::LargeReply];

    /// The wire word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Slow => "slow",
            Kind::LargeRequest => "large-request",
            Kind::LargeReply => "large-reply",
        }
    }
}

/// A notable command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Number of the entry within its log, never used twice.
    pub id: u64,
    /// Unix seconds when it was noted.
    pub at_s: u64,
    /// Microseconds that it took; in the logs of large commands, bytes of its request or reply.
    pub value: u64,
    /// Name and arguments, cut.
    pub args: Vec<Vec<u8>>,
    /// Address of the client.
    pub addr: String,
    /// Name of the client.
    pub name: Vec<u8>,
}

/// What an entry says about its client and its time.
#[derive(Clone, Debug)]
pub struct Context {
    /// Unix seconds.
    pub at_s: u64,
    /// Address of the client.
    pub addr: String,
    /// Name of the client.
    pub name: Vec<u8>,
}

#[derive(Default)]
struct Log {
    next: u64,
    /// Latest first.
    entries: VecDeque<Slow>,
}

/// The logs, one of each kind.
#[derive(Default)]
pub struct SlowLog {
    logs: [Mutex<Log>; 3],
}

impl SlowLog {
    /// Notes a command; `limit` is the most entries that are kept.
    pub fn note<'a>(
        &self,
        kind: Kind,
        value: u64,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        context: Context,
        limit: usize,
    ) {
        let Context { at_s, addr, name } = context;
        let args = keep(args);
        let mut log = self.logs[kind as usize].lock();
        let id = log.next;
        log.next += 1;
        log.entries.push_front(Slow { id, at_s, value, args, addr, name });
        log.entries.truncate(limit);
    }

    /// The latest `count` entries, latest first; all when `None`.
    pub fn latest(&self, kind: Kind, count: Option<usize>) -> Vec<Slow> {
        let log = self.logs[kind as usize].lock();
        log.entries.iter().take(count.unwrap_or(usize::MAX)).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self, kind: Kind) -> usize {
        self.logs[kind as usize].lock().entries.len()
    }

    /// Forgets a log's entries; numbers go on.
    pub fn reset(&self, kind: Kind) {
        self.logs[kind as usize].lock().entries.clear();
    }
}

fn keep<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let count = args.len();
    let keep = if count > MOST_ARGS { MOST_ARGS - 1 } else { count };
    let mut kept: Vec<Vec<u8>> = args.take(keep).map(cut).collect();
    if keep < count {
        kept.push(format!("... ({} more arguments)", count - keep).into_bytes());
    }
    kept
}

fn cut(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= MOST_ARG_BYTES {
        return arg.to_vec();
    }
    let mut kept = arg[..MOST_ARG_BYTES].to_vec();
    kept.extend_from_slice(format!("... ({} more bytes)", arg.len() - MOST_ARG_BYTES).as_bytes());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(log: &SlowLog, kind: Kind, args: &[&[u8]], limit: usize) {
        let context = Context { at_s: 7, addr: "127.0.0.1:1".into(), name: b"me".to_vec() };
        log.note(kind, 5, args.iter().copied(), context, limit);
    }

    #[test]
    fn entries_are_latest_first_and_numbered_per_log_and_limited() {
        let log = SlowLog::default();
        for arg in [b"a", b"b", b"c"] {
            note(&log, Kind::Slow, &[arg], 2);
        }
        note(&log, Kind::LargeReply, &[b"d"], 2);
        let ids = |kind| log.latest(kind, None).iter().map(|e| e.id).collect::<Vec<_>>();
        assert_eq!((ids(Kind::Slow), ids(Kind::LargeReply)), (vec![2, 1], vec![0]));
        assert_eq!(log.latest(Kind::Slow, Some(1))[0].args, [b"c"]);
        assert_eq!(log.len(Kind::LargeRequest), 0);
        log.reset(Kind::Slow);
        note(&log, Kind::Slow, &[b"e"], 0);
        note(&log, Kind::Slow, &[b"f"], 1);
        assert_eq!(ids(Kind::Slow), [4]);
    }

    #[test]
    fn long_arguments_and_long_requests_are_cut() {
        let whole = vec![b'x'; MOST_ARG_BYTES];
        assert_eq!(cut(&whole), whole);
        let longer = [&whole[..], b"y"].concat();
        assert_eq!(cut(&longer), [&whole[..], b"... (1 more bytes)"].concat());
        let args = vec![&b"a"[..]; MOST_ARGS + 1];
        assert_eq!(keep(args[..MOST_ARGS].iter().copied()).len(), MOST_ARGS);
        let kept = keep(args.iter().copied());
        assert_eq!(
            (kept.len(), kept.last().map(Vec::as_slice)),
            (MOST_ARGS, Some(&b"... (2 more arguments)"[..]))
        );
    }
}
