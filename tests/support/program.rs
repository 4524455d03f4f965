//! The built program as a child process.
//!
//! For: tests of how it starts, what it prints, how it ends. May touch: child processes, temporary files.
//! Always: ports and directories are chosen by the system; every child is ended with its value.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::Client;

/// Where it was built.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ochre-server");

/// A directory of its own, removed with its value.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ochre-process-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_string()
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An address of this machine.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A process, killed with its value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that is ready.
pub struct Program {
    pub child: Running,
    pub out: BufReader<ChildStdout>,
    /// What it has printed so far.
    pub lines: Vec<String>,
    pub port: u16,
}

impl Program {
    /// Starts it on a free port with these arguments, and waits until it is ready.
    pub fn start(args: &[&str]) -> Program {
        Program::launch(|port| {
            let mut command = Command::new(PROGRAM);
            command.args(args).args(["--port", &port.to_string(), "--save", ""]);
            command
        })
    }

    /// Starts what `command` makes for a free port; again with another one if somebody else was quicker.
    pub fn launch(command: impl Fn(u16) -> Command) -> Program {
        for _ in 0..5 {
            let port = free_port();
            let mut command = command(port);
            command.stdout(Stdio::piped());
            let mut child = Running(command.spawn().expect("the program was built"));
            let out = BufReader::new(child.0.stdout.take().expect("it is a pipe"));
            let mut program = Program { child, out, lines: Vec::new(), port };
            if program.wait_for("Ready to accept connections") {
                return program;
            }
            let busy = program.lines.iter().any(|line| line.contains("Failed listening on port"));
            assert!(busy, "it did not start: {:#?}", program.lines);
        }
        panic!("no port stays free");
    }

    /// Reads until a line holds `text`; false when the output ends before.
    pub fn wait_for(&mut self, text: &str) -> bool {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                return false;
            }
            self.lines.push(line.trim_end().to_string());
            if line.contains(text) {
                return true;
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    pub fn client(&self) -> Client {
        Client::connect(local(self.port)).expect("the program accepts connections")
    }

    pub fn signal(&self, name: &str) {
        assert!(signal(self.pid(), name));
    }

    /// Waits for its end; its last lines are then in `lines`.
    pub fn wait(&mut self) -> ExitStatus {
        while !self.wait_for("\u{0}") && self.child.0.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        self.child.0.wait().unwrap()
    }

    pub fn has(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }
}

/// Sends a signal; false when the process is gone.
pub fn signal(pid: u32, name: &str) -> bool {
    Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::null()).output().expect("the program was built")
}
