//! Every bound of a connection, with the reason beside it.

use std::time::Duration;

use bytes::Bytes;
use seabed_messages::RawMessage;

use crate::CloseReason;
use crate::frame::{HEADER_BYTES, Preamble, Tag};

/// Sizes and times that no peer can exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest control frame. Auth payloads (tickets) are the largest honest ones, a few KiB.
    pub control_bytes_max: u32,
    /// Largest front. The kernel's own cap; full OSD maps travel in it.
    pub front_bytes_max: u32,
    /// Largest middle. Nothing current uses it; the kernel's cap would be 16 MiB.
    pub middle_bytes_max: u32,
    /// Largest data. A stock OSD refuses writes above 90 MiB itself (osd_max_write_size), so the
    /// frame must get through for the client to be told.
    pub data_bytes_max: u32,
    /// Bytes of messages that a session holds, queued and unacknowledged together. `send` refuses
    /// above it: back pressure, never loss.
    pub backlog_bytes_max: usize,
    /// Messages that a session holds; each costs some hundred bytes beside its payload.
    pub backlog_messages_max: usize,
    /// From the first byte to an open session (ms_connection_ready_timeout).
    pub handshake_timeout: Duration,
    /// An open session without traffic in either direction (ms_connection_idle_timeout).
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            control_bytes_max: 64 << 10,
            front_bytes_max: 16 << 20,
            middle_bytes_max: 1 << 20,
            data_bytes_max: 96 << 20,
            backlog_bytes_max: 256 << 20,
            backlog_messages_max: 64 << 10,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(900),
        }
    }
}

/// What a message costs beside its payload, so that empty ones are not free.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// What a message counts for in a backlog.
pub fn message_cost(m: &RawMessage) -> usize {
    m.front.len() + m.middle.len() + m.data.len() + MESSAGE_OVERHEAD_BYTES
}

impl Limits {
    /// True if every receiver with these limits takes the message.
    pub fn admits(&self, m: &RawMessage) -> bool {
        let fits = |bytes: &Bytes, max: u32| bytes.len() <= max as usize;
        fits(&m.front, self.front_bytes_max)
            && fits(&m.middle, self.middle_bytes_max)
            && fits(&m.data, self.data_bytes_max)
    }

    /// Checks the announced sizes of a frame before a byte of it is allocated.
    pub(crate) fn check(&self, p: &Preamble) -> Result<(), CloseReason> {
        let max = if p.tag == Tag::Message {
            if p.lengths[0] as usize != HEADER_BYTES {
                return Err(CloseReason::Malformed("message header length"));
            }
            [p.lengths[0], self.front_bytes_max, self.middle_bytes_max, self.data_bytes_max]
        } else {
            if p.segments != 1 {
                return Err(CloseReason::Malformed("control frame of several segments"));
            }
            [self.control_bytes_max, 0, 0, 0]
        };
        for (segment, (&len, limit)) in p.lengths.iter().zip(max).enumerate() {
            if len > limit {
                return Err(CloseReason::TooLarge { tag: p.tag, segment, len, limit });
            }
        }
        Ok(())
    }
}
