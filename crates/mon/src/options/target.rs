//! Whom a setting is for: `global`, a kind of daemon or a single one, and perhaps only those at a
//! place (`osd/host:a`) or of a device class (`osd/class:ssd`).

use seabed_cluster::{OsdId, OsdMap};

/// Kinds of entities, in the order in which settings are shown.
const KINDS: [&str; 5] = ["mon", "mgr", "osd", "mds", "client"];

/// A place with its device class, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Kind and name of each bucket around it.
    pub location: Vec<(String, String)>,
    /// The class; unknown ones fit every class.
    pub class: Option<String>,
}

impl Place {
    /// Where an entity is: known of OSDs in the CRUSH tree.
    pub fn of(map: &OsdMap, entity: &str) -> Self {
        let osd = entity.strip_prefix("osd.").and_then(|id| id.parse::<i32>().ok());
        let Some(osd) = osd.map(OsdId) else { return Self::default() };
        Self {
            location: map.crush.location(osd.0),
            class: map.crush.item_class(osd.0).map(str::to_string),
        }
    }
}

/// Whom a setting is for, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target<'a> {
    /// `global`, `osd`, `osd.1`.
    pub section: &'a str,
    /// Kind and name of a bucket it is limited to.
    pub location: Option<(&'a str, &'a str)>,
    /// The class it is limited to.
    pub class: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes the text apart. `None`: it names nobody.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let mut out = Self { section: parts.next()?, ..Self::default() };
        if !is_section(out.section) {
            return None;
        }
        for part in parts {
            match part.split_once(':')? {
                ("class", name) if !name.is_empty() => out.class = Some(name),
                (kind, name) if !kind.is_empty() && !name.is_empty() => {
                    out.location = Some((kind, name));
                }
                _ => return None,
            }
        }
        Some(out)
    }

    /// What limits it, as shown.
    pub fn mask(&self) -> String {
        let place = self.location.map(|(kind, name)| format!("{kind}:{name}"));
        let class = self.class.map(|name| format!("class:{name}"));
        place.into_iter().chain(class).collect::<Vec<_>>().join("/")
    }

    /// True if who is at `place` is meant.
    pub fn fits(&self, place: &Place) -> bool {
        let here =
            |(kind, name): (&str, &str)| place.location.iter().any(|(k, n)| k == kind && n == name);
        let same = |class: &str| place.class.as_deref().is_none_or(|c| c == class);
        self.location.is_none_or(here) && self.class.is_none_or(same)
    }

    /// How narrow it is for who is at `place`: the narrower setting wins.
    pub fn narrowness(&self, place: &Place) -> usize {
        // Places are listed from the nearest.
        let at = |kind: &str| place.location.iter().position(|(k, _)| k == kind);
        let near = self.location.map_or(0, |(kind, _)| 100 - at(kind).unwrap_or(0).min(99));
        near + if self.class.is_some() { 1000 } else { 0 }
    }

    /// Sorts settings as they are shown: the general before the special, those with a mask first.
    pub fn rank(&self) -> (usize, &'a str, bool, String) {
        let kind = self.section.split('.').next().unwrap_or_default();
        let at = KINDS.iter().position(|k| *k == kind).map_or(0, |n| n + 1);
        let mask = self.mask();
        (at, self.section, mask.is_empty(), mask)
    }

    /// How far it is set in: 0 for all, 1 for a kind, 2 for one.
    pub fn depth(&self) -> usize {
        match self.section {
            "global" => 0,
            section if section.contains('.') => 2,
            _ => 1,
        }
    }
}

/// True if it is `global`, a kind of entity, or one entity.
pub fn is_section(text: &str) -> bool {
    let (kind, id) = text.split_once('.').unwrap_or((text, "-"));
    text == "global" || (KINDS.contains(&kind) && !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert!(Target::parse("nosuch").is_none() && Target::parse("osd/x").is_none());
        assert!(Target::parse("osd.").is_none());
        let t = Target::parse("osd/host:a/class:ssd").unwrap();
        assert_eq!((t.section, t.mask().as_str()), ("osd", "host:a/class:ssd"));
        let place = |host: &str, class: &str| Place {
            location: vec![("host".into(), host.into()), ("root".into(), "default".into())],
            class: Some(class.into()),
        };
        assert!(t.fits(&place("a", "ssd")));
        assert!(!t.fits(&place("b", "ssd")) && !t.fits(&place("a", "hdd")));
        let root = Target::parse("osd/root:default").unwrap();
        let host = Target::parse("osd/host:a").unwrap();
        let here = place("a", "ssd");
        assert!(host.narrowness(&here) > root.narrowness(&here));
        assert!(t.narrowness(&here) > host.narrowness(&here));
    }
}
