//! DEBUG's subcommands that look at values: DIGEST, DIGEST-VALUE, LISTPACK, OBJECT, SDSLEN.
//!
//! For: comparing data, and telling how a value is kept. May touch: what `Cx` carries.
//! Always: nothing here counts as an access. A digest depends on what clients can see (database, key, value,
//! whether there is a deadline), never on order or on how a value is kept.

use xxhash_rust::xxh3::Xxh3;

use super::object::encoding;
use crate::command::{Cx, Outcome, value_bytes};
use crate::config::Directive;
use crate::fault::Fault;
use crate::keyspace::db::is_due;
use crate::keyspace::{Entry, Kind, ValueRef};
use crate::resp::{Args, parse_i64};
use crate::value::collection::AnyRef;
use crate::value::list::{ListRef, Nodes};
use crate::value::{List, lzf};

/// The encoding of small collections.
const LISTPACK: &str = "listpack";
/// What LISTPACK answers, in Valkey's words.
const LISTPACK_SHOWN: &str = "Listpack structure printed on stdout";
/// The access field counts seconds modulo this.
const LRU_WRAP: u64 = 1 << 24;
/// Strings up to this length are serialized as an integer if they are one.
const MOST_DIGITS: usize = 11;
/// Longer strings are compressed where `rdbcompression` says so.
const UNCOMPRESSED_BYTES: usize = 20;

/// 40 hex digits; zero means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest([u8; 20]);

impl Digest {
    /// Of several texts, in order.
    fn of(parts: &[&[u8]]) -> Digest {
        let (mut high, mut low) = (Xxh3::with_seed(1), Xxh3::with_seed(2));
        for part in parts {
            for hasher in [&mut high, &mut low] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        let mut digest = [0; 20];
        digest[..16].copy_from_slice(&high.digest128().to_be_bytes());
        digest[16..].copy_from_slice(&low.digest().to_be_bytes()[..4]);
        Digest(digest)
    }

    /// Of a value: its type, what it holds, and whether it has a deadline.
    fn of_value(entry: &Entry, digits: &mut Vec<u8>) -> Digest {
        let head = [entry.kind() as u8, u8::from(entry.deadline_ms().is_some())];
        let Some(collection) = entry.collection() else {
            return Digest::of(&[&head, value_bytes(entry.value(), digits)]);
        };
        let mut all = Digest::of(&[&head]);
        let mut place = 0u64;
        collection.visit(&mut |parts| {
            let element = Digest::of(parts);
            if collection.is_ordered() {
                place += 1;
                all.mix(Digest::of(&[&place.to_le_bytes(), &element.0]));
            } else {
                all.mix(element);
            }
        });
        all
    }

    /// Of a key with its value.
    fn of_entry(db: usize, entry: &Entry, digits: &mut Vec<u8>) -> Digest {
        let value = Digest::of_value(entry, digits);
        Digest::of(&[&(db as u64).to_le_bytes(), entry.key(), &value.0])
    }

    /// Takes another digest in; the order makes no difference.
    fn mix(&mut self, other: Digest) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, others)| *mine ^= others);
    }

    fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(super) fn digest(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let (now_ms, mut digits, mut digest) = (cx.db.now_ms(), Vec::new(), Digest::default());
    cx.db.each_shard(0, |_, shard, _| {
        for (db, keys) in shard.databases() {
            let alive = keys.table.iter().filter(|entry| !is_due(entry, now_ms));
            alive.for_each(|entry| digest.mix(Digest::of_entry(db, entry, &mut digits)));
        }
        true
    });
    cx.out.simple(&digest.text());
    Ok(Outcome::Done)
}

pub(super) fn digest_value(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (keys, mut digits) = (args.from(2), Vec::new());
    cx.out.array(keys.len());
    for key in keys.iter() {
        let entry = cx.db.stored(key);
        let digest = entry.map_or(Digest::default(), |entry| Digest::of_value(entry, &mut digits));
        cx.out.simple(&digest.text());
    }
    Ok(Outcome::Done)
}

/// Shows the elements in the log: standard output belongs to whoever embeds the server.
pub(super) fn listpack(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let entry = cx.db.stored(args.get(2)).ok_or(Fault::NO_SUCH_KEY)?;
    let collection = entry.collection().filter(|collection| collection.encoding() == LISTPACK);
    let collection = collection.ok_or(Fault::NOT_A_LISTPACK)?;
    tracing::warn!("DEBUG LISTPACK: {} elements", collection.len());
    collection.visit(&mut |parts| tracing::warn!("{}", String::from_utf8_lossy(&parts.join(&b' '))));
    cx.out.simple(LISTPACK_SHOWN);
    Ok(Outcome::Done)
}

pub(super) fn object(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let is_fast = args.opt(3).is_some_and(|arg| arg.eq_ignore_ascii_case(b"fast"));
    let (now_s, compresses) = (cx.db.now_ms() / 1000, cx.settings.bool(Directive::RdbCompression));
    let entry = cx.db.stored(args.get(2)).ok_or(Fault::NO_SUCH_KEY)?;
    let serialized = match is_fast {
        true => String::new(),
        false => {
            let len = match entry.collection() {
                None => serialized_len(entry.value(), compresses),
                Some(collection) => collection_len(collection),
            };
            format!(" serializedlength:{len}")
        }
    };
    let (lru, encoding) = (entry.lru(), encoding(entry));
    let nodes = entry.collection().and_then(AnyRef::to::<List>).and_then(ListRef::nodes);
    let nodes = nodes.map_or(String::new(), |Nodes { count, elements, fill, bytes }| {
        let average = elements as f64 / count as f64;
        format!(
            " ql_nodes:{count} ql_avg_node:{average:.2} ql_listpack_max:{fill} ql_compressed:0 \
             ql_uncompressed_size:{bytes}"
        )
    });
    let idle_s = now_s.wrapping_sub(u64::from(lru)) % LRU_WRAP;
    let place = entry.key().as_ptr();
    cx.out.simple(&format!(
        "Value at:{place:p} refcount:1 encoding:{encoding}{serialized} lru:{lru} lru_seconds_idle:{idle_s}{nodes}"
    ));
    Ok(Outcome::Done)
}

/// Lengths of a key and its string, what is free behind them, and what their blocks take.
pub(super) fn sdslen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let entry = cx.db.stored(args.get(2)).ok_or(Fault::NO_SUCH_KEY)?;
    if entry.kind() != Kind::String {
        return Err(Fault::NOT_A_STRING);
    }
    let (length, capacity) = match entry.value() {
        ValueRef::Int(_) => return Err(Fault::NOT_A_STRING),
        ValueRef::Bytes(bytes) => (bytes.len(), None),
        ValueRef::Shared(bytes) => (bytes.len(), Some(bytes.capacity())),
    };
    let text = format!(
        "key_sds_len:{} key_sds_avail:0 obj_alloc:{} val_sds_len:{length} val_sds_avail:{} val_alloc:{}",
        entry.key().len(),
        entry.block_bytes() - capacity.unwrap_or(0),
        capacity.map_or(0, |capacity| capacity - length),
        capacity.unwrap_or(0)
    );
    cx.out.simple(&text);
    Ok(Outcome::Done)
}

/// Bytes that a string takes in an RDB file.
fn serialized_len(value: ValueRef<'_>, compresses: bool) -> usize {
    let mut digits = Vec::new();
    let bytes = value_bytes(value, &mut digits);
    if bytes.len() <= MOST_DIGITS
        && let Some(number) = parse_i64(bytes)
        && let Some(len) = integer_len(number)
    {
        return len;
    }
    let plain = length_len(bytes.len()) + bytes.len();
    if compresses
        && bytes.len() > UNCOMPRESSED_BYTES
        && !matches!(value, ValueRef::Int(_))
        && let Some(packed) = lzf::compress(bytes)
    {
        return 1 + length_len(packed.len()) + length_len(bytes.len()) + packed.len();
    }
    plain
}

/// Bytes that a collection takes in an RDB file, where it is not compressed: every part with its length.
fn collection_len(collection: AnyRef<'_>) -> usize {
    let mut bytes = length_len(collection.len());
    collection.visit(&mut |parts| {
        bytes += parts.iter().map(|part| length_len(part.len()) + part.len()).sum::<usize>();
    });
    bytes
}

/// Bytes of an integer that has a short form.
fn integer_len(number: i64) -> Option<usize> {
    if i8::try_from(number).is_ok() {
        Some(2)
    } else if i16::try_from(number).is_ok() {
        Some(3)
    } else if i32::try_from(number).is_ok() {
        Some(5)
    } else {
        None
    }
}

/// Bytes of a length: six bits, fourteen, 32 or 64 behind a mark.
fn length_len(length: usize) -> usize {
    match length {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..=0xffff_ffff => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::NewValue;

    fn entry(key: &str, value: NewValue<'_>) -> Entry {
        Entry::new(key.as_bytes(), value, None)
    }

    #[test]
    fn a_digest_tells_apart_what_clients_can_tell_apart() {
        let mut digits = Vec::new();
        let mut of = |db, entry: Entry| Digest::of_entry(db, &entry, &mut digits);
        let one = of(0, entry("a", NewValue::Int(1)));
        assert_eq!(one, of(0, entry("a", NewValue::Bytes(b"1"))));
        assert_ne!(one, of(1, entry("a", NewValue::Int(1))));
        assert_ne!(one, of(0, entry("b", NewValue::Int(1))));
        assert_ne!(one, of(0, entry("a", NewValue::Int(2))));
        assert_ne!(one, of(0, Entry::new(b"a", NewValue::Int(1), Some(5))));
        assert_ne!(of(0, entry("ab", NewValue::Bytes(b"c"))), of(0, entry("a", NewValue::Bytes(b"bc"))));
    }

    #[test]
    fn the_digest_of_nothing_is_zero_and_order_makes_no_difference() {
        let (one, two) = (Digest::of(&[b"one"]), Digest::of(&[b"two"]));
        let (mut forth, mut back) = (Digest::default(), Digest::default());
        assert_eq!(forth.text(), "0".repeat(40));
        forth.mix(one);
        forth.mix(two);
        back.mix(two);
        back.mix(one);
        assert_eq!(forth, back);
        assert_ne!(forth, Digest::default());
    }

    #[test]
    fn the_serialized_length_is_that_of_the_shortest_form() {
        let len = |text: &str| serialized_len(ValueRef::Bytes(text.as_bytes()), true);
        for (text, expected) in [
            ("1", 2),
            ("-129", 3),
            ("70000", 5),
            ("12345678901", 12),
            ("abcdefghijabcdefghij", 21),
            ("abcdefghijabcdefghijabcdefghij", 18),
            ("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOP", 53),
            ("aaaaaaaaaaaaaaaaaaaaaaaaa", 12),
        ] {
            assert_eq!(len(text), expected, "{text}");
        }
        assert_eq!(serialized_len(ValueRef::Int(12_345_678_901), true), 12);
        let zeros = [vec![0; 100_000], vec![b'x']].concat();
        assert_eq!(serialized_len(ValueRef::Bytes(&zeros), true), 1151);
        assert_eq!(serialized_len(ValueRef::Bytes(&zeros), false), 100_006);
    }
}
