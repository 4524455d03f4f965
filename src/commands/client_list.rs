//! CLIENT LIST and CLIENT INFO.
//!
//! For: one line per client, with its fields in the order that tools expect. May touch: the registry's
//! clients.
//! Always: a line holds no more fields than Valkey's, and all of them.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::client_filter::{Filter, capa_of, flags_of};
use super::client_tracking::redirect;
use crate::client::Client;
use crate::command::{Cursor, Cx, Outcome};
use crate::fault::Fault;
use crate::resp::Args;

/// CLIENT INFO.
pub(super) fn info(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut text = String::new();
    write_line(&mut text, cx, &cx.session.client, &args);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// CLIENT LIST.
pub(super) fn list(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if args.len() == 3 {
        return Err(Fault::SYNTAX);
    }
    let filter = Filter::parse(Cursor::new(args, 2), cx.db.space().databases)?;
    let now_ns = cx.host.ticks.since_start_ns();
    let mut text = String::new();
    for client in filter.choose(&cx.host.clients, cx.session.client.id, now_ns, false) {
        write_line(&mut text, cx, &client, &args);
    }
    cx.out.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// Index of the row of what a client runs or has run last. Within a transaction that is EXEC.
fn command_of(cx: &Cx<'_>, client: &Client) -> u32 {
    let is_running = client.id == cx.session.client.id && cx.may_block;
    if is_running { cx.command.index as u32 } else { client.last_command.load(Relaxed) }
}

/// The line of a client. The one that asks is shown in the middle of its command, whose arguments are `args`.
fn write_line(text: &mut String, cx: &Cx<'_>, client: &Client, args: &Args<'_>) {
    const SECOND_NS: u64 = 1_000_000_000;
    let now_ns = cx.host.ticks.since_start_ns();
    let is_me = client.id == cx.session.client.id;
    let command = match command_of(cx, client) {
        u32::MAX => "NULL",
        index => &cx.host.table.at(index as usize).full_name,
    };
    let parked = client.parked.lock().clone();
    let blocked = parked.as_ref().map(|blocked| blocked.args.as_args());
    let argv = if is_me { Some(args) } else { blocked.as_ref() };
    let argv_bytes: usize = argv.map_or(0, |args| args.iter().map(<[u8]>::len).sum());
    let output_bytes = client.output_bytes.load(Relaxed);
    let events = if output_bytes > 0 { "rw" } else { "r" };
    let read = |counter: &AtomicUsize| counter.load(Relaxed);
    let labels = client.labels.lock();
    let word = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
    // A string takes all that is written to it.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} capa={} db={} sub={} psub={} ssub={} \
         multi={} watch={} qbuf={} qbuf-free={} argv-mem={argv_bytes} multi-mem={} rbs={} rbp={} obl={} \
         oll={} omem={} tot-mem={} events={events} cmd={command} user={} redir={} resp={} lib-name={} \
         lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        client.addr,
        client.laddr,
        client.fd,
        word(&labels.name),
        now_ns.saturating_sub(client.since_ns) / SECOND_NS,
        now_ns.saturating_sub(client.active_ns.load(Relaxed)) / SECOND_NS,
        flags_of(client),
        capa_of(client),
        read(&client.db),
        read(&client.subscribed[0]),
        read(&client.subscribed[1]),
        read(&client.subscribed[2]),
        client.queued.load(Relaxed),
        read(&client.watched),
        read(&client.query_bytes),
        read(&client.query_free),
        read(&client.queued_bytes),
        read(&client.output_room),
        read(&client.output_peak),
        read(&client.output_tail),
        read(&client.output_chunks),
        client.output_chunk_bytes(),
        client.memory_bytes() + argv_bytes,
        word(&labels.user),
        redirect(client.tracker.lock().as_deref()),
        client.proto.load(Relaxed),
        word(&labels.lib_name),
        word(&labels.lib_ver),
        client.received.load(Relaxed),
        client.sent.load(Relaxed),
        client.commands.load(Relaxed),
    );
}
