//! What is noted about a command that took long or was large.
//!
//! For: the slow log, its two sisters and latency events. May touch: what is observed, and rows.
//! Always: secrets in arguments are replaced before they are noted; the test for "notable" is four
//! comparisons.

use smallvec::SmallVec;

use super::meter::QUICK_BYTES;
use crate::client::Client;
use crate::command::table::Entry;
use crate::command::{Flags, Host};
use crate::config::{self, Directive, Settings};
use crate::observe::slowlog::{Context, Kind};
use crate::resp::Args;

/// What stands for a secret.
pub(super) const REDACTED: &[u8] = b"(redacted)";

/// Nobody asks which of a few commands took that long.
const FAR_FROM_QUICK_NS: u64 = 100_000;

/// From where on a command is notable; `u64::MAX` is never.
#[derive(Clone, Copy)]
pub(super) struct Thresholds {
    slow_ns: u64,
    spike_ns: u64,
    /// The lower of both.
    notable_ns: u64,
    request_bytes: u64,
    reply_bytes: u64,
    /// Most entries of each log.
    most: [usize; 3],
}

/// What one command took.
#[derive(Clone, Copy)]
pub(super) struct Took {
    /// Nanoseconds.
    pub(super) nanos: u64,
    /// Bytes of its request on the wire.
    pub(super) request_bytes: u64,
    /// Bytes of its reply on the wire.
    pub(super) reply_bytes: u64,
}

impl Thresholds {
    pub(super) fn of(settings: &Settings) -> Thresholds {
        let from = |directive, unit: u64| match settings.int(directive) {
            negative if negative < 0 => u64::MAX,
            limit => (limit as u64).saturating_mul(unit),
        };
        let most = [
            Directive::SlowlogMaxLen,
            Directive::CommandlogLargeRequestMaxLen,
            Directive::CommandlogLargeReplyMaxLen,
        ];
        let spike_ns = from(Directive::LatencyMonitorThreshold, 1_000_000);
        let spike_ns = if spike_ns == 0 { u64::MAX } else { spike_ns };
        let slow_ns = from(Directive::SlowlogLogSlowerThan, 1000);
        Thresholds {
            slow_ns,
            spike_ns,
            notable_ns: slow_ns.min(spike_ns),
            request_bytes: from(Directive::CommandlogRequestLargerThan, 1),
            reply_bytes: from(Directive::CommandlogReplyLargerThan, 1),
            most: most.map(|directive| settings.int(directive) as usize),
        }
    }

    /// Whether there is anything to note.
    #[inline]
    pub(super) fn passed(&self, took: Took) -> bool {
        (took.nanos >= self.notable_ns)
            | (took.request_bytes >= self.request_bytes)
            | (took.reply_bytes >= self.reply_bytes)
    }

    /// Whether what is notable takes many times as long as any quick command, or is larger.
    #[inline]
    pub(super) fn is_far_from_quick(&self) -> bool {
        (self.notable_ns >= FAR_FROM_QUICK_NS) & (self.request_bytes.min(self.reply_bytes) > QUICK_BYTES)
    }

    /// Notes a command that [`Thresholds::passed`].
    #[cold]
    pub(super) fn note(
        &self,
        host: &Host,
        client: &Client,
        args: Args<'_>,
        entry: &Entry,
        took: Took,
        at_s: u64,
    ) {
        if took.nanos >= self.spike_ns {
            let event = if entry.row.flags.contains(Flags::FAST) { "fast-command" } else { "command" };
            host.observe.latency.note(event, at_s, took.nanos / 1_000_000);
        }
        if entry.row.flags.contains(Flags::SKIP_SLOWLOG) {
            return;
        }
        let logs = [
            (Kind::Slow, took.nanos >= self.slow_ns, took.nanos / 1000),
            (Kind::LargeRequest, took.request_bytes >= self.request_bytes, took.request_bytes),
            (Kind::LargeReply, took.reply_bytes >= self.reply_bytes, took.reply_bytes),
        ];
        let secrets = secrets(entry, &args);
        for (kind, _, value) in logs.into_iter().filter(|(_, notable, _)| *notable) {
            let name = client.labels.lock().name.clone();
            let context = Context { at_s, addr: client.addr.to_string(), name };
            let shown =
                args.iter().enumerate().map(|(at, arg)| if secrets.contains(&at) { REDACTED } else { arg });
            host.observe.slowlog.note(kind, value, shown, context, self.most[kind as usize]);
        }
    }
}

/// Indices of the arguments that must not be told.
pub(super) fn secrets(entry: &Entry, args: &Args<'_>) -> SmallVec<[usize; 4]> {
    let len = args.len();
    let is = |at: usize, word: &str| args.get(at).eq_ignore_ascii_case(word.as_bytes());
    // A renamed command keeps its row.
    match (entry.row.name, entry.full_name.contains('|')) {
        ("AUTH", false) => (1..len).collect(),
        ("SETUSER", true) => (2..len).collect(),
        ("HELLO", false) => match (2..len).find(|&at| is(at, "AUTH")) {
            Some(auth) => (auth + 1..len.min(auth + 3)).collect(),
            None => SmallVec::new(),
        },
        ("SET", true) => (3..len).step_by(2).filter(|&value| is_sensitive(args.get(value - 1))).collect(),
        ("MIGRATE", false) => {
            (6..len).filter(|&at| is(at - 1, "AUTH") || is(at - 1, "AUTH2") || is(at - 2, "AUTH2")).collect()
        }
        _ => SmallVec::new(),
    }
}

/// Whether a directive's value is a secret.
fn is_sensitive(directive: &[u8]) -> bool {
    Directive::named(directive).is_some_and(|d| d.row().flags.contains(config::Flags::SENSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::commands::FAMILIES;
    use crate::resp::OwnedArgs;

    #[track_caller]
    fn check(request: &str, expected: &[usize]) {
        let mut args = OwnedArgs::default();
        request.split(' ').for_each(|word| args.push(word.as_bytes()));
        let table = Table::new(FAMILIES, &[]);
        let Some(entry) = table.find(args.as_args().get(0)) else { return };
        let entry = args.as_args().opt(1).and_then(|sub| table.find_sub(entry, sub)).unwrap_or(entry);
        assert_eq!(secrets(entry, &args.as_args())[..], *expected, "{request}");
    }

    #[test]
    fn passwords_are_secrets() {
        check("AUTH x", &[1]);
        check("AUTH me x", &[1, 2]);
        check("HELLO 3 AUTH me x SETNAME y", &[3, 4]);
        check("HELLO 3 SETNAME y", &[]);
        check("CONFIG SET maxmemory 1 RequirePass x", &[5]);
        check("CONFIG GET requirepass", &[]);
        check("SET k AUTH", &[]);
    }
}
