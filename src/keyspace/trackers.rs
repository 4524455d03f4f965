//! Who has read which keys and wants to hear when they change.
//!
//! For: client-side caching (CLIENT TRACKING). May touch: nothing.
//! Always: a key's readers are noted, and taken out to be told, under the mutex of its shard: whoever reads a
//! value either has it told stale later, or read it after the change. A key has readers under its name alone,
//! whatever the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use smallvec::SmallVec;

use super::record::Record;

/// Ids of clients, ascending.
pub type Readers = SmallVec<[u64; 2]>;

/// Readers of one key are looked through for those who are gone whenever there are this many, or any power of
/// two above.
const MANY_READERS: usize = 16;

/// What those who track keys are to be told, in order, of one command, transaction, script or expiry.
#[derive(Default, Debug)]
pub struct Stale {
    /// Keys with those who have read them; `None`: all keys, to everybody who tracks.
    pub read: Vec<Option<(Arc<[u8]>, Readers)>>,
    /// Keys that are tracked no longer although they have not changed, with those who have read them.
    pub given_up: Vec<(Arc<[u8]>, Readers)>,
    /// While somebody tracks by prefix: keys that have changed, each with whether a client changed it last,
    /// rather than its deadline.
    pub changed: BTreeMap<Arc<[u8]>, bool>,
    /// Keys, and readers taken together, that were forgotten without being told one by one.
    pub forgotten: (usize, usize),
}

impl Stale {
    /// Whether there is nothing to tell.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() & self.changed.is_empty() & self.given_up.is_empty()
    }
}

/// The readers of a key, and its place in the order from which any key is drawn.
struct Place {
    at: usize,
    readers: Readers,
}

/// What noting a reader has added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Keys with readers.
    pub keys: usize,
    /// Readers of keys, less those who turned out to be gone.
    pub items: isize,
}

/// The tracked keys of one shard.
#[derive(Default)]
pub struct Trackers {
    by_key: HashMap<Arc<[u8]>, Place>,
    keys: Vec<Arc<[u8]>>,
    /// Somebody tracks keys by prefix.
    broadcasts: bool,
}

impl Trackers {
    /// Notes that a client has read a key. `is_here`: whether the client of that id still tracks.
    pub fn remember(&mut self, key: &[u8], reader: u64, is_here: impl Fn(u64) -> bool) -> Added {
        let Some(place) = self.by_key.get_mut(key) else {
            let key: Arc<[u8]> = key.into();
            let place = Place { at: self.keys.len(), readers: SmallVec::from_slice(&[reader]) };
            self.keys.push(Arc::clone(&key));
            self.by_key.insert(key, place);
            return Added { keys: 1, items: 1 };
        };
        let readers = &mut place.readers;
        let Err(at) = readers.binary_search(&reader) else { return Added::default() };
        readers.insert(at, reader);
        let before = readers.len();
        if before >= MANY_READERS && before.is_power_of_two() {
            readers.retain(|reader| is_here(*reader));
        }
        Added { keys: 0, items: 1 + readers.len() as isize - before as isize }
    }

    /// A key has changed: hands its readers over to be told.
    fn changed(&mut self, key: &[u8], by_client: bool, stale: &mut Stale) {
        let readers = self.take(key);
        if self.broadcasts {
            let key = readers.as_ref().map_or_else(|| key.into(), |(key, _)| Arc::clone(key));
            stale.changed.insert(key, by_client);
        }
        stale.read.extend(readers.map(Some));
    }

    fn take(&mut self, key: &[u8]) -> Option<(Arc<[u8]>, Readers)> {
        let (key, place) = self.by_key.remove_entry(key)?;
        self.keys.swap_remove(place.at);
        if let Some(moved) = self.keys.get(place.at) {
            self.by_key.get_mut(moved).expect("every key of the order is tracked").at = place.at;
        }
        Some((key, place.readers))
    }

    /// Gives up any one key, chosen by `draw`, with its readers.
    pub fn give_up(&mut self, draw: u64) -> Option<(Arc<[u8]>, Readers)> {
        let at = draw.checked_rem(self.keys.len() as u64)? as usize;
        let key = Arc::clone(&self.keys[at]);
        self.take(&key)
    }

    /// Forgets all readers; how many keys there were, and how many readers taken together.
    pub fn clear(&mut self) -> (usize, usize) {
        self.keys = Vec::new();
        let by_key = std::mem::take(&mut self.by_key);
        (by_key.len(), by_key.values().map(|place| place.readers.len()).sum())
    }

    /// Whether changes of all keys are to be told of, because somebody tracks by prefix.
    pub fn broadcast(&mut self, on: bool) {
        self.broadcasts = on;
    }

    /// Whether nobody tracks anything.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.broadcasts
    }
}

impl Trackers {
    /// A client has changed a key, or removed it.
    #[inline]
    pub(super) fn written(&mut self, key: &[u8], record: &mut Record) {
        self.changed(key, true, &mut record.stale);
    }

    /// A key, or a field of it, has gone because of its deadline.
    #[inline]
    pub(super) fn lapsed(&mut self, key: &[u8], record: &mut Record) {
        self.changed(key, false, &mut record.stale);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl Trackers {
        fn check_invariants(&self) {
            assert_eq!(self.by_key.len(), self.keys.len());
            for (at, key) in self.keys.iter().enumerate() {
                let place = &self.by_key[key];
                assert_eq!(place.at, at);
                assert!(!place.readers.is_empty() && place.readers.is_sorted());
            }
        }
    }

    proptest! {
        #[test]
        fn readers_are_told_once_of_what_they_have_read(
            steps in prop::collection::vec((0u8..10, 0u8..6, 0u64..5), 0..200),
        ) {
            let (mut trackers, mut model) = (Trackers::default(), BTreeMap::<Vec<u8>, BTreeSet<u64>>::new());
            for (step, key, reader) in steps {
                let key = vec![key];
                let mut stale = Stale::default();
                match step {
                    0 => {
                        let given = trackers.give_up(reader);
                        prop_assert_eq!(given.is_some(), !model.is_empty());
                        if let Some((key, readers)) = given {
                            let expected = model.remove(&*key).expect("it was tracked");
                            prop_assert!(readers.iter().eq(&expected));
                        }
                    }
                    1..4 => {
                        trackers.changed(&key, true, &mut stale);
                        let told: Vec<u64> =
                            stale.read.iter().flatten().flat_map(|(_, readers)| readers.to_vec()).collect();
                        prop_assert!(told.iter().eq(&model.remove(&key).unwrap_or_default()));
                    }
                    _ => {
                        let added = trackers.remember(&key, reader, |_| true);
                        let is_new_key = !model.contains_key(&key);
                        let is_new = model.entry(key).or_default().insert(reader);
                        prop_assert_eq!(added, Added { keys: is_new_key.into(), items: is_new.into() });
                    }
                }
                trackers.check_invariants();
                prop_assert_eq!(trackers.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn readers_who_are_gone_do_not_pile_up() {
        let mut trackers = Trackers::default();
        let mut items = 0;
        for reader in 0..10_000 {
            items += trackers.remember(b"k", reader, |id| id + 3 > reader).items;
        }
        let kept = trackers.by_key[&b"k"[..]].readers.len();
        assert!(kept < 2 * MANY_READERS, "{kept}");
        assert_eq!(items, kept as isize);
    }

    #[test]
    fn while_somebody_tracks_by_prefix_every_change_is_told() {
        let (mut trackers, mut stale) = (Trackers::default(), Stale::default());
        trackers.changed(b"before", true, &mut stale);
        trackers.broadcast(true);
        for (key, by_client) in [(b"b", true), (b"a", false), (b"b", false)] {
            trackers.changed(key, by_client, &mut stale);
        }
        let told: Vec<(&[u8], bool)> = stale.changed.iter().map(|(key, by)| (&**key, *by)).collect();
        assert_eq!(told, [(&b"a"[..], false), (b"b", false)]);
        trackers.broadcast(false);
        assert!(trackers.is_empty());
    }
}
