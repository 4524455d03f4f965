//! Whether client libraries of other languages get on with the server.
//!
//! For: the scripts in tests/clients, each against a server of its own. May touch: child processes, sockets.
//! Always: a library that is not installed is left out with a line that says so, and fails the test only
//! where OCHRE_CLIENTS=all asks for every one of them.
//!
//! OCHRE_PYTHON names an interpreter that has redis-py and Django (default `python3`); ioredis and BullMQ are
//! looked for where node looks, so NODE_PATH can name a directory of packages.

mod support;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Looks at a script, 20 ms apart, before it counts as hung.
const TRIES: usize = 6_000;

fn python() -> String {
    std::env::var("OCHRE_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

#[test]
fn redis_py_drives_every_family_in_both_protocols() {
    if is_installed("redis-py", &python(), "import redis") {
        run(&python(), "families.py", &["2"]);
        run(&python(), "families.py", &["3"]);
    }
}

#[test]
fn ioredis_drives_every_family_in_both_protocols() {
    if is_installed("ioredis", "node", "require('ioredis')") {
        run("node", "families.js", &["2"]);
        run("node", "families.js", &["3"]);
    }
}

#[test]
fn django_keeps_its_cache_and_its_sessions() {
    if is_installed("Django", &python(), "import django, redis") {
        run(&python(), "django_backends.py", &[]);
    }
}

#[test]
fn bullmq_works_through_its_queues() {
    if is_installed("BullMQ", "node", "require('bullmq'); require('ioredis')") {
        run("node", "bullmq.js", &[]);
    }
}

/// Whether an interpreter is there and can load a library.
fn is_installed(library: &str, interpreter: &str, import: &str) -> bool {
    let flag = if interpreter == "node" { "-e" } else { "-c" };
    let output = Command::new(interpreter).args([flag, import]).stdin(Stdio::null()).output();
    let is_there = output.is_ok_and(|output| output.status.success());
    if !is_there {
        let wanted = std::env::var("OCHRE_CLIENTS").is_ok_and(|which| which == "all");
        assert!(!wanted, "{library} is not installed for {interpreter}, and OCHRE_CLIENTS=all asks for it");
        eprintln!("skipped: {library} is not installed for {interpreter}");
    }
    is_there
}

/// Runs a script with the port of a server of its own; it has to end well and to say so.
fn run(interpreter: &str, script: &str, args: &[&str]) {
    let Some(server) = support::server() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let child = Command::new(interpreter)
        .arg(path)
        .arg(server.addr().port().to_string())
        .args(args)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("an interpreter that answered a moment ago starts");
    let output = ended(child, script);
    let told = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.is_empty(), "{script} {args:?}:\n{told}{complaints}");
    println!("{}", told.trim_end());
}

/// What a script said, once it has ended. Scripts say too little to fill a pipe.
fn ended(mut child: Child, script: &str) -> Output {
    for _ in 0..TRIES {
        if child.try_wait().expect("a child can be asked").is_some() {
            return child.wait_with_output().expect("an ended child's words can be read");
        }
        sleep(Duration::from_millis(20));
    }
    // Fails only when it has just ended by itself.
    let _ = child.kill();
    let output = child.wait_with_output().expect("a killed child's words can be read");
    panic!("{script} does not end:\n{}", String::from_utf8_lossy(&output.stderr));
}
