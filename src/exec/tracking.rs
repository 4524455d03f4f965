//! Client-side caching: what clients have read, and who is told when it changes.
//!
//! For: CLIENT TRACKING. May touch: held shards, the record, clients' mail.
//! Always: a read is noted while its shard is still held, and a change is told before the shards of its keys
//! are let go: so it is on its way to whoever has read the key before the one who made the change sees a
//! reply.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use crate::client::Client;
use crate::client::tracking::{Mode, Tracker};
use crate::command::table::Entry;
use crate::command::{Cx, Flags, Host};
use crate::config::Directive;
use crate::keyspace::Db;
use crate::keyspace::record::Record;
use crate::keyspace::trackers::Readers;
use crate::pubsub::{Message, Notice};
use crate::resp::Args;

/// While more keys are tracked than `tracking-table-max-keys` allows, one key that is read drives out at most
/// this many others of its shard.
const MOST_DRIVEN_OUT: usize = 100;

/// Sends a message on its way to a client.
type Post<'a> = dyn FnMut(u64, Message) + 'a;

/// Commands whose keys are not what they read: those of a script are noted as its commands read them.
const READS_NOTHING: Flags = Flags::SKIP_MONITOR.union(Flags::PUBSUB);

/// A command has run for a session that tracks: notes the keys it has read.
pub fn remember(cx: &mut Cx<'_>, entry: &Entry, args: &Args<'_>) {
    if cx.session.tracking.as_ref().is_some_and(|tracking| tracking.remembers()) {
        let most = cx.settings.int(Directive::TrackingTableMaxKeys) as usize;
        remember_for(cx.host, &mut cx.db, cx.session.client.id, most, (entry, args));
    }
}

/// Notes what a command has read for a client.
pub fn remember_for(
    host: &Host,
    db: &mut Db<'_>,
    client: u64,
    most: usize,
    (entry, args): (&Entry, &Args<'_>),
) {
    let flags = entry.row.flags;
    if !flags.contains(Flags::READONLY) || flags.intersects(READS_NOTHING) {
        return;
    }
    let trackers = &host.trackers;
    entry.visit_keys(args, |at, _| {
        let (key, draw) = (args.get(at), db.record.chance.next_u64());
        let index = host.space.shard_of(host.space.hasher.hash(key));
        let Some(held) = db.held().filter(|held| held.holds(index)) else { return };
        let shard = held.get_mut(index);
        let added = shard.track(key, client, |id| host.clients.find(id).is_some_and(|it| it.tracks()));
        trackers.items.fetch_add(added.items as usize, Ordering::Relaxed);
        let keys = trackers.keys.fetch_add(added.keys, Ordering::Relaxed) + added.keys;
        if most > 0 && keys > most {
            let draws = (0..(keys - most).min(MOST_DRIVEN_OUT) as u64).map(|n| draw.wrapping_add(n));
            let driven_out: Vec<_> = draws.map_while(|draw| shard.give_up_tracked(draw)).collect();
            db.record.stale.given_up.extend(driven_out);
        }
    });
}

/// Tells those who track keys which of them have changed; the shards of these keys are held. `by`: the client
/// whose command did it.
#[cold]
pub fn invalidate(host: &Host, record: &mut Record, by: Option<u64>) {
    tell(host, record, by, &mut |_, word| host.channels.post(word));
}

/// As [`invalidate`]; `post` gets each message with the client that is to have it.
fn tell(host: &Host, record: &mut Record, by: Option<u64>, post: &mut Post<'_>) {
    let stale = std::mem::take(&mut record.stale);
    let (keys, items) = stale.forgotten;
    host.trackers.keys.fetch_sub(keys, Ordering::Relaxed);
    host.trackers.items.fetch_sub(items, Ordering::Relaxed);
    for read in stale.read {
        match read {
            Some((key, readers)) => invalidate_key(host, &key, &readers, by, post),
            None => invalidate_all(host, post),
        }
    }
    for (key, readers) in stale.given_up {
        // Nobody has changed it, so there is nobody who would know.
        invalidate_key(host, &key, &readers, None, post);
    }
    if stale.changed.is_empty() {
        return;
    }
    let changed: Vec<_> = stale.changed.keys().collect();
    for (audience, keys) in host.trackers.audiences(&changed) {
        for client in audience {
            let Some(tracker) = client.tracker.lock().clone() else { continue };
            let mut keys = keys.clone();
            if tracker.mode.contains(Mode::NOLOOP) && by == Some(client.id) {
                keys.retain(|key| !stale.changed[*key]);
            }
            if !keys.is_empty() {
                send(host, &client, &tracker, keys.into_iter().cloned().collect(), post);
            }
        }
    }
}

/// As [`invalidate`], and spares writes to these shards the look for readers if there are none any more.
pub fn invalidate_held(host: &Host, db: &mut Db<'_>, by: Option<u64>) {
    tell_held(host, db, by, &mut |_, word| host.channels.post(word));
}

/// As [`invalidate_held`], after the command of a client that waited. What is for that client itself is
/// returned: it has to come behind its reply.
pub fn invalidate_served(host: &Host, db: &mut Db<'_>, by: u64) -> Vec<Message> {
    let mut own = Vec::new();
    tell_held(host, db, Some(by), &mut |to, word| {
        if to == by { own.push(word) } else { host.channels.post(word) }
    });
    own
}

fn tell_held(host: &Host, db: &mut Db<'_>, by: Option<u64>, post: &mut Post<'_>) {
    let stale = &db.record.stale;
    let keys = stale.read.iter().flatten().chain(&stale.given_up).map(|(key, _)| host.space.hasher.hash(key));
    let shards: SmallVec<[usize; 8]> = keys.map(|hash| host.space.shard_of(hash)).collect();
    tell(host, db.record, by, post);
    if let Some(held) = db.held() {
        for shard in shards {
            if held.holds(shard) {
                held.get_mut(shard).forget_interests();
            }
        }
    }
}

fn invalidate_key(host: &Host, key: &Arc<[u8]>, readers: &Readers, by: Option<u64>, post: &mut Post<'_>) {
    host.trackers.keys.fetch_sub(1, Ordering::Relaxed);
    host.trackers.items.fetch_sub(readers.len(), Ordering::Relaxed);
    for &id in readers {
        let Some(client) = host.clients.find(id) else { continue };
        let Some(tracker) = client.tracker.lock().clone() else { continue };
        let is_own = tracker.mode.contains(Mode::NOLOOP) && by == Some(id);
        if !is_own && !tracker.mode.contains(Mode::BCAST) {
            send(host, &client, &tracker, vec![Arc::clone(key)], post);
        }
    }
}

/// Everything is held, and no shard has readers any more but of what was read since.
fn invalidate_all(host: &Host, post: &mut Post<'_>) {
    for client in host.clients.all() {
        let Some(tracker) = client.tracker.lock().clone() else { continue };
        send(host, &client, &tracker, Vec::new(), post);
    }
}

/// Sends invalid keys, or with none the word that all are, to a client or to the one in its place.
fn send(host: &Host, client: &Client, tracker: &Tracker, keys: Vec<Arc<[u8]>>, post: &mut Post<'_>) {
    let is_redirected = tracker.redirect.is_some();
    let other = tracker.redirect.map(|id| host.clients.find(id).ok_or(id));
    match other {
        None => post(client.id, Message::notice(client.seat(), Notice::Stale { keys, is_redirected })),
        Some(Ok(other)) => {
            post(other.id, Message::notice(other.seat(), Notice::Stale { keys, is_redirected }))
        }
        Some(Err(id)) => {
            tracker.is_broken.store(true, Ordering::Relaxed);
            post(client.id, Message::notice(client.seat(), Notice::RedirectBroken(id)));
        }
    }
}
