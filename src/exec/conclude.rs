//! The end of a request.
//!
//! For: what a session has asked for about the reply, or about the reads, of one request. May touch: the
//! session, its output.
//! Always: called once for a request, when nothing of it is left to do but, where it is parked, its reply.

use crate::client::{ReplyMode, Session};
use crate::command::table::Entry;
use crate::resp::{Mark, Out};

/// After a request whose reply is not to be sent, or whose client tracks keys.
#[cold]
pub fn conclude(session: &mut Session, out: &mut Out, start: Mark, entry: Option<&Entry>) {
    if session.reply != ReplyMode::On {
        mute(session, out, start);
    }
    session.end_caching(entry.is_some_and(|entry| entry.full_name.starts_with("client|")));
}

/// Takes back the reply of a client that wants none.
fn mute(session: &mut Session, out: &mut Out, start: Mark) {
    if std::mem::take(&mut session.has_confirmed) {
        if session.reply == ReplyMode::Skip {
            session.reply = ReplyMode::On;
        }
        return;
    }
    match session.reply {
        ReplyMode::On => {}
        ReplyMode::Off => out.rollback(start),
        ReplyMode::SkipNext => session.reply = ReplyMode::Skip,
        ReplyMode::Skip => {
            out.rollback(start);
            session.reply = ReplyMode::On;
        }
    }
}
