//! Key specifications: where the keys of a command are, and what it does with them.

use bitflags::bitflags;

use crate::resp::Args;
use crate::value::number::parse_i64;

bitflags! {
    /// What a command does with the keys of one specification.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        /// Reads the value.
        const RO = 1 << 0;
        /// Reads and writes it.
        const RW = 1 << 1;
        /// Overwrites it without reading.
        const OW = 1 << 2;
        /// Removes it.
        const RM = 1 << 3;
        /// Returns or stores user data of the value.
        const ACCESS = 1 << 4;
        /// Changes user data of the value.
        const UPDATE = 1 << 5;
        /// Adds user data.
        const INSERT = 1 << 6;
        /// Removes user data.
        const DELETE = 1 << 7;
        /// Looks like a key and is none.
        const NOT_KEY = 1 << 8;
        /// May leave out keys.
        const INCOMPLETE = 1 << 9;
        /// The flags depend on the arguments.
        const VARIABLE = 1 << 10;
    }
}

impl KeyFlags {
    /// The wire words, in the order in which COMMAND INFO lists them.
    pub const NAMES: &'static [(KeyFlags, &'static str)] = &[
        (KeyFlags::RO, "RO"),
        (KeyFlags::RW, "RW"),
        (KeyFlags::OW, "OW"),
        (KeyFlags::RM, "RM"),
        (KeyFlags::ACCESS, "access"),
        (KeyFlags::UPDATE, "update"),
        (KeyFlags::INSERT, "insert"),
        (KeyFlags::DELETE, "delete"),
        (KeyFlags::NOT_KEY, "not_key"),
        (KeyFlags::INCOMPLETE, "incomplete"),
        (KeyFlags::VARIABLE, "variable_flags"),
    ];
}

/// How the keys behind a specification's beginning are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// `last` is relative to the first key, or, when negative, counts from the command's end (-1: the last
    /// argument); every `step`-th argument is a key.
    Range {
        /// Last key.
        last: i32,
        /// Distance between keys.
        step: i32,
    },
    /// An argument holds the number of keys, all relative to the beginning.
    Count {
        /// Where the number is.
        at: i32,
        /// Where the first key is.
        first: i32,
        /// Distance between keys.
        step: i32,
    },
    /// The key stands right behind this word, wherever it stands from the beginning on; where it or the other
    /// one, which excludes it, comes several times, the last of them counts.
    Behind {
        /// In upper case.
        word: &'static str,
        /// In upper case.
        rival: &'static str,
    },
    /// The key stands right behind this word; where the word comes several times, the last counts. COMMAND
    /// INFO says that nobody knows where the key is.
    LastBehind {
        /// In upper case.
        word: &'static str,
        /// Other options, in upper case, with the number of their arguments: those are passed over.
        options: &'static [(&'static str, usize)],
    },
    /// The keys' names are made of the data, from a pattern (a text with `*`) that stands right behind one of
    /// these words, wherever that stands from the beginning on.
    Derived {
        /// In upper case.
        words: &'static [&'static str],
    },
    /// The first half of the arguments behind [`STREAMS`], which comes after options. Their own arguments are
    /// passed over: any of them may be the same word.
    Streams,
}

/// The word behind which the commands that read streams have their keys.
pub const STREAMS: &str = "STREAMS";

/// One key specification. All of Ochre's begin at a fixed index.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Index of the first argument it is about (the name is 0).
    pub begin: i32,
    /// How to go on from there.
    pub find: Find,
    /// What is done with the keys.
    pub flags: KeyFlags,
    /// COMMAND INFO's notes, or empty.
    pub notes: &'static str,
}

impl KeySpec {
    /// The one key at argument `begin`.
    pub const fn one(begin: i32, flags: KeyFlags) -> KeySpec {
        KeySpec::range(begin, 0, 1, flags)
    }

    /// Keys from argument `begin` on; see [`Find::Range`].
    pub const fn range(begin: i32, last: i32, step: i32, flags: KeyFlags) -> KeySpec {
        KeySpec { begin, find: Find::Range { last, step }, flags, notes: "" }
    }

    /// As many keys as the argument at `begin` says, right behind it.
    pub const fn counted(begin: i32, flags: KeyFlags) -> KeySpec {
        KeySpec { begin, find: Find::Count { at: 0, first: 1, step: 1 }, flags, notes: "" }
    }

    /// As many keys as the argument at `begin` says, `step` arguments apart.
    pub const fn counted_by(begin: i32, step: i32, flags: KeyFlags) -> KeySpec {
        KeySpec { begin, find: Find::Count { at: 0, first: 1, step }, flags, notes: "" }
    }

    /// The key behind `word`, unless `rival` comes later, from argument `begin` on; see [`Find::Behind`].
    pub const fn behind(begin: i32, word: &'static str, rival: &'static str, flags: KeyFlags) -> KeySpec {
        KeySpec { begin, find: Find::Behind { word, rival }, flags, notes: "" }
    }

    /// The key behind the last `word` from argument `begin` on; see [`Find::LastBehind`].
    pub const fn last_behind(
        begin: i32,
        word: &'static str,
        options: &'static [(&'static str, usize)],
        flags: KeyFlags,
    ) -> KeySpec {
        KeySpec { begin, find: Find::LastBehind { word, options }, flags, notes: "" }
    }

    /// The streams of a command that reads several; see [`Find::Streams`].
    pub const fn streams(begin: i32, flags: KeyFlags) -> KeySpec {
        KeySpec { begin, find: Find::Streams, flags, notes: "" }
    }

    /// Any key at all, if one of `words` with a pattern behind it is among the arguments from `begin` on.
    pub const fn derived(begin: i32, words: &'static [&'static str], flags: KeyFlags) -> KeySpec {
        KeySpec { begin, find: Find::Derived { words }, flags, notes: "" }
    }

    /// Where an argument tells how many keys there are: whether it is spelled as integers are.
    pub fn counts_plainly(&self, args: &Args<'_>) -> Option<bool> {
        let Find::Count { at, .. } = self.find else { return None };
        let count = args.opt((self.begin + at) as usize)?;
        Some(parse_i64(count) == Some(leading_int(count)))
    }

    /// Whether the command with these arguments reaches for keys that only the data tells.
    pub fn derives(&self, args: &Args<'_>) -> bool {
        let Find::Derived { words } = self.find else { return false };
        let is_word = |arg: &[u8]| words.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes()));
        let options = args.from(self.begin as usize);
        options.iter().zip(options.iter().skip(1)).any(|(word, next)| is_word(word) && next.contains(&b'*'))
    }

    /// Adds notes.
    pub const fn notes(mut self, notes: &'static str) -> KeySpec {
        self.notes = notes;
        self
    }

    /// Calls `visit` with the argument index of every key. Returns false when the arguments contradict the
    /// specification (a count that is no number, a range without keys, or more keys than arguments).
    pub fn visit(&self, args: &Args<'_>, visit: &mut dyn FnMut(usize)) -> bool {
        let len = args.len() as i64;
        let begin = self.begin as i64;
        let (first, last, step) = match self.find {
            Find::Range { last, step } => {
                let last = if last >= 0 { begin + last as i64 } else { len + last as i64 };
                if last < begin {
                    return false;
                }
                (begin, last, step as i64)
            }
            Find::Count { at, first, step } => {
                let at = begin + at as i64;
                if at >= len {
                    return false;
                }
                let count = leading_int(args.get(at as usize));
                if count < 0 || count > len {
                    return false;
                }
                let first = begin + first as i64;
                (first, first + (count - 1) * step as i64, step as i64)
            }
            Find::Behind { word, rival } => {
                let last = last_behind(args, self.begin as usize, word, &[(rival, 1)]);
                let other = last_behind(args, self.begin as usize, rival, &[(word, 1)]);
                last.filter(|_| last > other).into_iter().for_each(visit);
                return true;
            }
            Find::LastBehind { word, options } => {
                last_behind(args, self.begin as usize, word, options).into_iter().for_each(visit);
                return true;
            }
            Find::Derived { .. } => return true,
            Find::Streams => {
                let Some(first) = behind_streams(args, self.begin as usize) else { return false };
                (first as i64, ((first + args.len()) / 2) as i64 - 1, 1)
            }
        };
        if last >= len {
            return false;
        }
        let mut index = first;
        while index <= last {
            visit(index as usize);
            index += step;
        }
        true
    }
}

/// The integer that a text begins with, as C reads an `int`: behind white space and a sign, up to the
/// first byte that is no digit; 0 where there is none; of a greater one the low 32 bits. A handler refuses
/// what goes on behind it, and what is too great.
fn leading_int(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0'));
    i64::from(digits.fold(0, add) as i32)
}

/// Index of the argument behind the last `word`, apart from arguments of `options`.
fn last_behind(args: &Args<'_>, begin: usize, word: &str, options: &[(&str, usize)]) -> Option<usize> {
    let is = |at: usize, word: &str| args.get(at).eq_ignore_ascii_case(word.as_bytes());
    let (mut at, mut last) = (begin, None);
    while at + 1 < args.len() {
        at += match options.iter().find(|(option, _)| is(at, option)) {
            Some((_, len)) => 1 + len,
            None if is(at, word) => {
                last = Some(at + 1);
                2
            }
            None => 1,
        };
    }
    last
}

/// Index of the argument behind [`STREAMS`], if it is a key. Words that are no options are the command's to
/// refuse; where there are any, the first [`STREAMS`] from argument `begin` on is meant.
fn behind_streams(args: &Args<'_>, begin: usize) -> Option<usize> {
    const OPTIONS: &[(&str, usize)] = &[
        ("BLOCK", 2),
        ("COUNT", 2),
        ("CLAIM", 2),
        ("GROUP", 3),
        ("NOACK", 1),
        ("MAXCOUNT", 2),
        ("MAXSIZE", 2),
    ];
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let mut at = 1;
    while let Some(&(_, len)) = OPTIONS.iter().find(|(name, _)| args.opt(at).is_some_and(|it| is(it, name))) {
        at += len;
    }
    if !args.opt(at).is_some_and(|word| is(word, STREAMS)) {
        at = (begin..args.len()).find(|&at| is(args.get(at), STREAMS))?;
    }
    (at + 2 < args.len()).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::OwnedArgs;

    #[test]
    fn of_several_words_before_a_key_the_last_counts_and_options_are_passed_over() {
        let key = |line: &str| {
            let owned: OwnedArgs = line.split(' ').map(str::as_bytes).collect();
            let mut found = Vec::new();
            let spec = KeySpec::last_behind(2, "STORE", &[("BY", 1), ("LIMIT", 2)], KeyFlags::OW);
            assert!(spec.visit(&owned.as_args(), &mut |at| found.push(at)));
            found
        };
        assert_eq!(key("SORT a STORE b store c"), [5]);
        assert_eq!(key("SORT a BY STORE STORE STORE"), [5]);
        assert_eq!(key("SORT store LIMIT STORE STORE ASC STORE c"), [7]);
        for line in ["SORT a", "SORT a STORE", "SORT a BY STORE", "SORT a LIMIT 1 STORE"] {
            assert_eq!(key(line), [], "{line}");
        }
    }

    #[test]
    fn of_two_words_that_exclude_each_other_the_last_has_the_key() {
        let keys = |line: &str| {
            let owned: OwnedArgs = line.split(' ').map(str::as_bytes).collect();
            [("STORE", "STOREDIST"), ("STOREDIST", "STORE")].map(|(word, rival)| {
                let mut found = Vec::new();
                let spec = KeySpec::behind(2, word, rival, KeyFlags::OW);
                assert!(spec.visit(&owned.as_args(), &mut |at| found.push(at)));
                found
            })
        };
        assert_eq!(keys("it a STORE b storedist c STORE d"), [vec![7], vec![]]);
        assert_eq!(keys("it a store b STOREDIST c"), [vec![], vec![5]]);
        assert_eq!(keys("it a STORE STOREDIST b STORE"), [vec![3], vec![]]);
        assert_eq!(keys("it STORE b STOREDIST"), [vec![], vec![]]);
    }

    #[test]
    fn keys_of_streams_are_the_first_half_behind_the_word() {
        let keys = |line: &str| {
            let owned: OwnedArgs = line.split(' ').map(str::as_bytes).collect();
            let mut found = Vec::new();
            let is_sound =
                KeySpec::streams(1, KeyFlags::RO).visit(&owned.as_args(), &mut |at| found.push(at));
            is_sound.then_some(found)
        };
        assert_eq!(keys("XREAD STREAMS a b 0 0"), Some(vec![2, 3]));
        assert_eq!(keys("XREAD COUNT 1 BLOCK streams streams a 0"), Some(vec![6]));
        assert_eq!(keys("XREADGROUP noack GROUP STREAMS STREAMS STREAMS STREAMS >"), Some(vec![6]));
        assert_eq!(keys("XREAD MAXCOUNT streams MAXSIZE streams streams a 0"), Some(vec![6]));
        assert_eq!(keys("XREAD a STREAMS b c 0"), Some(vec![3]));
        for line in ["XREAD STREAMS", "XREAD STREAMS a", "XREAD COUNT STREAMS a", "XREAD COUNT 1"] {
            assert_eq!(keys(line), None, "{line}");
        }
    }
}
