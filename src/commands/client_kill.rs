//! CLIENT KILL.
//!
//! For: closing other connections, and the own one. May touch: the registry's clients.
//! Always: runs while nobody is in the middle of a command; the reply goes out even to who kills itself.

use super::client_filter::Filter;
use crate::command::{Cursor, Cx, Outcome};
use crate::fault::Fault;
use crate::resp::Args;

/// CLIENT KILL, with an address alone (the old form) or with filters.
pub(super) fn kill(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let is_old = args.len() == 3;
    let filter = if is_old {
        Filter::of_addr(args.get(2))
    } else {
        Filter::parse(Cursor::new(args, 2), cx.db.space().databases)?
    };
    let me = cx.session.client.id;
    let doomed = filter.choose(&cx.host.clients, me, cx.host.ticks.since_start_ns(), !is_old);
    if is_old && doomed.is_empty() {
        return Err(Fault::NO_SUCH_CLIENT);
    }
    for client in &doomed {
        if client.id == me {
            cx.session.closing = true;
        } else {
            cx.host.clients.kill(client);
        }
    }
    if is_old {
        cx.out.ok()
    } else {
        cx.out.int(doomed.len() as i64)
    }
    Ok(Outcome::Done)
}
