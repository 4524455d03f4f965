//! MONITOR.
//!
//! For: turning a connection into one that sees what others run. May touch: the session and the monitors;
//! never keys.
//! Always: a connection becomes a monitor with everything held, so it sees every command that begins after
//! its reply; it leaves with RESET, or when it closes.

use std::sync::atomic::Ordering;

use crate::client::Session;
use crate::command::{Command, Cx, Flags, Group, Host, Locks, Outcome, cmd};
use crate::fault::Fault;
use crate::resp::Args;

/// The rows.
pub const ROWS: &[Command] = &[cmd("MONITOR", monitor)
    .arity(1)
    .flags(Flags::ADMIN.union(Flags::NO_SCRIPT).union(Flags::LOADING).union(Flags::STALE))
    .locks(Locks::All)
    .group(Group::Server)
    .since("1.0.0")
    .doc("Shows every command that the server runs from now on.", "")];

/// A monitor that asks again is answered nothing.
fn monitor(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    if !cx.may_block {
        return Err(Fault::MONITOR_IN_MULTI);
    }
    if !std::mem::replace(&mut cx.session.monitors, true) {
        let client = &cx.session.client;
        client.monitors.store(true, Ordering::Relaxed);
        client.is_told.store(true, Ordering::Relaxed);
        cx.host.monitors.join(client.seat());
        cx.out.ok();
    }
    Ok(Outcome::Done)
}

/// A session sees what others run no longer.
pub(crate) fn forget(host: &Host, session: &mut Session) {
    if std::mem::replace(&mut session.monitors, false) {
        session.client.monitors.store(false, Ordering::Relaxed);
        host.monitors.leave(session.client.id);
    }
}
