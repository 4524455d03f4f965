//! Bytes that grow at their end.
//! For: replies that wait to be sent. May touch: bytes only.
//! Always: memory behind the written bytes is cleared once and then kept, so that a short piece takes one
//! look at the room there is and a few moves of constant size, which may go beyond its end.

use std::ops::{Deref, DerefMut};

/// Most bytes that are cleared at a time for pieces to come.
const AHEAD_BYTES: usize = 4096;

/// Written bytes, which it derefs to, and room behind them.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The written bytes, then bytes that mean nothing.
    memory: Vec<u8>,
    /// How many are written.
    len: usize,
}

impl Buffer {
    /// The next `N` bytes of the room; [`Buffer::add`] says how many of them are written. `None`: there are
    /// not so many, and room has to be made.
    #[inline(always)]
    pub(super) fn room<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.memory.get_mut(self.len..self.len + N)?.first_chunk_mut()
    }

    /// All room there is, at least `min` bytes.
    #[inline]
    pub(super) fn room_of(&mut self, min: usize) -> &mut [u8] {
        if self.memory.len() - self.len < min {
            self.make_room(min);
        }
        &mut self.memory[self.len..]
    }

    /// Clears at least `min` bytes behind those written.
    #[cold]
    pub(super) fn make_room(&mut self, min: usize) {
        let end = self.len + min;
        self.memory.reserve(end - self.memory.len());
        self.memory.resize(end.max(self.memory.capacity().min(self.len + AHEAD_BYTES)), 0);
    }

    /// The first `count` bytes of the room were written.
    #[inline]
    pub(super) fn add(&mut self, count: usize) {
        self.len += count;
        debug_assert!(self.len <= self.memory.len());
    }

    /// Writes `data`.
    #[inline]
    pub(super) fn extend_from_slice(&mut self, data: &[u8]) {
        match self.memory.get_mut(self.len..self.len + data.len()) {
            Some(room) => {
                room.copy_from_slice(data);
                self.len += data.len();
            }
            None => self.extend_memory(data),
        }
    }

    #[inline(never)]
    fn extend_memory(&mut self, data: &[u8]) {
        self.memory.truncate(self.len);
        self.memory.extend_from_slice(data);
        self.len = self.memory.len();
    }

    /// Makes sure that `more` bytes can be written without moving the others.
    pub(super) fn reserve(&mut self, more: usize) {
        self.memory.reserve((self.len + more).saturating_sub(self.memory.len()));
    }

    /// Puts `data` before the byte at `at`.
    pub(super) fn insert(&mut self, at: usize, data: &[u8]) {
        let end = self.len;
        self.extend_from_slice(data);
        self.copy_within(at..end, at + data.len());
        self[at..at + data.len()].copy_from_slice(data);
    }

    /// Cuts off what is behind the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Removes the first `count` bytes.
    pub(super) fn remove_first(&mut self, count: usize) {
        self.copy_within(count.., 0);
        self.len -= count;
    }

    /// Bytes of the memory.
    pub(super) fn capacity(&self) -> usize {
        self.memory.capacity()
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Extend(usize),
        Room(usize),
        Insert(usize, usize),
        Truncate(usize),
        RemoveFirst(usize),
        Reserve(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..6000).prop_map(Step::Extend),
            (0usize..40).prop_map(Step::Extend),
            (0usize..=24).prop_map(Step::Room),
            (0usize..9000, 0usize..30).prop_map(|(at, len)| Step::Insert(at, len)),
            (0usize..9000).prop_map(Step::Truncate),
            (0usize..9000).prop_map(Step::RemoveFirst),
            (0usize..9000).prop_map(Step::Reserve),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn it_holds_what_was_written_whatever_its_room_was_used_for(
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let (mut buffer, mut model) = (Buffer::default(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                let data = |len| vec![number as u8 + 1; len];
                match step {
                    Step::Extend(len) => {
                        buffer.extend_from_slice(&data(len));
                        model.extend(data(len));
                    }
                    Step::Room(len) => {
                        if buffer.room::<24>().is_none() {
                            buffer.make_room(24);
                        }
                        buffer.room::<24>().unwrap().fill(number as u8 + 1);
                        buffer.add(len);
                        model.extend(data(len));
                    }
                    Step::Insert(at, len) => {
                        let at = at.min(model.len());
                        buffer.insert(at, &data(len));
                        model.splice(at..at, data(len));
                    }
                    Step::Truncate(len) => {
                        buffer.truncate(len);
                        model.truncate(len);
                    }
                    Step::RemoveFirst(count) => {
                        buffer.remove_first(count.min(model.len()));
                        model.drain(..count.min(model.len()));
                    }
                    Step::Reserve(more) => {
                        buffer.reserve(more);
                        prop_assert!(buffer.capacity() >= model.len() + more);
                    }
                }
                prop_assert!(*buffer == model[..]);
            }
        }
    }
}
