//! What a daemon answers when it is asked about its options: `config show|get|diff|help|set|unset`
//! and `injectargs`.

use serde_json::{Map, Value, json};

use super::layers::{Layers, NotTaken, Source};
use super::{Known, normal};
use crate::Errno;
use crate::admin::{Command, Refusal};

/// The commands: permission, signature, help.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    ("r", "config show", "show the options in force"),
    ("r", "config diff", "show the options that were set, and by whom"),
    ("r", "config diff get var:CephString", "show the options that were set, and by whom"),
    ("r", "config get var:CephString", "show an option"),
    ("r", "config help [var:CephString]", "show what an option is for"),
    ("rw", "config set var:CephString val:CephString*", "set an option until the process ends"),
    ("rw", "config unset var:CephString", "undo config set"),
    ("rw", "injectargs injected_args:CephString*", "set options until the process ends"),
];

/// The answer to a question or a wish.
type Answer = Result<Value, Refusal>;

impl Layers {
    /// Answers one of [`COMMANDS`] for the daemon `entity`; `None` if it is another.
    pub fn answer(&mut self, entity: &str, command: &Command) -> Option<Answer> {
        Some(match command.prefix.as_str() {
            "config show" => Ok(self.show(entity)),
            "config diff" | "config diff get" => Ok(self.diff()),
            "config get" => command.need("var").and_then(|name| self.show_one(&name)),
            "config help" => self.help(command.str("var").as_deref()),
            "config set" => command.need("var").and_then(|name| {
                let words = command.list("val");
                let none = || Refusal::invalid("missing required parameter 'val'");
                let value = (!words.is_empty()).then(|| words.join(" ")).ok_or_else(none)?;
                self.tell(&name, &value)
            }),
            "config unset" => command.need("var").and_then(|name| self.untell(&name)),
            "injectargs" => self.inject(&command.list("injected_args")),
            _ => return None,
        })
    }

    /// `config show`: every option with the value that holds.
    fn show(&self, entity: &str) -> Value {
        let mut out = Map::new();
        out.insert("name".into(), json!(entity));
        out.insert("cluster".into(), json!("ceph"));
        out.extend(self.all().map(|o| (o.name.to_owned(), json!(self.value(o.name)))));
        Value::Object(out)
    }

    /// `config get`.
    fn show_one(&self, name: &str) -> Answer {
        match self.find(name) {
            Some(known) => Ok(json!({ known.name: self.value(known.name) })),
            None => Err(failed(Errno::ENOENT, format!("error getting '{}'", normal(name)))),
        }
    }

    /// `config diff`: what somebody set, and who.
    fn diff(&self) -> Value {
        let rows = self.all().filter_map(|o| {
            let mut row = Map::from_iter([("default".to_owned(), o.json(o.default))]);
            let set = self.values.get(o.name)?;
            row.extend(set.iter().map(|(s, v)| (s.as_str().to_owned(), o.json(v))));
            row.insert("final".into(), o.json(self.value(o.name)));
            Some((o.name.to_owned(), Value::Object(row)))
        });
        json!({"diff": rows.collect::<Map<_, _>>()})
    }

    /// `config help`, of one option or of all.
    fn help(&self, name: Option<&str>) -> Answer {
        let Some(name) = name else {
            return Ok(json!({"options": self.all().map(Known::help).collect::<Vec<_>>()}));
        };
        let missing = || failed(Errno::ENOENT, format!("Setting not found: '{}'", normal(name)));
        self.find(name).map(|o| json!({"option": o.help()})).ok_or_else(missing)
    }

    /// `config set`.
    fn tell(&mut self, name: &str, value: &str) -> Answer {
        self.overrule(name, value)?;
        Ok(json!({"success": ""}))
    }

    /// `config unset`.
    fn untell(&mut self, name: &str) -> Answer {
        if self.find(name).is_none() {
            return Err(failed(Errno::EINVAL, format!("error unsetting '{}'", normal(name))));
        }
        self.unset(Source::Override, name);
        Ok(json!({}))
    }

    /// `injectargs`: `--name=value` and `--name value`, in one string or in several. All of them
    /// or, if one is wrong, none.
    fn inject(&mut self, args: &[String]) -> Answer {
        let mut after = self.clone();
        let mut words = args.iter().flat_map(|a| a.split_whitespace());
        while let Some(word) = words.next() {
            let bad = || Refusal::invalid(format!("failed to parse arguments: {word}"));
            let body = word.strip_prefix("--").ok_or_else(bad)?;
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, value),
                None => (body, words.next().ok_or_else(bad)?),
            };
            self.find(name).ok_or_else(bad)?;
            after.overrule(name, value)?;
        }
        *self = after;
        Ok(json!({}))
    }

    fn overrule(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        self.set(Source::Override, name, value).map_err(|why| {
            let what = format!("error setting '{}' to '{value}'", normal(name));
            match why {
                NotTaken::NoOption => failed(Errno::ENOENT, what),
                NotTaken::BadValue(why) => Refusal::invalid(format!("{what}: {why}")),
            }
        })
    }
}

fn failed(errno: Errno, what: String) -> Refusal {
    Refusal::new(errno, format!("{what}: ({}) {}", errno.0, errno.text()))
}

impl Known {
    /// All there is to say of it.
    pub fn help(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.type_word(),
            "level": self.level,
            "desc": self.help,
            "long_desc": "",
            "default": self.json(self.default),
            "daemon_default": "",
            "tags": [],
            "services": [],
            "see_also": [],
            "min": self.min(),
            "max": self.max(),
            "can_update_at_runtime": true,
            "flags": ["runtime"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        Layers::new(|name| name.starts_with("osd_"))
    }

    #[test]
    fn what_was_set_is_shown_with_who_set_it() {
        let mut l = layers();
        assert_eq!(l.diff(), json!({"diff": {}}));
        l.follow_mon([("osd_max_write_size", "80")]);
        l.set(Source::File, "osd_map_message_max", "20").unwrap();
        assert_eq!(l.tell("osd-map-message-max", "30"), Ok(json!({"success": ""})));
        let size = json!({"default": "90", "mon": "80", "final": "80"});
        let maps = json!({"default": 40, "file": 20, "override": 30, "final": 30});
        let diff = json!({"osd_map_message_max": maps, "osd_max_write_size": size});
        assert_eq!(l.diff(), json!({ "diff": diff }));
        assert_eq!(l.show_one("osd map_message_max"), Ok(json!({"osd_map_message_max": "30"})));
        assert_eq!(l.show("osd.3")["osd_max_write_size"], "80");
        assert_eq!(l.show("osd.3")["name"], "osd.3");
        assert_eq!(l.untell("osd_map_message_max"), Ok(json!({})));
        assert_eq!(l.value("osd_map_message_max"), "20");
        assert_eq!(l.help(Some("osd_max_write_size")).unwrap()["option"]["min"], "4");
        let all = l.help(None).unwrap();
        assert_eq!(all["options"].as_array().unwrap().len(), l.all().count());
        let codes = [l.show_one("rbd_cache"), l.untell("rbd_cache"), l.tell("rbd_cache", "1")];
        assert_eq!(codes.map(|r| r.unwrap_err().errno.0), [2, 22, 2]);
        assert_eq!(l.tell("osd_max_pgls", "many").unwrap_err().errno, Errno::EINVAL);
        assert_eq!(l.help(Some("nosuch")).unwrap_err().errno, Errno::ENOENT);
    }

    #[test]
    fn injected_arguments_are_taken_together() {
        let mut l = layers();
        let mut inject = |text: &[&str]| {
            let args: Vec<String> = text.iter().map(|s| (*s).to_owned()).collect();
            let done = l.inject(&args).map_err(|e| e.text);
            (done, [l.value("osd_max_pgls").to_owned(), l.value("osd_heartbeat_grace").to_owned()])
        };
        let held = ["7".to_owned(), "9".to_owned()];
        let told = inject(&["--osd-max-pgls=7 --osd_heartbeat_grace", "9"]);
        assert_eq!(told, (Ok(json!({})), held.clone()));
        assert_eq!(inject(&[]), (Ok(json!({})), held.clone()));
        for bad in ["--osd_max_pgls", "osd_max_pgls=7", "--rbd_cache=1", "--osd_max_pgls=many"] {
            let (done, after) = inject(&["--osd_max_pgls=8", bad]);
            assert!(done.is_err() && after == held, "{bad}");
        }
    }
}
