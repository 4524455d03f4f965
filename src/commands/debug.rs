//! DEBUG.
//!
//! For: looking behind the scenes, and making happen what tests need to see. May touch: what `Cx` carries;
//! all shards, which are held exclusively.
//! Always: allowed only as `enable-debug-command` says. A subcommand that would have to pretend is absent:
//! what is not listed here is answered as unknown. The exceptions are [`without_effect`] and
//! [`reply_buffer`].

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::help::write_help;
use super::{config, debug_value};
use crate::command::{Command, Cx, Flags, Group, Handler, Locks, Outcome, cmd, int};
use crate::config::memory;
use crate::fault::Fault;
use crate::keyspace::table::TableStats;
use crate::keyspace::{Deadline, NewValue};
use crate::resp::{Args, Out, Proto};
use crate::value::collection::AnyRef;
use crate::value::hash::{Hash, HashRef};
use crate::value::set::{Set, SetRef};

/// The rows of this family. DEBUG has no rows for its subcommands: in COMMAND it is one command.
pub const ROWS: &[Command] = &[cmd("DEBUG", debug)
    .arity(-2)
    .flags(
        Flags::ADMIN
            .union(Flags::NO_SCRIPT)
            .union(Flags::LOADING)
            .union(Flags::STALE)
            .union(Flags::PROTECTED),
    )
    .internal()
    .locks(Locks::All)
    .group(Group::Server)
    .since("1.0.0")
    .cost("Depends on subcommand.")
    .doc("A container for commands that help developers.", "")];

/// Keys that POPULATE makes at most.
const MOST_POPULATED: i64 = 100_000_000;
/// Bytes of a value of POPULATE, at most.
const MOST_BYTES: i64 = 512 << 20;
/// The largest QUICKLIST-PACKED-THRESHOLD.
const MOST_THRESHOLD: u64 = (1 << 32) - (1 << 20);
/// Seconds that SLEEP sleeps at most.
const MOST_SLEEP_S: f64 = 24.0 * 3600.0;
/// SLEEP looks this often whether the server ends.
const SLEEP_SLICE_MS: u64 = 50;
/// Characters of a number of seconds that are looked at.
const MOST_DIGITS: usize = 64;

/// A subcommand, and how many arguments it takes, all counted.
struct Sub {
    name: &'static str,
    least: usize,
    most: usize,
    run: Handler,
}

const fn sub(name: &'static str, least: usize, most: usize, run: Handler) -> Sub {
    Sub { name, least, most, run }
}

const SUBS: &[Sub] = &[
    sub("ASSERT", 2, 2, crash_assert),
    sub("CHANGE-REPL-ID", 2, 2, without_effect),
    sub("CONFIG-REWRITE-FORCE-ALL", 2, 2, rewrite_all),
    sub("DICT-RESIZING", 3, 3, without_effect),
    sub("DIGEST", 2, 2, debug_value::digest),
    sub("DIGEST-VALUE", 2, usize::MAX, debug_value::digest_value),
    sub("ERROR", 3, 3, error),
    sub("HELP", 2, 2, help),
    sub("HTSTATS", 3, 4, htstats),
    sub("HTSTATS-KEY", 3, 4, htstats_key),
    sub("LISTPACK", 3, 3, debug_value::listpack),
    sub("LOG", 3, 3, log),
    sub("OBJECT", 3, 4, debug_value::object),
    sub("PANIC", 2, 2, crash_panic),
    sub("PAUSE-CRON", 3, 3, pause_cron),
    sub("POPULATE", 3, 5, populate),
    sub("PROTOCOL", 3, 3, protocol),
    sub("QUICKLIST-PACKED-THRESHOLD", 3, 3, packed_threshold),
    sub("REPLYBUFFER", 4, 4, reply_buffer),
    sub("SDSLEN", 3, 3, debug_value::sdslen),
    sub("SEGFAULT", 2, 2, crash_segfault),
    sub("SET-ACTIVE-EXPIRE", 3, 3, set_active_expire),
    sub("SET-DISABLE-DENY-SCRIPTS", 3, 3, allow_in_scripts),
    sub("SET-SKIP-CHECKSUM-VALIDATION", 3, 3, without_effect),
    sub("SLEEP", 3, 3, sleep),
];

const HELP: &[&str] = &[
    "ASSERT | PANIC | SEGFAULT",
    "    Ends the process as a crash of that sort would.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    As CONFIG REWRITE, with every setting, defaults as well.",
    "DIGEST",
    "    Returns a digest of all data: equal for equal data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Returns a digest of each key's value.",
    "CHANGE-REPL-ID, DICT-RESIZING | SET-SKIP-CHECKSUM-VALIDATION <0|1>,",
    "REPLYBUFFER <PEAK-RESET-TIME <NEVER|RESET|milliseconds> | RESIZING <0|1>>",
    "    Accepted without effect: there is nothing to switch.",
    "ERROR <text>",
    "    Returns that text as an error.",
    "HTSTATS <database> [full]",
    "    Returns figures of the tables of a database.",
    "HTSTATS-KEY <key> [full]",
    "    The same of a set or hash that is kept in a table.",
    "LISTPACK <key>",
    "    Writes the elements of a small collection into the server's log.",
    "LOG <text>",
    "    Writes a line into the server's log.",
    "OBJECT <key> [fast]",
    "    Tells how a key's value is kept; without its serialized length if fast.",
    "PAUSE-CRON <0|1>",
    "    Stops what only time asks for: idle and slow clients stay, nothing is sampled.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Creates keys named prefix:number (key:number) that do not exist yet.",
    "PROTOCOL <type>",
    "    Returns an example of a type: string, integer, double, bignum, null, array,",
    "    set, map, attrib, push, verbatim, true, false.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Gives elements of lists from that size on a node of their own; 0: those longer than",
    "    a node, the default.",
    "SDSLEN <key>",
    "    Tells the lengths of a key and its string, and what was allocated for them.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Makes keys stay until somebody looks at them, or leave on time (the default).",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Lets scripts call commands that are forbidden to them, but for those that act on",
    "    the connection or on scripts.",
    "SLEEP <seconds>",
    "    Stops the server for that time.",
];

fn debug(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let name = args.get(1);
    let fits = |sub: &&Sub| {
        name.eq_ignore_ascii_case(sub.name.as_bytes()) && (sub.least..=sub.most).contains(&args.len())
    };
    match SUBS.iter().find(fits) {
        Some(sub) => (sub.run)(cx, args),
        None => Err(Fault::debug_subcommand(name)),
    }
}

/// Switches of machinery that Ochre has no counterpart of: tables split one segment at a time and have no
/// resizing to hold back, there are no payloads yet whose checksum would be looked at, and nobody knows this
/// server's data by a replication identifier. Test suites turn them on their way to something else.
fn without_effect(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Replies have no buffers that shrink by and by; what a suite may say of them is all that is looked at.
fn reply_buffer(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let is = |at: usize, word: &[u8]| args.get(at).eq_ignore_ascii_case(word);
    if is(2, b"PEAK-RESET-TIME") {
        if !is(3, b"NEVER") && !is(3, b"RESET") {
            int(args.get(3))?;
        }
    } else if !is(2, b"RESIZING") {
        return Err(Fault::debug_subcommand(args.get(1)));
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn pause_cron(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.is_house_paused.store(is_on(args.get(2)), Relaxed);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn packed_threshold(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let bytes =
        memory(args.get(2)).filter(|bytes| *bytes <= MOST_THRESHOLD).ok_or(Fault::PACKED_THRESHOLD)?;
    let mut settings = cx.settings.clone();
    settings.set_packed_threshold(u32::try_from(bytes).ok().filter(|bytes| *bytes > 0));
    cx.host.reconfigure(settings);
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Whether a switch is turned on: by any number but 0.
fn is_on(arg: &[u8]) -> bool {
    int(arg).is_ok_and(|switch| switch != 0)
}

fn crash_assert(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    report("=== ASSERTION FAILED ===", "DEBUG ASSERT");
    cx.host.end_broken()
}

fn crash_panic(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    report("------------------------------------------------", "Guru Meditation: DEBUG PANIC");
    cx.host.end_broken()
}

fn crash_segfault(_: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    use rustix::process::{Signal, getpid, kill_process};
    report("Ochre crashed by signal: 11", "DEBUG SEGFAULT");
    if kill_process(getpid(), Signal::SEGV).is_err() {
        tracing::error!("the signal could not be sent");
    }
    // The signal may be caught, or come late.
    std::process::abort()
}

fn report(sort: &str, reason: &str) {
    tracing::error!("=== OCHRE BUG REPORT START: ===");
    tracing::error!("{sort}");
    tracing::error!("{reason}");
}

fn rewrite_all(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    config::write_settings(cx, true)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Only says that it failed: the error counts nowhere.
fn error(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.error(args.get(2));
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "DEBUG", HELP);
    Ok(Outcome::Done)
}

fn htstats(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let index = usize::try_from(int(args.get(2))?).ok().filter(|index| *index < cx.db.space().databases);
    let index = index.ok_or(Fault::DEBUG_DB)?;
    let (mut sum, mut deadlines) = (TableStats::default(), 0);
    cx.db.each_shard(0, |_, shard, _| {
        if let Some(keys) = shard.keys(index) {
            add(&mut sum, keys.table.stats());
            deadlines += keys.tally.deadlines as usize;
        }
        true
    });
    let is_full = args.opt(3).is_some_and(|arg| arg.eq_ignore_ascii_case(b"full"));
    cx.out.verbatim("txt", figures(&sum, deadlines, is_full).as_bytes());
    Ok(Outcome::Done)
}

fn add(sum: &mut TableStats, stats: TableStats) {
    sum.entries += stats.entries;
    sum.directory += stats.directory;
    sum.segments += stats.segments;
    sum.buckets += stats.buckets;
    sum.slots += stats.slots;
    sum.displaced += stats.displaced;
    sum.spilled += stats.spilled;
}

/// The tables of all shards as one: it is told in the words that tools know.
fn figures(sum: &TableStats, deadlines: usize, is_full: bool) -> String {
    let mut text = String::from("[Dictionary HT]\n");
    if sum.entries > 0 {
        text += &table_figures(sum.slots, sum.entries);
        if is_full {
            text += &format!(" segments: {}\n directory words: {}\n", sum.segments, sum.directory);
            text += &format!(" buckets: {}\n displaced entries: {}\n", sum.buckets, sum.displaced);
            text += &format!(" spilled entries: {}\n", sum.spilled);
        }
    }
    text += "[Expires HT]\n";
    if deadlines > 0 {
        text += &table_figures(deadlines, deadlines);
    }
    text
}

fn htstats_key(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let entry = cx.db.peek(args.get(2)).ok_or(Fault::NO_SUCH_KEY)?;
    let (slots, entries) = entry.collection().and_then(table_of).ok_or(Fault::NO_HASH_TABLE)?;
    cx.out.verbatim("txt", table_figures(slots, entries).as_bytes());
    Ok(Outcome::Done)
}

/// Places and entries of the table in which a large set or hash is kept.
fn table_of(collection: AnyRef<'_>) -> Option<(usize, usize)> {
    match (collection.to::<Set>(), collection.to::<Hash>()) {
        (Some(SetRef::Large(members)), _) => Some((members.capacity(), members.len())),
        (_, Some(HashRef::Large(fields))) => Some((fields.capacity(), fields.len())),
        _ => None,
    }
}

/// One table, in the words that tools know.
fn table_figures(slots: usize, entries: usize) -> String {
    format!(
        "Hash table 0 stats (main hash table):\n table size: {slots}\n number of entries: {entries}\n \
         number of elements: {entries}\n rehashing index: -1\n"
    )
}

fn log(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let text = String::from_utf8_lossy(args.get(2)).replace(['\r', '\n'], " ");
    tracing::warn!("DEBUG LOG: {text}");
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Makes the keys that are missing. They count as no change, and nobody is told, as in Redis.
fn populate(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let number = |arg: &[u8], most| match int(arg) {
        Ok(number) if (0..=most).contains(&number) => Ok(number as usize),
        Ok(number) if number > most => Err(Fault::NOT_AN_INTEGER),
        _ => Err(Fault::NOT_POSITIVE),
    };
    let count = number(args.get(2), MOST_POPULATED)?;
    let prefix = args.opt(3).unwrap_or(b"key");
    let size = args.opt(4).map_or(Ok(0), |arg| number(arg, MOST_BYTES))?;
    for index in 0..count {
        let key = [prefix, format!(":{index}").as_bytes()].concat();
        let mut value = format!("value:{index}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        let mut write = cx.db.open(&key);
        if !write.exists() {
            write.set(NewValue::Bytes(&value), Deadline::Clear);
            write.commit_silently();
        }
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

#[allow(clippy::approx_constant)] // The example others give.
fn protocol(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    const BEHIND_ATTRIBUTE: &[u8] = b"Some real reply following the attribute";
    const BEFORE_PUSH: &[u8] = b"Some real reply following the push reply";
    let out = &mut *cx.out;
    let is_resp3 = out.proto() == Proto::Resp3;
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double(3.141),
        b"null" => out.null(),
        b"array" => three(out, Out::array, |out, n| out.int(n)),
        b"set" => three(out, Out::set, |out, n| out.int(n)),
        b"map" => three(out, Out::map, |out, n| {
            out.int(n);
            out.boolean(n == 1);
        }),
        b"attrib" => {
            if is_resp3 {
                out.attribute(1);
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(BEHIND_ATTRIBUTE);
        }
        b"push" if !is_resp3 => return Err(Fault::NEEDS_RESP3),
        b"push" => {
            out.bulk(BEFORE_PUSH);
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
        }
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        _ => return Err(Fault::PROTOCOL_TYPE),
    }
    Ok(Outcome::Done)
}

fn three(out: &mut Out, head: fn(&mut Out, usize), item: fn(&mut Out, i64)) {
    head(out, 3);
    (0..3).for_each(|n| item(out, n));
}

fn set_active_expire(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let space = cx.db.space();
    let is_on = is_on(args.get(2));
    space.active_expiry.store(is_on, Relaxed);
    if is_on {
        space.poke_all();
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn allow_in_scripts(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.scripts.may_call_more.store(is_on(args.get(2)), Relaxed);
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Sleeps with everything held, which is what it is for: the server stands still.
fn sleep(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let length = Duration::from_secs_f64(seconds(args.get(2)));
    let (ticks, start) = (&cx.host.ticks, cx.host.ticks.now());
    while !cx.host.stopping.load(Relaxed) {
        let slept = Duration::from_nanos(ticks.nanos_between(start, ticks.now()));
        let Some(left) = length.checked_sub(slept).filter(|left| !left.is_zero()) else { break };
        std::thread::sleep(left.min(Duration::from_millis(SLEEP_SLICE_MS)));
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

/// The number that a text begins with, between 0 and [`MOST_SLEEP_S`]; 0 if it begins with none.
fn seconds(text: &[u8]) -> f64 {
    let text = &text[..text.len().min(MOST_DIGITS)];
    let number = |end: usize| std::str::from_utf8(&text[..end]).ok()?.parse::<f64>().ok();
    let number = (1..=text.len()).rev().find_map(number).unwrap_or(0.0);
    if number.is_nan() { 0.0 } else { number.clamp(0.0, MOST_SLEEP_S) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_sleep_is_what_the_text_begins_with() {
        for (text, expected) in [
            ("0.01", 0.01),
            ("1x", 1.0),
            ("x", 0.0),
            ("", 0.0),
            ("-1", 0.0),
            ("nan", 0.0),
            ("1e99", MOST_SLEEP_S),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn subcommands_have_one_place_each_in_order() {
        assert!(SUBS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn an_empty_table_has_no_figures() {
        let none = figures(&TableStats::default(), 0, true);
        assert_eq!(none, "[Dictionary HT]\n[Expires HT]\n");
        let some = TableStats { entries: 3, slots: 14, ..TableStats::default() };
        let text = figures(&some, 2, false);
        assert!(text.contains(" table size: 14\n number of entries: 3\n"));
        assert!(text.ends_with(" number of elements: 2\n rehashing index: -1\n"));
    }
}
