//! `seabed crush --build`: new maps out of layers.

use crate::cli_stop::Stop;
use crate::{BucketAlg, CrushError, CrushMap};

/// What is said of a new map whose last layer has several buckets.
pub(crate) fn roots_notice(map: &CrushMap) -> String {
    let roots = map.roots(false);
    let first = roots.last().and_then(|id| map.item_name(*id)).unwrap_or("");
    if roots.len() < 2 {
        return String::new();
    }
    format!(
        "The crush rulesets will use the root {first}\nand ignore the others.\nThere are {} roots, \
         they can be\ngrouped into a single root by appending something like:\n  root straw 0\n\n",
        roots.len()
    )
}

/// `--build`: layers of buckets, from the devices up, each bucket of as many items as its layer
/// says (0: all).
pub(crate) fn build(num_osds: i32, layers: &[String]) -> Result<CrushMap, Stop> {
    const DEVICES_MAX: i32 = 1 << 20;
    if layers.is_empty() || !layers.len().is_multiple_of(3) {
        return Err(Stop::usage(format!(
            "remaining args: [{}]\nlayers must be specified with 3-tuples of (name, buckettype, \
             size)",
            layers.join(",")
        )));
    }
    if !(1..=DEVICES_MAX).contains(&num_osds) {
        return Err(Stop::usage("crushtool: you must specify the number of osds"));
    }
    let failed = |e: CrushError| Stop::usage(e.to_string());
    let mut map = CrushMap::default();
    map.set_type_name(0, "osd").map_err(failed)?;
    let mut lower: Vec<(i32, u32)> = (0..num_osds).map(|id| (id, 0x1_0000)).collect();
    for (id, _) in &lower {
        map.item_names.insert(*id, format!("osd.{id}"));
    }
    map.max_devices = num_osds;
    for (kind, layer) in (1u16..).zip(layers.chunks(3)) {
        let [name, alg, size] = layer else { continue };
        map.set_type_name(i32::from(kind), name).map_err(failed)?;
        let unknown = || Stop::usage(format!("unknown bucket type '{alg}'"));
        let alg = BucketAlg::from_name(alg).ok_or_else(unknown)?;
        let invalid = |_| Stop::usage(format!("The option value '{size}' is invalid"));
        let size: usize = size.parse().map_err(invalid)?;
        let chunk = if size == 0 { lower.len() } else { size };
        let mut upper = Vec::new();
        for (i, items) in lower.chunks(chunk.max(1)).enumerate() {
            let bucket = crate::Bucket::new(alg, kind, items, &map.tunables).map_err(failed)?;
            let weight = bucket.weight;
            let id = map.add_bucket(None, bucket).map_err(failed)?;
            let label = if size == 0 { name.clone() } else { format!("{name}{i}") };
            map.set_item_name(id, &label).map_err(failed)?;
            upper.push((id, weight));
        }
        lower = upper;
    }
    if let Some(root) = lower.first().and_then(|(id, _)| map.item_name(*id)).map(str::to_owned) {
        map.add_simple_rule("replicated_rule", &root, &layers[0], None).map_err(failed)?;
    }
    Ok(map)
}
