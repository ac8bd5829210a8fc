//! Options as the monitor keeps them for the cluster: whom settings are for, and what holds for
//! whom; and its own view of its own.

pub mod target;

use std::collections::BTreeMap;

use seabed_cluster::options::{Layers, NotTaken, Source, default};

use target::{Place, Target};

/// Options as they were set: (section, name) to value.
pub type Settings = BTreeMap<(String, String), String>;

/// The sections that apply to an entity, the strongest last: `global`, `osd`, `osd.1`.
pub fn sections(entity: &str) -> Vec<String> {
    let mut out = vec!["global".to_string()];
    if let Some((kind, id)) = entity.split_once('.') {
        out.push(kind.to_string());
        // `client.a.b` inherits from `client.a` as well.
        let mut at = 0;
        while let Some(dot) = id.get(at..).and_then(|rest| rest.find('.')) {
            at += dot;
            out.push(format!("{kind}.{}", &id[..at]));
            at += 1;
        }
        out.push(entity.to_string());
    } else if entity != "global" {
        out.push(entity.to_string());
    }
    out
}

/// All settings that apply to an entity at a place: for whom each was set, and its value.
pub fn effective(
    settings: &Settings,
    entity: &str,
    place: &Place,
) -> BTreeMap<String, (String, String)> {
    let mut out: BTreeMap<String, (String, String)> = BTreeMap::new();
    for section in sections(entity) {
        let mut here: BTreeMap<&str, (usize, &String, &String)> = BTreeMap::new();
        for ((who, name), value) in settings {
            let target = Target::parse(who).filter(|t| t.section == section && t.fits(place));
            let Some(target) = target else { continue };
            let narrow = target.narrowness(place);
            if here.get(name.as_str()).is_none_or(|(n, ..)| *n <= narrow) {
                here.insert(name, (narrow, who, value));
            }
        }
        for (name, (_, who, value)) in here {
            out.insert(name.to_string(), (who.clone(), value.clone()));
        }
    }
    out
}

/// The monitor's own view of its options.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(pub &'a Layers);

/// The options of a monitor that was started with these; what is wrong with one of them otherwise.
/// What the table does not know belongs to others who read the same file.
pub fn started(options: &BTreeMap<String, String>) -> Result<Layers, String> {
    // It decides by options of all kinds: those of pools, of OSDs' silence, of new clusters.
    let mut layers = Layers::new(|_| true);
    for (name, value) in options {
        if let Err(NotTaken::BadValue(why)) = layers.set(Source::File, name, value) {
            return Err(format!("{name} = {value}: {why}"));
        }
    }
    Ok(layers)
}

impl Options<'_> {
    /// The value as text.
    pub fn get(&self, name: &str) -> String {
        self.0.value(name).to_owned()
    }

    /// The value as a number; the default where it is none.
    pub fn u64(&self, name: &str) -> u64 {
        let fallback = || default(name).and_then(|d| d.parse().ok()).unwrap_or(0);
        self.get(name).trim().parse().unwrap_or_else(|_| fallback())
    }

    /// The value as a fraction; the default where it is none.
    pub fn f64(&self, name: &str) -> f64 {
        let fallback = || default(name).and_then(|d| d.parse().ok()).unwrap_or(0.0);
        self.get(name).trim().parse().unwrap_or_else(|_| fallback())
    }

    /// The value as a switch.
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.get(name).trim(), "true" | "1" | "yes" | "on")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_section_wins() {
        let mut s = Settings::new();
        s.insert(("global".into(), "a".into()), "1".into());
        s.insert(("osd".into(), "a".into()), "2".into());
        s.insert(("osd.3".into(), "b".into()), "3".into());
        let e = effective(&s, "osd.3", &Place::default());
        assert_eq!(e["a"], ("osd".to_string(), "2".to_string()));
        assert_eq!(e["b"].1, "3");
        assert_eq!(effective(&s, "client.admin", &Place::default())["a"].1, "1");
        s.insert(("osd/class:ssd".into(), "a".into()), "4".into());
        let place = |class: &str| Place { class: Some(class.into()), ..Place::default() };
        assert_eq!(effective(&s, "osd.3", &place("ssd"))["a"].1, "4");
        assert_eq!(effective(&s, "osd.3", &place("hdd"))["a"].1, "2");
        assert_eq!(sections("client.a.b"), ["global", "client", "client.a", "client.a.b"]);
    }
}
