//! The process's log.
//!
//! For: writing tracing's events as Redis's log lines, `pid:role day month year time level text` or what
//! `log-format` and `log-timestamp-format` say, to standard output or `logfile`. May touch: the clock of the
//! machine, through `chrono`, to stamp lines.
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

/// What `log-format` may be.
const FORMATS: [&str; 3] = ["legacy", "logfmt", "json"];
/// What `log-timestamp-format` may be.
const STAMPS: [&str; 3] = ["legacy", "iso8601", "milliseconds"];

/// Changes what is logged, how, and where.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    /// Lines below this importance are left out: 0 debug, 1 verbose, 2 notice, 3 warning, 4 nothing.
    least: AtomicU8,
    /// Place in [`FORMATS`].
    format: AtomicU8,
    /// Place in [`STAMPS`].
    stamp: AtomicU8,
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
    let [format, stamp] = [const { AtomicU8::new(0) }; 2];
    let shared = Arc::new(Shared { least: AtomicU8::new(2), format, stamp, file: Mutex::new(None) });
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Lines(Arc::clone(&shared))))?;
    Ok(Handle(shared))
}

impl Handle {
    /// Follows `loglevel`.
    pub fn set_level(&self, level: &str) {
        let least = ["debug", "verbose", "notice", "warning", "nothing"].iter().position(|l| *l == level);
        self.0.least.store(least.unwrap_or(2) as u8, Ordering::Relaxed);
    }

    /// Follows `log-format` and `log-timestamp-format`.
    pub fn set_format(&self, format: &str, stamp: &str) {
        let place = |list: [&str; 3], word| list.iter().position(|known| *known == word).unwrap_or(0) as u8;
        self.0.format.store(place(FORMATS, format), Ordering::Relaxed);
        self.0.stamp.store(place(STAMPS, stamp), Ordering::Relaxed);
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

/// Redis's mark of a level, its name where lines have names, and its importance.
fn mark(level: Level) -> (char, &'static str, u8) {
    match level {
        Level::TRACE => ('.', "debug", 0),
        Level::DEBUG => ('-', "info", 1),
        Level::INFO => ('*', "notice", 2),
        Level::WARN | Level::ERROR => ('#', "warning", 3),
    }
}

/// The time of a line.
fn stamp(form: &str, now: &chrono::DateTime<chrono::Local>) -> String {
    match form {
        "iso8601" => now.format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        "milliseconds" => now.timestamp_millis().to_string(),
        _ => now.format("%d %b %Y %H:%M:%S%.3f").to_string(),
    }
}

/// A line of the log with its end.
fn line(format: &str, stamp: &str, level: Level, message: &str) -> String {
    let (pid, (mark, level, _)) = (std::process::id(), mark(level));
    match format {
        "logfmt" => {
            let message = logfmt(message);
            format!("pid={pid} role=primary timestamp=\"{stamp}\" level={level} message=\"{message}\"\n")
        }
        "json" => {
            let front = format!(r#"{{"pid":{pid},"role":"primary","timestamp":"{stamp}","level":"{level}""#);
            format!("{front},\"message\":\"{}\"}}\n", json(message))
        }
        _ => format!("{pid}:M {stamp} {mark} {message}\n"),
    }
}

/// A text between double quotes on one line.
fn logfmt(text: &str) -> String {
    text.replace('"', "'").replace(['\r', '\n'], " ")
}

/// A text as a string of JSON, without its quotes.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let is_ours = event.metadata().target().starts_with("ochre");
        if !is_ours || mark(level).2 < self.0.least.load(Ordering::Relaxed) {
            return;
        }
        let mut message = Text(String::new());
        event.record(&mut message);
        let form =
            |list: [&'static str; 3], place: &AtomicU8| list[usize::from(place.load(Ordering::Relaxed))];
        let stamp = stamp(form(STAMPS, &self.0.stamp), &chrono::Local::now());
        let line = line(form(FORMATS, &self.0.format), &stamp, level, &message.0);
        // A log that cannot be written must not stop the server.
        let _ = match &mut *self.0.file.lock() {
            Some(file) => file.line(line.as_bytes()),
            None => std::io::stdout().lock().write_all(line.as_bytes()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_form_asked_for() {
        let pid = std::process::id();
        let text = "a\"b\\c\td\re\nf\u{1}g\u{8}\u{b}\u{c}\u{7f}\u{e9}'";
        let check = |format, expected: &str| {
            assert_eq!(line(format, "T", Level::DEBUG, text), expected.replace("PID", &pid.to_string()));
        };
        check("legacy", &format!("PID:M T - {text}\n"));
        check(
            "logfmt",
            "pid=PID role=primary timestamp=\"T\" level=info \
             message=\"a'b\\c\td e f\u{1}g\u{8}\u{b}\u{c}\u{7f}\u{e9}'\"\n",
        );
        check(
            "json",
            "{\"pid\":PID,\"role\":\"primary\",\"timestamp\":\"T\",\"level\":\"info\",\
             \"message\":\"a\\\"b\\\\c\\td\\re\\nf\\u0001g\\b\\u000b\\f\u{7f}\u{e9}'\"}\n",
        );
        assert!(line("json", "T", Level::ERROR, "").contains("\"level\":\"warning\",\"message\":\"\"}"));
    }

    #[test]
    fn times_have_the_form_asked_for() {
        use chrono::{Local, TimeZone as _};
        let now = Local.timestamp_millis_opt(1_795_301_483_028).unwrap();
        assert_eq!(stamp("milliseconds", &now), "1795301483028");
        assert!(
            stamp("legacy", &now).ends_with(" Nov 2026 22:51:23.028") || now.offset().local_minus_utc() != 0
        );
        let parsed = chrono::DateTime::parse_from_rfc3339(&stamp("iso8601", &now)).unwrap();
        assert_eq!(parsed, now);
        assert_eq!(stamp("iso8601", &now).len(), "2026-11-21T22:51:22.756+00:00".len());
    }
}
