//! What the kernel is told of the process: its rank among those it ends when memory runs out.
//!
//! For: `oom-score-adj` and `oom-score-adj-values`. May touch: /proc/self/oom_score_adj.
//! Always: the score that was there before is read when ours takes its place, and comes back when the setting
//! is turned off; a process whose setting was never on is left alone.

use std::io;
use std::path::PathBuf;

use parking_lot::Mutex;

use crate::config::{Directive, Settings};

/// The kernel takes -1000 to 1000.
const MOST: i64 = 1000;

/// The score of the process.
pub struct OomScore {
    path: PathBuf,
    /// The score without us, while ours is in force.
    base: Mutex<Option<i64>>,
}

impl Default for OomScore {
    fn default() -> OomScore {
        OomScore::at("/proc/self/oom_score_adj".into())
    }
}

impl OomScore {
    fn at(path: PathBuf) -> OomScore {
        OomScore { path, base: Mutex::new(None) }
    }

    /// Follows `settings`; the log says why when it fails.
    ///
    /// # Errors
    /// The system refuses, as it does when a process without privileges asks for less than it had.
    pub fn follow(&self, settings: &Settings) -> io::Result<()> {
        let mode = settings.choice(Directive::OomScoreAdj);
        let [of_primary, ..] = settings.oom_scores();
        let mut base = self.base.lock();
        if mode == "no" {
            return base.take().map_or(Ok(()), |base| self.write(base));
        }
        let before = match *base {
            Some(before) => before,
            None => *base.insert(self.read()?),
        };
        self.write(if mode == "absolute" { of_primary } else { before + of_primary })
    }

    fn read(&self) -> io::Result<i64> {
        let read = std::fs::read_to_string(&self.path)
            .and_then(|text| text.trim().parse().map_err(io::Error::other));
        read.inspect_err(|error| tracing::warn!("Unable to read oom_score_adj: {error}"))
    }

    fn write(&self, score: i64) -> io::Result<()> {
        let score = score.clamp(-MOST, MOST);
        let written = std::fs::write(&self.path, score.to_string());
        written.inspect_err(|error| tracing::warn!("Unable to write oom_score_adj: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in the place of the kernel's, removed with its value.
    struct Kernel(PathBuf);

    impl Kernel {
        fn with(name: &str, score: &str) -> Kernel {
            let path = std::env::temp_dir().join(format!("ochre-oom-{}-{name}", std::process::id()));
            std::fs::write(&path, score).unwrap();
            Kernel(path)
        }

        fn score(&self) -> String {
            std::fs::read_to_string(&self.0).unwrap()
        }
    }

    impl Drop for Kernel {
        fn drop(&mut self) {
            // It may be gone already.
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn settings(mode: &str, values: &str) -> Settings {
        let mut settings = Settings::default();
        settings.assign(Directive::OomScoreAdj, &[mode.as_bytes()]).unwrap();
        let values: Vec<&[u8]> = values.split(' ').map(str::as_bytes).collect();
        settings.assign(Directive::OomScoreAdjValues, &values).unwrap();
        settings
    }

    #[test]
    fn the_score_follows_and_comes_back() {
        let kernel = Kernel::with("follows", "100\n");
        let score = OomScore::at(kernel.0.clone());
        let check = |mode, values, expected: &str| {
            score.follow(&settings(mode, values)).unwrap();
            assert_eq!(kernel.score(), expected, "{mode} {values}");
        };
        check("no", "5 6 7", "100\n");
        check("yes", "5 6 7", "105");
        check("relative", "-20 6 7", "80");
        check("absolute", "-20 6 7", "-20");
        check("relative", "2000 2000 2000", "1000");
        check("absolute", "-2000 0 0", "-1000");
        check("no", "5 6 7", "100");
        std::fs::write(&kernel.0, "55").unwrap();
        check("no", "1 2 3", "55");
        check("yes", "1 2 3", "56");
        check("no", "1 2 3", "55");
    }

    #[test]
    fn what_the_system_refuses_is_an_error() {
        let kernel = Kernel::with("refuses", "none");
        let score = OomScore::at(kernel.0.clone());
        assert!(score.follow(&settings("yes", "1 2 3")).is_err());
        let nowhere = OomScore::at(kernel.0.join("nowhere"));
        assert!(nowhere.follow(&settings("absolute", "1 2 3")).is_err());
        assert!(nowhere.follow(&settings("no", "1 2 3")).is_ok());
    }
}
