//! What came of each test, and the files that keep it: `xtask/interop/reference-SUITE.json` of real
//! Ceph, `seabed-SUITE.json` of ours.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::chroot::Suite;

/// What came of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
    /// The program ended in its midst.
    Died,
    /// It did not end in time.
    Hung,
    /// The program was given up before.
    NotReached,
}

impl Verdict {
    const ALL: [Self; 6] =
        [Self::Passed, Self::Failed, Self::Skipped, Self::Died, Self::Hung, Self::NotReached];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Died => "died",
            Self::Hung => "hung",
            Self::NotReached => "not reached",
        }
    }
}

/// Of one program, by test.
pub(crate) type Verdicts = BTreeMap<String, Verdict>;

/// Of one suite on one side, by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    pub(crate) rows: BTreeMap<String, Verdicts>,
}

/// Whose cluster it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ceph,
    Seabed,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ceph => "ceph",
            Self::Seabed => "seabed",
        }
    }

    fn file(self, suite: Suite) -> PathBuf {
        let stem = match self {
            Self::Ceph => "reference",
            Self::Seabed => "seabed",
        };
        format!("xtask/interop/{stem}-{}.json", suite.name()).into()
    }
}

impl Results {
    /// What was kept of earlier runs; empty if there was none.
    pub(crate) fn load(side: Side, suite: Suite) -> Result<Self> {
        let path = side.file(suite);
        if !path.exists() {
            return Ok(Self::default());
        }
        Self::parse(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())
    }

    pub(crate) fn save(&self, side: Side, suite: Suite) -> Result<()> {
        let path = side.file(suite);
        fs::write(&path, self.text()?).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let file: Map<String, Value> = serde_json::from_str(text)?;
        let mut rows = BTreeMap::new();
        for (row, by_word) in file {
            let mut verdicts = Verdicts::new();
            for (word, tests) in by_word.as_object().context("a row is no object")? {
                let Some(verdict) = Verdict::ALL.into_iter().find(|v| v.word() == word) else {
                    bail!("{word:?} is no verdict");
                };
                for test in tests.as_array().context("tests are no list")? {
                    let test = test.as_str().context("a test is no string")?;
                    verdicts.insert(test.to_owned(), verdict);
                }
            }
            rows.insert(row, verdicts);
        }
        Ok(Self { rows })
    }

    fn text(&self) -> Result<String> {
        let mut file = Map::new();
        for (row, verdicts) in &self.rows {
            let mut by_word = Map::new();
            for verdict in Verdict::ALL {
                let tests: Vec<&String> =
                    verdicts.iter().filter(|(_, v)| **v == verdict).map(|(t, _)| t).collect();
                if !tests.is_empty() {
                    by_word.insert(verdict.word().to_owned(), json!(tests));
                }
            }
            file.insert(row.clone(), by_word.into());
        }
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut results = Results::default();
        let verdicts = results.rows.entry("a program".to_owned()).or_default();
        for verdict in Verdict::ALL {
            verdicts.insert(format!("Suite.{}", verdict.word()), verdict);
        }
        assert_eq!(Results::parse(&results.text().unwrap()).unwrap(), results);
        assert!(Results::parse(r#"{"a": {"perhaps": ["b"]}}"#).is_err());
    }
}
