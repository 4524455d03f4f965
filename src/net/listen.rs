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

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::transport::Transport;
use super::wake::{Arrival, Desks, Mail, least_busy};
use crate::client::registry::Address;
use crate::command::Host;
use crate::config::{Directive, Settings};
use crate::fault::Fault;

/// How long to wait before accepting again when the process is out of descriptors.
const OUT_OF_FDS: Duration = Duration::from_millis(50);

/// What a stranger is told under protected mode.
const PROTECTED: &[u8] = b"-DENIED Running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback \
interface. To connect from other hosts, set a password for the default user, list the wanted addresses under \
'bind' and disable protected mode with 'CONFIG SET protected-mode no' from this host or in the configuration \
file.\r\n";

/// A bound socket.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
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
    let mut listeners = Vec::new();
    let backlog = settings.int(Directive::TcpBacklog) as i32;
    let mut port = settings.int(Directive::Port) as u16;
    if port != 0 || any_port {
        for address in settings.bind() {
            let address = String::from_utf8_lossy(address);
            let (name, optional) = address.strip_prefix('-').map_or((&*address, false), |name| (name, true));
            match bind_tcp(name, port, backlog) {
                Ok(listener) => {
                    // With port 0 every address gets the one the system chose for the first.
                    port = listener.local_addr().map_or(port, |a| a.port());
                    listeners.push(Listener::Tcp(listener));
                }
                Err(error) => {
                    tracing::warn!(
                        "Warning: Could not create server TCP listening socket {name}:{port}: {error}"
                    );
                    let absent = matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
                        || error.raw_os_error() == Some(libc::EAFNOSUPPORT);
                    if !(optional && absent) {
                        return Err(format!("Failed listening on port {port} (tcp), aborting."));
                    }
                }
            }
        }
    }
    let path = String::from_utf8_lossy(settings.text(Directive::UnixSocket));
    if !path.is_empty() {
        listeners.push(bind_unix(&path, settings.int(Directive::UnixSocketPerm) as u32, backlog)?);
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

fn bind_unix(path: &str, mode: u32, backlog: i32) -> Result<Listener, String> {
    let failed = |error: io::Error| format!("Failed opening Unix socket: bind: {error}");
    // A socket that an earlier run left behind; anything else there makes the bind fail.
    if std::fs::metadata(path).is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type())) {
        let _ = std::fs::remove_file(path);
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    socket.bind(&socket2::SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
    socket.listen(backlog).map_err(failed)?;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(Listener::Unix(socket.into(), path.to_string()))
}

/// Accepts for ever.
pub async fn accept(listener: Listener, host: Arc<Host>, desks: Desks) {
    match listener {
        Listener::Tcp(listener) => {
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
                    Err(error) => pause(&error).await,
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
                    Err(error) => pause(&error).await,
                }
            }
        }
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!("Error accepting a client connection: {error}");
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
    let worker = least_busy(desks);
    desks[worker].connections.fetch_add(1, Ordering::Relaxed);
    desks[worker].send(Mail::Arrival(Arrival { stream, addr, laddr, local }));
}
