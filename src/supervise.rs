//! The supervisor that started the process: systemd or upstart.
//!
//! For: `supervised`. May touch: the environment, the socket of systemd, and for upstart the process itself.
//! Always: without a supervisor to be found the server runs as if none had been asked for, and the log says
//! so; a message that does not arrive stops nothing.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::{Signal, getpid, kill_process};

/// Where systemd listens.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// What upstart calls the process.
const UPSTART_JOB: &str = "UPSTART_JOB";

/// The supervisor of this process, if there is one.
#[derive(Debug)]
pub struct Supervisor {
    kind: Kind,
    /// What the log should say of the search; true for a warning.
    found: Vec<(bool, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nobody,
    Upstart,
    Systemd,
}

impl Supervisor {
    /// Looks for the supervisor that `mode`, a value of `supervised`, speaks of.
    pub fn find(mode: &str) -> Supervisor {
        let is_set = |name: &str| std::env::var_os(name).is_some();
        let mut found = Vec::new();
        let wanted = match mode {
            "upstart" => Kind::Upstart,
            "systemd" => Kind::Systemd,
            "auto" if is_set(UPSTART_JOB) => Kind::Upstart,
            "auto" if is_set(NOTIFY_SOCKET) => Kind::Systemd,
            _ => Kind::Nobody,
        };
        let is_there = match wanted {
            Kind::Nobody => false,
            Kind::Upstart if is_set(UPSTART_JOB) => {
                found.push((false, "supervised by upstart, will stop to signal readiness.".to_string()));
                true
            }
            Kind::Upstart => {
                found.push((true, "upstart supervision requested, but UPSTART_JOB not found!".to_string()));
                false
            }
            Kind::Systemd => match notify("STATUS=Ochre is loading...\n") {
                Ok(()) => {
                    let text = "Supervised by systemd. TimeoutStartSec and TimeoutStopSec of its unit have to \
                                leave time enough to start and to stop.";
                    found.push((false, text.to_string()));
                    true
                }
                Err(error) => {
                    found.push((true, format!("systemd supervision error: {error}")));
                    false
                }
            },
        };
        Supervisor { kind: if is_there { wanted } else { Kind::Nobody }, found }
    }

    /// Its name, or `no`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Nobody => "no",
            Kind::Upstart => "upstart",
            Kind::Systemd => "systemd",
        }
    }

    /// Logs what the search came to. Upstart waits for the process to stop, and lets it go on.
    pub fn greet(&mut self) {
        for (is_warning, text) in self.found.drain(..) {
            match is_warning {
                true => tracing::warn!("{text}"),
                false => tracing::info!("{text}"),
            }
        }
        if self.kind == Kind::Upstart
            && let Err(error) = kill_process(getpid(), Signal::STOP)
        {
            tracing::warn!("upstart supervision error: {error}");
        }
    }

    /// Says that clients can connect.
    pub fn ready(&self) {
        self.tell("STATUS=Ready to accept connections\n");
        self.tell("READY=1\n");
    }

    /// Says that the end has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    fn tell(&self, message: &str) {
        if self.kind == Kind::Systemd
            && let Err(error) = notify(message)
        {
            tracing::warn!("systemd supervision error: {error}");
        }
    }
}

/// Sends systemd a message.
fn notify(message: &str) -> io::Result<()> {
    let to = std::env::var_os(NOTIFY_SOCKET).filter(|path| !path.is_empty());
    let to = to.ok_or_else(|| io::Error::other("NOTIFY_SOCKET not found!"))?;
    send(&to, message).map_err(|error| io::Error::other(format!("sd_notify: {error}")))
}

/// Sends a message to the socket at a path, or after an `@` in the abstract namespace.
fn send(to: &OsStr, message: &str) -> io::Result<()> {
    let address = match to.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(to)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_both_kinds_of_sockets() {
        let name = format!("ochre-supervise-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let sent = send(path.as_os_str(), "one").and_then(|()| send(OsStr::new(&format!("@{name}")), "two"));
        std::fs::remove_file(&path).unwrap();
        sent.unwrap();
        for (socket, expected) in [(by_path, b"one"), (by_name, b"two")] {
            let mut message = [0; 8];
            let length = socket.recv(&mut message).unwrap();
            assert_eq!(&message[..length], expected);
        }
        assert!(send(path.as_os_str(), "three").is_err());
    }
}
