//! Commands that a script calls.
//!
//! For: running a command inside the locks of the one that runs the script. May touch: what `Cx` carries,
//! rows.
//! Always: a command is checked as if a client had sent it, and more: it must not be forbidden to scripts,
//! nor write in a script that only reads. Its effects join the script's unit.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::stack::{Kind, Stack};
use crate::client::registry::bump;
use crate::command::scripts::Newcomer;
use crate::command::{Cx, Entry, Flags, Group, Host, Locks, Outcome};
use crate::exec::{admit, apply, call, monitor, run, tracking};
use crate::fault::Fault;
use crate::keyspace::record::Effect;
use crate::observe::stats::add;
use crate::resp::{Args, Out, OwnedArgs, Proto, format_double};

/// What a script has set for itself; as it was when the next one begins. Shared with the functions that
/// scripts call; only the thread that runs the script touches it.
pub struct Choices {
    is_resp3: AtomicBool,
    repl: AtomicU8,
    /// State of `math.random`.
    chance: AtomicU64,
}

/// Effects go to all.
pub const REPL_ALL: u8 = 3;

/// Whole numbers up to this have the same digits as a float and as an integer.
const EXACT: f64 = (1u64 << 52) as f64;

impl Choices {
    /// What the first script begins with.
    pub fn new(chance: u64) -> Choices {
        Choices {
            is_resp3: AtomicBool::new(false),
            repl: AtomicU8::new(REPL_ALL),
            chance: AtomicU64::new(seed(chance as i32)),
        }
    }

    /// Forgets the last one's, but for its chance.
    pub fn reset(&self) {
        self.set_proto(Proto::Resp2);
        self.set_repl(REPL_ALL);
    }

    /// The protocol of replies to it.
    pub fn proto(&self) -> Proto {
        if self.is_resp3.load(Ordering::Relaxed) { Proto::Resp3 } else { Proto::Resp2 }
    }

    /// Further replies to it come in that protocol.
    pub fn set_proto(&self, proto: Proto) {
        self.is_resp3.store(proto == Proto::Resp3, Ordering::Relaxed);
    }

    /// `redis.REPL_*` bits.
    pub fn repl(&self) -> u8 {
        self.repl.load(Ordering::Relaxed)
    }

    /// Further effects go where those bits say.
    pub fn set_repl(&self, bits: u8) {
        self.repl.store(bits, Ordering::Relaxed);
    }

    /// `math.random` begins anew.
    pub fn set_seed(&self, number: i32) {
        self.chance.store(seed(number), Ordering::Relaxed);
    }

    /// The next number of `math.random`, from 0 to below 1: the generator that the C library calls drand48,
    /// so that scripts draw what they draw elsewhere.
    pub fn draw(&self) -> f64 {
        const MOST: u64 = i32::MAX as u64;
        let next = self.chance.load(Ordering::Relaxed).wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB)
            & ((1 << 48) - 1);
        self.chance.store(next, Ordering::Relaxed);
        ((next >> 17) % MOST) as f64 / MOST as f64
    }
}

/// The state that a seed of `math.randomseed` stands for.
fn seed(seed: i32) -> u64 {
    u64::from(seed as u32) << 16 | 0x330E
}

/// Runs a script's commands.
pub struct Caller<'a, 'c> {
    /// The context of the command that runs the script.
    pub cx: &'a mut Cx<'c>,
    /// What the script has set.
    pub choices: &'a Choices,
    /// The script may not write.
    pub is_read_only: bool,
    /// What its commands did so far, for the log.
    pub unit: &'a mut Vec<Effect>,
    /// Changes so far.
    pub dirty: u64,
    /// Raw ticks from which on others are looked after again.
    pub look_at: u64,
}

/// A script that spends its time in commands looks after others this often, nanoseconds; one that does not
/// looks by the number of its instructions.
pub const LOOK_NS: u64 = 1_000_000;

/// Memory that is used again for every command.
#[derive(Default)]
pub struct Room {
    args: OwnedArgs,
    out: Out,
    /// The text of an error, or a reply that came in several pieces.
    text: Vec<u8>,
}

/// How the script called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Errors are raised.
    Call,
    /// Errors are values.
    PCall,
    /// Only whether it might.
    Check,
}

/// What a call came to; the bytes are in the room.
pub enum Answer {
    /// A reply.
    Reply,
    /// It might be called.
    Yes,
    /// An error.
    Error {
        /// It ends the script, unless that catches it.
        raises: bool,
        /// It is one of a command, and counted as such.
        is_counted: bool,
    },
}

impl Room {
    /// More is given back after a command.
    const KEPT_TEXT: usize = 64 * 1024;

    /// The bytes of a reply.
    pub fn reply(&self) -> &[u8] {
        if self.out.is_empty() { &self.text } else { self.out.as_slice().unwrap_or_default() }
    }

    /// The text of an error.
    pub fn error(&self) -> &[u8] {
        &self.text
    }

    /// An error that no command has made.
    pub fn refuse(&mut self, fault: &Fault) -> Answer {
        self.put(fault);
        Answer::Error { raises: true, is_counted: false }
    }

    fn put(&mut self, fault: &Fault) {
        self.text.clear();
        self.text.shrink_to(Self::KEPT_TEXT);
        self.text.extend_from_slice(fault.text());
    }
}

impl Caller<'_, '_> {
    /// `redis.call` and its relatives, with what is on the stack. Nothing here raises.
    pub fn invoke(&mut self, stack: Stack, room: &mut Room, form: Form) -> Answer {
        let raises = form != Form::PCall;
        if let Err(fault) = take(stack, &mut room.args) {
            room.put(&fault);
            return Answer::Error { raises, is_counted: false };
        }
        let ran = if form == Form::Check {
            let known = call::find(self.cx.host, &room.args.as_args()).is_some();
            if known { Ok(()) } else { Err(Fault::SCRIPT_ACL_COMMAND) }
        } else {
            room.out.clear();
            room.out.set_proto(self.choices.proto());
            self.call(&room.args.as_args(), &mut room.out)
        };
        match ran {
            Err(fault) => {
                if form == Form::PCall {
                    add(&self.cx.host.observe.lane(self.cx.worker).errors, 1);
                    self.cx.host.observe.error(fault.code());
                }
                room.put(&fault);
                Answer::Error { raises, is_counted: true }
            }
            Ok(()) if form == Form::Check => Answer::Yes,
            Ok(()) => {
                room.text.clear();
                if room.out.as_slice().is_none() {
                    room.text = gather(&mut room.out);
                }
                Answer::Reply
            }
        }
    }

    /// The checks of a command called by a script, in Redis's order.
    fn admit<'h>(&self, host: &'h Host, args: &Args<'_>) -> Result<&'h Entry, Fault> {
        let Some(entry) = call::find(host, args) else { return Err(Fault::SCRIPT_UNKNOWN_COMMAND) };
        if !entry.subs.is_empty()
            && let Some(sub) = args.opt(1)
        {
            return Err(Fault::subcommand(entry.row.name, sub));
        }
        if !entry.takes(args.len()) {
            return Err(Fault::SCRIPT_ARITY);
        }
        let forbidden = Flags::NO_SCRIPT.union(Flags::RUNS_QUEUE).union(Flags::DEV);
        if entry.row.flags.intersects(forbidden) {
            self.admit_forbidden(host, entry)?;
        }
        let writes = entry.row.flags.intersects(Flags::WRITE.union(Flags::MAY_REPLICATE));
        if self.is_read_only && writes {
            return Err(Fault::SCRIPT_READ_ONLY);
        }
        Ok(entry)
    }

    /// A command that is forbidden to scripts may be called for the sake of a test, if it does what it does
    /// in a transaction, and leaves the session and the states of scripts alone.
    #[cold]
    fn admit_forbidden(&self, host: &Host, entry: &Entry) -> Result<(), Fault> {
        let never = Flags::RUNS_QUEUE.union(Flags::DEV).union(Flags::NO_MULTI);
        let own = [Group::Connection, Group::PubSub, Group::Scripting, Group::Transactions];
        let may_call_more = host.scripts.may_call_more.load(Ordering::Relaxed);
        if !may_call_more || entry.row.flags.intersects(never) || own.contains(&entry.row.group) {
            return Err(Fault::SCRIPT_NOT_ALLOWED);
        }
        admit::refusal(self.cx.settings, self.cx.session, entry).map_or(Ok(()), Err)
    }

    /// Runs a command; its reply is in `out`.
    fn call(&mut self, args: &Args<'_>, out: &mut Out) -> Result<(), Fault> {
        let host = self.cx.host;
        let entry = self.admit(host, args)?;
        // It may catch the error, but does nothing else until the look at its instructions ends it.
        let may_write = !entry.row.flags.contains(Flags::WRITE) || host.scripts.running.may_write();
        if host.scripts.is_ending() || !may_write {
            return Err(host.scripts.running.killed());
        }
        if host.scripts.running.has_met() {
            self.let_in(host.scripts.running.newcomers());
        }
        let (worker, db) = (self.cx.worker, self.cx.session.db);
        let began = host.ticks.now();
        self.cx.db.record.follow();
        let result = {
            let mut cx = Cx {
                db: self.cx.db.lend(db),
                out,
                session: self.cx.session,
                settings: self.cx.settings,
                host,
                command: entry,
                worker,
                began,
                served: None,
                may_block: false,
                is_scripted: true,
                interpreter: &mut None,
                meanwhile: None,
            };
            let result = run::guarded(&mut cx, *args, entry);
            if host.monitors.any() | cx.session.tracking.is_some() {
                observe(&mut cx, entry, args);
            }
            result
        };
        self.join(db, args);
        let ended = host.ticks.now();
        let nanos = host.ticks.nanos_between(began, ended);
        if ended > self.look_at {
            self.look_after_others(ended);
        }
        let lane = host.observe.lane(worker);
        lane.ran(entry.index, (1, result.is_err().into()), nanos, false);
        add(&lane.ran, 1);
        bump(&self.cx.session.client.commands, 1);
        debug_assert!(entry.row.locks != Locks::Keys || self.cx.db.held().is_some());
        match result? {
            Outcome::Block(_) => out.null(),
            Outcome::Done => {}
        }
        Ok(())
    }

    /// Makes what a command has done part of what the script does.
    #[inline]
    fn join(&mut self, db: usize, args: &Args<'_>) {
        let record = &mut *self.cx.db.record;
        if record.listens {
            apply::tell(self.cx.host, record);
            record.happenings.clear();
        }
        if record.logs {
            let effects = apply::effects(record, db, args);
            self.unit.extend(effects.into_iter().filter(|_| self.choices.repl() != 0));
        }
        self.dirty += std::mem::take(&mut record.dirty);
    }

    /// Tells the shards of clients that watch keys since the script began.
    #[cold]
    pub fn let_in(&mut self, newcomers: Vec<Newcomer>) {
        for Newcomer { keys, watcher } in newcomers {
            self.cx.db.watch(&keys, &watcher);
        }
        // Keys that were due.
        apply::tell(self.cx.host, self.cx.db.record);
        self.cx.db.record.happenings.clear();
        self.unit.append(&mut self.cx.db.record.effects);
    }

    /// Counts the errors within a result.
    #[cold]
    pub fn note_too_deep(&self, count: u64) {
        let observe = &self.cx.host.observe;
        add(&observe.lane(self.cx.worker).errors, count);
        (0..count).for_each(|_| observe.error(Fault::SCRIPT_RESULT_DEPTH.code()));
    }

    #[cold]
    fn look_after_others(&mut self, now: u64) {
        if let Some(meanwhile) = self.cx.meanwhile {
            meanwhile();
        }
        self.look_at = now + self.cx.host.ticks.in_nanos(LOOK_NS);
    }
}

/// Makes arguments of what the script gave.
fn take(stack: Stack, args: &mut OwnedArgs) -> Result<(), Fault> {
    args.clear();
    let given = stack.top();
    if given == 0 {
        return Err(Fault::SCRIPT_NO_ARGUMENT);
    }
    for at in 1..=given {
        match stack.as_text(at) {
            Ok(text) => args.push(text),
            Err(Kind::Number) => push_number(args, stack.number(at)),
            Err(_) => return Err(Fault::SCRIPT_BAD_ARGUMENT),
        }
    }
    Ok(())
}

fn push_number(args: &mut OwnedArgs, number: f64) {
    if number.trunc() == number && number.abs() <= EXACT {
        args.push(itoa::Buffer::new().format(number as i64).as_bytes());
        return;
    }
    let mut digits = Vec::new();
    if number.is_nan() && number.is_sign_negative() {
        digits.push(b'-');
    }
    format_double(number, &mut digits);
    args.push(&digits);
}

/// Shows a script's command to those who monitor, and notes what it has read for the script's client.
#[cold]
fn observe(cx: &mut Cx<'_>, entry: &Entry, args: &Args<'_>) {
    if cx.host.monitors.any() {
        monitor::show(cx.host, None, cx.session.db, entry, args);
    }
    tracking::remember(cx, entry, args);
}

/// All that is in an output of several pieces.
fn gather(out: &mut Out) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(out.len_bytes());
    while !out.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let filled = out.chunks(&mut slices);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        let taken = bytes.len() - before;
        out.consume(taken);
    }
    bytes
}
