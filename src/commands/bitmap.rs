//! Strings as rows of bits.
//!
//! For: the commands of group `bitmap` about single bits, counts, positions and combinations. May touch: what
//! `Cx` carries.
//! Always: an offset lies below eight times the longest argument, so no bit makes a string longer than that.

use smallvec::SmallVec;

use super::string::{CHANGES_IT, GROW, Kept, READ, READ_FAST, READS_IT, text, with_bytes};
use crate::command::cursor::int;
use crate::command::{Acl, Command, Cx, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::entry::INLINE_MAX;
use crate::keyspace::{Deadline, Event, NewValue};
use crate::resp::{Args, parse_i64};
use crate::value::bits::{self, BitOp};
use crate::value::number;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("BITCOUNT", bitcount)
        .args_since(&[("7.0.0", "unit")])
        .arity(-2)
        .flags(READ)
        .acl(Acl::BITMAP)
        .keys(READS_IT)
        .group(Group::Bitmap)
        .since("2.6.0")
        .cost("O(N), N bytes in the string.")
        .history(&[
            ("7.0.0", "Takes BYTE and BIT."),
            ("8.0.0", "The end may be left out: it is the last byte then."),
        ])
        .doc(
            "Counts the bits that are set in a string or a part of it.",
            "key range=[start end-unit-block=[end [BYTE | BIT]]]",
        ),
    cmd("BITOP", bitop)
        .arity(-4)
        .flags(GROW)
        .acl(Acl::BITMAP)
        .keys(&[
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ])
        .group(Group::Bitmap)
        .since("2.6.0")
        .cost("O(N), N bytes in all strings.")
        .doc(
            "Combines strings bit by bit and sets a key to the result.",
            "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey:key key [key ...]",
        ),
    cmd("BITPOS", bitpos)
        .args_since(&[("7.0.0", "unit")])
        .arity(-3)
        .flags(READ)
        .acl(Acl::BITMAP)
        .keys(READS_IT)
        .group(Group::Bitmap)
        .since("2.8.7")
        .cost("O(N), N bytes in the string.")
        .history(&[("7.0.0", "Takes BYTE and BIT.")])
        .doc(
            "Finds the first bit that is set, or clear, in a string or a part of it.",
            "key bit range=[start end-unit-block=[end [BYTE | BIT]]]",
        ),
    cmd("GETBIT", getbit)
        .arity(3)
        .flags(READ_FAST)
        .acl(Acl::BITMAP)
        .keys(READS_IT)
        .group(Group::Bitmap)
        .since("2.2.0")
        .doc("Answers one bit of a string.", "key offset"),
    cmd("SETBIT", setbit)
        .arity(4)
        .flags(GROW)
        .acl(Acl::BITMAP)
        .keys(CHANGES_IT)
        .group(Group::Bitmap)
        .since("2.2.0")
        .doc("Sets or clears one bit of a string and answers what it was.", "key offset value:integer"),
];

fn bitcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let window = Window::parse(&args, 2)?;
    let count = match cx.db.read_string(args.get(1))? {
        None => 0,
        Some(value) => {
            let mut digits = itoa::Buffer::new();
            let bytes = text(value, &mut digits);
            window.bits(bytes.len()).map_or(0, |(from, to)| bits::popcount_bits(bytes, from, to))
        }
    };
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

fn bitop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (op, name) = bit_op(args.get(1)).ok_or(Fault::SYNTAX)?;
    let (target, sources) = (args.get(2), args.from(3));
    match op {
        BitOp::Not if sources.len() != 1 => return Err(Fault::BITOP_NOT),
        BitOp::Diff | BitOp::Diff1 | BitOp::AndOr if sources.len() < 2 => {
            return Err(Fault::bitop_sources(name));
        }
        _ => {}
    }
    let mut kept: SmallVec<[Kept; 4]> = SmallVec::new();
    for key in sources.iter() {
        kept.push(Kept::of(cx.db.read_string(key)?));
    }
    let slices: SmallVec<[&[u8]; 8]> = kept.iter().map(Kept::bytes).collect();
    let result = bits::combine(op, &slices);
    let len = result.len();
    let mut w = cx.db.open(target);
    if len > 0 {
        if len > INLINE_MAX {
            w.set(NewValue::Shared(result.into()), Deadline::Clear);
        } else {
            w.set(NewValue::Bytes(&result), Deadline::Clear);
        }
        w.set_raw();
        w.commit(Event::SET);
    } else if w.exists() {
        w.remove();
        w.commit(Event::DEL);
    }
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

fn bitpos(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let bit = match int(args.get(2))? {
        0 => false,
        1 => true,
        _ => return Err(Fault::BIT_ARGUMENT),
    };
    let window = Window::parse(&args, 3)?;
    let position = match cx.db.read_string(args.get(1))? {
        // Beyond its end a string is all zeros.
        None => (!bit).then_some(0),
        Some(value) => {
            let mut digits = itoa::Buffer::new();
            let bytes = text(value, &mut digits);
            window.clamped(bytes.len()).bits(bytes.len()).and_then(|(from, to)| {
                let beyond = (!bit && window.end.is_none()).then_some(bytes.len() as u64 * 8);
                bits::first_bit(bytes, bit, from, to).or(beyond)
            })
        }
    };
    cx.out.int(position.map_or(-1, |at| at as i64));
    Ok(Outcome::Done)
}

fn getbit(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let offset = bit_offset(args.get(2), cx.settings)?;
    let bit = match cx.db.read_string(args.get(1))? {
        None => false,
        Some(value) => bits::get_bit(text(value, &mut itoa::Buffer::new()), offset),
    };
    cx.out.int(i64::from(bit));
    Ok(Outcome::Done)
}

fn setbit(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let offset = bit_offset(args.get(2), cx.settings)?;
    let bit = match args.get(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Fault::BIT_VALUE),
    };
    let mut w = cx.db.open(args.get(1));
    let len = (offset / 8) as usize + 1;
    let (was, grew) = with_bytes(&mut w, len, |bytes| bits::set_bit(bytes, offset, bit))?;
    if grew || was != bit {
        w.commit(Event::SETBIT);
    } else {
        w.commit_quietly(0);
    }
    cx.out.int(i64::from(was));
    Ok(Outcome::Done)
}

/// A bit's offset: not negative, and in a byte that a string may have.
pub(super) fn bit_offset(arg: &[u8], settings: &Settings) -> Result<u64, Fault> {
    scaled_bit_offset(arg, 1, settings)
}

/// A bit's offset given in units of `scale` bits.
pub(super) fn scaled_bit_offset(arg: &[u8], scale: u64, settings: &Settings) -> Result<u64, Fault> {
    parse_i64(arg)
        .and_then(|offset| u64::try_from(offset).ok()?.checked_mul(scale))
        .filter(|offset| offset / 8 < settings.bytes(Directive::ProtoMaxBulkLen))
        .ok_or(Fault::BIT_OFFSET)
}

/// The part of a string that BITCOUNT and BITPOS look at.
struct Window {
    start: i64,
    /// Included; the last one when it was not given.
    end: Option<i64>,
    counts_bits: bool,
}

impl Window {
    /// Reads `[start [end [BYTE | BIT]]]` from argument `at` on.
    fn parse(args: &Args<'_>, at: usize) -> Result<Window, Fault> {
        if args.len() > at + 3 {
            return Err(Fault::SYNTAX);
        }
        let start = args.opt(at).map_or(Ok(0), int)?;
        // The unit is judged before the end.
        let counts_bits = match args.opt(at + 2) {
            None => false,
            Some(unit) if unit.eq_ignore_ascii_case(b"BIT") => true,
            Some(unit) if unit.eq_ignore_ascii_case(b"BYTE") => false,
            Some(_) => return Err(Fault::SYNTAX),
        };
        let end = args.opt(at + 1).map(int).transpose()?;
        Ok(Window { start, end, counts_bits })
    }

    /// The same window with a start that lies in the string, as BITPOS wants it: where both ends lie before
    /// the string, their order no longer matters and the first unit is looked at.
    fn clamped(&self, len: usize) -> Window {
        let units = if self.counts_bits { len * 8 } else { len } as i64;
        let start = if self.start < 0 { self.start.saturating_add(units).max(0) } else { self.start };
        Window { start, ..*self }
    }

    /// First and last bit of the window in a string of `len` bytes; `None` when it is empty.
    fn bits(&self, len: usize) -> Option<(u64, u64)> {
        let units = if self.counts_bits { len * 8 } else { len };
        let range = number::range(units, self.start, self.end.unwrap_or(-1))?;
        let unit_bits = if self.counts_bits { 1 } else { 8 };
        Some((range.start as u64 * unit_bits, range.end as u64 * unit_bits - 1))
    }
}

fn bit_op(word: &[u8]) -> Option<(BitOp, &'static str)> {
    const WORDS: [(&str, BitOp); 8] = [
        ("AND", BitOp::And),
        ("OR", BitOp::Or),
        ("XOR", BitOp::Xor),
        ("NOT", BitOp::Not),
        ("DIFF", BitOp::Diff),
        ("DIFF1", BitOp::Diff1),
        ("ANDOR", BitOp::AndOr),
        ("ONE", BitOp::One),
    ];
    WORDS
        .into_iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(name, op)| (op, name))
}
