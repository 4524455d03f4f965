//! A server to test.
//!
//! For: every integration test. May touch: the crate's public API, one child process.
//! Always: a server started here listens on a free loopback port, keeps nothing on disk and ends with its
//! value; a server started elsewhere is used only when it holds no data.

use super::client::Client;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Tries, 20 ms apart, until a started server answers.
const START_TRIES: usize = 500;

/// Lockings between two rests of a restless server.
const LOCKINGS_PER_REST: u32 = 5;

/// A running server; dropping it stops it, unless it was running before.
pub struct TestServer {
    addr: SocketAddr,
    host: Host,
}

/// Where the server lives.
enum Host {
    /// Somebody else's process.
    Elsewhere,
    /// A child process.
    Process(Child),
    /// This process; the value stops it when dropped.
    Here(Box<ochre::Server>),
}

impl TestServer {
    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.addr).expect("the test server accepts connections")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if matches!(self.host, Host::Elsewhere) {
            clear(self.addr);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Host::Process(child) = self {
            // Both fail only when the process has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The server to test: the one at OCHRE_TEST_ADDR, else a child process of the program OCHRE_TEST_SERVER
/// (with the arguments in OCHRE_TEST_ARGS), else one inside this process. `None`, with a line that says so,
/// when there is none of them: the test is then skipped.
pub fn server() -> Option<TestServer> {
    if let Ok(addr) = std::env::var("OCHRE_TEST_ADDR") {
        let addr = addr.parse().expect("OCHRE_TEST_ADDR is ip:port");
        return Some(TestServer { addr: spare(addr), host: Host::Elsewhere });
    }
    if let Ok(program) = std::env::var("OCHRE_TEST_SERVER") {
        return Some(child(&program));
    }
    Some(in_process())
}

/// As [`server`], but one inside this process takes short rests before some of its locks, so that clients meet where
/// they otherwise hardly do.
pub fn restless_server() -> Option<TestServer> {
    let server = server()?;
    if let Host::Here(inner) = &server.host {
        inner.host().space.shards.rest(LOCKINGS_PER_REST);
    }
    Some(server)
}

/// Makes sure that a server started by somebody else holds no data, because tests flush it; answers its
/// address.
pub fn spare(addr: SocketAddr) -> SocketAddr {
    let mut client = Client::connect(addr).expect("the given server accepts connections");
    let keyspace = client.call(&["INFO", "keyspace"]).expect("INFO is answered").text().unwrap_or_default();
    assert!(
        !keyspace.contains("keys="),
        "{addr} holds data, and tests would flush it: is it the right server?"
    );
    addr
}

/// Leaves a server without data, if it can still be reached.
pub fn clear(addr: SocketAddr) {
    if let Ok(mut client) = Client::connect(addr) {
        // A server that cannot be cleared is refused by `spare` next time.
        let _ = client.call(&["FLUSHALL"]);
    }
}

/// A server of four workers inside this process.
fn in_process() -> TestServer {
    let server = ochre::Server::builder()
        .config("port", "0")
        .config("bind", "127.0.0.1")
        .config("io-threads", "4")
        .config("enable-debug-command", "yes")
        .config("enable-protected-configs", "yes")
        .start()
        .expect("a server starts on a free port");
    TestServer { addr: server.addr(), host: Host::Here(Box::new(server)) }
}

fn child(program: &str) -> TestServer {
    let port = free_port();
    let child = Command::new(program)
        .args(["--port", &port.to_string(), "--save", "", "--enable-debug-command", "yes"])
        .args(["--enable-protected-configs", "yes"])
        .args(std::env::var("OCHRE_TEST_ARGS").unwrap_or_default().split_whitespace())
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::null())
        .spawn()
        .expect("OCHRE_TEST_SERVER is a program");
    let server = TestServer { addr: SocketAddr::from(([127, 0, 0, 1], port)), host: Host::Process(child) };
    for _ in 0..START_TRIES {
        if let Ok(mut client) = Client::connect(server.addr)
            && client.call(&["PING"]).is_ok_and(|reply| !reply.is_error())
        {
            return server;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("{program} does not answer on port {port}");
}

fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    probe.local_addr().expect("a bound socket has an address").port()
}
