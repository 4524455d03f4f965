//! Time and chance.
//!
//! For: the wall time of a space ([`Clock`], real or virtual), durations ([`Ticks`]), random numbers
//! ([`Chance`]).
//! May touch: the operating system's clocks and entropy; nothing else in the program does.
//! Always: what [`Clock::now_ms`] answers goes back only where [`Clock::setbacks`] counts it; the same seed
//! yields the same numbers.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A backward step of the wall clock up to this long is waited out: time stands still until the wall clock
/// has caught up. A longer one is followed, because an operator has set the clock, and absolute deadlines
/// mean it.
pub const HOLD_US: u64 = 1_000_000;

/// The latest time a virtual clock shows, in unix microseconds: some 292,000 years.
pub const LATEST_US: u64 = i64::MAX as u64;

/// The longest [`Clock::real_until`] asks to sleep; a caller that wakes early asks again.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// In `Clock::high_us`: the clock is virtual.
const VIRTUAL: u64 = u64::MAX;

/// What a [`Clock`] is read from: the machine, or a source that a test or a simulation moves by hand.
pub trait Source: Send + Sync {
    /// The wall clock, in unix microseconds; may be set back at any time.
    fn wall_us(&self) -> u64;
    /// Microseconds since some fixed moment; never goes back.
    fn steady_us(&self) -> u64;
}

/// The wall time of a space, shared by all its workers.
///
/// A real clock follows the machine's. A virtual one stands still or runs at its own rate; while it is
/// virtual, steps of the machine's wall clock do not show.
pub struct Clock {
    /// Real: the highest reading, brought up to date when its millisecond changes, so that workers share a
    /// line that is written a thousand times a second and not at every reading. Virtual: `VIRTUAL`.
    high_us: AtomicU64,
    setbacks: AtomicU64,
    /// Some if and only if `high_us` is `VIRTUAL`, seen from inside this lock.
    course: Mutex<Option<Course>>,
    origin: Instant,
    given: Option<Arc<dyn Source>>,
}

/// How a virtual clock moves: it showed `shown_us` when the steady time was `since_us`.
#[derive(Clone, Copy)]
struct Course {
    since_us: u64,
    shown_us: u64,
    /// Zero while frozen; finite and never negative.
    rate: f64,
}

/// What drives a clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// The machine's wall clock.
    Real,
    /// Stands still.
    Frozen {
        /// The time it shows, unix microseconds.
        at_us: u64,
    },
    /// Runs by itself.
    Running {
        /// Seconds it moves in one real second; above zero.
        rate: f64,
        /// How far it is now ahead of the machine's wall clock (behind: negative).
        offset_us: i64,
    },
}

/// A clock's state in the words and units shown to clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockStatus {
    /// `real`, `frozen` or `running`.
    pub mode: &'static str,
    /// The time it shows, unix milliseconds.
    pub now_ms: u64,
    /// Seconds it moves in one real second: 1 when real, 0 when frozen.
    pub rate: f64,
    /// How far it is ahead of the machine's wall clock (behind: negative); 0 when real.
    pub offset_ms: i64,
}

/// The rate of a virtual clock must be a finite number, not below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRate;

impl Clock {
    /// A clock that follows the machine's wall clock.
    pub fn real() -> Clock {
        Clock::build(None)
    }

    /// A clock that takes `source` for the machine's clocks.
    pub fn from_source(source: Arc<dyn Source>) -> Clock {
        Clock::build(Some(source))
    }

    fn build(given: Option<Arc<dyn Source>>) -> Clock {
        Clock {
            high_us: AtomicU64::new(0),
            setbacks: AtomicU64::new(0),
            course: Mutex::new(None),
            origin: system_instant(),
            given,
        }
    }

    /// The time in unix microseconds. Within one millisecond a real clock that was stepped back may show
    /// it.
    pub fn now_us(&self) -> u64 {
        // Loaded before the clock is read, so that a reading below it means a step and not a slow thread.
        let high = self.high_us.load(Ordering::Acquire);
        if high == VIRTUAL {
            return self.virtual_us();
        }
        let now = self.wall_us();
        if now < high {
            return self.stepped_back(high, now);
        }
        if now / 1000 != high / 1000 {
            self.high_us.fetch_max(now, Ordering::AcqRel);
        }
        now
    }

    /// The time in unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// How often the time has gone back: the wall clock was set back far, or a virtual clock was moved
    /// back. Whoever files things by time files them anew when this has changed.
    pub fn setbacks(&self) -> u64 {
        self.setbacks.load(Ordering::Acquire)
    }

    #[cold]
    fn stepped_back(&self, high: u64, now: u64) -> u64 {
        if high - now <= HOLD_US {
            return high;
        }
        // Whoever loses the race finds the time already set back, or the clock virtual.
        if self.high_us.compare_exchange(high, now, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.setbacks.fetch_add(1, Ordering::AcqRel);
        }
        now
    }

    #[cold]
    fn virtual_us(&self) -> u64 {
        match *self.course.lock() {
            Some(course) => course.at(self.steady_us()),
            None => self.wall_us(),
        }
    }

    /// Whether the time is another than the machine's.
    pub fn is_virtual(&self) -> bool {
        self.high_us.load(Ordering::Acquire) == VIRTUAL
    }

    /// What drives the clock now.
    pub fn mode(&self) -> Mode {
        let Some(course) = *self.course.lock() else { return Mode::Real };
        let shown = course.at(self.steady_us());
        if course.rate == 0.0 {
            return Mode::Frozen { at_us: shown };
        }
        Mode::Running { rate: course.rate, offset_us: difference(shown, self.wall_us()) }
    }

    /// The clock's state as clients see it.
    pub fn status(&self) -> ClockStatus {
        let (mode, now_us, rate) = match self.mode() {
            Mode::Real => {
                return ClockStatus { mode: "real", now_ms: self.now_ms(), rate: 1.0, offset_ms: 0 };
            }
            Mode::Frozen { at_us } => ("frozen", at_us, 0.0),
            Mode::Running { rate, .. } => ("running", self.now_us(), rate),
        };
        let offset_ms = difference(now_us, self.wall_us()) / 1000;
        ClockStatus { mode, now_ms: now_us / 1000, rate, offset_ms }
    }

    /// Stops the clock at the time it shows.
    pub fn freeze(&self) {
        self.steer(|course| course.rate = 0.0);
    }

    /// Moves the clock forward. A real clock becomes a running one.
    pub fn advance_ms(&self, by_ms: u64) {
        self.steer(|course| {
            course.shown_us = course.shown_us.saturating_add(by_ms.saturating_mul(1000)).min(LATEST_US);
        });
    }

    /// Sets the clock to a unix time. A frozen clock stands there, a running one goes on from there at its
    /// rate, a real one becomes a running one.
    pub fn set_ms(&self, unix_ms: u64) {
        self.steer(|course| course.shown_us = unix_ms.saturating_mul(1000).min(LATEST_US));
    }

    /// Lets the clock move `rate` seconds in one real second, from the time it shows; 0 freezes it.
    pub fn set_rate(&self, rate: f64) -> Result<(), BadRate> {
        if !rate.is_finite() || rate < 0.0 {
            return Err(BadRate);
        }
        // Adding zero turns a negative zero into a positive one.
        self.steer(|course| course.rate = rate + 0.0);
        Ok(())
    }

    /// Follows the machine's wall clock again, wherever that is.
    pub fn resume(&self) {
        let mut course = self.course.lock();
        let Some(old) = course.take() else { return };
        let now = self.wall_us();
        if now < old.at(self.steady_us()) {
            self.setbacks.fetch_add(1, Ordering::AcqRel);
        }
        self.high_us.store(now, Ordering::Release);
    }

    /// How long to really sleep until the clock shows `unix_ms`, [`LONGEST_SLEEP`] at most; zero when it
    /// does already, None when it never will by itself.
    pub fn real_until(&self, unix_ms: u64) -> Option<Duration> {
        let missing = unix_ms.saturating_mul(1000).saturating_sub(self.now_us());
        let rate = self.course.lock().map_or(1.0, |course| course.rate);
        if missing == 0 {
            return Some(Duration::ZERO);
        }
        if rate == 0.0 {
            return None;
        }
        let real_us = if rate == 1.0 { missing } else { (missing as f64 / rate).ceil() as u64 };
        Some(Duration::from_micros(real_us).min(LONGEST_SLEEP))
    }

    /// Changes the course of a virtual clock; a real one becomes virtual first, at the time it shows.
    fn steer(&self, change: impl FnOnce(&mut Course)) {
        // Held, so that the time of becoming virtual is not below what the real clock has answered.
        let shown = self.now_us();
        let mut course = self.course.lock();
        let since_us = self.steady_us();
        let shown = course.map_or(shown, |old| old.at(since_us)).min(LATEST_US);
        let mut new = Course { since_us, shown_us: shown, rate: course.map_or(1.0, |old| old.rate) };
        change(&mut new);
        debug_assert!(new.rate.is_finite() && new.rate >= 0.0 && new.shown_us <= LATEST_US);
        if new.shown_us < shown {
            self.setbacks.fetch_add(1, Ordering::AcqRel);
        }
        *course = Some(new);
        self.high_us.store(VIRTUAL, Ordering::Release);
    }

    #[inline]
    fn wall_us(&self) -> u64 {
        match &self.given {
            None => system_wall_us(),
            Some(source) => source.wall_us(),
        }
    }

    fn steady_us(&self) -> u64 {
        match &self.given {
            None => system_instant().saturating_duration_since(self.origin).as_micros() as u64,
            Some(source) => source.steady_us(),
        }
    }
}

impl Course {
    fn at(&self, steady_us: u64) -> u64 {
        let elapsed = steady_us.saturating_sub(self.since_us);
        // Whole numbers at rate 1, where rounding would show after some centuries.
        let moved = if self.rate == 1.0 { elapsed } else { (elapsed as f64 * self.rate) as u64 };
        self.shown_us.saturating_add(moved).min(LATEST_US)
    }
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}

#[allow(clippy::disallowed_methods)] // The one place that reads the machine's wall clock.
#[inline]
fn system_wall_us() -> u64 {
    // A machine whose clock stands before 1970 is taken to be in 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[allow(clippy::disallowed_methods)] // The one place that reads the machine's monotonic clock.
fn system_instant() -> Instant {
    Instant::now()
}

/// How long a start measures the time stamp counter against the machine's clock: long enough for an error of
/// some tens in a million, short enough not to be noticed.
const MEASURE: Duration = Duration::from_millis(1);

/// A cheap monotonic counter for durations: the processor's time stamp counter where it runs evenly,
/// otherwise the machine's monotonic clock.
#[derive(Clone, Debug)]
pub struct Ticks {
    /// Nanoseconds in 2^32 ticks; 0: a tick is a nanosecond of the machine's clock.
    scale: u64,
    start: Instant,
    origin: u64,
}

impl Ticks {
    /// A counter that starts now.
    pub fn new() -> Ticks {
        if !has_even_counter() {
            return Ticks { scale: 0, start: system_instant(), origin: 0 };
        }
        let (start, origin) = both_clocks();
        while system_instant() - start < MEASURE {
            std::hint::spin_loop();
        }
        let (end, last) = both_clocks();
        let ticks = last.saturating_sub(origin).max(1);
        let scale = ((end - start).as_nanos() << 32) / u128::from(ticks);
        Ticks { scale: scale as u64, start, origin }
    }

    /// The counter now, in its own unit.
    #[inline]
    pub fn now(&self) -> u64 {
        if self.scale == 0 { (system_instant() - self.start).as_nanos() as u64 } else { counter() }
    }

    /// Nanoseconds from one reading to a later one; 0 if `to` is the earlier.
    #[inline]
    pub fn nanos_between(&self, from: u64, to: u64) -> u64 {
        let ticks = to.saturating_sub(from);
        if self.scale == 0 { ticks } else { ((u128::from(ticks) * u128::from(self.scale)) >> 32) as u64 }
    }

    /// By how much the counter moves in so many nanoseconds.
    #[inline]
    pub fn in_nanos(&self, nanos: u64) -> u64 {
        if self.scale == 0 { nanos } else { ((u128::from(nanos) << 32) / u128::from(self.scale)) as u64 }
    }

    /// Nanoseconds since the counter was made.
    #[inline]
    pub fn since_start_ns(&self) -> u64 {
        self.ns_at(self.now())
    }

    /// Nanoseconds from when the counter was made to a reading.
    #[inline]
    pub fn ns_at(&self, ticks: u64) -> u64 {
        self.nanos_between(self.origin, ticks)
    }

    /// Microseconds from one reading to a later one, rounded down; 0 if `to` is the earlier.
    #[inline]
    pub fn micros_between(&self, from: u64, to: u64) -> u64 {
        self.nanos_between(from, to) / 1000
    }
}

/// Whether the time stamp counter runs at one rate whatever the processor does ("invariant TSC": CPUID leaf
/// 8000_0007, EDX bit 8; Intel SDM volume 3, section 18.17.1).
#[cfg(target_arch = "x86_64")]
fn has_even_counter() -> bool {
    use std::arch::x86_64::__cpuid;
    const LEAF: u32 = 0x8000_0007;
    #[allow(unused_unsafe, reason = "safe from Rust 1.94 on")]
    // SAFETY: every x86_64 processor has CPUID.
    let edx = unsafe { if __cpuid(0x8000_0000).eax < LEAF { 0 } else { __cpuid(LEAF).edx } };
    edx & (1 << 8) != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn has_even_counter() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86_64 processor has the counter, and reading it touches nothing.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

/// How often the two clocks are read for one pair of readings.
const READINGS: usize = 16;

/// The machine's clock and the counter at one moment. Whatever comes between the two readings (the first use
/// of a clock, another process) would be an error of the scale, so of several pairs the closest counts.
fn both_clocks() -> (Instant, u64) {
    let pairs = (0..READINGS).map(|_| {
        let before = counter();
        let instant = system_instant();
        let gap = counter().saturating_sub(before);
        (gap, instant, before + gap / 2)
    });
    let closest = pairs.min_by_key(|(gap, ..)| *gap);
    let (_, instant, ticks) = closest.expect("there is at least one reading");
    (instant, ticks)
}

impl Default for Ticks {
    fn default() -> Ticks {
        Ticks::new()
    }
}

/// Random numbers from a seed (xoshiro256++, its state filled by splitmix64): fast and even, not secret.
#[derive(Clone, Debug)]
pub struct Chance {
    /// What it was made from; forks depend on this only, not on the numbers drawn so far.
    seed: u64,
    /// Never all zero.
    state: [u64; 4],
}

impl Chance {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Chance {
        let state = std::array::from_fn(|i| mixed(seed.wrapping_add(GOLDEN.wrapping_mul(i as u64 + 1))));
        // `mixed` is a bijection and its four arguments differ, so at most one word is zero.
        Chance { seed, state }
    }

    /// An independent generator; the same seed and stream yield the same one.
    pub fn fork(&self, stream: u64) -> Chance {
        Chance::new(mixed(self.seed ^ mixed(stream.wrapping_add(GOLDEN))))
    }

    /// 64 even bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let (c_a, d_b) = (c ^ a, d ^ b);
        self.state = [a ^ d_b, b ^ c_a, c_a ^ (b << 17), d_b.rotate_left(45)];
        a.wrapping_add(d).rotate_left(23).wrapping_add(a)
    }

    /// A number below `n`, each equally likely; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The upper half of the product is the answer. Of the lower halves, the first 2^64 mod n are one
        // answer's surplus and are drawn again.
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let surplus = n.wrapping_neg() % n;
            while (product as u64) < surplus {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// A number from 0 up to but not including 1, a multiple of 2^-53.
    pub fn f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// 2^64 divided by the golden ratio: steps of this visit every 64-bit number.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Splitmix64's output function, a bijection.
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A seed that the operating system's entropy decides, for a server that was given none.
pub fn entropy_seed() -> u64 {
    // The standard library keys its hashers from the system's entropy.
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A machine whose clocks a test moves.
    #[derive(Default)]
    struct Hand {
        wall: AtomicU64,
        steady: AtomicU64,
    }

    impl Hand {
        fn pass(&self, us: u64) {
            self.wall.fetch_add(us, Ordering::Relaxed);
            self.steady.fetch_add(us, Ordering::Relaxed);
        }

        fn step_to(&self, wall_us: u64) {
            self.wall.store(wall_us, Ordering::Relaxed);
        }
    }

    impl Source for Hand {
        fn wall_us(&self) -> u64 {
            self.wall.load(Ordering::Relaxed)
        }

        fn steady_us(&self) -> u64 {
            self.steady.load(Ordering::Relaxed)
        }
    }

    const START: u64 = 1_700_000_000_000_000;
    const SECOND: u64 = 1_000_000;

    fn by_hand() -> (Arc<Hand>, Clock) {
        let hand = Arc::new(Hand::default());
        hand.step_to(START);
        (hand.clone(), Clock::from_source(hand))
    }

    #[test]
    fn a_real_clock_follows_the_wall_clock() {
        let (hand, clock) = by_hand();
        assert_eq!(clock.now_us(), START);
        hand.pass(1);
        assert_eq!((clock.now_us(), clock.now_ms()), (START + 1, START / 1000));
        hand.step_to(START + 3600 * SECOND);
        assert_eq!(clock.now_us(), START + 3600 * SECOND);
        assert_eq!((clock.is_virtual(), clock.mode(), clock.setbacks()), (false, Mode::Real, 0));
        assert_eq!(clock.real_until(START / 1000 + 3_600_250), Some(Duration::from_millis(250)));
        assert_eq!(clock.real_until(5), Some(Duration::ZERO));
    }

    #[test]
    fn a_short_step_back_is_waited_out() {
        let (hand, clock) = by_hand();
        let high = clock.now_us();
        hand.step_to(START - HOLD_US);
        assert_eq!(clock.now_us(), high);
        hand.pass(HOLD_US + 5);
        assert_eq!((clock.now_us(), clock.setbacks()), (START + 5, 0));
    }

    #[test]
    fn a_long_step_back_is_followed_and_counted() {
        let (hand, clock) = by_hand();
        clock.now_us();
        hand.step_to(START - HOLD_US - 1);
        assert_eq!(clock.now_us(), START - HOLD_US - 1);
        hand.pass(SECOND);
        assert_eq!((clock.now_us(), clock.setbacks()), (START - 1, 1));
    }

    #[test]
    fn a_step_within_a_millisecond_never_shows_in_milliseconds() {
        let (hand, clock) = by_hand();
        hand.pass(900);
        clock.now_us();
        hand.pass(200);
        let before_ms = clock.now_ms();
        hand.step_to(START + 950);
        assert_eq!(clock.now_ms(), before_ms);
    }

    #[test]
    fn a_frozen_clock_stands_and_moves_only_when_told() {
        let (hand, clock) = by_hand();
        clock.freeze();
        hand.pass(10 * SECOND);
        assert_eq!((clock.now_us(), clock.mode()), (START, Mode::Frozen { at_us: START }));
        assert_eq!(clock.real_until(START / 1000 + 1), None);
        assert_eq!(clock.real_until(START / 1000), Some(Duration::ZERO));
        clock.advance_ms(1500);
        assert_eq!(clock.now_us(), START + 1_500_000);
        clock.set_ms(7);
        assert_eq!((clock.now_ms(), clock.setbacks()), (7, 1));
        let status = clock.status();
        assert_eq!((status.mode, status.now_ms, status.rate), ("frozen", 7, 0.0));
        assert_eq!(status.offset_ms, 7 - (START / 1000) as i64 - 10_000);
    }

    #[test]
    fn a_running_clock_keeps_its_rate_when_moved() {
        let (hand, clock) = by_hand();
        clock.set_rate(60.0).expect("a good rate");
        hand.pass(SECOND);
        assert_eq!(clock.now_us(), START + 60 * SECOND);
        clock.advance_ms(1000);
        assert_eq!(clock.now_us(), START + 61 * SECOND);
        clock.set_ms(0);
        hand.pass(SECOND / 2);
        assert_eq!(clock.now_us(), 30 * SECOND);
        clock.set_rate(0.5).expect("a good rate");
        hand.pass(SECOND);
        assert_eq!(clock.now_us(), 30 * SECOND + SECOND / 2);
        assert_eq!(clock.real_until(31_000), Some(Duration::from_secs(1)));
        assert_eq!(clock.status().rate, 0.5);
    }

    #[test]
    fn a_real_clock_that_is_moved_runs_on_at_rate_one() {
        let (hand, clock) = by_hand();
        clock.advance_ms(5000);
        hand.pass(SECOND);
        assert_eq!(clock.mode(), Mode::Running { rate: 1.0, offset_us: 5_000_000 });
        assert_eq!(clock.now_us(), START + 6 * SECOND);
        clock.set_ms(1000);
        hand.pass(SECOND);
        assert_eq!((clock.now_ms(), clock.status().mode), (2000, "running"));
        // A step of the machine's wall clock does not show in a virtual one.
        hand.step_to(START * 2);
        assert_eq!(clock.now_ms(), 2000);
    }

    #[test]
    fn resuming_returns_to_the_machine_and_counts_going_back() {
        let (hand, clock) = by_hand();
        clock.advance_ms(3_600_000);
        hand.pass(SECOND);
        clock.resume();
        assert_eq!((clock.now_us(), clock.mode()), (START + SECOND, Mode::Real));
        assert_eq!(clock.setbacks(), 1);
        clock.freeze();
        hand.pass(SECOND);
        clock.resume();
        clock.resume();
        assert_eq!((clock.now_us(), clock.setbacks()), (START + 2 * SECOND, 1));
    }

    #[test]
    fn becoming_virtual_does_not_go_back_behind_a_held_time() {
        let (hand, clock) = by_hand();
        clock.now_us();
        hand.step_to(START - 1000);
        clock.freeze();
        assert_eq!((clock.now_us(), clock.setbacks()), (START, 0));
    }

    #[test]
    fn bad_rates_are_refused_and_zero_freezes() {
        let (_, clock) = by_hand();
        for rate in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(clock.set_rate(rate), Err(BadRate));
        }
        assert!(!clock.is_virtual());
        clock.set_rate(-0.0).expect("zero, signed or not");
        assert_eq!(clock.mode(), Mode::Frozen { at_us: START });
    }

    #[test]
    fn the_far_end_of_time_is_reached_without_harm() {
        let (hand, clock) = by_hand();
        clock.set_ms(u64::MAX);
        clock.advance_ms(u64::MAX);
        clock.set_rate(f64::MAX).expect("a good rate");
        hand.pass(u64::MAX / 4);
        assert_eq!(clock.now_us(), LATEST_US);
        assert_eq!(clock.real_until(u64::MAX).map(|wait| wait <= LONGEST_SLEEP), Some(true));
        clock.set_ms(0);
        clock.set_rate(f64::MIN_POSITIVE).expect("a good rate");
        assert_eq!(clock.real_until(u64::MAX), Some(LONGEST_SLEEP));
        clock.status();
    }

    #[test]
    fn the_machines_clocks_are_read() {
        let clock = Clock::real();
        assert!(clock.now_ms() > 1_600_000_000_000);
        clock.set_rate(1e9).expect("a good rate");
        let before = clock.now_us();
        while clock.now_us() == before {}
        let ticks = Ticks::new();
        let from = ticks.now();
        let to =
            (0..).map(|_| ticks.now()).find(|&now| ticks.micros_between(from, now) > 0).expect("time passes");
        assert!(ticks.nanos_between(from, to) >= 1000);
        assert_eq!(ticks.nanos_between(to, from), 0);
    }

    #[test]
    fn a_seed_fixes_every_number() {
        let draw = |mut chance: Chance| -> Vec<u64> { (0..8).map(|_| chance.next_u64()).collect() };
        assert_eq!(draw(Chance::new(7)), draw(Chance::new(7)));
        assert_ne!(draw(Chance::new(7)), draw(Chance::new(8)));
        let mut used = Chance::new(7);
        used.next_u64();
        assert_eq!(draw(used.fork(1)), draw(Chance::new(7).fork(1)));
        assert_ne!(draw(used.fork(1)), draw(used.fork(2)));
        assert_ne!(draw(used.fork(0)), draw(Chance::new(7)));
        assert_ne!(draw(used.fork(1).fork(2)), draw(used.fork(2).fork(1)));
        assert_ne!(entropy_seed(), entropy_seed());
    }

    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        let mut chance = Chance { seed: 0, state: [1, 2, 3, 4] };
        let drawn: [u64; 4] = std::array::from_fn(|_| chance.next_u64());
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn numbers_below_a_limit_are_even() {
        let mut chance = Chance::new(1);
        assert_eq!((chance.below(0), chance.below(1)), (0, 0));
        let mut counts = [0; 6];
        (0..60_000).for_each(|_| counts[chance.below(6) as usize] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        // Plain multiplication would favour one half of these answers two to one.
        let limit = 3 << 62;
        let low = (0..60_000).filter(|_| chance.below(limit).is_multiple_of(3)).count();
        assert!((19_400..20_600).contains(&low), "{low}");
        let sum: f64 = (0..10_000).map(|_| chance.f64()).sum();
        assert!((4_800.0..5_200.0).contains(&sum), "{sum}");
    }

    proptest! {
        #[test]
        fn a_slept_out_wait_shows_the_wanted_time(
            rate in prop_oneof![Just(1.0), 0.001f64..100_000.0],
            ahead_ms in 0u64..1_000_000,
            odd_us in 0u64..5_000,
        ) {
            let (hand, clock) = by_hand();
            clock.set_rate(rate).expect("a good rate");
            hand.pass(odd_us);
            let wanted = clock.now_ms() + ahead_ms;
            while clock.now_ms() < wanted {
                let wait = clock.real_until(wanted).expect("it runs");
                prop_assert!(!wait.is_zero());
                hand.pass(wait.as_micros() as u64);
            }
            prop_assert_eq!(clock.real_until(wanted), Some(Duration::ZERO));
        }
    }
}
