//! An ordered map by identifier in chunks that clones share.
//!
//! For: pending entries, of a group and of each of its consumers. May touch: its own memory.
//! Always: a chunk's key is at most its first identifier and above all those of the chunk before; no chunk is
//! empty; within a chunk identifiers ascend. A clone copies the index alone, and a chunk is copied when it is
//! changed while shared.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use super::id::StreamId;

/// Most elements of a chunk.
const CHUNK_MAX: usize = 128;
/// A chunk that has shrunk below this joins the one behind it, if both together stay half full at most.
const CHUNK_SMALL: usize = CHUNK_MAX / 4;

type Chunk<V> = Arc<Vec<(StreamId, V)>>;

/// An ordered map from identifiers to small values.
#[derive(Clone, Debug)]
pub struct Chunks<V> {
    index: BTreeMap<StreamId, Chunk<V>>,
    len: usize,
}

impl<V> Default for Chunks<V> {
    fn default() -> Chunks<V> {
        Chunks { index: BTreeMap::new(), len: 0 }
    }
}

impl<V: Clone> Chunks<V> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The value at `id`.
    pub fn get(&self, id: StreamId) -> Option<&V> {
        let chunk = self.index.range(..=id).next_back()?.1;
        let at = position(chunk, id).ok()?;
        Some(&chunk[at].1)
    }

    /// The value at `id`, to be changed.
    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut V> {
        let chunk = self.index.range_mut(..=id).next_back()?.1;
        let at = position(chunk, id).ok()?;
        Some(&mut Arc::make_mut(chunk)[at].1)
    }

    /// Sets the value at `id`; answers the one that was there.
    pub fn insert(&mut self, id: StreamId, value: V) -> Option<V> {
        let is_last = match self.index.last_key_value() {
            None => {
                self.index.insert(id, Arc::new(vec![(id, value)]));
                self.len += 1;
                return None;
            }
            Some((_, chunk)) => chunk.last().is_none_or(|(last, _)| *last < id),
        };
        let key = self.key_for(id);
        let Entry::Occupied(mut place) = self.index.entry(key) else { unreachable!("just looked up") };
        let chunk = Arc::make_mut(place.get_mut());
        let at = match position(chunk, id) {
            Ok(at) => return Some(std::mem::replace(&mut chunk[at].1, value)),
            Err(at) => at,
        };
        self.len += 1;
        if chunk.len() < CHUNK_MAX {
            chunk.insert(at, (id, value));
        } else if is_last {
            self.index.insert(id, Arc::new(vec![(id, value)]));
        } else {
            let mut upper = chunk.split_off(CHUNK_MAX / 2);
            match at.checked_sub(CHUNK_MAX / 2 + 1) {
                Some(_) => upper.insert(at - CHUNK_MAX / 2, (id, value)),
                None => chunk.insert(at, (id, value)),
            }
            self.index.insert(upper[0].0, Arc::new(upper));
        }
        None
    }

    /// The key of the chunk that `id` belongs into; the first one's is lowered where that is needed. There is
    /// a chunk.
    fn key_for(&mut self, id: StreamId) -> StreamId {
        if let Some((&key, _)) = self.index.range(..=id).next_back() {
            return key;
        }
        let (_, chunk) = self.index.pop_first().expect("there is a chunk");
        self.index.insert(id, chunk);
        id
    }

    /// Takes the value at `id` out.
    pub fn remove(&mut self, id: StreamId) -> Option<V> {
        let (&key, chunk) = self.index.range_mut(..=id).next_back()?;
        let at = position(chunk, id).ok()?;
        let chunk = Arc::make_mut(chunk);
        let (_, value) = chunk.remove(at);
        let left = chunk.len();
        self.len -= 1;
        if left == 0 {
            self.index.remove(&key);
        } else if left < CHUNK_SMALL && left.is_power_of_two() {
            self.join(key);
        }
        Some(value)
    }

    /// Joins the chunk at `key` with the one behind it, if both are small.
    fn join(&mut self, key: StreamId) {
        let mut behind = self.index.range((Bound::Excluded(key), Bound::Unbounded));
        let Some((&next, other)) = behind.next() else { return };
        let Some(chunk) = self.index.get(&key) else { return };
        if chunk.len() + other.len() > CHUNK_MAX / 2 {
            return;
        }
        let other = self.index.remove(&next).expect("just seen");
        let chunk = Arc::make_mut(self.index.get_mut(&key).expect("just seen"));
        chunk.extend(other.iter().cloned());
    }

    /// Elements from `from` on, upwards.
    pub fn iter_from(&self, from: StreamId) -> impl Iterator<Item = (StreamId, &V)> {
        let key = self.index.range(..=from).next_back().map_or(from, |(&key, _)| key);
        let chunks = self.index.range(key..).map(|(_, chunk)| chunk);
        chunks.flat_map(move |chunk| {
            let skip = chunk.partition_point(|(id, _)| *id < from);
            chunk[skip..].iter().map(|(id, value)| (*id, value))
        })
    }

    /// All elements, upwards.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &V)> {
        self.iter_from(StreamId::MIN)
    }

    /// The lowest identifier.
    pub fn first(&self) -> Option<StreamId> {
        Some(self.index.first_key_value()?.1.first()?.0)
    }

    /// The highest identifier.
    pub fn last(&self) -> Option<StreamId> {
        Some(self.index.last_key_value()?.1.last()?.0)
    }

    /// Bytes it occupies, about: chunks are taken to be full.
    pub fn heap_bytes(&self) -> usize {
        let chunk = size_of::<(StreamId, Chunk<V>)>() * 3 / 2 + size_of::<Vec<V>>() + 2 * size_of::<usize>();
        self.len * size_of::<(StreamId, V)>() + self.index.len() * chunk
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let mut above: Option<StreamId> = None;
        let mut len = 0;
        for (key, chunk) in &self.index {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK_MAX);
            assert!(above.is_none_or(|above| above < *key) && *key <= chunk[0].0);
            assert!(chunk.is_sorted_by(|a, b| a.0 < b.0));
            above = chunk.last().map(|last| last.0);
            len += chunk.len();
        }
        assert_eq!(len, self.len);
    }
}

fn position<V>(chunk: &[(StreamId, V)], id: StreamId) -> Result<usize, usize> {
    chunk.binary_search_by_key(&id, |(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u32),
        Append(u32),
        Change(u64),
        Remove(u64),
        RemoveRange(u64, u64),
        Walk(u64),
        Clone,
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 0..2000u64;
        prop_oneof![
            6 => (id.clone(), any::<u32>()).prop_map(|(id, value)| Step::Insert(id, value)),
            6 => (1..200u32).prop_map(Step::Append),
            2 => id.clone().prop_map(Step::Change),
            4 => id.clone().prop_map(Step::Remove),
            2 => (id.clone(), 1..400u64).prop_map(|(id, count)| Step::RemoveRange(id, count)),
            2 => id.prop_map(Step::Walk),
            1 => Just(Step::Clone),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn it_is_an_ordered_map_and_clones_stay_as_they_were(steps in prop::collection::vec(step(), 1..80)) {
            let at = |id: u64| StreamId::new(id / 16, id % 16);
            let (mut map, mut model) = (Chunks::default(), BTreeMap::new());
            let mut kept: Option<(Chunks<u32>, BTreeMap<StreamId, u32>)> = None;
            for step in steps {
                match step {
                    Step::Insert(id, value) => prop_assert_eq!(
                        map.insert(at(id), value),
                        model.insert(at(id), value)
                    ),
                    Step::Append(count) => {
                        for value in 0..count {
                            let id = map.last().unwrap_or(StreamId::MIN).successor().expect("far from it");
                            map.insert(id, value);
                            model.insert(id, value);
                        }
                    }
                    Step::Change(id) => {
                        let (found, expected) = (map.get_mut(at(id)), model.get_mut(&at(id)));
                        prop_assert_eq!(&found, &expected);
                        if let (Some(found), Some(expected)) = (found, expected) {
                            (*found, *expected) = (7, 7);
                        }
                    }
                    Step::Remove(id) => prop_assert_eq!(map.remove(at(id)), model.remove(&at(id))),
                    Step::RemoveRange(id, count) => {
                        for id in id..id + count {
                            prop_assert_eq!(map.remove(at(id)), model.remove(&at(id)));
                        }
                    }
                    Step::Walk(id) => {
                        let expected = model.range(at(id)..).map(|(id, value)| (*id, value));
                        prop_assert!(map.iter_from(at(id)).eq(expected));
                        prop_assert_eq!(map.get(at(id)), model.get(&at(id)));
                    }
                    Step::Clone => kept = Some((map.clone(), model.clone())),
                }
                map.check_invariants();
                prop_assert_eq!(map.first(), model.keys().next().copied());
                prop_assert_eq!(map.last(), model.keys().next_back().copied());
            }
            prop_assert!(map.iter().eq(model.iter().map(|(id, value)| (*id, value))));
            if let Some((map, model)) = kept {
                prop_assert!(map.iter().eq(model.iter().map(|(id, value)| (*id, value))));
            }
        }
    }
}
