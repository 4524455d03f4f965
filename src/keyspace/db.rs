//! One database as a command sees it: through guards.
//!
//! For: every read and write of a key. May touch: the shards that are held, the record of the command.
//! Always: a lookup decides for itself whether the key's deadline has passed, so no handler ever sees an
//! expired key, though a pause may keep it (`kept.rs`); a change is made through [`Write`] and ends with
//! [`Write::commit`], which leaves word of it in the record.

use std::sync::Arc;

use super::entry::{Entry, Kind, NewValue, ValueRef};
use super::lock::{Held, Turn};
use super::record::{Event, Garbage, Record, Touch};
use super::shard::{Keys, Shard, Tally};
use super::space::Space;
use super::table::{EntryMut, Slot};
use super::watchers::Interests;
use super::wheel::Wheel;
use crate::fault::Fault;

/// Values at least this large are freed after the locks are gone.
const LARGE_BYTES: usize = 64 * 1024;

/// A value that replaces another one beside a deadline counts as `embstr` only if it leaves this many bytes,
/// even when the deadline goes.
const EMBEDDED_DEADLINE: usize = 8;

/// What becomes of a key's deadline when its value is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// It stays as it is.
    Keep,
    /// The key lives for ever.
    Clear,
    /// The key lives until that unix time in milliseconds.
    At(u64),
}

/// Gives access to one shard after another, for commands that need no consistent view of several.
pub trait EachShard {
    /// Locks one shard, hands it to `f`, and unlocks it. What `f` records has to be handed on before that:
    /// the log numbers the effects at a key in the order in which they happened.
    fn with(&mut self, shard: usize, record: &mut Record, f: &mut dyn FnMut(&mut Shard, &mut Record));
}

impl EachShard for Turn<'_, Shard> {
    fn with(&mut self, shard: usize, record: &mut Record, f: &mut dyn FnMut(&mut Shard, &mut Record)) {
        f(self.one(shard).get_mut(shard), record);
    }
}

/// Which shards a command can reach.
pub enum Reach<'a> {
    /// None: its row declared no keys.
    Nothing,
    /// These, for as long as it runs.
    Held(Held<'a, Shard>),
    /// Any, but one at a time.
    Each(&'a mut dyn EachShard),
}

/// A key whose hash is known already.
#[derive(Clone, Copy)]
pub struct Hashed<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What the space's hasher gives for it.
    pub hash: u64,
}

/// Where a key belongs.
struct Place {
    hash: u64,
    shard: usize,
    /// How many buckets behind its home the entry was seen; it may have moved.
    distance: u8,
}

/// A database under the locks of the present command.
pub struct Db<'a> {
    reach: Reach<'a>,
    /// The key that most commands begin with.
    first: Option<Hashed<'a>>,
    /// How many buckets behind its home the entry of that key was seen, as in [`Place`].
    distance: u8,
    space: &'a Space,
    index: usize,
    now_ms: u64,
    /// What the command has done so far.
    pub record: &'a mut Record,
}

impl<'a> Db<'a> {
    /// Database `index` at the instant `now_ms`.
    pub fn new(
        reach: Reach<'a>,
        space: &'a Space,
        index: usize,
        now_ms: u64,
        record: &'a mut Record,
    ) -> Db<'a> {
        Db { reach, first: None, distance: 0, space, index, now_ms, record }
    }

    /// Spares this key the hashing.
    #[inline]
    pub fn knowing(self, first: Option<Hashed<'a>>) -> Db<'a> {
        debug_assert!(first.is_none_or(|first| first.hash == self.space.hasher.hash(first.key)));
        Db { first, distance: 0, ..self }
    }

    /// The shard, if it is held.
    #[inline]
    pub fn shard(&self, shard: usize) -> Option<&Shard> {
        match &self.reach {
            Reach::Held(held) if held.holds(shard) => Some(held.get(shard)),
            _ => None,
        }
    }

    /// Reaches what is held, after [`Db::leave`].
    #[inline]
    pub fn hold(&mut self, held: Held<'a, Shard>) {
        debug_assert!(self.reaches_nothing(), "a thread holds one set of shards at a time");
        self.reach = Reach::Held(held);
    }

    /// Goes on with another command, of database `index` at the instant `now_ms`, whose only key is this, and
    /// whose shard is held. Its entry was seen `distance` buckets behind its home, and may have moved.
    #[inline]
    pub fn come_to(&mut self, first: Hashed<'a>, distance: u8, index: usize, now_ms: u64) {
        debug_assert!(first.hash == self.space.hasher.hash(first.key));
        (self.first, self.distance) = (Some(first), distance);
        (self.index, self.now_ms) = (index, now_ms);
    }

    /// Lets go of what is held.
    #[inline]
    pub fn leave(&mut self) {
        self.reach = Reach::Nothing;
    }

    /// The dataset it belongs to.
    pub fn space(&self) -> &'a Space {
        self.space
    }

    /// Index of the database.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The instant at which the whole command runs, unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Goes on with another database; returns the present one. `index` is below `databases`.
    pub fn switch(&mut self, index: usize) -> usize {
        debug_assert!(index < self.space.databases);
        std::mem::replace(&mut self.index, index)
    }

    /// Whether effects are wanted; handlers whose effect differs from the command as it came ask this first.
    pub fn logs(&self) -> bool {
        self.record.logs
    }

    /// Says in which form this command is propagated, in place of the command as it came.
    pub fn propagate(&mut self, argv: &[&[u8]]) {
        let db = self.index;
        self.record.rewrite(db, argv);
    }

    /// Says that the removal of a key whose new deadline had passed already is what is propagated.
    pub fn propagate_removal(&mut self, key: &[u8]) {
        self.propagate(&[self.record.expire_verb, key]);
    }

    #[inline]
    fn locate(&self, key: &[u8]) -> Place {
        let (hash, distance) = match self.first {
            Some(first) if std::ptr::eq(first.key, key) => (first.hash, self.distance),
            _ => (self.space.hasher.hash(key), 0),
        };
        Place { hash, shard: self.space.shard_of(hash), distance }
    }

    /// Whether it can reach no shard.
    pub fn reaches_nothing(&self) -> bool {
        matches!(self.reach, Reach::Nothing)
    }

    /// Looks a key up without touching it or counting the lookup.
    pub fn peek(&mut self, key: &[u8]) -> Option<&Entry> {
        let Place { hash, shard, distance } = self.locate(key);
        let (db, now) = (self.index, self.now_ms);
        let (keys, interests) = held(&mut self.reach).get_mut(shard).parts_mut(db);
        let Keys { table, tally, .. } = keys?;
        let slot = table.slot_near(hash, key, distance);
        match self.record.see((self.space, db, hash), now, slot, (tally, interests)) {
            Ok(slot) => slot.into_entry(),
            Err(copy) => copy.map(|at| self.record.copy(at)),
        }
    }

    /// Looks a key up that was looked up before by the same command with one of the methods that expire what
    /// is due; several answers can be held at a time.
    pub fn look(&self, key: &[u8]) -> Option<&Entry> {
        let entry = self.stored(key)?;
        match entry.next_due_ms() {
            Some(at) if at <= self.now_ms => self.record.look_at(self.index, entry, self.now_ms),
            _ => Some(entry),
        }
    }

    /// What lies under a key, even if it is due. For commands that show the inside.
    pub fn stored(&self, key: &[u8]) -> Option<&Entry> {
        let Place { hash, shard, .. } = self.locate(key);
        let Reach::Held(held) = &self.reach else {
            unreachable!("a command reached for a key that its row does not declare")
        };
        held.get(shard).keys(self.index)?.table.find(hash, key)
    }

    /// Looks a key up as a read does: counts a hit or a miss and notes the access.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<&Entry> {
        let Place { hash, shard, distance } = self.locate(key);
        let (db, now) = (self.index, self.now_ms);
        let (keys, interests) = held(&mut self.reach).get_mut(shard).parts_mut(db);
        if let Some(Keys { table, tally, .. }) = keys {
            let slot = table.slot_near(hash, key, distance);
            match self.record.see((self.space, db, hash), now, slot, (tally, interests)) {
                Ok(mut slot) => {
                    if let Some(mut entry) = slot.entry_mut() {
                        self.record.counts.hits += 1;
                        self.record.touch(&mut entry, now);
                        return slot.into_entry();
                    }
                }
                Err(Some(copy)) => {
                    self.record.counts.hits += 1;
                    return Some(self.record.copy(copy));
                }
                Err(None) => {}
            }
        }
        self.record.counts.misses += 1;
        self.record.happened(db, Event::KEY_MISS, key);
        None
    }

    /// [`read`](Db::read), for a command that works on strings only.
    #[inline]
    pub fn read_string(&mut self, key: &[u8]) -> Result<Option<ValueRef<'_>>, Fault> {
        match self.read(key) {
            None => Ok(None),
            Some(entry) if entry.kind() == Kind::String => Ok(Some(entry.value())),
            Some(_) => Err(Fault::WRONG_TYPE),
        }
    }

    /// Opens a key for writing: creates nothing, changes nothing yet. `key` must outlive the guard.
    pub fn open<'w>(&'w mut self, key: &'w [u8]) -> Write<'w> {
        let Place { hash, shard, distance } = self.locate(key);
        let (db, space) = (self.index, self.space);
        let (keys, mut interests) = held(&mut self.reach).get_mut(shard).make_parts(db, &space.hasher);
        keys.tidy(&space.hasher);
        if keys.table.has_retired() {
            self.record.retired.append(&mut keys.table.take_retired());
        }
        let Keys { table, wheel, tally } = keys;
        let slot = table.slot_near(hash, key, distance);
        let (now_ms, record) = (self.now_ms, &mut *self.record);
        let slot = record.settle((db, hash), now_ms, slot, (tally, interests.as_deref_mut()));
        let (is_open, emptied) = (IsOpen(false), false);
        Write { slot, hash, wheel, tally, space, record, key, db, now_ms, is_open, emptied, interests }
    }

    /// Changes an integer where it lies, as a [`Write`] that ends with this event. `None`: nothing was done.
    /// Either `change` has no new value for the old one, or it is for [`open`](Db::open) to say what there
    /// is: no such key, another value, something that is due, or others with an interest in this shard.
    #[inline]
    pub fn change_int(
        &mut self,
        key: &[u8],
        event: Event,
        change: impl FnOnce(i64) -> Option<i64>,
    ) -> Option<i64> {
        let Place { hash, shard, distance } = self.locate(key);
        let (Some(keys), None) = held(&mut self.reach).get_mut(shard).parts_mut(self.index) else {
            return None;
        };
        let mut slot = keys.table.slot_near(hash, key, distance);
        let mut entry = slot.entry_mut()?;
        if entry.next_due_ms().is_some_and(|at| at <= self.now_ms) {
            return None;
        }
        let new = entry.change_int(change)?;
        self.record.touch(&mut entry, self.now_ms);
        self.record.dirty += 1;
        self.record.happened(self.index, event, key);
        Some(new)
    }

    /// Database `index` under the same locks, for another command that follows from this one.
    pub fn lend(&mut self, index: usize) -> Db<'_> {
        let reach = match &mut self.reach {
            Reach::Held(held) => Reach::Held(held.lend()),
            Reach::Nothing | Reach::Each(_) => Reach::Nothing,
        };
        Db::new(reach, self.space, index, self.now_ms, &mut *self.record)
    }

    /// The shards that are held for the whole command; `None` where there are none.
    pub fn held(&mut self) -> Option<&mut Held<'a, Shard>> {
        match &mut self.reach {
            Reach::Held(held) => Some(held),
            Reach::Nothing | Reach::Each(_) => None,
        }
    }

    /// Goes on at another instant: a clock that was moved passes all between. Never back.
    pub fn pass_to(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Before keys of another database are looked at beside those of this one: if something there was found
    /// due at a later instant than the command's, which only tells of its own database, it goes on to the
    /// present one.
    pub fn catch_up_with(&mut self, index: usize) {
        let now_ms = self.now_ms;
        if held(&mut self.reach).any(|shard| shard.has_passed(index, now_ms)) {
            self.now_ms = now_ms.max(self.space.clock.now_ms());
        }
    }

    /// Hands one shard after another to `f`, from `from` on, until it says false. For rows that lock
    /// `OneShardAtATime` or `All`.
    pub fn each_shard(&mut self, from: usize, mut f: impl FnMut(usize, &mut Shard, &mut Record) -> bool) {
        for index in from..self.space.shard_count() {
            let record = &mut *self.record;
            let mut go_on = true;
            match &mut self.reach {
                Reach::Held(held) => go_on = f(index, held.get_mut(index), record),
                Reach::Each(each) => {
                    each.with(index, record, &mut |shard, record| go_on = f(index, shard, record));
                }
                Reach::Nothing => unreachable!("the row declares no shards"),
            }
            if !go_on {
                return;
            }
        }
    }
}

/// The shards of a command whose row declares keys, or everything.
#[inline]
fn held<'r, 'a>(reach: &'r mut Reach<'a>) -> &'r mut Held<'a, Shard> {
    match reach {
        Reach::Held(held) => held,
        _ => unreachable!("a command reached for a key that its row does not declare"),
    }
}

/// Whether the entry's deadline has passed.
#[inline]
pub fn is_due(entry: &Entry, now_ms: u64) -> bool {
    entry.deadline_ms().is_some_and(|at| at <= now_ms)
}

impl Record {
    /// Lets what is due at `now_ms` go: the entry, if there is one, or fields of it. Its place stays for
    /// another. `place` is the database and the key's hash. (Pairs travel in registers.)
    #[inline]
    pub(super) fn settle<'t>(
        &mut self,
        place: (usize, u64),
        now_ms: u64,
        slot: Slot<'t>,
        around: (&mut Tally, Option<&mut Interests>),
    ) -> Slot<'t> {
        match slot.entry().and_then(Entry::next_due_ms) {
            Some(at) if at <= now_ms => {
                let mut all = usize::MAX;
                self.expire(place, now_ms, slot, around, &mut all)
            }
            _ => slot,
        }
    }

    /// Lets an entry go that is due at `now_ms`, or up to `fields` fields of it that are; takes their number
    /// off that.
    #[cold]
    pub(super) fn expire<'t>(
        &mut self,
        (db, hash): (usize, u64),
        now_ms: u64,
        mut slot: Slot<'t>,
        (tally, interests): (&mut Tally, Option<&mut Interests>),
        fields: &mut usize,
    ) -> Slot<'t> {
        let Some(mut entry) = slot.entry_mut() else { return slot };
        if let Some(interests) = interests {
            interests.lapsed(db, entry.key(), self);
        }
        tally.expired_ms = tally.expired_ms.max(now_ms);
        let is_due = is_due(&entry, now_ms);
        if !is_due && !self.expire_fields(db, &mut entry, now_ms, fields) {
            tally.volatile -= u64::from(!entry.has_field_deadlines());
            return slot;
        }
        let entry = slot.take(hash).expect("it was there just now");
        tally.sub_entry(&entry);
        if is_due {
            self.expired(db, entry);
        } else {
            self.happened(db, Event::DEL, entry.key());
            self.discard(entry);
        }
        slot
    }

    /// Notes that an entry, already taken out of its table, has expired.
    pub fn expired(&mut self, db: usize, entry: Entry) {
        self.counts.expired += 1;
        self.happened(db, Event::EXPIRED, entry.key());
        self.effect(db, &[self.expire_verb, entry.key()]);
        self.discard(entry);
    }

    /// Frees an entry: at once when that is quick, after the locks when it is not.
    pub fn discard(&mut self, entry: Entry) {
        let is_large = match entry.kind() {
            Kind::String => matches!(entry.value(), ValueRef::Shared(bytes) if bytes.len() >= LARGE_BYTES),
            _ => entry.is_boxed(),
        };
        if is_large {
            self.garbage.push(Garbage::Entry(entry));
        }
    }

    #[inline]
    pub(super) fn touch(&mut self, entry: &mut EntryMut<'_>, now_ms: u64) {
        match self.touch {
            Touch::No => {}
            Touch::Lru => entry.set_lru((now_ms / 1000) as u32 & 0xff_ffff),
            Touch::Lfu { log_factor, decay_minutes } => {
                let field = super::lfu::decayed(entry.lru(), now_ms, decay_minutes);
                let chance = self.chance.f64();
                entry.set_lru(super::lfu::accessed(field, now_ms, log_factor, chance));
            }
        }
    }

    /// The access field of a new entry.
    pub fn first_touch(&self, now_ms: u64) -> u32 {
        match self.touch {
            Touch::Lfu { .. } => super::lfu::fresh(now_ms),
            _ => (now_ms / 1000) as u32 & 0xff_ffff,
        }
    }
}

/// A key opened for writing. Ends with [`commit`](Write::commit) when something was changed; dropping one
/// that changed something without it panics in debug builds.
pub struct Write<'w> {
    pub(super) slot: Slot<'w>,
    pub(super) hash: u64,
    wheel: &'w mut Option<Box<Wheel>>,
    pub(super) tally: &'w mut Tally,
    pub(super) space: &'w Space,
    pub(super) record: &'w mut Record,
    pub(super) key: &'w [u8],
    db: usize,
    pub(super) now_ms: u64,
    is_open: IsOpen,
    /// The last element of a collection has gone: the key goes with the commit.
    pub(super) emptied: bool,
    /// Who wants to know of changes here.
    interests: Option<&'w mut Interests>,
}

impl Write<'_> {
    /// The entry as it stands, if the key exists.
    pub fn entry(&self) -> Option<&Entry> {
        self.slot.entry()
    }

    /// Whether the key exists.
    pub fn exists(&self) -> bool {
        self.entry().is_some()
    }

    /// The string value, if the key exists; an error if it holds something else.
    pub fn string(&self) -> Result<Option<ValueRef<'_>>, Fault> {
        match self.entry() {
            None => Ok(None),
            Some(entry) if entry.kind() == Kind::String => Ok(Some(entry.value())),
            Some(_) => Err(Fault::WRONG_TYPE),
        }
    }

    /// Counts the lookup as a read does, for commands that return what they replace, and notes the access.
    pub fn count_lookup(&mut self) {
        if let Some(mut entry) = self.slot.entry_mut() {
            self.record.counts.hits += 1;
            self.record.touch(&mut entry, self.now_ms);
        } else {
            self.record.counts.misses += 1;
            self.record.happened(self.db, Event::KEY_MISS, self.key);
        }
    }

    /// Notes an access as a read does, for commands that change something else than the value.
    pub fn touch(&mut self) {
        if let Some(mut entry) = self.slot.entry_mut() {
            self.record.touch(&mut entry, self.now_ms);
        }
    }

    #[inline]
    pub(super) fn occupied(&mut self) -> EntryMut<'_> {
        self.slot.entry_mut().expect("the caller has seen that the key exists")
    }

    /// Sets a value, whatever was there. The entry loses the mark of an edited string.
    #[inline]
    pub fn set(&mut self, value: NewValue<'_>, deadline: Deadline) {
        self.change();
        if let Some(mut entry) = self.slot.entry_mut()
            && !matches!(deadline, Deadline::At(_))
        {
            match entry.replace_string(value) {
                Ok(()) => self.record.touch(&mut entry, self.now_ms),
                Err(value) => self.set_anew(value, deadline),
            }
        } else {
            self.set_anew(value, deadline);
        }
    }

    fn set_anew(&mut self, value: NewValue<'_>, deadline: Deadline) {
        match self.slot.entry_mut() {
            Some(mut entry) => {
                self.tally.volatile -= u64::from(entry.has_field_deadlines());
                if entry.is_boxed() {
                    self.record.garbage.extend(entry.detach_box().map(Garbage::Value));
                } else if entry.kind() == Kind::String
                    && let ValueRef::Shared(bytes) = entry.value()
                    && bytes.len() >= LARGE_BYTES
                {
                    self.record.garbage.push(Garbage::Bytes(Arc::clone(bytes)));
                }
                let taken = if entry.deadline_ms().is_some() { EMBEDDED_DEADLINE } else { 0 };
                entry.set_value(value);
                if entry.kind() == Kind::String {
                    entry.set_raw(taken > 0 && !entry.is_embeddable(taken));
                }
                self.record.touch(&mut entry, self.now_ms);
                match deadline {
                    Deadline::Keep => {}
                    Deadline::Clear => self.set_deadline(None),
                    Deadline::At(at) => self.set_deadline(Some(at)),
                }
            }
            None => {
                let at = if let Deadline::At(at) = deadline { Some(at) } else { None };
                let mut entry = Entry::new(self.key, value, at);
                entry.set_lru(self.record.first_touch(self.now_ms));
                self.slot.insert(self.hash, entry);
                self.inserted(at);
            }
        }
    }

    /// Puts an entry made elsewhere (RENAME, COPY, MOVE) in place of what was there. Its key is this guard's
    /// key.
    pub fn put(&mut self, entry: Entry) {
        debug_assert_eq!(entry.key(), self.key);
        self.change();
        self.tally.volatile += u64::from(entry.has_field_deadlines());
        let deadline = entry.deadline_ms();
        if let Some(mut there) = self.slot.entry_mut() {
            let old = there.replace(entry);
            self.tally.sub_entry(&old);
            self.record.discard(old);
        } else {
            self.slot.insert(self.hash, entry);
        }
        self.inserted(deadline);
    }

    pub(super) fn inserted(&mut self, deadline: Option<u64>) {
        self.occupied().set_filed(false);
        if let Some(at) = deadline {
            self.tally.add(at);
        }
        if let Some(at) = self.occupied().next_due_ms() {
            self.file(at);
        }
        self.record.happened(self.db, Event::NEW, self.key);
    }

    /// Edits the string in place as a byte vector; the key exists and holds a string. An integer becomes its
    /// digits first, and the string counts as edited (OBJECT ENCODING `raw`).
    pub fn edit<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.change();
        self.touch();
        self.occupied().edit_bytes(f)
    }

    /// Changes bytes of the string without changing its length; `None` when it is stored as an integer.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        self.change();
        self.touch();
        self.occupied().into_bytes_mut()
    }

    /// Says that the string counts as edited (OBJECT ENCODING `raw`), as results that are built in memory do.
    pub fn set_raw(&mut self) {
        self.change();
        self.occupied().set_raw(true);
    }

    /// Replaces the value alone, with an integer: deadline and marks stay (INCR). One that was an integer
    /// before is changed where it lies.
    #[inline]
    pub fn set_int(&mut self, value: i64) {
        if let Some(mut entry) = self.slot.entry_mut()
            && entry.replace_int(value)
        {
            self.record.touch(&mut entry, self.now_ms);
            self.change();
        } else {
            self.set(NewValue::Int(value), Deadline::Keep);
        }
    }

    /// Changes the deadline of an existing key.
    pub fn set_deadline(&mut self, deadline: Option<u64>) {
        self.change();
        let mut entry = self.occupied();
        let old = entry.deadline_ms();
        if old == deadline {
            return;
        }
        let filed_ms = entry.next_due_ms().filter(|_| entry.is_filed());
        entry.set_deadline(deadline);
        if let Some(old) = old {
            self.tally.sub(old);
        }
        if let Some(at) = deadline {
            self.tally.add(at);
        }
        self.refile(filed_ms);
    }

    /// Files the key for what is due first now. `filed_ms`: for when it is filed already, if it is; an item
    /// that fires too early finds the later deadline and files the key again.
    pub(super) fn refile(&mut self, filed_ms: Option<u64>) {
        if let Some(at) = self.occupied().next_due_ms()
            && filed_ms.is_none_or(|filed_ms| filed_ms > at)
        {
            self.file(at);
        }
    }

    fn file(&mut self, at: u64) {
        let (shard, now_ms) = (self.space.shard_of(self.hash), self.now_ms);
        let wheel = self.wheel.get_or_insert_with(|| Box::new(Wheel::nth(shard, now_ms)));
        let comes_up_ms = wheel.file(at, self.hash);
        self.space.arm(shard, comes_up_ms);
        self.occupied().set_filed(true);
    }

    /// Takes the entry out of the table, which is the last thing this guard does but for its commit; the key
    /// exists.
    pub fn take(&mut self) -> Entry {
        self.change();
        let entry = self.slot.take(self.hash).expect("the caller saw it");
        self.tally.sub_entry(&entry);
        entry
    }

    /// Removes the key; the key exists.
    pub fn remove(&mut self) {
        let entry = self.take();
        self.record.discard(entry);
    }

    /// Something is about to change: from here to the commit a panic may leave the data half changed.
    #[inline]
    pub(super) fn change(&mut self) {
        self.is_open.0 = true;
        self.record.is_broken = true;
    }

    /// All changes were made, or none.
    #[inline]
    pub(super) fn close(&mut self) {
        self.is_open.0 = false;
        self.record.is_broken = false;
    }

    /// Ends the write with its event: one change.
    #[inline(always)]
    pub fn commit(self, event: Event) {
        self.commit_counting(event, 1);
    }

    /// Ends the write with its event: so many changes. A key that has lost its last element goes.
    #[inline(always)]
    pub fn commit_counting(mut self, event: Event, changes: u64) {
        self.close();
        // Taken apart, so that it need not be moved to where it ends.
        let Write { slot, hash, tally, record, key, db, emptied, interests, .. } = self;
        record.dirty += changes;
        if emptied || record.listens || interests.is_some() {
            tell(record, (db, key, event), emptied.then_some((slot, hash, tally)), interests);
        }
    }

    /// Ends a write that made the whole change of a command that counts as several, or whose event another
    /// guard tells.
    pub fn commit_silently(mut self) {
        debug_assert!(!self.emptied, "who empties a key tells of it");
        self.close();
        if let Some(interests) = self.interests {
            interests.changed(self.db, self.key, self.record);
        }
    }

    /// Ends a write of so many changes that has no event of its own and gives nobody anything to wait for.
    pub fn commit_quietly(mut self, changes: u64) {
        debug_assert!(!self.emptied, "who empties a key tells of it");
        self.close();
        self.record.dirty += changes;
    }

    /// Ends a write of so many changes that has no event of its own, of which those who wait for the key
    /// hear, but not those who watch it.
    pub fn commit_waking(mut self, changes: u64) {
        debug_assert!(!self.emptied, "who empties a key tells of it");
        self.close();
        self.record.dirty += changes;
        if let Some(interests) = self.interests {
            interests.wake(self.db, self.key, self.record);
        }
    }

    /// Ends a write with its event, one change, of which those who wait for the key hear, but not those who
    /// watch it.
    pub fn commit_unwatched(mut self, event: Event) {
        debug_assert!(!self.emptied, "who empties a key tells of it");
        self.close();
        self.record.dirty += 1;
        self.record.happened(self.db, event, self.key);
        if let Some(interests) = self.interests {
            interests.wake(self.db, self.key, self.record);
        }
    }

    /// Adds a further event of the same write (`expire` after `set`).
    pub fn also(&mut self, event: Event) {
        self.record.happened(self.db, event, self.key);
    }
}

/// The part of a commit that somebody hears of, or that takes away a key that was emptied.
#[cold]
fn tell(
    record: &mut Record,
    (db, key, event): (usize, &[u8], Event),
    emptied: Option<(Slot<'_>, u64, &mut Tally)>,
    interests: Option<&mut Interests>,
) {
    record.happened(db, event, key);
    if let Some((mut slot, hash, tally)) = emptied {
        let entry = slot.take(hash).expect("what was emptied is there");
        tally.sub_entry(&entry);
        record.discard(entry);
        record.happened(db, Event::DEL, key);
    }
    if let Some(interests) = interests {
        interests.changed(db, key, record);
    }
}

/// Whether a write has changed something and was not ended yet.
struct IsOpen(bool);

#[cfg(debug_assertions)]
impl Drop for IsOpen {
    fn drop(&mut self) {
        assert!(!self.0 || std::thread::panicking(), "a write ended without saying what it did");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::*;
    use crate::clock::{Chance, Clock};

    /// Runs `f` on a database with everything held; whether it panicked, and whether data may be broken then.
    fn is_caught(f: impl FnOnce(&mut Db<'_>)) -> (bool, bool) {
        let space = Space::new(1, 0, 1, 7, Clock::real(), Box::new(|_| ()));
        let mut record = Record::new(Chance::new(1));
        let mut part = space.shards.part(0);
        let mut turn = part.enter(Duration::MAX).expect("nobody else is here");
        turn.go_exclusive();
        let mut db = Db::new(Reach::Held(turn.all()), &space, 0, 1, &mut record);
        let caught = catch_unwind(AssertUnwindSafe(|| f(&mut db)));
        (caught.is_err(), db.record.is_broken)
    }

    #[test]
    fn only_a_panic_within_a_change_breaks_data() {
        let set = |db: &mut Db<'_>| {
            let mut w = db.open(b"key");
            w.set_int(1);
            w.commit(Event::SET);
        };
        assert_eq!(is_caught(set), (false, false));
        let after = |db: &mut Db<'_>| {
            set(db);
            let w = db.open(b"key");
            panic!("the key is there: {}", w.exists());
        };
        assert_eq!(is_caught(after), (true, false));
        let within = |db: &mut Db<'_>| {
            let mut w = db.open(b"key");
            w.set_int(2);
            panic!("the key is there: {}", w.exists());
        };
        assert_eq!(is_caught(within), (true, true));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_write_says_what_it_did() {
        assert_eq!(is_caught(|db| db.open(b"key").set_int(1)), (true, true));
        assert_eq!(is_caught(|db| drop(db.open(b"key"))), (false, false));
    }
}
