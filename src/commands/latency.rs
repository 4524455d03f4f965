//! LATENCY: events that took long, and how long commands take.
//!
//! For: reading and emptying what was observed. May touch: what is observed; never the keyspace.
//! Always: events are named in lower case; only RESET takes their names in any case.

use super::help::write_help;
use super::latency_report::{graph, report};
use crate::command::{Command, Cx, Entry, Flags, Group, Handler, Outcome, cmd, container};
use crate::config::Directive;
use crate::fault::Fault;
use crate::observe::histogram::Summary;
use crate::resp::{Args, Out};

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);
const SPECIAL: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// The rows of this file.
pub const ROWS: &[Command] = &[container(
    "LATENCY",
    &[
        sub("DOCTOR", doctor, 2, "2.8.13")
            .doc("Explains in words what was slow and what to do about it.", "")
            .tips(SPECIAL),
        sub("GRAPH", draw, 3, "2.8.13").doc("Draws the spikes of an event.", "event").tips(SPECIAL),
        sub("HELP", help, 2, "2.8.13").flags(ANY_TIME).doc("Describes the subcommands.", ""),
        sub("HISTOGRAM", histogram, -2, "7.0.0")
            .cost("O(N), N commands answered.")
            .doc("Answers how the durations of commands are distributed.", "[command ...]")
            .tips(SPECIAL),
        sub("HISTORY", history, 3, "2.8.13").doc("Answers the spikes of an event.", "event").tips(SPECIAL),
        sub("LATEST", latest, 2, "2.8.13").doc("Answers the latest spike of every event.", "").tips(SPECIAL),
        sub("RESET", reset, -2, "2.8.13")
            .doc("Forgets the spikes of some events, or of all.", "[event ...]")
            .tips(&["request_policy:all_nodes", "response_policy:agg_sum"]),
    ],
)
.group(Group::Server)
.since("2.8.13")
.doc("Commands about slow events and the durations of commands.", "")];

const fn sub(name: &'static str, handler: Handler, arity: i16, since: &'static str) -> Command {
    let flags = Flags::ADMIN.union(Flags::NO_SCRIPT).union(ANY_TIME);
    cmd(name, handler).arity(arity).flags(flags).group(Group::Server).since(since)
}

const HELP: &[&str] = &[
    "DOCTOR",
    "    Explain in words what was slow.",
    "GRAPH <event>",
    "    Draw the spikes of an event.",
    "HISTORY <event>",
    "    Answer the spikes of an event: unix seconds and milliseconds.",
    "LATEST",
    "    Answer for every event the latest spike, the worst one, their sum and their number.",
    "RESET [<event> ...]",
    "    Forget the spikes of these events; of all when none is named.",
    "HISTOGRAM [<command> ...]",
    "    Answer how the durations of these commands are distributed; of all when none is named.",
];

fn doctor(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let threshold_ms = cx.settings.int(Directive::LatencyMonitorThreshold);
    let slow_us = cx.settings.int(Directive::SlowlogLogSlowerThan);
    let text = report(&cx.host.observe.latency.all(), threshold_ms, slow_us);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn draw(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let event = args.get(2);
    let history = cx.host.observe.latency.history(event).ok_or_else(|| Fault::no_samples(event))?;
    let text = graph(&String::from_utf8_lossy(event), &history, cx.db.now_ms() / 1000);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "LATENCY", HELP);
    Ok(Outcome::Done)
}

fn histogram(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let table = &cx.host.table;
    let named: Vec<&Entry> = match args.len() {
        2 => table.entries().iter().filter(|entry| entry.subs.is_empty()).collect(),
        _ => {
            let found = args.from(2).iter().filter_map(|name| table.find_full(name));
            found.flat_map(|entry| std::iter::once(entry).chain(table.subs(entry))).collect()
        }
    };
    let (map, mut written) = (cx.out.deferred_map(), 0);
    for entry in named {
        let durations = cx.host.observe.durations(entry.index);
        if durations.total() > 0 {
            write_durations(entry, &durations, cx.out);
            written += 1;
        }
    }
    cx.out.finish(map, written);
    Ok(Outcome::Done)
}

fn history(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let samples = cx.host.observe.latency.history(args.get(2)).map(|h| h.samples).unwrap_or_default();
    cx.out.array(samples.len());
    for sample in samples {
        cx.out.array(2);
        cx.out.int(sample.at_s as i64);
        cx.out.int(sample.ms as i64);
    }
    Ok(Outcome::Done)
}

fn latest(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let events = cx.host.observe.latency.all();
    cx.out.array(events.len());
    for (event, history) in events {
        let last = history.latest();
        cx.out.array(6);
        cx.out.bulk(event.as_bytes());
        for number in [last.at_s, last.ms, history.max_ms, history.sum_ms, history.count] {
            cx.out.int(number as i64);
        }
    }
    Ok(Outcome::Done)
}

fn reset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let names: Vec<&[u8]> = args.from(2).iter().collect();
    cx.out.int(cx.host.observe.latency.reset(&names) as i64);
    Ok(Outcome::Done)
}

fn write_durations(entry: &Entry, durations: &Summary, out: &mut Out) {
    out.bulk(entry.full_name.as_bytes());
    out.map(2);
    out.bulk(b"calls");
    out.int(durations.total() as i64);
    out.bulk(b"histogram_usec");
    let steps = durations.by_powers_of_two_us();
    out.map(steps.len());
    for (limit_us, calls) in steps {
        out.int(limit_us as i64);
        out.int(calls as i64);
    }
}
