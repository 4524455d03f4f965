//! Commands that a script calls.
//!
//! For: running a command inside the locks of the one that runs the script. May touch: what `Cx` carries,
//! rows.
//! Always: a command is checked as if a client had sent it, and more: it must not be forbidden to scripts,
//! nor write in a script that only reads. Its effects join the script's unit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use mlua::{Lua, MultiValue, Value};

use super::reply;
use crate::command::{Cx, Entry, Flags, Locks, Outcome};
use crate::exec::{apply, run};
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

/// Integers between these have the same digits as a float and as an integer.
const EXACT: i64 = 1 << 52;

impl Choices {
    /// What a script begins with.
    pub fn new() -> Choices {
        Choices {
            is_resp3: AtomicBool::new(false),
            repl: AtomicU8::new(REPL_ALL),
            chance: AtomicU64::new(seed(0)),
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
    pub choices: Arc<Choices>,
    /// The script may not write.
    pub is_read_only: bool,
    /// What its commands did so far, for the log.
    pub unit: &'a mut Vec<Effect>,
    /// Changes so far.
    pub dirty: u64,
    /// Room for the arguments and the reply of a command.
    pub room: &'a mut Room,
}

/// Memory that is used again for every command.
#[derive(Default)]
pub struct Room {
    args: OwnedArgs,
    out: Out,
}

/// How the script called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Errors are raised.
    Call,
    /// Errors are values.
    PCall,
    /// Only whether it might.
    Check,
}

impl Caller<'_, '_> {
    /// `redis.call` and its relatives: the first value says which; answers a value and whether to raise it.
    pub fn invoke(&mut self, lua: &Lua, values: &MultiValue) -> mlua::Result<(Value, bool)> {
        let form = match values.front() {
            Some(Value::Integer(1)) => Form::PCall,
            Some(Value::Integer(2)) => Form::Check,
            _ => Form::Call,
        };
        if let Err(fault) = self.take(values) {
            return Ok((error(lua, &fault, false)?, form != Form::PCall));
        }
        let room = std::mem::take(self.room);
        let Room { args, mut out } = room;
        let ran = if form == Form::Check {
            let known = run::find(self.cx.host, &args.as_args()).is_some();
            if known { Ok(()) } else { Err(Fault::SCRIPT_ACL_COMMAND) }
        } else {
            out.clear();
            out.set_proto(self.choices.proto());
            self.call(&args.as_args(), &mut out)
        };
        let answer = match ran {
            Err(fault) => {
                if form == Form::PCall {
                    self.cx.host.observe.error(fault.code());
                }
                (error(lua, &fault, true)?, form != Form::PCall)
            }
            Ok(()) if form == Form::Check => (Value::Boolean(true), false),
            Ok(()) => match out.as_slice() {
                Some(bytes) => (reply::value(lua, bytes)?, false),
                None => (reply::value(lua, &gather(&mut out))?, false),
            },
        };
        *self.room = Room { args, out };
        Ok(answer)
    }

    /// Puts what the script gave into the arguments.
    fn take(&mut self, values: &MultiValue) -> Result<(), Fault> {
        let args = &mut self.room.args;
        args.clear();
        if values.len() < 2 {
            return Err(Fault::SCRIPT_NO_ARGUMENT);
        }
        let mut digits = Vec::new();
        for value in values.iter().skip(1) {
            match value {
                Value::String(text) => args.push(&text.as_bytes()),
                Value::Integer(number) if (-EXACT..=EXACT).contains(number) => {
                    args.push(itoa::Buffer::new().format(*number).as_bytes());
                }
                Value::Number(number) if *number == 0.0 => args.push(b"0"),
                Value::Integer(_) | Value::Number(_) => {
                    digits.clear();
                    let number = match value {
                        Value::Integer(number) => *number as f64,
                        value => value.as_number().unwrap_or(f64::NAN),
                    };
                    if number.is_nan() && number.is_sign_negative() {
                        digits.push(b'-');
                    }
                    format_double(number, &mut digits);
                    args.push(&digits);
                }
                _ => return Err(Fault::SCRIPT_BAD_ARGUMENT),
            }
        }
        Ok(())
    }

    /// The checks of a command called by a script, in Redis's order.
    fn admit(&self, args: &Args<'_>) -> Result<&'_ Entry, Fault> {
        let entry = run::find(self.cx.host, args).ok_or(Fault::SCRIPT_UNKNOWN_COMMAND)?;
        if !entry.subs.is_empty()
            && let Some(sub) = args.opt(1)
        {
            return Err(Fault::subcommand(entry.row.name, sub));
        }
        if !entry.row.takes(args.len()) || !entry.subs.is_empty() {
            return Err(Fault::SCRIPT_ARITY);
        }
        if entry.row.flags.intersects(Flags::NO_SCRIPT.union(Flags::RUNS_QUEUE).union(Flags::DEV)) {
            return Err(Fault::SCRIPT_NOT_ALLOWED);
        }
        let writes = entry.row.flags.intersects(Flags::WRITE.union(Flags::MAY_REPLICATE));
        if self.is_read_only && writes {
            return Err(Fault::SCRIPT_READ_ONLY);
        }
        Ok(entry)
    }

    /// Runs a command; its reply is in `out`.
    fn call(&mut self, args: &Args<'_>, out: &mut Out) -> Result<(), Fault> {
        self.admit(args)?;
        let host = self.cx.host;
        let Some(entry) = run::find(host, args) else { return Err(Fault::SCRIPT_UNKNOWN_COMMAND) };
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
                served: None,
                may_block: false,
                interpreter: &mut None,
            };
            run::guarded(&mut cx, *args, entry)
        };
        let record = &mut *self.cx.db.record;
        apply::tell(host, record);
        record.happenings.clear();
        let mut effects = apply::effects(record, db, args);
        if self.choices.repl.load(Ordering::Relaxed) != 0 {
            self.unit.append(&mut effects);
        }
        if record.dirty > 0 {
            self.cx.host.scripts.running.note_write();
        }
        self.dirty += record.dirty;
        record.dirty = 0;
        let nanos = host.ticks.nanos_between(began, host.ticks.now());
        let lane = host.observe.lane(worker);
        lane.ran(entry.index, nanos, result.is_err(), false);
        add(&lane.ran, 1);
        debug_assert!(entry.row.locks != Locks::Keys || self.cx.db.held().is_some());
        match result? {
            Outcome::Block(_) => out.null(),
            Outcome::Done | Outcome::Close => {}
        }
        Ok(())
    }
}

/// An error as a Lua value. `is_counted`: it is one of a command.
fn error(lua: &Lua, fault: &Fault, is_counted: bool) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("err", lua.create_string(fault.text())?)?;
    if is_counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(Value::Table(table))
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
