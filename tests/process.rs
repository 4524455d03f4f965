//! The program as scripts and supervisors know it: how it starts, what it prints, how it ends.
//!
//! For: src/main.rs, src/log.rs, src/server.rs. May touch: child processes of the built program, temporary
//! files.
//! Always: ports and directories are chosen by the system; every child is ended and waited for.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use support::client::is_closed;
use support::patience::until;
use support::program::{PROGRAM, Program, Running, Scratch, free_port, local, run, signal};
use support::{Client, Reply};

fn pong() -> Reply {
    Reply::Simple(b"PONG".to_vec())
}

// Starting.

#[test]
fn the_lines_of_a_start_come_in_the_order_scripts_wait_for() {
    for logo in ["yes", "no"] {
        let mut program = Program::start(&["--always-show-logo", logo]);
        let at = |text: &str| {
            let found: Vec<usize> =
                (0..program.lines.len()).filter(|&i| program.lines[i].contains(text)).collect();
            assert_eq!(found.len(), 1, "{text:?} once in {:#?}", program.lines);
            found[0]
        };
        let pid = at(&format!(" PID: {}", program.pid()));
        let initialized = at("* Server initialized");
        let ready = at("* Ready to accept connections tcp");
        assert!(pid < initialized && initialized < ready);
        let form = format!("{}:M ", program.pid());
        assert!(program.lines.iter().all(|line| line.starts_with(&form)), "{:#?}", program.lines);
        let mut inline = TcpStream::connect(local(program.port)).unwrap();
        inline.write_all(b"PING\r\n").unwrap();
        let mut reply = [0; 7];
        inline.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+PONG\r\n");
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0));
        assert!(program.lines.last().unwrap().contains("ready to exit, bye bye"), "{:#?}", program.lines);
        assert!(TcpStream::connect(local(program.port)).is_err());
    }
}

#[test]
fn a_busy_port_is_reported_and_ends_the_program() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["--port", &port, "--bind", "127.0.0.1"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("Failed listening on port {port} (tcp), aborting.")), "{text}");
    // Who waits for this line would wait for a server that is not there.
    assert!(!text.contains(" PID: "), "{text}");
    assert!(!text.contains("Server initialized"));
}

#[test]
fn a_server_that_would_listen_nowhere_does_not_start() {
    let output = run(&["--port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Configured to not listen anywhere, exiting."), "{text}");
}

#[test]
fn a_bad_configuration_is_reported_on_standard_error() {
    let scratch = Scratch::new();
    let file = scratch.file("bad.conf", "# fine\nport 0\n\nmaxclients many\n");
    let dir = scratch.path("none");
    let log = scratch.path("none/log");
    let unbalanced = scratch.file("quotes.conf", "dir \"open\n");
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["--nosuch", "1"],
            &["at line", ">>> 'nosuch \"1\"'", "Bad directive or wrong number of arguments"],
        ),
        (&["--port", "x"], &[">>> 'port \"x\"'", "argument couldn't be parsed into an integer"]),
        (&["--port", "6379", "6380"], &[">>> 'port \"6379\" \"6380\"'", "wrong number of arguments"]),
        (&["--appendfsync", "often"], &["argument(s) must be one of the following"]),
        (&["--replicaof", "host", "port"], &["Invalid primary port"]),
        (&[&file], &["at line 4", ">>> 'maxclients many'", "couldn't be parsed"]),
        (&[&unbalanced], &["at line 1", "Unbalanced quotes"]),
        (&["--dir", &dir], &["No such file or directory"]),
        (&["--logfile", &log], &["Can't open the log file: No such file or directory"]),
    ];
    for (args, texts) in cases {
        let output = run(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text.contains("*** FATAL CONFIG FILE ERROR (Version "), "{args:?}: {text}");
        texts.iter().for_each(|part| assert!(text.contains(part), "{args:?}: {part:?} in {text}"));
        assert!(output.stdout.is_empty());
    }
    let output = run(&[&scratch.path("missing.conf")]);
    assert_eq!(output.status.code(), Some(1));
    let both = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8(both).unwrap().contains("Fatal error, can't open config file '"));
}

#[test]
fn version_and_help_are_printed() {
    for flag in ["-v", "--version"] {
        let output = run(&[flag]);
        assert!(output.status.success() && output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.starts_with("Ochre server v=") && text.contains(" sha=") && text.contains(" bits=64"),
            "{text}"
        );
    }
    for flag in ["-h", "--help"] {
        let output = run(&[flag]);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("Usage: ochre-server"));
    }
}

#[test]
fn standard_input_may_hold_the_configuration() {
    let mut program = Program::launch(|port| {
        let mut command = Command::new(PROGRAM);
        let scratch = Scratch::new();
        let file = scratch.file("in.conf", &format!("port {port}\nrequirepass hush\n"));
        // The open file outlives its name.
        command.arg("-").stdin(Stdio::from(fs::File::open(file).unwrap()));
        command
    });
    assert_eq!(program.client().call(&["AUTH", "hush"]).unwrap(), Reply::Simple(b"OK".to_vec()));
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn options_win_over_the_file_and_the_file_may_include_others() {
    let scratch = Scratch::new();
    let more = scratch.file("more.conf", "requirepass from-the-include\ndatabases 3\n");
    let file = scratch
        .file("main.conf", &format!("port 1\ndatabases 2\ninclude {more}\nrequirepass from-the-file\n"));
    let program = Program::launch(|port| {
        let mut command = Command::new(PROGRAM);
        command.args([&file, "--port", &port.to_string(), "--requirepass from-the-options"]);
        command
    });
    let mut client = program.client();
    assert!(client.call(&["AUTH", "from-the-file"]).unwrap().is_error());
    assert!(client.call(&["AUTH", "from-the-include"]).unwrap().is_error());
    assert!(!client.call(&["AUTH", "from-the-options"]).unwrap().is_error());
    assert!(!client.call(&["SELECT", "2"]).unwrap().is_error());
    assert!(client.call(&["SELECT", "3"]).unwrap().is_error());
}

#[test]
fn it_starts_under_any_name_and_keeps_its_process() {
    let scratch = Scratch::new();
    let link = scratch.path("valkey-server");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
    for (program, name) in [(&*link, "valkey-server"), (PROGRAM, "redis-server"), (PROGRAM, "")] {
        let program = Program::launch(|port| {
            let mut command = Command::new(program);
            command.arg0(name).args(["--port", &port.to_string()]);
            command
        });
        assert!(program.has(&format!("PID: {}", program.pid())));
        assert_eq!(program.client().call(&["PING"]).unwrap(), pong());
    }
}

#[test]
fn a_unix_socket_alone_is_enough() {
    let scratch = Scratch::new();
    let path = scratch.path("only.sock");
    let mut program = Program::launch(|_| {
        let mut command = Command::new(PROGRAM);
        command.args(["--port", "0", "--unixsocket", &path, "--unixsocketperm", "700"]);
        command
    });
    assert!(program.has("* Ready to accept connections unix") && !program.has("connections tcp"));
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert!(!Path::new(&path).exists());
    assert!(program.has("Removing the unix socket file."));
    // After an end without goodbye the file is there, and in nobody's way.
    let again = |_| {
        let mut command = Command::new(PROGRAM);
        command.args(["--port", "0", "--unixsocket", &path]);
        command
    };
    let mut killed = Program::launch(again);
    killed.signal("KILL");
    killed.wait();
    assert!(Path::new(&path).exists());
    let mut both = Program::launch(|port| {
        let mut command = Command::new(PROGRAM);
        command.args(["--port", &port.to_string(), "--unixsocket", &path]);
        command
    });
    assert!(both.has("connections tcp") && both.wait_for("Ready to accept connections unix"));
    assert!(UnixStream::connect(&path).is_ok());
}

// Files.

#[test]
fn the_log_goes_to_its_file_and_follows_rotation() {
    let scratch = Scratch::new();
    let port = free_port();
    let dir = scratch.0.to_str().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args([
        "--port",
        &port.to_string(),
        "--dir",
        dir,
        "--logfile",
        "server.log",
        "--loglevel",
        "verbose",
    ]);
    let child = command.current_dir(&scratch.0).stdout(Stdio::piped()).spawn().unwrap();
    let mut program = Running(child);
    let log = scratch.path("server.log");
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    until("the line of a start", || read(&log).contains("Ready to accept connections tcp"));
    let moved = scratch.path("server.log.1");
    fs::rename(&log, &moved).unwrap();
    let before = read(&moved);
    // Something to log.
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\n").unwrap();
    until("the new file", || read(&log).contains("Possible SECURITY ATTACK detected"));
    assert_eq!(read(&moved), before);
    assert!(signal(program.0.id(), "TERM"));
    assert_eq!(program.0.wait().unwrap().code(), Some(0));
    assert!(read(&log).contains("bye bye"));
    let mut printed = String::new();
    program.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "", "with a log file nothing is printed");
}

#[test]
fn the_log_level_may_change_while_it_runs() {
    let mut program = Program::start(&["--loglevel", "notice"]);
    let offend = || {
        let mut stream = TcpStream::connect(local(program.port)).unwrap();
        stream.write_all(b"*x\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "-ERR Protocol error: invalid multibulk length\r\n");
    };
    offend();
    let mut client = program.client();
    assert!(!client.call(&["CONFIG", "SET", "loglevel", "verbose"]).unwrap().is_error());
    // The log follows a moment later.
    for _ in 0..20 {
        offend();
        thread::sleep(Duration::from_millis(5));
    }
    program.signal("TERM");
    program.wait();
    let told = program.lines.iter().filter(|line| line.contains(" - Protocol error from client")).count();
    assert!((1..=20).contains(&told), "{told} of 20 in {:#?}", program.lines);
}

#[test]
fn a_suspicious_request_is_told_of_once_a_minute() {
    let mut program = Program::start(&[]);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(local(program.port)).unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = Vec::new();
        // The server closes without reading to the end, which may count as a reset.
        let _ = stream.read_to_end(&mut text);
        assert_eq!(text, b"");
    }
    program.signal("TERM");
    program.wait();
    let told =
        program.lines.iter().filter(|line| line.contains("# Possible SECURITY ATTACK detected")).count();
    assert_eq!(told, 1, "{:#?}", program.lines);
}

#[test]
fn the_pid_file_holds_the_process_id_and_goes_with_it() {
    let scratch = Scratch::new();
    let path = scratch.path("server.pid");
    let mut program = Program::start(&["--pidfile", &path]);
    let is_written = || fs::read_to_string(&path).is_ok_and(|text| text == format!("{}\n", program.pid()));
    assert!(is_written(), "it is there when the program says that it is ready");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_no_obstacle() {
    let scratch = Scratch::new();
    let mut program = Program::start(&["--pidfile", &scratch.path("none/server.pid")]);
    assert_eq!(program.client().call(&["PING"]).unwrap(), pong());
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert!(program.has("Failed to write PID file"));
}

/// Starts a daemon with these arguments and this standard input, and answers its process id.
fn daemon(scratch: &Scratch, args: &[&str], input: &str) -> u32 {
    let pid_file = scratch.path("daemon.pid");
    let mut command = Command::new(PROGRAM);
    command.args(args).current_dir(&scratch.0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let parent = child.id();
    // The daemon has let go of the pipes, or this would wait for it.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let read = || fs::read_to_string(&pid_file).unwrap_or_default().trim().parse::<u32>().ok();
    until("the daemon's pid file", || read().is_some());
    let pid = read().unwrap();
    assert_ne!(pid, parent);
    pid
}

/// The numbers after the name in /proc/PID/stat: the state is first, the parent second.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_ascii_whitespace().map(str::to_string).collect())
}

fn has_ended(pid: u32) -> bool {
    // A zombie has ended; who is to collect it is not this test.
    stat(pid).is_none_or(|fields| fields[0] == "Z")
}

#[test]
fn a_daemon_leaves_its_starter_at_once_and_lives_in_a_session_of_its_own() {
    let scratch = Scratch::new();
    let port = free_port().to_string();
    let file = scratch.file("daemon.conf", "daemonize yes\nlogfile daemon.log\npidfile daemon.pid\n");
    let pid = daemon(&scratch, &[&file, "--port", &port], "");
    let session = &stat(pid).unwrap()[3];
    assert_eq!(*session, pid.to_string());
    let mut client = Client::connect(local(port.parse().unwrap())).unwrap();
    assert_eq!(client.call(&["PING"]).unwrap(), pong());
    assert!(signal(pid, "TERM"));
    until("the daemon's end", || has_ended(pid));
    assert!(fs::read_to_string(scratch.path("daemon.log")).unwrap().contains(&format!("PID: {pid}")));
    assert!(!Path::new(&scratch.path("daemon.pid")).exists());
}

#[test]
fn a_daemon_may_be_configured_by_standard_input() {
    let scratch = Scratch::new();
    let port = free_port();
    let input = format!("port {port}\ndaemonize yes\npidfile daemon.pid\nrequirepass hush\n");
    let pid = daemon(&scratch, &["-"], &input);
    let mut client = Client::connect(local(port)).unwrap();
    assert!(!client.call(&["AUTH", "hush"]).unwrap().is_error());
    assert!(signal(pid, "TERM"));
    until("the daemon's end", || has_ended(pid));
}

// Ending.

#[test]
fn signals_end_it_in_order_and_close_every_client() {
    for (name, text) in
        [("TERM", "Received SIGTERM scheduling shutdown"), ("INT", "Received SIGINT scheduling shutdown")]
    {
        let mut program = Program::start(&[]);
        let mut clients: Vec<Client> = (0..20).map(|_| program.client()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.call(&["PING"]).unwrap(), pong()));
        clients[0].send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nhalf").unwrap();
        program.signal(name);
        program.signal("CONT");
        assert_eq!(program.wait().code(), Some(0));
        for part in [text, "User requested shutdown", "bye bye"] {
            assert!(program.has(part), "{part} in {:#?}", program.lines);
        }
        clients.iter_mut().for_each(|client| assert!(is_closed(&client.read().unwrap_err())));
    }
}

#[test]
fn a_second_interrupt_ends_it_whatever_it_does() {
    for _ in 0..5 {
        let mut program = Program::start(&[]);
        program.signal("INT");
        // It may have ended in the meantime.
        signal(program.pid(), "INT");
        let status = program.wait();
        let insisted = program.has("You insist... exiting now.");
        assert_eq!(status.code(), Some(i32::from(insisted)), "{:#?}", program.lines);
    }
}

#[test]
fn signals_that_mean_nothing_to_it_do_not_end_it() {
    let mut program = Program::start(&[]);
    program.signal("HUP");
    program.signal("PIPE");
    program.signal("STOP");
    program.signal("CONT");
    assert_eq!(program.client().call(&["PING"]).unwrap(), pong());
    program.signal("KILL");
    assert_eq!(program.wait().signal(), Some(9));
}

#[test]
fn shutdown_ends_it_in_every_form_but_those_that_cannot_be() {
    let forms: [&[&str]; 5] = [
        &["SHUTDOWN"],
        &["SHUTDOWN", "NOSAVE"],
        &["shutdown", "now"],
        &["SHUTDOWN", "NOSAVE", "NOW", "FORCE"],
        &["SHUTDOWN", "SAVE", "FORCE"],
    ];
    for form in forms {
        let mut program = Program::start(&[]);
        let (mut client, mut other) = (program.client(), program.client());
        assert_eq!(other.call(&["PING"]).unwrap(), pong());
        assert!(client.call(&["SHUTDOWN", "ABORT"]).unwrap().is_error());
        assert!(client.call(&["SHUTDOWN", "NOSAVE", "SAVE"]).unwrap().is_error());
        assert!(client.call(&["SHUTDOWN", "LATER"]).unwrap().is_error());
        assert_eq!(client.call(&["PING"]).unwrap(), pong());
        assert!(
            is_closed(&client.call(form).unwrap_err()),
            "{form:?} is answered by the end of the connection"
        );
        assert!(is_closed(&other.read().unwrap_err()));
        assert_eq!(program.wait().code(), Some(0));
        assert!(program.has("User requested shutdown") && program.has("bye bye"));
    }
}

// Resources.

/// Clock ticks of processor time that it has used; there are 100 in a second.
fn cpu_ticks(pid: u32) -> u64 {
    let fields = stat(pid).expect("it runs");
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_server_with_nothing_to_do_does_nothing() {
    let program = Program::start(&["--io-threads", "2", "--client-output-buffer-limit", "normal 1gb 1gb 60"]);
    let raw = || TcpStream::connect(local(program.port)).unwrap();
    let mut idle: Vec<Client> = (0..20).map(|_| program.client()).collect();
    let big = vec![b'x'; 8 << 20];
    assert!(!idle[0].call(&[&b"SET"[..], b"big", &big]).unwrap().is_error());
    assert!(!idle[0].call(&["SET", "later", "1", "EX", "1000"]).unwrap().is_error());
    // Half a request, a half-read reply, a peer that has said all and reads no more.
    let mut half = raw();
    half.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nhalf").unwrap();
    let mut inline = raw();
    inline.write_all(&[b'x'; 30_000]).unwrap();
    let mut slow = raw();
    slow.write_all(&b"GET big\r\n".repeat(3)).unwrap();
    let mut deaf = raw();
    deaf.write_all(&b"GET big\r\n".repeat(3)).unwrap();
    deaf.shutdown(std::net::Shutdown::Write).unwrap();
    // Writers that wait for the end of a pause, one of them gone.
    idle[1].call(&["CLIENT", "PAUSE", "100000", "WRITE"]).unwrap();
    idle[2].send(&["SET", "k", "v"]).unwrap();
    let mut gone = raw();
    gone.write_all(b"SET k v\r\n").unwrap();
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    idle[3].call(&["PING"]).unwrap();
    thread::sleep(Duration::from_millis(100));
    let before = cpu_ticks(program.pid());
    thread::sleep(Duration::from_secs(1));
    let used = cpu_ticks(program.pid()) - before;
    assert!(used < 20, "{used} ticks in a second");
    assert_eq!(idle[3].call(&["PING"]).unwrap(), pong());
}

/// Whether it may be given huge pages; `None` where the system does not tell.
fn may_have_huge_pages(pid: u32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("THP_enabled:")).map(|value| value.trim() == "1")
}

#[test]
fn huge_pages_are_for_memory_that_grows() {
    let program = Program::start(&[]);
    let may = || may_have_huge_pages(program.pid());
    if may().is_none() {
        return;
    }
    assert_eq!(may(), Some(false));
    let (mut client, big) = (program.client(), vec![b'x'; 1 << 20]);
    let mut keys = (0..64).map(|key: u32| key.to_string());
    until("it may have them while it grows", || {
        let key = keys.next().expect("64 MB are enough");
        client.call(&[&b"SET"[..], key.as_bytes(), &big]).unwrap();
        may() == Some(true)
    });
    until("it may have no more when it has come to rest", || may() == Some(false));
}

#[test]
fn out_of_descriptors_it_goes_on_serving_and_recovers() {
    // maxclients is lowered to what the limit allows; a server that is not told so runs into the limit
    // itself.
    let mut program = Program::launch(|port| {
        let mut command = Command::new("sh");
        let line = format!("ulimit -n 60; exec {PROGRAM} --port {port} --io-threads 1");
        command.args(["-c", &line]);
        command
    });
    assert!(program.has("maxclients has been reduced to"), "{:#?}", program.lines);
    let mut first = program.client();
    assert_eq!(first.call(&["PING"]).unwrap(), pong());
    let mut others: Vec<Client> = Vec::new();
    let told = loop {
        let mut client = program.client();
        match client.call(&["PING"]).unwrap() {
            reply if reply == pong() => others.push(client),
            reply => break reply,
        }
    };
    assert_eq!(told, Reply::Error(b"ERR max number of clients reached".to_vec()));
    assert!(others.len() > 5, "{} clients found a place", others.len());
    assert_eq!(first.call(&["SET", "k", "v"]).unwrap(), Reply::Simple(b"OK".to_vec()));
    drop(others);
    let mut again = || program.client().call(&["PING"]).is_ok_and(|reply| reply == pong());
    until("a place", &mut again);
    // The limit below what is open already: nobody new can come in, everybody inside is served.
    let lowered =
        Command::new("prlimit").args(["--pid", &program.pid().to_string(), "--nofile=12:12"]).status();
    if lowered.is_ok_and(|status| status.success()) {
        let mut waiting = program.client();
        waiting.send(&["PING"]).unwrap();
        assert!(program.wait_for("Error accepting a client connection: Too many open files"));
        for _ in 0..100 {
            assert_eq!(first.call(&["GET", "k"]).unwrap(), Reply::Bulk(b"v".to_vec()));
        }
        drop(first);
    }
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn the_time_to_the_first_answer_is_shown() {
    let port = free_port();
    let began = fs::read_to_string("/proc/uptime").unwrap();
    let child =
        Command::new(PROGRAM).args(["--port", &port.to_string()]).stdout(Stdio::null()).spawn().unwrap();
    let mut program = Running(child);
    let mut tries = 0;
    let mut answered = || {
        tries += 1;
        Client::connect(local(port))
            .and_then(|mut client| client.call(&["PING"]))
            .is_ok_and(|reply| reply == pong())
    };
    while !answered() {
        thread::sleep(Duration::from_millis(1));
        assert!(program.0.try_wait().unwrap().is_none(), "it ended");
    }
    println!("first PONG after {tries} tries, 1 ms apart; uptime {} -> {}", began.trim(), uptime().trim());
}

fn uptime() -> String {
    fs::read_to_string("/proc/uptime").unwrap()
}

// Servers inside a program.

fn threads_of_servers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("ochre-")).count()
}

#[test]
fn servers_of_one_process_do_not_notice_each_other() {
    let build =
        || ochre::Server::builder().config("port", "0").config("bind", "127.0.0.1").config("io-threads", "2");
    let servers: Vec<ochre::Server> = (0..5)
        .map(|n| {
            build().config("requirepass", &format!("secret {n}")).config("databases", &(n + 1).to_string())
        })
        .map(|builder| builder.start().unwrap())
        .collect();
    let mut clients: Vec<Client> =
        servers.iter().map(|server| Client::connect(server.addr()).unwrap()).collect();
    let text = |reply: Reply| reply.text().unwrap();
    for (n, client) in clients.iter_mut().enumerate() {
        assert!(client.call(&["AUTH", &format!("secret {}", (n + 1) % 5)]).unwrap().is_error());
        assert!(!client.call(&["AUTH", &format!("secret {n}")]).unwrap().is_error());
        assert!(!client.call(&["SELECT", &n.to_string()]).unwrap().is_error());
        assert!(client.call(&["SELECT", &(n + 1).to_string()]).unwrap().is_error());
        assert!(!client.call(&["SET", "who", &n.to_string()]).unwrap().is_error());
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(text(client.call(&["GET", "who"]).unwrap()), n.to_string());
        assert_eq!(text(client.call(&["CLIENT", "LIST"]).unwrap()).lines().count(), 1);
    }
    let ids: std::collections::HashSet<&str> =
        servers.iter().map(|s| s.host().identity.run_id.as_str()).collect();
    assert_eq!(ids.len(), 5);
    // The end of one is the end of no other.
    let mut servers = servers.into_iter();
    servers.next().unwrap().shutdown();
    assert!(is_closed(&clients[0].call(&["PING"]).unwrap_err()));
    for client in &mut clients[1..] {
        assert_eq!(client.call(&["PING"]).unwrap(), pong());
    }
    // A request to shut down ends one that somebody waits for.
    let asked = servers.next().unwrap();
    let ask = asked.shutdown_request();
    let waiter = thread::spawn(move || asked.wait());
    ask();
    waiter.join().unwrap();
    ask();
    drop(servers);
    until("the end of every thread", || threads_of_servers() == 0);
}

#[test]
fn a_builder_says_in_one_line_what_is_wrong() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let cases = [
        (vec![("nosuch", "1")], "no directive is called 'nosuch'".to_string()),
        (vec![("maxclients", "many")], "maxclients \"many\": argument couldn't be parsed".to_string()),
        (
            vec![("port", "0"), ("bind", "999.0.0.1")],
            "Failed listening on port 0 (tcp), aborting.".to_string(),
        ),
        (
            vec![("port", &port), ("bind", "127.0.0.1")],
            format!("Failed listening on port {port} (tcp), aborting."),
        ),
        (
            vec![("port", "0"), ("unixsocket", "/nonexistent/x")],
            "Failed opening Unix socket: bind: ".to_string(),
        ),
    ];
    for (settings, text) in cases {
        let builder =
            settings.iter().fold(ochre::Server::builder(), |b, (name, value)| b.config(name, value));
        let error = builder.start().err().expect("it cannot start").to_string();
        assert!(error.starts_with(&text) && error.lines().count() == 1, "{error}");
    }
}
