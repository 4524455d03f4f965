//! Who waits for keys, and until when.
//!
//! For: the queues of blocked clients at the keys they wait for, and the order of their timeouts. May touch:
//! nothing; what a blocked client is, other rooms know.
//! Always: a client stands in the queue of each of its keys in order of its arrival, and in no other; where
//! nobody waits nothing is allocated. A queue changes under the mutex of its key's shard.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::entry::Kind;
use crate::resp::OwnedArgs;

/// How many kinds of values there are.
const KINDS: usize = 6;

/// What a command waits for that found nothing to do.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Positions of the arguments that are the keys it waits for, in the order in which they are tried.
    pub keys: SmallVec<[u32; 4]>,
    /// A key that holds this is worth a look.
    pub kind: Kind,
    /// Unix milliseconds at which it gives up; `None`: never.
    pub until_ms: Option<u64>,
    /// Position of the key that serving it writes, too.
    pub target: Option<u32>,
    /// What it runs with when it is served, where that is not what the client sent (`$` is an id by then).
    pub argv: Option<OwnedArgs>,
    /// It has to know when a key goes, or holds something else.
    pub on_removal: bool,
    /// When a key is worth a look though nobody has changed it: unix milliseconds, and the key's position.
    pub look: Option<(u64, u32)>,
}

impl Wait {
    /// For keys that are to hold this, for ever.
    pub fn new(keys: impl IntoIterator<Item = usize>, kind: Kind) -> Wait {
        let keys = keys.into_iter().map(|at| at as u32).collect();
        Wait { keys, kind, until_ms: None, target: None, argv: None, on_removal: false, look: None }
    }
}

/// A blocked client as its queues see it.
pub trait Waits: Any + Send + Sync {
    /// Its place in every queue: who arrived first is served first.
    fn arrival(&self) -> u64;
    /// The database of its keys.
    fn db(&self) -> usize;
    /// What it waits for; positions are those of [`Waits::key`].
    fn wait(&self) -> &Wait;
    /// The argument at that position.
    fn key(&self, position: u32) -> &[u8];
    /// The shards that serving it may touch: those of its keys and of its target. Ascending.
    fn shards(&self) -> &[u16];
    /// The worker that owns it.
    fn worker(&self) -> usize;
    /// Whether nobody has ended its wait.
    fn is_parked(&self) -> bool;
    /// Itself, as the room knows it that made it.
    fn whole(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// The queue at one key.
#[derive(Default)]
pub struct Line {
    queue: BTreeMap<u64, Arc<dyn Waits>>,
    /// How many wait for each kind.
    kinds: [u32; KINDS],
    on_removal: u32,
    /// How many of them need which further shard to be served.
    shards: BTreeMap<u16, u32>,
    /// How many of them write which further key when they are served.
    targets: BTreeMap<Box<[u8]>, u32>,
}

impl Line {
    /// The first who arrived after `after` and may find something: the key holds `kind` (or nothing).
    pub fn next(&self, after: u64, kind: Option<Kind>) -> Option<Arc<dyn Waits>> {
        let waiting = kind.map_or(0, |kind| self.kinds[kind as usize]);
        if waiting + self.on_removal == 0 {
            return None;
        }
        let suits = |who: &&Arc<dyn Waits>| {
            who.is_parked() && (Some(who.wait().kind) == kind || who.wait().on_removal)
        };
        self.queue.range(after + 1..).map(|(_, who)| who).find(suits).cloned()
    }

    /// The shards besides the key's own that serving these clients may touch.
    pub fn shards(&self) -> impl Iterator<Item = u16> + '_ {
        self.shards.keys().copied()
    }

    /// The keys that serving these clients may write.
    pub fn targets(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.targets.keys().map(|key| &**key)
    }

    /// Enters or leaves a client's needs in the counts.
    fn count(&mut self, who: &dyn Waits, own: u16, joins: bool) {
        fn step(count: &mut u32, joins: bool) -> bool {
            *count = if joins { *count + 1 } else { *count - 1 };
            *count == 0
        }
        step(&mut self.kinds[who.wait().kind as usize], joins);
        if who.wait().on_removal {
            step(&mut self.on_removal, joins);
        }
        for &shard in who.shards().iter().filter(|&&shard| shard != own) {
            if step(self.shards.entry(shard).or_default(), joins) {
                self.shards.remove(&shard);
            }
        }
        if let Some(target) = who.wait().target {
            let target = who.key(target);
            if step(self.targets.entry(target.into()).or_default(), joins) {
                self.targets.remove(target);
            }
        }
    }
}

/// The queues of one shard. Present only while somebody waits.
#[derive(Default)]
pub struct Waiters {
    by_db: BTreeMap<usize, HashMap<Box<[u8]>, Line>>,
    /// Keys to be looked at, with their databases.
    looks: BTreeMap<Look, (usize, Box<[u8]>)>,
}

/// When a key is to be looked at, and the arrival of who wants that.
type Look = (u64, u64);

/// When a client wants one of its keys to be looked at, if it is this one.
fn look_at(who: &dyn Waits, key: &[u8]) -> Option<Look> {
    let (at_ms, position) = who.wait().look?;
    (who.key(position) == key).then(|| (at_ms, who.arrival()))
}

impl Waiters {
    /// The queue at a key.
    pub fn line(&self, db: usize, key: &[u8]) -> Option<&Line> {
        self.by_db.get(&db)?.get(key)
    }

    /// The queues at a key in all databases.
    pub fn lines<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = (usize, &'s Line)> {
        self.by_db.iter().filter_map(move |(&db, lines)| Some((db, lines.get(key)?)))
    }

    /// The keys of a database that somebody waits for, in order of who came first to each.
    pub fn keys(&self, db: usize) -> Vec<&[u8]> {
        let lines = self.by_db.get(&db).into_iter().flatten();
        let mut keys: Vec<_> = lines.map(|(key, line)| (line.queue.keys().next().copied(), &**key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.by_db.is_empty()
    }

    /// When the first key is to be looked at, unix milliseconds; `u64::MAX`: none is.
    pub fn next_look_ms(&self) -> u64 {
        self.looks.first_key_value().map_or(u64::MAX, |(&(at_ms, _), _)| at_ms)
    }

    /// Takes the first key that is to be looked at by `now_ms`, with its database. Who wants more looks says
    /// so when it goes on to wait.
    pub fn take_look(&mut self, now_ms: u64) -> Option<(usize, Box<[u8]>)> {
        let first = self.looks.first_entry().filter(|it| it.key().0 <= now_ms)?;
        Some(first.remove())
    }

    /// Puts a client into the queue of one of its keys, which lives in shard `own`.
    pub fn join(&mut self, own: u16, key: &[u8], who: &Arc<dyn Waits>, counts: &Waiting) {
        let lines = self.by_db.entry(who.db()).or_default();
        if !lines.contains_key(key) {
            lines.insert(key.into(), Line::default());
            counts.keys.fetch_add(1, Ordering::Relaxed);
        }
        let line = lines.get_mut(key).expect("just made");
        let had = line.on_removal > 0;
        if let Some(before) = line.queue.insert(who.arrival(), Arc::clone(who)) {
            // The same key twice, or one that goes on waiting.
            line.count(&*before, own, false);
            look_at(&*before, key).and_then(|at| self.looks.remove(&at));
        }
        line.count(&**who, own, true);
        if let Some(at) = look_at(&**who, key) {
            self.looks.insert(at, (who.db(), key.into()));
        }
        if line.on_removal > 0 && !had {
            counts.keys_on_removal.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a client out of the queue of one of its keys.
    pub fn quit(&mut self, own: u16, key: &[u8], who: &dyn Waits, counts: &Waiting) {
        let Some(lines) = self.by_db.get_mut(&who.db()) else { return };
        let Some(line) = lines.get_mut(key) else { return };
        let Some(before) = line.queue.remove(&who.arrival()) else { return };
        let had = line.on_removal > 0;
        line.count(&*before, own, false);
        look_at(&*before, key).and_then(|at| self.looks.remove(&at));
        if had && line.on_removal == 0 {
            counts.keys_on_removal.fetch_sub(1, Ordering::Relaxed);
        }
        if line.queue.is_empty() {
            debug_assert!(line.shards.is_empty() && line.targets.is_empty());
            counts.keys.fetch_sub(1, Ordering::Relaxed);
            lines.remove(key);
            if lines.is_empty() {
                self.by_db.remove(&who.db());
            }
        }
    }
}

/// By deadline, then arrival.
type Deadlines = BTreeMap<(u64, u64), Arc<dyn Waits>>;

/// What is known of all who wait: the order of arrivals, and until when they do.
pub struct Waiting {
    arrivals: AtomicU64,
    keys: AtomicUsize,
    keys_on_removal: AtomicUsize,
    /// By worker.
    desks: Box<[CachePadded<Desk>]>,
}

/// The timeouts of one worker's clients.
struct Desk {
    deadlines: Mutex<Deadlines>,
    /// The earliest of them, `u64::MAX` without one; changed under the mutex.
    first_ms: AtomicU64,
}

impl Waiting {
    /// Nobody, with that many workers.
    pub fn new(workers: usize) -> Waiting {
        let desk = |_| {
            let (deadlines, first_ms) = (Mutex::new(BTreeMap::new()), AtomicU64::new(u64::MAX));
            CachePadded::new(Desk { deadlines, first_ms })
        };
        Waiting {
            arrivals: AtomicU64::new(1),
            keys: AtomicUsize::new(0),
            keys_on_removal: AtomicUsize::new(0),
            desks: (0..workers).map(desk).collect(),
        }
    }

    /// A place in the queues. Called with the keys' shards held, so that places at a common key are given in
    /// order.
    pub fn arrive(&self) -> u64 {
        self.arrivals.fetch_add(1, Ordering::Relaxed)
    }

    /// Keys that somebody waits for.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Of these, keys whose removal somebody waits for.
    pub fn keys_on_removal(&self) -> usize {
        self.keys_on_removal.load(Ordering::Relaxed)
    }

    /// Clients that wait until some time.
    pub fn timeouts(&self) -> usize {
        self.desks.iter().map(|desk| desk.deadlines.lock().len()).sum()
    }

    /// Notes until when a client waits.
    pub fn file(&self, who: &Arc<dyn Waits>) {
        self.change(&**who, |deadlines, at| drop(deadlines.insert(at, Arc::clone(who))));
    }

    /// Forgets until when a client waits.
    pub fn unfile(&self, who: &dyn Waits) {
        self.change(who, |deadlines, at| drop(deadlines.remove(&at)));
    }

    fn change(&self, who: &dyn Waits, change: impl FnOnce(&mut Deadlines, (u64, u64))) {
        let Some(until_ms) = who.wait().until_ms else { return };
        // Threads beyond the workers own no clients that could be told.
        let Some(desk) = self.desks.get(who.worker()) else { return };
        let mut deadlines = desk.deadlines.lock();
        change(&mut deadlines, (until_ms, who.arrival()));
        let first_ms = deadlines.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
        desk.first_ms.store(first_ms, Ordering::Release);
    }

    /// When the first of a worker's clients gives up, unix milliseconds; `u64::MAX`: none will. One load.
    #[inline]
    pub fn first_ms(&self, worker: usize) -> u64 {
        self.desks[worker].first_ms.load(Ordering::Acquire)
    }

    /// The worker whose client gives up first.
    pub fn first_worker(&self) -> Option<usize> {
        (0..self.desks.len()).min_by_key(|&worker| self.first_ms(worker))
    }

    /// The first of a worker's clients to give up, if that is at `now_ms` or before.
    pub fn first_due(&self, worker: usize, now_ms: u64) -> Option<Arc<dyn Waits>> {
        if self.first_ms(worker) > now_ms {
            return None;
        }
        let deadlines = self.desks[worker].deadlines.lock();
        let (&(at, _), who) = deadlines.first_key_value()?;
        (at <= now_ms).then(|| Arc::clone(who))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct Waiter {
        arrival: u64,
        db: usize,
        keys: Vec<Vec<u8>>,
        shards: Vec<u16>,
        wait: Wait,
    }

    impl Waits for Waiter {
        fn arrival(&self) -> u64 {
            self.arrival
        }
        fn db(&self) -> usize {
            self.db
        }
        fn wait(&self) -> &Wait {
            &self.wait
        }
        fn key(&self, position: u32) -> &[u8] {
            &self.keys[position as usize]
        }
        fn shards(&self) -> &[u16] {
            &self.shards
        }
        fn worker(&self) -> usize {
            0
        }
        fn is_parked(&self) -> bool {
            true
        }
        fn whole(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
            self
        }
    }

    /// Every key lives in shard 7.
    const OWN: u16 = 7;

    prop_compose! {
        fn any_waiter()(
            db in 0..2_usize,
            keys in prop::collection::vec(0..3_u8, 1..4),
            target in prop::option::of(3..6_u8),
            (is_list, on_removal, until_ms) in (any::<bool>(), any::<bool>(), prop::option::of(0..5_u64)),
            look in prop::option::of((0..5_u64, any::<prop::sample::Index>())),
            shards in prop::collection::btree_set(0..9_u16, 0..3),
        ) -> Waiter {
            let count = keys.len() as u32;
            let kind = if is_list { Kind::List } else { Kind::Stream };
            let wait = Wait {
                keys: (0..count).collect(),
                kind,
                until_ms,
                target: target.map(|_| count),
                argv: None,
                on_removal,
                look: look.map(|(at_ms, key)| (at_ms, key.index(keys.len()) as u32)),
            };
            let keys = keys.into_iter().chain(target).map(|key| vec![key]).collect();
            Waiter { arrival: 0, db, keys, shards: shards.into_iter().collect(), wait }
        }
    }

    fn keys(who: &dyn Waits) -> impl Iterator<Item = &[u8]> {
        who.wait().keys.iter().map(|&at| who.key(at))
    }

    /// What the queues say is what a look at everybody says.
    fn check(queues: &Waiters, counts: &Waiting, all: &[Arc<dyn Waits>]) {
        let (mut lines, mut on_removal) = (0, 0);
        for (db, key) in (0..2).flat_map(|db| (0..3_u8).map(move |key| (db, [key]))) {
            let here = all.iter().filter(|who| who.db() == db && keys(&***who).any(|it| it == key));
            let here: Vec<_> = here.collect();
            let Some(line) = queues.line(db, &key) else {
                assert!(here.is_empty());
                continue;
            };
            assert!(!here.is_empty(), "an empty queue is left");
            lines += 1;
            on_removal += usize::from(here.iter().any(|who| who.wait().on_removal));
            let needed = here.iter().flat_map(|who| who.shards()).filter(|&&shard| shard != OWN);
            assert!(line.shards().eq(std::collections::BTreeSet::from_iter(needed.copied())));
            let targets = here.iter().filter_map(|who| Some(who.key(who.wait().target?)));
            assert!(line.targets().eq(std::collections::BTreeSet::from_iter(targets)));
            for kind in [None, Some(Kind::List), Some(Kind::Stream), Some(Kind::Hash)] {
                let suits = |who: &&&Arc<dyn Waits>| who.wait().on_removal || Some(who.wait().kind) == kind;
                let expected = here.iter().filter(suits).map(|who| who.arrival());
                let mut after = 0;
                let found = std::iter::from_fn(|| {
                    after = line.next(after, kind)?.arrival();
                    Some(after)
                });
                assert!(found.eq(expected));
            }
        }
        assert_eq!((counts.keys(), counts.keys_on_removal()), (lines, on_removal));
        assert_eq!(queues.is_empty(), all.is_empty());
        let look = |who: &Arc<dyn Waits>| {
            let (at_ms, key) = who.wait().look?;
            Some(((at_ms, who.arrival()), (who.db(), who.key(key).into())))
        };
        assert_eq!(queues.looks, all.iter().filter_map(look).collect());
        let deadlines = all.iter().filter_map(|who| Some((who.wait().until_ms?, who.arrival())));
        let first = deadlines.clone().min();
        assert_eq!(counts.timeouts(), deadlines.count());
        assert_eq!(counts.first_ms(0), first.map_or(u64::MAX, |(at, _)| at));
        let due = counts.first_due(0, u64::MAX - 1).map(|who| who.arrival());
        assert_eq!(due, first.map(|(_, arrival)| arrival));
    }

    proptest! {
        #[test]
        fn queues_say_what_a_look_at_everybody_says(
            waiters in prop::collection::vec(any_waiter(), 1..12),
            leaving in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let (mut queues, counts) = (Waiters::default(), Waiting::new(1));
            let mut all: Vec<Arc<dyn Waits>> = Vec::new();
            for waiter in waiters {
                let who: Arc<dyn Waits> = Arc::new(Waiter { arrival: counts.arrive(), ..waiter });
                keys(&*who).for_each(|key| queues.join(OWN, key, &who, &counts));
                counts.file(&who);
                all.push(who);
                check(&queues, &counts, &all);
            }
            for index in leaving {
                if all.is_empty() {
                    break;
                }
                let who = all.remove(index.index(all.len()));
                keys(&*who).for_each(|key| queues.quit(OWN, key, &*who, &counts));
                counts.unfile(&*who);
                check(&queues, &counts, &all);
            }
        }
    }

    #[test]
    fn who_goes_on_waiting_takes_its_own_place() {
        let (mut queues, counts) = (Waiters::default(), Waiting::new(1));
        let waiter = |kind, target| {
            let wait = Wait {
                keys: SmallVec::from_slice(&[0]),
                kind,
                until_ms: Some(5),
                target,
                argv: None,
                on_removal: target.is_none(),
                look: target.map(|_| (3, 0)),
            };
            let keys = vec![b"key".to_vec(), b"target".to_vec()];
            let who: Arc<dyn Waits> = Arc::new(Waiter { arrival: 1, db: 0, keys, shards: vec![], wait });
            who
        };
        let (first, again) = (waiter(Kind::List, Some(1)), waiter(Kind::Stream, None));
        queues.join(OWN, b"key", &first, &counts);
        queues.join(OWN, b"key", &again, &counts);
        check_one(&queues, &again);
        assert_eq!(queues.next_look_ms(), u64::MAX);
        assert_eq!((counts.keys(), counts.keys_on_removal()), (1, 1));
        queues.quit(OWN, b"key", &*first, &counts);
        assert!(queues.is_empty());
        assert_eq!((counts.keys(), counts.keys_on_removal()), (0, 0));
    }

    fn check_one(queues: &Waiters, who: &Arc<dyn Waits>) {
        let line = queues.line(0, b"key").expect("somebody waits");
        assert!(Arc::ptr_eq(&line.next(0, Some(who.wait().kind)).expect("it is there"), who));
        assert_eq!((line.queue.len(), line.targets().count()), (1, 0));
    }
}
