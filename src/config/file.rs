//! Reading configuration files.
//! For: the start of the server. May touch: the file system, through [`Files`].
//! Always: directives act in the order they stand in, so later ones win, also between a name and its alias;
//! includes are followed to a stated depth and number; a refused line is reported with its number and text.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::args::Invocation;
use super::remarks::{Remark, remark};
use super::settings::Settings;
use super::table::{Directive, Kind, Row};
use super::value::{Reason, Value};
use super::words;

/// Files inside files, at most.
pub const MAX_INCLUDE_DEPTH: usize = 16;
/// Files read for one configuration, at most.
pub const MAX_FILES: usize = 1024;
/// Size of a file, at most.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// Notes on settings without effect, at most.
const MAX_NOTES: usize = 1000;

/// The part of the file system a configuration needs. `base` is the directory relative paths begin at, as
/// `dir` has it; empty for the process's own.
pub trait Files {
    /// The content of a file.
    fn read(&mut self, base: &[u8], path: &[u8]) -> io::Result<Vec<u8>>;
    /// All of standard input.
    fn read_stdin(&mut self) -> io::Result<Vec<u8>>;
    /// The files a shell pattern names, sorted.
    fn matching(&mut self, base: &[u8], pattern: &[u8]) -> Vec<Vec<u8>>;
    /// The full path of a directory that exists.
    fn directory(&mut self, base: &[u8], path: &[u8]) -> io::Result<Vec<u8>>;
    /// Tries to open a file for appending.
    fn try_append(&mut self, base: &[u8], path: &[u8]) -> io::Result<()>;
}

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

fn resolve(base: &[u8], path: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(base)).join(OsStr::from_bytes(path))
}

fn read_limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(content)
}

impl Files for Disk {
    fn read(&mut self, base: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
        read_limited(File::open(resolve(base, path))?)
    }

    fn read_stdin(&mut self) -> io::Result<Vec<u8>> {
        read_limited(io::stdin().lock())
    }

    fn matching(&mut self, base: &[u8], pattern: &[u8]) -> Vec<Vec<u8>> {
        let start = if pattern.starts_with(b"/") { b"/".to_vec() } else { Vec::new() };
        let mut found = vec![start];
        let parts: Vec<&[u8]> = pattern.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
        for part in parts {
            let mut next: Vec<Vec<u8>> = found.iter().flat_map(|front| step(base, front, part)).collect();
            next.sort_unstable();
            next.truncate(MAX_FILES);
            found = next;
        }
        found
    }

    fn directory(&mut self, base: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
        let full = resolve(base, path).canonicalize()?;
        if !full.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        Ok(full.into_os_string().into_vec())
    }

    fn try_append(&mut self, base: &[u8], path: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).open(resolve(base, path)).map(drop)
    }
}

/// The paths below `front` that one part of a pattern names.
fn step(base: &[u8], front: &[u8], part: &[u8]) -> Vec<Vec<u8>> {
    let joined = |name: &[u8]| {
        let slash: &[u8] = if front.is_empty() || front.ends_with(b"/") { b"" } else { b"/" };
        [front, slash, name].concat()
    };
    if !words::is_pattern(part) {
        let path = joined(part);
        return if resolve(base, &path).exists() { vec![path] } else { Vec::new() };
    }
    let here: &[u8] = if front.is_empty() && base.is_empty() { b"." } else { front };
    let Ok(entries) = fs::read_dir(resolve(base, here)) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().into_vec()));
    names.filter(|name| words::matches_file_name(part, name)).map(|name| joined(&name)).collect()
}

/// An error of the system in its own words.
pub(super) fn describe(error: &io::Error) -> Reason {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned().into(),
        None => text.into(),
    }
}

/// Where a line stands, and its text without blanks around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Counted from 1, in the file it stands in.
    pub line: usize,
    /// The line.
    pub text: Vec<u8>,
}

/// A statement for another room: `user`, `rename-command`, `loadmodule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Where it stands, for reporting what is wrong with it.
    pub at: At,
    /// The words after its name, at least as many as its row says.
    pub words: Vec<Vec<u8>>,
}

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// All values.
    pub settings: Settings,
    /// The full path of the file given, which CONFIG REWRITE writes.
    pub config_file: Option<Vec<u8>>,
    /// `user` lines: a name, then rules.
    pub users: Vec<Statement>,
    /// `rename-command` lines: a name, then the new one or an empty word.
    pub renames: Vec<Statement>,
    /// `loadmodule` lines.
    pub modules: Vec<Statement>,
    /// What the log should say of settings without effect, once each.
    pub notes: Vec<Remark>,
}

/// Why a configuration cannot be used. The server prints [`LoadError::report`] and exits with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// A line is wrong.
    Line(At, Reason),
    /// The whole does not fit together.
    Whole(Reason),
    /// A file cannot be read.
    Unreadable(Vec<u8>, Reason),
}

impl LoadError {
    /// What to print on standard error; `version` is the server's.
    pub fn report(&self, version: &str) -> String {
        let mut out = String::new();
        let (place, reason) = match self {
            LoadError::Unreadable(path, reason) => {
                let path = String::from_utf8_lossy(path);
                return format!("Fatal error, can't open config file '{path}': {reason}\n");
            }
            LoadError::Line(at, reason) => (Some(at), reason),
            LoadError::Whole(reason) => (None, reason),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n*** FATAL CONFIG FILE ERROR (Version {version}) ***");
        if let Some(at) = place {
            let _ = writeln!(out, "Reading the configuration file, at line {}", at.line);
            let _ = writeln!(out, ">>> '{}'", String::from_utf8_lossy(&at.text));
        }
        let _ = writeln!(out, "{reason}");
        out
    }
}

/// Reads the configuration a command line asks for.
pub fn load(invocation: &Invocation, files: &mut dyn Files) -> Result<Loaded, LoadError> {
    let unreadable = |path: &[u8], error: &io::Error| LoadError::Unreadable(path.to_vec(), describe(error));
    let mut reader = Reader::new(files)?;
    let base = reader.loaded.settings.text(Directive::Dir).to_vec();
    let mut text = Vec::new();
    if let Some(file) = &invocation.file {
        let path = resolve(&base, file).into_os_string().into_vec();
        if words::is_pattern(file) {
            for path in reader.files.matching(&base, file) {
                text.extend(reader.files.read(&base, &path).map_err(|e| unreadable(&path, &e))?);
            }
        } else {
            text = reader.files.read(&base, file).map_err(|e| unreadable(&path, &e))?;
        }
        reader.loaded.config_file = Some(path);
    }
    if invocation.stdin {
        text.extend(reader.files.read_stdin().map_err(|e| unreadable(b"-", &e))?);
    }
    // A line feed ends the file's last line if it has none; line numbers of the options start after it.
    text.push(b'\n');
    text.extend_from_slice(&invocation.options);
    reader.text(&text, 0)?;
    reader.finish()
}

struct Reader<'a> {
    files: &'a mut dyn Files,
    loaded: Loaded,
    /// Files read so far.
    opened: usize,
    /// The first `save` replaces the default, later ones add to it.
    is_save_given: bool,
}

impl<'a> Reader<'a> {
    fn new(files: &'a mut dyn Files) -> Result<Self, LoadError> {
        let mut settings = Settings::default();
        settings.put(Directive::Dir, Value::Text([].into()));
        settings.enter(b".", files).map_err(LoadError::Whole)?;
        let loaded = Loaded {
            settings,
            config_file: None,
            users: Vec::new(),
            renames: Vec::new(),
            modules: Vec::new(),
            notes: Vec::new(),
        };
        Ok(Reader { files, loaded, opened: 0, is_save_given: false })
    }

    fn text(&mut self, text: &[u8], depth: usize) -> Result<(), LoadError> {
        for (index, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = words::trim(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let at = || At { line: index + 1, text: line.to_vec() };
            let refused = |reason: Reason| LoadError::Line(at(), reason);
            let Some(words) = words::split(line) else {
                return Err(refused("Unbalanced quotes in configuration line".into()));
            };
            let Some((name, args)) = words.split_first() else { continue };
            let row = self.row(name, args).map_err(refused)?;
            match row {
                None => {}
                Some(row) if matches!(row.kind, Kind::Statement(..)) => {
                    self.statement(row, at(), args, depth)?
                }
                Some(row) => self.setting(row, args).map_err(refused)?,
            }
        }
        Ok(())
    }

    /// The row a line is about, if there is anything to do about it.
    fn row(&mut self, name: &[u8], args: &[Vec<u8>]) -> Result<Option<&'static Row>, Reason> {
        let row = Directive::named(name).map(Directive::row);
        let fits = row.is_some_and(|row| match row.kind {
            Kind::Statement(least, most) => (least..=most).contains(&args.len()),
            Kind::Retired => args.len() == 1,
            _ => true,
        });
        match row {
            Some(row) if fits && row.kind == Kind::Retired => {
                self.note(format!("The directive '{}' is a thing of the past and ignored", row.name));
                Ok(None)
            }
            Some(row) if fits => Ok(Some(row)),
            None if name.contains(&b'.') && args.is_empty() => {
                Err("Module config specified without value".into())
            }
            None if name.contains(&b'.') => {
                let name = String::from_utf8_lossy(name).into_owned();
                self.note(format!("The directive '{name}' belongs to a module and is ignored"));
                Ok(None)
            }
            _ => Err("Bad directive or wrong number of arguments".into()),
        }
    }

    fn setting(&mut self, row: &'static Row, args: &[Vec<u8>]) -> Result<(), Reason> {
        if !row.is_multi() {
            let [value] = args else { return Err("wrong number of arguments".into()) };
            return self.assign(row, &[value.as_slice()]);
        }
        // One word may hold all the words of a value, as `--save "900 1"` does.
        let split;
        let args = match args {
            [one] if !one.is_empty() => {
                split = words::split(one).unwrap_or_default();
                &split
            }
            _ => args,
        };
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        self.assign(row, &args)
    }

    fn assign(&mut self, row: &'static Row, args: &[&[u8]]) -> Result<(), Reason> {
        let settings = &mut self.loaded.settings;
        match row.kind {
            Kind::Directory => settings.enter(args[0], self.files).map(drop)?,
            Kind::Save => self.save(args)?,
            Kind::Never(_) if args[0].eq_ignore_ascii_case(b"yes") => {
                self.remark(Remark::without_effect(row.directive))
            }
            _ => settings.assign(row.directive, args).map(drop)?,
        }
        if row.directive != Directive::Save
            && let Some(remark) = remark(&self.loaded.settings, row.directive)
        {
            self.remark(remark);
        }
        Ok(())
    }

    fn save(&mut self, args: &[&[u8]]) -> Result<(), Reason> {
        let settings = &mut self.loaded.settings;
        let before = settings.save_points().to_vec();
        settings.assign(Directive::Save, args)?;
        let clears = args == [b""];
        if self.is_save_given && !clears {
            let all = [&before, settings.save_points()].concat();
            settings.put(Directive::Save, Value::Save(all.into()));
        }
        self.is_save_given = true;
        Ok(())
    }

    fn statement(
        &mut self,
        row: &'static Row,
        at: At,
        words: &[Vec<u8>],
        depth: usize,
    ) -> Result<(), LoadError> {
        let statement = || Statement { at: at.clone(), words: words.to_vec() };
        match row.directive {
            Directive::Include => return self.include(&at, &words[0], depth),
            Directive::User => {
                self.remark(Remark::without_effect(row.directive));
                self.loaded.users.push(statement());
            }
            Directive::RenameCommand => self.loaded.renames.push(statement()),
            Directive::LoadModule => {
                let text =
                    format!("Warning: Modules cannot be loaded: {}", String::from_utf8_lossy(&words[0]));
                self.remark(Remark { is_warning: true, text });
                self.loaded.modules.push(statement());
            }
            other => {
                debug_assert_eq!(other, Directive::Sentinel, "a statement that nobody understands");
                return Err(LoadError::Line(at, "sentinel directive while not in sentinel mode".into()));
            }
        }
        Ok(())
    }

    fn include(&mut self, at: &At, path: &[u8], depth: usize) -> Result<(), LoadError> {
        let base = self.loaded.settings.text(Directive::Dir).to_vec();
        let paths = match words::is_pattern(path) {
            true => self.files.matching(&base, path),
            false => vec![path.to_vec()],
        };
        let mut text = Vec::new();
        for path in paths {
            self.opened += 1;
            if depth >= MAX_INCLUDE_DEPTH || self.opened > MAX_FILES {
                return Err(LoadError::Line(at.clone(), "Too many files included".into()));
            }
            let content = self.files.read(&base, &path);
            text.extend(content.map_err(|error| LoadError::Unreadable(path, describe(&error)))?);
            text.push(b'\n');
        }
        self.text(&text, depth + 1)
    }

    fn note(&mut self, text: String) {
        self.remark(Remark { is_warning: false, text });
    }

    fn remark(&mut self, note: Remark) {
        if self.loaded.notes.len() < MAX_NOTES && !self.loaded.notes.contains(&note) {
            self.loaded.notes.push(note);
        }
    }

    fn finish(mut self) -> Result<Loaded, LoadError> {
        // Several lines say together when to save.
        if let Some(note) = remark(&self.loaded.settings, Directive::Save) {
            self.remark(note);
        }
        let settings = &self.loaded.settings;
        let log = settings.text(Directive::LogFile);
        if !log.is_empty() {
            let tried = self.files.try_append(settings.text(Directive::Dir), log);
            tried
                .map_err(|e| LoadError::Whole(format!("Can't open the log file: {}", describe(&e)).into()))?;
        }
        if settings.bool(Directive::ClusterEnabled) && settings.primary().is_some() {
            return Err(LoadError::Whole("replicaof directive not allowed in cluster mode".into()));
        }
        Ok(self.loaded)
    }
}
