//! HyperLogLogs: estimates of how many different elements were added.
//!
//! For: the commands of group `hyperloglog`. May touch: what `Cx` carries.
//! Always: a HyperLogLog is a string that other commands can read and write, so nothing is taken for granted
//! about its bytes; one that no command here made is refused before anything is changed.

use crate::command::{Acl, Command, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::commands::string::{GROW, GROW_FAST, READ};
use crate::config::Directive;
use crate::fault::Fault;
use crate::keyspace::{Deadline, Event, NewValue, ValueRef};
use crate::resp::Args;
use crate::value::hll::{self, Corrupt, HllRef, REGISTERS, Registers, Run};

/// Elements that PFSELFTEST adds.
const SELF_TEST_ELEMENTS: u64 = 100_000;
/// The error that PFSELFTEST allows, in standard errors.
const SELF_TEST_ERRORS: f64 = 6.0;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("PFADD", pfadd)
        .arity(-2)
        .flags(GROW_FAST)
        .acl(Acl::HYPERLOGLOG)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))])
        .group(Group::HyperLogLog)
        .since("2.8.9")
        .cost("O(1) for each element.")
        .doc("Adds elements to a HyperLogLog, which is created if need be.", "key [element ...]"),
    cmd("PFCOUNT", pfcount)
        .arity(-2)
        .flags(READ.union(Flags::MAY_REPLICATE))
        .acl(Acl::HYPERLOGLOG)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS)).notes(
            "RW because it may change the internal representation of the key, and propagate to replicas",
        )])
        .group(Group::HyperLogLog)
        .since("2.8.9")
        .cost("O(1) for one key, mostly without counting anew; O(N) for N keys, which takes much longer.")
        .doc(
            "Answers about how many different elements were added to one or any of several HyperLogLogs.",
            "key [key ...]",
        ),
    cmd("PFDEBUG", pfdebug)
        .arity(3)
        .flags(GROW.union(Flags::ADMIN))
        .acl(Acl::HYPERLOGLOG)
        .keys(&[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))])
        .group(Group::HyperLogLog)
        .since("2.8.9")
        .cost("N/A")
        .internal()
        .doc("Shows or changes the inner form of a HyperLogLog.", "subcommand key"),
    cmd("PFMERGE", pfmerge)
        .arity(-2)
        .flags(GROW)
        .acl(Acl::HYPERLOGLOG)
        .keys(&[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT)),
            KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ])
        .group(Group::HyperLogLog)
        .since("2.8.9")
        .cost("O(N), N keys, each of which takes long.")
        .doc("Adds what was added to several HyperLogLogs to one.", "destkey [sourcekey:key ...]"),
    cmd("PFSELFTEST", pfselftest)
        .arity(1)
        .flags(Flags::ADMIN)
        .acl(Acl::HYPERLOGLOG)
        .group(Group::HyperLogLog)
        .since("2.8.9")
        .cost("N/A")
        .internal()
        .doc("Tests whether HyperLogLogs count as they should.", ""),
];

fn pfadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let sparse_max_bytes = cx.settings.bytes(Directive::HllSparseMaxBytes);
    let mut w = cx.db.open(args.get(1));
    let mut first = 2;
    let created = match w.string()? {
        None => true,
        Some(value) => {
            let hll = hll_of(value)?;
            // Most elements are known: looking first leaves the value where it lies.
            while first < args.len() && !hll.would_change(args.get(first))? {
                first += 1;
            }
            if first == args.len() {
                cx.out.int(0);
                return Ok(Outcome::Done);
            }
            false
        }
    };
    if created {
        w.set(NewValue::Bytes(&hll::empty()), Deadline::Clear);
        w.set_raw();
    }
    let mut changes = u64::from(created);
    let added = if first == args.len() {
        Ok(())
    } else {
        w.edit(|bytes| {
            args.from(first).iter().try_for_each(|element| -> Result<(), Corrupt> {
                changes += u64::from(hll::add(bytes, element, sparse_max_bytes)?);
                Ok(())
            })
        })
    };
    // What was added before an element's register was found missing stays added.
    if changes > 0 {
        w.commit_counting(Event::PFADD, changes)
    } else {
        w.commit_silently()
    }
    added?;
    cx.out.int(1);
    Ok(Outcome::Done)
}

fn pfcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if args.len() > 2 {
        let (mut registers, mut is_dense) = (zeros(), false);
        for key in args.from(1).iter() {
            merge_key(cx, key, &mut registers, &mut is_dense)?;
        }
        cx.out.int(hll::count_of(&registers).cast_signed());
        return Ok(Outcome::Done);
    }
    let key = args.get(1);
    let Some(value) = cx.db.read_string(key)? else {
        cx.out.int(0);
        return Ok(Outcome::Done);
    };
    let hll = hll_of(value)?;
    let count = match hll.known_count() {
        Some(count) => count,
        None => {
            let count = hll.count()?;
            let mut w = cx.db.open(key);
            if let Some(bytes) = w.bytes_mut() {
                hll::remember_count(bytes, count);
            }
            w.commit(Event::CHANGED);
            count
        }
    };
    cx.out.int(count.cast_signed());
    Ok(Outcome::Done)
}

fn pfdebug(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (sub, key) = (args.get(1), args.get(2));
    let is = |name: &str| sub.eq_ignore_ascii_case(name.as_bytes());
    if is("SIMD") {
        // There is one way to count; it answers as if it could be chosen.
        match () {
            () if key.eq_ignore_ascii_case(b"ON") => cx.out.simple("enabled"),
            () if key.eq_ignore_ascii_case(b"OFF") => cx.out.simple("disabled"),
            () => return Err(Fault::PFDEBUG_ON_OFF),
        }
        return Ok(Outcome::Done);
    }
    let mut w = cx.db.open(key);
    let hll = hll_of(w.string()?.ok_or(Fault::PFDEBUG_NO_KEY)?)?;
    let was_dense = hll.is_dense();
    match () {
        () if is("ENCODING") => cx.out.simple(if was_dense { "dense" } else { "sparse" }),
        () if is("DECODE") => cx.out.bulk(&decoded(hll.runs().ok_or(Fault::PFDEBUG_DENSE)?)),
        () if is("GETREG") || is("TODENSE") => {
            let mut registers = zeros();
            hll.merge_into(&mut registers)?;
            if !was_dense {
                w.edit(hll::make_dense).expect("its registers were read");
                w.commit(Event::CHANGED);
            }
            if is("TODENSE") {
                cx.out.int(i64::from(!was_dense));
            } else {
                cx.out.array(REGISTERS);
                registers.iter().for_each(|&value| cx.out.int(i64::from(value)));
            }
        }
        () => return Err(Fault::pfdebug_subcommand(sub)),
    }
    Ok(Outcome::Done)
}

fn pfmerge(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let sparse_max_bytes = cx.settings.bytes(Directive::HllSparseMaxBytes);
    let (mut registers, mut is_dense) = (zeros(), false);
    for key in args.from(1).iter() {
        merge_key(cx, key, &mut registers, &mut is_dense)?;
    }
    let mut w = cx.db.open(args.get(1));
    if !w.exists() {
        w.set(NewValue::Bytes(&hll::empty()), Deadline::Clear);
    }
    w.edit(|bytes| hll::raise_all(bytes, &registers, is_dense, sparse_max_bytes))
        .expect("its registers were read");
    w.commit(Event::PFADD);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn pfselftest(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let salt = cx.db.record.chance.next_u64();
    let (mut growing, mut dense) = (hll::empty(), hll::empty());
    let sparse_max_bytes = cx.settings.bytes(Directive::HllSparseMaxBytes);
    hll::make_dense(&mut dense)?;
    let mut checkpoint = 1;
    for n in 1..=SELF_TEST_ELEMENTS {
        let element = (salt ^ n).to_le_bytes();
        hll::add(&mut growing, &element, sparse_max_bytes)?;
        hll::add(&mut dense, &element, sparse_max_bytes)?;
        if n < checkpoint {
            continue;
        }
        checkpoint *= 10;
        let count = HllRef::of(&dense).ok_or(Fault::NO_HLL)?.count()?;
        if HllRef::of(&growing).ok_or(Fault::NO_HLL)?.count() != Ok(count) {
            return Err(Fault::self_test(&format!("sparse and dense differ. card:{n}")));
        }
        // The first few elements may well meet in a register.
        let allowed = SELF_TEST_ERRORS * 1.04 / (REGISTERS as f64).sqrt() * n as f64 + 1.0;
        if count.abs_diff(n) as f64 > allowed {
            return Err(Fault::self_test(&format!("Too big error. card:{n} abserr:{}", count.abs_diff(n))));
        }
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn zeros() -> Box<Registers> {
    Box::new([0; REGISTERS])
}

/// A string as the HyperLogLog it is; an integer is none.
fn hll_of(value: ValueRef<'_>) -> Result<HllRef<'_>, Fault> {
    match value {
        ValueRef::Int(_) => Err(Fault::NO_HLL),
        ValueRef::Bytes(bytes) => HllRef::of(bytes).ok_or(Fault::NO_HLL),
        ValueRef::Shared(shared) => HllRef::of(shared).ok_or(Fault::NO_HLL),
    }
}

/// Raises `registers` to those of the key, if it exists; sets `is_dense` if it is.
fn merge_key(
    cx: &mut Cx<'_>,
    key: &[u8],
    registers: &mut Registers,
    is_dense: &mut bool,
) -> Result<(), Fault> {
    let Some(value) = cx.db.read_string(key)? else { return Ok(()) };
    let hll = hll_of(value)?;
    *is_dense |= hll.is_dense();
    Ok(hll.merge_into(registers)?)
}

/// Runs as PFDEBUG DECODE shows them.
fn decoded(runs: hll::Runs<'_>) -> Vec<u8> {
    let word = |run: Run| match run {
        Run::ShortZeros(len) => format!("z:{len}"),
        Run::Zeros(len) => format!("Z:{len}"),
        Run::Values(value, len) => format!("v:{value},{len}"),
    };
    runs.map(word).collect::<Vec<_>>().join(" ").into_bytes()
}
