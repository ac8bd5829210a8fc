//! Heartbeats between OSDs.
//!
//! ```text
//! osd_ping (70) v5: fsid; e map_epoch; u8 op; utime ping_stamp; u32 pad; e up_from;
//!   span mono_ping_stamp; span mono_send_stamp; bool [span delta_ub]; pad zero bytes
//! ```
//!
//! The length of the padding stands before the fields of v5, its bytes behind them. A receiver
//! takes any length, and any bytes.

use seabed_cluster::{Epoch, Span, UTime, Uuid};
use seabed_denc::{Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader};

use crate::{Body, Foreign, Kind, Parts};

/// What a ping says.
#[allow(missing_docs)]
pub mod ping_op {
    pub const YOU_DIED: u8 = 2;
    pub const PING: u8 = 4;
    pub const PING_REPLY: u8 = 5;
}

/// `osd_heartbeat_min_size` 2000, of which the first fields are counted.
pub const PING_PADDING: u32 = 2000 - 29;

/// A heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MOsdPing {
    /// The cluster's.
    pub fsid: Uuid,
    /// The sender's newest map.
    pub map_epoch: Epoch,
    /// Of [`ping_op`].
    pub op: u8,
    /// When the ping was sent; a reply repeats it.
    pub ping_stamp: UTime,
    /// Bytes behind the fields, so that a path that drops large packets is noticed.
    pub padding: u32,
    /// Since when the sender is up.
    pub up_from: Epoch,
    /// The pinger's monotonic clock at the ping; a reply repeats it.
    pub mono_ping_stamp: Span,
    /// The sender's monotonic clock.
    pub mono_send_stamp: Span,
    /// Upper bound of the receiver's clock minus the sender's.
    pub delta_ub: Option<Span>,
    /// The form it came in; holds a padding that is not the zeros it should be.
    pub foreign: Foreign,
}

impl Default for MOsdPing {
    fn default() -> Self {
        MOsdPing {
            fsid: Uuid::default(),
            map_epoch: Epoch::default(),
            op: ping_op::PING,
            ping_stamp: UTime::default(),
            padding: PING_PADDING,
            up_from: Epoch::default(),
            mono_ping_stamp: Span::ZERO,
            mono_send_stamp: Span::ZERO,
            delta_ub: None,
            foreign: Foreign::default(),
        }
    }
}

/// No sender pads more than its `osd_heartbeat_min_size`; a reader allocates nothing for it.
const PADDING_MAX: usize = 1 << 20;

impl Body for MOsdPing {
    fn decode_parts(mut parts: Parts) -> Result<Self, DecodeError> {
        let mut front = Reader::new(std::mem::take(&mut parts.front));
        let r = &mut front;
        let mut m = MOsdPing {
            fsid: Uuid::decode(r)?,
            map_epoch: Epoch::decode(r)?,
            op: u8::decode(r)?,
            ping_stamp: UTime::decode(r)?,
            padding: u32::decode(r)?,
            ..MOsdPing::default()
        };
        if parts.version >= 5 {
            m.up_from = Epoch::decode(r)?;
            m.mono_ping_stamp = Span::decode(r)?;
            m.mono_send_stamp = Span::decode(r)?;
            m.delta_ub = Option::decode(r)?;
        }
        let rest = front.take_rest();
        let zeros = rest.len() == m.padding as usize && rest.iter().all(|&b| b == 0);
        if !zeros || rest.len() > PADDING_MAX {
            // Written back as it came: the front then ends with what is kept.
            parts.front = rest;
        }
        m.foreign = Foreign::new(parts, Self::VERSION, Self::COMPAT);
        Ok(m)
    }

    fn encode_parts(&self, features: Features) -> Parts {
        let mut out = BytesMut::with_capacity(64 + self.padding as usize % PADDING_MAX);
        self.fsid.encode(&mut out, features);
        self.map_epoch.encode(&mut out, features);
        self.op.encode(&mut out, features);
        self.ping_stamp.encode(&mut out, features);
        self.padding.encode(&mut out, features);
        if self.foreign.version(Self::VERSION) >= 5 {
            self.up_from.encode(&mut out, features);
            self.mono_ping_stamp.encode(&mut out, features);
            self.mono_send_stamp.encode(&mut out, features);
            self.delta_ub.encode(&mut out, features);
        }
        if self.foreign.tail().is_empty() && self.padding as usize <= PADDING_MAX {
            out.resize(out.len() + self.padding as usize, 0);
        }
        self.foreign.wrap::<Self>(out, Bytes::new(), Bytes::new())
    }
}
