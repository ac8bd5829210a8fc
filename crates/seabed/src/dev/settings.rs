//! The flags of `seabed dev up`, and what a folder remembers of them.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// As many as fit into the hundred ports from the base on.
pub(crate) const OSDS_MAX: u16 = 24;

/// Flags of `seabed dev up`. What is left out is remembered, or has its default on a new cluster.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Flags {
    /// Number of OSDs [default: 3].
    #[arg(long)]
    pub(crate) osds: Option<u16>,
    /// The monitor's port; all ports lie within base+100 [default: 21000].
    #[arg(long)]
    pub(crate) base_port: Option<u16>,
    /// Size of each OSD's device file: bytes, or a number with K, M, G or T [default: 10G].
    #[arg(long)]
    pub(crate) osd_size: Option<String>,
    /// Replicas of the pool [default: 3].
    #[arg(long)]
    pub(crate) size: Option<u32>,
    /// Replicas that must be up for the pool to serve [default: half of --size, rounded up].
    #[arg(long)]
    pub(crate) min_size: Option<u32>,
    /// Name of the pool [default: rbd].
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// Placement groups of the pool [default: 32].
    #[arg(long)]
    pub(crate) pg_num: Option<u32>,
    /// Do not preallocate the device files.
    #[arg(long)]
    pub(crate) sparse: bool,
}

/// The flags with all gaps filled, as remembered in the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) fsid: String,
    pub(crate) osds: u16,
    pub(crate) base_port: u16,
    pub(crate) osd_size: u64,
    pub(crate) size: u32,
    pub(crate) min_size: u32,
    pub(crate) pool: String,
    pub(crate) pg_num: u32,
    pub(crate) sparse: bool,
    /// Set once the pool was made: one that was deleted since does not come back.
    #[serde(default)]
    pub(crate) pool_made: bool,
}

impl Settings {
    /// Settings of a new cluster.
    pub(crate) fn new(flags: &Flags, fsid: String) -> Result<Self> {
        let osds = flags.osds.unwrap_or(3);
        let size = flags.size.unwrap_or(3);
        let settings = Self {
            fsid,
            osds,
            base_port: flags.base_port.unwrap_or(21_000),
            osd_size: bytes(flags.osd_size.as_deref().unwrap_or("10G"))?,
            size,
            min_size: flags.min_size.unwrap_or(size - size / 2),
            pool: flags.pool.clone().unwrap_or_else(|| "rbd".to_owned()),
            pg_num: flags.pg_num.unwrap_or(32),
            sparse: flags.sparse,
            pool_made: false,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        if self.osds == 0 || self.osds > OSDS_MAX {
            bail!("--osds {}: between 1 and {OSDS_MAX}", self.osds);
        }
        if self.base_port < 1024 || self.base_port > u16::MAX - 100 {
            bail!("--base-port {}: between 1024 and {}", self.base_port, u16::MAX - 100);
        }
        if self.size == 0 || self.size > 10 {
            bail!("--size {}: between 1 and 10", self.size);
        }
        if self.size > u32::from(self.osds) {
            bail!("--size {} needs as many OSDs, --osds is {}", self.size, self.osds);
        }
        if self.min_size == 0 || self.min_size > self.size {
            bail!("--min-size {}: between 1 and --size {}", self.min_size, self.size);
        }
        if self.pg_num == 0 || self.pg_num > 65_536 {
            bail!("--pg-num {}: between 1 and 65536", self.pg_num);
        }
        if self.pool.is_empty() || self.pool.contains('/') || self.pool.contains('@') {
            bail!("--pool {:?}: not empty, and without / or @", self.pool);
        }
        const SMALLEST: u64 = 256 << 20;
        if self.osd_size < SMALLEST {
            bail!("--osd-size {}: at least 256M", self.osd_size);
        }
        Ok(())
    }

    /// Refuses flags that contradict what the cluster was made with.
    pub(crate) fn refuse_changes(&self, flags: &Flags) -> Result<()> {
        let size = flags.osd_size.as_deref().map(bytes).transpose()?;
        let differ = |name: &str, given: Option<String>, made: String| match given {
            Some(g) if g != made => bail!(
                "the cluster was made with {name} {made}, not {g}; `seabed dev wipe` starts anew"
            ),
            _ => Ok(()),
        };
        let text = |v: Option<u32>| v.map(|v| v.to_string());
        differ("--osds", flags.osds.map(|v| v.to_string()), self.osds.to_string())?;
        let port = flags.base_port.map(|v| v.to_string());
        differ("--base-port", port, self.base_port.to_string())?;
        differ("--osd-size", size.map(|v| v.to_string()), self.osd_size.to_string())?;
        differ("--size", text(flags.size), self.size.to_string())?;
        differ("--min-size", text(flags.min_size), self.min_size.to_string())?;
        differ("--pool", flags.pool.clone(), self.pool.clone())?;
        differ("--pg-num", text(flags.pg_num), self.pg_num.to_string())?;
        if flags.sparse && !self.sparse {
            bail!("the cluster was made without --sparse; `seabed dev wipe` starts anew");
        }
        Ok(())
    }
}

/// A number of bytes: digits, then nothing or one of K, M, G, T (powers of 1024; an `iB` or `B` may
/// follow).
fn bytes(text: &str) -> Result<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..end].parse().with_context(|| format!("{text:?} is no number of bytes"))?;
    let unit = text[end..].trim().to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => bail!("{text:?}: the unit is one of K, M, G, T"),
    };
    number.checked_mul(1 << shift).with_context(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_units() {
        assert_eq!(bytes("10G").unwrap(), 10 << 30);
        assert_eq!(bytes("512MiB").unwrap(), 512 << 20);
        assert_eq!(bytes("4096").unwrap(), 4096);
        assert!(bytes("G").is_err());
        assert!(bytes("1X").is_err());
        assert!(bytes("99999999999T").is_err());
    }

    #[test]
    fn half_of_the_replicas_must_be_up() {
        for (size, min_size) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
            let flags = Flags { osds: Some(5), size: Some(size), ..Flags::default() };
            assert_eq!(Settings::new(&flags, "f".into()).unwrap().min_size, min_size);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let bad = [
            Flags { osds: Some(0), ..Flags::default() },
            Flags { osds: Some(OSDS_MAX + 1), ..Flags::default() },
            Flags { osds: Some(2), ..Flags::default() },
            Flags { min_size: Some(4), ..Flags::default() },
            Flags { base_port: Some(80), ..Flags::default() },
            Flags { pool: Some("a/b".into()), ..Flags::default() },
            Flags { osd_size: Some("1M".into()), ..Flags::default() },
            Flags { pg_num: Some(0), ..Flags::default() },
        ];
        for flags in bad {
            assert!(Settings::new(&flags, "f".into()).is_err(), "{flags:?}");
        }
    }
}
