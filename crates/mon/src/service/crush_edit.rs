//! Changes of the CRUSH map, and questions about it that other services ask.

use seabed_cluster::{Incremental, OsdId, OsdMap};
use seabed_crush::{CrushError, CrushMap};

use super::osd::boot::Boot;
use crate::command::Refusal;
use crate::draft::Draft;

/// Bytes of a TiB: a device's CRUSH weight is its size in TiB.
const TIB: f64 = (1u64 << 40) as f64;

/// Where an OSD is: type and name of each bucket above it, the nearest first.
pub fn location(crush: &CrushMap, osd: OsdId) -> Vec<(String, String)> {
    crush.location(osd.0)
}

/// The devices that are in the tree.
pub fn devices(crush: &CrushMap) -> Vec<i32> {
    let mut all: Vec<i32> = crush
        .iter_buckets()
        .filter(|b| !crush.is_shadow(b.id))
        .flat_map(|b| b.items.iter().copied().filter(|i| *i >= 0))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Names of the buckets of a type all of whose OSDs are down.
pub fn buckets_all_down(map: &OsdMap, kind: &str) -> Vec<String> {
    let crush = &map.crush;
    let Some(kind) = crush.type_id(kind) else { return Vec::new() };
    let dead = |id: i32| {
        let osds = crush.devices_below(id);
        !osds.is_empty() && osds.iter().all(|o| map.is_down(OsdId(*o)))
    };
    crush
        .iter_buckets()
        .filter(|b| i32::from(b.kind) == kind && !crush.is_shadow(b.id) && dead(b.id))
        .filter_map(|b| crush.item_name(b.id).map(str::to_string))
        .collect()
}

/// The map as it will be with what the increment already changes.
fn pending(map: &OsdMap, inc: Option<&Incremental>) -> CrushMap {
    match inc {
        Some(inc) if !inc.crush.is_empty() => {
            CrushMap::decode(inc.crush.clone()).unwrap_or_else(|_| map.crush.clone())
        }
        _ => map.crush.clone(),
    }
}

/// Lets `edit` change the CRUSH map and puts the result into the draft if it changed.
pub fn edit<T>(
    draft: &mut Draft,
    edit: impl FnOnce(&mut CrushMap) -> Result<T, CrushError>,
) -> Result<T, CrushError> {
    let before = pending(draft.map(), draft.peek());
    let mut after = before.clone();
    let result = edit(&mut after)?;
    if after != before {
        draft.inc().crush = after.encode();
    }
    Ok(result)
}

/// `host=a root=default` as pairs.
pub fn parse_location(args: &[String]) -> Result<Vec<(String, String)>, Refusal> {
    let words = args.iter().flat_map(|a| a.split([' ', ',', ';'])).filter(|w| !w.is_empty());
    words
        .map(|word| match word.split_once('=') {
            Some((k, v)) if !k.is_empty() && !v.is_empty() => Ok((k.to_string(), v.to_string())),
            _ => Err(Refusal::invalid(format!("location '{word}' is not of the form type=name"))),
        })
        .collect()
}

/// Borrowed pairs, as the CRUSH map's functions take them.
pub fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

/// A weight in 16.16 fixed point.
pub fn fixed(weight: f64) -> u32 {
    (weight.clamp(0.0, 65_535.0) * 65_536.0) as u32
}

/// Puts an OSD that boots into the tree where its metadata says it is, if it is not there yet,
/// and gives it the device class it says. Real OSDs have done so by commands before.
///
/// Metadata read: `crush_location` (`host=H root=default`) or `hostname`; `osd_crush_weight`, or
/// `bluestore_bdev_size` in bytes; `default_device_class`.
pub fn place_at_boot(draft: &mut Draft, boot: &Boot) {
    let osd = boot.osd.0;
    let known = pending(draft.map(), draft.peek());
    if known.item_is_used(osd) {
        return;
    }
    let get = |key: &str| boot.metadata.get(key).filter(|v| !v.is_empty());
    let pairs = match get("crush_location") {
        Some(text) => parse_location(std::slice::from_ref(text)).unwrap_or_default(),
        None => get("hostname").map(|h| host_location(h)).unwrap_or_default(),
    };
    if pairs.is_empty() {
        return;
    }
    let weight = match get("osd_crush_weight").and_then(|w| w.parse::<f64>().ok()) {
        Some(w) => w,
        None => {
            let size = get("bluestore_bdev_size").and_then(|s| s.parse::<f64>().ok());
            // As the tools do: TiB with four decimals, never nothing for a device that exists.
            size.map_or(1.0, |s| ((s / TIB * 10_000.0).round() / 10_000.0).max(0.0001))
        }
    };
    let class = get("default_device_class").cloned();
    let result = edit(draft, |crush| {
        let name = format!("osd.{osd}");
        crush.insert_item(osd, fixed(weight), &name, &borrowed(&pairs))?;
        if let Some(class) = class {
            crush.set_device_class(osd, &class)?;
        }
        Ok(())
    });
    // A location that cannot be is no reason to keep the OSD down: it is up without data.
    let _ = result;
}

fn host_location(host: &str) -> Vec<(String, String)> {
    let name: String = host.split('.').next().unwrap_or(host).to_string();
    vec![("host".to_string(), name), ("root".to_string(), "default".to_string())]
}
