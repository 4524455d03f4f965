//! The words of a configuration line: splitting, quoting, numbers with and without units, globs.
//! For: the reader, the rewriter and the values. May touch: bytes only.
//! Always: `split(quote(x))` gives `x` back, for any bytes; no function here panics or recurses.

/// Bytes that end or begin a line without belonging to it.
const BLANK: &[u8] = b" \t\r\n";

/// `line` without blanks at both ends.
pub fn trim(line: &[u8]) -> &[u8] {
    let Some(start) = line.iter().position(|b| !BLANK.contains(b)) else { return &[] };
    let end = line.iter().rposition(|b| !BLANK.contains(b)).map_or(start, |i| i + 1);
    &line[start..end]
}

/// Splits a line into words. Words may be quoted: `"..."` with `\n \r \t \b \a \xHH` and `\` before any
/// other byte, or `'...'` with `\'` only. `None`: a quote is not closed, or something sticks to a closing
/// one.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let (word, after) = take_word(rest)?;
        words.push(word);
        rest = skip_space(after);
    }
    Some(words)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn skip_space(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&b| !is_space(b)).unwrap_or(line.len());
    &line[start..]
}

/// One word from the front of `line`, and what follows it. A quote may open in the middle of a word.
fn take_word(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b if is_space(b) || b == 0 => return Some((word, &line[at + usize::from(b == 0)..])),
            b'"' => return take_quoted(line, at + 1, word, double_quoted),
            b'\'' => return take_quoted(line, at + 1, word, single_quoted),
            b => word.push(b),
        }
        at += 1;
    }
    Some((word, &[]))
}

/// Decodes one byte at the front of a quoted text: the byte and how many bytes it took.
type Decode = fn(&[u8]) -> (u8, usize);

fn take_quoted(line: &[u8], mut at: usize, mut word: Vec<u8>, decode: Decode) -> Option<(Vec<u8>, &[u8])> {
    let quote = line[at - 1];
    loop {
        let rest = &line[at..];
        if *rest.first()? == quote {
            let after = &rest[1..];
            return after.first().is_none_or(|&b| is_space(b)).then_some((word, after));
        }
        let (byte, taken) = decode(rest);
        word.push(byte);
        at += taken;
    }
}

fn double_quoted(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (hex(*high) << 4 | hex(*low), 4)
        }
        [b'\\', b'n', ..] => (b'\n', 2),
        [b'\\', b'r', ..] => (b'\r', 2),
        [b'\\', b't', ..] => (b'\t', 2),
        [b'\\', b'b', ..] => (0x08, 2),
        [b'\\', b'a', ..] => (0x07, 2),
        [b'\\', other, ..] => (*other, 2),
        _ => (rest[0], 1),
    }
}

fn single_quoted(rest: &[u8]) -> (u8, usize) {
    if rest.starts_with(b"\\'") { (b'\'', 2) } else { (rest[0], 1) }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// Appends `word` in double quotes, so that [`split`] reads it back.
pub fn quote(out: &mut Vec<u8>, word: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend([b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        }
    }
    out.push(b'"');
}

/// Appends `word` as it is when a reader would take it as one plain word, else quoted.
pub fn quote_if_needed(out: &mut Vec<u8>, word: &[u8]) {
    let plain = |&b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.iter().all(plain) { out.extend_from_slice(word) } else { quote(out, word) }
}

/// A whole number in its only spelling: no sign but a minus, no leading zero, no blanks.
pub fn strict_int(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A whole number in base `radix` as C's `strtoll` takes it: blanks and a sign before it, zero for an empty
/// text, saturating; but the whole text has to be used.
pub fn loose_int(text: &[u8], radix: u32) -> Option<i64> {
    let text = skip_space(text);
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() && !text.is_empty() {
        return None;
    }
    let mut number: i64 = 0;
    for &byte in digits {
        let digit = i64::from(char::from(byte).to_digit(radix)?);
        let signed = if negative { -digit } else { digit };
        number = number.saturating_mul(i64::from(radix)).saturating_add(signed);
    }
    Some(number)
}

/// A number of bytes with an optional unit: `b`, `k` (1000), `kb` (1024), `m`, `mb`, `g`, `gb`, in any
/// case. Without digits it is zero. `None`: not of that form, or past 64 bits.
pub fn memory(text: &[u8]) -> Option<u64> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, unit) = text.split_at(length);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let mut number: u64 = 0;
    for &digit in digits {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    number.checked_mul(factor)
}

/// `bytes` in the largest unit that divides it, in the form [`memory`] reads.
pub fn memory_text(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// True when `text` has a byte that makes it a pattern in `include` and CONFIG GET.
pub fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// True when the file name `name` matches the shell pattern `pattern` (`*`, `?`, `[a-z]`, `[!a]`, `\`).
/// A leading dot is matched by a dot only.
pub fn matches_file_name(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stood, and how much of the name it has swallowed so far.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            (Some(_), Some(&byte)) => one_of(&pattern[p..], byte),
            _ => None,
        };
        match (step, star) {
            (Some(taken), _) => (p, n) = (p + taken, n + 1),
            (None, Some((at, swallowed))) if swallowed < name.len() => {
                star = Some((at, swallowed + 1));
                (p, n) = (at + 1, swallowed + 1);
            }
            _ => return false,
        }
    }
}

/// The length of the pattern's first element when it matches `byte`.
fn one_of(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', ..] => match class(pattern, byte) {
            Some((end, found)) => found.then_some(end),
            None => (byte == b'[').then_some(1),
        },
        _ => (pattern[0] == byte).then_some(1),
    }
}

/// A bracket expression at the front of `pattern`: its length and whether `byte` is in it.
fn class(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(negated);
    let mut at = first;
    let mut found = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((at + 1, found != negated));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Option<Vec<String>> {
        Some(split(line.as_bytes())?.into_iter().map(|w| String::from_utf8_lossy(&w).into_owned()).collect())
    }

    #[test]
    fn words_are_split_at_blanks_and_quotes_are_undone() {
        let check = |line, expected: Option<&[&str]>| {
            let expected = expected.map(|words| words.iter().map(|w| (*w).to_string()).collect::<Vec<_>>());
            assert_eq!(words(line), expected, "{line}");
        };
        check("  save 900\t1 ", Some(&["save", "900", "1"]));
        check("", Some(&[]));
        check(r#"a "" ''"#, Some(&["a", "", ""]));
        check(r#"x "a\x41\n\q\"" 'it\'s \n'"#, Some(&["x", "aA\nq\"", r"it's \n"]));
        check(r#"pre"fix" next"#, Some(&["prefix", "next"]));
        check(r#"x "open"#, None);
        check("x 'open", None);
        check(r#"x "a"b"#, None);
        check(r#"x "a\"#, None);
        check("port 1 # c", Some(&["port", "1", "#", "c"]));
    }

    #[test]
    fn numbers_are_strict_or_loose() {
        assert_eq!(strict_int(b"-9223372036854775808"), Some(i64::MIN));
        for bad in ["", "-", "-0", "05", "+5", " 5", "5 ", "9223372036854775808"] {
            assert_eq!(strict_int(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(loose_int(b" +900", 10), Some(900));
        assert_eq!(loose_int(b"", 10), Some(0));
        assert_eq!(loose_int(b"99999999999999999999", 10), Some(i64::MAX));
        assert_eq!(loose_int(b"755", 8), Some(0o755));
        assert_eq!(loose_int(b"999", 8), None);
        assert_eq!(loose_int(b"+", 10), None);
    }

    #[test]
    fn memory_takes_units_in_any_case() {
        for (text, bytes) in
            [("", 0), ("gb", 0), ("10MB", 10 << 20), ("1k", 1000), ("3b", 3), ("2Gb", 2 << 30)]
        {
            assert_eq!(memory(text.as_bytes()), Some(bytes), "{text}");
        }
        for bad in ["-1", "+5", " 5", "1.5gb", "1tb", "99999999999999999999", "18446744073709551615kb"] {
            assert_eq!(memory(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn file_names_match_shell_patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("?[0-9][!x]", "a5y", true),
            ("?[0-9][!x]", "a5x", false),
            ("[]a]", "]", true),
            ("[ab", "[ab", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
        ] {
            assert_eq!(matches_file_name(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_splitting(word in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut line = Vec::new();
            quote(&mut line, &word);
            prop_assert_eq!(split(&line), Some(vec![word.clone()]));
            line.clear();
            quote_if_needed(&mut line, &word);
            prop_assert_eq!(split(&line), Some(vec![word]));
        }

        #[test]
        fn memory_text_is_read_back(bytes in any::<u64>(), shift in 0u32..64) {
            let bytes = bytes << shift;
            prop_assert_eq!(memory(memory_text(bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn any_line_is_split_or_refused(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = split(&line);
            let _ = matches_file_name(&line, b"some.name");
        }
    }
}
