//! What a handler may touch.
//!
//! For: the context of one command: its database, its reply, its session, and handles to the rooms of the
//! server.
//! May touch: nothing; it carries.
//! Always: lives for one command; its instant is the same from beginning to end.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::scripts::Scripts;
use super::table::{Entry, Table};
use crate::client::blocked::Reply;
use crate::client::monitors::Monitors;
use crate::client::tracking::Trackers;
use crate::client::{Clients, Session};
use crate::clock::Ticks;
use crate::config::{Directive, Remarked, Settings};
use crate::keyspace::log::CommitLog;
use crate::keyspace::pause::Pause;
use crate::keyspace::{Db, Space, Wait};
use crate::observe::Observe;
use crate::observe::oom::OomScore;
use crate::pubsub::Channels;
use crate::resp::Out;

/// What becomes of a command that did not fail. One that wants the connection closed says so to the session.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The reply is written.
    Done,
    /// Nothing was written and nothing changed: the client waits, and the command runs again when a key is
    /// ready. Only where [`Cx::may_block`].
    Block(Box<Wait>),
}

/// What a command asks of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// SHUTDOWN, with its modifiers.
    Shutdown {
        /// Whether to save before; `None`: as the save points say.
        save: Option<bool>,
        /// Do not wait for replicas.
        now: bool,
        /// Exit even when saving fails.
        force: bool,
    },
    /// SHUTDOWN ABORT.
    AbortShutdown,
    /// The listed directives have changed.
    Reconfigure,
}

/// Handles to the rooms of the server; the same for all workers.
pub struct Host {
    /// Every command.
    pub table: Table,
    /// The present configuration; replaced as a whole while everything is exclusively held.
    pub settings: ArcSwap<Settings>,
    /// Counts replacements of `settings`, so that workers see them by one load.
    pub settings_version: AtomicU64,
    /// Who is connected.
    pub clients: Clients,
    /// Sends a blocked client's reply to its worker; never waits.
    pub post: Box<dyn Fn(Reply) + Send + Sync>,
    /// Channels and who listens to them.
    pub channels: Channels,
    /// Who tracks keys.
    pub trackers: Trackers,
    /// Who sees what others run.
    pub monitors: Monitors,
    /// CLIENT PAUSE: the space's, a step nearer to those who ask before each command.
    pub pause: Arc<Pause>,
    /// Counters, slow log, latency.
    pub observe: Observe,
    /// The scripts that are known.
    pub scripts: Arc<Scripts>,
    /// What writes did, in order.
    pub log: CommitLog,
    /// The dataset.
    pub space: Arc<Space>,
    /// Cheap monotonic time.
    pub ticks: Ticks,
    /// What only the process can do; handled by the main thread.
    pub requests: tokio::sync::mpsc::UnboundedSender<Request>,
    /// Listens where `port` and `bind` of new settings say, before they come into force. False when that
    /// cannot be: then nothing has changed.
    pub listen: Box<dyn Fn(&Settings) -> bool + Send + Sync>,
    /// DEBUG PAUSE-CRON: nothing is done that only time asks for.
    pub is_house_paused: AtomicBool,
    /// Set when shutdown has begun: no command runs after it.
    pub stopping: AtomicBool,
    /// `Ticks` nanoseconds at which the log last told of a connection that speaks HTTP, 0 before the first.
    pub intrusion_told_ns: AtomicU64,
    /// The directives without effect that the log has spoken of.
    pub remarked: Remarked,
    /// What the kernel is told of this process.
    pub oom_score: OomScore,
    /// The facts about this server that never change.
    pub identity: Identity,
    /// Frees large values on a thread of its own.
    pub reclaim: crate::reclaim::Reclaim,
}

/// Facts about a server that never change.
pub struct Identity {
    /// 40 hex digits, new at every start.
    pub run_id: String,
    /// Path of the binary, or `ochre` where it is embedded.
    pub executable: String,
    /// Path of the configuration file, empty without one.
    pub config_file: String,
    /// The port that was bound (0: none).
    pub port: u16,
    /// `Ticks` nanoseconds at the start.
    pub started_ns: u64,
    /// Unix time at the start, seconds.
    pub started_s: u64,
    /// Who is told when the server is ready: `systemd`, `upstart` or `no`.
    pub supervised: &'static str,
    /// Number of workers.
    pub workers: usize,
    /// `--seed`, or what was drawn.
    pub seed: u64,
}

/// Who waits for the gate looks this often whether it still should: the threshold may be replaced meanwhile.
const LOOK_AT_THRESHOLD: Duration = Duration::from_millis(100);

/// What a worker does for its other connections while a command takes long: to be called now and then, it
/// finds out by itself whether there is something to do.
pub type Meanwhile = Rc<dyn Fn()>;

impl Host {
    /// Ends the process because it is broken: with a signal, which leaves a core for the debugger, or as
    /// `use-exit-on-panic` says with an exit code.
    pub fn end_broken(&self) -> ! {
        if self.settings.load().bool(Directive::UseExitOnPanic) {
            std::process::exit(1);
        }
        std::process::abort()
    }

    /// How long a wait for the gate may last before this is asked again; `None`: it ends, because a script
    /// that has run for too long has the gate.
    pub fn patience(&self) -> Option<Duration> {
        let threshold_ms = self.settings.load().int(Directive::BusyReplyThreshold);
        match self.scripts.running.left_ns(self.ticks.since_start_ns(), threshold_ms) {
            None => Some(LOOK_AT_THRESHOLD),
            Some(0) => None,
            Some(left_ns) => Some(Duration::from_nanos(left_ns).min(LOOK_AT_THRESHOLD)),
        }
    }

    /// The worker whose script has held everything for longer than `busy-reply-threshold`.
    pub fn busy_worker(&self) -> Option<usize> {
        let threshold_ms = self.settings.load().int(Directive::BusyReplyThreshold);
        self.scripts.running.busy_worker(self.ticks.since_start_ns(), threshold_ms)
    }

    /// Replaces the configuration. The caller holds everything exclusively.
    pub fn reconfigure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
        self.settings_version.fetch_add(1, Ordering::Release);
        // Nobody listens any more when the server is going down.
        let _ = self.requests.send(Request::Reconfigure);
    }
}

/// The context of one command.
pub struct Cx<'a> {
    /// The selected database, under the locks the row asked for.
    pub db: Db<'a>,
    /// The reply.
    pub out: &'a mut Out,
    /// The connection's state.
    pub session: &'a mut Session,
    /// The configuration in force.
    pub settings: &'a Settings,
    /// Handles to the server's rooms.
    pub host: &'a Host,
    /// The command that runs.
    pub command: &'a Entry,
    /// Index of the worker.
    pub worker: usize,
    /// When it began, in the unit of `Host::ticks`: about when the one before it ended.
    pub began: u64,
    /// The command runs for a client that waited, and the key at this position is ready. All keys of the
    /// command are held.
    pub served: Option<usize>,
    /// Whether it may answer [`Outcome::Block`]; otherwise it does as if its time were up at once.
    pub may_block: bool,
    /// A script calls it.
    pub is_scripted: bool,
    /// What the worker keeps for running scripts, made by the first of them; only the script room knows
    /// what it is.
    pub interpreter: &'a mut Option<Box<dyn Any>>,
    /// For commands that may take long; `None` where nobody else is kept waiting by this thread.
    pub meanwhile: Option<&'a Meanwhile>,
}
