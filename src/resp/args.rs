//! The arguments of a command, as slices of what was received.
//! For: handing a parsed command around without copying it, and copying it when it must outlive its turn. May
//! touch: bytes only.
//! Always: a span lies inside the bytes of its own command, or names an entry of the big list beside it.

use std::ops::{Index, Range};
use std::sync::Arc;

use super::parse::{BIG_ARG, UNAUTHENTICATED_ARGS};

/// One argument: a range of the command's bytes, or an entry of the big list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset from the command's first byte, or [`Span::BIG`].
    pub start: u32,
    /// Bytes of the argument; with `start == BIG`, its index in the big list.
    pub len: u32,
}

impl Span {
    /// Marks an argument that lies in an allocation of its own.
    pub const BIG: u32 = u32::MAX;

    pub(super) fn big(index: usize) -> Span {
        Span { start: Span::BIG, len: index as u32 }
    }
}

/// Where one complete command lies: its bytes in the read buffer and its spans in the [`Scratch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Where the command's bytes begin in the buffer that was parsed, and their number.
    pub(super) at: usize,
    pub(super) bytes: u32,
    /// Its first span, and their number.
    pub(super) first: u32,
    pub(super) count: u32,
}

impl Command {
    /// The command's bytes in the buffer that was parsed.
    #[inline]
    pub fn bytes(&self) -> Range<usize> {
        self.at..self.at + self.bytes as usize
    }

    /// Number of arguments, the command's name included; never 0.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Always false: requests without arguments are not commands.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Reusable memory for parsed commands, one per worker: several commands may lie in it at once.
#[derive(Default, Debug)]
pub struct Scratch {
    pub(super) spans: Vec<Span>,
    /// The big arguments of all commands.
    pub(super) big: Vec<Arc<Vec<u8>>>,
    pub(super) heads: [Head; HEADS],
    pub(super) start: Start,
}

/// Beginnings of commands that are kept.
pub const HEADS: usize = 16;

/// How the command parsed last began. Where two of them are said to be the same, so are the number of
/// arguments and, to the letter, the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// In a way that is not kept.
    #[default]
    Other,
    /// In one that is kept from now on, at this place in [`HEADS`], instead of what was there.
    New(u8),
    /// In the one that is kept at this place.
    Same(u8),
}

/// How a command began: what comes again is not read again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The first bytes up to the end of the name's line, zeros behind them, and which of them count.
    pub(super) bytes: u128,
    pub(super) mask: u128,
    /// Number of arguments; 0: nothing is known.
    pub(super) count: u32,
    pub(super) name: Span,
}

impl Default for Head {
    fn default() -> Head {
        Head { bytes: 0, mask: 0, count: 0, name: Span { start: 0, len: 0 } }
    }
}

impl Head {
    /// As many as may be sent before authentication.
    const MOST_ARGS: usize = UNAUTHENTICATED_ARGS as usize;

    /// The only place where one is kept that begins with these bytes: number of arguments, length of the name
    /// and its first letters tell most that are in use apart.
    #[inline]
    pub(super) fn place(begins: u128) -> u8 {
        let (count, name) = ((begins >> 8) as u64 & 0xff, (begins >> 32) as u64);
        let mixed = (name ^ count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (u64::BITS - HEADS.ilog2())) as u8
    }

    /// Of a command with these spans, which begins with these bytes. Nothing where they do not reach to the
    /// end of the name's line, or the number of arguments is one that not everybody may send.
    pub(super) fn of(begins: u128, spans: &[Span]) -> Option<Head> {
        let (name, count) = (spans[0], spans.len());
        let end = (name.start + name.len + 2) as usize;
        if end > size_of::<u128>() || count > Self::MOST_ARGS {
            return None;
        }
        let mask = u128::MAX >> (8 * (size_of::<u128>() - end));
        Some(Head { bytes: begins & mask, mask, count: count as u32, name })
    }
}

impl Scratch {
    /// More spans than this are not kept for the next turn.
    const KEPT_SPANS: usize = 64 * 1024;

    /// Empty memory.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Forgets all commands. Their big arguments are released unless somebody else holds them.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.big.clear();
        if self.spans.capacity() > Self::KEPT_SPANS {
            self.spans.shrink_to(Self::KEPT_SPANS);
        }
    }

    /// The arguments of `command`, which was parsed from `buf` into this scratch since the last `clear`.
    #[inline]
    pub fn args<'a>(&'a self, buf: &'a [u8], command: &Command) -> Args<'a> {
        Args {
            buf: &buf[command.at..][..command.bytes as usize],
            spans: &self.spans[command.first as usize..][..command.count as usize],
            big: &self.big,
        }
    }

    /// How the command parsed last began.
    #[inline]
    pub fn start(&self) -> Start {
        self.start
    }
}

/// A view of a command's arguments.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
    /// Also of others.
    big: &'a Vec<Arc<Vec<u8>>>,
}

impl<'a> Args<'a> {
    /// Number of arguments.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes that were received for it, those of the protocol included.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        if self.big.is_empty() { self.buf.len() } else { self.buf.len() + self.big_bytes() }
    }

    /// What was received into its own allocation left neither its bytes nor its line end in the buffer.
    #[inline(never)]
    fn big_bytes(self) -> usize {
        let big = self.spans.iter().filter(|span| span.start == Span::BIG);
        big.map(|span| self.big[span.len as usize].len() + 2).sum()
    }

    /// Argument `i`. Panics when there are not that many: arity is checked before a handler runs.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        self.bytes_of(self.spans[i])
    }

    /// Argument `i`, if there are that many.
    #[inline]
    pub fn opt(&self, i: usize) -> Option<&'a [u8]> {
        self.spans.get(i).map(|&span| self.bytes_of(span))
    }

    /// Argument `i` as a shared allocation, when it is longer than [`BIG_ARG`] and was received into one of
    /// its own.
    pub fn shared(&self, i: usize) -> Option<&'a Arc<Vec<u8>>> {
        let span = self.spans.get(i).filter(|span| span.start == Span::BIG)?;
        self.big.get(span.len as usize).filter(|data| data.len() > BIG_ARG)
    }

    /// The arguments from the `i`th on; none when there are fewer.
    #[inline]
    pub fn from(&self, i: usize) -> Args<'a> {
        Args { spans: self.spans.get(i..).unwrap_or(&[]), ..*self }
    }

    /// The first `count` arguments; all of them when there are fewer.
    #[inline]
    pub fn to(&self, count: usize) -> Args<'a> {
        Args { spans: self.spans.get(..count).unwrap_or(self.spans), ..*self }
    }

    /// The arguments in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let view = *self;
        self.spans.iter().map(move |&span| view.bytes_of(span))
    }

    /// A copy that outlives the read buffer. Arguments in allocations of their own are shared, not copied.
    pub fn to_owned(&self) -> OwnedArgs {
        let total =
            self.spans.iter().filter(|span| span.start != Span::BIG).map(|span| span.len as usize).sum();
        let mut owned = OwnedArgs::with_capacity(self.len(), total);
        for &span in self.spans {
            if span.start == Span::BIG {
                owned.push_shared(self.big[span.len as usize].clone());
            } else {
                owned.push(self.bytes_of(span));
            }
        }
        owned
    }

    #[inline]
    fn bytes_of(&self, span: Span) -> &'a [u8] {
        if span.start == Span::BIG {
            return &self.big[span.len as usize];
        }
        let start = span.start as usize;
        &self.buf[start..start + span.len as usize]
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, i: usize) -> &[u8] {
        self.get(i)
    }
}

/// A command that outlives its read buffer: queued in a transaction, or waiting for a key.
#[derive(Clone, Default, Debug)]
pub struct OwnedArgs {
    buf: Vec<u8>,
    spans: Vec<Span>,
    big: Vec<Arc<Vec<u8>>>,
}

impl OwnedArgs {
    /// No arguments yet, with room for `args` of `bytes` in all.
    pub fn with_capacity(args: usize, bytes: usize) -> OwnedArgs {
        OwnedArgs { buf: Vec::with_capacity(bytes), spans: Vec::with_capacity(args), big: Vec::new() }
    }

    /// Forgets the arguments and keeps their memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
        self.big.clear();
    }

    /// Appends a copy of `arg`.
    pub fn push(&mut self, arg: &[u8]) {
        if arg.len() > BIG_ARG {
            return self.push_shared(Arc::new(arg.to_vec()));
        }
        let Some(start) = u32::try_from(self.buf.len()).ok().filter(|&start| start < Span::BIG) else {
            return self.push_shared(Arc::new(arg.to_vec()));
        };
        self.spans.push(Span { start, len: arg.len() as u32 });
        self.buf.extend_from_slice(arg);
    }

    /// Appends an argument without copying its bytes.
    pub fn push_shared(&mut self, arg: Arc<Vec<u8>>) {
        self.spans.push(Span::big(self.big.len()));
        self.big.push(arg);
    }

    /// The view handlers take.
    pub fn as_args(&self) -> Args<'_> {
        Args { buf: &self.buf, spans: &self.spans, big: &self.big }
    }

    /// Memory held, in bytes; big arguments count in full though they may be shared.
    pub fn memory_bytes(&self) -> usize {
        self.buf.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.big.iter().map(|data| data.capacity()).sum::<usize>()
    }
}

impl<'s> FromIterator<&'s [u8]> for OwnedArgs {
    fn from_iter<I: IntoIterator<Item = &'s [u8]>>(args: I) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        args.into_iter().for_each(|arg| owned.push(arg));
        owned
    }
}

/// Commands that outlive their read buffer, one behind the other in memory that they share.
#[derive(Default, Debug)]
pub struct ArgsList {
    buf: Vec<u8>,
    spans: Vec<Span>,
    big: Vec<Arc<Vec<u8>>>,
    /// Where the bytes and spans of each command end.
    ends: Vec<(usize, usize)>,
}

impl ArgsList {
    /// Room for a few small commands.
    pub fn for_a_few() -> ArgsList {
        ArgsList {
            buf: Vec::with_capacity(512),
            spans: Vec::with_capacity(32),
            big: Vec::new(),
            ends: Vec::with_capacity(8),
        }
    }

    /// Appends a copy of a command. Arguments in allocations of their own are shared, not copied.
    pub fn push(&mut self, args: &Args<'_>) {
        self.buf.extend_from_slice(args.buf);
        if args.big.is_empty() {
            self.spans.extend_from_slice(args.spans);
        } else {
            for &span in args.spans {
                let is_big = span.start == Span::BIG;
                self.spans.push(if is_big { Span::big(self.big.len()) } else { span });
                self.big.extend(is_big.then(|| args.big[span.len as usize].clone()));
            }
        }
        self.ends.push((self.buf.len(), self.spans.len()));
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Command `at`. Panics when there are not that many.
    pub fn get(&self, at: usize) -> Args<'_> {
        let (buf, spans) = if at == 0 { (0, 0) } else { self.ends[at - 1] };
        let ends = self.ends[at];
        Args { buf: &self.buf[buf..ends.0], spans: &self.spans[spans..ends.1], big: &self.big }
    }

    /// Memory held by the last command, in bytes; big arguments count in full though they may be shared.
    pub fn last_bytes(&self) -> usize {
        let Some(last) = self.len().checked_sub(1) else { return 0 };
        let args = self.get(last);
        args.size_bytes() + size_of_val(args.spans) + size_of::<(usize, usize)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_a_list_are_each_their_own() {
        let mut big = OwnedArgs::default();
        big.push(b"SET");
        big.push(&vec![b'x'; BIG_ARG + 1]);
        let small: OwnedArgs = [&b"GET"[..], b"", b"key"].into_iter().collect();
        let mut list = ArgsList::default();
        for args in [&small, &big, &small] {
            list.push(&args.as_args());
        }
        list.push(&small.as_args().from(2));
        let all: Vec<Vec<&[u8]>> = (0..list.len()).map(|at| list.get(at).iter().collect()).collect();
        let expected: Vec<Vec<&[u8]>> = [&small, &big, &small]
            .iter()
            .map(|args| args.as_args().iter().collect())
            .chain([vec![&b"key"[..]]])
            .collect();
        assert_eq!(all, expected);
        assert!(Arc::ptr_eq(list.get(1).shared(1).unwrap(), big.as_args().shared(1).unwrap()));
    }

    #[test]
    fn an_owned_copy_has_the_same_arguments_and_shares_the_big_ones() {
        let big = vec![b'x'; BIG_ARG + 1];
        let mut first: OwnedArgs = [&b"SET"[..], b"", b"key"].into_iter().collect();
        first.push(&big);
        first.push(b"tail");
        let copy = first.as_args().to_owned();
        let (left, right) = (first.as_args(), copy.as_args());
        assert!(left.iter().eq(right.iter()));
        assert_eq!(right.len(), 5);
        assert_eq!(&right[3], &big[..]);
        assert!(right.shared(2).is_none());
        assert!(Arc::ptr_eq(left.shared(3).expect("shared"), right.shared(3).expect("shared")));
    }

    #[test]
    fn a_view_can_drop_its_first_arguments() {
        let owned: OwnedArgs = [&b"a"[..], b"b", b"c"].into_iter().collect();
        let args = owned.as_args();
        assert_eq!(args.from(1).iter().collect::<Vec<_>>(), [b"b", b"c"]);
        assert_eq!(args.from(3).len(), 0);
        assert!(args.from(9).is_empty());
        assert_eq!(args.opt(3), None);
        assert_eq!(args.iter().next_back(), Some(&b"c"[..]));
    }
}
