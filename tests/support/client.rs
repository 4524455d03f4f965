//! A blocking client that keeps what the wire said.
//!
//! For: tests. May touch: one TCP stream.
//! Always: a reply keeps its wire type; pushes never pass for replies; a silent server is an error, not a
//! hang.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::patience::until;

/// How long a read waits before the server counts as silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Deepest nesting of a reply that is read.
const DEPTH_LIMIT: usize = 64;
/// Longest reply, in bytes, that is read.
const REPLY_LIMIT_BYTES: usize = 256 << 20;

/// A reply with its wire type.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+`: a status.
    Simple(Vec<u8>),
    /// `-`: an error, code included.
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`: a string of known length.
    Bulk(Vec<u8>),
    /// `$-1`: RESP2's missing string.
    NullBulk,
    /// `*-1`: RESP2's missing array.
    NullArray,
    /// `_`: RESP3's null.
    Null,
    /// `*`
    Array(Vec<Reply>),
    /// `%`: pairs in wire order.
    Map(Vec<(Reply, Reply)>),
    /// `~`: members in wire order.
    Set(Vec<Reply>),
    /// `>`: data out of band.
    Push(Vec<Reply>),
    /// `|`: attributes and the reply they describe.
    Attribute(Vec<(Reply, Reply)>, Box<Reply>),
    /// `,`: a double, as its wire text.
    Double(Vec<u8>),
    /// `#`
    Boolean(bool),
    /// `(`: a big number, as its wire text.
    BigNumber(Vec<u8>),
    /// `=`: three letters of format, and the text.
    Verbatim(Vec<u8>, Vec<u8>),
}

impl Reply {
    /// The text of a status, an error or a string; nothing for other types.
    pub fn text(&self) -> Option<String> {
        match self {
            Reply::Simple(b) | Reply::Error(b) | Reply::Bulk(b) | Reply::Verbatim(_, b) => {
                Some(String::from_utf8_lossy(b).into_owned())
            }
            _ => None,
        }
    }

    /// Whether this is an error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Whether this is a null of any protocol.
    pub fn is_null(&self) -> bool {
        matches!(self, Reply::NullBulk | Reply::NullArray | Reply::Null)
    }

    /// The members of an array, set or push; nothing for other types.
    pub fn members(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(m) | Reply::Set(m) | Reply::Push(m) => Some(m),
            _ => None,
        }
    }
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    /// Bytes received; those before `at` are consumed.
    buffer: Vec<u8>,
    at: usize,
    pushes: VecDeque<Reply>,
}

impl Client {
    /// Connects to `addr`.
    pub fn connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        Ok(Client { stream, buffer: Vec::new(), at: 0, pushes: VecDeque::new() })
    }

    /// Sends one command as an array of bulk strings.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        self.stream.write_all(&request(args))
    }

    /// Waits until the server has taken what was sent from its socket, as far as the system tells.
    pub fn until_received(&self) {
        let Ok((here, there)) = self.stream.local_addr().and_then(|it| Ok((it, self.stream.peer_addr()?)))
        else {
            return;
        };
        until("the server takes what was sent", || queued_bytes(there, here).is_none_or(|bytes| bytes == 0));
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one command and reads its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        self.read()
    }

    /// The next reply; pushes that arrive before it are kept for `read_push`.
    pub fn read(&mut self) -> io::Result<Reply> {
        loop {
            match self.frame(0)? {
                push @ Reply::Push(_) => self.pushes.push_back(push),
                reply => return Ok(reply),
            }
        }
    }

    /// The next push; a reply in its place is an error.
    pub fn read_push(&mut self) -> io::Result<Reply> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        match self.frame(0)? {
            push @ Reply::Push(_) => Ok(push),
            reply => Err(io::Error::other(format!("a push was expected, got {reply:?}"))),
        }
    }

    /// Takes a push that has arrived with earlier replies, without waiting.
    pub fn take_push(&mut self) -> Option<Reply> {
        self.pushes.pop_front()
    }

    /// All pushes sent before now: those that come before the reply to an ECHO.
    pub fn pushes(&mut self) -> io::Result<Vec<Reply>> {
        let reply = self.call(&["ECHO", "end-of-pushes"])?;
        if reply != Reply::Bulk(b"end-of-pushes".to_vec()) {
            return Err(broken("ECHO answered something else"));
        }
        Ok(self.pushes.drain(..).collect())
    }

    /// Sends `bytes` and an ECHO behind them; returns the raw bytes that came before its reply, and whether
    /// the server closed the connection instead of answering it.
    pub fn exchange_raw(&mut self, bytes: &[u8]) -> io::Result<(Vec<u8>, bool)> {
        const MARK: &str = "end-of-raw-exchange";
        let mut out = bytes.to_vec();
        out.extend_from_slice(&request(&["ECHO", MARK]));
        self.stream.write_all(&out)?;
        let tail = format!("${}\r\n{MARK}\r\n", MARK.len());
        loop {
            let got = &self.buffer[self.at..];
            if got.ends_with(tail.as_bytes()) {
                let raw = got[..got.len() - tail.len()].to_vec();
                self.at = self.buffer.len();
                return Ok((raw, false));
            }
            match self.fill() {
                Ok(()) => {}
                Err(e) if is_closed(&e) => {
                    let raw = self.buffer[self.at..].to_vec();
                    self.at = self.buffer.len();
                    return Ok((raw, true));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Gives the connection up: what is asked on it from now on finds it closed.
    pub fn abandon(&mut self) {
        // Fails only when the other side was first.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.at > 0 && self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        if self.buffer.len() > REPLY_LIMIT_BYTES {
            return Err(broken("reply over the limit"));
        }
        let mut chunk = [0u8; 16 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            let rest = &self.buffer[self.at..];
            if let Some(i) = rest[seen..].windows(2).position(|w| w == b"\r\n") {
                let line = rest[..seen + i].to_vec();
                self.at += seen + i + 2;
                return Ok(line);
            }
            seen = rest.len().saturating_sub(1);
            let consumed = self.at;
            self.fill()?;
            debug_assert!(self.at == consumed || self.at == 0);
        }
    }

    fn exactly(&mut self, len: usize) -> io::Result<Vec<u8>> {
        if len > REPLY_LIMIT_BYTES {
            return Err(broken("string over the limit"));
        }
        while self.buffer.len() - self.at < len + 2 {
            self.fill()?;
        }
        let bytes = self.buffer[self.at..self.at + len].to_vec();
        if &self.buffer[self.at + len..self.at + len + 2] != b"\r\n" {
            return Err(broken("a string does not end with CRLF"));
        }
        self.at += len + 2;
        Ok(bytes)
    }

    fn frame(&mut self, depth: usize) -> io::Result<Reply> {
        if depth > DEPTH_LIMIT {
            return Err(broken("reply nested too deeply"));
        }
        let line = self.line()?;
        let (&kind, rest) = line.split_first().ok_or_else(|| broken("empty reply line"))?;
        Ok(match kind {
            b'+' => Reply::Simple(rest.to_vec()),
            b'-' => Reply::Error(rest.to_vec()),
            b':' => Reply::Integer(number(rest)?),
            b',' => Reply::Double(rest.to_vec()),
            b'(' => Reply::BigNumber(rest.to_vec()),
            b'#' if rest == b"t" => Reply::Boolean(true),
            b'#' if rest == b"f" => Reply::Boolean(false),
            b'_' if rest.is_empty() => Reply::Null,
            b'$' => match number(rest)? {
                -1 => Reply::NullBulk,
                n => Reply::Bulk(self.exactly(length(n)?)?),
            },
            b'=' => {
                let text = self.exactly(length(number(rest)?)?)?;
                if text.get(3) != Some(&b':') {
                    return Err(broken("verbatim string without a format"));
                }
                Reply::Verbatim(text[..3].to_vec(), text[4..].to_vec())
            }
            b'*' if rest == b"-1" => Reply::NullArray,
            b'*' => Reply::Array(self.frames(number(rest)?, depth)?),
            b'~' => Reply::Set(self.frames(number(rest)?, depth)?),
            b'>' => Reply::Push(self.frames(number(rest)?, depth)?),
            b'%' => Reply::Map(self.pairs(number(rest)?, depth)?),
            b'|' => {
                let pairs = self.pairs(number(rest)?, depth)?;
                Reply::Attribute(pairs, Box::new(self.frame(depth)?))
            }
            _ => return Err(broken(&format!("not a reply: {:?}", String::from_utf8_lossy(&line)))),
        })
    }

    fn frames(&mut self, count: i64, depth: usize) -> io::Result<Vec<Reply>> {
        (0..length(count)?).map(|_| self.frame(depth + 1)).collect()
    }

    fn pairs(&mut self, count: i64, depth: usize) -> io::Result<Vec<(Reply, Reply)>> {
        (0..length(count)?).map(|_| Ok((self.frame(depth + 1)?, self.frame(depth + 1)?))).collect()
    }
}

/// Whether an error means that the other side closed the connection.
pub fn is_closed(e: &io::Error) -> bool {
    use ErrorKind::*;
    matches!(e.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Whether an error means that nothing came in time.
pub fn is_silence(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn broken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.to_owned())
}

fn number(text: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or_else(|| broken("a number was expected"))
}

fn length(n: i64) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| broken("a negative length"))
}

/// Bytes that a socket of this machine has received and its owner has not read; `None` where the system does
/// not tell (it is not Linux, or the addresses are not of IPv4).
///
/// From /proc/net/tcp: numbers in hexadecimal, addresses as the processor reads a word of network order.
fn queued_bytes(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let shown = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), addr.port())),
        IpAddr::V6(_) => None,
    };
    let (local, remote) = (shown(local)?, shown(remote)?);
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_it = words.next()? == local && words.next()? == remote;
        let (_, received) = words.nth(1)?.split_once(':')?;
        is_it.then(|| u64::from_str_radix(received, 16).ok())?
    })
}
