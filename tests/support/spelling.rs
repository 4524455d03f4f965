//! Commands and what is propagated of them as lines of a test, whatever the time is.
//!
//! For: tests of the commit log. May touch: the crate's records of effects.
//! Always: `@N` is the unix time in milliseconds, `@@N` the one in seconds, that is N later than now; `''` is
//! the empty word.

use ochre::keyspace::record::Effect;

/// Numbers this near to the present are shown as times.
const A_LONG_TIME_MS: u64 = 365 * 86_400_000;

/// A line with its times as numbers.
pub fn spelled(line: &str, now_ms: u64) -> String {
    let word = |word: &str| match (word.strip_prefix("@@"), word.strip_prefix('@')) {
        (Some(s), _) => (now_ms as i64 / 1000 + s.parse::<i64>().expect("a number")).to_string(),
        (_, Some(ms)) => (now_ms as i64 + ms.parse::<i64>().expect("a number")).to_string(),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The words of a line.
pub fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(|word| if word == "''" { &b""[..] } else { word.as_bytes() }).collect()
}

/// An effect as a line, with its database unless that is 0. Times are shown in milliseconds.
pub fn shown(effect: &Effect, now_ms: u64) -> String {
    let word = |word: &[u8]| {
        let text = String::from_utf8_lossy(word).into_owned();
        match text.parse::<i64>() {
            Ok(at) if at.abs_diff(now_ms as i64) < A_LONG_TIME_MS => format!("@{}", at - now_ms as i64),
            _ if text.is_empty() => "''".to_owned(),
            _ => text,
        }
    };
    let line = effect.argv.iter().map(|it| word(it)).collect::<Vec<_>>().join(" ");
    if effect.db == 0 { line } else { format!("[{}] {line}", effect.db) }
}
