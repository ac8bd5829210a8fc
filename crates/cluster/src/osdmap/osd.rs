//! What a map says about one OSD beyond state and weight.

use seabed_denc::{BytesMut, Decode, DecodeError, Encode, Features, Reader};

use crate::{EntityAddrVec, Epoch, Tail, UTime};

/// The four kinds of address of an OSD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsdAddrs {
    /// For clients and monitors ("public").
    pub client: EntityAddrVec,
    /// For other OSDs.
    pub cluster: EntityAddrVec,
    /// For heartbeats over the cluster network.
    pub heartbeat_back: EntityAddrVec,
    /// For heartbeats over the public network.
    pub heartbeat_front: EntityAddrVec,
}

/// `osd_info_t`: epochs of an OSD's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OsdInfo {
    /// First epoch of the last interval that ended with a clean shutdown.
    pub last_clean_begin: Epoch,
    /// Last epoch of it.
    pub last_clean_end: Epoch,
    /// When it last came up.
    pub up_from: Epoch,
    /// It was up at least until this epoch.
    pub up_thru: Epoch,
    /// When it last went down.
    pub down_at: Epoch,
    /// When its data was declared lost.
    pub lost_at: Epoch,
}

impl Encode for OsdInfo {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        1u8.encode(out, features);
        self.last_clean_begin.encode(out, features);
        self.last_clean_end.encode(out, features);
        self.up_from.encode(out, features);
        self.up_thru.encode(out, features);
        self.down_at.encode(out, features);
        self.lost_at.encode(out, features);
    }
}

impl Decode for OsdInfo {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let version = u8::decode(r)?;
        if version != 1 {
            return Err(DecodeError::Invalid { what: "osd_info_t", value: u64::from(version) });
        }
        Ok(OsdInfo {
            last_clean_begin: Epoch::decode(r)?,
            last_clean_end: Epoch::decode(r)?,
            up_from: Epoch::decode(r)?,
            up_thru: Epoch::decode(r)?,
            down_at: Epoch::decode(r)?,
            lost_at: Epoch::decode(r)?,
        })
    }
}

/// `osd_xinfo_t`: what the monitor remembers of an OSD's habits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsdXInfo {
    /// When it last went down.
    pub down_stamp: UTime,
    /// How likely it was only slow when last reported dead; 2^32 is certain.
    pub laggy_probability: u32,
    /// For how many seconds it was slow, averaged.
    pub laggy_interval: u32,
    /// The features it announced.
    pub features: u64,
    /// The weight before it was marked out automatically.
    pub old_weight: u32,
    /// When it last looked for stray snapshots.
    pub last_purged_snaps_scrub: UTime,
    /// Certainly dead since (no message of an earlier life can come).
    pub dead_epoch: Epoch,
    /// Fields of newer releases.
    pub tail: Tail,
}

impl Encode for OsdXInfo {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.tail.encode_around(out, 4, 1, |out| {
            self.down_stamp.encode(out, features);
            self.laggy_probability.encode(out, features);
            self.laggy_interval.encode(out, features);
            self.features.encode(out, features);
            self.old_weight.encode(out, features);
            self.last_purged_snaps_scrub.encode(out, features);
            self.dead_epoch.encode(out, features);
        });
    }
}

impl Decode for OsdXInfo {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (mut x, envelope) = seabed_denc::decode_versioned(r, "osd_xinfo_t", 4, |r, v| {
            let mut x = OsdXInfo {
                down_stamp: UTime::decode(r)?,
                laggy_probability: u32::decode(r)?,
                laggy_interval: u32::decode(r)?,
                ..OsdXInfo::default()
            };
            if v >= 2 {
                x.features = u64::decode(r)?;
            }
            if v >= 3 {
                x.old_weight = u32::decode(r)?;
            }
            if v >= 4 {
                x.last_purged_snaps_scrub = UTime::decode(r)?;
                x.dead_epoch = Epoch::decode(r)?;
            }
            Ok(x)
        })?;
        x.tail = Tail::of(envelope, 4);
        Ok(x)
    }
}
