//! The request parser.
//! For: yielding the commands in received bytes one after another, as slices, and receiving large arguments
//! straight into their own allocations. May touch: bytes only; it reads no socket.
//! Always: bytes of a half-received command are looked at twice at most (a length line, at most 64 KiB, may
//! be searched again); what a client merely announces costs nothing until it arrives; after an error the
//! connection is to be closed.
//!
//! The caller owns the read buffer. It calls [`Parser::next`] until that answers [`Parsed::Incomplete`],
//! keeps the bytes `at..keep` (usually none), and calls again with a buffer that begins with the kept bytes.
//! When [`Parser::target`] answers a target, what arrives next belongs there rather than into the buffer;
//! putting it into the buffer behind the kept bytes is correct too, only slower.

use std::borrow::Cow;
use std::sync::Arc;

use super::args::{Command, Head, Scratch, Span, Start};
use super::inline;
use super::number::parse_i64;

/// An argument longer than this, in bytes, that is not all there yet is received into an allocation of its
/// own.
pub const BIG_ARG: usize = 32 * 1024;
/// An announced argument reserves at most this many bytes ahead, or as many as already came, whichever is
/// more.
const AHEAD_BYTES: usize = 1024 * 1024;
/// A length line without its line end may be this long, in bytes.
const LENGTH_LINE_MAX: usize = 64 * 1024;
/// Arguments and bytes per argument before authentication.
pub(super) const UNAUTHENTICATED_ARGS: i64 = 10;
const UNAUTHENTICATED_BULK: u64 = 16 * 1024;
/// Spans reserved ahead for an announced number of arguments.
const AHEAD_SPANS: usize = 1024;
/// The part of a command that lies in the read buffer; spans count in 32 bits.
const COMMAND_MAX: usize = u32::MAX as usize - 1;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument, in bytes (`proto-max-bulk-len`).
    pub max_bulk: u64,
    /// Longest inline command, in bytes.
    pub max_inline: usize,
    /// Most arguments of a command.
    pub max_multibulk: i64,
    /// Whether the client has authenticated, or needs not to.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_bulk: 512 * 1024 * 1024,
            max_inline: 64 * 1024,
            max_multibulk: i32::MAX as i64,
            authenticated: true,
        }
    }
}

/// Why a connection must be closed: what it sent is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The argument count is no number, or too large.
    InvalidMultibulkLength,
    /// The argument count's line does not end.
    TooBigCount,
    /// An argument's length line does not end.
    TooBigBulkCount,
    /// An argument's length line starts with this byte.
    ExpectedDollar(u8),
    /// An argument's length is no number, negative or too large.
    InvalidBulkLength,
    /// A CR is not followed by LF, or an argument not by CR LF.
    InvalidCrlf,
    /// An inline command does not end.
    TooBigInline,
    /// A quote in an inline command is not closed.
    UnbalancedQuotes,
    /// Too many arguments before authentication.
    UnauthenticatedMultibulk,
    /// Too long an argument before authentication.
    UnauthenticatedBulk,
    /// The parts of a command that are no big arguments pass 4 GiB.
    TooBigCommand,
}

impl ProtocolError {
    /// The error reply, with its `ERR` code and without the leading `-`.
    pub fn text(&self) -> Cow<'static, [u8]> {
        let text: &'static [u8] = match *self {
            ProtocolError::InvalidMultibulkLength => b"ERR Protocol error: invalid multibulk length",
            ProtocolError::TooBigCount => b"ERR Protocol error: too big mbulk count string",
            ProtocolError::TooBigBulkCount => b"ERR Protocol error: too big bulk count string",
            ProtocolError::ExpectedDollar(got) => {
                return Cow::Owned([b"ERR Protocol error: expected '$', got '", &[got][..], b"'"].concat());
            }
            ProtocolError::InvalidBulkLength => b"ERR Protocol error: invalid bulk length",
            ProtocolError::InvalidCrlf => b"ERR Protocol error: invalid CRLF in request",
            ProtocolError::TooBigInline => b"ERR Protocol error: too big inline request",
            ProtocolError::UnbalancedQuotes => b"ERR Protocol error: unbalanced quotes in request",
            ProtocolError::UnauthenticatedMultibulk => {
                b"ERR Protocol error: unauthenticated multibulk length"
            }
            ProtocolError::UnauthenticatedBulk => b"ERR Protocol error: unauthenticated bulk length",
            ProtocolError::TooBigCommand => b"ERR Protocol error: too big request",
        };
        Cow::Borrowed(text)
    }
}

/// What `Parser::next` found.
#[derive(Debug)]
pub enum Parsed {
    /// A complete command; its arguments are in the scratch.
    Command(Command),
    /// More must arrive. The caller keeps `buf[at..keep]`.
    Incomplete {
        /// End of the bytes to keep.
        keep: usize,
        /// At least this many bytes are still to come; a hint for sizing the next read.
        need: usize,
    },
}

/// Where the rest of a big argument belongs.
pub struct BulkTarget<'a> {
    /// Append here; capacity for some of it is reserved.
    pub data: &'a mut Vec<u8>,
    /// Append at most this many bytes.
    pub missing: usize,
}

/// A connection's place in its stream of requests. Empty between commands.
#[derive(Default, Debug)]
pub struct Parser {
    pending: Option<Box<Pending>>,
}

/// A half-received command of the `*` form.
#[derive(Default, Debug)]
struct Pending {
    spans: Vec<Span>,
    big: Vec<Arc<Vec<u8>>>,
    progress: Progress,
}

/// How far a command has been read.
#[derive(Default, Debug)]
struct Progress {
    /// Arguments still to come, the current one included.
    left: usize,
    /// Bytes done, from the command's first byte.
    pos: usize,
    /// The current argument's length when its length line has been read.
    payload: Option<usize>,
    /// The current argument when it is received into its own allocation; `payload` is then its length.
    receiving: Option<Vec<u8>>,
}

/// A length line's value and the position after it, or the line is not all there.
type Line = Option<(usize, usize)>;

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Whether a command of the `*` form is half received.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Memory held for a half-received command, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let Some(pending) = &self.pending else { return 0 };
        size_of::<Pending>()
            + pending.spans.capacity() * size_of::<Span>()
            + pending.big.iter().map(|data| data.capacity()).sum::<usize>()
            + pending.progress.receiving.as_ref().map_or(0, Vec::capacity)
    }

    /// Where what arrives next belongs, while a big argument is being received.
    pub fn target(&mut self) -> Option<BulkTarget<'_>> {
        let progress = &mut self.pending.as_mut()?.progress;
        let data = progress.receiving.as_mut()?;
        let missing = (progress.payload? + 2).saturating_sub(data.len());
        if missing > 0 && data.len() == data.capacity() {
            data.reserve_exact(missing.min(AHEAD_BYTES.max(data.len())));
        }
        Some(BulkTarget { data, missing })
    }

    /// Reads the next command of `buf[*at..]`, whose first bytes are those kept last time, and moves `at`
    /// past it. Empty requests are passed over.
    #[inline(always)]
    pub fn next(
        &mut self,
        buf: &[u8],
        at: &mut usize,
        scratch: &mut Scratch,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        if self.pending.is_none() {
            // As most buffers end; to find it out the careful way takes longer than a short request.
            if *at >= buf.len() {
                return Ok(Parsed::Incomplete { keep: buf.len(), need: 1 });
            }
            let first = scratch.spans.len();
            if let Some(len) = quick(window(buf, *at), scratch, limits) {
                return Ok(Parsed::Command(placed(scratch, first, at, len)));
            }
        }
        scratch.start = Start::Other;
        self.next_carefully(buf, at, scratch, limits)
    }

    /// [`Parser::next`] for whatever there may be: half a command, inline commands, errors.
    #[inline(never)]
    fn next_carefully(
        &mut self,
        buf: &[u8],
        at: &mut usize,
        scratch: &mut Scratch,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        if self.pending.is_some() {
            return self.resume(buf, at, scratch, limits);
        }
        loop {
            let rest = window(buf, *at);
            if rest.first() != Some(&b'*') {
                let first = scratch.spans.len();
                let Some(end) = read_inline(rest, scratch, limits)? else {
                    return Ok(Parsed::Incomplete { keep: buf.len(), need: 1 });
                };
                if scratch.spans.len() > first {
                    return Ok(Parsed::Command(placed(scratch, first, at, end)));
                }
                *at += end;
                continue;
            }
            let Some((count, pos)) = count_line(rest, limits)? else {
                return Ok(Parsed::Incomplete { keep: buf.len(), need: 1 });
            };
            if count == 0 {
                *at += pos;
                continue;
            }
            let first = scratch.spans.len();
            scratch.spans.reserve(count.min(AHEAD_SPANS));
            let mut progress = Progress { left: count, pos, payload: None, receiving: None };
            arguments(rest, &mut progress, &mut scratch.spans, limits)?;
            if progress.left > 0 {
                let spans = scratch.spans.split_off(first);
                let mut pending = Box::new(Pending { spans, big: Vec::new(), progress });
                let answer = pending.suspend(rest, *at);
                self.pending = Some(pending);
                return answer;
            }
            return Ok(Parsed::Command(placed(scratch, first, at, progress.pos)));
        }
    }

    #[cold]
    fn resume(
        &mut self,
        buf: &[u8],
        at: &mut usize,
        scratch: &mut Scratch,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        let Some(mut pending) = self.pending.take() else { return self.next(buf, at, scratch, limits) };
        let rest = window(buf, *at);
        if pending.payload(rest)? {
            arguments(rest, &mut pending.progress, &mut pending.spans, limits)?;
        }
        if pending.progress.left > 0 {
            let answer = pending.suspend(rest, *at);
            self.pending = Some(pending);
            return answer;
        }
        let (first, first_big) = (scratch.spans.len(), scratch.big.len());
        let moved = |span: &Span| match span.start {
            Span::BIG => Span::big(first_big + span.len as usize),
            _ => *span,
        };
        scratch.spans.extend(pending.spans.iter().map(moved));
        scratch.big.append(&mut pending.big);
        Ok(Parsed::Command(placed(scratch, first, at, pending.progress.pos)))
    }
}

impl Pending {
    /// Finishes the argument whose length line was read before. Answers whether the next one may be read.
    fn payload(&mut self, rest: &[u8]) -> Result<bool, ProtocolError> {
        let Some(len) = self.progress.payload else { return Ok(true) };
        let start = self.progress.pos;
        let there = rest.get(start..).unwrap_or(&[]);
        if let Some(mut data) = self.progress.receiving.take() {
            let part = &there[..there.len().min((len + 2).saturating_sub(data.len()))];
            receive(&mut data, part, len + 2);
            if data.len() < len + 2 {
                self.progress.receiving = Some(data);
                return Ok(false);
            }
            if &data[len..len + 2] != b"\r\n" {
                return Err(ProtocolError::InvalidCrlf);
            }
            data.truncate(len);
            self.spans.push(Span::big(self.big.len()));
            self.big.push(Arc::new(data));
            self.progress.pos += part.len();
        } else {
            let Some(end) = payload_end(there, len)? else { return Ok(false) };
            self.spans.push(Span { start: start as u32, len: len as u32 });
            self.progress.pos += end;
        }
        self.progress.left -= 1;
        self.progress.payload = None;
        Ok(true)
    }

    /// Settles what to keep of `rest`, which began at `at` of the caller's buffer.
    fn suspend(&mut self, rest: &[u8], at: usize) -> Result<Parsed, ProtocolError> {
        let Progress { pos, payload, ref mut receiving, .. } = self.progress;
        let Some(len) = payload else {
            return if rest.len() < COMMAND_MAX {
                Ok(Parsed::Incomplete { keep: at + rest.len(), need: 1 })
            } else {
                Err(ProtocolError::TooBigCommand)
            };
        };
        if len <= BIG_ARG {
            let need = (pos + len + 2).saturating_sub(rest.len()).max(1);
            return if pos + len + 2 < COMMAND_MAX {
                Ok(Parsed::Incomplete { keep: at + rest.len(), need })
            } else {
                Err(ProtocolError::TooBigCommand)
            };
        }
        let data = receiving.get_or_insert_with(|| {
            let mut data = Vec::new();
            receive(&mut data, rest.get(pos..).unwrap_or(&[]), len + 2);
            data
        });
        let need = (len + 2).saturating_sub(data.len());
        Ok(Parsed::Incomplete { keep: at + pos.min(rest.len()), need })
    }
}

/// The bytes a command may take up: `buf[at..]`, cut where spans end.
#[inline(always)]
fn window(buf: &[u8], at: usize) -> &[u8] {
    let rest = buf.get(at..).unwrap_or(&[]);
    if rest.len() > COMMAND_MAX { &rest[..COMMAND_MAX] } else { rest }
}

/// The command whose spans are the scratch's from `first` on, and which ends `len` bytes behind `at`.
#[inline(always)]
fn placed(scratch: &Scratch, first: usize, at: &mut usize, len: usize) -> Command {
    let count = (scratch.spans.len() - first) as u32;
    let command = Command { at: *at, bytes: len as u32, first: first as u32, count };
    *at += len;
    command
}

/// Appends `part` of an argument of `total` bytes, reserving ahead in proportion to what has come.
fn receive(data: &mut Vec<u8>, part: &[u8], total: usize) {
    if data.capacity() - data.len() < part.len() {
        let ahead = AHEAD_BYTES.max(data.len()).max(part.len());
        data.reserve_exact(ahead.min(total - data.len()));
    }
    data.extend_from_slice(part);
}

/// Reads an inline command, which may have no words: its length; `None` while its line is not all there.
fn read_inline(rest: &[u8], scratch: &mut Scratch, limits: &Limits) -> Result<Option<usize>, ProtocolError> {
    let searched = &rest[..rest.len().min(limits.max_inline + 1)];
    // A line ends at the first LF, but a NUL hides whatever follows it.
    let end = match memchr::memchr2(b'\n', 0, searched) {
        Some(end) if searched[end] == b'\n' => end,
        _ if rest.len() > limits.max_inline => return Err(ProtocolError::TooBigInline),
        _ => return Ok(None),
    };
    let line = &rest[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    inline::split(line, &mut scratch.spans, &mut scratch.big)?;
    Ok(Some(end + 1))
}

/// Reads a command all of which is there and as clients write it, in one pass; its length. On `None` no span
/// is left behind, and nothing is said about the command.
#[inline(always)]
fn quick(rest: &[u8], scratch: &mut Scratch, limits: &Limits) -> Option<usize> {
    let Scratch { spans, heads, start: kind, .. } = scratch;
    let longest = UNAUTHENTICATED_BULK.min(limits.max_bulk) as usize;
    let first = spans.len();
    let begins = rest.first_chunk().map(|bytes| u128::from_le_bytes(*bytes));
    let (mut left, mut pos);
    *kind = Start::Other;
    if let Some(begins) = begins
        && let place = Head::place(begins)
        && let head = &heads[usize::from(place)]
        && begins & head.mask == head.bytes
        && head.count != 0
        && i64::from(head.count) <= limits.max_multibulk
        && head.name.len as usize <= longest
    {
        *kind = Start::Same(place);
        spans.push(head.name);
        (left, pos) = (head.count - 1, (head.name.start + head.name.len + 2) as usize);
    } else {
        let (count, end) = quick_line(rest, 0, b'*')?;
        let most = if limits.authenticated { AHEAD_SPANS } else { UNAUTHENTICATED_ARGS as usize };
        if count == 0 || count > most || count as i64 > limits.max_multibulk {
            return None;
        }
        (left, pos) = (count as u32, end);
    }
    spans.reserve(left as usize);
    while left > 0 {
        if let Some((len, start)) = quick_line(rest, pos, b'$')
            && len <= longest
            && let Some(Some(b"\r\n")) = rest.get(start + len..).map(<[u8]>::first_chunk)
        {
            spans.push(Span { start: start as u32, len: len as u32 });
            pos = start + len + 2;
            left -= 1;
        } else {
            spans.truncate(first);
            return None;
        }
    }
    if *kind == Start::Other
        && let Some(begins) = begins
        && let Some(head) = Head::of(begins, &spans[first..])
    {
        let place = Head::place(begins);
        heads[usize::from(place)] = head;
        *kind = Start::New(place);
    }
    Some(pos)
}

/// Reads `*<count>`; counts below 1 read as 0.
fn count_line(rest: &[u8], limits: &Limits) -> Result<Line, ProtocolError> {
    match quick_line(rest, 0, b'*') {
        Some((count, end)) if count as i64 <= UNAUTHENTICATED_ARGS.min(limits.max_multibulk) => {
            Ok(Some((count, end)))
        }
        _ => any_count_line(rest, limits),
    }
}

#[cold]
fn any_count_line(rest: &[u8], limits: &Limits) -> Result<Line, ProtocolError> {
    let Some((line, end)) = any_line(rest, 0, ProtocolError::TooBigCount)? else { return Ok(None) };
    if rest[end - 1] != b'\n' {
        return Err(ProtocolError::InvalidCrlf);
    }
    let count = parse_i64(&line[1..]).ok_or(ProtocolError::InvalidMultibulkLength)?;
    if count > limits.max_multibulk {
        return Err(ProtocolError::InvalidMultibulkLength);
    }
    if count > UNAUTHENTICATED_ARGS && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedMultibulk);
    }
    Ok(Some((count.max(0) as usize, end)))
}

/// Reads arguments until all are there, or `rest` ends, or one must go into its own allocation.
fn arguments(
    rest: &[u8],
    progress: &mut Progress,
    spans: &mut Vec<Span>,
    limits: &Limits,
) -> Result<(), ProtocolError> {
    let quick_max = UNAUTHENTICATED_BULK.min(limits.max_bulk) as usize;
    let mut pos = progress.pos;
    let mut left = progress.left;
    while left > 0 {
        let (len, start) = match quick_line(rest, pos, b'$') {
            Some((len, start)) if len <= quick_max => (len, start),
            _ => match any_bulk_line(rest, pos, limits)? {
                Some(line) => line,
                None => break,
            },
        };
        pos = start;
        match payload_end(&rest[start..], len)? {
            Some(end) => pos += end,
            None => {
                progress.payload = Some(len);
                break;
            }
        }
        spans.push(Span { start: start as u32, len: len as u32 });
        left -= 1;
    }
    progress.pos = pos;
    progress.left = left;
    Ok(())
}

/// The position after an argument of `len` bytes and its line end, when all of it is there.
#[inline]
fn payload_end(there: &[u8], len: usize) -> Result<Option<usize>, ProtocolError> {
    match there.get(len..) {
        Some([b'\r', b'\n', ..]) => Ok(Some(len + 2)),
        Some([_, _, ..]) => Err(ProtocolError::InvalidCrlf),
        _ => Ok(None),
    }
}

#[cold]
fn any_bulk_line(rest: &[u8], pos: usize, limits: &Limits) -> Result<Line, ProtocolError> {
    let Some((line, end)) = any_line(rest, pos, ProtocolError::TooBigBulkCount)? else { return Ok(None) };
    // An empty line begins with its own CR.
    if rest[pos] != b'$' {
        return Err(ProtocolError::ExpectedDollar(rest[pos]));
    }
    if rest[end - 1] != b'\n' {
        return Err(ProtocolError::InvalidCrlf);
    }
    let len = parse_i64(&line[1..]).and_then(|len| u64::try_from(len).ok());
    let len = len.filter(|&len| len <= limits.max_bulk).ok_or(ProtocolError::InvalidBulkLength)?;
    if len > UNAUTHENTICATED_BULK && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulk);
    }
    let len = usize::try_from(len).map_err(|_| ProtocolError::InvalidBulkLength)?;
    Ok(Some((len, end)))
}

/// Reads a well-formed length line of up to 5 digits; `None` for anything else, which the `any_` readers then
/// judge, and for a line in the last 7 bytes.
#[inline(always)]
fn quick_line(rest: &[u8], pos: usize, sign: u8) -> Line {
    let line = rest.get(pos..)?;
    let head = u64::from_le_bytes(*line.first_chunk()?);
    // Exclusive or with what is expected leaves the digits where they stand and zeros elsewhere.
    let one = head as u32 ^ u32::from_le_bytes([sign, b'0', b'\r', b'\n']);
    if one.rotate_right(8) <= 9 {
        return Some((one.rotate_right(8) as usize, pos + 4));
    }
    let two = head ^ u64::from_le_bytes([sign, b'0', b'0', b'\r', b'\n', 0, 0, 0]);
    let (tens, ones) = (two >> 8 & 0xff, two >> 16 & 0xff);
    if two as u8 != 0 || !(1..=9).contains(&tens) || ones > 9 {
        return None;
    }
    let value = (tens * 10 + ones) as usize;
    if two >> 24 & 0xffff == 0 { Some((value, pos + 5)) } else { quick_long_line(line, value, pos) }
}

/// The rest of [`quick_line`] after two digits.
fn quick_long_line(line: &[u8], mut value: usize, pos: usize) -> Line {
    for (i, &byte) in line.iter().enumerate().take(6).skip(3) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let ends = byte == b'\r' && line.get(i + 1) == Some(&b'\n');
            return ends.then_some((value, pos + i + 2));
        }
        value = value * 10 + digit as usize;
    }
    let ends = line.get(6..8) == Some(b"\r\n");
    ends.then_some((value, pos + 8))
}

/// Finds the line at `pos`: the bytes before its CR, and the position two past the CR. What stands between is
/// not checked. `None` while those two are not there.
fn any_line(
    rest: &[u8],
    pos: usize,
    too_long: ProtocolError,
) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let line = rest.get(pos..).unwrap_or(&[]);
    match memchr::memchr(b'\r', line) {
        // Judged by its length alone, however much of it came at once.
        Some(end) if end > LENGTH_LINE_MAX => Err(too_long),
        Some(end) if end + 1 < line.len() => Ok(Some((&line[..end], pos + end + 2))),
        Some(_) => Ok(None),
        None if line.len() > LENGTH_LINE_MAX => Err(too_long),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::HEADS;
    use super::*;

    /// Bytes received, the commands in them, and the error that follows.
    type Case = (&'static [u8], &'static [&'static [&'static [u8]]], Option<ProtocolError>);

    /// Every command in `stream`, received in pieces of `step` bytes; and the error that ended it.
    fn commands(stream: &[u8], step: usize, limits: &Limits) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let (mut parser, mut scratch) = (Parser::new(), Scratch::new());
        let (mut found, mut buf) = (Vec::new(), Vec::new());
        for piece in stream.chunks(step) {
            buf.extend_from_slice(piece);
            let mut at = 0;
            let keep = loop {
                match parser.next(&buf, &mut at, &mut scratch, limits) {
                    Ok(Parsed::Command(command)) => {
                        let args = scratch.args(&buf, &command);
                        assert_eq!((args.len(), command.bytes().end), (command.len(), at));
                        found.push(args.iter().map(<[u8]>::to_vec).collect());
                        scratch.clear();
                    }
                    Ok(Parsed::Incomplete { keep, need }) => {
                        assert!(need > 0 && at <= keep && keep <= buf.len());
                        break keep;
                    }
                    Err(error) => return (found, Some(error)),
                }
            };
            buf = buf[at..keep].to_vec();
        }
        (found, None)
    }

    fn check(stream: &[u8], limits: &Limits, expected: &[&[&[u8]]], error: Option<ProtocolError>) {
        let expected: Vec<Vec<Vec<u8>>> =
            expected.iter().map(|args| args.iter().map(|arg| arg.to_vec()).collect()).collect();
        for step in [stream.len().max(1), 1, 2, 3, 7] {
            let shown = String::from_utf8_lossy(&stream[..stream.len().min(60)]);
            assert_eq!(commands(stream, step, limits), (expected.clone(), error), "{shown:?} by {step}");
        }
    }

    #[test]
    fn what_begins_in_the_same_way_has_the_same_name_and_as_many_arguments() {
        let get = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
        let streams: [&[u8]; 8] = [
            get,
            b"*2\r\n$3\r\nGET\r\n$30\r\nabcdefghijklmnopqrstuvwxyzabcd\r\n",
            b"*2\r\n$3\r\nget\r\n$1\r\na\r\n",
            b"*3\r\n$3\r\nGET\r\n$1\r\na\r\n$1\r\na\r\n",
            b"*2\r\n$4\r\nGETX\r\n$1\r\na\r\n",
            b"PING\r\n",
            b"*2\r\n$9\r\nMEMBERSOF\r\n$1\r\na\r\n",
            b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
        ];
        let (mut scratch, mut kept, mut same) = (Scratch::new(), vec![None; HEADS], 0);
        for turn in 0..64 {
            let bytes = [streams[turn % 8], streams[turn / 8], get].concat();
            let (mut parser, mut at) = (Parser::new(), 0);
            while let Ok(Parsed::Command(command)) =
                parser.next(&bytes, &mut at, &mut scratch, &Limits::default())
            {
                let args = scratch.args(&bytes, &command);
                let about = Some((args.get(0).to_vec(), args.len()));
                match scratch.start() {
                    Start::Other => {}
                    Start::New(place) => kept[usize::from(place)] = about,
                    Start::Same(place) => {
                        assert_eq!(kept[usize::from(place)], about);
                        same += 1;
                    }
                }
            }
        }
        assert!(same > 64, "{same}");
    }

    #[test]
    fn requests_are_read_as_a_real_server_reads_them() {
        use ProtocolError::*;
        let all = Limits::default();
        let ping: &[&[&[u8]]] = &[&[b"PING"]];
        let cases: &[Case] = &[
            (b"*1\r\n$4\r\nPING\r\n", ping, None),
            (b"*2\r\n$0\r\n\r\n$2\r\n\r\n\r\nPING\r\n", &[&[b"", b"\r\n"], &[b"PING"]], None),
            (b"*0\r\nPING\r\n", ping, None),
            (b"*-1\r\nPING\r\n", ping, None),
            (b"*-9223372036854775808\r\nPING\r\n", ping, None),
            (b"*12\r\n", &[], None),
            (b"*2147483647\r\n", &[], None),
            (b"*1\r\n$536870912\r\n", &[], None),
            (b"*2147483648\r\n", &[], Some(InvalidMultibulkLength)),
            (b"*9223372036854775808\r\n", &[], Some(InvalidMultibulkLength)),
            (b"*+1\r\n", &[], Some(InvalidMultibulkLength)),
            (b"*01\r\n", &[], Some(InvalidMultibulkLength)),
            (b"*-0\r\n", &[], Some(InvalidMultibulkLength)),
            (b"*\r\n", &[], Some(InvalidMultibulkLength)),
            (b"*1 \r\n", &[], Some(InvalidMultibulkLength)),
            (b"*1\n$4\r\nPING\r\n", &[], Some(InvalidMultibulkLength)),
            (b"*1\r$", &[], Some(InvalidCrlf)),
            (b"*x\r$", &[], Some(InvalidCrlf)),
            (b"*1\r\n$4\rX", &[], Some(InvalidCrlf)),
            (b"*1\r\n$4\r\nPINGXY", &[], Some(InvalidCrlf)),
            (b"*1\r\n$4\r\nPING\rX", &[], Some(InvalidCrlf)),
            (b"*1\r\n$4\r\nPINGX", &[], None),
            (b"*1\r\nx\rY", &[], Some(ExpectedDollar(b'x'))),
            (b"*1\r\nx", &[], None),
            (b"*1\r\nx\r", &[], None),
            (b"*1\r\n\r\n", &[], Some(ExpectedDollar(b'\r'))),
            (b"*1\r\n$-1\r\n", &[], Some(InvalidBulkLength)),
            (b"*1\r\n$\r\n", &[], Some(InvalidBulkLength)),
            (b"*1\r\n$04\r\n", &[], Some(InvalidBulkLength)),
            (b"*1\r\n$00\r\n", &[], Some(InvalidBulkLength)),
            (b"*1\r\n$+4\r\n", &[], Some(InvalidBulkLength)),
            (b"*1\r\n$536870913\r\n", &[], Some(InvalidBulkLength)),
            (b"PING\r\n*a\r\nPING\r\n", ping, Some(InvalidMultibulkLength)),
            (b"+PING\r\n", &[&[b"+PING"]], None),
        ];
        for (stream, expected, error) in cases {
            check(stream, &all, expected, *error);
        }
    }

    #[test]
    fn inline_commands_follow_the_quoting_rules() {
        use ProtocolError::*;
        let all = Limits::default();
        let cases: &[Case] = &[
            (b"PING\n", &[&[b"PING"]], None),
            (b"\r\n \n  a \t b\rc \x0b\x0cd\x0be\r\r\n", &[&[b"a", b"b", b"c", b"d\x0be"]], None),
            (
                b"a \"\\x41\\xfF\\n\\r\\t\\b\\a\\q\\\\\\\"\"\r\n",
                &[&[b"a", b"A\xff\n\r\t\x08\x07q\\\""]],
                None,
            ),
            (b"a 'b\\'\\n\\x41' ''\r\n", &[&[b"a", b"b'\\n\\x41", b""]], None),
            (b"a \"\\xZ1\\x4\"\r\n", &[&[b"a", b"xZ1x4"]], None),
            (b"a b\" c\"d'e f'\n", &[&[b"a", b"b cde f"]], None),
            (b"\"\"\r\nb\r\n", &[&[b""], &[b"b"]], None),
            (b"a\\n\r\n", &[&[b"a\\n"]], None),
            (b"'b\\'\r\n\"b\\\"\r\n", &[&[b"b\\"], &[b"b\\"]], None),
            (b"\xffa \xff 'b\xff'\r\n", &[&[b"a", b"", b"b"]], None),
            (b"a \"b\r\n", &[], Some(UnbalancedQuotes)),
            (b"a 'b\r\n", &[], Some(UnbalancedQuotes)),
            (b"a \"\\\r\n", &[], Some(UnbalancedQuotes)),
            (b"a\0b\r\nPING\r\n", &[], None),
        ];
        for (stream, expected, error) in cases {
            check(stream, &all, expected, *error);
        }
    }

    #[test]
    fn lines_that_do_not_end_are_refused_past_64_kib() {
        use ProtocolError::*;
        let all = Limits::default();
        let long = |prefix: &[u8], total: usize| [prefix, &vec![b'1'; total - prefix.len()]].concat();
        let cases = [
            (long(b"*", 65536), None),
            (long(b"*", 65537), Some(TooBigCount)),
            (long(b"*1\r\n$", 65540), None),
            (long(b"*1\r\n$", 65541), Some(TooBigBulkCount)),
            (long(b"A", 65536), None),
            (long(b"A", 65537), Some(TooBigInline)),
            (long(b"\0", 65537), Some(TooBigInline)),
        ];
        for (stream, error) in cases {
            assert_eq!(commands(&stream, stream.len(), &all), (vec![], error));
            assert_eq!(commands(&stream, 1000, &all), (vec![], error));
        }
        let line = [&long(b"A", 65536)[..], b"\n"].concat();
        assert_eq!(commands(&line, line.len(), &all).0.len(), 1);
    }

    #[test]
    fn strangers_may_send_little() {
        use ProtocolError::*;
        let strangers = Limits { authenticated: false, ..Limits::default() };
        let cases: &[(&[u8], Option<ProtocolError>)] = &[
            (b"*10\r\n", None),
            (b"*11\r\n", Some(UnauthenticatedMultibulk)),
            (b"*2147483648\r\n", Some(InvalidMultibulkLength)),
            (b"*11\rX", Some(InvalidCrlf)),
            (b"*1\r\n$16384\r\n", None),
            (b"*1\r\n$16385\r\n", Some(UnauthenticatedBulk)),
            (b"*1\r\n$99999999999\r\n", Some(InvalidBulkLength)),
        ];
        for (stream, error) in cases {
            check(stream, &strangers, &[], *error);
        }
    }

    #[test]
    fn a_big_argument_is_received_into_its_own_allocation() {
        let payload: Vec<u8> = (0..3_000_000usize).map(|i| (i % 251) as u8).collect();
        let head = format!("*4\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", payload.len()).into_bytes();
        let (mut parser, mut scratch, limits) = (Parser::new(), Scratch::new(), Limits::default());
        let mut buf = [&head[..], &payload[..10]].concat();
        let mut at = 0;
        let parsed = parser.next(&buf, &mut at, &mut scratch, &limits);
        assert!(
            matches!(parsed, Ok(Parsed::Incomplete { keep, need }) if keep == head.len() && need == 2_999_992)
        );
        buf.truncate(head.len());
        let rest = [&payload[10..], b"\r\n"].concat();
        let mut sent = 0;
        while let Some(BulkTarget { data, missing }) = parser.target().filter(|target| target.missing > 0) {
            assert!(data.capacity() > data.len(), "room is reserved");
            assert!(data.capacity() <= 2 * data.len() + AHEAD_BYTES, "not much more than has come");
            let n = missing.min(70_000);
            data.extend_from_slice(&rest[sent..sent + n]);
            sent += n;
        }
        assert_eq!(sent, rest.len());
        buf.extend_from_slice(b"$2\r\nNX\r\nPING\r\n");
        let Ok(Parsed::Command(command)) = parser.next(&buf, &mut at, &mut scratch, &limits) else {
            panic!("a command")
        };
        let args = scratch.args(&buf, &command);
        assert_eq!(args.iter().collect::<Vec<_>>(), [b"SET", &b"k"[..], &payload, b"NX"]);
        assert_eq!(args.shared(2).map(|data| data.len()), Some(payload.len()));
        assert!(args.shared(1).is_none() && !parser.is_pending());
        assert!(matches!(parser.next(&buf, &mut at, &mut scratch, &limits), Ok(Parsed::Command(_))));
        assert_eq!(at, buf.len());
    }

    #[test]
    fn big_arguments_survive_any_split() {
        let big = vec![b'b'; BIG_ARG + 100];
        let mut stream = Vec::new();
        for _ in 0..2 {
            stream.extend_from_slice(format!("*3\r\n$1\r\na\r\n${}\r\n", big.len()).as_bytes());
            stream.extend_from_slice(&big);
            stream.extend_from_slice(b"\r\n$1\r\nz\r\n");
        }
        let big_bytes = big.len();
        let one = vec![b"a".to_vec(), big, b"z".to_vec()];
        for step in [1, 13, 4096, 32 * 1024, 40_000, stream.len()] {
            assert_eq!(
                commands(&stream, step, &Limits::default()),
                (vec![one.clone(); 2], None),
                "by {step}"
            );
        }
        let head_bytes = "*3\r\n$1\r\na\r\n$32868\r\n".len();
        let broken = [&stream[..head_bytes + big_bytes], b"XY"].concat();
        assert_eq!(commands(&broken, 5000, &Limits::default()).1, Some(ProtocolError::InvalidCrlf));
    }

    #[test]
    fn an_announced_length_costs_nothing() {
        let (mut parser, mut scratch, mut at) = (Parser::new(), Scratch::new(), 0);
        let buf = b"*2147483647\r\n$536870912\r\nx";
        let parsed = parser.next(buf, &mut at, &mut scratch, &Limits::default());
        assert!(matches!(parsed, Ok(Parsed::Incomplete { keep: 25, .. })));
        assert!(parser.memory_bytes() <= AHEAD_BYTES + 64 * 1024, "{}", parser.memory_bytes());
    }

    #[test]
    fn a_trickled_command_of_many_arguments_is_not_read_again() {
        // Quadratic work would take minutes here.
        let mut stream = b"*200000\r\n".to_vec();
        stream.extend(b"$1\r\nx\r\n".repeat(200_000));
        let (mut parser, mut scratch, mut at) = (Parser::new(), Scratch::new(), 0);
        for end in 0..stream.len() {
            let parsed = parser.next(&stream[..end], &mut at, &mut scratch, &Limits::default());
            assert!(matches!(parsed, Ok(Parsed::Incomplete { .. })));
        }
        let parsed = parser.next(&stream, &mut at, &mut scratch, &Limits::default());
        assert!(matches!(parsed, Ok(Parsed::Command(command)) if command.len() == 200_000));
    }

    #[test]
    fn several_commands_may_lie_in_one_scratch() {
        let buf = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nGET \"b\"\r\nGET 'c'\r\n";
        let (mut parser, mut scratch, mut at) = (Parser::new(), Scratch::new(), 0);
        let mut found = Vec::new();
        while let Ok(Parsed::Command(command)) = parser.next(buf, &mut at, &mut scratch, &Limits::default()) {
            found.push(command);
        }
        let keys: Vec<&[u8]> = found.iter().map(|command| scratch.args(buf, command).get(1)).collect();
        assert_eq!(keys, [b"a", b"b", b"c"]);
    }
}
