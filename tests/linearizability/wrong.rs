//! Servers that are wrong on purpose.
//!
//! For: whether the search finds them out; a search that finds nothing proves nothing by itself. May touch:
//! sockets, threads that end with their connections.
//! Always: such a server is the model itself behind a lock, which it lets go where it should not.

mod lists;
mod strings;

use crate::rounds::{CLIENTS, LISTENERS, run_rounds, seed};
use crate::search::World;
use crate::support::Client;
use std::io::{self, BufRead};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for others to get in between.
const GAP: Duration = Duration::from_micros(200);

/// Listens for everybody of a party, its watcher included; each connection has a thread that ends with it.
fn listen(serve: impl Fn(usize, TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    let addr = listener.local_addr().expect("a bound socket has an address");
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (id, stream) in listener.incoming().take(CLIENTS + LISTENERS + 1).enumerate() {
            let (stream, serve) = (stream.expect("a client connects"), Arc::clone(&serve));
            stream.set_nodelay(true).expect("a connected socket takes options");
            // An error means that the client is gone.
            std::thread::spawn(move || serve(id, stream));
        }
    });
    addr
}

/// Runs rounds against a server.
fn run<W: World>(addr: SocketAddr, rounds: u64) -> Result<u64, (u64, String)> {
    run_rounds::<W>(|| Client::connect(addr).expect("the server accepts connections"), rounds, seed())
}

fn read_request(input: &mut impl BufRead) -> io::Result<Vec<String>> {
    let line = |input: &mut dyn BufRead| -> io::Result<usize> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        line.trim_end()
            .get(1..)
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let count = line(input)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; line(input)? + 2];
        input.read_exact(&mut word)?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).map_err(io::Error::other)?);
    }
    Ok(words)
}
