//! CLIENT: what a connection says about itself, and what administrators do to others.
//!
//! For: the container's rows and its small subcommands. May touch: the session, the registry, the pause;
//! never keys.
//! Always: what a connection says about itself is what CLIENT LIST shows of it.

use std::sync::atomic::Ordering;

use super::client_kill::kill;
use super::client_list::{info, list};
use super::client_tracking::{TRACKING_SYNTAX, caching, getredir, tracking, trackinginfo};
use super::connection::is_plain;
use super::help::write_help;
use crate::client::ReplyMode;
use crate::client::registry::CAPA_REDIRECT;
use crate::command::{Acl, Command, Cx, Flags, Group, Handler, Locks, Outcome, cmd, container, int};
use crate::config::Directive;
use crate::exec::block::{self, Server};
use crate::fault::Fault;
use crate::keyspace::pause::What;
use crate::resp::{Args, parse_i64};

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);
const PLAIN: Flags = ANY_TIME.union(Flags::NO_SCRIPT);
const BUSY: Flags = PLAIN.union(Flags::ALLOW_BUSY);
const ADMIN: Flags = PLAIN.union(Flags::ADMIN);

/// The rows.
pub const ROWS: &[Command] = &[container("CLIENT", SUBS)
    .group(Group::Connection)
    .since("2.4.0")
    .doc("Holds the commands about connections.", "")];

const fn sub(name: &'static str, handler: Handler, arity: i16, flags: Flags, since: &'static str) -> Command {
    cmd(name, handler).arity(arity).flags(flags).acl(Acl::CONNECTION).group(Group::Connection).since(since)
}

const MORE_FILTERS: &str =
    "Takes NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA and IP, and the filters that begin with NOT-.";
const TAKES_PRIMARY: &str = "TYPE takes primary; master stays as another word for it.";

const KILL_HISTORY: &[(&str, &str)] = &[
    ("2.8.12", "Takes filters."),
    ("2.8.12", "Takes ID."),
    ("3.2.0", "TYPE takes master."),
    ("5.0.0", "TYPE takes replica; slave stays as another word for it."),
    ("6.2.0", "Takes LADDR."),
    ("8.0.0", "Takes MAXAGE."),
    ("8.0.0", TAKES_PRIMARY),
    ("8.1.0", "ID takes more than one id."),
    ("9.0.0", MORE_FILTERS),
];
const LIST_HISTORY: &[(&str, &str)] = &[
    ("2.8.12", "Shows id."),
    ("5.0.0", "Takes TYPE."),
    ("6.0.0", "Shows user."),
    ("6.2.0", "Shows argv-mem, tot-mem, laddr and redir; takes ID."),
    ("7.0.0", "Shows resp, multi-mem, rbs and rbp."),
    ("7.0.3", "Shows ssub."),
    ("8.0.0", TAKES_PRIMARY),
    ("8.1.0", "Takes USER, ADDR, LADDR, SKIPME and MAXAGE."),
    ("9.0.0", MORE_FILTERS),
];
const KILL_SINCE: &[(&str, &str)] =
    &[("2.8.12", "client-id client-type"), ("6.2.0", "laddr"), ("8.0.0", "maxage"), ("9.0.0", NEW_FILTERS)];
const LIST_SINCE: &[(&str, &str)] = &[
    ("5.0.0", "client-type"),
    ("6.2.0", "client-id"),
    ("8.1.0", "username addr laddr skipme maxage"),
    ("9.0.0", NEW_FILTERS),
];
/// Filters that both have had since Valkey 9.
const NEW_FILTERS: &str = "name idle flags lib-name lib-ver db capa ip not-client-type not-client-id \
                           not-username not-addr not-laddr not-name not-flags not-lib-name not-lib-ver \
                           not-db not-capa not-ip";

const SUBS: &[Command] = &[
    sub("CACHING", caching, 3, BUSY, "6.0.0")
        .doc("Says whether the next command's reads are tracked.", "mode=<YES | NO>"),
    sub("CAPA", capa, -3, BUSY, "8.0.0").doc("Says what the client can do.", "capability [capability ...]"),
    sub("GETNAME", getname, 2, BUSY, "2.6.9").doc("Returns the connection's name.", ""),
    sub("GETREDIR", getredir, 2, BUSY, "6.0.0")
        .doc("Returns the client that gets the connection's invalidation messages.", ""),
    sub("HELP", help, 2, ANY_TIME, "5.0.0").doc("Describes the subcommands.", ""),
    sub("ID", id, 2, BUSY, "5.0.0").doc("Returns the connection's number.", ""),
    sub("IMPORT-SOURCE", import_source, 3, PLAIN, "8.1.0")
        .doc("Marks the client as a source of imported data.", "<ON | OFF>"),
    sub("INFO", info, 2, PLAIN, "6.2.0")
        .tips(&["nondeterministic_output"])
        .doc("Describes the connection.", ""),
    sub("KILL", kill, -3, ADMIN.union(Flags::ENDS_BATCH), "2.4.0")
        .args_since(KILL_SINCE)
        .locks(Locks::All)
        .cost("O(N), N connections")
        .history(KILL_HISTORY)
        .doc("Closes connections.", KILL_SYNTAX),
    sub("LIST", list, -2, ADMIN, "2.4.0")
        .args_since(LIST_SINCE)
        .tips(&["nondeterministic_output"])
        .cost("O(N), N connections")
        .history(LIST_HISTORY)
        .doc("Describes all connections, or those that pass the filters.", LIST_SYNTAX),
    sub("NO-EVICT", no_evict, 3, ADMIN.union(Flags::ALLOW_BUSY), "7.0.0")
        .doc("Keeps the connection when the memory of clients is reclaimed.", "<ON | OFF>"),
    sub("NO-TOUCH", no_touch, 3, BUSY, "7.2.0")
        .doc("Lets the client's commands leave the access times of keys alone.", "<ON | OFF>"),
    sub("PAUSE", pause, -3, ADMIN.union(Flags::ENDS_BATCH), "3.0.0")
        .args_since(&[("6.2.0", "mode")])
        .locks(Locks::All)
        .history(&[("6.2.0", "Takes the mode WRITE.")])
        .doc("Lets commands wait for a while.", "timeout mode=[WRITE | ALL]"),
    sub("REPLY", reply, 3, BUSY.union(Flags::NO_MULTI), "3.2.0")
        .doc("Turns replies on or off.", "action=<ON | OFF | SKIP>"),
    sub("SETINFO", setinfo, 4, BUSY, "7.2.0")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc("Names the client's library and its version.", "attr=<LIB-NAME libname | LIB-VER libver>"),
    sub("SETNAME", setname, 3, BUSY, "2.6.9")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc("Names the connection.", "connection-name"),
    sub("TRACKING", tracking, -3, PLAIN, "6.0.0")
        .locks(Locks::All)
        .cost("O(1) without prefixes")
        .doc("Tells the client when keys change that it has read.", TRACKING_SYNTAX),
    sub("TRACKINGINFO", trackinginfo, 2, PLAIN, "6.2.0").doc("Describes how the connection tracks keys.", ""),
    sub("UNBLOCK", unblock, -3, ADMIN, "5.0.0")
        .locks(Locks::All)
        .cost("O(log N), N connections")
        .doc("Ends the wait of a client that is blocked.", "client-id [TIMEOUT | ERROR]"),
    sub("UNPAUSE", unpause, 2, ADMIN, "6.2.0")
        .locks(Locks::All)
        .cost("O(N), N paused clients")
        .doc("Ends a pause.", ""),
];

const KILL_SYNTAX: &str = "\
    filter=<old-format | new-format=<[ID client-id [client-id ...]] | [TYPE client-type=<NORMAL | MASTER | \
    PRIMARY | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR addr] | [LADDR laddr] | \
    [SKIPME <YES | NO>] | [MAXAGE maxage] | [NAME name] | [IDLE idle] | [FLAGS flags] | \
    [LIB-NAME lib-name] | [LIB-VER lib-ver] | [DB db] | [CAPA capa] | [IP ip] | [NOT-TYPE \
    not-client-type=<NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB>] | [NOT-ID \
    not-client-id [not-client-id ...]] | [NOT-USER not-username] | [NOT-ADDR not-addr] | [NOT-LADDR \
    not-laddr] | [NOT-NAME not-name] | [NOT-FLAGS not-flags] | [NOT-LIB-NAME not-lib-name] | \
    [NOT-LIB-VER not-lib-ver] | [NOT-DB not-db] | [NOT-CAPA not-capa] | [NOT-IP not-ip] ...>>";

const LIST_SYNTAX: &str = "\
    [TYPE client-type=<NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]] \
    [USER username] [ADDR addr] [LADDR laddr] [SKIPME <YES | NO>] [MAXAGE maxage] [NAME name] \
    [IDLE idle] [FLAGS flags] [LIB-NAME lib-name] [LIB-VER lib-ver] [DB db] [CAPA capa] [IP ip] \
    [NOT-TYPE not-client-type=<NORMAL | MASTER | REPLICA | PUBSUB>] [NOT-ID not-client-id \
    [not-client-id ...]] [NOT-USER not-username] [NOT-ADDR not-addr] [NOT-LADDR not-laddr] \
    [NOT-NAME not-name] [NOT-FLAGS not-flags] [NOT-LIB-NAME not-lib-name] [NOT-LIB-VER not-lib-ver] \
    [NOT-DB not-db] [NOT-CAPA not-capa] [NOT-IP not-ip]";

fn capa(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if args.from(2).iter().any(|word| word.eq_ignore_ascii_case(b"redirect")) {
        cx.session.client.capa.fetch_or(CAPA_REDIRECT, Ordering::Relaxed);
    }
    ok(cx)
}

fn getname(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    match cx.session.client.labels.lock().name.as_slice() {
        b"" => cx.out.null(),
        name => cx.out.bulk(name),
    }
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "CLIENT", HELP);
    Ok(Outcome::Done)
}

fn id(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.int(cx.session.client.id as i64);
    Ok(Outcome::Done)
}

fn import_source(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let on = on_or_off(args.get(2));
    if !cx.settings.bool(Directive::ImportMode) && on != Ok(false) {
        return Err(Fault::NO_IMPORT_MODE);
    }
    cx.session.client.import_source.store(on?, Ordering::Relaxed);
    ok(cx)
}

fn no_evict(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    cx.session.client.no_evict.store(on_or_off(args.get(2))?, Ordering::Relaxed);
    ok(cx)
}

fn no_touch(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    cx.session.set_no_touch(on_or_off(args.get(2))?);
    ok(cx)
}

fn pause(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let what = match args.opt(3) {
        Some(mode) if args.len() == 4 => match mode.to_ascii_lowercase().as_slice() {
            b"write" => What::Writes,
            b"all" => What::All,
            _ => return Err(Fault::PAUSE_MODE),
        },
        _ => What::All,
    };
    let timeout_ms = parse_i64(args.get(2)).ok_or_else(|| Fault::not_an_integer("timeout"))?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| Fault::NEGATIVE_TIMEOUT)?;
    let now_ms = cx.db.now_ms();
    let until_ms = now_ms.saturating_add(timeout_ms);
    if until_ms > i64::MAX as u64 {
        return Err(Fault::TIMEOUT_RANGE);
    }
    cx.host.pause.start(what, until_ms, now_ms);
    ok(cx)
}

fn reply(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            cx.session.reply = ReplyMode::On;
            cx.out.ok();
        }
        b"off" => cx.session.reply = ReplyMode::Off,
        b"skip" if cx.session.reply == ReplyMode::Off => {}
        b"skip" => cx.session.reply = ReplyMode::SkipNext,
        _ => return Err(Fault::SYNTAX),
    }
    Ok(Outcome::Done)
}

fn setinfo(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (option, value) = (args.get(2), args.get(3));
    let mut labels = cx.session.client.labels.lock();
    let label = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => &mut labels.lib_name,
        b"lib-ver" => &mut labels.lib_ver,
        _ => return Err(Fault::unrecognized_option(option)),
    };
    if !is_plain(value) {
        return Err(Fault::client_attribute(option));
    }
    *label = value.to_vec();
    drop(labels);
    ok(cx)
}

fn setname(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let name = args.get(2);
    if !is_plain(name) {
        return Err(Fault::CLIENT_NAME);
    }
    cx.session.client.labels.lock().name = name.to_vec();
    ok(cx)
}

/// Everything is held, so nobody is served at the same moment.
fn unblock(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let fault = match args.opt(3).filter(|_| args.len() == 4).map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"timeout") => None,
        Some(b"error") => Some(Fault::UNBLOCKED),
        Some(_) => return Err(Fault::UNBLOCK_REASON),
    };
    let client = u64::try_from(int(args.get(2))?).ok().and_then(|id| cx.host.clients.find(id));
    let server = Server::of(cx);
    let found = client.is_some_and(|client| block::unblock(server, &mut cx.db, &client, fault.as_ref()));
    cx.out.int(i64::from(found));
    Ok(Outcome::Done)
}

fn unpause(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.pause.end();
    cx.db.space().poke_all();
    ok(cx)
}

fn ok(cx: &mut Cx<'_>) -> Result<Outcome, Fault> {
    cx.out.ok();
    Ok(Outcome::Done)
}

fn on_or_off(word: &[u8]) -> Result<bool, Fault> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Fault::SYNTAX),
    }
}

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Says whether what the next command reads is tracked, in OPTIN or OPTOUT mode.",
    "CAPA <option> [<option> ...]",
    "    Says what the client can do. REDIRECT: it follows to another primary after a failover.",
    "GETNAME",
    "    Shows the name of this connection.",
    "GETREDIR",
    "    Shows the id of the client that gets this connection's invalidation messages.",
    "ID",
    "    Shows the id of this connection.",
    "IMPORT-SOURCE (ON|OFF)",
    "    While the server is in import mode: this connection brings data in, and sees expired keys.",
    "INFO",
    "    Shows this connection's line of CLIENT LIST.",
    "KILL <ip:port>",
    "    Closes the connection from that address.",
    "KILL <filter> <value> [<filter> <value> ...]",
    "    Closes the connections that pass all filters; see LIST. Unless SKIPME is NO, this one stays.",
    "LIST [<filter> <value> ...]",
    "    Shows a line about each connection that passes all filters:",
    "    * ID <id> [<id> ...], TYPE (NORMAL|PRIMARY|REPLICA|PUBSUB), USER <name>,",
    "    * ADDR <ip:port>, LADDR <ip:port>, IP <ip>, NAME <name>, LIB-NAME <name>, LIB-VER <version>,",
    "    * DB <index>, FLAGS <letters>, CAPA <letters>: those which match;",
    "    * NOT- and any of these: those which do not;",
    "    * MAXAGE <seconds>, IDLE <seconds>: connected, or silent, for at least that long;",
    "    * SKIPME (YES|NO): whether this connection is left out.",
    "NO-EVICT (ON|OFF)",
    "    Keeps this connection when the memory of clients is reclaimed.",
    "NO-TOUCH (ON|OFF)",
    "    Lets this connection's commands leave the access times of keys alone.",
    "PAUSE <milliseconds> [WRITE|ALL]",
    "    Lets commands, or those that write, wait for that long.",
    "REPLY (ON|OFF|SKIP)",
    "    Sends replies, sends none, or leaves out the next one.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Names the client's library, or its version.",
    "SETNAME <name>",
    "    Names this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> ...] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Tells this connection, or another one, when keys change that this one has read.",
    "TRACKINGINFO",
    "    Shows how this connection tracks keys.",
    "UNBLOCK <id> [TIMEOUT|ERROR]",
    "    Ends the wait of a blocked client as if its time were up, or with an error.",
    "UNPAUSE",
    "    Ends a pause.",
];
