//! Names of fields that a client has prepared for hashes it is going to import.
//!
//! For: HIMPORT. May touch: its own memory.
//! Always: no list of names has one twice; all of a session's take at most [`BYTES_MAX`] bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What the names of one session may take.
pub const BYTES_MAX: usize = 64 << 20;

/// The fields of a hash, in the order in which their values are to come.
pub type Fields = Arc<[Box<[u8]>]>;

/// What a session has prepared.
#[derive(Default)]
pub struct Fieldsets {
    sets: BTreeMap<Box<[u8]>, Fields>,
    bytes: usize,
}

impl Fieldsets {
    /// Keeps a list of fields under a name, in place of one of that name. False: there is no room for it, and
    /// nothing has changed.
    pub fn prepare(&mut self, name: &[u8], fields: Fields) -> bool {
        let freed = self.sets.get(name).map_or(0, |old| bytes_of(name, old));
        let bytes = self.bytes - freed + bytes_of(name, &fields);
        if bytes > BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.sets.insert(name.into(), fields);
        true
    }

    /// The list of that name.
    pub fn get(&self, name: &[u8]) -> Option<&Fields> {
        self.sets.get(name)
    }

    /// Forgets a list; false: there was none.
    pub fn discard(&mut self, name: &[u8]) -> bool {
        let old = self.sets.remove(name);
        self.bytes -= old.as_ref().map_or(0, |old| bytes_of(name, old));
        old.is_some()
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether there is no list.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

fn bytes_of(name: &[u8], fields: &Fields) -> usize {
    let each = size_of::<Box<[u8]>>();
    fields.iter().map(|field| field.len() + each).sum::<usize>() + name.len() + 4 * each
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &[usize]) -> Fields {
        of.iter().map(|len| vec![b'x'; *len].into_boxed_slice()).collect()
    }

    #[test]
    fn what_is_kept_is_counted_and_bounded() {
        let mut sets = Fieldsets::default();
        assert!(
            sets.prepare(b"a", fields(&[BYTES_MAX / 2])) && sets.prepare(b"a", fields(&[BYTES_MAX - 200]))
        );
        assert!(!sets.prepare(b"b", fields(&[BYTES_MAX / 2])) && sets.get(b"b").is_none());
        assert!(sets.prepare(b"a", fields(&[1, 2])) && sets.prepare(b"b", fields(&[BYTES_MAX / 2])));
        assert!(sets.discard(b"a") && sets.discard(b"b") && !sets.discard(b"b"));
        assert_eq!((sets.len(), sets.bytes), (0, 0));
    }
}
