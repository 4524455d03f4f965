//! Keyspace notifications.
//!
//! For: publishing what happened to keys, as `notify-keyspace-events` asks. May touch: channels.
//! Always: published while the shards of the keys are held, so that the events of a key are seen in the order
//! in which they happened.

use smallvec::SmallVec;

use crate::command::Host;
use crate::config::events;
use crate::keyspace::record::{Class, Happening};
use crate::pubsub::Sort;

/// The bit of `notify-keyspace-events` for a class.
fn bit(class: Class) -> u32 {
    match class {
        Class::Generic => events::GENERIC,
        Class::String => events::STRING,
        Class::List => events::LIST,
        Class::Set => events::SET,
        Class::Hash => events::HASH,
        Class::ZSet => events::ZSET,
        Class::Stream => events::STREAM,
        Class::Expired => events::EXPIRED,
        Class::New => events::NEW,
        Class::KeyMiss => events::KEY_MISS,
        Class::Untold => 0,
    }
}

/// Whether these bits ask for anything at all.
pub fn asks(bits: u32) -> bool {
    bits & (events::KEYSPACE | events::KEYEVENT) != 0
}

/// Publishes what happened, in order.
#[cold]
pub fn publish(host: &Host, bits: u32, happenings: &[Happening]) {
    if !asks(bits) || !host.channels.has_listeners() {
        return;
    }
    let mut channel = SmallVec::<[u8; 64]>::new();
    for Happening { db, event, key } in happenings.iter().filter(|it| bits & bit(it.event.class) != 0) {
        let mut digits = itoa::Buffer::new();
        let mut send = |kind: &str, rest: &[u8], payload: &[u8]| {
            channel.clear();
            let db = digits.format(*db).as_bytes();
            for part in [b"__", kind.as_bytes(), b"@", db, b"__:", rest] {
                channel.extend_from_slice(part);
            }
            host.channels.publish(Sort::Channel, &channel, payload);
        };
        if bits & events::KEYSPACE != 0 {
            send("keyspace", key, event.name.as_bytes());
        }
        if bits & events::KEYEVENT != 0 {
            send("keyevent", event.name.as_bytes(), key);
        }
    }
}
