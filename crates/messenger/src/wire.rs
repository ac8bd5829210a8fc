//! A socket and the connection on it.

use std::io::{self, IoSlice};

use bytes::{Buf, BufMut};
use seabed_msgr2::{CloseReason, Connection};
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use crate::clock::Clock;

/// Parts of one vectored write; more gains nothing.
const IO_SLICES: usize = 64;

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) conn: Connection,
    clock: Clock,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, conn: Connection, clock: Clock) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Wire { stream, conn, clock }
    }

    /// Reads once, if bytes are wanted and there are any. True if something was read.
    pub(crate) fn read(&mut self) -> bool {
        let Some(mut space) = self.conn.space() else {
            return false;
        };
        if !space.has_remaining_mut() {
            return false;
        }
        match self.stream.try_read_buf(&mut space) {
            Ok(0) => self.conn.close(CloseReason::Transport),
            Ok(_) => {
                self.conn.received(self.clock.now());
                return true;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.conn.close(CloseReason::Transport),
        }
        false
    }

    /// Writes as much as the socket takes.
    pub(crate) fn write(&mut self) {
        loop {
            let tx = self.conn.transmit(self.clock.now());
            if !tx.has_remaining() {
                return;
            }
            let mut slices = [IoSlice::new(&[]); IO_SLICES];
            let n = tx.chunks_vectored(&mut slices);
            match self.stream.try_write_vectored(&slices[..n]) {
                Ok(n) => tx.advance(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.conn.close(CloseReason::Transport);
                    return;
                }
            }
            if self.conn.close_reason().is_some() {
                // Last words only.
                return;
            }
        }
    }

    /// Waits until it is worth calling `read` (unless `read` is false) or `write` again, and lets
    /// the connection know of time. Cancel-safe.
    pub(crate) async fn ready(&mut self, read: bool) {
        let read = read && self.conn.space().is_some();
        let write = self.conn.transmit(self.clock.now()).has_remaining();
        let Some(timeout) = self.conn.poll_timeout() else {
            // Closed: nothing will happen any more.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = self.stream.readable(), if read => {}
            _ = self.stream.writable(), if write => {}
            () = sleep_until(self.clock.instant(timeout)) => {
                self.conn.on_timeout(self.clock.now());
            }
        }
    }
}
