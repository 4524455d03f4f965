//! A dataset to try handlers' inner functions on, without clients.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Chance, Clock};
use crate::keyspace::db::Reach;
use crate::keyspace::lock::Part;
use crate::keyspace::{Db, Deadline, Event, NewValue, Record, Shard, Space};

/// A dataset of four databases that one thread has to itself, and the record of what is done to it.
pub struct Trial {
    pub space: Arc<Space>,
    pub record: Record,
    /// The instant of the next command.
    pub now_ms: u64,
    part: Part<Shard>,
}

impl Trial {
    pub fn new() -> Trial {
        let space = Arc::new(Space::new(1, 0, 4, 7, Clock::real(), Box::new(|_| ())));
        let part = space.shards.part(0);
        let mut record = Record::new(Chance::new(7));
        (record.listens, record.logs) = (true, true);
        Trial { space, record, now_ms: 1_000_000, part }
    }

    /// Runs a command on database 0 with everything held.
    pub fn run<R>(&mut self, command: impl FnOnce(&mut Db<'_>) -> R) -> R {
        self.record.begin();
        let mut turn = self.part.enter(Duration::MAX).expect("nobody else is there");
        turn.go_exclusive();
        command(&mut Db::new(Reach::Held(turn.all()), &self.space, 0, self.now_ms, &mut self.record))
    }

    /// Runs a command that locks one shard at a time.
    pub fn run_by_shard<R>(&mut self, command: impl FnOnce(&mut Db<'_>) -> R) -> R {
        self.record.begin();
        let mut turn = self.part.enter(Duration::MAX).expect("nobody else is there");
        command(&mut Db::new(Reach::Each(&mut turn), &self.space, 0, self.now_ms, &mut self.record))
    }

    pub fn set(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<u64>) {
        self.run(|db| {
            let mut key = db.open(key);
            key.set(NewValue::Bytes(value), deadline_ms.map_or(Deadline::Clear, Deadline::At));
            key.commit(Event::SET);
        });
    }

    /// Events of the last command, as `database:event=key`.
    pub fn events(&self) -> Vec<String> {
        let show = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let happened = self.record.happenings.iter();
        happened.map(|it| format!("{}:{}={}", it.db, it.event.name, show(&it.key))).collect()
    }

    /// Effects of the last command, each as one line.
    pub fn effects(&self) -> Vec<String> {
        let show = |argv: &[Box<[u8]>]| String::from_utf8_lossy(&argv.join(&b' ')).into_owned();
        self.record.effects.iter().map(|effect| show(&effect.argv)).collect()
    }
}
