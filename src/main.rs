//! The process `ochre-server`: command line, log, signals.

use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use ochre::config::{self, Build, CommandLine, Directive, Disk, Files, Invocation, Loaded, Remark, Settings};
use ochre::supervise::Supervisor;
use ochre::{Server, log};
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: ochre::memory::Counting = ochre::memory::Counting;

/// Tells a process that it is the one that stays behind under `daemonize yes`.
const DETACHED: &str = "OCHRE_DETACHED";
/// Descriptors of the process besides those of clients and workers.
const OWN_DESCRIPTORS: u64 = 32;
/// Descriptors of a worker besides those of its clients.
const WORKER_DESCRIPTORS: u64 = 8;

/// Data in use from which on huge pages pay.
const HUGE_FROM_BYTES: usize = 4 * 1024 * 1024;

fn main() -> ExitCode {
    ochre::memory::huge_pages_from(HUGE_FROM_BYTES);
    let build = Build { version: ochre::VERSION, commit: "00000000", id: "0", allocator: "mimalloc" };
    let args: Vec<Vec<u8>> = std::env::args_os().skip(1).map(OsStringExt::into_vec).collect();
    match config::parse(&args, build) {
        CommandLine::Print(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        CommandLine::Refuse(text) => {
            eprint!("{text}");
            ExitCode::FAILURE
        }
        CommandLine::Run(invocation) => run(&invocation),
    }
}

fn run(invocation: &Invocation) -> ExitCode {
    let mut files = Inputs::default();
    let mut loaded = match config::load(invocation, &mut files) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprint!("{}", error.report(ochre::REDIS_VERSION));
            return ExitCode::FAILURE;
        }
    };
    let mut supervisor = Supervisor::find(loaded.settings.choice(Directive::Supervised));
    // A supervisor looks after the process that it started.
    if loaded.settings.bool(Directive::Daemonize) && supervisor.name() == "no" {
        if std::env::var_os(DETACHED).is_none() {
            return detach(&files.stdin);
        }
        // Away from the terminal. It fails only where this process leads a session already.
        let _ = rustix::process::setsid();
    }
    let dir = text(&loaded.settings, Directive::Dir);
    if let Err(error) = std::env::set_current_dir(&dir) {
        eprintln!("Can't chdir to '{dir}': {error}");
        return ExitCode::FAILURE;
    }
    let Ok(log) = log::install() else { unreachable!("nothing was installed before") };
    set_form(&log, &loaded.settings);
    let file = text(&loaded.settings, Directive::LogFile);
    if let Err(error) = log.set_file(&file) {
        eprintln!("Can't open the log file '{file}': {error}");
        return ExitCode::FAILURE;
    }
    supervisor.greet();
    greet(&loaded);
    make_room_for_clients(&mut loaded.settings);
    start(loaded, log, supervisor)
}

/// What is logged, and how.
fn set_form(log: &log::Handle, settings: &Settings) {
    log.set_level(settings.choice(Directive::LogLevel));
    log.set_format(settings.choice(Directive::LogFormat), settings.choice(Directive::LogTimestampFormat));
}

/// The lines of a start, as scripts wait for them.
fn greet(loaded: &Loaded) {
    let pid = std::process::id();
    tracing::info!("oO0OoO0OoO0Oo Ochre is starting oO0OoO0OoO0Oo");
    tracing::info!(
        "Ochre version={}, Redis version={}, bits=64, pid={pid}, just started",
        ochre::VERSION,
        ochre::REDIS_VERSION
    );
    match &loaded.config_file {
        Some(_) => tracing::info!("Configuration loaded"),
        None => tracing::warn!("Warning: no config file specified, using the default config."),
    }
    loaded.notes.iter().for_each(Remark::log);
}

/// The line with the process's number. Scripts take it for the word that the port was free.
fn introduce(port: i64, shows_logo: bool) {
    let pid = std::process::id();
    if shows_logo {
        tracing::info!(
            "Ochre {} (compatible with Redis {}) Port: {port} PID: {pid}",
            ochre::VERSION,
            ochre::REDIS_VERSION
        );
    } else {
        tracing::info!("Running mode=standalone, port={port}. PID: {pid}");
    }
}

fn start(loaded: Loaded, log: log::Handle, supervisor: Supervisor) -> ExitCode {
    let pid_file = pid_file(&loaded.settings);
    let executable =
        std::env::current_exe().map_or_else(|_| "ochre-server".into(), |p| p.display().to_string());
    // Held by who ends the process.
    let end = Arc::new(Mutex::new(()));
    let started = watch_signals(Arc::clone(&end));
    let write_to = pid_file.clone();
    let port = loaded.settings.int(Directive::Port);
    let shows_logo = loaded.settings.bool(Directive::AlwaysShowLogo);
    let builder = Server::builder().loaded(loaded).executable(&executable).on_bound(move || {
        introduce(port, shows_logo);
        if let Some(path) = &write_to
            && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
        {
            tracing::warn!("Failed to write PID file: {error}");
        }
    });
    let supervisor = Arc::new(supervisor);
    let told = Arc::clone(&supervisor);
    let builder = builder.supervised(supervisor.name()).on_stopping(move || told.stopping());
    let server = builder.on_reconfigure(move |settings| {
        allow_descriptors(descriptors_wanted(settings));
        set_form(&log, settings);
        if let Err(error) = log.set_file(&text(settings, Directive::LogFile)) {
            tracing::warn!("Can't open the log file: {error}");
        }
    });
    let server = match server.start() {
        Ok(server) => server,
        Err(error) => {
            tracing::warn!("{error}");
            return ExitCode::FAILURE;
        }
    };
    supervisor.ready();
    // Nobody takes it when signals are not watched.
    let _ = started.send(Box::new(server.signalled()));
    server.wait();
    // It ends by itself: who insists from here on comes too late.
    std::mem::forget(end.lock());
    if let Some(path) = pid_file {
        tracing::info!("Removing the pid file.");
        // It may be gone already.
        let _ = std::fs::remove_file(path);
    }
    tracing::warn!("Ochre is now ready to exit, bye bye...");
    ExitCode::SUCCESS
}

/// Descriptors that `maxclients` clients and the server itself may need.
fn descriptors_wanted(settings: &Settings) -> u64 {
    let workers = match settings.int(Directive::IoThreads) {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        n => n as u64,
    };
    settings.int(Directive::MaxClients) as u64 + OWN_DESCRIPTORS + workers * WORKER_DESCRIPTORS
}

/// Raises the limit of descriptors as far as the system lets us; what it is then.
fn allow_descriptors(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let (current, maximum) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let new = wanted.min(maximum);
    if current >= new {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(new), maximum: limit.maximum }) {
        Ok(()) => new,
        Err(_) => current,
    }
}

/// Raises the limit of descriptors for `maxclients`, or lowers `maxclients` to what the limit allows, so that
/// a client too many is told so.
fn make_room_for_clients(settings: &mut Settings) {
    let wanted = descriptors_wanted(settings);
    let limit = allow_descriptors(wanted);
    if limit >= wanted {
        return;
    }
    let asked = settings.int(Directive::MaxClients);
    let possible = (asked as u64).saturating_sub(wanted - limit).max(1);
    let assigned = settings.assign(Directive::MaxClients, &[possible.to_string().as_bytes()]);
    debug_assert!(assigned.is_ok(), "one is the least that maxclients takes");
    tracing::warn!(
        "{limit} files may be open, too few for {asked} clients: maxclients has been reduced to {possible}. \
         Increase 'ulimit -n' for more."
    );
}

/// Where the process id is written: where the configuration says, or for a daemon Redis's usual place.
fn pid_file(settings: &Settings) -> Option<String> {
    let path = text(settings, Directive::PidFile);
    match (path.is_empty(), settings.bool(Directive::Daemonize)) {
        (false, _) => Some(path),
        (true, true) => Some("/var/run/redis.pid".to_string()),
        (true, false) => None,
    }
}

fn text(settings: &Settings, directive: Directive) -> String {
    String::from_utf8_lossy(settings.text(directive)).into_owned()
}

/// Asks the server to shut down as a directive for a signal says.
type Ask = Box<dyn Fn(Directive) + Send>;

/// SIGTERM and SIGINT ask for a shutdown, from now on and at the latest when the server has started, which is
/// told through the channel; a second SIGINT ends the process at once, unless somebody holds its `end`.
fn watch_signals(end: Arc<Mutex<()>>) -> oneshot::Sender<Ask> {
    let (started, server) = oneshot::channel::<Ask>();
    let (ready, is_ready) = mpsc::channel();
    let watch = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let kinds = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            );
            let (Ok(mut term), Ok(mut int), Ok(mut hup)) = kinds else { return };
            // The main thread waits for this, or for its end.
            let _ = ready.send(());
            let Ok(ask) = server.await else { return };
            let mut asked = false;
            loop {
                let directive = tokio::select! {
                    _ = term.recv() => {
                        tracing::warn!("Received SIGTERM scheduling shutdown...");
                        Directive::ShutdownOnSigterm
                    }
                    _ = int.recv() => {
                        tracing::warn!("Received SIGINT scheduling shutdown...");
                        if asked {
                            let _held = end.lock();
                            tracing::warn!("You insist... exiting now.");
                            std::process::exit(1);
                        }
                        asked = true;
                        Directive::ShutdownOnSigint
                    }
                    _ = hup.recv() => continue,
                };
                tracing::warn!("User requested shutdown...");
                ask(directive);
            }
        });
    };
    let spawned = std::thread::Builder::new().name("ochre-signals".into()).spawn(watch);
    if spawned.is_err() || is_ready.recv().is_err() {
        tracing::warn!("Signals are not watched: the system has no thread or descriptor for that");
    }
    started
}

/// The file system, and what was read from standard input, which cannot be read twice.
#[derive(Default)]
struct Inputs {
    stdin: Vec<u8>,
}

impl Files for Inputs {
    fn read(&mut self, base: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
        Disk.read(base, path)
    }

    fn read_stdin(&mut self) -> io::Result<Vec<u8>> {
        self.stdin = Disk.read_stdin()?;
        Ok(self.stdin.clone())
    }

    fn matching(&mut self, base: &[u8], pattern: &[u8]) -> Vec<Vec<u8>> {
        Disk.matching(base, pattern)
    }

    fn directory(&mut self, base: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
        Disk.directory(base, path)
    }

    fn try_append(&mut self, base: &[u8], path: &[u8]) -> io::Result<()> {
        Disk.try_append(base, path)
    }
}

/// `daemonize yes`: starts the same program again in a session of its own, and ends this one. Forking in
/// place would need a process without threads.
fn detach(stdin: &[u8]) -> ExitCode {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    let program = std::env::current_exe().unwrap_or_else(|_| "ochre-server".into());
    let mut command = Command::new(program);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command.args(std::env::args_os().skip(1)).env(DETACHED, "1");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = command.spawn().and_then(|mut child| match child.stdin.take() {
        // It asks for it only if we did.
        Some(_) if stdin.is_empty() => Ok(()),
        Some(mut pipe) => pipe.write_all(stdin),
        None => Ok(()),
    });
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; then nobody can be told.
            let _ = writeln!(std::io::stderr(), "Can't start in the background: {error}");
            ExitCode::FAILURE
        }
    }
}
