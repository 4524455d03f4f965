//! The first line of a script, `#!lua flags=no-writes,allow-oom`, or of a library, `#!lua name=mine`.
//!
//! For: telling engine, flags and name from the text. May touch: bytes.

use crate::command::scripts::ScriptFlags;
use crate::fault::Fault;
use crate::resp;

/// The flags, with their names in the order in which they are listed.
pub const FLAGS: &[(&str, ScriptFlags)] = &[
    ("no-writes", ScriptFlags::NO_WRITES),
    ("allow-oom", ScriptFlags::ALLOW_OOM),
    ("allow-stale", ScriptFlags::ALLOW_STALE),
    ("no-cluster", ScriptFlags::NO_CLUSTER),
    ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT),
];

/// What stands before a library's name.
const NAME: &[u8] = b"name=";

/// What the first line of a script says; `None` if it is not sound.
pub fn flags_of(text: &[u8]) -> Option<ScriptFlags> {
    parse(text).ok().map(|(flags, _)| flags)
}

/// What the first line says, and the text for Lua: without that line, but with its line end.
///
/// # Errors
/// An engine, an option or a flag that does not exist, or a line without end.
pub fn parse(text: &[u8]) -> Result<(ScriptFlags, &[u8]), Fault> {
    let Some(behind) = text.strip_prefix(b"#!") else { return Ok((ScriptFlags::empty(), text)) };
    let end = memchr::memchr(b'\n', behind).ok_or(Fault::BAD_SHEBANG)?;
    let (line, body) = behind.split_at(end);
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let engine = if line.first().is_some_and(u8::is_ascii_whitespace) { None } else { words.next() };
    let engine = engine.unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(Fault::script_engine(engine));
    }
    let mut flags = ScriptFlags::DECLARED;
    for option in words {
        let list = option.strip_prefix(b"flags=").ok_or_else(|| Fault::shebang_option(option))?;
        if list.is_empty() {
            continue;
        }
        for name in list.split(|&byte| byte == b',') {
            let known = FLAGS.iter().find(|(known, _)| known.as_bytes() == name);
            flags |= known.ok_or_else(|| Fault::shebang_flag(name))?.1;
        }
    }
    Ok((flags, body))
}

/// The name of a library, and the text for Lua: without the first line, but with its line end.
///
/// # Errors
/// A line that is none, does not name the library, or names an engine that does not exist.
pub fn parse_library(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Fault> {
    if !text.starts_with(b"#!") {
        return Err(Fault::NO_METADATA);
    }
    let end = memchr::memchr2(b'\n', 0, text).filter(|&end| text[end] == b'\n');
    let (line, body) = text.split_at(end.ok_or(Fault::BAD_METADATA)?);
    let words = resp::words(line).ok_or(Fault::BAD_METADATA)?;
    let mut words = words.iter().map(Vec::as_slice);
    let engine = words.next().and_then(|word| word.strip_prefix(b"#!")).unwrap_or_default();
    let mut name = None;
    for word in words {
        match word.split_at_checked(NAME.len()) {
            Some((key, value)) if key.eq_ignore_ascii_case(NAME) => {
                if name.replace(value).is_some() {
                    return Err(Fault::TWO_LIBRARY_NAMES);
                }
            }
            _ => return Err(Fault::metadata_value(word)),
        }
    }
    let name = name.ok_or(Fault::NO_LIBRARY_NAME)?;
    if !is_name(name) {
        return Err(Fault::BAD_LIBRARY_NAME);
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(Fault::no_engine(engine));
    }
    Ok((name.to_vec(), body))
}

/// Whether a library or a function may have that name.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_body_are_told_apart() {
        let (flags, body) = parse(b"#!lua flags=no-writes,allow-oom  flags=\nreturn 1").expect("sound");
        assert_eq!(flags, ScriptFlags::DECLARED | ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM);
        assert_eq!(body, b"\nreturn 1");
        assert_eq!(parse(b"return 1"), Ok((ScriptFlags::empty(), &b"return 1"[..])));
        assert_eq!(parse(b"#!LUA\n").map(|it| it.0), Ok(ScriptFlags::DECLARED));
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        assert_eq!(parse(b"#!lua"), Err(Fault::BAD_SHEBANG));
        assert_eq!(parse(b"#!foo\n"), Err(Fault::script_engine(b"foo")));
        assert_eq!(parse(b"#!\n"), Err(Fault::script_engine(b"")));
        assert_eq!(parse(b"#!lua name=x\n"), Err(Fault::shebang_option(b"name=x")));
        assert_eq!(parse(b"#!lua flags=no-writes, allow-oom\n"), Err(Fault::shebang_flag(b"")));
    }

    #[test]
    fn libraries_are_named() {
        let named = |text: &'static [u8]| parse_library(text).map(|(name, body)| (name, body.to_vec()));
        assert_eq!(named(b"#!lua name=a_1\nx"), Ok((b"a_1".to_vec(), b"\nx".to_vec())));
        assert_eq!(named(b"#!LUA \t'NAME=a'\r\n"), Ok((b"a".to_vec(), b"\n".to_vec())));
        assert_eq!(named(b" #!lua name=a\n"), Err(Fault::NO_METADATA));
        assert_eq!(named(b"#!lua name=a"), Err(Fault::BAD_METADATA));
        assert_eq!(named(b"#!lua name=\0\n"), Err(Fault::BAD_METADATA));
        assert_eq!(named(b"#!lua name=\"a\n"), Err(Fault::BAD_METADATA));
        assert_eq!(named(b"#!\n"), Err(Fault::NO_LIBRARY_NAME));
        assert_eq!(named(b"#!js name=a-b\n"), Err(Fault::BAD_LIBRARY_NAME));
        assert_eq!(named(b"#!js name=a\n"), Err(Fault::no_engine(b"js")));
        assert_eq!(named(b"#! name=a\n"), Err(Fault::no_engine(b"")));
        assert_eq!(named(b"#!lua name=a b=c\n"), Err(Fault::metadata_value(b"b=c")));
        assert_eq!(named(b"#!lua name=a name=b\n"), Err(Fault::TWO_LIBRARY_NAMES));
    }
}
