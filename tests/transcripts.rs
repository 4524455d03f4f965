//! Behaviour as sessions: replays tests/transcripts/*.txt.
//!
//! For: what clients see. May touch: sockets and the transcript files.
//! Always: every section runs, whatever failed before it; the files change only when UPDATE_TRANSCRIPTS=1.
//!
//! | variables | what happens |
//! |---|---|
//! | none | the files are checked against Ochre |
//! | `TRANSCRIPT_SERVER=ip:port` | they are checked against that server |
//! | both, with `UPDATE_TRANSCRIPTS=1` | expectations that server does not meet are rewritten |
//! | `TRANSCRIPT=name` | only files whose name contains this |
//!
//! The form of the files is described in support/transcript.rs.

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::client::{Client, Reply, is_closed, is_silence};
use support::render;
use support::server::{clear, spare};
use support::transcript::{Action, Section, Sort, Step, Transcript, agrees};
use support::words;

/// Time for the server to run what it has received and does not answer.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(50);

/// The connection a section starts with.
const FIRST_CONNECTION: &str = "main";

/// Needs that no command stands for: real servers meet them, Ochre does not yet.
const LACKING: &[&str] = &["memory-limit"];

/// The sort of server that answers.
enum Target {
    Ochre,
    /// A real server: its name and major version.
    Real(&'static str, u32),
}

/// A server and what it knows.
struct Answerer {
    addr: SocketAddr,
    target: Target,
    /// Which commands it was asked for, and has.
    known: HashMap<String, bool>,
}

/// What became of the sections.
#[derive(Default)]
struct Tally {
    ran: usize,
    skipped: usize,
    failures: Vec<String>,
}

#[test]
fn transcripts_are_answered_as_written() {
    let real = std::env::var("TRANSCRIPT_SERVER").ok();
    let update = std::env::var("UPDATE_TRANSCRIPTS").is_ok_and(|v| v == "1");
    assert!(
        !update || real.is_some(),
        "UPDATE_TRANSCRIPTS needs TRANSCRIPT_SERVER: only a real server knows"
    );
    let ochre = if real.is_none() { support::server() } else { None };
    let mut server = match (&real, &ochre) {
        (Some(addr), _) => Answerer::real(spare(addr.parse().expect("TRANSCRIPT_SERVER is ip:port"))),
        (None, Some(server)) => {
            Answerer { addr: server.addr(), target: Target::Ochre, known: HashMap::new() }
        }
        (None, None) => return,
    };
    let mut tally = Tally::default();
    for path in files() {
        let rewritten = server.replay_file(&path, &mut tally);
        if let Some(text) = rewritten.filter(|_| update) {
            std::fs::write(&path, text).expect("a transcript can be written");
        }
    }
    if real.is_some() {
        clear(server.addr);
    }
    let Tally { ran, skipped, failures } = tally;
    println!("{ran} sections ran, {skipped} skipped, {} failures", failures.len());
    if update {
        return;
    }
    assert!(failures.is_empty(), "{} failures:\n\n{}", failures.len(), failures.join("\n"));
}

fn files() -> Vec<PathBuf> {
    let only = std::env::var("TRANSCRIPT").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let entries = std::fs::read_dir(folder).expect("tests/transcripts exists");
    let mut files: Vec<PathBuf> = entries
        .map(|e| e.expect("a folder can be listed").path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().contains(&only)))
        .collect();
    files.sort();
    files
}

fn failure(file: &str, section: &Section, step: &Step, got: &[String]) -> String {
    let indented = |lines: &[String]| match lines {
        [] => "    (nothing)\n".to_owned(),
        _ => lines.iter().map(|l| format!("    {l}\n")).collect(),
    };
    format!(
        "tests/transcripts/{file}:{}: {}\n  in: {}\n  expected:\n{}  got:\n{}",
        step.line,
        step.text,
        section.title,
        indented(&step.expected),
        indented(got)
    )
}

impl Answerer {
    fn real(addr: SocketAddr) -> Answerer {
        let mut client = Client::connect(addr).expect("TRANSCRIPT_SERVER accepts connections");
        let info = client.call(&["INFO", "server"]).expect("INFO is answered").text().unwrap_or_default();
        let version = |field: &str| {
            let value = info.lines().find_map(|l| l.strip_prefix(field))?;
            value.split('.').next()?.parse::<u32>().ok()
        };
        let target = match (version("valkey_version:"), version("redis_version:")) {
            (Some(major), _) => Target::Real("valkey", major),
            (None, Some(major)) => Target::Real("redis", major),
            (None, None) => panic!("{addr} does not tell its version"),
        };
        Answerer { addr, target, known: HashMap::new() }
    }

    fn can_answer(&mut self, section: &Section) -> bool {
        let able = match (&self.target, &section.since) {
            (Target::Ochre, _) => true,
            (Target::Real(..), _) if section.only_ochre => false,
            (Target::Real(name, major), Some(since)) => {
                since.strip_prefix(name).and_then(|v| v.parse().ok()).is_some_and(|v: u32| *major >= v)
            }
            (Target::Real(..), None) => true,
        };
        able && section.needs.iter().all(|need| self.has(need))
    }

    /// Whether the server has a command, or the command that stands for a family.
    fn has(&mut self, need: &str) -> bool {
        if LACKING.contains(&need) {
            return matches!(self.target, Target::Real(..));
        }
        let command = match need {
            "list" => "rpush",
            "hash" => "hset",
            "set" => "sadd",
            "zset" => "zadd",
            "stream" => "xadd",
            "multi" => "multi",
            "script" => "eval",
            "pubsub" => "subscribe",
            "hyperloglog" => "pfadd",
            "geo" => "geoadd",
            "blocking" => "blpop",
            other => other,
        };
        if let Some(&known) = self.known.get(command) {
            return known;
        }
        let mut client = Client::connect(self.addr).expect("the server accepts connections");
        let reply = client.call(&["COMMAND", "INFO", command]).expect("COMMAND INFO is answered");
        let known = reply.members().and_then(<[_]>::first).is_some_and(|info| !info.is_null());
        self.known.insert(command.to_owned(), known);
        known
    }

    /// Runs a file; its text with the answers in place of expectations they do not meet, if there are such.
    fn replay_file(&mut self, path: &Path, tally: &mut Tally) -> Option<String> {
        let text = std::fs::read_to_string(path).expect("a transcript can be read");
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let transcript = match Transcript::parse(&text) {
            Ok(transcript) => transcript,
            Err(e) => {
                tally.failures.push(format!("tests/transcripts/{name}: {e}"));
                return None;
            }
        };
        let mut rewritten = Vec::new();
        for section in &transcript.sections {
            if !self.can_answer(section) {
                tally.skipped += 1;
                continue;
            }
            tally.ran += 1;
            let answers = self.replay(section).unwrap_or_else(|why| {
                let title = &section.title;
                tally
                    .failures
                    .push(format!("tests/transcripts/{name}: {title}\n  could not be run: {why}\n"));
                Vec::new()
            });
            for (step, got) in answers.into_iter().filter(|(step, got)| !agrees(&step.expected, got)) {
                tally.failures.push(failure(&name, section, step, &got));
                rewritten.push((step.line, got));
            }
        }
        (!rewritten.is_empty()).then(|| transcript.rewritten(&rewritten))
    }

    /// Runs a section; the steps that answer, each with what was answered. An error says why it could not be
    /// begun.
    fn replay<'a>(&self, section: &'a Section) -> Result<Vec<(&'a Step, Vec<String>)>, String> {
        let mut admin = Client::connect(self.addr).map_err(|e| format!("no connection: {e}"))?;
        let mut ask = |args: &[&str]| match admin.call(args) {
            Ok(Reply::Error(e)) => Err(format!("{}: {}", args.join(" "), String::from_utf8_lossy(&e))),
            Ok(reply) => Ok(reply),
            Err(e) => Err(format!("{}: {e}", args.join(" "))),
        };
        ask(&["FLUSHALL"])?;
        let mut before = Vec::new();
        for (name, value) in &section.config {
            let old = ask(&["CONFIG", "GET", name])?;
            let old = old.members().and_then(|m| m.get(1)).and_then(Reply::text).unwrap_or_default();
            before.push((name, old));
            ask(&["CONFIG", "SET", name, value])?;
        }
        let mut session = Session::open(self.addr, section.resp3)?;
        let mut answers = Vec::new();
        for step in &section.steps {
            let got = session.run(&step.action);
            if step.action.answers() {
                answers.push((step, got));
            }
        }
        for (name, old) in before {
            ask(&["CONFIG", "SET", name, &old])?;
        }
        Ok(answers)
    }
}

/// The connections of a section.
struct Session {
    addr: SocketAddr,
    resp3: bool,
    connections: HashMap<String, Connection>,
    current: String,
}

struct Connection {
    client: Client,
    protocol: u8,
}

impl Session {
    fn open(addr: SocketAddr, resp3: bool) -> Result<Session, String> {
        let mut session = Session { addr, resp3, connections: HashMap::new(), current: String::new() };
        session.switch(FIRST_CONNECTION)?;
        Ok(session)
    }

    fn switch(&mut self, name: &str) -> Result<(), String> {
        if !self.connections.contains_key(name) {
            let mut client = Client::connect(self.addr).map_err(|e| format!("no connection: {e}"))?;
            let mut protocol = 2;
            if self.resp3 {
                let hello = client.call(&["HELLO", "3"]).map_err(|e| format!("HELLO 3: {e}"))?;
                if hello.is_error() {
                    return Err(format!("HELLO 3: {}", hello.text().unwrap_or_default()));
                }
                protocol = 3;
            }
            self.connections.insert(name.to_owned(), Connection { client, protocol });
        }
        self.current = name.to_owned();
        Ok(())
    }

    fn run(&mut self, action: &Action) -> Vec<String> {
        match action {
            Action::Conn(name) => {
                // Without it the section goes on where it was, and its answers tell.
                if self.switch(name).is_err() {
                    self.connections.values_mut().for_each(|c| c.client.abandon());
                }
                return Vec::new();
            }
            Action::Sleep(ms) => {
                std::thread::sleep(Duration::from_millis(*ms));
                return Vec::new();
            }
            _ => {}
        }
        let connection = self.connections.get_mut(&self.current).expect("the current connection is open");
        let protocol = connection.protocol;
        let shown = match action {
            Action::Call { args, sort } => connection.client.call(args).map(|reply| {
                connection.note(args, &reply);
                show(&reply, connection.protocol, *sort)
            }),
            // What other connections do next comes after it.
            Action::Send(args) => connection.client.send(args).map(|()| {
                connection.client.until_received();
                std::thread::sleep(SETTLE);
                Vec::new()
            }),
            Action::Read => connection.client.read().map(|reply| show(&reply, protocol, None)),
            Action::Push => connection.client.read_push().map(|reply| show(&reply, protocol, None)),
            Action::Pushes => connection.client.pushes().map(|pushes| {
                let none = || vec!["(none)".to_owned()];
                if pushes.is_empty() { none() } else { pushes.iter().map(one_line).collect() }
            }),
            Action::Raw(bytes) => {
                connection.client.exchange_raw(bytes).map(|(raw, closed)| show_raw(&raw, closed))
            }
            Action::Conn(_) | Action::Sleep(_) => Ok(Vec::new()),
        };
        let error = match shown {
            Ok(lines) => return lines,
            Err(error) => error,
        };
        if is_closed(&error) {
            return vec!["(closed)".to_owned()];
        }
        // Replies and requests no longer belong together.
        connection.client.abandon();
        match is_silence(&error) {
            true => vec!["(silence)".to_owned()],
            false => vec![format!("(broken) {error}")],
        }
    }
}

impl Connection {
    /// Keeps up with commands that change the protocol.
    fn note(&mut self, args: &[Vec<u8>], reply: &Reply) {
        let is = |word: &str| args.first().is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()));
        if reply.is_error() {
            return;
        }
        if is("RESET") {
            self.protocol = 2;
        }
        match args.get(1).map(Vec::as_slice) {
            Some(b"2") if is("HELLO") => self.protocol = 2,
            Some(b"3") if is("HELLO") => self.protocol = 3,
            _ => {}
        }
    }
}

fn show(reply: &Reply, protocol: u8, sort: Option<Sort>) -> Vec<String> {
    let Some(members) = reply.members().filter(|m| !m.is_empty()) else {
        return render::lines(reply, protocol);
    };
    let mark = match reply {
        Reply::Set(_) => '~',
        Reply::Push(_) => '>',
        _ => ')',
    };
    match sort {
        None => render::lines(reply, protocol),
        Some(Sort::Whole) => {
            let mut items = render::rendered(members, protocol);
            items.sort();
            render::numbered(&items, mark)
        }
        Some(Sort::Member(which)) => {
            let items: Vec<Vec<String>> = members
                .iter()
                .enumerate()
                .map(|(i, m)| show(m, protocol, Some(Sort::Whole).filter(|_| i == which)))
                .collect();
            render::numbered(&items, mark)
        }
    }
}

/// A push of flat members as one line.
fn one_line(push: &Reply) -> String {
    let members = push.members().unwrap_or_default().iter();
    members.map(|it| render::lines(it, 3).join(" ")).collect::<Vec<_>>().join(" ")
}

/// Raw bytes as quoted lines.
fn show_raw(raw: &[u8], closed: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = raw;
    while !rest.is_empty() {
        let len = rest.windows(2).position(|w| w == b"\r\n").map_or(rest.len(), |i| i + 2);
        lines.push(words::quote(&rest[..len]));
        rest = &rest[len..];
    }
    if closed {
        lines.push("(closed)".into());
    }
    if lines.is_empty() {
        lines.push("(no reply)".into());
    }
    lines
}
