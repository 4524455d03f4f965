//! A sorted run of integers, the compact form of sets that have nothing else.
//! For: sets. May touch: bytes only.
//! Always: the integers ascend and differ; all take as many bytes as the widest ever needed.
//!
//! A run is a byte that says how many bytes an integer takes (1 to 8), and then the integers, little end
//! first. No bytes at all is a run without integers.

/// Bytes before the first integer.
const HEAD: usize = 1;

/// Bytes an integer needs, its sign included.
#[inline]
fn width_of(value: i64) -> usize {
    let unsigned = value ^ (value >> 63);
    (64 - unsigned.leading_zeros() as usize) / 8 + 1
}

/// An integer of one to eight bytes.
#[inline]
fn read(bytes: &[u8]) -> i64 {
    let mut high = [0; 8];
    high[8 - bytes.len()..].copy_from_slice(bytes);
    i64::from_le_bytes(high) >> (64 - 8 * bytes.len())
}

/// A run read from borrowed bytes.
#[derive(Clone, Copy)]
pub struct IntSetRef<'a>(&'a [u8]);

impl<'a> IntSetRef<'a> {
    /// Reads the bytes that [`IntSet::into_vec`] gave.
    pub fn new(bytes: &'a [u8]) -> IntSetRef<'a> {
        IntSetRef(bytes)
    }

    /// The run's bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    fn width(self) -> usize {
        self.0.first().map_or(1, |&width| usize::from(width))
    }

    /// Number of integers.
    #[inline]
    pub fn len(self) -> usize {
        self.0.len().saturating_sub(HEAD) / self.width()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.len() <= HEAD
    }

    /// Integer number `index` in ascending order.
    #[inline]
    pub fn get(self, index: usize) -> Option<i64> {
        let (width, at) = (self.width(), HEAD + index * self.width());
        match self.0.get(at..at + size_of::<i64>()).and_then(|bytes| bytes.first_chunk()) {
            // What follows the integer is shifted out.
            Some(word) => {
                let beside = 64 - 8 * width as u32;
                Some(i64::from_le_bytes(*word) << beside >> beside)
            }
            None => self.0.get(at..at + width).map(read),
        }
    }

    /// All integers, ascending.
    pub fn iter(self) -> Ints<'a> {
        Ints(self.0.get(HEAD..).unwrap_or_default().chunks_exact(self.width()))
    }

    /// Whether `value` is there. O(log N).
    pub fn contains(self, value: i64) -> bool {
        width_of(value) <= self.width() && self.search(value).is_ok()
    }

    /// The number of `value`, or the one it would get.
    fn search(self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let found = self.get(middle).expect("the middle lies between the ends");
            match found.cmp(&value) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

/// The integers of a run, ascending.
#[derive(Clone)]
pub struct Ints<'a>(std::slice::ChunksExact<'a, u8>);

impl Iterator for Ints<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.0.next().map(read)
    }
}

/// A run that owns its bytes.
#[derive(Clone, Default)]
pub struct IntSet(Vec<u8>);

impl IntSet {
    /// A run without integers; takes no memory.
    pub const fn new() -> IntSet {
        IntSet(Vec::new())
    }

    /// Takes over the bytes of a run, or an empty vector.
    pub fn from_vec(bytes: Vec<u8>) -> IntSet {
        debug_assert!(bytes.is_empty() || (bytes.len() - HEAD).is_multiple_of(usize::from(bytes[0])));
        IntSet(bytes)
    }

    /// The run's bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// Bytes allocated.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// The run for reading.
    #[inline]
    pub fn as_ref(&self) -> IntSetRef<'_> {
        IntSetRef(&self.0)
    }

    /// Adds `value`; tells whether it is new. O(N).
    pub fn add(&mut self, value: i64) -> bool {
        if self.0.is_empty() {
            self.0.push(width_of(value) as u8);
        }
        if width_of(value) > self.as_ref().width() {
            self.widen(width_of(value));
        }
        let Err(index) = self.as_ref().search(value) else { return false };
        let width = self.as_ref().width();
        let (at, len) = (HEAD + index * width, self.0.len());
        self.0.resize(len + width, 0);
        self.0.copy_within(at..len, at + width);
        self.0[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        true
    }

    /// Removes `value`; tells whether it was there. O(N).
    pub fn remove(&mut self, value: i64) -> bool {
        if !self.as_ref().contains(value) {
            return false;
        }
        let Ok(index) = self.as_ref().search(value) else { return false };
        let width = self.as_ref().width();
        let at = HEAD + index * width;
        self.0.drain(at..at + width);
        true
    }

    fn widen(&mut self, width: usize) {
        let mut wider = Vec::with_capacity(HEAD + (self.as_ref().len() + 1) * width);
        wider.push(width as u8);
        self.as_ref().iter().for_each(|value| wider.extend_from_slice(&value.to_le_bytes()[..width]));
        self.0 = wider;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![
            -20i64..20,
            any::<i16>().prop_map(i64::from),
            any::<i32>().prop_map(i64::from),
            any::<i64>(),
            prop::sample::select(vec![
                i64::MIN,
                i64::MAX,
                i64::from(i32::MIN),
                i64::from(i32::MAX) + 1,
                -32_768,
                32_768
            ]),
        ]
    }

    #[test]
    fn an_integer_takes_as_many_bytes_as_it_needs() {
        for width in 1..=8u32 {
            let most = i64::MAX >> (64 - 8 * width);
            assert_eq!((width_of(most), width_of(-most - 1)), (width as usize, width as usize));
            if width < 8 {
                assert_eq!(
                    (width_of(most + 1), width_of(-most - 2)),
                    (width as usize + 1, width as usize + 1)
                );
            }
        }
        assert_eq!((width_of(0), width_of(-1)), (1, 1));
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_set(steps in prop::collection::vec((any::<bool>(), value()), 0..200)) {
            let (mut ints, mut model) = (IntSet::new(), BTreeSet::new());
            for (adds, value) in steps {
                if adds {
                    prop_assert_eq!(ints.add(value), model.insert(value));
                } else {
                    prop_assert_eq!(ints.remove(value), model.remove(&value));
                }
                prop_assert_eq!(ints.as_ref().contains(value), adds);
            }
            let back = IntSet::from_vec(ints.into_vec());
            prop_assert_eq!(back.as_ref().len(), model.len());
            prop_assert_eq!(back.as_ref().is_empty(), model.is_empty());
            prop_assert!(back.as_ref().iter().eq(model.iter().copied()));
            for (index, value) in model.iter().enumerate() {
                prop_assert_eq!(back.as_ref().get(index), Some(*value));
            }
            prop_assert_eq!(back.as_ref().get(model.len()), None);
        }
    }

    #[test]
    fn a_run_is_as_wide_as_its_widest_ever() {
        let mut ints = IntSet::new();
        for (value, bytes) in [(1, 2), (-32_768, 5), (40_000, 10), (-3_000_000_000, 21)] {
            assert!(ints.add(value));
            assert_eq!(ints.as_ref().as_bytes().len(), bytes);
        }
        assert!(ints.remove(-3_000_000_000) && ints.remove(40_000));
        assert_eq!(ints.as_ref().as_bytes().len(), 11);
        assert!(!ints.as_ref().contains(i64::MAX));
    }
}
