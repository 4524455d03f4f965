//! Changes inputs line by line and word by word, with the words that rows know.

use std::sync::LazyLock;

use libfuzzer_sys::fuzzer_mutate;
use ochre::clock::Chance;
use ochre::command::{Entry, Table};
use ochre::commands::FAMILIES;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(FAMILIES, &[]));

const KEYS: &[&str] = &["a", "b", "c", "key", "{t}1", "{t}2", "\"\"", "\"k\\x00\\xff\"", "key:1", "*"];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "8",
    "10",
    "31",
    "32",
    "63",
    "64",
    "100",
    "255",
    "1000",
    "1024",
    "65536",
    "1048575",
    "1048576",
    "8388607",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "1700000000",
    "1700000001",
    "1700000000001",
    "1700000005000",
    "1.5",
    "-0",
    "1e308",
    "1e-320",
    "3e400",
    "nan",
    "inf",
    "-inf",
    "0x10",
    "007",
    "u8",
    "i64",
    "u63",
    "i5",
    "#1",
    "#0",
    "(1",
    "[a",
    "-",
];
/// What changes the conditions of the requests that follow; a number comes behind.
const STEERS: &[&str] = &[
    "OCHRE.CLOCK ADVANCE",
    "OCHRE.CLOCK ADVANCE",
    "OCHRE.CLOCK SET",
    "DEBUG POPULATE",
    "DEBUG SET-ACTIVE-EXPIRE",
    "CONFIG SET maxmemory-policy allkeys-lfu slowlog-log-slower-than",
    "CLIENT REPLY ON",
    "HELLO",
    "SELECT",
    "SCAN 0 COUNT",
];
const WORDS: &[&str] = &[
    "hello",
    "x",
    "\"a\\r\\nb\"",
    "yes",
    "no",
    "on",
    "off",
    "get",
    "NX",
    "XX",
    "EX",
    "PX",
    "KEEPTTL",
    "GET",
    "COUNT",
    "MATCH",
    "TYPE",
    "string",
    "LIMIT",
    "ASYNC",
    "SYNC",
    "REPLACE",
    "DB",
    "volatile-lfu",
    "allkeys-lru",
    "maxmemory-policy",
    "slowlog-log-slower-than",
    "latency-monitor-threshold",
    "lazyfree-lazy-expire",
    "BYTE",
    "BIT",
    "AND",
    "XOR",
    "NOT",
    "OVERFLOW",
    "WRAP",
    "SAT",
    "FAIL",
    "INCRBY",
    "SET",
    "ID",
    "ADDR",
    "default",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "[a-c]?\\\\*",
    "\"\\xff\\xfe\\x80\"",
];

/// As `LLVMFuzzerCustomMutator`: changes `data[..size]`, may grow it to `max_size`, answers the new size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance::new(u64::from(seed));
    if chance.below(5) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut lines: Vec<Vec<u8>> = data[..size].split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=chance.below(3) {
        change(&mut lines, &mut chance);
    }
    let bytes = lines.join(&b'\n');
    let len = bytes.len().min(max_size);
    data[..len].copy_from_slice(&bytes[..len]);
    len
}

fn change(lines: &mut Vec<Vec<u8>>, chance: &mut Chance) {
    if lines.is_empty() {
        lines.push(Vec::new());
    }
    let at = chance.below(lines.len() as u64) as usize;
    let mut words: Vec<Vec<u8>> =
        lines[at].split(|b| *b == b' ').map(<[u8]>::to_vec).filter(|word| !word.is_empty()).collect();
    let place = chance.below(words.len() as u64 + 1) as usize;
    match chance.below(10) {
        0..3 => return lines.insert(at, request(chance)),
        3 => {
            return lines
                .insert(at, format!("{} {}", pick(STEERS, chance), pick(NUMBERS, chance)).into_bytes());
        }
        4 => return drop(lines.remove(at)),
        5 => {
            let other = chance.below(lines.len() as u64) as usize;
            let copy = lines[other].clone();
            return lines.insert(at, copy);
        }
        6..8 if place < words.len() => words[place] = word(of(&words), chance),
        8 if place < words.len() => drop(words.remove(place)),
        _ => words.insert(place, word(of(&words), chance)),
    }
    lines[at] = words.join(&b' ');
}

/// The row of a request.
fn of(words: &[Vec<u8>]) -> Option<&'static Entry> {
    let entry = TABLE.find(words.first()?)?;
    Some(words.get(1).and_then(|sub| TABLE.find_sub(entry, sub)).unwrap_or(entry))
}

/// A request of any row, with about as many arguments as it takes.
fn request(chance: &mut Chance) -> Vec<u8> {
    let entries = TABLE.entries();
    let entry = &entries[chance.below(entries.len() as u64) as usize];
    let mut words: Vec<Vec<u8>> = entry.full_name.split('|').map(|name| name.as_bytes().to_vec()).collect();
    let least = entry.row.arity.unsigned_abs() as usize;
    let more = if entry.row.arity < 0 { chance.below(4) as usize } else { 0 };
    let first_key = entry.row.keys.first().map_or(0, |spec| spec.begin as usize);
    while words.len() < least + more {
        let is_key = words.len() == first_key;
        words.push(if is_key { pick(KEYS, chance).into() } else { word(Some(entry), chance) });
    }
    words.join(&b' ')
}

fn word(entry: Option<&Entry>, chance: &mut Chance) -> Vec<u8> {
    let options = entry.map_or("", |entry| entry.row.syntax);
    let is_option = |word: &&str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
    let options: Vec<&str> =
        options.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(is_option).collect();
    match chance.below(10) {
        0..3 => pick(KEYS, chance).into(),
        3..6 => pick(NUMBERS, chance).into(),
        6..9 if !options.is_empty() => pick(&options, chance).into(),
        _ => pick(WORDS, chance).into(),
    }
}

fn pick<'a>(from: &[&'a str], chance: &mut Chance) -> &'a str {
    from[chance.below(from.len() as u64) as usize]
}
