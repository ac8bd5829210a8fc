//! Health as it is told: the whole, in a line, in full, as JSON; what is muted counts for nothing
//! and is named.

use seabed_cluster::UTime;
use serde_json::{Map, Value, json};

use super::health::{Check, Checks, Severity};
use super::mute::{Mute, Mutes};

/// What is wrong, what of it is muted, and what time it is.
#[derive(Clone, Copy)]
pub struct Health<'a> {
    /// All that is wrong.
    pub checks: &'a Checks,
    /// What is muted.
    pub mutes: &'a Mutes,
    /// Now.
    pub wall: UTime,
}

impl Health<'_> {
    fn muted(&self, code: &str) -> Option<&Mute> {
        self.mutes.get(code)
    }

    /// What is wrong and not muted.
    pub fn heard(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|(code, _)| self.muted(code).is_none()).map(|(_, c)| c)
    }

    /// The whole: the worst severity of checks not muted.
    pub fn overall(&self) -> &'static str {
        self.heard().map(|c| c.severity).max().map_or("HEALTH_OK", Severity::as_str)
    }

    /// `(muted: OSD_DOWN(59m))`, if anything is.
    pub fn muted_text(&self) -> Option<String> {
        let name = |(code, mute): (&String, &Mute)| match mute.left(self.wall) {
            Some(left) => format!(" {code}({left})"),
            None => format!(" {code}"),
        };
        let names: String = self.mutes.iter().map(name).collect();
        (!names.is_empty()).then(|| format!("(muted:{names})"))
    }

    /// As JSON; with `detail` line by line.
    pub fn json(&self, detail: bool) -> Value {
        let mut out = Map::new();
        for (code, check) in self.checks {
            let mut c = Map::new();
            c.insert("severity".into(), json!(check.severity.as_str()));
            c.insert("summary".into(), json!({"message": check.summary, "count": check.count}));
            if detail {
                let lines: Vec<Value> =
                    check.detail.iter().map(|m| json!({"message": m})).collect();
                c.insert("detail".into(), Value::Array(lines));
            }
            c.insert("muted".into(), json!(self.muted(code).is_some()));
            out.insert((*code).to_string(), Value::Object(c));
        }
        let mutes = self.mutes.iter().map(|(code, mute)| {
            let mut m = Map::from_iter([("code".to_owned(), json!(code))]);
            if !mute.until.is_zero() {
                m.insert("ttl".into(), json!(mute.until.to_string()));
            }
            m.insert("sticky".into(), json!(mute.sticky));
            m.insert("summary".into(), json!(mute.summary));
            m.insert("count".into(), json!(mute.count));
            Value::Object(m)
        });
        let mutes: Vec<Value> = mutes.collect();
        json!({"status": self.overall(), "checks": out, "mutes": mutes})
    }

    /// As text: one line, or with `detail` a block for each check.
    pub fn text(&self, detail: bool) -> String {
        let told = self.heard().map(|c| c.summary.clone()).chain(self.muted_text());
        let told: Vec<String> = told.collect();
        let mut out = format!("{} {}", self.overall(), told.join("; "));
        out.truncate(out.trim_end().len());
        out.push('\n');
        if detail {
            for (code, check) in self.checks {
                out.push_str(&self.tag(code));
                out.push_str(match check.severity {
                    Severity::Warn => "[WRN]",
                    Severity::Error => "[ERR]",
                });
                out.push_str(&format!(" {code}: {}\n", check.summary));
                for line in &check.detail {
                    out.push_str(&format!("    {line}\n"));
                }
            }
        }
        out
    }

    /// `(MUTED ttl 59m, STICKY) `.
    fn tag(&self, code: &str) -> String {
        let Some(mute) = self.muted(code) else { return String::new() };
        let left = mute.left(self.wall).map(|left| format!(" ttl {left}")).unwrap_or_default();
        let sticky = if mute.sticky { ", STICKY" } else { "" };
        format!("(MUTED{left}{sticky}) ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_muted_is_named_and_does_not_count() {
        let check = |severity, summary: &str| Check {
            severity,
            summary: summary.to_owned(),
            count: 1,
            detail: vec!["so".to_owned()],
        };
        let checks = Checks::from([
            ("OSD_DOWN", check(Severity::Warn, "1 osds down")),
            ("OSD_FULL", check(Severity::Error, "1 full osd(s)")),
        ]);
        let wall = UTime { sec: 100, nsec: 0 };
        let until = UTime { sec: 100 + 59 * 60, nsec: 0 };
        let full = Mute::new(checks.get("OSD_FULL"), until, true);
        let mut mutes = Mutes::from([("OSD_FULL".to_owned(), full)]);
        let health = Health { checks: &checks, mutes: &mutes, wall };
        assert_eq!(health.text(false), "HEALTH_WARN 1 osds down; (muted: OSD_FULL(59m))\n");
        let detail = "[WRN] OSD_DOWN: 1 osds down\n    so\n(MUTED ttl 59m, STICKY) [ERR] OSD_FULL: \
                      1 full osd(s)\n    so\n";
        assert!(health.text(true).ends_with(detail), "{}", health.text(true));
        let json = health.json(false);
        assert_eq!(json["mutes"][0]["ttl"], until.to_string());
        assert_eq!(
            (&json["checks"]["OSD_FULL"]["muted"], &json["status"]),
            (&json!(true), &json!("HEALTH_WARN"))
        );
        mutes.insert("OSD_DOWN".to_owned(), Mute::default());
        let health = Health { checks: &checks, mutes: &mutes, wall };
        assert_eq!(health.text(false), "HEALTH_OK (muted: OSD_DOWN OSD_FULL(59m))\n");
        assert_eq!(health.json(false)["mutes"][0].get("ttl"), None);
    }
}
