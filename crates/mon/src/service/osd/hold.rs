//! Flags that hold OSDs where they are: `noup`, `nodown`, `noin`, `noout`; of all OSDs, of one, of
//! a CRUSH bucket or of a device class.

use seabed_cluster::osdmap::flag;
use seabed_cluster::{OsdId, OsdMap};

/// Word, bit of an OSD, a bucket or a class, and bit of the map.
pub const WORDS: [(&str, u32, u32); 4] = [
    ("noup", flag::osd::NOUP, flag::map::NOUP),
    ("nodown", flag::osd::NODOWN, flag::map::NODOWN),
    ("noin", flag::osd::NOIN, flag::map::NOIN),
    ("noout", flag::osd::NOOUT, flag::map::NOOUT),
];

/// All of their bits.
pub const MASK: u32 = flag::osd::NOUP | flag::osd::NODOWN | flag::osd::NOIN | flag::osd::NOOUT;

/// True if the flag (one of [`WORDS`], by its bit of an OSD) holds for this OSD in any way.
pub fn holds(map: &OsdMap, osd: OsdId, bit: u32) -> bool {
    if map.state(osd) & bit != 0 {
        return true;
    }
    if WORDS.iter().any(|(_, own, of_map)| *own == bit && map.has_flag(*of_map)) {
        return true;
    }
    let crush = &map.crush;
    let of_class = crush.item_class(osd.0).and_then(|c| crush.class_id(c));
    of_class.and_then(|c| map.device_class_flags.get(&c)).is_some_and(|f| f & bit != 0)
        || map.crush_node_flags.iter().any(|(node, f)| f & bit != 0 && crush.contains(*node, osd.0))
}

/// The words of some bits, in the order of the alphabet.
pub fn words(bits: u32) -> String {
    let mut named: Vec<&str> =
        WORDS.iter().filter(|(_, bit, _)| bits & bit != 0).map(|(word, ..)| *word).collect();
    named.sort_unstable();
    named.join(",")
}
