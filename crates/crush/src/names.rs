//! Finding things by name and naming them.
//!
//! Invariant: a name given here is unique among items, types or rules and has only characters
//! that the text form can carry.

use crate::{CrushError, CrushMap};

/// True for names that items, types, rules and classes may have.
pub fn is_valid_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.bytes().all(plain)
}

/// True for the name of a shadow bucket: `bucket~class`.
pub(crate) fn is_shadow_name(name: &str) -> bool {
    name.contains('~')
}

fn key_of<'m>(mut names: impl Iterator<Item = (&'m i32, &'m String)>, name: &str) -> Option<i32> {
    names.find(|(_, n)| *n == name).map(|(id, _)| *id)
}

impl CrushMap {
    /// The id of a device or bucket.
    pub fn item_id(&self, name: &str) -> Option<i32> {
        key_of(self.item_names.iter(), name)
    }

    /// The id of a device or bucket, or the error that says it is missing.
    pub fn find_item(&self, name: &str) -> Result<i32, CrushError> {
        self.item_id(name).ok_or_else(|| CrushError::not_found("item", name))
    }

    /// The name of a device or bucket.
    pub fn item_name(&self, id: i32) -> Option<&str> {
        self.item_names.get(&id).map(String::as_str)
    }

    /// The number of a type.
    pub fn type_id(&self, name: &str) -> Option<i32> {
        key_of(self.type_names.iter(), name)
    }

    /// The name of a type.
    pub fn type_name(&self, kind: i32) -> Option<&str> {
        self.type_names.get(&kind).map(String::as_str)
    }

    /// The id of a rule.
    pub fn rule_id(&self, name: &str) -> Option<u32> {
        key_of(self.rule_names.iter(), name).and_then(|id| u32::try_from(id).ok())
    }

    /// The name of a rule.
    pub fn rule_name(&self, id: u32) -> Option<&str> {
        self.rule_names.get(&i32::try_from(id).ok()?).map(String::as_str)
    }

    /// The id of a device class.
    pub fn class_id(&self, name: &str) -> Option<i32> {
        key_of(self.class_names.iter(), name)
    }

    /// The class of a device (or of a shadow bucket).
    pub fn item_class(&self, id: i32) -> Option<&str> {
        self.class_names.get(self.device_classes.get(&id)?).map(String::as_str)
    }

    /// Type of an item: 0 for devices, `None` for a bucket that is not there.
    pub fn item_type(&self, id: i32) -> Option<i32> {
        if id >= 0 { Some(0) } else { self.bucket(id).map(|b| i32::from(b.kind)) }
    }

    /// True if the item is a bucket of a shadow tree.
    pub fn is_shadow(&self, id: i32) -> bool {
        id < 0 && self.item_name(id).is_some_and(is_shadow_name)
    }

    /// The bucket and class behind a shadow bucket.
    pub fn shadow_origin(&self, id: i32) -> Option<(i32, i32)> {
        let found = |(bucket, by_class): (&i32, &std::collections::BTreeMap<i32, i32>)| {
            let (class, _) = by_class.iter().find(|(_, shadow)| **shadow == id)?;
            Some((*bucket, *class))
        };
        self.class_buckets.iter().find_map(found)
    }

    /// Names an item.
    pub fn set_item_name(&mut self, id: i32, name: &str) -> Result<(), CrushError> {
        if !is_valid_name(name) {
            return Err(CrushError::invalid("name", name));
        }
        match self.item_id(name) {
            Some(other) if other != id => {
                Err(CrushError::Exists { what: "item", name: name.to_owned() })
            }
            _ => {
                self.item_names.insert(id, name.to_owned());
                Ok(())
            }
        }
    }

    /// Renames a bucket; its shadow buckets follow.
    pub fn rename_bucket(&mut self, from: &str, to: &str) -> Result<(), CrushError> {
        let id = self.find_item(from)?;
        if id >= 0 {
            return Err(CrushError::invalid("bucket", from));
        }
        if from != to && self.item_id(to).is_some() {
            return Err(CrushError::Exists { what: "item", name: to.to_owned() });
        }
        self.set_item_name(id, to)?;
        for (class, shadow) in self.class_buckets.get(&id).cloned().unwrap_or_default() {
            if let Some(class) = self.class_names.get(&class) {
                self.item_names.insert(shadow, format!("{to}~{class}"));
            }
        }
        Ok(())
    }

    /// Adds a type, or renames one.
    pub fn set_type_name(&mut self, kind: i32, name: &str) -> Result<(), CrushError> {
        if !is_valid_name(name) || kind < 0 || kind > i32::from(u16::MAX) {
            return Err(CrushError::invalid("type", name));
        }
        match self.type_id(name) {
            Some(other) if other != kind => {
                Err(CrushError::Exists { what: "type", name: name.to_owned() })
            }
            _ => {
                self.type_names.insert(kind, name.to_owned());
                Ok(())
            }
        }
    }
}
