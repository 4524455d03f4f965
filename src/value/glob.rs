//! Glob patterns, as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and ACL rules understand them.
//!
//! For: deciding whether a pattern matches a text. May touch: nothing but its arguments.
//! Always: time is at most pattern length times text length, no allocation, no recursion.
//!
//! A pattern is a row of elements that each take exactly one byte (`?`, `[...]`, `\x`, a plain byte) and of
//! stars that take any number. When an element refuses a byte, only the latest star needs to take one byte
//! more: whatever an earlier star could still offer, the latest one offers as well.
//!
//! Some corners are odd and clients can see them, so they are kept:
//! - an empty text matches the empty pattern only, not even `*` (commands that list everything ask
//!   [`is_all`]);
//! - a class without its `]` ends with the pattern; `[^]` is "any byte", `[]` is "no byte";
//! - in a class `]` may end a range: `[a-]` is the range from `]` to `a`, and unterminated;
//! - a range compares bytes as signed numbers, and its ends may stand in either order;
//! - without case, a range is put in order before its ends are folded, so `[a-Z]` holds nothing, and an
//!   escaped byte in a class still has its case.
//!
//! A pattern may hold any byte. Where a real server ends it at the first NUL (CONFIG GET), so must the
//! caller.

/// A pattern may let this many stars, trailing ones not counted, take part in a match; with more it
/// matches nothing.
pub const MAX_STARS: usize = 1000;

/// Whether `text` as a whole matches `pattern`; with `nocase` ASCII letters match in either case.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to go on when an element refuses: just after the latest star, and the text it has not taken
    // yet.
    let mut retry: Option<(usize, usize)> = None;
    let mut stars = 0;
    loop {
        if t == text.len() {
            // Each element takes one byte, so no other choice of the stars leaves more text for what
            // remains.
            return pattern[p..].iter().all(|&b| b == b'*');
        }
        if pattern.get(p) == Some(&b'*') {
            p += pattern[p..].iter().take_while(|&&b| b == b'*').count();
            if p == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            retry = Some((p, t));
            continue;
        }
        if let Some(next) = element(pattern, p, text[t], nocase) {
            (p, t) = (next, t + 1);
            continue;
        }
        let Some((after_star, from)) = &mut retry else { return false };
        *from += 1;
        (p, t) = (*after_star, *from);
    }
}

/// The pattern itself when it has no special byte, so that only the text equal to it matches (with case).
pub fn literal(pattern: &[u8]) -> Option<&[u8]> {
    let special = pattern.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'\\'));
    (!special).then_some(pattern)
}

/// Whether the pattern is `*` alone, which lists everything, the empty name included.
pub fn is_all(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Matches the one-byte element at `p` with `byte`; answers where the next element starts, or None if it
/// refuses. There is no element past the end of the pattern, so that refuses too.
fn element(pattern: &[u8], p: usize, byte: u8, nocase: bool) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p + 1, byte, nocase),
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte, nocase).then_some(p + 2),
        plain => same(plain, byte, nocase).then_some(p + 1),
    }
}

/// Matches a class whose first byte after `[` is at `p`, as [`element`] does.
fn class(pattern: &[u8], mut p: usize, byte: u8, nocase: bool) -> Option<usize> {
    let inverted = pattern.get(p) == Some(&b'^');
    p += usize::from(inverted);
    let mut found = false;
    let end = loop {
        match pattern[p..] {
            [] => break p,
            [b']', ..] => break p + 1,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                p += 2;
            }
            [low, b'-', high, ..] => {
                found |= in_range(low, high, byte, nocase);
                p += 3;
            }
            [plain, ..] => {
                found |= same(plain, byte, nocase);
                p += 1;
            }
        }
    };
    (found != inverted).then_some(end)
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

fn in_range(a: u8, b: u8, byte: u8, nocase: bool) -> bool {
    let signed = |byte: u8| i32::from(byte as i8);
    let (low, high) = if signed(a) <= signed(b) { (a, b) } else { (b, a) };
    let place = |byte: u8| if nocase { folded(byte) } else { signed(byte) };
    (place(low)..=place(high)).contains(&place(byte))
}

/// A byte's place in a range without case. C's `tolower` lifts the negative bytes above ASCII, all but the
/// last, which it takes for "end of file".
fn folded(byte: u8) -> i32 {
    if byte == u8::MAX { -1 } else { i32::from(byte.to_ascii_lowercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_what_a_real_server_matches() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"*", b"", false),
            (b"**", b"", false),
            (b"", b"", true),
            (b"", b"a", false),
            (b"*", b"a", true),
            (b"a*", b"a", true),
            (b"a**", b"a", true),
            (b"**a", b"a", true),
            (b"?*", b"a", true),
            (b"?", b"ab", false),
            (b"h*llo", b"heeeello", true),
            (b"h*llo", b"heeeell", false),
            (b"*ab", b"aab", true),
            (b"a*b*c", b"axbxbxc", true),
            (b"a*b*c", b"axbxbxd", false),
            (b"[abc", b"a", true),
            (b"[abc", b"d", false),
            (b"[", b"[", false),
            (b"[^", b"a", true),
            (b"[^", b"^", true),
            (b"[a-", b"-", true),
            (b"[a-", b"b", false),
            (b"[\\", b"\\", true),
            (b"a\\", b"a\\", true),
            (b"a\\", b"a", false),
            (b"[a-]", b"_", true),
            (b"[a-]", b"b", false),
            (b"[a-]x]", b"_", true),
            (b"[a-]x", b"x", true),
            (b"[]abc]", b"a", false),
            (b"[^]", b"a", true),
            (b"[^]abc]", b"xabc]", true),
            (b"[\\a-z]", b"b", false),
            (b"[\\a-z]", b"-", true),
            (b"[a-\\z]", b"_", true),
            (b"[a-\\]z", b"bz", false),
            (b"[z-a]", b"m", true),
            (b"[\x01-\xff]", b"a", false),
            (b"[\x01-\xff]", b"\xff", true),
            (b"[\x01-\xff]", b"\x80", false),
            (b"[\x80-\xff]", b"\x90", true),
            (b"[\xff-a]", b"\x05", true),
            (b"[a-c-e]", b"d", false),
            (b"[a-c-e]", b"-", true),
            (b"[!a]", b"b", false),
            (b"[^^]", b"^", false),
            (b"[a^]", b"^", true),
            (b"\\*", b"*", true),
            (b"\\*", b"a", false),
            (b"[\\]]", b"]", true),
            (b"[[]", b"[", true),
            (b"a]", b"a]", true),
            (b"[---]", b"-", true),
            (b"[--a]", b"Q", true),
            (b"[a", b"\0", false),
            (b"*[a", b"xa", true),
            (b"*[a", b"xb", false),
            (b"*[^", b"xb", true),
            (b"*[*]*", b"x*", true),
            (b"[^a\\", b"\\", false),
            (b"[a-\\", b"`", true),
            (b"[^-b]", b"-", false),
            (b"[^-b]", b"_", true),
        ];
        for &(pattern, text, expected) in cases {
            let shown = (pattern.escape_ascii(), text.escape_ascii());
            assert_eq!(matches(pattern, text, false), expected, "{} on {}", shown.0, shown.1);
        }
    }

    #[test]
    fn without_case_a_range_is_ordered_before_it_is_folded() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"MAX*", b"maxmemory", true),
            (b"[M]ax", b"max", true),
            (b"[\\M]ax", b"max", false),
            (b"[\\m]ax", b"max", true),
            (b"\\MAX", b"max", true),
            (b"[Z-a]ax", b"max", false),
            (b"[a-Z]ax", b"max", false),
            (b"[A-Z]ax", b"max", true),
            (b"[Z-A]ax", b"max", true),
            (b"[N-m]ax", b"max", false),
            (b"[^N]ax", b"max", true),
            (b"[Q-_]ax", b"max", false),
            (b"[z-\xf0]ax", b"max", false),
            (b"[z-\xff]ax", b"max", true),
            (b"[l-\xff]ax", b"max", false),
        ];
        for &(pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text, true), expected, "{}", pattern.escape_ascii());
        }
    }

    #[test]
    fn a_thousand_stars_take_part_and_no_more() {
        let text = vec![b'a'; 3000];
        let pattern = |stars: usize, tail: &str| ("*a".repeat(stars) + tail).into_bytes();
        assert!(matches(&pattern(MAX_STARS, ""), &text, false));
        assert!(matches(&pattern(MAX_STARS, "*"), &text, false));
        assert!(!matches(&pattern(MAX_STARS, "**a"), &text, false));
        assert!(!matches(&pattern(MAX_STARS + 1, ""), &text, false));
    }

    #[test]
    fn many_stars_that_cannot_match_are_refused_soon() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(pattern.as_bytes(), &vec![b'a'; 5000], false));
    }

    #[test]
    fn literal_and_all_patterns_are_told_apart() {
        assert_eq!(literal(b"user:1]^-"), Some(&b"user:1]^-"[..]));
        for special in [&b"a*"[..], b"a?", b"[a", b"\\a"] {
            assert_eq!(literal(special), None);
        }
        assert!(is_all(b"*") && !is_all(b"**") && !is_all(b""));
    }

    /// Every choice of every star, by recursion over parsed elements.
    fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| naive(rest, &text[n..], nocase)),
            (_, []) => false,
            ([b'?', rest @ ..], [_, tail @ ..]) => naive(rest, tail, nocase),
            ([b'[', rest @ ..], [c, tail @ ..]) => {
                let (members, inverted, rest) = naive_class(rest, nocase);
                (members.contains(c) != inverted) && naive(rest, tail, nocase)
            }
            ([b'\\', p, rest @ ..], [c, tail @ ..]) | ([p, rest @ ..], [c, tail @ ..]) => {
                naive_same(*p, *c, nocase) && naive(rest, tail, nocase)
            }
        }
    }

    fn naive_same(a: u8, b: u8, nocase: bool) -> bool {
        if nocase { a.eq_ignore_ascii_case(&b) } else { a == b }
    }

    /// The class as the list of bytes it holds (ASCII only), by trying each.
    fn naive_class(rest: &[u8], nocase: bool) -> (Vec<u8>, bool, &[u8]) {
        let (inverted, mut rest) = match rest {
            [b'^', rest @ ..] => (true, rest),
            _ => (false, rest),
        };
        let both_cases = |byte: u8| match nocase {
            true => [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()],
            false => [byte, byte],
        };
        let mut members = Vec::new();
        while !rest.is_empty() && rest[0] != b']' {
            if rest[0] == b'\\' && rest.len() > 1 {
                members.push(rest[1]);
                rest = &rest[2..];
            } else if rest.len() > 2 && rest[1] == b'-' {
                let (a, b) = (rest[0].min(rest[2]), rest[0].max(rest[2]));
                let (a, b) = if nocase { (a.to_ascii_lowercase(), b.to_ascii_lowercase()) } else { (a, b) };
                let folded = (a..=b).filter(|byte| !nocase || !byte.is_ascii_uppercase());
                members.extend(folded.flat_map(both_cases));
                rest = &rest[3..];
            } else {
                members.extend(both_cases(rest[0]));
                rest = &rest[1..];
            }
        }
        (members, inverted, rest.get(1..).unwrap_or_default())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn matches_as_trying_every_choice_does(
            pattern in "[ab*?\\[\\]^\\\\\\-BC]{0,9}",
            text in "[abBC\\]\\-\\\\^]{1,8}",
            nocase: bool,
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text, nocase), naive(pattern, text, nocase));
        }

        #[test]
        fn any_bytes_are_taken_without_harm(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
            matches(&pattern, &text, nocase);
        }
    }
}
