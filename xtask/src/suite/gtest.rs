//! GoogleTest's output, read as it comes: a program that dies or hangs has still told what it
//! finished, and which test it was in.

use super::results::Verdict;

/// One thing that a line of output tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Began(&'a str),
    Ended(&'a str, Verdict),
}

const MARKS: [(&str, Option<Verdict>); 4] = [
    ("[ RUN      ] ", None),
    ("[       OK ] ", Some(Verdict::Passed)),
    ("[  FAILED  ] ", Some(Verdict::Failed)),
    ("[  SKIPPED ] ", Some(Verdict::Skipped)),
];

/// The event of a line. A program's own output without a newline may precede the mark.
pub(crate) fn event(line: &str) -> Option<Event<'_>> {
    let (at, mark, verdict) =
        MARKS.iter().find_map(|(mark, verdict)| Some((line.find(mark)?, mark, verdict)))?;
    let name = line[at + mark.len()..].split([' ', ',']).next()?;
    // Summaries count: "[  FAILED  ] 3 tests".
    if !name.contains('.') {
        return None;
    }
    Some(match verdict {
        None => Event::Began(name),
        Some(verdict) => Event::Ended(name, *verdict),
    })
}

/// The tests in the output of `--gtest_list_tests`.
pub(crate) fn listed(output: &str) -> Vec<String> {
    let mut suite = "";
    let mut tests = Vec::new();
    for line in output.lines() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with("  ") && !suite.is_empty() {
            tests.push(format!("{suite}{name}"));
        } else if name.ends_with('.') && !name.contains(' ') {
            suite = name;
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_events() {
        let cases = [
            ("[ RUN      ] LibRbd.Create", Some(Event::Began("LibRbd.Create"))),
            ("[       OK ] A.b/0 (12 ms)", Some(Event::Ended("A.b/0", Verdict::Passed))),
            (
                "noise[  FAILED  ] A.b/0, where TypeParam = x (12 ms)",
                Some(Event::Ended("A.b/0", Verdict::Failed)),
            ),
            ("[  SKIPPED ] A.b (0 ms)", Some(Event::Ended("A.b", Verdict::Skipped))),
            ("[  FAILED  ] 2 tests, listed below:", None),
            ("[----------] 3 tests from A", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(event(line), expected, "{line}");
        }
    }

    #[test]
    fn a_list_has_suites_and_tests() {
        let output = "Running main() from gmock_main.cc
DISABLED in this release:
A.
  b
  c  # GetParam() = 3
P/D/0.  # TypeParam = x
  e
";
        assert_eq!(listed(output), ["A.b", "A.c", "P/D/0.e"]);
    }
}
