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
use crate::observe::stats::add;
use crate::resp::{Limits, Out, OwnedArgs, Parser, ProtocolError};

/// Bytes of one connection sent before others have their turn.
const SEND_BYTES: usize = 1024 * 1024;
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
    /// Requests that wait for the end of a pause, before those in `input`.
    pub waiting: VecDeque<OwnedArgs>,
    /// Replies not sent yet.
    pub out: Out,
    /// What is wrong with its last bytes; told after the requests before them.
    pub broken: Option<ProtocolError>,
    /// What the poll set watches it for.
    pub watched: Watched,
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
            out: Out::new(),
            broken: None,
            watched: Watched { read: true, write: false },
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

    /// Reads what is there into `buf`; the number of bytes.
    pub fn receive(&mut self, buf: &mut [u8]) -> usize {
        let result = self.stream.read(buf);
        let Some(n) = self.settle(result) else { return 0 };
        if n == 0 {
            self.end = Some(End::Peer);
        }
        self.count_read(n);
        n
    }

    /// While a large argument is being received: reads into it. True when it is complete.
    pub fn receive_big(&mut self, buf: &mut [u8]) -> bool {
        loop {
            let Some(target) = self.parser.target() else { return true };
            if target.missing == 0 {
                return true;
            }
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
            let Some(n) = self.settle(result) else { return false };
            self.count_read(n);
            if n == 0 {
                self.end = Some(End::Peer);
                return false;
            }
            if n < wanted {
                return self.parser.target().is_none_or(|t| t.missing == 0);
            }
        }
    }

    /// Sends what waits, as far as the socket takes it and others are not held up. True: some is left.
    pub fn send(&mut self) -> bool {
        let mut sent = 0;
        while !self.out.is_empty() && sent < SEND_BYTES && self.end.is_none() {
            let result = match self.out.as_slice() {
                Some(bytes) => self.stream.write_one(bytes),
                None => {
                    let mut pieces = [IoSlice::new(&[]); PIECES];
                    let filled = self.out.chunks(&mut pieces);
                    self.stream.write(&pieces[..filled])
                }
            };
            let Some(n) = self.settle(result) else { break };
            self.out.consume(n);
            self.count_write(n);
            sent += n;
        }
        let client = &self.session.client;
        let left = self.out.len_bytes();
        if left > 0 || client.output_bytes.load(Ordering::Relaxed) > 0 {
            client.output_bytes.store(left, Ordering::Relaxed);
        }
        left > 0
    }

    /// Bytes held for requests that are not complete.
    pub fn query_bytes(&self) -> usize {
        self.input.len()
            + self.parser.memory_bytes()
            + self.waiting.iter().map(OwnedArgs::memory_bytes).sum::<usize>()
    }
}
