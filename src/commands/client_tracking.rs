//! Client-side caching: CLIENT TRACKING and its relatives.
//!
//! For: what a client says about how it wants to hear of changes. May touch: the session, the registry,
//! shards' interests.
//! Always: who tracks changes only with everything held, or, when a client leaves, with each shard held in
//! turn; so a write that begins after the reply to CLIENT TRACKING is told as that says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::Session;
use crate::client::tracking::{Mode, Tracker, Tracking};
use crate::command::cursor::{Cursor, int};
use crate::command::{Cx, Host, Outcome};
use crate::fault::Fault;
use crate::keyspace::Db;
use crate::resp::Args;

/// The argument of CLIENT TRACKING.
pub(super) const TRACKING_SYNTAX: &str = "\
    status=<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] \
    [NOLOOP]";

/// CLIENT CACHING.
pub(super) fn caching(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let tracking = cx.session.tracking.as_mut().ok_or(Fault::CACHING_UNTRACKED)?;
    let (needed, fault) = match args.get(2).to_ascii_lowercase().as_slice() {
        b"yes" => (Mode::OPTIN, Fault::CACHING_YES),
        b"no" => (Mode::OPTOUT, Fault::CACHING_NO),
        _ => return Err(Fault::SYNTAX),
    };
    if !tracking.tracker.mode.contains(needed) {
        return Err(fault);
    }
    tracking.is_marked = true;
    cx.out.ok();
    Ok(Outcome::Done)
}

/// CLIENT GETREDIR: 0 when it hears of changes itself, -1 when it does not track keys.
pub(super) fn getredir(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.int(redirect(cx.session.tracking.as_ref().map(|tracking| &*tracking.tracker)));
    Ok(Outcome::Done)
}

/// Where messages for a client go, in the number that clients see.
pub(super) fn redirect(tracker: Option<&Tracker>) -> i64 {
    tracker.map_or(-1, |tracker| tracker.redirect.unwrap_or(0) as i64)
}

/// What CLIENT TRACKING asks for.
#[derive(Default)]
struct Wish<'a> {
    redirect: Option<u64>,
    mode: Mode,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Wish<'a> {
    fn parse(cx: &Cx<'_>, args: Args<'a>) -> Result<Wish<'a>, Fault> {
        const WORDS: [(&str, Mode); 4] = [
            ("BCAST", Mode::BCAST),
            ("OPTIN", Mode::OPTIN),
            ("OPTOUT", Mode::OPTOUT),
            ("NOLOOP", Mode::NOLOOP),
        ];
        let (mut wish, mut options) = (Wish::default(), Cursor::new(args, 3));
        while options.left() > 0 {
            if options.left() > 1 && options.word("REDIRECT") {
                if wish.redirect.is_some() {
                    return Err(Fault::REDIRECT_TWICE);
                }
                let id = u64::try_from(int(options.need()?)?).ok();
                let client = id.and_then(|id| cx.host.clients.find(id)).ok_or(Fault::REDIRECT_TO_NOBODY)?;
                wish.redirect = Some(client.id);
            } else if options.left() > 1 && options.word("PREFIX") {
                wish.prefixes.push(options.need()?);
            } else if let Some((_, mode)) = WORDS.iter().find(|(word, _)| options.word(word)) {
                wish.mode |= *mode;
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(wish)
    }

    /// The checks against each other and against what is in force.
    fn check(&self, present: Option<&Tracker>) -> Result<(), Fault> {
        let (mode, choice) = (self.mode, Mode::OPTIN | Mode::OPTOUT);
        let was = present.map_or(Mode::empty(), |present| present.mode);
        if !mode.contains(Mode::BCAST) && !self.prefixes.is_empty() {
            return Err(Fault::PREFIX_WITHOUT_BCAST);
        }
        if present.is_some() && (mode ^ was).contains(Mode::BCAST) {
            return Err(Fault::SWITCHED_BCAST);
        }
        if mode.contains(Mode::BCAST) && mode.intersects(choice) {
            return Err(Fault::BCAST_CHOICE);
        }
        if mode.contains(choice) {
            return Err(Fault::OPTIN_AND_OPTOUT);
        }
        if ((mode | was) & choice) == choice {
            return Err(Fault::SWITCHED_CHOICE);
        }
        let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
        let existing = present.map_or(&[][..], |present| &present.prefixes);
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = existing.iter().find(|other| overlap(prefix, other)) {
                return Err(Fault::overlapping_prefix(prefix, "an existing", other));
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(prefix, other)) {
                return Err(Fault::overlapping_prefix(prefix, "another provided", other));
            }
        }
        Ok(())
    }

    /// The new state; prefixes come to those in force.
    fn tracker(&self, present: Option<&Tracker>) -> Tracker {
        let mut prefixes = present.map_or_else(Vec::new, |present| present.prefixes.clone());
        prefixes.extend(self.prefixes.iter().map(|&prefix| prefix.into()));
        if self.mode.contains(Mode::BCAST) && self.prefixes.is_empty() {
            prefixes.push(Box::default());
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        Tracker { mode: self.mode, redirect: self.redirect, prefixes, is_broken: AtomicBool::new(false) }
    }
}

/// CLIENT TRACKING.
pub(super) fn tracking(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let wish = Wish::parse(cx, args)?;
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            let present = cx.session.tracking.as_ref().map(|tracking| Arc::clone(&tracking.tracker));
            wish.check(present.as_deref())?;
            start(cx, Arc::new(wish.tracker(present.as_deref())));
        }
        b"off" => forget(cx.host, &mut cx.db, cx.session),
        _ => return Err(Fault::SYNTAX),
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn start(cx: &mut Cx<'_>, tracker: Arc<Tracker>) {
    let client = &cx.session.client;
    let other = tracker.redirect.and_then(|id| cx.host.clients.find(id));
    for client in [Some(client), other.as_ref()].into_iter().flatten() {
        client.is_told.store(true, Ordering::Relaxed);
    }
    cx.host.trackers.join(client, Arc::clone(&tracker));
    let is_bcast = tracker.mode.contains(Mode::BCAST);
    let is_marked = cx.session.tracking.as_ref().is_some_and(|it| it.is_marked);
    cx.session.tracking = Some(Box::new(Tracking { tracker, is_marked }));
    if is_bcast {
        cx.db.each_shard(0, |_, shard, _| {
            shard.broadcast(true);
            true
        });
    }
}

/// A session tracks no longer. Keys it has read keep its id until they change.
pub(super) fn forget(host: &Host, db: &mut Db<'_>, session: &mut Session) {
    if leave(host, session) {
        settle_broadcast(host, db);
    }
}

/// A session tracks no longer. True: it was told of every change, and shards may have nobody left whom they
/// tell; [`settle_broadcast`] is to say so.
pub(crate) fn leave(host: &Host, session: &mut Session) -> bool {
    let Some(tracking) = session.tracking.take() else { return false };
    host.trackers.leave(&session.client);
    tracking.tracker.mode.contains(Mode::BCAST)
}

/// Tells the shards whether somebody is told of every change.
pub(crate) fn settle_broadcast(host: &Host, db: &mut Db<'_>) {
    db.each_shard(0, |_, shard, _| {
        // Asked under the shard's mutex: of those who leave at the same time the last one says no.
        shard.broadcast(host.trackers.prefix_count() > 0);
        true
    });
}

/// CLIENT TRACKINGINFO.
pub(super) fn trackinginfo(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let tracking = cx.session.tracking.as_ref();
    let mut flags = Vec::new();
    if let Some(Tracking { tracker, is_marked }) = tracking.map(|tracking| &**tracking) {
        let has = |mode| tracker.mode.contains(mode);
        let words = [
            (true, "on"),
            (has(Mode::BCAST), "bcast"),
            (has(Mode::OPTIN), "optin"),
            (has(Mode::OPTIN) && *is_marked, "caching-yes"),
            (has(Mode::OPTOUT), "optout"),
            (has(Mode::OPTOUT) && *is_marked, "caching-no"),
            (has(Mode::NOLOOP), "noloop"),
            (tracker.is_broken.load(Ordering::Relaxed), "broken_redirect"),
        ];
        flags.extend(words.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word));
    } else {
        flags.push("off");
    }
    let out = &mut *cx.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|word| out.bulk(word.as_bytes()));
    out.bulk(b"redirect");
    out.int(redirect(tracking.map(|tracking| &*tracking.tracker)));
    out.bulk(b"prefixes");
    let prefixes = tracking.map_or(&[][..], |tracking| &tracking.tracker.prefixes);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(Outcome::Done)
}
