//! The house rules that a program can check.
//!
//! For: everybody who writes here. May touch: the sources, as text.
//! Always: a finding has its file and line; a rule that cannot be kept in a place is changed here, in the
//! open.
//!
//! Limits: a file has at most 800 lines without its tests, a function 60 (rows of tables not counted), a line
//! 110 characters (one that is long because of a string literal is let through: nobody can break it).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const MOST_FILE_LINES: usize = 800;
const MOST_FUNCTION_LINES: usize = 60;
const MOST_COLUMNS: usize = 110;

/// The rooms in their order: one uses itself and those before it. Those in one entry stand side by side and
/// may not use each other.
const ROOMS: &[&[&str]] = &[
    &["value"],
    &["clock", "fault", "config"],
    &["resp"],
    &["keyspace", "pubsub"],
    &["client"],
    &["observe"],
    &["command"],
    &["exec"],
    &["script"],
    &["commands"],
    &["net"],
    &["server"],
    &["lib"],
    &["main"],
];
/// Usable by all, using none.
const LEAVES: &[&str] = &["reclaim", "sync", "memory", "log", "supervise"];
/// Where `unsafe` may stand: files, or whole folders.
const UNSAFE: &[&str] = &[
    "src/clock.rs",
    "src/keyspace/ahead.rs",
    "src/keyspace/entry.rs",
    "src/keyspace/entry/",
    "src/keyspace/lock.rs",
    "src/keyspace/shard.rs",
    "src/keyspace/table.rs",
    "src/keyspace/table/",
    "src/memory.rs",
    "src/net/poll.rs",
    "src/script/bridge.rs",
    "src/script/raw.rs",
    "src/script/stack.rs",
];
/// What nobody may leave behind.
const LEFTOVERS: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// A source file.
struct Source {
    /// From the crate's root.
    path: String,
    lines: Vec<String>,
    /// The same lines with strings and comments blanked.
    code: Vec<String>,
    /// The first line that belongs to its tests.
    tests_from: usize,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Source {
        let text = std::fs::read_to_string(path).expect("a source is readable text");
        let path =
            path.strip_prefix(root).expect("it lies in the crate").to_string_lossy().replace('\\', "/");
        Source::new(path, &text)
    }

    fn new(path: String, text: &str) -> Source {
        let blanked = blank(text);
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let code: Vec<String> = blanked.lines().map(str::to_string).collect();
        let whole = path.ends_with("/tests.rs") || path.starts_with("tests/") || path.starts_with("benches/");
        let tests_from = if whole { 0 } else { tests_begin(&code) };
        Source { path, lines, code, tests_from }
    }

    /// The first folder or file below src.
    fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }

    /// The lines of code that are no tests, numbered from 1.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().take(self.tests_from).enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }
}

/// Index of the `#[cfg(test)]` that stands before the module in which the file ends.
fn tests_begin(code: &[String]) -> usize {
    let begins = |at: usize| {
        code[at].trim() == "#[cfg(test)]"
            && code[at + 1..]
                .iter()
                .find(|line| !line.trim_start().starts_with("#["))
                .is_some_and(|line| line.starts_with("mod "))
    };
    (0..code.len()).find(|&at| begins(at)).unwrap_or(code.len())
}

/// The text with strings and comments blanked, so that what is left is code on its lines.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<char> = chars.clone();
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at + 1),
            'r' if !is_in_word(&chars, at) => raw_string_end(&chars, at).unwrap_or(at),
            '\'' => char_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        out[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        at = end.max(at + 1);
    }
    out.into_iter().collect()
}

fn line_end(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 1),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 1),
            _ => {}
        }
        i += 1;
        if depth == 0 {
            break;
        }
    }
    i
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut i = from;
    while i < chars.len() && chars[i] != '"' {
        i += 1 + usize::from(chars[i] == '\\');
    }
    (i + 1).min(chars.len())
}

fn is_in_word(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|i| chars[i]);
    before.is_some_and(|c| c != 'b' && (c.is_alphanumeric() || c == '_'))
}

/// The end of `r"..."` or `r#"..."#`; `None` when it is no raw string.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    Some((open + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes))
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    match chars.get(at + 1)? {
        '\\' => (at + 3..chars.len()).find(|&i| chars[i] == '\'').map(|i| i + 1),
        _ => (chars.get(at + 2) == Some(&'\'')).then_some(at + 3),
    }
}

/// Every source, in order of path.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ["src", "tests", "benches", "examples"].iter().for_each(|dir| collect(&root.join(dir), &mut paths));
    paths.sort();
    assert!(paths.len() > 50, "the sources were not found");
    paths.iter().map(|path| Source::read(root, path)).collect()
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|e| e == "rs") {
            paths.push(path);
        }
    }
}

/// Runs a rule on every source and fails with all findings.
fn check_all(rule: impl Fn(&Source, &mut Vec<(usize, String)>)) {
    let (mut report, mut count) = (String::new(), 0);
    for source in sources() {
        let mut findings = Vec::new();
        rule(&source, &mut findings);
        for (line, why) in &findings {
            let _ = writeln!(report, "{}:{line}: {why}", source.path);
        }
        count += findings.len();
    }
    assert!(count == 0, "{count} findings:\n{report}");
}

#[test]
fn files_are_not_longer_than_their_limit() {
    check_all(|source, findings| {
        if source.tests_from > MOST_FILE_LINES {
            findings.push((source.tests_from, format!("{} lines without tests", source.tests_from)));
        }
    });
}

#[test]
fn functions_are_not_longer_than_their_limit() {
    check_all(|source, findings| {
        for (name, from, to) in functions(&source.code) {
            let lines = source.lines[from..=to].iter().filter(|line| !is_table_row(line)).count();
            if lines > MOST_FUNCTION_LINES {
                findings.push((from + 1, format!("fn {name} has {lines} lines")));
            }
        }
    });
}

/// Whether a line is a row of a table: a tuple, an array or a value that ends with a comma.
fn is_table_row(line: &str) -> bool {
    let line = line.trim();
    let begins =
        line.starts_with(['(', '[', '"', '&', '-']) || line.starts_with(|c: char| c.is_ascii_digit());
    (begins || line.starts_with("b\"")) && line.ends_with(',')
}

/// Name, first and last line (from 0) of every function with a body.
fn functions(code: &[String]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        if let Some(end) = body_end(code, at, line.find("fn ").unwrap_or(0)) {
            found.push((name, at, end));
        }
    }
    found
}

/// The name behind an `fn` that begins an item: not a function pointer's type.
fn function_name(line: &str) -> Option<String> {
    let at = line.find("fn ")?;
    let before = line[..at].trim();
    let is_item = before.split_whitespace().all(|word| {
        word.starts_with("pub")
            || matches!(word, "const" | "unsafe" | "async" | "extern")
            || word.ends_with(')')
    });
    let name: String = line[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (is_item && !name.is_empty()).then_some(name)
}

/// The line with the brace that closes the body; `None` for a declaration without one.
fn body_end(code: &[String], from: usize, column: usize) -> Option<usize> {
    let (mut braces, mut others) = (0i32, 0i32);
    for (at, line) in code.iter().enumerate().skip(from) {
        let skipped = if at == from { column } else { 0 };
        for c in line[skipped..].chars() {
            match c {
                '{' => braces += 1,
                '}' => braces -= 1,
                '(' | '[' => others += 1,
                ')' | ']' => others -= 1,
                ';' if braces == 0 && others == 0 => return None,
                _ => {}
            }
            if c == '}' && braces == 0 {
                return Some(at);
            }
        }
    }
    None
}

#[test]
fn lines_are_not_longer_than_their_limit() {
    check_all(|source, findings| {
        for (at, line) in source.lines.iter().enumerate() {
            let length = line.chars().count();
            if length > MOST_COLUMNS && !is_long_by_literal(line, &source.code[at]) {
                findings.push((at + 1, format!("{length} characters")));
            }
        }
    });
}

/// Whether a line is long because of one text in it: what else stands there is short.
fn is_long_by_literal(line: &str, code: &str) -> bool {
    let words: usize = code.split_whitespace().map(|word| word.len() + 1).sum();
    line.contains('"') && !line.trim_start().starts_with("//") && words <= MOST_COLUMNS / 2
}

#[test]
fn nothing_unfinished_is_left() {
    check_all(|source, findings| {
        for (at, line) in source.code.iter().enumerate() {
            let left = LEFTOVERS.iter().filter(|word| {
                line.match_indices(**word)
                    .any(|(i, _)| !line[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            });
            findings.extend(left.map(|word| (at + 1, format!("{word} is left"))));
        }
    });
}

#[test]
fn every_file_says_what_it_is_for() {
    check_all(|source, findings| {
        if !source.lines.first().is_some_and(|line| line.starts_with("//!")) {
            findings.push((1, "no //! at the top".into()));
        }
    });
}

#[test]
fn rooms_use_only_rooms_above_them() {
    let rank = |room: &str| ROOMS.iter().position(|rooms| rooms.contains(&room));
    check_all(|source, findings| {
        let Some(room) = source.room() else { return };
        let own = rank(room);
        if own.is_none() && !LEAVES.contains(&room) {
            findings
                .push((1, format!("the room {room} has no place in the order: see ROOMS in tests/tidy.rs")));
        }
        for (line, used) in used_rooms(source) {
            let allowed = used == room
                || LEAVES.contains(&used.as_str())
                || matches!((own, rank(&used)), (Some(own), Some(used)) if used < own);
            if !allowed {
                findings.push((line, format!("{room} uses {used}")));
            }
        }
    });
}

/// The rooms that a file's product code names behind `crate::`, with their lines.
fn used_rooms(source: &Source) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (line, code) in source.product() {
        for (at, _) in code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with('$')) {
            let behind = &code[at + "crate::".len()..];
            if let Some(group) = behind.strip_prefix('{') {
                let names = group.split('}').next().unwrap_or("").split(',');
                used.extend(names.filter_map(|name| Some((line, room_name(name.trim())?))));
            } else {
                used.extend(room_name(behind).map(|room| (line, room)));
            }
        }
    }
    used
}

/// The room a path begins with; `None` for constants at the crate's root.
fn room_name(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    name.starts_with(|c: char| c.is_ascii_lowercase()).then_some(name)
}

#[test]
fn unsafe_stands_where_it_may_and_says_why() {
    check_all(|source, findings| {
        let may =
            !source.path.starts_with("src/") || UNSAFE.iter().any(|place| source.path.starts_with(place));
        for (at, line) in source.code.iter().enumerate() {
            let words = || line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if !words().any(|word| word == "unsafe") {
                continue;
            }
            if !may {
                findings.push((at + 1, "unsafe may not stand here: see UNSAFE in tests/tidy.rs".into()));
            }
            let explains = line.contains("unsafe {") || line.contains("unsafe impl");
            if explains && !has_reason(source, at) {
                findings.push((at + 1, "unsafe without a SAFETY: comment".into()));
            }
        }
    });
}

/// Whether a `SAFETY:` comment stands on the line, or before the statement that the line belongs to.
fn has_reason(source: &Source, at: usize) -> bool {
    if source.lines[at].contains("SAFETY:") {
        return true;
    }
    for before in (0..at).rev() {
        if source.lines[before].contains("SAFETY:") {
            return true;
        }
        let code = source.code[before].trim_end();
        let is_comment = code.trim().is_empty() && !source.lines[before].trim().is_empty();
        // One reason may stand before several lines that all say the same.
        let continues =
            is_comment || !code.ends_with([';', '}', '{']) || source.code[before].contains("unsafe impl");
        if !continues || source.lines[before].trim().is_empty() {
            return false;
        }
    }
    false
}

#[test]
fn the_scanner_tells_code_from_text() {
    let text = "fn a() { // todo!\n  let s = \"dbg!\\\" {\"; let c = '{'; let r = r#\"}\"#; f::<'a>();\n}\n/* { */ fn b();\n";
    let source = Source::new("src/x.rs".into(), text);
    assert!(!source.code.concat().contains("todo!") && !source.code.concat().contains("dbg!"));
    assert_eq!(functions(&source.code), [("a".to_string(), 0, 2)]);
    assert!(source.code[1].contains("f::<'a>()"));
    let text = "use crate::{b::C, d};\nuse crate::e::F;\n#[cfg(test)]\nmod tests {\n use crate::g;\n}\n";
    let source = Source::new("src/x.rs".into(), text);
    assert_eq!(source.tests_from, 2);
    let names: Vec<String> = used_rooms(&source).into_iter().map(|(_, room)| room).collect();
    assert_eq!(names, ["b", "d", "e"]);
}

#[test]
fn a_long_line_is_let_through_for_its_literal_only() {
    let through = |line: &str| is_long_by_literal(line, &blank(line));
    let text = "a\\\"".repeat(60);
    assert!(through(&format!("    NAME = \"{text}\";")));
    assert!(!through(&format!("    let value = \"short\".{}();", "name".repeat(30))));
    assert!(!through(&format!("// \"{text}\"")));
}
