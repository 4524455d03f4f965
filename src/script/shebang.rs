//! The first line of a script: `#!lua flags=no-writes,allow-oom`.
//!
//! For: telling engine and flags from the script. May touch: bytes.

use crate::command::scripts::ScriptFlags;
use crate::fault::Fault;

const FLAGS: &[(&[u8], ScriptFlags)] = &[
    (b"no-writes", ScriptFlags::NO_WRITES),
    (b"allow-oom", ScriptFlags::ALLOW_OOM),
    (b"allow-stale", ScriptFlags::ALLOW_STALE),
    (b"no-cluster", ScriptFlags::NO_CLUSTER),
    (b"allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT),
];

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
            let known = FLAGS.iter().find(|(known, _)| *known == name);
            flags |= known.ok_or_else(|| Fault::shebang_flag(name))?.1;
        }
    }
    Ok((flags, body))
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
}
