//! What a connection is carried by.
//!
//! For: the few operations a turn needs of a socket, so that TCP, Unix sockets and whatever comes later fit.
//! May touch: sockets.
//! Always: nothing here blocks.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{RecvFlags, SendFlags, recv, send};

/// A non-blocking byte stream.
pub trait Transport: Send {
    /// Reads what is there into `buf`. `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise the connection is broken.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Appends what is there to `data`, at most its spare capacity.
    ///
    /// # Errors
    /// As [`Transport::read`].
    fn read_spare(&mut self, data: &mut Vec<u8>) -> io::Result<usize>;

    /// Writes some of the slices.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing now; otherwise the connection is broken.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes some of the bytes.
    ///
    /// # Errors
    /// As [`Transport::write`].
    fn write_one(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The descriptor to watch.
    fn fd(&self) -> BorrowedFd<'_>;
}

macro_rules! transport {
    ($($stream:ty),*) => {$(
        impl Transport for $stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                // Without the C library: its version is a cancellation point, which costs as much as parsing.
                Ok(recv(&*self, buf, RecvFlags::empty())?.0)
            }
            fn read_spare(&mut self, data: &mut Vec<u8>) -> io::Result<usize> {
                Ok(rustix::io::read(&*self, rustix::buffer::spare_capacity(data))?)
            }
            fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                Write::write_vectored(self, slices)
            }
            fn write_one(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(send(&*self, bytes, SendFlags::NOSIGNAL)?)
            }
            fn fd(&self) -> BorrowedFd<'_> {
                self.as_fd()
            }
        }
    )*};
}

transport!(TcpStream, UnixStream);
