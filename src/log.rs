//! The process's log.
//!
//! For: writing tracing's events as Redis's log lines, `pid:role day month year time level text`, to standard
//! output or `logfile`. May touch: the clock of the machine, through `chrono`, to stamp lines.
//! Always: a line is written and flushed at once; what cannot be written is lost, never waited for. Only the
//! binary installs it: an embedding program has a subscriber of its own.

use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Changes what is logged, and where.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    /// Lines below this importance are left out: 0 debug, 1 verbose, 2 notice, 3 warning, 4 nothing.
    least: AtomicU8,
    file: Mutex<Option<Named>>,
}

/// A log file.
struct Named {
    path: PathBuf,
    file: File,
    /// Device and number of the file, which tell whether the path still leads to it.
    identity: (u64, u64),
}

impl Named {
    fn open(path: PathBuf) -> std::io::Result<Named> {
        let file = File::options().append(true).create(true).open(&path)?;
        let identity = identity(&file.metadata()?);
        Ok(Named { path, file, identity })
    }

    /// Writes a line; into a new file when the old one was moved or removed, as log rotation does.
    fn line(&mut self, line: &[u8]) -> std::io::Result<()> {
        let is_there = std::fs::metadata(&self.path).is_ok_and(|m| identity(&m) == self.identity);
        if !is_there && let Ok(new) = Named::open(self.path.clone()) {
            *self = new;
        }
        self.file.write_all(line)
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

struct Lines(Arc<Shared>);

/// Installs the log for the process.
///
/// # Errors
/// When a subscriber is there already.
pub fn install() -> Result<Handle, tracing::dispatcher::SetGlobalDefaultError> {
    let shared = Arc::new(Shared { least: AtomicU8::new(2), file: Mutex::new(None) });
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Lines(Arc::clone(&shared))))?;
    Ok(Handle(shared))
}

impl Handle {
    /// Follows `loglevel`.
    pub fn set_level(&self, level: &str) {
        let least = ["debug", "verbose", "notice", "warning", "nothing"].iter().position(|l| *l == level);
        self.0.least.store(least.unwrap_or(2) as u8, Ordering::Relaxed);
    }

    /// Follows `logfile`; empty is standard output.
    ///
    /// # Errors
    /// When the file cannot be opened for appending; then the log stays where it was.
    pub fn set_file(&self, path: &str) -> std::io::Result<()> {
        let file = match path {
            "" => None,
            path => Some(Named::open(std::path::absolute(path)?)?),
        };
        *self.0.file.lock() = file;
        Ok(())
    }
}

/// Redis's mark of a level, and its importance.
fn mark(level: Level) -> (char, u8) {
    match level {
        Level::TRACE => ('.', 0),
        Level::DEBUG => ('-', 1),
        Level::INFO => ('*', 2),
        Level::WARN | Level::ERROR => ('#', 3),
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (mark, importance) = mark(*event.metadata().level());
        let is_ours = event.metadata().target().starts_with("ochre");
        if !is_ours || importance < self.0.least.load(Ordering::Relaxed) {
            return;
        }
        let stamp = chrono::Local::now().format("%d %b %Y %H:%M:%S%.3f");
        let mut line = Text(format!("{}:M {stamp} {mark} ", std::process::id()));
        event.record(&mut line);
        line.0.push('\n');
        // A log that cannot be written must not stop the server.
        let _ = match &mut *self.0.file.lock() {
            Some(file) => file.line(line.0.as_bytes()),
            None => std::io::stdout().lock().write_all(line.0.as_bytes()),
        };
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
