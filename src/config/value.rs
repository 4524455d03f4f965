//! Values of directives: reading them from words, showing them, writing them into a file.
//! For: `Settings`, the reader and the rewriter. May touch: rows and words.
//! Always: a value was accepted by its row's kind; its file form reads back as the same value; its shown
//! form is what CONFIG GET answers and CONFIG SET takes back.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::table::{Check, Directive, Kind, Row};
use super::words;

/// Why a value is refused, in the words users of other servers know.
pub type Reason = Cow<'static, str>;

/// Most addresses `bind` takes.
pub const MAX_BIND_ADDRESSES: usize = 16;
/// Longest host name to announce, exclusive.
const HOSTNAME_LIMIT: usize = 256;
/// Longest address to announce.
const MAX_IP_TEXT: usize = 45;
/// Bounds of the periodic work's frequency.
const HZ: (i64, i64) = (1, 500);

const WRONG_NUMBER: &str = "wrong number of arguments";
const BAD_SAVE: &str = "Invalid save parameters";
const BAD_LIMIT: &str = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";

/// One `save` rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save, at least 1.
    pub seconds: i64,
    /// Changes since the last save, at least 0.
    pub changes: i64,
}

/// The classes of clients that have an output limit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Ordinary clients.
    Normal,
    /// Replicas.
    Replica,
    /// Clients that subscribed to something.
    Pubsub,
}

/// How much unread output closes a client; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes that close it at once.
    pub hard_bytes: u64,
    /// Bytes that close it when it stays above them.
    pub soft_bytes: u64,
    /// For how many seconds.
    pub soft_seconds: i64,
}

/// Bits of `notify-keyspace-events`.
pub mod events {
    /// `K`: events are published under the key's name.
    pub const KEYSPACE: u32 = 1;
    /// `E`: events are published under the event's name.
    pub const KEYEVENT: u32 = 1 << 1;
    /// `g`: commands that fit any type.
    pub const GENERIC: u32 = 1 << 2;
    /// `$`: strings.
    pub const STRING: u32 = 1 << 3;
    /// `l`: lists.
    pub const LIST: u32 = 1 << 4;
    /// `s`: sets.
    pub const SET: u32 = 1 << 5;
    /// `h`: hashes.
    pub const HASH: u32 = 1 << 6;
    /// `z`: sorted sets.
    pub const ZSET: u32 = 1 << 7;
    /// `x`: keys that expired.
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`: keys that were evicted.
    pub const EVICTED: u32 = 1 << 9;
    /// `t`: streams.
    pub const STREAM: u32 = 1 << 10;
    /// `m`: keys that were not there.
    pub const KEY_MISS: u32 = 1 << 11;
    /// `d`: modules.
    pub const MODULE: u32 = 1 << 13;
    /// `n`: keys that came to be.
    pub const NEW: u32 = 1 << 14;
    /// `A`: all of `g$lshzxetd`.
    pub const ALL: u32 = GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE;

    /// The letters that `A` stands for, in the order they are shown.
    pub(super) const IN_ALL: [(u8, u32); 10] = [
        (b'g', GENERIC),
        (b'$', STRING),
        (b'l', LIST),
        (b's', SET),
        (b'h', HASH),
        (b'z', ZSET),
        (b'x', EXPIRED),
        (b'e', EVICTED),
        (b't', STREAM),
        (b'd', MODULE),
    ];
    /// The letters shown after them.
    pub(super) const AFTER: [(u8, u32); 3] = [(b'K', KEYSPACE), (b'E', KEYEVENT), (b'm', KEY_MISS)];
}

/// A directive's value. Which variant it is follows from the row's kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Switches, numbers (unsigned ones by their bits, percentages negative), indexes and bits of words.
    Int(i64),
    Text(Arc<[u8]>),
    Save(Arc<[SavePoint]>),
    /// By [`Class`].
    Limits([OutputLimit; 3]),
    Words(Arc<[Box<[u8]>]>),
    Scores([i64; 3]),
    Percentiles(Arc<[f64]>),
    Primary(Option<(Arc<[u8]>, u16)>),
}

/// Words that mean the same as another word of their list.
const SYNONYMS: &[(&str, &str)] = &[("relative", "yes")];

impl Value {
    /// Reads the words given to a directive. `old` is its value so far, which some kinds only amend.
    pub(super) fn read(row: &Row, old: &Value, args: &[&[u8]]) -> Result<Value, Reason> {
        let single = || match args {
            [one] => Ok(*one),
            _ => Err(Reason::from(WRONG_NUMBER)),
        };
        match row.kind {
            Kind::Bool => yes_or_no(single()?).map(|on| Value::Int(on.into())),
            Kind::Never(reason) => match yes_or_no(single()?)? {
                true => Err(reason.into()),
                false => Ok(Value::Int(0)),
            },
            Kind::Int(min, max) => {
                let number =
                    words::strict_int(single()?).ok_or("argument couldn't be parsed into an integer")?;
                let number = in_bounds(number, min, max)?;
                let is_frequency = row.directive == Directive::Hz;
                Ok(Value::Int(if is_frequency { number.clamp(HZ.0, HZ.1) } else { number }))
            }
            Kind::Memory(min, max) => {
                let bytes = words::memory(single()?).ok_or("argument must be a memory value")?;
                in_bounds(bytes, min, max).map(|bytes| Value::Int(bytes.cast_signed()))
            }
            Kind::MemoryOrOff => memory_or_off(single()?),
            Kind::MemoryOrPercent => memory_or_percent(single()?),
            Kind::Octal(max) => octal(single()?, max),
            Kind::Choice(list) => choice(list, args),
            Kind::Bits(list) => bits(list, args),
            Kind::Text(check) => {
                let text = single()?;
                check.refuses(text).map_or_else(|| Ok(Value::Text(text.into())), Err)
            }
            Kind::Directory => match single()? {
                b"" => Err("dir can't be empty".into()),
                path => Ok(Value::Text(path.into())),
            },
            Kind::Save => save(args),
            Kind::OutputLimits => output_limits(old, args),
            Kind::Bind => bind(args),
            Kind::Events => events_bits(single()?),
            Kind::OomScores => oom_scores(args),
            Kind::Percentiles => percentiles(args),
            Kind::ReplicaOf => primary(args),
            Kind::Statement(..) | Kind::Retired => Ok(Value::Int(0)),
        }
    }

    /// The value a row starts with.
    pub(super) fn default_of(row: &Row) -> Value {
        let parsed = words::split(row.default.as_bytes()).expect("defaults in the table are well formed");
        let mut args: Vec<&[u8]> = parsed.iter().map(Vec::as_slice).collect();
        if args.is_empty() {
            args.push(b"");
        }
        let blank = match row.kind {
            Kind::OutputLimits => Value::Limits([OutputLimit::default(); 3]),
            _ => Value::Int(0),
        };
        Value::read(row, &blank, &args).expect("defaults in the table are accepted by their kind")
    }

    /// What CONFIG GET answers.
    pub(super) fn show(&self, kind: Kind) -> Vec<u8> {
        match (self, kind) {
            (Value::Int(n), Kind::Bool | Kind::Never(_)) => if *n == 0 { "no" } else { "yes" }.into(),
            (Value::Int(n), Kind::Choice(list)) => word_at(list, *n).into(),
            (Value::Int(n), Kind::Bits(list)) => bit_words(list, *n).into_bytes(),
            (Value::Int(n), Kind::Memory(..)) => n.cast_unsigned().to_string().into_bytes(),
            (Value::Int(n), Kind::MemoryOrPercent) if *n < 0 => format!("{}%", n.unsigned_abs()).into_bytes(),
            (Value::Int(n), Kind::Octal(_)) => format!("{n:o}").into_bytes(),
            (Value::Int(n), Kind::Events) => event_letters(*n as u32),
            (Value::Int(n), _) => n.to_string().into_bytes(),
            (Value::Text(text), _) => text.to_vec(),
            (Value::Save(points), _) => save_text(points).into_bytes(),
            (Value::Limits(limits), _) => {
                let shown = |(class, l): (&str, &OutputLimit)| {
                    format!("{class} {} {} {}", l.hard_bytes, l.soft_bytes, l.soft_seconds)
                };
                let classes = ["normal", "slave", "pubsub"].into_iter().zip(limits).map(shown);
                classes.collect::<Vec<_>>().join(" ").into_bytes()
            }
            (Value::Words(list), _) => list.join(&b' '),
            (Value::Scores([a, b, c]), _) => format!("{a} {b} {c}").into_bytes(),
            (Value::Percentiles(list), _) => percentile_text(list).into_bytes(),
            (Value::Primary(None), _) => Vec::new(),
            (Value::Primary(Some((host, port))), _) => [host, format!(" {port}").as_bytes()].concat(),
        }
    }

    /// The words of a file that set this value, without the directive's name. An empty value has none:
    /// how to say it is the rewriter's matter.
    pub(super) fn file_words(&self, kind: Kind) -> Vec<u8> {
        match (self, kind) {
            (Value::Int(n), Kind::Memory(..)) => words::memory_text(n.cast_unsigned()).into_bytes(),
            (Value::Int(n), Kind::MemoryOrOff | Kind::MemoryOrPercent) if *n >= 0 => {
                words::memory_text(n.cast_unsigned()).into_bytes()
            }
            (Value::Int(n), Kind::Events) => {
                // Shown, `A` hides `n`; a file has to keep it.
                let mut letters = event_letters(*n as u32);
                if *n as u32 & events::NEW != 0 && !letters.contains(&b'n') {
                    letters.push(b'n');
                }
                quoted(&letters)
            }
            (Value::Text(text), _) => quoted(text),
            (Value::Save(points), _) if points.is_empty() => b"\"\"".to_vec(),
            (Value::Percentiles(list), _) if list.is_empty() => b"\"\"".to_vec(),
            (Value::Words(list), _) if list.is_empty() => b"\"\"".to_vec(),
            (Value::Words(list), _) => list_words(list),
            (Value::Primary(Some((host, port))), _) => {
                let mut out = Vec::new();
                words::quote_if_needed(&mut out, host);
                out.extend(format!(" {port}").as_bytes());
                out
            }
            _ => self.show(kind),
        }
    }
}

impl OutputLimit {
    /// The words of a file that set this limit for the class called `name`.
    pub(super) fn file_words(&self, name: &str) -> String {
        let (hard, soft) = (words::memory_text(self.hard_bytes), words::memory_text(self.soft_bytes));
        format!("{name} {hard} {soft} {}", self.soft_seconds)
    }
}

impl Check {
    /// Why `text` is refused, if it is.
    fn refuses(self, text: &[u8]) -> Option<Reason> {
        let utf8 = std::str::from_utf8(text);
        let refused: Option<&'static str> = match self {
            Check::Any => None,
            Check::Filled(name) => return text.is_empty().then(|| format!("{name} can't be empty").into()),
            Check::FileName(name) => return refuse_file_name(name, text),
            Check::Hostname => refuse_hostname(text),
            Check::NodeName => (!text.iter().all(is_name_byte))
                .then_some("Announced human node name contained invalid character"),
            Check::AnnouncedIp if text.len() > MAX_IP_TEXT => Some("cluster-announce-ip is too long"),
            Check::AnnouncedIp => {
                (!text.iter().all(is_name_byte)).then_some("cluster-announce-ip contains invalid character")
            }
            Check::Ipv4 => (!text.is_empty() && !utf8.is_ok_and(|t| t.parse::<Ipv4Addr>().is_ok()))
                .then_some("Invalid IPv4 address"),
            Check::Ipv6 => (!text.is_empty() && !utf8.is_ok_and(|t| t.parse::<Ipv6Addr>().is_ok()))
                .then_some("Invalid IPv6 address"),
            Check::Title => {
                (!is_title(text)).then_some("template format is invalid or contains unknown variables")
            }
            Check::Locale => (!matches!(text, b"" | b"C" | b"POSIX")).then_some("Invalid locale name"),
            Check::Seed => (!text.is_empty() && !utf8.is_ok_and(|t| t.parse::<u64>().is_ok()))
                .then_some("argument couldn't be parsed into an integer"),
            Check::NoRdma => (!text.is_empty()).then_some("No RDMA building support."),
        };
        refused.map(Reason::from)
    }
}

fn refuse_file_name(name: &str, text: &[u8]) -> Option<Reason> {
    let what = if name.ends_with("dirname") { "dirname" } else { "filename" };
    if text.is_empty() {
        return Some(format!("{name} can't be empty").into());
    }
    let is_path = text.contains(&b'/') || text.contains(&b'\\');
    is_path.then(|| format!("{name} can't be a path, just a {what}").into())
}

fn refuse_hostname(text: &[u8]) -> Option<&'static str> {
    if text.len() >= HOSTNAME_LIMIT {
        return Some("Hostnames must be less than 256 characters");
    }
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    (!text.iter().all(fits)).then_some("Hostnames may only contain alphanumeric characters, hyphens or dots")
}

/// Bytes that may stand in a name or address that cluster nodes tell each other.
fn is_name_byte(byte: &u8) -> bool {
    matches!(byte, b'-'..=b':' | b'A'..=b'Z' | b'_' | b'`' | b'a'..=b'z' | 0x80..)
}

/// True when every `{variable}` in a process title is known and something is left to show.
fn is_title(text: &[u8]) -> bool {
    const VARIABLES: &[&[u8]] =
        &[b"title", b"listen-addr", b"server-mode", b"port", b"tls-port", b"unixsocket", b"config-file"];
    let mut rest = text;
    let mut is_blank = true;
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'{', [b'{', after @ ..]) => {
                is_blank = false;
                after
            }
            (b'{', _) => {
                let Some(end) = tail.iter().position(|&b| b == b'}') else { return false };
                if !VARIABLES.contains(&&tail[..end]) {
                    return false;
                }
                // Without a socket or a file these two show nothing.
                is_blank &= matches!(&tail[..end], b"unixsocket" | b"config-file");
                &tail[end + 1..]
            }
            _ => {
                is_blank &= byte.is_ascii_whitespace();
                tail
            }
        };
    }
    !is_blank
}

fn yes_or_no(word: &[u8]) -> Result<bool, Reason> {
    match word {
        w if w.eq_ignore_ascii_case(b"yes") => Ok(true),
        w if w.eq_ignore_ascii_case(b"no") => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

fn in_bounds<N: PartialOrd + std::fmt::Display>(number: N, min: N, max: N) -> Result<N, Reason> {
    if number < min || number > max {
        return Err(format!("argument must be between {min} and {max} inclusive").into());
    }
    Ok(number)
}

fn memory_or_off(word: &[u8]) -> Result<Value, Reason> {
    let number = match words::memory(word) {
        Some(bytes) => i64::try_from(bytes).unwrap_or(i64::MIN),
        None => words::strict_int(word).filter(|n| *n < 0).ok_or("argument must be a memory value")?,
    };
    in_bounds(number, -1, i64::MAX).map(Value::Int)
}

fn memory_or_percent(word: &[u8]) -> Result<Value, Reason> {
    if let Some(bytes) = words::memory(word) {
        return in_bounds(bytes, 0, i64::MAX.cast_unsigned()).map(|bytes| Value::Int(bytes.cast_signed()));
    }
    let percent = word.strip_suffix(b"%").and_then(words::strict_int).filter(|n| *n >= 0);
    match percent {
        Some(percent) if percent > 100 => Err("percentage argument must be less or equal to 100".into()),
        Some(percent) => Ok(Value::Int(-percent)),
        None => Err("argument must be a memory or percent value".into()),
    }
}

fn octal(word: &[u8], max: i64) -> Result<Value, Reason> {
    let number = words::loose_int(word, 8).ok_or("argument couldn't be parsed as an octal number")?;
    if !(0..=max).contains(&number) {
        return Err(format!("argument must be between 0 and {max:o} inclusive").into());
    }
    Ok(Value::Int(number))
}

fn one_of(list: &[&str]) -> Reason {
    format!("argument(s) must be one of the following: {}", list.join(", ")).into()
}

fn index_of(list: &[&str], word: &[u8]) -> Option<usize> {
    let index = list.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(word))?;
    let same = SYNONYMS.iter().find(|(name, _)| *name == list[index]);
    same.and_then(|(_, other)| list.iter().position(|name| name == other)).or(Some(index))
}

fn choice(list: &[&str], args: &[&[u8]]) -> Result<Value, Reason> {
    let index = match args {
        [word] => index_of(list, word),
        _ => None,
    };
    index.map(|index| Value::Int(index as i64)).ok_or_else(|| one_of(list))
}

fn bits(list: &[&str], args: &[&[u8]]) -> Result<Value, Reason> {
    let mut bits = 0;
    for word in args {
        // The first word of the list means no bit at all.
        let index = index_of(list, word).ok_or_else(|| one_of(list))?;
        bits |= (1 << index) & !1;
    }
    if args.is_empty() {
        return Err(one_of(list));
    }
    let has = |name: &[u8]| index_of(list, name).is_some_and(|index| bits & (1 << index) != 0);
    if has(b"save") && has(b"nosave") {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(Value::Int(bits))
}

fn bit_words(list: &[&str], bits: i64) -> String {
    let set: Vec<&str> = (1..list.len()).filter(|i| bits & (1 << i) != 0).map(|i| list[i]).collect();
    if set.is_empty() { list[0].to_owned() } else { set.join(" ") }
}

pub(super) fn word_at<'a>(list: &[&'a str], index: i64) -> &'a str {
    usize::try_from(index).ok().and_then(|i| list.get(i).copied()).unwrap_or("unknown")
}

fn save(args: &[&[u8]]) -> Result<Value, Reason> {
    let args = if let [b""] = args { &[] } else { args };
    let (pairs, left) = args.as_chunks::<2>();
    if !left.is_empty() {
        return Err(BAD_SAVE.into());
    }
    let point = |[seconds, changes]: &[&[u8]; 2]| {
        let seconds = words::loose_int(seconds, 10).filter(|n| *n >= 1)?;
        let changes = words::loose_int(changes, 10).filter(|n| *n >= 0)?;
        Some(SavePoint { seconds, changes })
    };
    let points: Option<Arc<[SavePoint]>> = pairs.iter().map(point).collect();
    points.map(Value::Save).ok_or_else(|| BAD_SAVE.into())
}

fn save_text(points: &[SavePoint]) -> String {
    points.iter().map(|p| format!("{} {}", p.seconds, p.changes)).collect::<Vec<_>>().join(" ")
}

fn output_limits(old: &Value, args: &[&[u8]]) -> Result<Value, Reason> {
    let args = if let [b""] = args { &[] } else { args };
    let (groups, left) = args.as_chunks::<4>();
    if !left.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let Value::Limits(mut limits) = old.clone() else {
        return Err(BAD_LIMIT.into());
    };
    for [class, hard, soft, seconds] in groups {
        let class = match class.to_ascii_lowercase().as_slice() {
            b"normal" => Class::Normal,
            b"slave" | b"replica" => Class::Replica,
            b"pubsub" => Class::Pubsub,
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        };
        let read = || {
            Some(OutputLimit {
                hard_bytes: words::memory(hard)?,
                soft_bytes: words::memory(soft)?,
                soft_seconds: words::loose_int(seconds, 10).filter(|n| *n >= 0)?,
            })
        };
        limits[class as usize] = read().ok_or(BAD_LIMIT)?;
    }
    Ok(Value::Limits(limits))
}

fn bind(args: &[&[u8]]) -> Result<Value, Reason> {
    if args.len() > MAX_BIND_ADDRESSES {
        return Err("Too many bind addresses specified.".into());
    }
    let args = if let [b""] = args { &[] } else { args };
    Ok(Value::Words(args.iter().map(|&word| word.into()).collect()))
}

fn events_bits(letters: &[u8]) -> Result<Value, Reason> {
    let mut bits = 0;
    for letter in letters {
        let known = events::IN_ALL.iter().chain(&events::AFTER).find(|(known, _)| known == letter);
        bits |= match (letter, known) {
            (_, Some((_, bit))) => *bit,
            (b'A', None) => events::ALL,
            (b'n', None) => events::NEW,
            _ => return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
        };
    }
    Ok(Value::Int(i64::from(bits)))
}

fn event_letters(bits: u32) -> Vec<u8> {
    let mut letters = Vec::new();
    let mut add =
        |list: &[(u8, u32)]| letters.extend(list.iter().filter(|(_, b)| bits & b != 0).map(|(l, _)| l));
    if bits & events::ALL == events::ALL {
        add(&[(b'A', events::ALL)]);
    } else {
        add(&events::IN_ALL);
        add(&[(b'n', events::NEW)]);
    }
    add(&events::AFTER);
    letters
}

fn oom_scores(args: &[&[u8]]) -> Result<Value, Reason> {
    let &[primary, replica, child] = args else {
        return Err(WRONG_NUMBER.into());
    };
    let score = |word| {
        let number = words::loose_int(word, 10).filter(|n| (-2000..=2000).contains(n));
        number.ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
    };
    Ok(Value::Scores([score(primary)?, score(replica)?, score(child)?]))
}

fn percentiles(args: &[&[u8]]) -> Result<Value, Reason> {
    let args = if let [b""] = args { &[] } else { args };
    let mut list = Vec::with_capacity(args.len());
    for word in args {
        let number =
            std::str::from_utf8(word).ok().and_then(|w| w.parse::<f64>().ok()).filter(|n| !n.is_nan());
        let number = number.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&number) {
            return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
        }
        list.push(number);
    }
    Ok(Value::Percentiles(list.into()))
}

fn percentile_text(list: &[f64]) -> String {
    let shown = |n: &f64| format!("{n:.6}").trim_end_matches('0').trim_end_matches('.').to_owned();
    list.iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn primary(args: &[&[u8]]) -> Result<Value, Reason> {
    let &[host, port] = args else {
        return Err(WRONG_NUMBER.into());
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Value::Primary(None));
    }
    let port =
        words::loose_int(port, 10).and_then(|n| u16::try_from(n).ok()).ok_or("Invalid primary port")?;
    Ok(Value::Primary(Some((host.into(), port))))
}

fn list_words(list: &[Box<[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, word) in list.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        words::quote_if_needed(&mut out, word);
    }
    // A word that stands alone is split once more when it is read.
    if let [word] = list
        && out != **word
    {
        return quoted(&out);
    }
    out
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    words::quote(&mut out, text);
    out
}
