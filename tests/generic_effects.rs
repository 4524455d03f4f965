//! What commands on keys leave behind besides their reply: changes counted, events, the form in which they
//! are propagated, lookups counted. The expectations were taken down from Valkey with notifications, a
//! replica and `INFO`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ochre::Server;
use ochre::client::Session;
use ochre::client::registry::{Address, Client};
use ochre::clock::Chance;
use ochre::command::Host;
use ochre::exec::{Call, Executor};
use ochre::keyspace::Shard;
use ochre::keyspace::lock::Part;
use ochre::resp::{Out, OwnedArgs};

/// A server that this thread runs commands on, without a connection.
struct Bench {
    server: Server,
    executor: Executor,
    session: Session,
    part: Part<Shard>,
    out: Out,
}

impl Bench {
    fn new() -> Bench {
        let server = Server::builder().config("port", "0").config("io-threads", "1").start().unwrap();
        let host = Arc::clone(server.host());
        host.space.listens.store(true, Ordering::SeqCst);
        host.log.set_read(true);
        let lane = host.identity.workers;
        let here = Address::Path("test".into());
        let client = Arc::new(Client::new(host.clients.next_id(), lane, 0, here.clone(), here, 0));
        let executor = Executor::new(&host, lane, Chance::new(1));
        let part = host.space.shards.part(lane);
        Bench { server, executor, session: Session::new(client, true, true), part, out: Out::new() }
    }

    /// Runs one command; answers with changes, events, effects, hits and misses. Of unix times in
    /// milliseconds only the distance from now is shown, and taken, as `@5000`.
    fn run(&mut self, line: &str) -> (u64, String, String, (u64, u64)) {
        let host = self.server.host();
        let mut turn = self.part.enter(Duration::MAX).unwrap();
        self.executor.refresh(host);
        let now_ms = self.executor.now_ms() as i64;
        let spelled = |word: &str| match word.strip_prefix('@').and_then(|ms| ms.parse::<i64>().ok()) {
            Some(ms) => (now_ms + ms).to_string(),
            None => word.to_string(),
        };
        let words: Vec<String> = line.split(' ').map(spelled).collect();
        let args: OwnedArgs = words.iter().map(String::as_bytes).collect();
        let call = Call::of(host, args.as_args());
        let before = lookups(host, &self.executor);
        self.executor.run(host, &mut turn, &mut self.session, &mut self.out, call);
        self.out.clear();
        let record = &self.executor.record;
        let show = |word: &[u8]| match String::from_utf8_lossy(word).parse::<i64>() {
            Ok(at) if at > 1_000_000_000_000 => format!("@{}", at - now_ms),
            _ => String::from_utf8_lossy(word).into_owned(),
        };
        let events = record.happenings.iter().map(|it| format!("{} {}", it.event.name, show(&it.key)));
        let effects = host.log.drain().into_iter().flat_map(|unit| unit.effects);
        let effects = effects.map(|it| it.argv.iter().map(|word| show(word)).collect::<Vec<_>>().join(" "));
        let after = lookups(host, &self.executor);
        let lookups = (after.0 - before.0, after.1 - before.1);
        let events = events.collect::<Vec<_>>().join(", ");
        (record.dirty, events, effects.collect::<Vec<_>>().join("; "), lookups)
    }

    /// Each step is `(command, changes, events, effects)`; the effect `=` is the command itself.
    fn check(&mut self, steps: &[(&str, u64, &str, &str)]) {
        for (at, &(line, dirty, events, effects)) in steps.iter().enumerate() {
            let effects = if effects == "=" { line } else { effects };
            let found = self.run(line);
            assert_eq!((found.0, &*found.1, &*found.2), (dirty, events, effects), "step {at}: {line}");
        }
    }
}

/// Hits and misses so far, whether the executor has handed them on or not.
fn lookups(host: &Host, executor: &Executor) -> (u64, u64) {
    let (handed_on, held) = (host.observe.totals(), executor.record.counts);
    (handed_on.hits + held.hits, handed_on.misses + held.misses)
}

#[test]
fn deadlines_are_propagated_as_absolute_times_with_their_conditions() {
    Bench::new().check(&[
        ("EXPIRE a 100", 0, "", ""),
        ("SET a 1", 1, "new a, set a", "="),
        ("EXPIRE a 100", 1, "expire a", "PEXPIREAT a @100000"),
        ("expire a 200 gt XX", 1, "expire a", "PEXPIREAT a @200000 gt XX"),
        ("PEXPIRE a 200 GT", 0, "", ""),
        ("pexpireat a @50000 lt", 1, "expire a", "="),
        ("PEXPIRE a 5000", 1, "expire a", "PEXPIREAT a @5000"),
        ("PERSIST a", 1, "persist a", "="),
        ("PERSIST a", 0, "", ""),
        ("EXPIRE a -1 XX", 0, "", ""),
        ("EXPIRE a -1 NX EX", 0, "", ""),
    ]);
}

#[test]
fn a_deadline_in_the_past_is_one_change_that_removes_the_key() {
    let mut bench = Bench::new();
    for line in ["EXPIRE a 0", "PEXPIRE a -5 NX", "EXPIREAT a 1", "PEXPIREAT a -7"] {
        bench.run("SET a 1");
        let (dirty, events, effects, _) = bench.run(line);
        assert_eq!((dirty, &*events), (1, "expired a"), "{line}");
        assert!(matches!(&*effects, "DEL a" | "UNLINK a"), "{line}: {effects}");
    }
}

#[test]
fn moving_and_copying_tell_the_new_key_first() {
    Bench::new().check(&[
        ("SET a 1", 1, "new a, set a", "="),
        ("COPY a b", 1, "new b, copy_to b", "="),
        ("COPY a b", 0, "", ""),
        ("COPY a b REPLACE", 1, "new b, copy_to b", "="),
        ("COPY nothing b", 0, "keymiss nothing", ""),
        ("MOVE a 1", 1, "new a, move_from a, move_to a", "="),
        ("MOVE a 1", 0, "", ""),
        ("RENAME b c", 1, "new c, rename_from b, rename_to c", "="),
        ("RENAME c c", 0, "", ""),
        ("RENAMENX c d", 1, "new d, rename_from c, rename_to d", "="),
        ("DEL nothing", 0, "", ""),
        ("DEL d nothing d", 1, "del d", "="),
        ("UNLINK d", 0, "", ""),
    ]);
}

#[test]
fn flushing_is_propagated_even_when_there_was_nothing_to_remove() {
    Bench::new().check(&[
        ("FLUSHALL", 0, "", "="),
        ("FLUSHDB async", 0, "", "="),
        ("SET a 1", 1, "new a, set a", "="),
        ("SET b 1", 1, "new b, set b", "="),
        ("SWAPDB 0 3", 1, "", "="),
        ("FLUSHDB", 0, "", "="),
        ("SWAPDB 2 2", 1, "", "="),
        ("FLUSHALL SYNC", 2, "", "="),
        ("FLUSHALL SYNC ASYNC", 0, "", ""),
        ("SWAPDB 0 99", 0, "", ""),
    ]);
}

#[test]
fn lookups_are_counted_and_a_miss_is_told_except_by_object() {
    let mut bench = Bench::new();
    bench.run("SET a 1");
    for (line, events, lookups) in [
        ("EXISTS a a b", "keymiss b", (2, 1)),
        ("TOUCH a b", "keymiss b", (1, 1)),
        ("TYPE b", "keymiss b", (0, 1)),
        ("TTL a", "", (1, 0)),
        ("PEXPIRETIME b", "keymiss b", (0, 1)),
        ("OBJECT ENCODING a", "", (1, 0)),
        ("OBJECT FREQ a", "", (1, 0)),
        ("OBJECT IDLETIME b", "", (0, 1)),
        ("COPY a c", "new c, copy_to c", (1, 0)),
        ("RENAME c d", "new d, rename_from c, rename_to d", (0, 0)),
        ("EXPIRE a 100", "expire a", (0, 0)),
        ("EXPIRE b 100", "", (0, 0)),
        ("MOVE b 1", "", (0, 0)),
        ("KEYS a", "", (0, 0)),
        ("RANDOMKEY", "", (0, 0)),
        ("SCAN 0", "", (0, 0)),
    ] {
        let found = bench.run(line);
        assert_eq!((&*found.1, found.3), (events, lookups), "{line}");
    }
}
