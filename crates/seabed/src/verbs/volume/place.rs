//! How images, pools and sizes are written on the command line.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use seabed_rados::Cluster;
use seabed_rbd::Images;

/// POOL or POOL/NAMESPACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolSpec {
    pool: String,
    namespace: String,
}

/// POOL/NAME, POOL/NAMESPACE/NAME; behind it perhaps @SNAPSHOT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageSpec {
    place: PoolSpec,
    name: String,
    pub(crate) snapshot: Option<String>,
}

impl FromStr for PoolSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pool, namespace) = text.split_once('/').unwrap_or((text, ""));
        if pool.is_empty() || namespace.contains('/') {
            return Err("expected POOL or POOL/NAMESPACE".into());
        }
        Ok(PoolSpec { pool: pool.into(), namespace: namespace.into() })
    }
}

impl FromStr for ImageSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANT: &str = "expected POOL/NAME, POOL/NAMESPACE/NAME or one of these with @SNAP";
        let (place, name) = text.rsplit_once('/').ok_or(WANT)?;
        let (name, snapshot) = match name.split_once('@') {
            Some((name, snapshot)) => (name, Some(snapshot.to_owned())),
            None => (name, None),
        };
        if name.is_empty() || snapshot.as_ref().is_some_and(String::is_empty) {
            return Err(WANT.into());
        }
        Ok(ImageSpec { place: place.parse().map_err(|_| WANT)?, name: name.into(), snapshot })
    }
}

impl PoolSpec {
    pub(crate) async fn open(&self, cluster: &Cluster) -> Result<Images> {
        let pool = cluster.pool(&self.pool).await?;
        Ok(Images::new(pool.with_namespace(self.namespace.clone())))
    }
}

impl fmt::Display for ImageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImageSpec { place: PoolSpec { pool, namespace }, name, snapshot } = self;
        f.write_str(pool)?;
        if !namespace.is_empty() {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{name}")?;
        snapshot.as_ref().map_or(Ok(()), |snapshot| write!(f, "@{snapshot}"))
    }
}

impl ImageSpec {
    pub(crate) fn pool(&self) -> &str {
        &self.place.pool
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.place.namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The images it is among, and its name; a snapshot makes no sense here.
    pub(crate) async fn open(&self, cluster: &Cluster) -> Result<(Images, &str)> {
        if let Some(snapshot) = &self.snapshot {
            bail!("this is done to an image, not to its snapshot {snapshot}");
        }
        self.open_with_snapshot(cluster).await
    }

    pub(crate) async fn open_with_snapshot(&self, cluster: &Cluster) -> Result<(Images, &str)> {
        Ok((self.place.open(cluster).await?, &self.name))
    }
}

/// A number of bytes, perhaps with K, M, G, T or P.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    let (digits, shift) = match bare.bytes().last() {
        Some(last) => match b"KMGTP".iter().position(|unit| *unit == last) {
            Some(index) => (&bare[..bare.len() - 1], 10 * (index as u32 + 1)),
            None => (bare, 0),
        },
        None => (bare, 0),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("10G"), Ok(10 << 30));
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("7mb"), Ok(7 << 20));
        assert!(size("").is_err() && size("G").is_err() && size("99999999P").is_err());
        assert!(size("-1").is_err());
    }

    #[test]
    fn images_are_read_with_their_places() {
        let spec: ImageSpec = "rbd/a@b".parse().unwrap();
        assert_eq!((spec.name.as_str(), spec.snapshot.as_deref()), ("a", Some("b")));
        for text in ["rbd/a", "rbd/ns/a@b"] {
            assert_eq!(text.parse::<ImageSpec>().unwrap().to_string(), text);
        }
        let spec: ImageSpec = "rbd/ns/a".parse().unwrap();
        assert_eq!(spec.place, PoolSpec { pool: "rbd".into(), namespace: "ns".into() });
        for bad in ["a", "rbd/", "/a", "a/b/c/d", "rbd/a@", "rbd/@s"] {
            assert!(bad.parse::<ImageSpec>().is_err(), "{bad}");
        }
    }
}
