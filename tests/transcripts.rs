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

/// The connection a section starts with.
const FIRST_CONNECTION: &str = "main";
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
    let mut failures = Vec::new();
    let (mut ran, mut skipped) = (0, 0);
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("a transcript can be read");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let transcript = match Transcript::parse(&text) {
            Ok(transcript) => transcript,
            Err(e) => {
                failures.push(format!("{name}: {e}"));
                continue;
            }
        };
        let mut rewritten = Vec::new();
        for section in &transcript.sections {
            if !server.can_answer(section) {
                skipped += 1;
                continue;
            }
            ran += 1;
            for (step, got) in server.replay(section) {
                if !agrees(&step.expected, &got) {
                    failures.push(failure(&name, section, step, &got));
                    rewritten.push((step.line, got));
                }
            }
        }
        if update && !rewritten.is_empty() {
            std::fs::write(&path, transcript.rewritten(&rewritten)).expect("a transcript can be written");
        }
    }
    if real.is_some() {
        clear(server.addr);
    }
    println!("{ran} sections ran, {skipped} skipped, {} steps differ", failures.len());
    if update {
        return;
    }
    assert!(failures.is_empty(), "{} steps differ:\n\n{}", failures.len(), failures.join("\n"));
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

    /// Runs a section; the steps that answer, each with what was answered.
    fn replay<'a>(&self, section: &'a Section) -> Vec<(&'a Step, Vec<String>)> {
        let mut admin = Client::connect(self.addr).expect("the server accepts connections");
        let mut ask = |args: &[&str]| admin.call(args).expect("the server answers between sections");
        ask(&["FLUSHALL"]);
        let mut before = Vec::new();
        for (name, value) in &section.config {
            let old = ask(&["CONFIG", "GET", name]);
            before
                .push((name, old.members().and_then(|m| m.get(1)).and_then(Reply::text).unwrap_or_default()));
            let set = ask(&["CONFIG", "SET", name, value]);
            assert!(!set.is_error(), "{}: CONFIG SET {name} {value}: {set:?}", section.title);
        }
        let mut session = Session::open(self.addr, section.resp3);
        let mut answers = Vec::new();
        for step in &section.steps {
            let got = session.run(&step.action);
            if step.action.answers() {
                answers.push((step, got));
            }
        }
        for (name, old) in before {
            ask(&["CONFIG", "SET", name, &old]);
        }
        answers
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
    fn open(addr: SocketAddr, resp3: bool) -> Session {
        let mut session = Session { addr, resp3, connections: HashMap::new(), current: String::new() };
        session.switch(FIRST_CONNECTION);
        session
    }

    fn switch(&mut self, name: &str) {
        self.current = name.to_owned();
        if self.connections.contains_key(name) {
            return;
        }
        let mut client = Client::connect(self.addr).expect("the server accepts connections");
        let mut protocol = 2;
        if self.resp3 {
            let hello = client.call(&["HELLO", "3"]).expect("HELLO is answered");
            assert!(!hello.is_error(), "HELLO 3: {hello:?}");
            protocol = 3;
        }
        self.connections.insert(name.to_owned(), Connection { client, protocol });
    }

    fn run(&mut self, action: &Action) -> Vec<String> {
        match action {
            Action::Conn(name) => {
                self.switch(name);
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
            Action::Send(args) => connection.client.send(args).map(|()| Vec::new()),
            Action::Read => connection.client.read().map(|reply| show(&reply, protocol, None)),
            Action::Push => connection.client.read_push().map(|reply| show(&reply, protocol, None)),
            Action::Raw(bytes) => {
                connection.client.exchange_raw(bytes).map(|(raw, closed)| show_raw(&raw, closed))
            }
            Action::Conn(_) | Action::Sleep(_) => Ok(Vec::new()),
        };
        shown.unwrap_or_else(|e| match () {
            () if is_closed(&e) => vec!["(closed)".to_owned()],
            () if is_silence(&e) => vec!["(silence)".to_owned()],
            () => vec![format!("(broken) {e}")],
        })
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
