//! The connection itself.
//!
//! For: greeting, authentication, protocol, database. May touch: the session and its client; never keys.
//! Always: a connection that must authenticate gets no further here than AUTH, HELLO, RESET and QUIT.

use std::hint::black_box;
use std::sync::atomic::Ordering;

use super::{client_tracking, monitor, pubsub, transaction};
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, Locks, Outcome, cmd};
use crate::config::Directive;
use crate::fault::Fault;
use crate::observe::stats::add;
use crate::resp::{Args, Out, Proto, parse_i64};

/// The server that HELLO names: client libraries look at it, and at the version, to learn what they may use.
const SERVER: &str = "redis";

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);
const BEFORE_AUTH: Flags =
    ANY_TIME.union(Flags::NO_SCRIPT).union(Flags::NO_AUTH).union(Flags::ALLOW_BUSY).union(Flags::ENDS_BATCH);

/// The rows.
pub const ROWS: &[Command] = &[
    cmd("AUTH", auth)
        .args_since(&[("6.0.0", "username")])
        .arity(-2)
        .flags(BEFORE_AUTH)
        .acl(Acl::CONNECTION)
        .group(Group::Connection)
        .since("1.0.0")
        .cost("O(N), N passwords of the user")
        .history(&[("6.0.0", "Takes a user name, too.")])
        .doc("Proves who the client is.", "[username] password"),
    cmd("ECHO", echo)
        .arity(2)
        .flags(ANY_TIME)
        .acl(Acl::CONNECTION)
        .group(Group::Connection)
        .since("1.0.0")
        .doc("Sends its argument back.", "message"),
    cmd("HELLO", hello)
        .arity(-1)
        .flags(BEFORE_AUTH)
        .acl(Acl::CONNECTION)
        .group(Group::Connection)
        .since("6.0.0")
        .history(&[
            ("8.1.0", "Answers availability_zone where availability-zone is set."),
            ("6.2.0", "The version may be left out: nothing changes then."),
        ])
        .doc(
            "Agrees on the protocol version, and tells about the server.",
            "arguments=[protover [AUTH username password] [SETNAME clientname]]",
        ),
    cmd("PING", ping)
        .arity(-1)
        .flags(Flags::FAST.union(Flags::SUBSCRIBER))
        .acl(Acl::CONNECTION)
        .group(Group::Connection)
        .since("1.0.0")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("Shows that the server is there.", "[message]"),
    cmd("QUIT", quit)
        .arity(-1)
        .flags(BEFORE_AUTH.union(Flags::UNQUEUED).union(Flags::SUBSCRIBER))
        .acl(Acl::CONNECTION)
        .group(Group::Connection)
        .since("1.0.0")
        .doc("Closes the connection.", ""),
    cmd("RESET", reset)
        .arity(1)
        .flags(BEFORE_AUTH.union(Flags::UNQUEUED).union(Flags::SUBSCRIBER))
        .locks(Locks::OneShardAtATime)
        .acl(Acl::CONNECTION)
        .group(Group::Connection)
        .since("6.2.0")
        .doc("Puts the connection back to its beginning.", ""),
    cmd("SELECT", select)
        .arity(2)
        .flags(ANY_TIME.union(Flags::ALLOW_BUSY))
        .acl(Acl::CONNECTION)
        .group(Group::Connection)
        .since("1.0.0")
        .doc("Chooses the connection's database.", "index"),
];

fn auth(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (user, password) = match args.len() {
        2 if cx.settings.text(Directive::RequirePass).is_empty() => return Err(Fault::NO_PASSWORD_SET),
        2 => (&b"default"[..], args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(Fault::SYNTAX),
    };
    authenticate(cx, user, password)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

fn echo(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    bulk(cx.out, &args, 1);
    Ok(Outcome::Done)
}

/// What HELLO asks for.
#[derive(Default)]
struct Greeting<'a> {
    proto: Option<Proto>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Greeting<'a> {
    fn parse(args: Args<'a>) -> Result<Greeting<'a>, Fault> {
        let mut greeting = Greeting::default();
        let Some(version) = args.opt(1) else { return Ok(greeting) };
        greeting.proto = match parse_i64(version) {
            None => return Err(Fault::not_an_integer("Protocol version")),
            Some(2) => Some(Proto::Resp2),
            Some(3) => Some(Proto::Resp3),
            Some(_) => return Err(Fault::NO_PROTO),
        };
        let mut cursor = Cursor::new(args, 2);
        while let Some(option) = cursor.peek() {
            if cursor.left() > 2 && cursor.word("AUTH") {
                greeting.login = Some((cursor.need()?, cursor.need()?));
            } else if cursor.left() > 1 && cursor.word("SETNAME") {
                let name = cursor.need()?;
                greeting.name = Some(name);
                if !is_plain(name) {
                    return Err(Fault::CLIENT_NAME);
                }
            } else {
                return Err(Fault::hello_option(option));
            }
        }
        Ok(greeting)
    }
}

fn hello(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let greeting = Greeting::parse(args)?;
    if let Some((user, password)) = greeting.login {
        authenticate(cx, user, password)?;
    }
    if !cx.session.authenticated {
        return Err(Fault::HELLO_NO_AUTH);
    }
    if let Some(name) = greeting.name {
        cx.session.client.labels.lock().name = name.to_vec();
    }
    if let Some(proto) = greeting.proto {
        set_proto(cx, proto);
    }
    introduce(cx);
    Ok(Outcome::Done)
}

/// The reply to HELLO.
fn introduce(cx: &mut Cx<'_>) {
    let zone = cx.settings.text(Directive::AvailabilityZone);
    let out = &mut *cx.out;
    out.map(if zone.is_empty() { 7 } else { 8 });
    for (name, value) in [("server", SERVER), ("version", crate::REDIS_VERSION)] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.int(version_of(out.proto()).into());
    out.bulk(b"id");
    out.int(cx.session.client.id as i64);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
    if !zone.is_empty() {
        out.bulk(b"availability_zone");
        out.bulk(zone);
    }
}

fn ping(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match args.len() {
        1 | 2 if cx.out.proto() == Proto::Resp2 && cx.session.is_subscriber() => {
            cx.out.array(2);
            cx.out.bulk(b"pong");
            cx.out.bulk(args.opt(1).unwrap_or_default());
        }
        1 => cx.out.simple("PONG"),
        2 => bulk(cx.out, &args, 1),
        _ => return Err(Fault::arity(&cx.command.full_name)),
    }
    Ok(Outcome::Done)
}

fn quit(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.ok();
    cx.session.closing = true;
    Ok(Outcome::Done)
}

fn reset(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.session.end_transaction();
    transaction::forget_watches(&mut cx.db, cx.session);
    pubsub::forget(cx.host, cx.session);
    monitor::forget(cx.host, cx.session);
    client_tracking::forget(cx.host, &mut cx.db, cx.session);
    cx.session.reset(cx.settings.text(Directive::RequirePass).is_empty());
    cx.out.set_proto(Proto::Resp2);
    cx.out.simple("RESET");
    Ok(Outcome::Done)
}

fn select(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let index = parse_i64(args.get(1)).ok_or(Fault::BAD_DB_INDEX)?;
    if i32::try_from(index).is_err() {
        return Err(Fault::NOT_AN_INT32);
    }
    let index = usize::try_from(index).ok().filter(|&index| index < cx.db.space().databases);
    cx.session.select(index.ok_or(Fault::DB_INDEX)?);
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Logs the connection in as that user, or leaves it as it was.
fn authenticate(cx: &mut Cx<'_>, user: &[u8], password: &[u8]) -> Result<(), Fault> {
    let secret = cx.settings.text(Directive::RequirePass);
    if user != b"default" || !(secret.is_empty() || is_same_secret(secret, password)) {
        add(&cx.host.observe.lane(cx.worker).auth_failures, 1);
        return Err(Fault::WRONG_PASS);
    }
    cx.session.authenticated = true;
    cx.session.client.labels.lock().user = user.to_vec();
    Ok(())
}

/// Compares in a time that depends on the length of `given` alone, so that guesses learn nothing from it.
fn is_same_secret(secret: &[u8], given: &[u8]) -> bool {
    let mut difference = u8::from(secret.len() != given.len());
    for (at, &byte) in given.iter().enumerate() {
        difference |= black_box(byte ^ secret[at % secret.len()]);
    }
    black_box(difference) == 0
}

fn set_proto(cx: &mut Cx<'_>, proto: Proto) {
    cx.out.set_proto(proto);
    cx.session.client.proto.store(version_of(proto), Ordering::Relaxed);
}

fn version_of(proto: Proto) -> u8 {
    match proto {
        Proto::Resp2 => 2,
        Proto::Resp3 => 3,
    }
}

/// Writes an argument back, by reference when it was received into an allocation of its own.
fn bulk(out: &mut Out, args: &Args<'_>, at: usize) {
    match args.shared(at) {
        Some(shared) => out.bulk_shared(shared),
        None => out.bulk(args.get(at)),
    }
}

/// Whether a name can stand in a line of CLIENT LIST: no spaces, no control bytes, ASCII.
pub(super) fn is_plain(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::OwnedArgs;

    fn parse(words: &str) -> Result<(Option<Proto>, bool, Option<String>), String> {
        let args: OwnedArgs = words.split(' ').map(str::as_bytes).collect();
        match Greeting::parse(args.as_args()) {
            Ok(g) => {
                Ok((g.proto, g.login.is_some(), g.name.map(|n| String::from_utf8_lossy(n).into_owned())))
            }
            Err(fault) => Err(String::from_utf8_lossy(fault.text()).into_owned()),
        }
    }

    #[test]
    fn hello_takes_its_options_in_any_order_and_names_the_one_it_does_not_take() {
        assert_eq!(parse("HELLO"), Ok((None, false, None)));
        assert_eq!(parse("HELLO 3 setname a AUTH b c"), Ok((Some(Proto::Resp3), true, Some("a".into()))));
        assert_eq!(parse("HELLO 2 SETNAME a SETNAME b"), Ok((Some(Proto::Resp2), false, Some("b".into()))));
        assert_eq!(parse("HELLO 4 NOPE"), Err("NOPROTO unsupported protocol version".into()));
        assert_eq!(parse("HELLO x"), Err("ERR Protocol version is not an integer or out of range".into()));
        assert_eq!(parse("HELLO 3 AUTH a"), Err("ERR Syntax error in HELLO option 'AUTH'".into()));
        assert_eq!(parse("HELLO 3 SETNAME a nope"), Err("ERR Syntax error in HELLO option 'nope'".into()));
    }

    #[test]
    fn only_the_very_same_secret_is_the_same() {
        assert!(is_same_secret(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcabc", b"", b"Abc"] {
            assert!(!is_same_secret(b"abc", other));
        }
        assert!(!is_same_secret(b"aa", b"aaaa"));
    }

    #[test]
    fn names_are_printable_ascii_without_spaces() {
        assert!(is_plain(b"") && is_plain(b"!worker-1~"));
        for name in [&b"a b"[..], b"a\n", b"\x7f", "caf\u{e9}".as_bytes()] {
            assert!(!is_plain(name));
        }
    }
}
