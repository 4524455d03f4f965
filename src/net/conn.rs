//! One connection.
//!
//! For: its stream, its place in the protocol, what it has yet to run and to send. May touch: its own socket.
//! Always: between turns it holds bytes only while half a request or unsent replies wait.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::transport::Transport;
use crate::client::Session;
use crate::client::registry::bump;
use crate::command::Host;
use crate::config::{self, OutputLimit};
use crate::observe::stats::add;
use crate::resp::{Limits, Out, OwnedArgs, Parser, ProtocolError};

/// Bytes of one connection sent before others have their turn.
const SEND_BYTES: usize = 1024 * 1024;
/// Bytes of one large argument received before others have their turn.
const RECEIVE_BYTES: usize = 4 * 1024 * 1024;
/// Pieces of one vectored write.
const PIECES: usize = 64;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed, or the socket broke.
    Peer,
    /// We close, having sent what there was.
    Ours,
    /// Its half-received request outgrew `client-query-buffer-limit`.
    QueryLimit,
    /// Its waiting replies outgrew `client-output-buffer-limit`.
    OutputLimit,
}

/// Bytes of replies that are always sent, however low the limit: each client of Redis has a buffer of this
/// size, which its limit is not about.
const UNCOUNTED_BYTES: usize = 16 * 1024;

/// How long more than the soft limit may wait, in nanoseconds.
pub fn soft_ns(limit: OutputLimit) -> u64 {
    (limit.soft_seconds.max(0) as u64).saturating_mul(1_000_000_000)
}

/// A connection.
pub struct Conn {
    /// The socket.
    pub stream: Box<dyn Transport>,
    /// The commands' state.
    pub session: Session,
    /// Where the parser is.
    pub parser: Parser,
    /// What the parser allows.
    pub limits: Limits,
    /// Bytes received and not yet parsed to their end.
    pub input: Vec<u8>,
    /// `input` may hold complete requests.
    pub has_more: bool,
    /// Requests that wait for the end of a pause or of a wait, before those in `input`.
    pub waiting: VecDeque<OwnedArgs>,
    /// Its last request is blocked: nothing is read, and nothing runs, until its reply has come.
    pub is_parked: bool,
    /// Replies not sent yet.
    pub out: Out,
    /// What is wrong with its last bytes; told after the requests before them.
    pub broken: Option<ProtocolError>,
    /// The peer sends no more; it may still read.
    pub is_heard_out: bool,
    /// A message was written to it that is not sent yet.
    pub is_told: bool,
    /// The last read took all there was: the socket will tell when more comes.
    pub is_dry: bool,
    /// The socket took less than it was given: it will tell when it takes more.
    pub is_full: bool,
    /// The count of arrivals in which it last had something to read.
    pub seen: u32,
    /// What the poll set watches it for.
    pub watched: Watched,
    /// Since when more replies wait than the soft limit of its class allows, monotonic nanoseconds.
    pub strained_ns: Option<u64>,
    /// Why it is over.
    pub end: Option<End>,
    /// Where its traffic is counted.
    host: Arc<Host>,
}

/// What the poll set watches a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Ended by the peer, while it is not read.
    pub end: bool,
    /// It is told of as long as it is ready, instead of once whenever it becomes so. Costs a look at the
    /// socket more for each event; once needed it stays.
    pub level: bool,
}

impl Conn {
    /// A connection that has just arrived.
    pub fn new(stream: Box<dyn Transport>, session: Session, host: Arc<Host>) -> Conn {
        Conn {
            stream,
            session,
            parser: Parser::new(),
            limits: Limits::default(),
            input: Vec::new(),
            has_more: false,
            waiting: VecDeque::new(),
            is_parked: false,
            out: Out::new(),
            broken: None,
            is_heard_out: false,
            is_told: false,
            is_dry: false,
            is_full: false,
            seen: 0,
            watched: Watched { read: true, write: false, end: false, level: false },
            strained_ns: None,
            end: None,
            host,
        }
    }

    /// Counts a read from the socket.
    fn count_read(&self, n: usize) {
        let lane = self.host.observe.lane(self.session.client.worker);
        add(&lane.reads, 1);
        add(&lane.received, n as u64);
        bump(&self.session.client.received, n as u64);
    }

    /// Counts a write to the socket.
    fn count_write(&self, n: usize) {
        let lane = self.host.observe.lane(self.session.client.worker);
        add(&lane.writes, 1);
        add(&lane.sent, n as u64);
        bump(&self.session.client.sent, n as u64);
    }

    /// Notes what a read or write said: `Ok(None)` when the socket has or takes nothing now.
    fn settle(&mut self, result: io::Result<usize>) -> Option<usize> {
        match result {
            Ok(n) => Some(n),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(_) => {
                self.end = Some(End::Peer);
                None
            }
        }
    }

    /// Notes the number of bytes that a read of up to `room` answered, or the end of the stream.
    fn received(&mut self, room: usize, result: io::Result<usize>) -> usize {
        self.is_dry = match &result {
            Ok(n) => *n < room,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        let Some(n) = self.settle(result) else { return 0 };
        self.is_heard_out |= n == 0;
        self.count_read(n);
        n
    }

    /// Reads what is there into `buf`; the number of bytes.
    pub fn receive(&mut self, buf: &mut [u8]) -> usize {
        let result = self.stream.read(buf);
        self.received(buf.len(), result)
    }

    /// Reads what is there behind the input that is kept; the number of bytes.
    pub fn receive_behind(&mut self, room: usize) -> usize {
        self.input.reserve(room);
        let room = self.input.capacity() - self.input.len();
        let result = self.stream.read_spare(&mut self.input);
        self.received(room, result)
    }

    /// While a large argument is being received: reads into it, as far as others are not held up. Whether it
    /// is complete.
    pub fn receive_big(&mut self, buf: &mut [u8]) -> bool {
        let mut taken = 0;
        while taken < RECEIVE_BYTES {
            let Some(target) = self.parser.target().filter(|target| target.missing > 0) else { return true };
            let spare = target.data.capacity() - target.data.len();
            let (wanted, result) = if spare > 0 && spare <= target.missing {
                (spare, self.stream.read_spare(target.data))
            } else {
                let room = target.missing.min(buf.len());
                let result = self.stream.read(&mut buf[..room]);
                if let Ok(n) = result {
                    target.data.extend_from_slice(&buf[..n]);
                }
                (room, result)
            };
            let n = self.received(wanted, result);
            if n < wanted {
                break;
            }
            taken += n;
        }
        self.parser.target().is_none_or(|target| target.missing == 0)
    }

    /// Sends what waits, as far as the socket takes it and others are not held up; nothing while it is full.
    pub fn send(&mut self) {
        let mut sent = 0;
        while !self.out.is_empty() && sent < SEND_BYTES && self.end.is_none() && !self.is_full {
            let result = match self.out.as_slice() {
                Some(bytes) => self.stream.write_one(bytes),
                None => {
                    let mut pieces = [IoSlice::new(&[]); PIECES];
                    let filled = self.out.chunks(&mut pieces);
                    self.stream.write(&pieces[..filled])
                }
            };
            let Some(n) = self.settle(result) else {
                self.is_full = true;
                continue;
            };
            self.out.consume(n);
            self.count_write(n);
            sent += n;
        }
        let client = &self.session.client;
        let left = self.out.len_bytes();
        if left > 0 || client.output_bytes.load(Ordering::Relaxed) > 0 {
            client.output_bytes.store(left, Ordering::Relaxed);
        }
    }

    /// The class whose output limit it has.
    pub fn class(&self) -> config::Class {
        if self.session.is_subscriber() { config::Class::Pubsub } else { config::Class::Normal }
    }

    /// Before sending: notes that it is over when its replies are larger than the hard limit, although the
    /// peer might well take them.
    pub fn limit_replies(&mut self, limit: OutputLimit) {
        let bytes = self.out.len_bytes();
        let is_counted = limit.hard_bytes > 0 && bytes > UNCOUNTED_BYTES;
        if is_counted && bytes as u64 >= limit.hard_bytes && self.end.is_none() {
            self.end = Some(End::OutputLimit);
        }
    }

    /// Notes that it is over when more than `hard_bytes` of replies wait, or more than `soft_bytes` for
    /// longer than `soft_seconds`; 0 bytes are no limit. `now_ns`: monotonic.
    pub fn limit_output(&mut self, limit: OutputLimit, now_ns: u64) {
        let exceeds = |limit: u64| limit > 0 && self.out.len_bytes() as u64 > limit;
        let since = exceeds(limit.soft_bytes).then(|| self.strained_ns.unwrap_or(now_ns));
        let is_late = since.is_some_and(|since| now_ns > since.saturating_add(soft_ns(limit)));
        if (is_late || exceeds(limit.hard_bytes)) && self.end.is_none() {
            self.end = Some(End::OutputLimit);
        }
        self.strained_ns = since;
    }

    /// Nothing of what the peer has sent waits to be run, and nothing more will come. Who has gone while it
    /// was blocked waits for nothing any more.
    pub fn is_done(&self) -> bool {
        self.is_heard_out && (self.is_parked || !self.has_more && self.waiting.is_empty())
    }

    /// Bytes held for requests that are not complete.
    pub fn query_bytes(&self) -> usize {
        self.input.len()
            + self.parser.memory_bytes()
            + self.waiting.iter().map(OwnedArgs::memory_bytes).sum::<usize>()
    }
}
