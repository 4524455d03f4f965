//! SORT and SORT_RO.
//!
//! For: the elements of a list, a set or a sorted set, sorted by themselves or by other keys. May touch: what
//! `Cx` carries.
//! Always: the rows say which words stand before patterns of keys; with such a pattern everything is held
//! exclusively, since only the elements tell which keys it reaches. Without one only the named keys are.

use std::cmp::Ordering;
use std::ops::Range;

use super::string::{GROW, READ};
use super::{list, zset};
use crate::command::cursor::value_bytes;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::{Db, Deadline, Event};
use crate::resp::Args;
use crate::value::list::Given;
use crate::value::number::parse_double;
use crate::value::zset::ZSetRef;
use crate::value::{Hash, Item, List, Set, ZSet};

const READS_IT: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
const BY_PATTERN: KeySpec = KeySpec::derived(2, &["BY", "GET"], KeyFlags::RO.union(KeyFlags::ACCESS)).notes(
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of \
     the key we sort",
);
/// Options with arguments, any of which may look like another option.
const OPTIONS: &[(&str, usize)] = &[("BY", 1), ("GET", 1), ("LIMIT", 2)];
const STORED: KeySpec = KeySpec::last_behind(2, "STORE", OPTIONS, KeyFlags::OW.union(KeyFlags::UPDATE)).notes(
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the \
     argument array",
);

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("SORT", sort)
        .arity(-2)
        .flags(GROW.union(Flags::MOVABLE_KEYS))
        .acl(Acl::SET.union(Acl::SORTEDSET).union(Acl::LIST).union(Acl::DANGEROUS))
        .keys(&[READS_IT, BY_PATTERN, STORED])
        .group(Group::Generic)
        .cost("O(N+M*log(M)), N elements there and M elements wanted; O(N) without sorting.")
        .doc(
            "Answers or stores the elements of a list, a set or a sorted set, sorted.",
            "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] \
             order=[ASC | DESC] sorting=[ALPHA] [STORE destination]",
        ),
    cmd("SORT_RO", sort_ro)
        .arity(-2)
        .flags(READ.union(Flags::MOVABLE_KEYS))
        .acl(Acl::SET.union(Acl::SORTEDSET).union(Acl::LIST).union(Acl::DANGEROUS))
        .keys(&[READS_IT, BY_PATTERN])
        .group(Group::Generic)
        .since("7.0.0")
        .cost("O(N+M*log(M)), N elements there and M elements wanted; O(N) without sorting.")
        .doc(
            "Answers the elements of a list, a set or a sorted set, sorted.",
            "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] \
             order=[ASC | DESC] sorting=[ALPHA]",
        ),
];

fn sort(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    run(cx, args, true)
}

fn sort_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    run(cx, args, false)
}

fn run(cx: &mut Cx<'_>, args: Args<'_>, may_store: bool) -> Result<Outcome, Fault> {
    let mut wanted = Wanted::read(&args, may_store)?;
    let mut lines = Lines::default();
    lines.load(cx, args.get(1), &mut wanted)?;
    if wanted.sorts {
        lines.weigh(&mut cx.db, &wanted)?;
        lines.sort(&wanted);
    }
    if let Some(key) = wanted.store {
        let count = store(cx, key, &lines, &wanted.gets);
        cx.out.int(count as i64);
        return Ok(Outcome::Done);
    }
    cx.out.array(lines.rows.len() * wanted.gets.len().max(1));
    let mut text = Vec::new();
    for element in lines.elements() {
        if wanted.gets.is_empty() {
            cx.out.bulk(element);
        }
        for pattern in &wanted.gets {
            text.clear();
            if reach(&mut cx.db, pattern, element, &mut text) { cx.out.bulk(&text) } else { cx.out.null() }
        }
    }
    Ok(Outcome::Done)
}

/// Puts a list of the elements, or of what the patterns reach from them, in place of the key; answers its
/// length. What is not there becomes an empty element.
fn store(cx: &mut Cx<'_>, key: &[u8], lines: &Lines, gets: &[&[u8]]) -> usize {
    let limits = list::limits(cx.settings);
    let given = |text| Given { text, shared: None };
    let (list, count) = if gets.is_empty() {
        (List::of(lines.elements().map(given), limits), lines.rows.len())
    } else {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for element in lines.elements() {
            for pattern in gets {
                reach(&mut cx.db, pattern, element, &mut text);
                ends.push(text.len());
            }
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let got = starts.zip(&ends).map(|(start, &end)| given(&text[start..end]));
        (List::of(got, limits), ends.len())
    };
    let mut w = cx.db.open(key);
    if count > 0 {
        w.put_value(list, Deadline::Clear);
        w.commit_counting(Event::SORTSTORE, count as u64);
    } else if w.exists() {
        w.remove();
        w.commit(Event::DEL);
    }
    count
}

/// Gives a sorted set its large form, in which sorting leaves it in the real server: OBJECT ENCODING tells.
fn enlarge(cx: &mut Cx<'_>, key: &[u8]) {
    let limits = zset::limits(cx);
    let mut w = cx.db.open(key);
    w.update(|set: &mut ZSet| set.expect(usize::MAX, 0, limits));
    w.abandon_unchanged();
}

/// Appends what a pattern reaches from an element; false when there is nothing.
///
/// `#` is the element itself. In any other pattern the element takes the place of the first `*`; `->` behind
/// that names a field of a hash. Patterns end, as a text of the original does, with a NUL.
fn reach(db: &mut Db<'_>, pattern: &[u8], element: &[u8], out: &mut Vec<u8>) -> bool {
    if pattern == b"#" {
        out.extend_from_slice(element);
        return true;
    }
    let Some(star) = star(pattern) else { return false };
    let tail = &pattern[star + 1..];
    let arrow = before_nul(tail).windows(2).position(|pair| pair == b"->");
    let field = arrow.map(|at| &tail[at + 2..]).filter(|field| !before_nul(field).is_empty());
    let tail = if field.is_some() { &tail[..arrow.unwrap_or(tail.len())] } else { tail };
    let key = [&pattern[..star], element, tail].concat();
    match field {
        None => match db.read_string(&key) {
            Ok(Some(value)) => out.extend_from_slice(value_bytes(value, &mut Vec::new())),
            _ => return false,
        },
        Some(field) => match db.read_as::<Hash>(&key).ok().flatten().and_then(|hash| hash.get(field)) {
            Some(value) => value.append_to(out),
            None => return false,
        },
    }
    true
}

/// Where the element goes in a pattern.
fn star(pattern: &[u8]) -> Option<usize> {
    before_nul(pattern).iter().position(|&byte| byte == b'*')
}

fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or(text)
}

/// What the arguments ask for.
struct Wanted<'a> {
    /// The pattern of the keys to sort by.
    by: Option<&'a [u8]>,
    /// False: as they come.
    sorts: bool,
    descends: bool,
    /// By bytes, not by numbers.
    alpha: bool,
    /// First row, and number of rows unless negative.
    limit: (i64, i64),
    gets: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    fn read(args: &Args<'a>, may_store: bool) -> Result<Wanted<'a>, Fault> {
        let mut wanted = Wanted {
            by: None,
            sorts: true,
            descends: false,
            alpha: false,
            limit: (0, -1),
            gets: Vec::new(),
            store: None,
        };
        let mut cursor = Cursor::new(*args, 2);
        while !cursor.is_end() {
            let left = cursor.left();
            match () {
                () if cursor.word("ASC") => wanted.descends = false,
                () if cursor.word("DESC") => wanted.descends = true,
                () if cursor.word("ALPHA") => wanted.alpha = true,
                () if left > 2 && cursor.word("LIMIT") => wanted.limit = (cursor.int()?, cursor.int()?),
                () if may_store && left > 1 && cursor.word("STORE") => wanted.store = Some(cursor.need()?),
                () if left > 1 && cursor.word("BY") => {
                    let pattern = cursor.need()?;
                    // A constant pattern says that nothing is to be sorted.
                    wanted.by = Some(pattern);
                    wanted.sorts &= star(pattern).is_some();
                }
                () if left > 1 && cursor.word("GET") => wanted.gets.push(cursor.need()?),
                () => return Err(Fault::SYNTAX),
            }
        }
        Ok(wanted)
    }

    /// The rows that LIMIT leaves of so many.
    fn part(&self, len: usize) -> Range<usize> {
        let index = |value: i64| usize::try_from(value).unwrap_or(0).min(len);
        let start = index(self.limit.0);
        let count = if self.limit.1 < 0 { len } else { index(self.limit.1) };
        start..(start + count).min(len)
    }

    /// The elements to take of so many that have an order of their own.
    fn taken(&self, len: usize) -> Range<usize> {
        match self.part(len) {
            _ if self.sorts => 0..len,
            part if self.descends => len - part.end..len - part.start,
            part => part,
        }
    }
}

/// Elements with what they are sorted by.
#[derive(Default)]
struct Lines {
    /// Elements and texts to sort by, one after the other.
    text: Vec<u8>,
    rows: Vec<Row>,
    /// They come from a set: their order means nothing.
    are_unordered: bool,
}

struct Row {
    /// Where it is in [`Lines::text`].
    element: Range<usize>,
    weight: Weight,
}

enum Weight {
    /// It has none: before all others by bytes, zero by number.
    None,
    Number(f64),
    /// Where it is in [`Lines::text`].
    Text(Range<usize>),
}

impl Lines {
    fn elements(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.rows.iter().map(|row| &self.text[row.element.clone()])
    }

    fn push(&mut self, item: Item<'_>) {
        let start = self.text.len();
        item.append_to(&mut self.text);
        self.rows.push(Row { element: start..self.text.len(), weight: Weight::None });
    }

    /// Copies the elements; if they are not to be sorted only those that are wanted, in order.
    fn load(&mut self, cx: &mut Cx<'_>, key: &[u8], wanted: &mut Wanted<'_>) -> Result<(), Fault> {
        let Some(entry) = cx.db.read(key) else { return Ok(()) };
        let value = entry.collection().ok_or(Fault::WRONG_TYPE)?;
        let mut is_packed = false;
        if let Some(list) = value.to::<List>() {
            let part = wanted.taken(list.len());
            list.each(part.start, part.len(), |element| self.push(element.item()));
        } else if let Some(set) = value.to::<Set>() {
            if !wanted.sorts && (wanted.store.is_some() || cx.is_scripted) {
                // The order of a set must not show in what is stored, nor in what a script does.
                (wanted.sorts, wanted.alpha, wanted.by) = (true, true, None);
            }
            let part = if wanted.sorts { 0..set.len() } else { wanted.part(set.len()) };
            set.iter().skip(part.start).take(part.len()).for_each(|item| self.push(item));
            self.are_unordered = true;
        } else if let Some(set) = value.to::<ZSet>() {
            set.range(wanted.taken(set.len()), false).for_each(|(item, _)| self.push(item));
            is_packed = matches!(set, ZSetRef::Packed(_));
        } else {
            return Err(Fault::WRONG_TYPE);
        }
        if !wanted.sorts && wanted.descends && !self.are_unordered {
            self.rows.reverse();
        }
        if is_packed {
            enlarge(cx, key);
        }
        Ok(())
    }

    /// Looks up what each element is sorted by.
    fn weigh(&mut self, db: &mut Db<'_>, wanted: &Wanted<'_>) -> Result<(), Fault> {
        let (mut text, mut all_numbers) = (Vec::new(), true);
        for row in &mut self.rows {
            let element = &self.text[row.element.clone()];
            let number = match wanted.by {
                None if wanted.alpha => continue,
                None => number(element),
                Some(pattern) => {
                    text.clear();
                    if !reach(db, pattern, element, &mut text) {
                        continue;
                    }
                    if wanted.alpha {
                        let start = self.text.len();
                        self.text.extend_from_slice(&text);
                        row.weight = Weight::Text(start..self.text.len());
                        continue;
                    }
                    number(&text)
                }
            };
            all_numbers &= number.is_some();
            row.weight = number.map_or(Weight::None, Weight::Number);
        }
        if all_numbers { Ok(()) } else { Err(Fault::SORT_NOT_NUMBERS) }
    }

    /// Sorts, and leaves what is wanted.
    fn sort(&mut self, wanted: &Wanted<'_>) {
        let mut rows = std::mem::take(&mut self.rows);
        let part = wanted.part(rows.len());
        let by = |one: &Row, two: &Row| self.compare(one, two, wanted);
        if part.end < rows.len() {
            rows.select_nth_unstable_by(part.end, by);
            rows.truncate(part.end);
        }
        if part.start > 0 && part.start < rows.len() {
            rows.select_nth_unstable_by(part.start, by);
        }
        rows.drain(..part.start);
        rows.sort_unstable_by(by);
        self.rows = rows;
    }

    /// A total order. What is equal keeps the order in which it came, if that means something.
    fn compare(&self, one: &Row, two: &Row, wanted: &Wanted<'_>) -> Ordering {
        let text = |range: &Range<usize>| &self.text[range.clone()];
        let elements = || text(&one.element).cmp(text(&two.element));
        let order = if !wanted.alpha {
            let number = |row: &Row| if let Weight::Number(number) = row.weight { number } else { 0.0 };
            number(one).partial_cmp(&number(two)).unwrap_or(Ordering::Equal).then_with(elements)
        } else if wanted.by.is_none() {
            elements()
        } else {
            let weight =
                |row: &Row| if let Weight::Text(range) = &row.weight { Some(text(range)) } else { None };
            weight(one).cmp(&weight(two))
        };
        let order = if wanted.descends { order.reverse() } else { order };
        // An empty element begins where the next one does.
        let place = |row: &Row| (row.element.start, row.element.end);
        let came = place(one).cmp(&place(two));
        order.then_with(|| if self.are_unordered { elements().then(came) } else { came })
    }
}

/// A text as a number to sort by. It ends with a NUL.
fn number(text: &[u8]) -> Option<f64> {
    parse_double(before_nul(text))
}
