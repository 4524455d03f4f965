//! Directives and what becomes of them.
//!
//! For: src/config/table.rs as a promise: a directive that is taken either means something or is said to mean
//! nothing; and directives about the process. May touch: the sources, as text; child processes of the built
//! program, temporary files.
//! Always: a row is judged by the code that is built, never by tests; every child is ended and waited for.

mod support;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ochre::config::{Flags, Kind, TABLE};
use support::Reply;
use support::patience::until;
use support::program::{PROGRAM, Program, Running, Scratch, run, signal};

/// Directives that decide about others, so that the config room itself is where they act.
const ACT_ON_CONFIGURATION: &[&str] = &["EnableProtectedConfigs"];

/// All Rust files below `folder`.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without its tests.
fn code(path: &Path) -> String {
    let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
    let text = if is_test { String::new() } else { fs::read_to_string(path).unwrap() };
    text.split("#[cfg(test)]\nmod ").next().unwrap().to_string()
}

/// The words that follow `front` in `text`.
fn words_after<'a>(text: &'a str, front: &str) -> impl Iterator<Item = &'a str> {
    let word = |rest: &'a str| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
    text.split(front).skip(1).map(word)
}

/// The directives that are read by code outside the config room, by name or through a function of
/// `Settings` that has one in it.
fn read_directives() -> HashSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.retain(|path| !path.starts_with(root.join("config")));
    let outside: String = paths.iter().map(|path| code(path)).collect();
    let mut read: HashSet<String> = words_after(&outside, "Directive::").map(str::to_string).collect();
    let asked: HashSet<&str> = words_after(&outside, "settings.").collect();
    let settings = code(&root.join("config/settings.rs"));
    for function in settings.split("    pub fn ").skip(1) {
        let name = function.split('(').next().unwrap();
        if asked.contains(name) {
            read.extend(words_after(function, "Directive::").map(str::to_string));
        }
    }
    let reader = code(&root.join("config/file.rs"));
    let statements = TABLE.iter().filter(|row| matches!(row.kind, Kind::Statement(..)));
    let handled = words_after(&reader, "Directive::").collect::<HashSet<_>>();
    let ids = statements.map(|row| format!("{:?}", row.directive));
    read.extend(ids.filter(|id| handled.contains(id.as_str())));
    read
}

#[test]
fn a_directive_is_used_or_said_to_have_no_effect() {
    let read = read_directives();
    assert!(read.len() > 50, "the sources are read in a wrong way: {read:?}");
    let is_silent = |id: &str| !read.contains(id) && !ACT_ON_CONFIGURATION.contains(&id);
    let silent: Vec<&str> = TABLE
        .iter()
        .filter(|row| !row.flags.contains(Flags::NO_EFFECT) && row.kind != Kind::Retired)
        .filter(|row| is_silent(&format!("{:?}", row.directive)))
        .map(|row| row.name)
        .collect();
    assert!(silent.is_empty(), "{} directives are taken and ignored silently: {silent:#?}", silent.len());
}

// What is said of directives without effect.

/// The lines about what has no effect, without their fronts.
fn remarks(lines: &[String]) -> Vec<String> {
    let about = |line: &&String| line.contains("has no effect") || line.contains("asks for");
    let marks = [" * ", " # "];
    let text = |line: &String| marks.iter().find_map(|mark| Some(line.split_once(mark)?.1.to_string()));
    lines.iter().filter(about).map(|line| text(line).unwrap()).collect()
}

#[test]
fn what_has_no_effect_is_said_at_the_start_and_by_config_set_once() {
    let mut program = Program::start(&[
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--rdbchecksum",
        "yes",
        "--user",
        "bob on nopass",
        "--user",
        "eve off",
        "--replicaof",
        "127.0.0.1 1",
        "--shutdown-on-sigterm",
        "save force",
    ]);
    let warning =
        |name| format!("Warning: the directive '{name}' has no effect in this version: do not rely on it");
    let note = |name| format!("The directive '{name}' has no effect in this version");
    let at_start = [
        warning("appendonly"),
        note("appendfsync"),
        warning("user"),
        warning("replicaof"),
        "Warning: 'shutdown-on-sigterm' asks for 'save', which is not possible in this version".to_string(),
    ];
    assert_eq!(remarks(&program.lines), at_start);
    program.lines.clear();
    let mut client = program.client();
    let mut set = |words: &[&str]| {
        let words: Vec<&str> = ["CONFIG", "SET"].iter().chain(words).copied().collect();
        assert_eq!(client.call(&words).unwrap(), Reply::Simple(b"OK".to_vec()), "{words:?}");
    };
    set(&["appendonly", "no", "repl-timeout", "61", "timeout", "5"]);
    set(&["repl-timeout", "62", "appendonly", "yes", "appendfsync", "no"]);
    set(&["save", "900 1", "maxmemory", "1gb"]);
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    let later = [note("repl-timeout"), warning("save"), warning("maxmemory")];
    assert_eq!(remarks(&program.lines), later);
    assert!(program.has("Saving is not possible in this version: the server ends without it."));
}

#[test]
fn a_server_that_is_not_told_to_save_nothing_says_that_it_does() {
    let mut command = Command::new(PROGRAM);
    command.args(["--port", "0", "--unixsocket", ""]);
    let out = command.output().unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(str::to_string).collect();
    let text = "Warning: the directive 'save' has no effect in this version: do not rely on it";
    assert_eq!(remarks(&lines), [text]);
}

// The process.

#[test]
fn the_unix_socket_belongs_to_the_group() {
    let scratch = Scratch::new();
    let groups = fs::read_to_string("/etc/group").unwrap();
    let own = fs::metadata(&scratch.0).unwrap().gid();
    let mut named = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse::<u32>().ok()?))
    });
    // Only the superuser may give a file to a group that is not its own.
    let is_superuser = own == 0;
    let (name, number) = named.find(|(_, number)| is_superuser ^ (*number == own)).unwrap();
    let path = scratch.path("socket");
    let program =
        Program::start(&["--unixsocket", &path, "--unixsocketgroup", name, "--unixsocketperm", "770"]);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.gid(), metadata.permissions().mode() & 0o777), (number, 0o770));
    drop(program);
    let out = run(&["--port", "0", "--unixsocket", &path, "--unixsocketgroup", "no such group"]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(
        text.contains("# Failed opening Unix socket: getgrnam error for group 'no such group': "),
        "{text}"
    );
}

/// What the kernel has as the score of a process.
fn oom_score(pid: u32) -> i64 {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
}

#[test]
fn the_oom_score_follows_the_configuration() {
    let base = oom_score(std::process::id());
    let program = Program::start(&["--oom-score-adj", "yes", "--oom-score-adj-values", "10 20 30"]);
    assert_eq!(oom_score(program.pid()), base + 10);
    let mut client = program.client();
    let ok = Reply::Simple(b"OK".to_vec());
    let mut set = |name: &str, value: &str| client.call(&["CONFIG", "SET", name, value]).unwrap();
    assert_eq!(set("oom-score-adj-values", "15 25 35"), ok);
    assert_eq!(oom_score(program.pid()), base + 15);
    assert_eq!(set("oom-score-adj", "no"), ok);
    assert_eq!(oom_score(program.pid()), base);
    let values = format!("{} 900 900", base + 16);
    assert_eq!(set("oom-score-adj-values", &values), ok);
    assert_eq!(oom_score(program.pid()), base);
    assert_eq!(set("oom-score-adj", "absolute"), ok);
    assert_eq!(oom_score(program.pid()), base + 16);
    // A process without the privilege for it may not go below what it had at first.
    let answer = set("oom-score-adj-values", "-1000 -1000 -1000");
    if answer == ok {
        assert_eq!(oom_score(program.pid()), -1000);
        return;
    }
    let text = "ERR CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - \
                Failed to set current oom_score_adj. Check server logs.";
    assert_eq!(answer, Reply::Error(text.into()));
    assert_eq!(oom_score(program.pid()), base + 16);
    let kept = client.call(&["CONFIG", "GET", "oom-score-adj-values"]).unwrap();
    let value = kept.members().and_then(|words| words.last()?.text());
    assert_eq!(value, Some(values));
}

#[test]
fn a_broken_server_exits_or_aborts_as_told() {
    for (value, how) in [("no", (None, Some(6))), ("yes", (Some(1), None))] {
        let mut program = Program::start(&["--enable-debug-command", "yes", "--use-exit-on-panic", value]);
        // The end of the connection is the answer.
        let _ = program.client().call(&["DEBUG", "PANIC"]);
        let status = program.wait();
        assert_eq!((status.code(), status.signal()), how);
    }
}

#[test]
fn lines_have_the_form_that_is_asked_for_and_follow_config_set() {
    let mut program = Program::start(&["--log-format", "logfmt", "--log-timestamp-format", "milliseconds"]);
    let front = format!("pid={} role=primary timestamp=\"1", program.pid());
    assert!(program.lines.iter().all(|line| line.starts_with(&front)), "{:#?}", program.lines);
    let last = program.lines.last().unwrap();
    assert!(last.ends_with("\" level=notice message=\"Ready to accept connections tcp\""), "{last}");
    let mut client = program.client();
    let pairs = ["CONFIG", "SET", "log-format", "json", "log-timestamp-format", "iso8601"];
    assert_eq!(client.call(&pairs).unwrap(), Reply::Simple(b"OK".to_vec()));
    program.signal("TERM");
    program.wait();
    let last = program.lines.last().unwrap();
    assert!(last.starts_with(&format!("{{\"pid\":{},\"role\":\"primary\",\"timestamp\":\"2", program.pid())));
    assert!(last.contains("\"level\":\"warning\",\"message\":\"Ochre is now ready"), "{last}");
}

/// The value of a field of INFO.
fn supervised(program: &Program) -> String {
    let info = program.client().call(&["INFO", "server"]).unwrap().text().unwrap();
    info.lines().find_map(|line| line.strip_prefix("process_supervised:")).unwrap().to_string()
}

#[test]
fn systemd_is_told_of_start_and_end() {
    for mode in ["systemd", "auto"] {
        let scratch = Scratch::new();
        let path = scratch.path("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let mut program = Program::launch(|port| {
            let mut command = Command::new(PROGRAM);
            // A supervised server does not leave its place.
            command.args(["--port", &port.to_string(), "--supervised", mode, "--daemonize", "yes"]);
            command.env("NOTIFY_SOCKET", &path).env_remove("UPSTART_JOB");
            command
        });
        let heard = || {
            let mut message = [0; 200];
            let length = systemd.recv(&mut message).unwrap();
            String::from_utf8_lossy(&message[..length]).into_owned()
        };
        let mut said = heard();
        assert_eq!(said, "STATUS=Ochre is loading...\n");
        // Once more for each that has found its port taken.
        while said == "STATUS=Ochre is loading...\n" {
            said = heard();
        }
        assert_eq!(said, "STATUS=Ready to accept connections\n");
        assert_eq!(heard(), "READY=1\n");
        assert_eq!(supervised(&program), "systemd");
        program.signal("TERM");
        assert_eq!(heard(), "STOPPING=1\n");
        assert_eq!(program.wait().code(), Some(0));
    }
}

#[test]
fn without_a_supervisor_the_server_runs_by_itself() {
    for (mode, line) in [
        ("systemd", Some("# systemd supervision error: NOTIFY_SOCKET not found!")),
        ("upstart", Some("# upstart supervision requested, but UPSTART_JOB not found!")),
        ("auto", None),
    ] {
        let program = Program::launch(|port| {
            let mut command = Command::new(PROGRAM);
            command.args(["--port", &port.to_string(), "--supervised", mode]);
            command.env_remove("NOTIFY_SOCKET").env_remove("UPSTART_JOB");
            command
        });
        let about: Vec<_> = program.lines.iter().filter(|line| line.contains("supervis")).collect();
        assert_eq!(about.len(), usize::from(line.is_some()), "{about:?}");
        assert!(about.iter().all(|found| line.is_some_and(|line| found.ends_with(line))), "{about:?}");
        assert_eq!(supervised(&program), "no");
    }
}

#[test]
fn upstart_sees_the_server_stop_and_lets_it_go_on() {
    let scratch = Scratch::new();
    let path = scratch.path("out");
    let mut command = Command::new(PROGRAM);
    command.args(["--port", "0", "--unixsocket", &scratch.path("socket"), "--supervised", "auto"]);
    command.env("UPSTART_JOB", "ochre").stdout(fs::File::create(&path).unwrap());
    let mut child = Running(command.spawn().unwrap());
    let pid = child.0.id();
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    until("it has stopped itself", || stat().contains(") T "));
    let said = fs::read_to_string(&path).unwrap();
    assert!(
        said.contains("* supervised by upstart, will stop to signal readiness.") && !said.contains("Ready")
    );
    signal(pid, "CONT");
    until("it is ready", || fs::read_to_string(&path).unwrap().contains("Ready to accept"));
    signal(pid, "TERM");
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}
