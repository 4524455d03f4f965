//! A worker's connections, and what is to be done with them.
//!
//! For: all that a worker hands to its stand-in while a request takes long (`held_up.rs`), as one piece. May
//! touch: its connections.
//! Always: a connection whose requests run is lifted out of its seat: nobody else reaches it, its seat is
//! given to no other, and what the poll set tells of it is kept until it is back.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use rustix::event::epoll::EventFlags;
use slab::Slab;

use super::conn::Conn;
use super::poll::Events;
use super::wake::Mail;
use crate::client::Client;
use crate::exec::busy::Farewells;
use crate::resp::Buffer;

/// Connections by seat.
#[derive(Default)]
pub(super) struct Conns(Slab<Option<Box<Conn>>>);

impl Conns {
    /// The seat that the next arrival gets.
    pub fn next_seat(&self) -> usize {
        self.0.vacant_key()
    }

    /// Seats a connection.
    pub fn insert(&mut self, conn: Conn) {
        self.0.insert(Some(Box::new(conn)));
    }

    #[inline]
    pub fn get(&self, key: usize) -> Option<&Conn> {
        self.0.get(key)?.as_deref()
    }

    #[inline]
    pub fn get_mut(&mut self, key: usize) -> Option<&mut Conn> {
        self.0.get_mut(key)?.as_deref_mut()
    }

    /// All that are in their seats.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Conn)> {
        self.0.iter().filter_map(|(key, conn)| Some((key, conn.as_deref()?)))
    }

    /// Takes a connection away and frees its seat; not one that is lifted out.
    pub fn try_remove(&mut self, key: usize) -> Option<Box<Conn>> {
        self.get(key)?;
        self.0.remove(key)
    }

    /// Lifts a connection out of its seat.
    #[inline]
    pub fn lift(&mut self, key: usize) -> Option<Box<Conn>> {
        self.0.get_mut(key)?.take()
    }

    /// Puts a lifted connection back.
    #[inline]
    pub fn lower(&mut self, key: usize, conn: Box<Conn>) {
        let before = self.0[key].replace(conn);
        debug_assert!(before.is_none(), "seat {key} was given away");
    }

    /// Whether the connection of that seat is lifted out.
    pub fn is_lifted(&self, key: usize) -> bool {
        self.0.get(key).is_some_and(Option::is_none)
    }
}

impl Index<usize> for Conns {
    type Output = Conn;

    fn index(&self, key: usize) -> &Conn {
        self.get(key).expect("the seat is taken")
    }
}

impl IndexMut<usize> for Conns {
    fn index_mut(&mut self, key: usize) -> &mut Conn {
        self.get_mut(key).expect("the seat is taken")
    }
}

/// See the room's comment.
#[derive(Default)]
pub(super) struct Hall {
    pub conns: Conns,
    /// Connections to go on with at the next turn without waiting for their sockets.
    pub again: Vec<usize>,
    /// Connections that wait for the end of a pause.
    pub paused: VecDeque<usize>,
    /// Memory for the next replies.
    pub spare: Vec<Buffer>,
    /// Connections with more output than their soft limit.
    pub strained: Vec<usize>,
    /// Connections that messages were written to since the last sending.
    pub told: Vec<usize>,
    /// Ticks since which one of them waits.
    pub told_since: Option<u64>,
    /// What waits for them must not be held back.
    pub is_told_urgently: bool,
    /// Mail taken and not yet dealt with.
    pub mail: Vec<Mail>,
    /// What the last look at the poll set has found; the first `heard` are dealt with.
    pub events: Events,
    pub heard: usize,
    /// What was told of a connection while it was lifted out.
    pub missed: Option<(usize, EventFlags)>,
    /// Clients that closed while they were blocked: they leave the queues when the gate is open.
    pub gone: Vec<Arc<Client>>,
    /// What the shards are told when the gate is open.
    pub farewells: Farewells,
    /// Something is left to do that no socket will tell of.
    pub is_busy: bool,
    /// The last turn has found the gate closed by a script that has run for too long.
    pub is_held_up: bool,
}

impl Hall {
    /// The next event that is not dealt with: token and flags.
    pub fn next_event(&mut self) -> Option<(u64, EventFlags)> {
        let event = self.events.get(self.heard)?;
        self.heard += 1;
        Some(event)
    }

    /// Whether something waits for the gate to be opened.
    pub fn has_farewells(&self) -> bool {
        !self.gone.is_empty() || !self.farewells.is_empty()
    }
}
