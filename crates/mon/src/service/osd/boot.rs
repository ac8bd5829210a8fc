//! An OSD says that it is there.

use std::collections::BTreeMap;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{EntityAddrVec, Epoch, OsdId, OsdMap, OsdSuperblock};

use super::hold;
use crate::draft::Draft;
use crate::service::crush_edit;

/// The weight of an OSD that takes its full share.
pub const IN: u32 = 0x1_0000;

/// What an OSD says when it boots.
#[derive(Debug, Clone)]
pub struct Boot {
    /// Its id, from the connection.
    pub osd: OsdId,
    /// Its public addresses, from the connection.
    pub client: EntityAddrVec,
    /// For other OSDs.
    pub cluster: EntityAddrVec,
    /// For heartbeats.
    pub heartbeat_back: EntityAddrVec,
    /// For heartbeats.
    pub heartbeat_front: EntityAddrVec,
    /// The newest map it has.
    pub version: Epoch,
    /// 0 at the first boot of its process, else the epoch in which that was first up.
    pub boot_epoch: Epoch,
    /// Who it is and what it has.
    pub superblock: OsdSuperblock,
    /// What it says of itself.
    pub metadata: BTreeMap<String, String>,
    /// Its features.
    pub features: u64,
}

/// What became of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Booted {
    /// It will be up in the epoch of the increment.
    Up,
    /// It is up already, or its message is older than what the map says: it gets maps.
    Already,
    /// It must not boot; the reason is for the log.
    Refused(String),
}

/// Checks that need nothing but the map.
fn refusal(map: &OsdMap, boot: &Boot) -> Option<String> {
    let sb = &boot.superblock;
    let osd = boot.osd;
    if sb.cluster_fsid != map.fsid {
        return Some(format!("belongs to cluster {}", sb.cluster_fsid));
    }
    if osd.index().is_none() || osd.0 >= map.max_osd {
        return Some(format!("id is not below max_osd {}", map.max_osd));
    }
    if boot.client.is_blank() || boot.cluster.is_blank() {
        return Some("has no address".to_string());
    }
    let known = osd.index().and_then(|i| map.osd_uuid.get(i)).copied().unwrap_or_default();
    if map.exists(osd) && !known.is_zero() && known != sb.osd_fsid {
        return Some(format!("is {}, the map has {known} under this id", sb.osd_fsid));
    }
    if map.state(osd) & flag::osd::DESTROYED != 0 {
        return Some("was destroyed".to_string());
    }
    if hold::holds(map, osd, flag::osd::NOUP) {
        return Some("may not come up: noup is set".to_string());
    }
    None
}

/// Decides on a boot and puts it into the draft.
///
/// An OSD that is up under other addresses goes down in one epoch and comes up in the next, so
/// that its peers see two lives.
pub fn boot(draft: &mut Draft, boot: &Boot) -> Result<Booted, seabed_cluster::MapError> {
    let osd = boot.osd;
    if draft.touches(osd) {
        draft.close()?;
    }
    if let Some(why) = refusal(draft.map(), boot) {
        return Ok(Booted::Refused(why));
    }
    let map = draft.map();
    if map.is_up(osd) {
        let addrs = map.addrs(osd).cloned().unwrap_or_default();
        if addrs.client == boot.client && addrs.cluster == boot.cluster {
            return Ok(Booted::Already);
        }
        if boot.version < map.up_from(osd) {
            return Ok(Booted::Already);
        }
        draft.inc().new_state.insert(osd, flag::osd::UP);
        draft.close()?;
    }
    crush_edit::place_at_boot(draft, boot);
    set_up(draft, boot);
    Ok(Booted::Up)
}

fn set_up(draft: &mut Draft, boot: &Boot) {
    let osd = boot.osd;
    let map = draft.map_arc();
    let inc = draft.inc();
    inc.new_up_client.insert(osd, boot.client.clone());
    inc.new_up_cluster.insert(osd, boot.cluster.clone());
    inc.new_hb_back_up.insert(osd, boot.heartbeat_back.clone());
    inc.new_hb_front_up.insert(osd, boot.heartbeat_front.clone());
    let index = osd.index().unwrap_or_default();
    if map.osd_uuid.get(index).copied().unwrap_or_default() != boot.superblock.osd_fsid {
        inc.new_uuid.insert(osd, boot.superblock.osd_fsid);
    }
    let mut xinfo = map.osd_xinfo.get(index).cloned().unwrap_or_default();
    // It must come back in if it never was, or if the monitor put it out by itself.
    let state = map.state(osd);
    let noin = hold::holds(&map, osd, flag::osd::NOIN);
    if !map.exists(osd) || state & flag::osd::NEW != 0 {
        if !noin {
            inc.new_weight.insert(osd, IN);
        }
    } else if state & flag::osd::AUTOOUT != 0 && !noin {
        let weight = if xinfo.old_weight > 0 { xinfo.old_weight } else { IN };
        inc.new_weight.insert(osd, weight);
        xinfo.old_weight = 0;
    }
    xinfo.features = boot.features;
    inc.new_xinfo.insert(osd, xinfo);
    let sb = &boot.superblock;
    let info = map.info(osd);
    if sb.mounted > info.last_clean_begin
        || (sb.mounted == info.last_clean_begin && sb.clean_thru > info.last_clean_end)
    {
        let begin = sb.mounted;
        let end = sb.clean_thru;
        inc.new_last_clean_interval.insert(osd, (begin, end));
    }
    if map.exists(osd) && info.up_from > Epoch::ZERO && sb.newest_map == Epoch::ZERO {
        // A fresh store under an old id: what the old one had is gone.
        inc.new_lost.insert(osd, map.epoch);
    }
}
