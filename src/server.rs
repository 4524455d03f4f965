//! The server: wiring, start and ordered shutdown.
//!
//! For: making a server out of its rooms, and ending it. May touch: every room.
//! Always: nothing of a server is global; several live in one process. Shutdown goes backwards: listeners,
//! connections, workers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::client::monitors::Monitors;
use crate::client::tracking::Trackers;
use crate::client::{ClientKind, Clients};
use crate::clock::{Chance, Clock, Ticks, entropy_seed};
use crate::command::cx::{Host, Identity, Request};
use crate::command::table::Table;
use crate::commands::FAMILIES;
use crate::config::{Class, Directive, Loaded, Remark, Remarked, Settings, Statement};
use crate::keyspace::Space;
use crate::keyspace::log::CommitLog;
use crate::net::listen::{self, Doors, Listener};
use crate::net::wake::{Desk, Desks, Mail};
use crate::net::worker::Place;
use crate::observe::Observe;
use crate::observe::oom::OomScore;
use crate::observe::stats::add;
use crate::pubsub::Channels;
use crate::reclaim::Reclaim;

/// Threads besides the workers that may enter the gate: the main thread and the embedding program.
pub const OUTSIDERS: usize = 2;
/// Stack of a worker's thread, in bytes; only what is used takes memory. Lua's own limits on nesting, and
/// ours on its patterns, stay far below it.
const WORKER_STACK: usize = 16 << 20;
/// The house keeps its timers at this pace.
const HOUSE_MS: u64 = 100;
/// A worker that has read nothing for this many ticks of the house gives freed memory back.
const TIDY_TICKS: u32 = 10;

/// Looks at settings that have come into force.
type Follower = Box<dyn Fn(&Settings) + Send>;

/// Makes a server.
#[derive(Default)]
pub struct Builder {
    directives: Vec<(String, String)>,
    loaded: Option<Loaded>,
    seed: Option<u64>,
    executable: String,
    supervised: Option<&'static str>,
    on_bound: Option<Box<dyn FnOnce() + Send>>,
    on_stopping: Option<Box<dyn FnOnce() + Send>>,
    on_reconfigure: Option<Follower>,
}

impl Builder {
    /// Sets a directive, as a line of redis.conf does: `.config("port", "0")`. Port 0 asks the system for a
    /// free one.
    #[must_use]
    pub fn config(mut self, directive: &str, value: &str) -> Builder {
        self.directives.push((directive.to_string(), value.to_string()));
        self
    }

    /// Starts from a configuration that was read. Port 0 then means no TCP, as in redis.conf.
    #[must_use]
    pub fn loaded(mut self, loaded: Loaded) -> Builder {
        self.loaded = Some(loaded);
        self
    }

    /// Fixes everything random.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// The path that INFO shows as the executable.
    #[must_use]
    pub fn executable(mut self, path: &str) -> Builder {
        self.executable = path.to_string();
        self
    }

    /// The supervisor that INFO shows.
    #[must_use]
    pub fn supervised(mut self, by: &'static str) -> Builder {
        self.supervised = Some(by);
        self
    }

    /// Called when all addresses are bound, before anybody can know that the server is ready.
    #[must_use]
    pub fn on_bound(mut self, f: impl FnOnce() + Send + 'static) -> Builder {
        self.on_bound = Some(Box::new(f));
        self
    }

    /// Called on the main thread of the server when its end begins.
    #[must_use]
    pub fn on_stopping(mut self, f: impl FnOnce() + Send + 'static) -> Builder {
        self.on_stopping = Some(Box::new(f));
        self
    }

    /// Called on the main thread of the server after CONFIG SET has changed something.
    #[must_use]
    pub fn on_reconfigure(mut self, f: impl Fn(&Settings) + Send + 'static) -> Builder {
        self.on_reconfigure = Some(Box::new(f));
        self
    }

    /// What the rooms of a server share, with one worker's place and nobody in it: no listener, no worker, no
    /// time-keeping. For harnesses that run commands themselves; takes directives and the seed only.
    ///
    /// # Errors
    /// As [`Builder::start`].
    #[doc(hidden)]
    pub fn bare(self) -> io::Result<Arc<Host>> {
        let mut settings = Settings::default();
        for (name, value) in &self.directives {
            assign(&mut settings, name, value)?;
        }
        settings.set_threads_in_use(1);
        let seed = self.seed.unwrap_or_else(entropy_seed);
        let identity = Identity {
            run_id: run_id(seed),
            executable: "ochre".to_string(),
            config_file: String::new(),
            port: 0,
            started_ns: 0,
            started_s: 0,
            supervised: "no",
            workers: 1,
            seed,
        };
        // Its threads are whoever takes a part: none of them does nearly everything.
        let (host, ..) = wire(settings, &[], identity, false)?;
        Ok(host)
    }

    /// What it was told: the settings, the path of the configuration file and the commands with other names.
    fn settle(&mut self) -> io::Result<(Settings, String, Vec<Statement>)> {
        let (mut settings, config_file, renames) = match self.loaded.take() {
            None => (Settings::default(), String::new(), Vec::new()),
            Some(loaded) => {
                let path = loaded.config_file.map(|p| String::from_utf8_lossy(&p).into_owned());
                (loaded.settings, path.unwrap_or_default(), loaded.renames)
            }
        };
        let mut given = Vec::new();
        for (name, value) in &self.directives {
            given.push(assign(&mut settings, name, value)?);
        }
        Remarked::default().news(&settings, &given).iter().for_each(Remark::log);
        Ok((settings, config_file, renames))
    }

    /// Binds, starts the workers and answers when clients can connect.
    ///
    /// # Errors
    /// A directive that does not exist or has a bad value, or an address that cannot be bound: the text is
    /// one clear line.
    pub fn start(mut self) -> io::Result<Server> {
        let embedded = self.loaded.is_none();
        let (mut settings, config_file, renames) = self.settle()?;
        let workers = match settings.int(Directive::IoThreads) {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n as usize,
        };
        settings.set_threads_in_use(workers as u16);
        let seed = self.seed.or_else(|| settings.seed()).unwrap_or_else(entropy_seed);
        let listeners = listen::bind(&settings, embedded).map_err(io::Error::other)?;
        let addr = listeners.iter().find_map(|l| match l {
            Listener::Tcp(l, _) => l.local_addr().ok().map(reachable),
            Listener::Unix(..) => None,
        });
        if let Some(addr) = addr {
            assign(&mut settings, "port", &addr.port().to_string())?;
        }
        let identity = Identity {
            run_id: run_id(seed),
            executable: if embedded { "ochre".to_string() } else { self.executable },
            config_file,
            port: addr.map_or(0, |a| a.port()),
            started_ns: 0,
            started_s: 0,
            supervised: self.supervised.unwrap_or("no"),
            workers,
            seed,
        };
        let (host, desks, inbox) = wire(settings, &renames, identity, workers == 1)?;
        let threads = start_workers(&host, &desks)?;
        if let Some(f) = self.on_bound {
            f();
        }
        // The log says when that fails; it is no reason to stop.
        let _ = host.oom_score.follow(&host.settings.load());
        let (done, ended) = mpsc::channel();
        let main = House {
            host: Arc::clone(&host),
            rests: vec![Rest::default(); desks.len()],
            desks,
            inbox,
            threads,
            on_reconfigure: self.on_reconfigure,
            on_stopping: self.on_stopping,
        };
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("ochre-main".into()).spawn(move || {
            main.run(listeners, ready);
            // The handle may be gone: then nobody waits.
            let _ = done.send(());
        })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Server { addr, requests: host.requests.clone(), ended, thread: Some(thread), host })
    }
}

/// A running server. Dropping it shuts it down.
pub struct Server {
    addr: Option<SocketAddr>,
    requests: UnboundedSender<Request>,
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
    host: Arc<Host>,
}

impl Server {
    /// Makes a server: `Server::builder().config("port", "0").start()`.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The first TCP address it listens on, to be connected to: loopback where that is a wildcard.
    ///
    /// # Panics
    /// When it listens on Unix sockets only.
    pub fn addr(&self) -> SocketAddr {
        self.addr.expect("the server listens on TCP")
    }

    /// What the server's rooms share; for tests and tools that look inside.
    #[doc(hidden)]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Ends it: no new connections, every client is closed, every thread joined.
    pub fn shutdown(mut self) {
        self.end();
    }

    /// What asks for a shutdown when it is called, as SIGTERM does; returns at once.
    pub fn shutdown_request(&self) -> impl Fn() + Send + use<> {
        let ask = self.signalled();
        move || ask(Directive::ShutdownOnSigterm)
    }

    /// What asks for the shutdown that a signal's directive describes; returns at once.
    pub fn signalled(&self) -> impl Fn(Directive) + Send + use<> {
        let host = Arc::downgrade(&self.host);
        move |directive| {
            // It has ended already when it is gone, or when nobody listens.
            let Some(host) = host.upgrade() else { return };
            let settings = host.settings.load();
            let says = |word| settings.includes(directive, word);
            let save = if says("save") { Some(true) } else { says("nosave").then_some(false) };
            if save == Some(true) {
                tracing::warn!("Saving is not possible in this version: the server ends without it.");
            }
            let request = Request::Shutdown { save, now: says("now"), force: says("force") };
            let _ = host.requests.send(request);
        }
    }

    /// Waits until it has ended by itself (SHUTDOWN).
    pub fn wait(mut self) {
        // An error means that the thread is gone.
        let _ = self.ended.recv();
        self.join();
    }

    fn end(&mut self) {
        if self.thread.is_some() {
            let _ = self.requests.send(Request::Shutdown { save: Some(false), now: true, force: true });
            self.join();
        }
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the main thread of the server ended by a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where a listening address can be reached from this machine.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

fn assign(settings: &mut Settings, name: &str, value: &str) -> io::Result<Directive> {
    let directive = Directive::named(name.as_bytes());
    let directive = directive.ok_or_else(|| io::Error::other(format!("no directive is called '{name}'")))?;
    let words: Vec<&[u8]> = match directive.row().is_multi() {
        true => value.split_ascii_whitespace().map(str::as_bytes).collect(),
        false => vec![value.as_bytes()],
    };
    let assigned = settings.assign(directive, &words);
    assigned.map(|_| directive).map_err(|reason| io::Error::other(format!("{name} \"{value}\": {reason}")))
}

/// 40 hex digits for INFO, from the seed and the process, so that they differ between servers of one process,
/// too.
fn run_id(seed: u64) -> String {
    let mut chance = Chance::new(seed ^ entropy_seed());
    (0..5).map(|_| format!("{:08x}", chance.next_u64() as u32)).collect()
}

/// What commands ask of the main thread.
struct Inbox {
    requests: UnboundedReceiver<Request>,
    /// Settings to listen by, each with the place for the answer.
    listen: UnboundedReceiver<(Settings, mpsc::Sender<bool>)>,
}

fn wire(
    settings: Settings,
    renames: &[Statement],
    mut identity: Identity,
    is_of_one: bool,
) -> io::Result<(Arc<Host>, Desks, Inbox)> {
    let workers = identity.workers;
    let desks: Desks = (0..workers).map(|_| Desk::new()).collect::<io::Result<Vec<_>>>()?.into();
    let word = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    let renames: Vec<_> = renames.iter().map(|s| (word(&s.words[0]), word(&s.words[1]))).collect();
    let table = Table::new(FAMILIES, &renames);
    let databases = settings.int(Directive::Databases) as usize;
    let [poke_desks, wake_desks, post_desks, message_desks] = std::array::from_fn(|_| Arc::clone(&desks));
    let poke = Box::new(move |worker: usize| poke_desks[worker].bell.ring());
    let wake = Box::new(move |worker: usize| wake_desks[worker].send(Mail::Look));
    let space = Space::new(workers, OUTSIDERS, databases, identity.seed, Clock::real(), poke);
    let space = if is_of_one { space.of_one() } else { space };
    let ticks = Ticks::new();
    identity.started_s = space.clock.now_ms() / 1000;
    let (requests, requested) = unbounded_channel();
    let (ask, listen) = unbounded_channel();
    let inbox = Inbox { requests: requested, listen };
    let host = Host {
        remarked: Remarked::of(&settings),
        oom_score: OomScore::default(),
        observe: Observe::new(workers + OUTSIDERS, table.entries().len()),
        table,
        settings: ArcSwap::from_pointee(settings),
        settings_version: AtomicU64::new(0),
        clients: Clients::new(wake),
        post: Box::new(move |reply| {
            // Who runs commands without being a worker has no connections.
            if let Some(desk) = post_desks.get(reply.worker) {
                desk.send(Mail::Reply(Box::new(reply)));
            }
        }),
        channels: Channels::new(Box::new(move |message| {
            message_desks[message.worker].send(Mail::Message(message));
        })),
        trackers: Trackers::default(),
        monitors: Monitors::default(),
        pause: Arc::clone(&space.pause),
        scripts: Arc::default(),
        log: CommitLog::new(workers + OUTSIDERS),
        space: Arc::new(space),
        ticks,
        requests,
        listen: Box::new(move |settings| {
            let (answer, answered) = mpsc::channel();
            // The main thread answers nobody when it is ending the server.
            ask.send((settings.clone(), answer)).is_ok() && answered.recv().unwrap_or(false)
        }),
        is_house_paused: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        intrusion_told_ns: AtomicU64::new(0),
        identity,
        reclaim: Reclaim::start()?,
    };
    Ok((Arc::new(host), desks, inbox))
}

fn start_workers(host: &Arc<Host>, desks: &Desks) -> io::Result<Vec<JoinHandle<()>>> {
    let chance = Chance::new(host.identity.seed);
    // What may fail comes before the first thread, so that no thread is left behind.
    let mut workers = Vec::new();
    for index in 0..desks.len() {
        let place = Place::new(index, Arc::clone(host), Arc::clone(desks), chance.fork(index as u64 + 1))?;
        workers.push(place);
    }
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for (index, worker) in workers.into_iter().enumerate() {
        let thread = std::thread::Builder::new().name(format!("ochre-io-{index}")).stack_size(WORKER_STACK);
        let its_host = Arc::clone(host);
        match thread.spawn(move || run_or_end(&its_host, worker)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                end_workers(host, desks, &mut threads);
                return Err(error);
            }
        }
    }
    Ok(threads)
}

/// Runs a worker. A panic outside of a command leaves connections that nobody serves and perhaps a gate that
/// nobody opens: the process ends rather than hang.
fn run_or_end(host: &Host, worker: Place) {
    if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
        tracing::error!("a worker has panicked: the server stops");
        host.end_broken();
    }
}

/// Ends the workers' connections, then the workers.
fn end_workers(host: &Host, desks: &Desks, threads: &mut Vec<JoinHandle<()>>) {
    host.stopping.store(true, Ordering::SeqCst);
    host.scripts.is_interrupted.store(true, Ordering::SeqCst);
    for desk in desks.iter() {
        desk.send(Mail::Stop);
    }
    for thread in threads.drain(..) {
        thread.join().expect("a worker that panics ends the process");
    }
}

/// The main thread: listeners, requests of commands, timers of the house.
struct House {
    host: Arc<Host>,
    desks: Desks,
    inbox: Inbox,
    threads: Vec<JoinHandle<()>>,
    on_reconfigure: Option<Follower>,
    on_stopping: Option<Box<dyn FnOnce() + Send>>,
    /// By worker.
    rests: Vec<Rest>,
}

/// How long a worker has read nothing.
#[derive(Clone, Default)]
struct Rest {
    reads: u64,
    /// Ticks of the house since its last read; `None` when it has tidied up since.
    ticks: Option<u32>,
}

impl House {
    fn run(mut self, listeners: Vec<Listener>, ready: mpsc::Sender<io::Result<()>>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.stop_workers();
                let _ = ready.send(Err(error));
                return;
            }
        };
        runtime.block_on(async {
            let mut doors = Doors::open(listeners, Arc::clone(&self.host), Arc::clone(&self.desks));
            tracing::info!("Server initialized");
            doors.kinds().for_each(|kind| tracing::info!("Ready to accept connections {kind}"));
            // The builder waits for this.
            let _ = ready.send(Ok(()));
            self.serve(&mut doors).await;
            if let Some(f) = self.on_stopping.take() {
                f();
            }
            // A worker that waits for an answer could not be joined.
            self.inbox.listen.close();
            while self.inbox.listen.try_recv().is_ok() {}
            doors.close().await;
        });
        self.stop_workers();
    }

    async fn serve(&mut self, doors: &mut Doors) {
        let mut timer = tokio::time::interval(Duration::from_millis(HOUSE_MS));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some((settings, answer)) = self.inbox.listen.recv() => {
                    // Who asked waits for it.
                    let _ = answer.send(doors.follow(&settings).await);
                }
                request = self.inbox.requests.recv() => match request {
                    Some(Request::Shutdown { .. }) | None => return,
                    Some(Request::AbortShutdown) => {}
                    Some(Request::Reconfigure) => {
                        if let Some(f) = &self.on_reconfigure {
                            f(&self.host.settings.load());
                        }
                    }
                },
                _ = timer.tick() => self.keep_house(),
            }
        }
    }

    /// Lets workers that have had nothing to do for a second give freed memory back, once.
    fn tidy(&mut self) {
        for (worker, rest) in self.rests.iter_mut().enumerate() {
            let reads = self.host.observe.lane(worker).reads.load(Ordering::Relaxed);
            if reads != rest.reads {
                *rest = Rest { reads, ticks: Some(0) };
            } else if let Some(ticks) = rest.ticks {
                rest.ticks = Some(ticks + 1).filter(|&ticks| ticks < TIDY_TICKS);
                if rest.ticks.is_none() {
                    self.desks[worker].send(Mail::Tidy);
                }
            }
        }
    }

    /// What happens ten times a second: idle clients and slow readers.
    fn keep_house(&mut self) {
        if self.host.is_house_paused.load(Ordering::Relaxed) {
            return;
        }
        self.tidy();
        crate::memory::settle_huge_pages();
        let settings = self.host.settings.load();
        let now_ns = self.host.ticks.since_start_ns();
        self.host.observe.sample(now_ns);
        let timeout_s = settings.int(Directive::Timeout) as u64;
        let limits = [Class::Normal, Class::Pubsub].map(|class| settings.output_limit(class));
        if timeout_s == 0 && limits.iter().all(|limit| limit.soft_bytes == 0) {
            return;
        }
        for client in self.host.clients.all() {
            if client.killed.load(Ordering::Relaxed) {
                continue;
            }
            let idle_ns = now_ns.saturating_sub(client.active_ns.load(Ordering::Relaxed));
            // Who waits in a pause, or for a key, is not idle.
            let is_idle = timeout_s > 0
                && client.kind() != ClientKind::Pubsub
                && idle_ns > timeout_s * 1_000_000_000
                && !client.paused.load(Ordering::Relaxed)
                && !client.is_blocked();
            let limit = limits[usize::from(client.kind() == ClientKind::Pubsub)];
            let waiting = client.output_bytes.load(Ordering::Relaxed) as u64;
            let since_ns = client.over_soft_ns.load(Ordering::Relaxed);
            let mut is_slow = false;
            if limit.soft_bytes > 0 && waiting > limit.soft_bytes {
                if since_ns == 0 {
                    client.over_soft_ns.store(now_ns.max(1), Ordering::Relaxed);
                } else {
                    is_slow = now_ns.saturating_sub(since_ns) > limit.soft_seconds as u64 * 1_000_000_000;
                }
            } else if since_ns != 0 {
                client.over_soft_ns.store(0, Ordering::Relaxed);
            }
            if is_idle {
                tracing::debug!("Closing idle client id={}", client.id);
            }
            if is_slow {
                add(&self.host.observe.lane(self.desks.len()).output_limit_closes, 1);
                client.tell_overflow();
            }
            if is_idle || is_slow {
                self.host.clients.kill(&client);
            }
        }
    }

    fn stop_workers(&mut self) {
        end_workers(&self.host, &self.desks, &mut self.threads);
    }
}
