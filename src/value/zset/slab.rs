//! Numbered blocks that are copied when they are shared.
//!
//! For: the leaves, inner nodes and segments of a large sorted set, which name each other by number. May
//! touch: nothing.
//! Always: a block keeps its number until it is taken out, in every clone; a change copies the one block it
//! is made in, if a clone shares it.

use std::sync::Arc;

/// Blocks by number.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Option<Arc<T>>>,
    /// Numbers below `places.len()` that are free.
    free: Vec<u32>,
}

impl<T> Clone for Slab<T> {
    fn clone(&self) -> Slab<T> {
        Slab { places: self.places.clone(), free: self.free.clone() }
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T: Clone> Slab<T> {
    /// The block with that number, which must be taken.
    #[inline]
    pub fn get(&self, id: u32) -> &T {
        self.places[id as usize].as_deref().expect("a number in use")
    }

    /// The same, to change it.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> &mut T {
        Arc::make_mut(self.places[id as usize].as_mut().expect("a number in use"))
    }

    /// Adds a block and returns its number.
    pub fn add(&mut self, block: T) -> u32 {
        let block = Some(Arc::new(block));
        if let Some(id) = self.free.pop() {
            self.places[id as usize] = block;
            return id;
        }
        self.places.push(block);
        u32::try_from(self.places.len() - 1).expect("2^32 blocks exceed any memory")
    }

    /// Takes a block out.
    pub fn remove(&mut self, id: u32) -> T {
        let block = self.places[id as usize].take().expect("a number in use");
        self.free.push(id);
        if self.free.len() == self.places.len() {
            *self = Slab::default();
        }
        Arc::unwrap_or_clone(block)
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All blocks.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.as_deref())
    }

    /// Memory of the table and of the blocks' heads; what blocks own is theirs to tell.
    pub fn heap_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Option<Arc<T>>>()
            + self.free.capacity() * size_of::<u32>()
            + self.len() * (size_of::<T>() + 2 * size_of::<usize>())
    }
}
