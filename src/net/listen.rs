//! Listening.
//!
//! For: the sockets on which clients arrive, and handing each arrival to the worker with the fewest
//! connections.
//! May touch: the configuration, the desks of the workers.
//! Always: out of descriptors, it refuses and goes on; an arrival beyond `maxclients` or under protected mode
//! is told so.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::transport::Transport;
use super::wake::{Arrival, Desks, Mail, least_busy};
use crate::client::registry::Address;
use crate::command::Host;
use crate::config::{Directive, Settings};
use crate::fault::Fault;

/// How long to wait before accepting again when the process is out of descriptors.
const OUT_OF_FDS: Duration = Duration::from_millis(50);
/// Failures to accept of which the log tells one.
const FAILURES_PER_LINE: u64 = 20;

/// What a stranger is told under protected mode.
const PROTECTED: &[u8] = b"-DENIED Running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the \
loopback interface. To connect from other hosts, set a password for the default user, \
list the wanted addresses under 'bind' and disable protected mode with \
'CONFIG SET protected-mode no' from this host or in the configuration file.\r\n";

/// A bound socket.
pub enum Listener {
    /// TCP, and the word of `bind` that asked for it.
    Tcp(TcpListener, String),
    /// A Unix socket and its path.
    Unix(UnixListener, String),
}

/// Binds everything the configuration asks for. With `any_port` a port of 0 lets the system choose one;
/// otherwise it means no TCP.
///
/// # Errors
/// One line that says what could not be bound; an optional address (`-` prefix) that does not exist is passed
/// over.
pub fn bind(settings: &Settings, any_port: bool) -> Result<Vec<Listener>, String> {
    let backlog = settings.int(Directive::TcpBacklog) as i32;
    let port = settings.int(Directive::Port) as u16;
    let words = if port != 0 || any_port { words(settings) } else { Vec::new() };
    let mut listeners = bind_words(&words, port, backlog)
        .map_err(|_| format!("Failed listening on port {port} (tcp), aborting."))?;
    let path = String::from_utf8_lossy(settings.text(Directive::UnixSocket));
    if !path.is_empty() {
        let group = String::from_utf8_lossy(settings.text(Directive::UnixSocketGroup));
        let mode = settings.int(Directive::UnixSocketPerm) as u32;
        listeners.push(bind_unix(&path, &group, mode, backlog)?);
    }
    if listeners.is_empty() {
        return Err("Configured to not listen anywhere, exiting.".to_string());
    }
    Ok(listeners)
}

/// The words of `bind`, each once.
fn words(settings: &Settings) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in settings.bind() {
        let word = String::from_utf8_lossy(word).into_owned();
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Binds all of the words, or none; an optional address (`-` prefix) that does not exist is passed over. With
/// port 0 all get the one the system chooses for the first.
fn bind_words(words: &[String], mut port: u16, backlog: i32) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for word in words {
        let (name, optional) = word.strip_prefix('-').map_or((&**word, false), |name| (name, true));
        match bind_tcp(name, port, backlog) {
            Ok(listener) => {
                port = listener.local_addr().map_or(port, |a| a.port());
                listeners.push(Listener::Tcp(listener, word.clone()));
            }
            Err(error) => {
                tracing::warn!(
                    "Warning: Could not create server TCP listening socket {name}:{port}: {error}"
                );
                let absent = matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
                    || error.raw_os_error() == Some(libc::EAFNOSUPPORT);
                if !(optional && absent) {
                    return Err(error);
                }
            }
        }
    }
    Ok(listeners)
}

fn bind_tcp(name: &str, port: u16, backlog: i32) -> io::Result<TcpListener> {
    let address: SocketAddr = match name {
        "*" => SocketAddr::from(([0, 0, 0, 0], port)),
        "::*" => SocketAddr::from(([0u16; 8], port)),
        _ => (name, port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::from(ErrorKind::AddrNotAvailable))?,
    };
    let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// The number of a group of /etc/group.
fn group_number(name: &str) -> io::Result<u32> {
    let groups = std::fs::read_to_string("/etc/group")?;
    let line = groups.lines().find(|line| line.split(':').next() == Some(name));
    let number = line.and_then(|line| line.split(':').nth(2)?.parse().ok());
    number.ok_or_else(|| io::Error::other("no such group in /etc/group"))
}

/// Binds a socket to `path`, with `mode` unless that is 0, and for `group` unless that is empty.
fn bind_unix(path: &str, group: &str, mode: u32, backlog: i32) -> Result<Listener, String> {
    let group_of_socket = match group {
        "" => None,
        name => Some(group_number(name).map_err(|error| {
            format!("Failed opening Unix socket: getgrnam error for group '{name}': {error}")
        })?),
    };
    let failed = |error: io::Error| format!("Failed opening Unix socket: bind: {error}");
    // A socket that an earlier run left behind; anything else there makes the bind fail.
    if std::fs::metadata(path).is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type())) {
        let _ = std::fs::remove_file(path);
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    socket.bind(&socket2::SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
    if group_of_socket.is_some() {
        std::os::unix::fs::chown(path, None, group_of_socket).map_err(|error| {
            // Nobody will listen on it.
            let _ = std::fs::remove_file(path);
            format!("Failed opening Unix socket: chown error for group '{group}': {error}")
        })?;
    }
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    // From here on it can be connected to.
    socket.listen(backlog).map_err(failed)?;
    Ok(Listener::Unix(socket.into(), path.to_string()))
}

/// The sockets on which a server accepts now.
pub struct Doors {
    host: Arc<Host>,
    desks: Desks,
    /// What `port` and `bind` said when they were last followed.
    asked: (u16, Vec<String>),
    tcp: Vec<(String, JoinHandle<()>)>,
    unix: Vec<(String, JoinHandle<()>)>,
}

impl Doors {
    /// Accepts on all listeners, on the present runtime. The configuration in force is the one they were
    /// bound for.
    pub fn open(listeners: Vec<Listener>, host: Arc<Host>, desks: Desks) -> Doors {
        let settings = host.settings.load();
        let asked = (settings.int(Directive::Port) as u16, words(&settings));
        drop(settings);
        let mut doors = Doors { host, desks, asked, tcp: Vec::new(), unix: Vec::new() };
        doors.add(listeners);
        doors
    }

    fn add(&mut self, listeners: Vec<Listener>) {
        for listener in listeners {
            let (doors, name) = match &listener {
                Listener::Tcp(_, word) => (&mut self.tcp, word.clone()),
                Listener::Unix(_, path) => (&mut self.unix, path.clone()),
            };
            let task = tokio::spawn(accept(listener, Arc::clone(&self.host), Arc::clone(&self.desks)));
            doors.push((name, task));
        }
    }

    /// Which kinds there are, in the words of the log.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let tcp = (!self.tcp.is_empty()).then_some("tcp");
        let unix = (!self.unix.is_empty()).then_some("unix");
        tcp.into_iter().chain(unix)
    }

    /// Follows `port` and `bind` of new settings: addresses that stay are not touched, the new are bound
    /// before the old are closed. False when they cannot be bound: then all stays as it was. Connections stay
    /// in any case.
    pub async fn follow(&mut self, settings: &Settings) -> bool {
        let asked = (settings.int(Directive::Port) as u16, words(settings));
        if asked == self.asked {
            return true;
        }
        let backlog = settings.int(Directive::TcpBacklog) as i32;
        let (old_port, port) = (self.asked.0, asked.0);
        let wanted = if port == 0 { &[][..] } else { &asked.1[..] };
        let stays = |word: &String| port == old_port && wanted.contains(word);
        let new: Vec<String> = wanted
            .iter()
            .filter(|word| port != old_port || self.tcp.iter().all(|(open, _)| open != *word))
            .cloned()
            .collect();
        let (kept, stale): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.tcp).into_iter().partition(|(word, _)| stays(word));
        self.tcp = kept;
        let bound = match bind_words(&new, port, backlog) {
            // An old address may stand in the way of a new one, as 127.0.0.1 does of *.
            Err(_) if port == old_port && !stale.is_empty() => {
                let names: Vec<String> = stale.iter().map(|(word, _)| word.clone()).collect();
                close(stale).await;
                bind_words(&new, port, backlog).inspect_err(|_| {
                    // Free a moment ago, so this can fail only when another process was quick.
                    self.add(bind_words(&names, old_port, backlog).unwrap_or_default());
                })
            }
            Err(error) => {
                self.tcp.extend(stale);
                Err(error)
            }
            Ok(bound) => {
                close(stale).await;
                Ok(bound)
            }
        };
        match bound {
            Ok(bound) => {
                self.add(bound);
                self.asked = asked;
                true
            }
            Err(_) => {
                tracing::warn!("Failed listening on port {port} (tcp). Restoring previous settings.");
                false
            }
        }
    }

    /// Accepts no more, and removes the files of Unix sockets.
    pub async fn close(self) {
        close(self.tcp).await;
        for (path, task) in self.unix {
            close(vec![(String::new(), task)]).await;
            tracing::info!("Removing the unix socket file.");
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Closes listeners: when this is over their addresses are free.
async fn close(doors: Vec<(String, JoinHandle<()>)>) {
    for (_, task) in doors {
        task.abort();
        // It ends by being aborted, which is an error of its own kind.
        let _ = task.await;
    }
}

/// Accepts for ever.
async fn accept(listener: Listener, host: Arc<Host>, desks: Desks) {
    let mut failures = 0;
    match listener {
        Listener::Tcp(listener, _) => {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it was made non-blocking");
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        if let Err(error) =
                            stream.into_std().and_then(|s| welcome_tcp(&host, &desks, s, peer))
                        {
                            tracing::debug!("Error accepting a client connection: {error}");
                        }
                    }
                    Err(error) => pause(&error, &mut failures).await,
                }
            }
        }
        Listener::Unix(listener, path) => {
            let listener = tokio::net::UnixListener::from_std(listener).expect("it was made non-blocking");
            loop {
                match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
                    Ok(stream) => {
                        let at = Address::Path(path.clone());
                        welcome(&host, &desks, Box::new(stream), at.clone(), at, true);
                    }
                    Err(error) => pause(&error, &mut failures).await,
                }
            }
        }
    }
}

/// Waits after a failure to accept; tells of it now and then.
async fn pause(error: &io::Error, failures: &mut u64) {
    if failures.is_multiple_of(FAILURES_PER_LINE) {
        tracing::warn!("Error accepting a client connection: {error}");
    }
    *failures += 1;
    tokio::time::sleep(OUT_OF_FDS).await;
}

fn welcome_tcp(
    host: &Host,
    desks: &Desks,
    mut stream: std::net::TcpStream,
    peer: SocketAddr,
) -> io::Result<()> {
    let settings = host.settings.load();
    stream.set_nodelay(true)?;
    let idle_s = settings.int(Directive::TcpKeepalive) as u64;
    if idle_s > 0 {
        let (idle, interval) = (Duration::from_secs(idle_s), Duration::from_secs((idle_s / 3).max(1)));
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    let local = peer.ip().to_canonical().is_loopback();
    if !local && settings.bool(Directive::ProtectedMode) && settings.text(Directive::RequirePass).is_empty() {
        host.observe.refused.fetch_add(1, Ordering::Relaxed);
        // Whether the stranger reads it is the stranger's business.
        let _ = stream.write_one(PROTECTED);
        return Ok(());
    }
    let laddr = Address::Ip(stream.local_addr()?);
    welcome(host, desks, Box::new(stream), Address::Ip(peer), laddr, local);
    Ok(())
}

fn welcome(
    host: &Host,
    desks: &Desks,
    mut stream: Box<dyn Transport>,
    addr: Address,
    laddr: Address,
    local: bool,
) {
    let limit = host.settings.load().int(Directive::MaxClients) as usize;
    if !host.clients.reserve(limit) {
        host.observe.refused.fetch_add(1, Ordering::Relaxed);
        // As above.
        let _ = stream.write_one(&[b"-", Fault::MAX_CLIENTS.text(), b"\r\n"].concat());
        return;
    }
    host.observe.most_clients.fetch_max(host.clients.count() as u64, Ordering::Relaxed);
    // Who comes to end a script that runs for too long must not wait for it.
    let worker = least_busy(desks, host.busy_worker());
    desks[worker].connections.fetch_add(1, Ordering::Relaxed);
    desks[worker].send(Mail::Arrival(Arrival { stream, addr, laddr, local }));
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::net::wake::Desk;

    /// Lets a connection from `peer` knock; what it is told, and whether it was let in.
    fn knock(settings: &[(&str, &str)], peer: &str) -> (String, bool) {
        let builder = crate::Server::builder().config("port", "0").config("bind", "127.0.0.1");
        let builder = settings.iter().fold(builder, |builder, (name, value)| builder.config(name, value));
        let server = builder.start().unwrap();
        let desks: Desks = vec![Desk::new().unwrap()].into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut outside = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (inside, _) = listener.accept().unwrap();
        welcome_tcp(server.host(), &desks, inside, peer.parse().unwrap()).unwrap();
        let is_in = desks[0].connections.load(Ordering::Relaxed) == 1;
        let mut mail = Vec::new();
        desks[0].mail.drain(&mut mail);
        assert_eq!(mail.len(), usize::from(is_in));
        drop(mail);
        let mut told = String::new();
        outside.read_to_string(&mut told).unwrap();
        (told, is_in)
    }

    #[test]
    fn a_stranger_is_refused_under_protected_mode_only() {
        let (told, is_in) = knock(&[], "203.0.113.5:4000");
        assert!(!is_in && told.starts_with("-DENIED Running in protected mode") && told.ends_with("\r\n"));
        assert_eq!(told.lines().count(), 1);
        for peer in ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            assert_eq!(knock(&[], peer), (String::new(), true), "{peer}");
        }
        for setting in [("requirepass", "secret"), ("protected-mode", "no")] {
            assert_eq!(knock(&[setting], "203.0.113.5:4000"), (String::new(), true), "{setting:?}");
        }
        assert!(!knock(&[], "[2001:db8::1]:4000").1);
    }
}
