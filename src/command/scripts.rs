//! The scripts the server knows.
//!
//! For: finding a script by the digest of its text, on any worker. May touch: nothing.
//! Always: scripts that came with EVAL give way to newer ones, at most [`MOST_EVALUATED`] of them; those
//! that were loaded stay until SCRIPT FLUSH. A script that has left says so itself, for workers that keep
//! it compiled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bitflags::bitflags;
use parking_lot::Mutex;

use crate::fault::Fault;
use crate::keyspace::watchers::Watcher;
use crate::resp::{Args, OwnedArgs};

/// Scripts that came with EVAL and are kept for EVALSHA.
pub const MOST_EVALUATED: usize = 500;
/// Bytes of the last function's command that are kept for the next one's.
const MOST_KEPT: usize = 64 << 10;

bitflags! {
    /// What the first line of a script says about it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ScriptFlags: u8 {
        /// Changes nothing.
        const NO_WRITES = 1 << 0;
        /// Runs although the memory limit is reached.
        const ALLOW_OOM = 1 << 1;
        /// Runs on a replica that lost its primary.
        const ALLOW_STALE = 1 << 2;
        /// Not in cluster mode.
        const NO_CLUSTER = 1 << 3;
        /// May touch keys of several slots.
        const ALLOW_CROSS_SLOT = 1 << 4;
        /// It has such a first line at all.
        const DECLARED = 1 << 5;
    }
}

/// What runs in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// EVAL and its relatives.
    Script,
    /// FCALL and its relative.
    Function,
}

/// The name of a script: the SHA-1 digest of its text in lower-case hex digits.
pub type Sha = [u8; 40];

/// A script.
pub struct Script {
    /// Its name.
    pub sha: Sha,
    /// As the client sent it.
    pub text: Arc<[u8]>,
    /// What its first line says.
    pub flags: ScriptFlags,
    /// False once it has left the cache.
    is_known: AtomicBool,
    /// It gives way to newer ones.
    is_evictable: AtomicBool,
    /// When it was last used, by the cache's own count.
    used: AtomicU64,
}

impl Script {
    /// Whether EVALSHA finds it still.
    #[inline]
    pub fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }
}

/// What is known of the script that runs; there is at most one, as it holds everything.
#[derive(Default)]
pub struct Running {
    /// `Ticks` nanoseconds at which it began, 0 when none runs.
    since_ns: AtomicU64,
    worker: AtomicUsize,
    is_function: AtomicBool,
    /// The name of the function, then the command that runs it; of the last one where none runs.
    called: Mutex<OwnedArgs>,
    /// How many have begun or ended, above the bits [`WRITTEN`] and [`KILLED`], of which at most one is set,
    /// [`MET`] and [`ASKED`]: odd while one runs.
    fate: AtomicU64,
    newcomers: Mutex<Newcomers>,
}

/// Who is to be told of changes to keys, from now on, and waits for the script to let it into their shards.
#[derive(Default)]
struct Newcomers {
    waiting: Vec<Newcomer>,
    /// Keys that it was asked for, those of who has been let in or has left included.
    keys: usize,
}

/// Keys with their databases, and who watches them.
pub struct Newcomer {
    /// The keys.
    pub keys: Vec<(usize, Box<[u8]>)>,
    /// What their shards are to know it by.
    pub watcher: Arc<Watcher>,
}

/// It has called a command that writes.
const WRITTEN: u64 = 1;
/// It is to end.
const KILLED: u64 = 2;
/// Somebody waits to be let in.
const MET: u64 = 4;
/// Somebody has waited, or waits.
const ASKED: u64 = 8;
/// The number of the next one.
const NEXT: u64 = 16;
/// Keys that are watched while one script runs: more would be kept until it ends.
const MOST_MET: usize = 10_000;

impl Running {
    /// A script begins on a worker, or a function that was [`announced`](Running::announce).
    pub fn begin(&self, worker: usize, now_ns: u64, kind: Kind) {
        self.worker.store(worker, Ordering::Relaxed);
        self.is_function.store(kind == Kind::Function, Ordering::Relaxed);
        let number = self.fate.load(Ordering::Relaxed) / NEXT;
        // Odd also where the last one has gone without an end, by a panic.
        self.fate.store((number.wrapping_add(1) | 1).wrapping_mul(NEXT), Ordering::Release);
        self.since_ns.store(now_ns.max(1), Ordering::Release);
    }

    /// Keeps what FUNCTION STATS shows of the function that is about to begin.
    pub fn announce(&self, name: &[u8], args: &Args<'_>) {
        let mut called = self.called.lock();
        if called.memory_bytes() > MOST_KEPT {
            *called = OwnedArgs::default();
        }
        called.clear();
        called.push(name);
        args.iter().for_each(|arg| called.push(arg));
    }

    /// What runs, if anything does.
    pub fn kind(&self) -> Option<Kind> {
        let runs = self.since_ns.load(Ordering::Acquire) > 0;
        let is_function = self.is_function.load(Ordering::Relaxed);
        runs.then_some(if is_function { Kind::Function } else { Kind::Script })
    }

    /// The function that runs: its name with the command that runs it, and for how many milliseconds.
    pub fn function<R>(&self, now_ns: u64, f: impl FnOnce(&[u8], Args<'_>, u64) -> R) -> Option<R> {
        let since_ns = self.since_ns.load(Ordering::Acquire);
        if self.kind() != Some(Kind::Function) || since_ns == 0 {
            return None;
        }
        let called = self.called.lock();
        let args = called.as_args();
        Some(f(args.get(0), args.from(1), now_ns.saturating_sub(since_ns) / 1_000_000))
    }

    /// How commands are refused while what runs takes too long.
    pub fn busy(&self) -> Fault {
        match self.kind() {
            Some(Kind::Function) => Fault::BUSY_FUNCTION,
            _ => Fault::BUSY,
        }
    }

    /// How a command is refused to what is to end.
    pub fn killed(&self) -> Fault {
        match self.kind() {
            Some(Kind::Function) => Fault::FUNCTION_KILLED,
            _ => Fault::SCRIPT_KILLED,
        }
    }

    /// It has ended, but still holds everything. True: because it was killed. Then, who is to be let in.
    pub fn end(&self) -> (bool, Option<Vec<Newcomer>>) {
        self.since_ns.store(0, Ordering::Release);
        // From here on nobody can kill it, and nobody waits for it: the number is another one.
        let fate = self.fate.fetch_add(NEXT, Ordering::AcqRel);
        if fate & ASKED == 0 {
            return (fate & KILLED != 0, None);
        }
        self.fate.fetch_and(!(MET | ASKED), Ordering::Relaxed);
        (fate & KILLED != 0, Some(std::mem::take(&mut *self.newcomers.lock()).waiting))
    }

    /// Somebody else watches keys from now on, of which the script is to tell their shards. False: it has
    /// ended, or has been asked for too much.
    pub fn meet(&self, keys: &[(usize, Box<[u8]>)], watcher: &Arc<Watcher>) -> bool {
        let mut newcomers = self.newcomers.lock();
        let met = newcomers.keys + keys.len();
        if met > MOST_MET {
            return false;
        }
        let runs = |fate| (fate / NEXT % 2 == 1).then_some(fate | MET | ASKED);
        if self.fate.fetch_update(Ordering::AcqRel, Ordering::Acquire, runs).is_err() {
            return false;
        }
        newcomers.keys = met;
        newcomers.waiting.push(Newcomer { keys: keys.to_vec(), watcher: Arc::clone(watcher) });
        true
    }

    /// Whether somebody waits to be let in.
    #[inline]
    pub fn has_met(&self) -> bool {
        self.fate.load(Ordering::Relaxed) & MET != 0
    }

    /// Who waits to be let in; by the script that runs.
    #[cold]
    pub fn newcomers(&self) -> Vec<Newcomer> {
        let mut newcomers = self.newcomers.lock();
        self.fate.fetch_and(!MET, Ordering::AcqRel);
        std::mem::take(&mut newcomers.waiting)
    }

    /// Before a command of it writes: from now on it cannot be killed. False: it was killed already.
    #[inline]
    pub fn may_write(&self) -> bool {
        if self.fate.load(Ordering::Relaxed) & WRITTEN != 0 {
            return true;
        }
        let lives = |fate| (fate & KILLED == 0).then_some(fate | WRITTEN);
        self.fate.fetch_update(Ordering::AcqRel, Ordering::Relaxed, lives).is_ok()
    }

    /// How long until the script that runs has done so for `threshold_ms`, nanoseconds; 0: it has. Without a
    /// script: the whole threshold, as one may begin at any time. `None` with a threshold of 0 or less, which
    /// no script ever reaches.
    pub fn left_ns(&self, now_ns: u64, threshold_ms: i64) -> Option<u64> {
        let threshold_ns = u64::try_from(threshold_ms).ok().filter(|&ms| ms > 0)?.saturating_mul(1_000_000);
        let since_ns = self.since_ns.load(Ordering::Acquire);
        let ran_ns = if since_ns == 0 { 0 } else { now_ns.saturating_sub(since_ns) };
        Some(threshold_ns.saturating_sub(ran_ns))
    }

    /// The worker whose script has run for longer than `threshold_ms`; with 0 or less no script ever has.
    pub fn busy_worker(&self, now_ns: u64, threshold_ms: i64) -> Option<usize> {
        let is_busy = self.left_ns(now_ns, threshold_ms) == Some(0);
        is_busy.then(|| self.worker.load(Ordering::Relaxed))
    }

    /// Asks what runs to end.
    ///
    /// # Errors
    /// When nothing runs, or it has written, or it is of another kind.
    pub fn kill(&self, kind: Kind) -> Result<(), Fault> {
        let mut fate = self.fate.load(Ordering::Acquire);
        let number = fate / NEXT;
        loop {
            let runs = self.kind().filter(|_| fate / NEXT == number).ok_or(Fault::NOT_BUSY)?;
            if fate & WRITTEN != 0 {
                return Err(Fault::UNKILLABLE);
            }
            if runs != kind {
                return Err(self.busy());
            }
            let killed = fate | KILLED;
            match self.fate.compare_exchange(fate, killed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(present) => fate = present,
            }
        }
    }

    /// Whether it was asked to end.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.fate.load(Ordering::Relaxed) & KILLED != 0
    }
}

/// Every script, by name.
#[derive(Default)]
pub struct Scripts {
    /// The one that runs.
    pub running: Running,
    known: Mutex<HashMap<Sha, Arc<Script>>>,
    uses: AtomicU64,
    evicted: AtomicU64,
    /// Bytes of all states, of scripts and of functions.
    states: [AtomicUsize; 2],
    /// The server goes down: whatever runs is to end.
    pub is_interrupted: AtomicBool,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may call most of what else is forbidden to them.
    pub may_call_more: AtomicBool,
}

impl Scripts {
    /// Whether the script that runs is to end.
    #[inline]
    pub fn is_ending(&self) -> bool {
        self.running.is_killed() || self.is_interrupted.load(Ordering::Relaxed)
    }

    /// The script of that name, whatever the case of its digits.
    pub fn find(&self, name: &[u8]) -> Option<Arc<Script>> {
        let mut sha: Sha = name.try_into().ok()?;
        sha.make_ascii_lowercase();
        self.known.lock().get(&sha).cloned()
    }

    /// Notes that a script is used.
    #[inline]
    pub fn touch(&self, script: &Script) {
        let now = self.uses.load(Ordering::Relaxed) + 1;
        self.uses.store(now, Ordering::Relaxed);
        script.used.store(now, Ordering::Relaxed);
    }

    /// Adds a script, or finds it there. `stays`: it gives way to no other.
    pub fn add(&self, sha: Sha, text: &[u8], flags: ScriptFlags, stays: bool) -> Arc<Script> {
        let mut known = self.known.lock();
        let script = known.entry(sha).or_insert_with(|| {
            Arc::new(Script {
                sha,
                text: text.into(),
                flags,
                is_known: AtomicBool::new(true),
                is_evictable: AtomicBool::new(!stays),
                used: AtomicU64::new(0),
            })
        });
        let script = Arc::clone(script);
        self.touch(&script);
        if stays {
            script.is_evictable.store(false, Ordering::Relaxed);
        } else {
            self.evict(&mut known);
        }
        script
    }

    /// Lets the script go that was not used for longest, when there are too many.
    fn evict(&self, known: &mut HashMap<Sha, Arc<Script>>) {
        let evictable = || known.values().filter(|script| script.is_evictable.load(Ordering::Relaxed));
        if evictable().count() <= MOST_EVALUATED {
            return;
        }
        let oldest = evictable().min_by_key(|script| script.used.load(Ordering::Relaxed)).map(|it| it.sha);
        if let Some(script) = oldest.and_then(|sha| known.remove(&sha)) {
            script.is_known.store(false, Ordering::Release);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets every script.
    pub fn flush(&self) {
        for (_, script) in self.known.lock().drain() {
            script.is_known.store(false, Ordering::Release);
        }
    }

    /// Number of scripts, and bytes of their texts.
    pub fn size(&self) -> (usize, usize) {
        let known = self.known.lock();
        (known.len(), known.values().map(|script| script.text.len() + size_of::<Script>()).sum())
    }

    /// A state has grown or shrunk.
    pub fn count_memory(&self, kind: Kind, before: usize, now: usize) {
        if before != now {
            self.states[kind as usize].fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Bytes of all states of that kind, as they were when they last ended something.
    pub fn state_bytes(&self, kind: Kind) -> usize {
        self.states[kind as usize].load(Ordering::Relaxed)
    }

    /// Scripts that gave way to newer ones since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(n: usize) -> Sha {
        format!("{n:040x}").into_bytes().try_into().expect("40 digits")
    }

    #[test]
    fn evaluated_scripts_give_way_in_order_of_use_and_loaded_ones_stay() {
        let scripts = Scripts::default();
        scripts.add(sha(0), b"loaded", ScriptFlags::empty(), true);
        let first = scripts.add(sha(1), b"first", ScriptFlags::empty(), false);
        let second = scripts.add(sha(2), b"second", ScriptFlags::empty(), false);
        for n in 3..=MOST_EVALUATED {
            scripts.add(sha(n), b"x", ScriptFlags::empty(), false);
        }
        scripts.touch(&first);
        scripts.add(sha(MOST_EVALUATED + 1), b"x", ScriptFlags::empty(), false);
        assert!(scripts.find(&sha(0)).is_some() && scripts.find(&sha(1)).is_some());
        assert!(scripts.find(&sha(2)).is_none() && !second.is_known() && first.is_known());
        assert_eq!((scripts.evicted(), scripts.size().0), (1, MOST_EVALUATED + 1));
        scripts.flush();
        assert!(scripts.find(&sha(0)).is_none() && !first.is_known());
    }

    #[test]
    fn a_script_is_killed_or_writes_whichever_comes_first() {
        let running = Running::default();
        assert_eq!(running.kill(Kind::Script), Err(Fault::NOT_BUSY));
        running.begin(3, 10, Kind::Script);
        assert!(running.may_write() && running.may_write());
        assert_eq!(running.kill(Kind::Script), Err(Fault::UNKILLABLE));
        assert!(!running.is_killed() && !running.end().0);
        running.begin(3, 20, Kind::Script);
        assert_eq!((running.kill(Kind::Script), running.kill(Kind::Script)), (Ok(()), Ok(())));
        assert!(running.is_killed() && !running.may_write());
        assert!(running.end().0);
        assert_eq!(running.kill(Kind::Script), Err(Fault::NOT_BUSY));
        running.begin(3, 30, Kind::Script);
        assert!(!running.is_killed() && running.may_write());
    }

    #[test]
    fn a_script_lets_in_everybody_who_came_before_its_end_and_nobody_later() {
        let (running, who) = (Running::default(), Arc::default());
        let keys = |count: usize| vec![(0, b"key"[..].into()); count];
        assert!(!running.meet(&keys(1), &who));
        running.begin(3, 10, Kind::Script);
        assert!(!running.has_met() && running.meet(&keys(2), &who) && running.has_met());
        assert_eq!((running.newcomers()[0].keys.len(), running.has_met()), (2, false));
        assert!(running.may_write() && running.meet(&keys(1), &who));
        assert!(!running.meet(&keys(MOST_MET), &who) && running.meet(&keys(MOST_MET - 3), &who));
        assert!(!running.meet(&keys(1), &who));
        assert_eq!(running.kill(Kind::Script), Err(Fault::UNKILLABLE));
        assert_eq!(running.end().1.map(|it| it.len()), Some(2));
        assert!(!running.meet(&keys(1), &who) && !running.has_met());
        // What a script has let in does not count against the next one.
        running.begin(3, 20, Kind::Script);
        assert!(running.meet(&keys(1), &who) && running.newcomers().len() == 1);
        assert_eq!(running.end().1.map(|it| it.len()), Some(0));
        running.begin(3, 30, Kind::Script);
        assert!(running.meet(&keys(MOST_MET), &who));
        assert_eq!(running.kill(Kind::Script), Ok(()));
        assert!(running.has_met() && running.end().0);
    }

    #[test]
    fn a_script_is_busy_from_the_threshold_on_and_never_without_one() {
        let running = Running::default();
        assert_eq!(running.left_ns(5_000_000, 2), Some(2_000_000));
        running.begin(3, 5_000_000, Kind::Script);
        assert_eq!((running.left_ns(6_500_000, 2), running.busy_worker(6_500_000, 2)), (Some(500_000), None));
        assert_eq!((running.left_ns(7_000_000, 2), running.busy_worker(7_000_000, 2)), (Some(0), Some(3)));
        assert_eq!((running.left_ns(9_000_000, 0), running.busy_worker(9_000_000, 0)), (None, None));
        running.end();
        assert_eq!(running.busy_worker(9_000_000, 2), None);
    }

    #[test]
    fn digits_of_a_name_may_be_upper_case() {
        let scripts = Scripts::default();
        scripts.add(sha(0xabc), b"x", ScriptFlags::empty(), true);
        assert!(scripts.find(&sha(0xabc).to_ascii_uppercase()).is_some());
        assert!(scripts.find(b"abc").is_none());
    }
}
