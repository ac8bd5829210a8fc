//! A StorageClass's parameters: none is needed, and none is guessed at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::handle;
use crate::fault::Fault;

/// What the orchestrator's own parameters begin with.
const ORCHESTRATOR: &str = "csi.storage.k8s.io/";
const KNOWN: &str = "pool, namespace, dataPool";

/// Where a new volume goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    pub pool: String,
    /// Empty for the default namespace.
    pub namespace: String,
    /// The pool of its data, if that is another.
    pub data_pool: Option<String>,
}

impl Parameters {
    /// Of a request. What is not known is an error: a misspelt one must not make a volume in
    /// another place than was meant.
    pub(crate) fn read(asked: &BTreeMap<String, String>, pool: &str) -> Result<Self, Fault> {
        let mut read =
            Parameters { pool: pool.to_owned(), namespace: String::new(), data_pool: None };
        for (name, value) in asked {
            match name.as_str() {
                _ if name.starts_with(ORCHESTRATOR) => {}
                "pool" => read.pool = plain(name, value)?,
                "namespace" => read.namespace = plain(name, value)?,
                "dataPool" => read.data_pool = Some(plain(name, value)?),
                _ => {
                    return Err(Fault::invalid(format!(
                        "parameter {name:?} is not known; known are {KNOWN}"
                    )));
                }
            }
        }
        handle::check_room(&read.pool, &read.namespace)?;
        Ok(read)
    }

    /// Of a snapshot, which goes where its volume is.
    pub(crate) fn none(asked: &BTreeMap<String, String>) -> Result<(), Fault> {
        match asked.keys().find(|name| !name.starts_with(ORCHESTRATOR)) {
            None => Ok(()),
            Some(name) => {
                Err(Fault::invalid(format!("parameter {name:?} is not known; none is here")))
            }
        }
    }
}

fn plain(name: &str, value: &str) -> Result<String, Fault> {
    if value.is_empty() || value.contains(['/', '@']) {
        return Err(Fault::invalid(format!(
            "parameter {name:?} is {value:?}: a name, without '/' and '@', is wanted"
        )));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Parameters, Fault> {
        let asked = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Parameters::read(&asked, "rbd")
    }

    #[test]
    fn nothing_is_needed_and_nothing_guessed() {
        assert_eq!(read(&[]).unwrap().pool, "rbd");
        let all = [("pool", "p"), ("namespace", "n"), ("dataPool", "d")];
        let parameters = read(&all).unwrap();
        let expected =
            Parameters { pool: "p".into(), namespace: "n".into(), data_pool: Some("d".into()) };
        assert_eq!(parameters, expected);
        assert!(read(&[("csi.storage.k8s.io/pvc/name", "x")]).is_ok());
        for bad in [("Pool", "p"), ("pool", ""), ("namespace", "a/b"), ("csi.storage", "x")] {
            assert!(read(&[bad]).is_err(), "{bad:?}");
        }
    }
}
