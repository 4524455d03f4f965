//! MEMORY.
//!
//! For: telling where memory goes, and giving back what is unused. May touch: what `Cx` carries, the
//! allocator's figures.
//! Always: the figures are [`Figures`], which INFO shows, too; where the process has another allocator (an
//! embedding program's), what is resident stands for what is used.

use std::sync::atomic::Ordering::Relaxed;

use super::help::write_help;
use crate::client::registry::Client;
use crate::command::{Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Locks, Outcome, cmd, container};
use crate::fault::Fault;
use crate::keyspace::Db;
use crate::memory;
use crate::observe::process;
use crate::resp::Args;
use crate::script::functions;

const REPORT_TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];
const PURGE_TIPS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

/// The rows of this family.
pub const ROWS: &[Command] = &[container("MEMORY", MEMORY)
    .group(Group::Server)
    .since("4.0.0")
    .doc("A container for commands about memory.", "")];

const MEMORY: &[Command] = &[
    cmd("DOCTOR", doctor)
        .arity(2)
        .locks(Locks::OneShardAtATime)
        .group(Group::Server)
        .since("4.0.0")
        .cost("O(1)")
        .doc("Tells in words what is remarkable about memory.", "")
        .tips(REPORT_TIPS),
    cmd("HELP", help)
        .arity(2)
        .flags(Flags::LOADING.union(Flags::STALE))
        .group(Group::Server)
        .since("4.0.0")
        .cost("O(1)")
        .doc("Lists the subcommands.", ""),
    cmd("MALLOC-STATS", malloc_stats)
        .arity(2)
        .flags(Flags::LOADING)
        .group(Group::Server)
        .since("4.0.0")
        .cost("Depends on how much memory is allocated, could be slow")
        .doc("Returns the allocator's own report.", "")
        .tips(REPORT_TIPS),
    cmd("PURGE", purge)
        .arity(2)
        .flags(Flags::LOADING)
        .group(Group::Server)
        .since("4.0.0")
        .cost("Depends on how much memory is allocated, could be slow")
        .doc("Gives unused memory back to the system.", "")
        .tips(PURGE_TIPS),
    cmd("STATS", stats)
        .arity(2)
        .locks(Locks::OneShardAtATime)
        .group(Group::Server)
        .since("4.0.0")
        .cost("O(1)")
        .doc("Returns figures about the use of memory.", "")
        .tips(REPORT_TIPS),
    cmd("USAGE", usage)
        .arity(-3)
        .flags(Flags::READONLY)
        .keys(&[KeySpec::one(2, KeyFlags::RO)])
        .group(Group::Server)
        .since("4.0.0")
        .cost("O(N) where N is the number of samples.")
        .doc("Estimates the memory that a key takes.", "key [SAMPLES count]"),
];

const HELP: &[&str] = &[
    "DOCTOR",
    "    Tells in words what is remarkable about memory.",
    "MALLOC-STATS",
    "    Returns the allocator's own report.",
    "PURGE",
    "    Gives unused memory back to the system.",
    "STATS",
    "    Returns figures about the use of memory.",
    "USAGE <key> [SAMPLES <count>]",
    "    Estimates the bytes that <key> and its value take. Of a collection, <count>",
    "    elements are measured (5 by default, 0 for all).",
];

/// A key's part of the bucket it stands in: a cache line for seven.
const BUCKET_SHARE_BYTES: usize = 64_usize.div_ceil(7);

/// Below this the doctor has nothing to say.
const SMALL_BYTES: usize = 5 << 20;
/// A peak so many times what is in use now is worth a word.
const HIGH_PEAK: f64 = 1.5;
/// So many times more resident than in use is worth a word, if it is as many bytes more, too.
const HIGH_FRAGMENTATION: f64 = 1.4;
const MUCH_FRAGMENTED_BYTES: isize = 10 << 20;
/// Mean buffers of a client that are worth a word.
const LARGE_CLIENT_BYTES: usize = 200_000;

fn doctor(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let clients = cx.host.clients.count();
    let findings = findings(&Figures::of(cx), clients);
    cx.out.verbatim("txt", findings.as_bytes());
    Ok(Outcome::Done)
}

fn findings(figures: &Figures, clients: usize) -> String {
    if figures.used < SMALL_BYTES {
        return "The server uses so little memory that there is nothing to diagnose.\n".to_string();
    }
    let mut found = Vec::new();
    if figures.peak as f64 > figures.used as f64 * HIGH_PEAK {
        found.push(
            "Peak: at some time the server used far more memory than now. What is resident may stay \
             high until the allocator can give it back; MEMORY PURGE asks it to.",
        );
    }
    if figures.fragmentation() > HIGH_FRAGMENTATION && figures.fragmentation_bytes() > MUCH_FRAGMENTED_BYTES {
        found.push(
            "Fragmentation: much more memory is resident than in use. This follows from values that were \
             deleted or changed in size, and shrinks as memory is used again.",
        );
    }
    if figures.clients / clients.max(1) > LARGE_CLIENT_BYTES {
        found.push(
            "Clients: their buffers are large on average. A client that reads its replies slowly, or sends \
             large requests, shows in CLIENT LIST as omem or qbuf.",
        );
    }
    if found.is_empty() {
        return "Nothing about memory is remarkable.\n".to_string();
    }
    found.iter().map(|finding| format!("* {finding}\n")).collect()
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "MEMORY", HELP);
    Ok(Outcome::Done)
}

fn malloc_stats(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.verbatim("txt", &memory::report());
    Ok(Outcome::Done)
}

fn purge(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    memory::purge();
    cx.out.ok();
    Ok(Outcome::Done)
}

/// A figure of MEMORY STATS.
enum Figure<'a> {
    Bytes(usize),
    Signed(isize),
    Ratio(f64),
    Database(&'a DbMemory),
}

fn stats(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let figures = Figures::of(cx);
    let libraries = functions::catalogue(&cx.host.space).size().2;
    let list = listed(&figures, cx.host.scripts.size().1, libraries);
    cx.out.map(list.len());
    for (name, figure) in list {
        cx.out.bulk(name.as_bytes());
        match figure {
            Figure::Bytes(bytes) => cx.out.int(bytes.cast_signed() as i64),
            Figure::Signed(bytes) => cx.out.int(bytes as i64),
            Figure::Ratio(ratio) => cx.out.double(ratio),
            Figure::Database(db) => {
                cx.out.map(2);
                cx.out.bulk(b"overhead.hashtable.main");
                cx.out.int(db.table_bytes as i64);
                cx.out.bulk(b"overhead.hashtable.expires");
                cx.out.int(db.wheel_bytes as i64);
            }
        }
    }
    Ok(Outcome::Done)
}

/// `scripts` and `libraries` are the bytes of what is known of them.
fn listed(figures: &Figures, scripts: usize, libraries: usize) -> Vec<(String, Figure<'_>)> {
    use Figure::{Bytes, Database, Ratio, Signed};
    let databases = figures.databases.iter().filter(|db| db.keys > 0);
    let keys: usize = figures.databases.iter().map(|db| db.keys).sum();
    let per_key = figures.used.saturating_sub(figures.startup).checked_div(keys).unwrap_or(0);
    let tables = figures.databases.iter().map(|db| db.table_bytes + db.wheel_bytes).sum();
    let (ratio, bytes) = (figures.fragmentation(), figures.fragmentation_bytes());
    let before = [
        ("peak.allocated", Bytes(figures.peak)),
        ("total.allocated", Bytes(figures.used)),
        ("startup.allocated", Bytes(figures.startup)),
        ("replication.backlog", Bytes(0)),
        ("replicas.repl.buffer", Bytes(0)),
        ("clients.slaves", Bytes(0)),
        ("clients.normal", Bytes(figures.clients)),
        ("cluster.links", Bytes(0)),
        ("cluster.slot_import", Bytes(0)),
        ("cluster.slot_export", Bytes(0)),
        ("aof.buffer", Bytes(0)),
        ("lua.caches", Bytes(scripts)),
        ("functions.caches", Bytes(libraries)),
    ];
    let after = [
        ("overhead.db.hashtable.lut", Bytes(tables)),
        ("overhead.db.hashtable.rehashing", Bytes(0)),
        ("overhead.total", Bytes(figures.overhead())),
        ("db.dict.rehashing.count", Bytes(0)),
        ("keys.count", Bytes(keys)),
        ("keys.bytes-per-key", Bytes(per_key)),
        ("dataset.bytes", Bytes(figures.dataset())),
        ("dataset.percentage", Ratio(figures.dataset_percent())),
        ("peak.percentage", Ratio(figures.peak_percent())),
        ("allocator.allocated", Bytes(figures.used)),
        ("allocator.active", Bytes(figures.resident)),
        ("allocator.resident", Bytes(figures.resident)),
        ("allocator.muzzy", Bytes(0)),
        ("allocator-fragmentation.ratio", Ratio(ratio)),
        ("allocator-fragmentation.bytes", Signed(bytes)),
        ("allocator-rss.ratio", Ratio(1.0)),
        ("allocator-rss.bytes", Bytes(0)),
        ("rss-overhead.ratio", Ratio(1.0)),
        ("rss-overhead.bytes", Bytes(0)),
        ("fragmentation", Ratio(ratio)),
        ("fragmentation.bytes", Signed(bytes)),
    ];
    let named = |(name, figure): (&str, _)| (name.to_string(), figure);
    let databases = databases.map(|db| (format!("db.{}", db.index), Database(db)));
    before.into_iter().map(named).chain(databases).chain(after.into_iter().map(named)).collect()
}

fn usage(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 3);
    while !cursor.is_end() {
        // Strings are measured as a whole: how many elements to look at makes no difference to them.
        if !cursor.word("SAMPLES") || cursor.int()? < 0 {
            return Err(Fault::SYNTAX);
        }
    }
    match cx.db.peek(args.get(2)) {
        Some(entry) => cx.out.int((entry.block_bytes() + BUCKET_SHARE_BYTES) as i64),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

/// What the structures of a database take, without its entries.
#[derive(Clone, Debug)]
pub(super) struct DbMemory {
    index: usize,
    keys: usize,
    /// Bytes of the tables that find keys.
    table_bytes: usize,
    /// Bytes of the wheels that keep deadlines.
    wheel_bytes: usize,
}

/// Where memory goes, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// Allocated.
    pub(super) used: usize,
    /// The most that was ever allocated.
    pub(super) peak: usize,
    /// In the machine's memory.
    pub(super) resident: usize,
    /// Allocated when the server started.
    pub(super) startup: usize,
    /// Connections with their buffers.
    pub(super) clients: usize,
    databases: Vec<DbMemory>,
}

impl Figures {
    /// The figures now.
    pub(super) fn of(cx: &mut Cx<'_>) -> Figures {
        let databases = databases(&mut cx.db);
        let counted = memory::used();
        let resident = process::resident_bytes().unwrap_or(counted);
        let used = if counted > 0 { counted } else { resident };
        let own = |client: &Client| {
            let buffers = client.query_bytes.load(Relaxed) + client.output_bytes.load(Relaxed);
            size_of::<Client>() + buffers
        };
        Figures {
            used,
            peak: memory::peak().max(used),
            resident,
            startup: cx.host.observe.startup_bytes().min(used),
            clients: cx.host.clients.all().iter().map(|client| own(client)).sum(),
            databases,
        }
    }

    /// All that is not data.
    pub(super) fn overhead(&self) -> usize {
        let tables: usize = self.databases.iter().map(|db| db.table_bytes + db.wheel_bytes).sum();
        (self.startup + self.clients + tables).min(self.used)
    }

    /// Data.
    pub(super) fn dataset(&self) -> usize {
        self.used - self.overhead()
    }

    /// The data's part of what came after the start.
    pub(super) fn dataset_percent(&self) -> f64 {
        percent(self.dataset(), self.used - self.startup)
    }

    /// What is in use, relative to the peak.
    pub(super) fn peak_percent(&self) -> f64 {
        percent(self.used, self.peak)
    }

    /// Resident memory relative to what is in use.
    pub(super) fn fragmentation(&self) -> f64 {
        percent(self.resident, self.used) / 100.0
    }

    /// Resident memory beyond what is in use.
    pub(super) fn fragmentation_bytes(&self) -> isize {
        self.resident.cast_signed() - self.used.cast_signed()
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

fn databases(db: &mut Db<'_>) -> Vec<DbMemory> {
    let new = |index| DbMemory { index, keys: 0, table_bytes: 0, wheel_bytes: 0 };
    let mut list: Vec<DbMemory> = (0..db.space().databases).map(new).collect();
    db.each_shard(0, |_, shard, _| {
        for (index, keys) in shard.databases() {
            list[index].keys += keys.table.len();
            list[index].table_bytes += keys.table.heap_bytes();
            list[index].wheel_bytes += keys.wheel.as_ref().map_or(0, |wheel| wheel.heap_bytes());
        }
        true
    });
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let db = DbMemory { index: 3, keys: 10, table_bytes: 1 << 20, wheel_bytes: 1 << 19 };
        let (used, peak, resident) = (20 << 20, 25 << 20, 22 << 20);
        Figures { used, peak, resident, startup: 2 << 20, clients: 1 << 19, databases: vec![db] }
    }

    #[test]
    fn overhead_and_dataset_make_up_what_is_used() {
        let figures = figures();
        assert_eq!(figures.overhead(), 4 << 20);
        assert_eq!(figures.dataset(), 16 << 20);
        assert!((figures.dataset_percent() - 1600.0 / 18.0).abs() < 1e-9);
        assert!((figures.peak_percent() - 80.0).abs() < 1e-9);
        let tiny = Figures { used: 1, peak: 0, ..figures };
        assert_eq!((tiny.overhead(), tiny.dataset()), (1, 0));
        assert_eq!(tiny.peak_percent(), 0.0);
    }

    #[test]
    fn the_doctor_names_what_is_remarkable() {
        let plain = figures();
        assert!(findings(&Figures { used: 1 << 20, ..plain.clone() }, 1).contains("so little"));
        assert!(findings(&plain, 100).contains("Nothing"));
        assert!(findings(&plain, 1).contains("Clients"));
        assert!(findings(&Figures { peak: 50 << 20, ..plain.clone() }, 100).contains("Peak"));
        assert!(findings(&Figures { resident: 50 << 20, ..plain }, 100).contains("Fragmentation"));
    }

    #[test]
    fn every_database_with_keys_is_listed() {
        let figures = figures();
        let names: Vec<_> = listed(&figures, 0, 0).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("db.")).collect::<Vec<_>>().len(), 2);
        assert!(names.contains(&"db.3".to_string()));
    }
}
