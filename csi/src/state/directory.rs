//! The directory of a pool: an object whose omap has all records of the pool.
//!
//! Every change names what it was made of, and is refused if that has changed meanwhile: of two
//! controllers one wins, and a change is whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use seabed_cluster::Errno;
use seabed_rados::{Operation, Pool, RadosError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::Fault;

/// The object.
const OBJECT: &str = "seabed.csi.directory";
/// Records read at a time.
const PAGE: u64 = 1024;
/// Changes of others that one change gives way to.
const ATTEMPTS: u32 = 100;

/// The directory of a pool.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pool: Pool,
}

/// A record as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Entry<T> {
    pub value: T,
    raw: Bytes,
}

/// A record's change: from what was read (or nothing) to something else (or nothing).
#[derive(Debug, Clone)]
pub(crate) struct Change {
    key: Bytes,
    /// Empty for nothing.
    from: Bytes,
    to: Option<Bytes>,
}

impl Change {
    /// Makes a record that is not there.
    pub(crate) fn make(key: String, value: &impl Serialize) -> Result<Self, Fault> {
        Ok(Change { key: key.into(), from: Bytes::new(), to: Some(text(value)?) })
    }

    /// Replaces a record.
    pub(crate) fn replace<T>(
        key: String,
        old: &Entry<T>,
        value: &impl Serialize,
    ) -> Result<Self, Fault> {
        Ok(Change { key: key.into(), from: old.raw.clone(), to: Some(text(value)?) })
    }

    /// Removes a record.
    pub(crate) fn remove<T>(key: String, old: &Entry<T>) -> Self {
        Change { key: key.into(), from: old.raw.clone(), to: None }
    }
}

fn text(value: &impl Serialize) -> Result<Bytes, Fault> {
    let text = serde_json::to_vec(value);
    text.map(Bytes::from).map_err(|error| Fault::internal(format!("record: {error}")))
}

fn parse<T: DeserializeOwned>(key: &[u8], raw: Bytes) -> Result<Entry<T>, Fault> {
    let value = serde_json::from_slice(&raw).map_err(|error| {
        let key = String::from_utf8_lossy(key);
        Fault::internal(format!("record {key} of {OBJECT} is not understood: {error}"))
    })?;
    Ok(Entry { value, raw })
}

impl Directory {
    pub(crate) fn of(pool: &Pool) -> Self {
        Directory { pool: pool.with_namespace(Bytes::new()) }
    }

    /// A record.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Entry<T>>, Fault> {
        let name = Bytes::copy_from_slice(key.as_bytes());
        let mut found = match self.pool.omap_values(OBJECT, &BTreeSet::from([name.clone()])).await {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        found.remove(&name).map(|raw| parse(&name, raw)).transpose()
    }

    /// Makes changes, all or none. False: something had changed since it was read.
    pub(crate) async fn change(&self, changes: &[Change]) -> Result<bool, Fault> {
        let from = changes.iter().map(|c| (c.key.clone(), c.from.clone())).collect();
        let set = changes.iter().filter_map(|c| Some((c.key.clone(), c.to.clone()?)));
        let set: BTreeMap<Bytes, Bytes> = set.collect();
        let gone = changes.iter().filter(|c| c.to.is_none()).map(|c| c.key.clone());
        let gone: BTreeSet<Bytes> = gone.collect();
        let mut operation = Operation::new().omap_compare(&from);
        if !set.is_empty() {
            operation = operation.omap_set(&set);
        }
        if !gone.is_empty() {
            operation = operation.omap_rm(&gone);
        }
        match self.pool.operate(OBJECT, operation.clone()).await {
            Err(error) if error.is_not_found() => {
                self.pool.operate(OBJECT, Operation::new().create(false)).await?;
                outcome(self.pool.operate(OBJECT, operation).await)
            }
            result => outcome(result),
        }
    }

    /// Changes one record until nobody comes between. `decide` gives the new record, or nothing
    /// if the old one is to stay; returns the record as it is then.
    pub(crate) async fn update<T: DeserializeOwned + Serialize + Clone>(
        &self,
        key: &str,
        mut decide: impl FnMut(Option<&T>) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Fault> {
        for _ in 0..ATTEMPTS {
            let old = self.get::<T>(key).await?;
            let Some(new) = decide(old.as_ref().map(|entry| &entry.value))? else {
                return Ok(old.map(|entry| entry.value));
            };
            let change = match &old {
                None => Change::make(key.to_owned(), &new)?,
                Some(entry) => Change::replace(key.to_owned(), entry, &new)?,
            };
            if self.change(&[change]).await? {
                return Ok(Some(new));
            }
        }
        Err(Fault::aborted(format!("others keep changing record {key}; call again")))
    }

    /// Records whose keys begin with `prefix`, behind the key `prefix` + `after`, at most `max`:
    /// the rests of their keys, and they. True: there are more.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: &str,
        max: usize,
    ) -> Result<(Vec<(String, T)>, bool), Fault> {
        let mut found = Vec::new();
        let mut last = Bytes::from(format!("{prefix}{after}"));
        loop {
            let page = self.pool.omap_page(OBJECT, &last, PAGE, prefix.as_bytes()).await;
            let (page, more) = match page {
                Err(error) if error.is_not_found() => return Ok((found, false)),
                page => page?,
            };
            let Some((end, _)) = page.last_key_value() else { return Ok((found, false)) };
            last = end.clone();
            for (key, raw) in page {
                if found.len() == max {
                    return Ok((found, true));
                }
                let rest = String::from_utf8_lossy(&key[prefix.len().min(key.len())..]);
                found.push((rest.into_owned(), parse(&key, raw)?.value));
            }
            if !more {
                return Ok((found, false));
            }
        }
    }
}

fn outcome<T>(result: Result<T, RadosError>) -> Result<bool, Fault> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == Some(Errno::ECANCELED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
