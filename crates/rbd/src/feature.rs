//! Features of images: their names, which new images have, which this crate keeps.

use seabed_classes::rbd::wire::feature;

use crate::RbdError;

/// What new images have, as Ceph's do: layering, exclusive-lock, object-map, fast-diff,
/// deep-flatten.
pub const DEFAULT_FEATURES: u64 = feature::LAYERING
    | feature::EXCLUSIVE_LOCK
    | feature::OBJECT_MAP
    | feature::FAST_DIFF
    | feature::DEEP_FLATTEN;

/// Those of images that are written here.
pub(crate) const KEPT: u64 =
    DEFAULT_FEATURES | feature::STRIPINGV2 | feature::DATA_POOL | feature::OPERATIONS;

/// Those of images that are read here: who reads needs to know only these to find the data.
const READ: u64 = KEPT | feature::JOURNALING | feature::NON_PRIMARY;

const NAMES: [&str; 12] = [
    "layering",
    "striping",
    "exclusive-lock",
    "object-map",
    "fast-diff",
    "deep-flatten",
    "journaling",
    "data-pool",
    "operations",
    "migrating",
    "non-primary",
    "dirty-cache",
];

/// The names of a set of features, in Ceph's order; bits without one as numbers.
///
/// ```
/// assert_eq!(seabed_rbd::feature_names(0x5), ["layering", "exclusive-lock"]);
/// ```
pub fn feature_names(features: u64) -> Vec<String> {
    let bits = (0..64).filter(|bit| features & 1 << bit != 0);
    bits.map(|bit| NAMES.get(bit).map_or_else(|| format!("bit {bit}"), |n| (*n).to_owned()))
        .collect()
}

/// Those of a set of features that images are not written with here.
pub fn features_not_kept(features: u64) -> u64 {
    features & !KEPT
}

/// Refuses by name what is not built here.
pub(crate) fn check(image: &str, features: u64, writes: bool) -> Result<(), RbdError> {
    let unknown = features & !if writes { KEPT } else { READ };
    if unknown == 0 {
        return Ok(());
    }
    Err(RbdError::Unsupported { image: image.to_owned(), features: feature_names(unknown) })
}

/// Features that need others, as Ceph has them.
pub(crate) fn check_new(features: u64) -> Result<(), RbdError> {
    check("a new image", features, true)?;
    let needs = |one: u64, other: u64| features & one == 0 || features & other != 0;
    let wrong = |reason| Err(RbdError::Invalid { what: "features".into(), reason });
    if !needs(feature::OBJECT_MAP, feature::EXCLUSIVE_LOCK) {
        return wrong("object-map needs exclusive-lock");
    }
    if !needs(feature::FAST_DIFF, feature::OBJECT_MAP) {
        return wrong("fast-diff needs object-map");
    }
    if features & feature::OPERATIONS != 0 {
        return wrong("operations is set by the cluster");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_refused_by_name() {
        let refused = check("a", DEFAULT_FEATURES | feature::JOURNALING, true).unwrap_err();
        assert_eq!(refused.to_string(), "a has features that are not built here: journaling");
        assert!(check("a", DEFAULT_FEATURES | feature::JOURNALING, false).is_ok());
        assert!(check("a", feature::MIGRATING, false).is_err());
        assert!(check_new(DEFAULT_FEATURES).is_ok());
        assert!(check_new(feature::FAST_DIFF | feature::EXCLUSIVE_LOCK).is_err());
        assert_eq!(feature_names(1 << 40), ["bit 40"]);
    }
}
