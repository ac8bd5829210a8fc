//! What a daemon reports of its options, so that `ceph config show` can tell.

use std::collections::BTreeMap;

use seabed_denc::{Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader};

use super::Layers;

/// Bytes of a report read at most: it is kept for each daemon.
const LEN_MAX: usize = 1 << 20;

/// Values by name and the number of their source; what the monitor set in vain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Values by name, then by the number of the source.
    pub values: BTreeMap<String, BTreeMap<i32, String>>,
    /// What the monitor set and the daemon does not take.
    pub ignored: BTreeMap<String, String>,
}

impl Report {
    /// Reads a report; `None` if it is empty, too long or broken.
    pub fn read(bytes: &Bytes) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > LEN_MAX {
            return None;
        }
        Self::decode(&mut Reader::new(bytes.clone())).ok()
    }
}

/// Reads what a daemon tells of the defaults of its options; `None` as for a report.
pub fn read_defaults(bytes: &Bytes) -> Option<BTreeMap<String, String>> {
    if bytes.is_empty() || bytes.len() > LEN_MAX {
        return None;
    }
    BTreeMap::decode(&mut Reader::new(bytes.clone())).ok()
}

impl Encode for Report {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        self.values.encode(out, features);
        self.ignored.encode(out, features);
    }
}

impl Decode for Report {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { values: BTreeMap::decode(r)?, ignored: BTreeMap::decode(r)? })
    }
}

impl Layers {
    /// What is told of them.
    pub fn report(&self) -> Report {
        let of = |set: &BTreeMap<super::Source, String>| {
            set.iter().map(|(source, value)| (*source as i32, value.clone())).collect()
        };
        Report {
            values: self.values.iter().map(|(name, set)| (name.to_string(), of(set))).collect(),
            ignored: self.ignored.clone(),
        }
    }

    /// The defaults of all options of the daemon.
    pub fn defaults(&self) -> BTreeMap<String, String> {
        self.all().map(|o| (o.name.to_owned(), o.default.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Source;

    #[test]
    fn reports_are_read_back() {
        let mut layers = Layers::new(|name| name.starts_with("osd_"));
        layers.follow_mon([("osd_max_pgls", "7"), ("rbd_cache", "1")]);
        layers.set(Source::Override, "osd_max_pgls", "8").unwrap();
        let report = layers.report();
        assert_eq!(report.values["osd_max_pgls"][&1], "7");
        assert_eq!(report.values["osd_max_pgls"][&5], "8");
        assert_eq!(report.ignored["rbd_cache"], "1");
        let bytes = report.to_bytes(0);
        assert_eq!(Report::read(&bytes), Some(report));
        assert_eq!(Report::read(&bytes.slice(..9)), None);
        assert_eq!(Report::read(&Bytes::new()), None);
    }
}
