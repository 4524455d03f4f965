//! The 24-bit access field as least-frequently-used policies keep it.
//!
//! For: 16 bits of minutes since the last decay and an 8-bit logarithmic counter, as Redis documents them
//! under `maxmemory-policy`, `lfu-log-factor` and `lfu-decay-time`. May touch: nothing.

/// Counter of a key that was just made: it must not be the first to go.
const FIRST: u32 = 5;

fn minutes(now_ms: u64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

/// The field of a new entry.
pub fn fresh(now_ms: u64) -> u32 {
    minutes(now_ms) << 8 | FIRST
}

/// The field with its counter lowered by one for every `decay_minutes` that have passed since it was last
/// written.
pub fn decayed(field: u32, now_ms: u64, decay_minutes: u32) -> u32 {
    let (then, counter) = (field >> 8, field & 0xff);
    let passed = minutes(now_ms).wrapping_sub(then) & 0xffff;
    let steps = passed.checked_div(decay_minutes).unwrap_or(0);
    then << 8 | counter.saturating_sub(steps)
}

/// The field after an access; `chance` in 0..1 decides whether the counter grows, less likely the higher it
/// is.
pub fn accessed(field: u32, now_ms: u64, log_factor: u32, chance: f64) -> u32 {
    let counter = field & 0xff;
    let above = f64::from(counter.saturating_sub(FIRST));
    let grows = counter < 255 && chance < 1.0 / (above * f64::from(log_factor) + 1.0);
    minutes(now_ms) << 8 | (counter + u32::from(grows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_grows_when_chance_allows_and_decays_by_the_minute() {
        let at = 60_000 * 1000;
        let field = fresh(at);
        assert_eq!(field & 0xff, FIRST);
        assert_eq!(accessed(field, at, 10, 0.999) & 0xff, FIRST + 1);
        let busy = minutes(at) << 8 | 100;
        assert_eq!(accessed(busy, at, 10, 0.5) & 0xff, 100);
        assert_eq!(decayed(busy, at + 3 * 60_000, 1) & 0xff, 97);
        assert_eq!(decayed(busy, at + 3 * 60_000, 0) & 0xff, 100);
        assert_eq!(accessed(minutes(at) << 8 | 255, at, 0, 0.0) & 0xff, 255);
    }
}
