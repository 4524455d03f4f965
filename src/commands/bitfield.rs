//! Strings as fields of integers.
//!
//! For: BITFIELD and BITFIELD_RO. May touch: what `Cx` carries.
//! Always: all operations are read before the first runs, and the string is made long enough for all of
//! them at once.

use smallvec::SmallVec;

use super::bitmap::scaled_bit_offset;
use super::string::{GROW, READ_FAST, READS_IT, text, with_bytes};
use crate::command::{Acl, Command, Cursor, Cx, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::Settings;
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, Out, parse_i64};
use crate::value::bits::{self, MAX_FIELD_BITS, Overflow};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("BITFIELD", bitfield)
        .arity(-2)
        .flags(GROW)
        .acl(Acl::BITMAP)
        .keys(&[KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE),
        )
        .notes("This command allows both access and modification of the key")])
        .group(Group::Bitmap)
        .since("3.2.0")
        .cost("O(1) for each operation.")
        .doc(
            "Reads, sets and adds to integers of any width within a string.",
            "key operation=[get-block=<GET encoding offset> | write=<[OVERFLOW overflow-block=<WRAP | SAT | \
             FAIL>] write-operation=<set-block=<SET encoding offset value:integer> | incrby-block=<INCRBY \
             encoding offset increment>>> ...]",
        ),
    cmd("BITFIELD_RO", bitfield_ro)
        .arity(-2)
        .flags(READ_FAST)
        .acl(Acl::BITMAP)
        .keys(READS_IT)
        .group(Group::Bitmap)
        .since("6.0.0")
        .cost("O(1) for each operation.")
        .doc(
            "Reads integers of any width within a string.",
            "key get-block=[GET encoding offset [GET encoding offset ...]]",
        ),
];

fn bitfield(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let ops = parse(Cursor::new(args, 2), cx.settings)?;
    match ops.iter().filter(|op| op.action != Action::Get).map(Op::end_byte).max() {
        None => read_fields(cx, &args, &ops),
        Some(len) => write_fields(cx, &args, &ops, len),
    }
}

fn bitfield_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let ops = parse(Cursor::new(args, 2), cx.settings)?;
    if ops.iter().any(|op| op.action != Action::Get) {
        return Err(Fault::BITFIELD_READ_ONLY);
    }
    read_fields(cx, &args, &ops)
}

fn read_fields(cx: &mut Cx<'_>, args: &Args<'_>, ops: &[Op]) -> Result<Outcome, Fault> {
    let mut digits = itoa::Buffer::new();
    let bytes = cx.db.read_string(args.get(1))?.map_or(&[][..], |value| text(value, &mut digits));
    cx.out.array(ops.len());
    for op in ops {
        cx.out.int(op.read(bytes));
    }
    Ok(Outcome::Done)
}

fn write_fields(cx: &mut Cx<'_>, args: &Args<'_>, ops: &[Op], len: usize) -> Result<Outcome, Fault> {
    let out = &mut *cx.out;
    let mut w = cx.db.open(args.get(1));
    let (done, grew) = with_bytes(&mut w, len, |bytes| {
        out.array(ops.len());
        let mut done = Done::default();
        ops.iter().for_each(|op| op.run(bytes, out, &mut done));
        done
    })?;
    let changes = if grew { done.written } else { done.different };
    if changes == 0 {
        // The string may be longer than before, or a new one of zeros: that alone counts as no change, but
        // who follows has to hear of it.
        w.commit_quietly(0);
        if grew && cx.db.logs() {
            cx.db.propagate(&args.iter().collect::<Vec<_>>());
        }
    } else {
        w.commit(Event::SETBIT);
        cx.db.record.dirty += changes - 1;
    }
    Ok(Outcome::Done)
}

/// What operations have changed.
#[derive(Default)]
struct Done {
    /// Fields that were written.
    written: u64,
    /// Those of them that have another value now.
    different: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Get,
    Set(i64),
    IncrBy(i64),
}

/// One operation on one field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Op {
    action: Action,
    is_signed: bool,
    bits: u32,
    offset: u64,
    overflow: Overflow,
}

impl Op {
    /// Bytes a string needs to hold the whole field.
    fn end_byte(&self) -> usize {
        (self.offset + u64::from(self.bits)).div_ceil(8) as usize
    }

    fn read(&self, bytes: &[u8]) -> i64 {
        if self.is_signed {
            bits::read_signed(bytes, self.offset, self.bits)
        } else {
            // An unsigned field has at most 63 bits.
            bits::read_unsigned(bytes, self.offset, self.bits) as i64
        }
    }

    fn run(&self, bytes: &mut [u8], out: &mut Out, done: &mut Done) {
        let old = self.read(bytes);
        let new = match self.action {
            Action::Get => return out.int(old),
            Action::Set(value) => self.fit(value, 0),
            Action::IncrBy(by) => self.fit(old, by),
        };
        let Some(new) = new else { return out.null() };
        bits::write(bytes, self.offset, self.bits, new as u64);
        done.written += 1;
        done.different += u64::from(new != old);
        out.int(if matches!(self.action, Action::Set(_)) { old } else { new });
    }

    /// The sum as the field keeps it, `None` when it is not to be written.
    fn fit(&self, value: i64, by: i64) -> Option<i64> {
        if self.is_signed {
            self.overflow.signed(value, by, self.bits)
        } else {
            self.overflow.unsigned(value as u64, by, self.bits).map(|sum| sum as i64)
        }
    }
}

fn parse(mut cursor: Cursor<'_>, settings: &Settings) -> Result<SmallVec<[Op; 4]>, Fault> {
    let mut ops = SmallVec::new();
    let mut overflow = Overflow::Wrap;
    while !cursor.is_end() {
        if cursor.word("OVERFLOW") {
            overflow = match cursor.need()? {
                word if word.eq_ignore_ascii_case(b"WRAP") => Overflow::Wrap,
                word if word.eq_ignore_ascii_case(b"SAT") => Overflow::Sat,
                word if word.eq_ignore_ascii_case(b"FAIL") => Overflow::Fail,
                _ => return Err(Fault::OVERFLOW_TYPE),
            };
            continue;
        }
        let (action, operands) = if cursor.word("GET") {
            (Action::Get, 2)
        } else if cursor.word("SET") {
            (Action::Set(0), 3)
        } else if cursor.word("INCRBY") {
            (Action::IncrBy(0), 3)
        } else {
            return Err(Fault::SYNTAX);
        };
        if cursor.left() < operands {
            return Err(Fault::SYNTAX);
        }
        let (is_signed, bits) = encoding(cursor.need()?)?;
        let offset = match cursor.need()? {
            [b'#', index @ ..] => scaled_bit_offset(index, u64::from(bits), settings)?,
            offset => scaled_bit_offset(offset, 1, settings)?,
        };
        let action = match action {
            Action::Get => Action::Get,
            Action::Set(_) => Action::Set(cursor.int()?),
            Action::IncrBy(_) => Action::IncrBy(cursor.int()?),
        };
        ops.push(Op { action, is_signed, bits, offset, overflow });
    }
    Ok(ops)
}

/// `i` or `u` and a width: `u64` would not fit a reply.
fn encoding(arg: &[u8]) -> Result<(bool, u32), Fault> {
    let (is_signed, width) = match arg {
        [b'i', width @ ..] => (true, width),
        [b'u', width @ ..] => (false, width),
        _ => return Err(Fault::BITFIELD_TYPE),
    };
    let widest = i64::from(if is_signed { MAX_FIELD_BITS } else { MAX_FIELD_BITS - 1 });
    let bits = parse_i64(width).filter(|bits| (1..=widest).contains(bits)).ok_or(Fault::BITFIELD_TYPE)?;
    Ok((is_signed, bits as u32))
}
