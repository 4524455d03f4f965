//! CLIENT PAUSE.
//!
//! For: until when which commands wait, and no key leaves because of its deadline. May touch: nothing.
//! Always: changed only while nobody is in the middle of a command anywhere; ends by the space's clock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Nothing.
    Nothing,
    /// Commands that write.
    Writes,
    /// Every command.
    All,
}

/// The pause, if there is one.
#[derive(Default)]
pub struct Pause {
    what: AtomicU8,
    until_ms: AtomicU64,
}

impl Pause {
    /// Pauses until that unix time in milliseconds. As in Redis a pause never makes an existing one shorter
    /// or weaker.
    pub fn start(&self, what: What, until_ms: u64, now_ms: u64) {
        let (present, end) = (self.what(now_ms), self.until_ms.load(Ordering::Relaxed));
        self.what.store(present.max(what) as u8, Ordering::Relaxed);
        let end = if present == What::Nothing { until_ms } else { end.max(until_ms) };
        self.until_ms.store(end, Ordering::Relaxed);
    }

    /// Ends it.
    pub fn end(&self) {
        self.what.store(What::Nothing as u8, Ordering::Relaxed);
    }

    /// Forgets a pause that is over at that time, so that it does not come back when the clock is set back.
    pub fn forget_if_over(&self, now_ms: u64) {
        if self.what(now_ms) == What::Nothing {
            self.end();
        }
    }

    /// Whether something is paused, or was until the pause ended by itself.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.what.load(Ordering::Relaxed) != What::Nothing as u8
    }

    /// What is paused at that time.
    #[inline]
    pub fn what(&self, now_ms: u64) -> What {
        match self.what.load(Ordering::Relaxed) {
            0 => What::Nothing,
            _ if self.until_ms.load(Ordering::Relaxed) <= now_ms => What::Nothing,
            1 => What::Writes,
            _ => What::All,
        }
    }

    /// Whether nothing leaves the keyspace at that time because of its deadline: neither kind of pause lets
    /// the data change.
    pub fn keeps_keys(&self, now_ms: u64) -> bool {
        self.what(now_ms) != What::Nothing
    }

    /// When it ends, unix milliseconds.
    pub fn until_ms(&self) -> u64 {
        self.until_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pause_never_shortens_or_weakens_the_first() {
        let pause = Pause::default();
        pause.start(What::All, 1_000, 0);
        pause.start(What::Writes, 500, 0);
        assert_eq!((pause.what(999), pause.until_ms()), (What::All, 1_000));
        assert_eq!(pause.what(1_000), What::Nothing);
        pause.start(What::Writes, 1_500, 1_200);
        assert_eq!((pause.what(1_400), pause.until_ms()), (What::Writes, 1_500));
        pause.end();
        assert_eq!(pause.what(1_400), What::Nothing);
    }

    #[test]
    fn a_pause_that_is_over_does_not_come_back_with_the_time() {
        let pause = Pause::default();
        pause.start(What::All, 1_000, 0);
        pause.forget_if_over(999);
        assert_eq!(pause.what(999), What::All);
        pause.forget_if_over(1_000);
        assert_eq!(pause.what(500), What::Nothing);
    }
}
