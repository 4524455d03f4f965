//! Waiting for what comes sooner or later.
//!
//! For: states that nothing tells of. May touch: nothing.
//! Always: who looks often enough and never sees it fails, and says for what it waited.

use std::time::Duration;

/// Looks at a state that comes sooner or later before it is given up.
const LOOKS: u32 = 10_000;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until `holds`.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if holds() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("never: {what}");
}
