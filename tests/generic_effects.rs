//! What commands on keys leave behind besides their reply: changes counted, events, the form in which they
//! are propagated, lookups counted. The expectations were taken down from Valkey with notifications, a
//! replica and `INFO`.

mod support;

use support::bench::Bench;

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
        let trace = bench.run(line);
        assert_eq!((trace.dirty, &*trace.events, &*trace.effects), (1, "expired a", "UNLINK a"), "{line}");
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
        let trace = bench.run(line);
        assert_eq!((&*trace.events, trace.lookups), (events, lookups), "{line}");
    }
}
