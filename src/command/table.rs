//! All commands by name.
//!
//! For: finding the row of a request without allocating, whatever its case. May touch: rows.
//! Always: every row and subrow has one index, in table order; statistics are kept by it.

use super::row::{Command, Flags, Group, Locks};
use super::{Find, Host, KeySpec};
use crate::resp::Args;

/// Where the keys are, in the form the executor uses: most commands have one key, at argument 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// No key.
    None,
    /// Argument 1.
    First,
    /// Whatever the specifications say.
    Specified,
}

/// A row in the table.
pub struct Entry {
    /// The row.
    pub row: &'static Command,
    /// Lower-case name with its container: `get`, `config|set`.
    pub full_name: String,
    /// Its place in statistics.
    pub index: usize,
    /// Indices of its subcommands' entries.
    pub subs: std::ops::Range<usize>,
    /// Where its keys are.
    pub places: Places,
    /// Where the first of them is, 0 if that is nowhere in particular.
    first: u8,
    /// Some arguments name keys that only the data tells ([`Find::Derived`]).
    may_derive: bool,
    /// It always has one key, argument 1, locks no more than that key's shard, never blocks, and no setting
    /// forbids it.
    pub is_plain: bool,
    /// It takes about as long each time, if request and reply are short.
    pub is_quick: bool,
    /// What the connection sent after it may be read before it has run, and it waits for nobody.
    pub is_ordinary: bool,
    /// As the row's arity says; a container takes none.
    least_args: u32,
    most_args: u32,
}

/// The table.
pub struct Table {
    entries: Vec<Entry>,
    /// Number of top-level commands: they come first in `entries`.
    top: usize,
    /// Open addressing by [`fold`]. A power of two in size, at most half full.
    names: Box<[Option<Name>]>,
}

/// A name by which an entry is found.
#[derive(Clone, Copy)]
struct Name {
    words: (u64, u64),
    len: u32,
    /// Words and length alone tell it from every other: up to 16 bytes, all of them letters.
    is_plain: bool,
    at: u16,
}

impl Table {
    /// The table of these families, less the commands `hidden` names (`rename-command` to nothing, lower
    /// case) and with others renamed.
    pub fn new(families: &[&'static [Command]], renamed: &[(String, String)]) -> Table {
        let rows: Vec<&'static Command> = families.iter().flat_map(|f| f.iter()).collect();
        let top = rows.len();
        let mut entries: Vec<Entry> = Vec::with_capacity(top * 2);
        for (index, row) in rows.iter().enumerate() {
            entries.push(Entry::of(row, row.name.to_ascii_lowercase(), index));
        }
        for (at, row) in rows.iter().enumerate() {
            let from = entries.len();
            for sub in row.subs {
                let full_name = format!("{}|{}", entries[at].full_name, sub.name.to_ascii_lowercase());
                let index = entries.len();
                entries.push(Entry::of(sub, full_name, index));
            }
            entries[at].subs = from..entries.len();
        }
        let mut table = Table { entries, top, names: Box::default() };
        table.index(renamed);
        table
    }

    fn index(&mut self, renamed: &[(String, String)]) {
        let size = (self.top * 2).next_power_of_two();
        let mut names: Box<[Option<Name>]> = vec![None; size].into_boxed_slice();
        for at in 0..self.top {
            let mut name = self.entries[at].full_name.clone();
            if let Some((_, new)) = renamed.iter().rev().find(|(old, _)| old.eq_ignore_ascii_case(&name)) {
                name = new.to_ascii_lowercase();
                self.entries[at].full_name.clone_from(&name);
            }
            if name.is_empty() {
                continue;
            }
            let (words, len) = (words(name.as_bytes()), name.len() as u32);
            let is_plain = len <= 16 && name.bytes().all(|b| b.is_ascii_lowercase());
            let mut slot = fold(words, name.len()) & (size - 1);
            while names[slot].is_some() {
                slot = (slot + 1) & (size - 1);
            }
            names[slot] = Some(Name { words, len, is_plain, at: at as u16 });
        }
        self.names = names;
    }

    /// The top-level command of that name.
    #[inline(always)]
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        let mask = self.names.len() - 1;
        let words = words(name);
        let mut slot = fold(words, name.len()) & mask;
        while let Some(known) = &self.names[slot] {
            if known.words == words && known.len as usize == name.len() {
                let entry = &self.entries[known.at as usize];
                if known.is_plain || entry.full_name.as_bytes().eq_ignore_ascii_case(name) {
                    return Some(entry);
                }
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    /// The subcommand of a container.
    pub fn find_sub(&self, container: &Entry, name: &[u8]) -> Option<&Entry> {
        self.entries[container.subs.clone()].iter().find(|e| e.row.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The entry of `command` or `container|sub` (or `container sub` given as two words is not known here).
    pub fn find_full(&self, name: &[u8]) -> Option<&Entry> {
        match memchr::memchr(b'|', name) {
            None => self.find(name),
            Some(bar) => self.find_sub(self.find(&name[..bar])?, &name[bar + 1..]),
        }
    }

    /// Whether a command is found by its first argument alone.
    pub fn is_found_by_name(&self, entry: &Entry) -> bool {
        entry.index < self.top && entry.subs.is_empty()
    }

    /// The entry of that index.
    #[inline]
    pub fn at(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// Every entry, top-level ones first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The top-level commands that can be called.
    pub fn top(&self) -> impl Iterator<Item = &Entry> {
        self.entries[..self.top].iter().filter(|e| !e.full_name.is_empty())
    }

    /// The subcommands of a container.
    pub fn subs(&self, container: &Entry) -> &[Entry] {
        &self.entries[container.subs.clone()]
    }
}

fn places(row: &Command) -> Places {
    match row.keys {
        [] => Places::None,
        [KeySpec { begin: 1, find: Find::Range { last: 0, .. }, .. }] => Places::First,
        _ => Places::Specified,
    }
}

/// Where the first key is, 0 if that is nowhere in particular.
fn first(row: &Command) -> u8 {
    let at = row.keys.first().map_or(0, |spec| match spec.find {
        Find::Range { .. } => spec.begin,
        Find::Count { first, .. } => spec.begin + first,
        Find::Behind { .. } | Find::LastBehind { .. } | Find::Derived { .. } | Find::Streams => 0,
    });
    u8::try_from(at).unwrap_or(0)
}

/// A name as two words that are the same for every case of its letters: up to 16 bytes go in completely, of a
/// longer one the first and last eight. Other bytes than letters can give the same words (a CR and a `-`).
#[inline]
fn words(name: &[u8]) -> (u64, u64) {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let byte = |at: usize| u64::from(name[at]);
    let four = |at: usize| u64::from(u32::from_le_bytes(*name[at..].first_chunk().expect("four are left")));
    let eight = |at: usize| u64::from_le_bytes(*name[at..].first_chunk().expect("eight are left"));
    let (first, last) = match name.len() {
        0 => (0, 0),
        len @ 1..=3 => (byte(0) | byte(len / 2) << 8 | byte(len - 1) << 16, 0),
        len @ 4..=7 => (four(0) | four(len - 4) << 32, 0),
        len => (eight(0), eight(len - 8)),
    };
    (first | LOWER, last | LOWER)
}

#[inline]
fn fold((first, last): (u64, u64), len: usize) -> usize {
    let mixed = (first ^ last.rotate_left(29) ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize
}

impl Entry {
    fn of(row: &'static Command, full_name: String, index: usize) -> Entry {
        let may_derive = row.keys.iter().any(|spec| matches!(spec.find, Find::Derived { .. }));
        let places = places(row);
        let (least_args, most_args) = match row.arity {
            _ if !row.subs.is_empty() => (1, 0),
            exactly @ 0.. => (exactly.into(), exactly.into()),
            at_least => (-i32::from(at_least), i32::MAX),
        };
        let has_one_key = row.locks == Locks::Keys && places == Places::First && !may_derive;
        Entry {
            row,
            full_name,
            index,
            subs: 0..0,
            places,
            first: first(row),
            may_derive,
            is_plain: has_one_key && !row.flags.intersects(Flags::GUARDED.union(Flags::BLOCKING)),
            // What is trimmed from a stream may be long.
            is_quick: row.flags.contains(Flags::FAST) && row.group != Group::Stream,
            is_ordinary: row.locks != Locks::All && !row.flags.contains(Flags::ENDS_BATCH),
            least_args: least_args as u32,
            most_args: most_args as u32,
        }
    }

    /// Whether it is no container and `args` arguments, its name included, are allowed.
    #[inline]
    pub fn takes(&self, args: usize) -> bool {
        (self.least_args as usize..=self.most_args as usize).contains(&args)
    }

    /// What is locked for these arguments: what the row says, but everything if they name keys that only the
    /// data tells.
    #[inline]
    pub fn locks(&self, args: Args<'_>) -> Locks {
        match self.row.locks {
            Locks::Keys if self.may_derive && self.derives(args) => Locks::All,
            locks => locks,
        }
    }

    #[inline(never)]
    fn derives(&self, args: Args<'_>) -> bool {
        self.row.keys.iter().any(|spec| spec.derives(&args))
    }

    /// Calls `visit` with the index of every key argument; false when the arguments contradict the row.
    pub fn visit_keys(&self, args: &Args<'_>, mut visit: impl FnMut(usize, &KeySpec)) -> bool {
        self.row.keys.iter().all(|spec| spec.visit(args, &mut |at| visit(at, spec)))
    }

    /// The first key, for commands that have one at a fixed place; of one that may have no keys at all it may
    /// be another argument.
    #[inline]
    pub fn first_key<'a>(&self, args: &Args<'a>) -> Option<&'a [u8]> {
        match self.first {
            0 => None,
            at => args.opt(at.into()),
        }
    }

    /// Whether it runs a script, which changes neither settings nor the clock.
    #[inline]
    pub fn runs_script(&self) -> bool {
        self.row.flags.contains(Flags::NO_MANDATORY_KEYS) && self.row.locks == Locks::All
    }

    /// Whether it needs no lock at all.
    pub fn is_lockless(&self) -> bool {
        self.row.locks == Locks::None
    }

    /// Whether a request may write, or tell others of something as if it had.
    pub fn may_write(&self, host: &Host, args: &Args<'_>) -> bool {
        self.row.flags.intersects(Flags::WRITE.union(Flags::MAY_REPLICATE))
            || self.row.writes_if.is_some_and(|may_write| may_write(host, args))
    }

    /// Whether it changes the keyspace.
    #[inline]
    pub fn writes(&self) -> bool {
        self.row.flags.contains(Flags::WRITE)
    }
}
