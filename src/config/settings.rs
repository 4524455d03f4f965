//! The values of all directives at one moment, and what CONFIG GET and CONFIG SET do with them.
//! For: everything that is configured. May touch: rows, values, and the file system only through [`Files`].
//! Always: a snapshot has one accepted value per directive and never changes under a reader; CONFIG SET
//! makes a new snapshot in which all of its pairs took effect, or none.

use super::file::{Files, describe};
use super::table::{Directive, Flags, Kind, TABLE};
use super::value::{Class, OutputLimit, Reason, SavePoint, Value, word_at};
use super::words;

/// A limit given in bytes or as a percentage of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Bytes; 0 is no limit.
    Bytes(u64),
    /// Percent of `maxmemory`, 1 to 100.
    Percent(u8),
}

/// The values of all directives.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// By [`Directive`].
    values: Box<[Value]>,
    /// What `io-threads` came to, once the server knows.
    threads_in_use: Option<u16>,
    /// See [`Settings::packed_threshold`].
    packed_threshold: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        let values = TABLE.iter().map(Value::default_of).collect();
        Settings { values, threads_in_use: None, packed_threshold: None }
    }
}

/// Every reader of a value says which kind it expects; a directive of another kind is a mistake in the
/// program. Debug builds say so, others answer with nothing.
impl Settings {
    pub(super) fn value(&self, directive: Directive) -> &Value {
        &self.values[directive as usize]
    }

    /// A number: a count, a port, seconds, ... For `maxmemory` and the like see [`Settings::bytes`].
    pub fn int(&self, directive: Directive) -> i64 {
        match self.value(directive) {
            Value::Int(number) => *number,
            other => {
                debug_assert!(false, "{directive:?} is no number but {other:?}");
                0
            }
        }
    }

    /// A number of bytes; of a limit that may be off (-1) it answers the largest number.
    pub fn bytes(&self, directive: Directive) -> u64 {
        self.int(directive).cast_unsigned()
    }

    /// A switch.
    pub fn bool(&self, directive: Directive) -> bool {
        debug_assert!(
            matches!(directive.row().kind, Kind::Bool | Kind::Never(_)),
            "{directive:?} is no switch"
        );
        self.int(directive) != 0
    }

    /// The word chosen.
    pub fn choice(&self, directive: Directive) -> &'static str {
        match directive.row().kind {
            Kind::Choice(list) => word_at(list, self.int(directive)),
            _ => {
                debug_assert!(false, "{directive:?} is no choice");
                ""
            }
        }
    }

    /// True when `word` (lower case) is among those chosen, of a directive that takes any of several words.
    pub fn includes(&self, directive: Directive, word: &str) -> bool {
        match directive.row().kind {
            Kind::Bits(list) => list
                .iter()
                .position(|name| *name == word)
                .is_some_and(|index| self.int(directive) & (1 << index) != 0),
            _ => {
                debug_assert!(false, "{directive:?} takes one word");
                false
            }
        }
    }

    /// A text.
    pub fn text(&self, directive: Directive) -> &[u8] {
        match self.value(directive) {
            Value::Text(text) => text,
            other => {
                debug_assert!(false, "{directive:?} is no text but {other:?}");
                &[]
            }
        }
    }

    /// When to save; empty for never.
    pub fn save_points(&self) -> &[SavePoint] {
        if let Value::Save(points) = self.value(Directive::Save) { points } else { &[] }
    }

    /// How much unread output closes a client of `class`.
    pub fn output_limit(&self, class: Class) -> OutputLimit {
        match self.value(Directive::ClientOutputBufferLimit) {
            Value::Limits(limits) => limits[class as usize],
            _ => OutputLimit::default(),
        }
    }

    /// Addresses to listen on, as written: `-` before one that may be missing, `*` for all of IPv4.
    pub fn bind(&self) -> impl Iterator<Item = &[u8]> {
        let list: &[Box<[u8]>] =
            if let Value::Words(list) = self.value(Directive::Bind) { list } else { &[] };
        list.iter().map(|word| &**word)
    }

    /// Bits of [`super::events`].
    pub fn events(&self) -> u32 {
        self.int(Directive::NotifyKeyspaceEvents) as u32
    }

    /// Kernel scores of a primary, a replica and a process that saves.
    pub fn oom_scores(&self) -> [i64; 3] {
        if let Value::Scores(scores) = self.value(Directive::OomScoreAdjValues) { *scores } else { [0; 3] }
    }

    /// Percentiles that INFO shows, 0 to 100.
    pub fn percentiles(&self) -> &[f64] {
        match self.value(Directive::LatencyTrackingInfoPercentiles) {
            Value::Percentiles(list) => list,
            _ => &[],
        }
    }

    /// Host and port of the primary.
    pub fn primary(&self) -> Option<(&[u8], u16)> {
        match self.value(Directive::ReplicaOf) {
            Value::Primary(Some((host, port))) => Some((host, *port)),
            _ => None,
        }
    }

    /// Memory of all clients together.
    pub fn clients_memory(&self) -> Share {
        match self.int(Directive::MaxMemoryClients) {
            percent if percent < 0 => Share::Percent(u8::try_from(-percent).unwrap_or(100)),
            bytes => Share::Bytes(bytes.cast_unsigned()),
        }
    }

    /// The number that fixes what is left to chance.
    pub fn seed(&self) -> Option<u64> {
        std::str::from_utf8(self.text(Directive::Seed)).ok()?.parse().ok()
    }

    /// What CONFIG GET answers for `directive`.
    pub fn show(&self, directive: Directive) -> Vec<u8> {
        match (directive, self.threads_in_use) {
            (Directive::IoThreads, Some(threads)) => threads.to_string().into_bytes(),
            _ => self.value(directive).show(directive.row().kind),
        }
    }

    /// Says how many worker threads there are, which CONFIG GET answers for `io-threads` from then on.
    pub fn set_threads_in_use(&mut self, threads: u16) {
        self.threads_in_use = Some(threads);
    }

    /// Bytes from which on an element of a list gets a node of its own, where DEBUG has said so. No
    /// directive: no file and no CONFIG has it.
    pub fn packed_threshold(&self) -> Option<u32> {
        self.packed_threshold
    }

    /// See [`Settings::packed_threshold`].
    pub fn set_packed_threshold(&mut self, bytes: Option<u32>) {
        self.packed_threshold = bytes;
    }

    /// Sets `directive` from words, whether CONFIG SET may or not: for REPLICAOF, and for what the server
    /// finds out by itself. True when the value is another one now.
    pub fn assign(&mut self, directive: Directive, args: &[&[u8]]) -> Result<bool, Reason> {
        let old = self.value(directive);
        let new = Value::read(directive.row(), old, args)?;
        let is_changed = new != *old;
        self.values[directive as usize] = new;
        Ok(is_changed)
    }

    pub(super) fn put(&mut self, directive: Directive, value: Value) {
        self.values[directive as usize] = value;
    }

    /// Sets `dir` to the directory `path`, seen from the present one, in full.
    pub(super) fn enter(&mut self, path: &[u8], files: &mut dyn Files) -> Result<bool, Reason> {
        self.clone().assign(Directive::Dir, &[path])?;
        let full = files.directory(self.text(Directive::Dir), path).map_err(|error| describe(&error))?;
        self.assign(Directive::Dir, &[&full])
    }
}

/// Answers CONFIG GET: name and value of every setting that `patterns` name, each name once. `matches`
/// tells whether a pattern (first) fits a name, whatever the case of either. A name without wildcards is
/// answered in the spelling it was asked in.
pub fn get(
    settings: &Settings,
    patterns: &[&[u8]],
    matches: &dyn Fn(&[u8], &[u8]) -> bool,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |name: &[u8], directive: Directive| {
        if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            found.push((name.to_vec(), settings.show(directive)));
        }
    };
    for pattern in patterns {
        let is_pattern = words::is_pattern(pattern);
        for row in TABLE.iter().filter(|row| row.is_setting()) {
            if !is_pattern {
                if row.answers_to(pattern).is_some() {
                    add(pattern, row.directive);
                }
            } else if !row.flags.contains(Flags::HIDDEN) {
                for name in std::iter::once(&row.name).chain(row.aliases) {
                    if matches(pattern, name.as_bytes()) {
                        add(name.as_bytes(), row.directive);
                    }
                }
            }
        }
    }
    found
}

/// Who asks for CONFIG SET, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker {
    /// The client is on this machine.
    pub is_local: bool,
    /// A dataset is being loaded.
    pub is_loading: bool,
}

/// Why CONFIG SET did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No setting has this name.
    Unknown(Vec<u8>),
    /// The setting of this name was refused.
    Failed(Vec<u8>, Reason),
    /// Not while a dataset is being loaded; the answer is the usual one for that.
    Loading,
}

impl SetError {
    /// The error's text after its code `ERR`.
    pub fn text(&self) -> Vec<u8> {
        match self {
            SetError::Unknown(name) => {
                // Like every error it echoes up to the first NUL.
                let name = name.split(|&byte| byte == 0).next().unwrap_or(name);
                [b"Unknown option or number of arguments for CONFIG SET - '", name, b"'"].concat()
            }
            SetError::Failed(name, reason) => {
                let reason = reason.as_bytes();
                let front = b"CONFIG SET failed (possibly related to argument '".as_slice();
                [front, name, b"') - ", reason].concat()
            }
            SetError::Loading => b"Redis is loading the dataset in memory".to_vec(),
        }
    }
}

/// Does CONFIG SET: a snapshot with all `pairs` set, and the directives whose value is another one now (or
/// whose files are to be read again), in the order of the pairs.
pub fn set(
    settings: &Settings,
    pairs: &[(&[u8], &[u8])],
    asker: Asker,
    files: &mut dyn Files,
) -> Result<(Settings, Vec<Directive>), SetError> {
    let named = admit(settings, pairs, asker)?;
    let mut new = settings.clone();
    for ((directive, name), (_, value)) in named.iter().zip(pairs) {
        let failed = |reason| SetError::Failed(name.as_bytes().to_vec(), reason);
        set_one(&mut new, *directive, value, files).map_err(failed)?;
    }
    let mut changed = Vec::new();
    for (directive, _) in named {
        let differs = settings.value(directive) != new.value(directive);
        let counts = differs || directive.row().flags.contains(Flags::VOLATILE);
        if counts && !changed.contains(&directive) {
            changed.push(directive);
        }
    }
    Ok((new, changed))
}

/// Finds the directives the pairs name, and refuses what may not be set whatever the value. The first thing
/// that is wrong decides. The two names of one directive may stand beside each other.
fn admit(
    settings: &Settings,
    pairs: &[(&[u8], &[u8])],
    asker: Asker,
) -> Result<Vec<(Directive, &'static str)>, SetError> {
    let mut named: Vec<(Directive, &'static str)> = Vec::with_capacity(pairs.len());
    let is_protected = match settings.choice(Directive::EnableProtectedConfigs) {
        "yes" => false,
        "local" => !asker.is_local,
        _ => true,
    };
    for (name, _) in pairs {
        let failed = |reason: &'static str| Err(SetError::Failed(name.to_vec(), reason.into()));
        let row = Directive::named(name).map(Directive::row).filter(|row| row.is_setting());
        let spelled = row.and_then(|row| row.answers_to(name));
        let (Some(row), Some(spelled)) = (row, spelled) else {
            return Err(SetError::Unknown(name.to_vec()));
        };
        if row.flags.contains(Flags::IMMUTABLE) {
            return failed("can't set immutable config");
        }
        if row.flags.contains(Flags::PROTECTED) && is_protected {
            return failed("can't set protected config");
        }
        if row.flags.contains(Flags::DENY_LOADING) && asker.is_loading {
            return Err(SetError::Loading);
        }
        if named.iter().any(|(_, other)| *other == spelled) {
            return failed("duplicate parameter");
        }
        named.push((row.directive, spelled));
    }
    Ok(named)
}

fn set_one(
    new: &mut Settings,
    directive: Directive,
    value: &[u8],
    files: &mut dyn Files,
) -> Result<(), Reason> {
    match directive {
        Directive::Dir => new.enter(value, files)?,
        Directive::IoThreads => {
            // The threads are made at start. Setting the number there is changes nothing, and is allowed.
            let before = new.show(directive);
            let is_same = before == value;
            if !is_same {
                new.clone().assign(directive, &[value])?;
                return Err("the number of worker threads is fixed when the server starts".into());
            }
            false
        }
        _ if directive.row().is_multi() => {
            let args: Vec<&[u8]> = match value {
                b"" => Vec::new(),
                _ => value.split(|b| *b == b' ').collect(),
            };
            new.assign(directive, &args)?
        }
        _ => new.assign(directive, &[value])?,
    };
    Ok(())
}
