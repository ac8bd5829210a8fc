//! Pieces that several answers share: weights, lists of OSDs, names of bits. Maps write themselves
//! (`OsdMap::dump` and `print`, `CrushMap::dump`).

use seabed_cluster::OsdId;
use seabed_cluster::osdmap::flag;
use serde_json::Value;

use super::format::num;
use super::text::id_list;

/// 16.16 fixed point as a number.
pub fn fixed(weight: u32) -> Value {
    num(f64::from(weight) / 65_536.0)
}

/// Ids of OSDs as JSON.
pub fn ids(osds: &[OsdId]) -> Value {
    Value::from(osds.iter().map(|o| o.0).collect::<Vec<_>>())
}

/// Ids of OSDs as `[1,0,2]`.
pub fn ids_text(osds: &[OsdId]) -> String {
    id_list(osds.iter().map(|o| i64::from(o.0)))
}

/// Names of an OSD's state bits.
pub fn state_names(bits: u32) -> Vec<&'static str> {
    flag::osd::ALL.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect()
}

/// The word for an autoscale mode.
pub fn autoscale_word(mode: u8) -> &'static str {
    match mode {
        0 => "off",
        1 => "warn",
        _ => "on",
    }
}
