//! The process `ochre-server`: command line, log, signals.

use std::io::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use ochre::config::{self, Build, CommandLine, Directive, Disk, Invocation, Loaded, Settings};
use ochre::{Server, log};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: ochre::memory::Counting = ochre::memory::Counting;

/// Tells a process that it is the one that stays behind under `daemonize yes`.
const DETACHED: &str = "OCHRE_DETACHED";

fn main() -> ExitCode {
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
    let loaded = match config::load(invocation, &mut Disk) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprint!("{}", error.report(ochre::REDIS_VERSION));
            return ExitCode::FAILURE;
        }
    };
    if loaded.settings.bool(Directive::Daemonize) && std::env::var_os(DETACHED).is_none() {
        return detach();
    }
    let dir = text(&loaded.settings, Directive::Dir);
    if let Err(error) = std::env::set_current_dir(&dir) {
        eprintln!("Can't chdir to '{dir}': {error}");
        return ExitCode::FAILURE;
    }
    let Ok(log) = log::install() else { unreachable!("nothing was installed before") };
    log.set_level(loaded.settings.choice(Directive::LogLevel));
    let file = text(&loaded.settings, Directive::LogFile);
    if let Err(error) = log.set_file(&file) {
        eprintln!("Can't open the log file '{file}': {error}");
        return ExitCode::FAILURE;
    }
    greet(&loaded);
    start(loaded, log)
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
    let port = loaded.settings.int(Directive::Port);
    if loaded.settings.bool(Directive::AlwaysShowLogo) {
        tracing::info!(
            "Ochre {} (compatible with Redis {}) Port: {port} PID: {pid}",
            ochre::VERSION,
            ochre::REDIS_VERSION
        );
    } else {
        tracing::info!("Running mode=standalone, port={port}. PID: {pid}");
    }
    loaded.notes.iter().for_each(|note| tracing::info!("{note}"));
}

fn start(loaded: Loaded, log: log::Handle) -> ExitCode {
    let pid_file = pid_file(&loaded.settings);
    let executable =
        std::env::current_exe().map_or_else(|_| "ochre-server".into(), |p| p.display().to_string());
    let follow = log.clone();
    let server = Server::builder().loaded(loaded).executable(&executable).on_reconfigure(move |settings| {
        follow.set_level(settings.choice(Directive::LogLevel));
        if let Err(error) = follow.set_file(&text(settings, Directive::LogFile)) {
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
    if let Some(path) = &pid_file
        && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
    {
        tracing::warn!("Failed to write PID file: {error}");
    }
    watch_signals(&server);
    server.wait();
    if let Some(path) = pid_file {
        tracing::info!("Removing the pid file.");
        // It may be gone already.
        let _ = std::fs::remove_file(path);
    }
    tracing::warn!("Ochre is now ready to exit, bye bye...");
    ExitCode::SUCCESS
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

/// SIGTERM and SIGINT ask for a shutdown; a second SIGINT ends the process at once.
fn watch_signals(server: &Server) {
    let request = server.shutdown_request();
    let watch = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let kinds = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            );
            let (Ok(mut term), Ok(mut int), Ok(mut hup)) = kinds else { return };
            let mut asked = false;
            loop {
                tokio::select! {
                    _ = term.recv() => tracing::warn!("Received SIGTERM scheduling shutdown..."),
                    _ = int.recv() => {
                        tracing::warn!("Received SIGINT scheduling shutdown...");
                        if asked {
                            tracing::warn!("You insist... exiting now.");
                            std::process::exit(1);
                        }
                        asked = true;
                    }
                    _ = hup.recv() => continue,
                }
                tracing::warn!("User requested shutdown...");
                request();
            }
        });
    };
    if let Err(error) = std::thread::Builder::new().name("ochre-signals".into()).spawn(watch) {
        tracing::warn!("Signals are not watched: {error}");
    }
}

/// `daemonize yes`: starts the same program again in a session of its own, and ends this one. Forking in
/// place would need a process without threads.
fn detach() -> ExitCode {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    let program = std::env::current_exe().unwrap_or_else(|_| "ochre-server".into());
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(DETACHED, "1").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; then nobody can be told.
            let _ = writeln!(std::io::stderr(), "Can't start in the background: {error}");
            ExitCode::FAILURE
        }
    }
}
