//! What verbs print: for people, as JSON, as YAML.

use std::fmt::Write as _;

use anyhow::Result;
use seabed_rbd::{Image, feature_names};
use serde_json::{Map, Value, json};

use crate::output::print;

/// A form of output.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    Plain,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// Prints names, one a line.
    pub(crate) fn list(self, names: &[String]) -> Result<()> {
        match self {
            Format::Plain => {
                Ok(print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?)
            }
            _ => self.show(&json!(names)),
        }
    }

    /// Prints a value.
    pub(crate) fn show(self, value: &Value) -> Result<()> {
        let mut text = String::new();
        match self {
            Format::Json => text = format!("{value}\n"),
            Format::Yaml => yaml(value, 0, &mut text),
            Format::Plain => plain(value, 0, &mut text),
        }
        Ok(print(&text)?)
    }
}

/// What an image is; names of fields are Ceph's.
pub(crate) async fn info(image: &Image) -> Result<Value> {
    let header = image.header().await?;
    let mut info = Map::new();
    info.insert("name".into(), json!(image.name()));
    info.insert("id".into(), json!(header.id));
    info.insert("size".into(), json!(header.size));
    info.insert("objects".into(), json!(header.layout.objects(header.size)));
    info.insert("order".into(), json!(header.layout.order()));
    info.insert("object_size".into(), json!(header.layout.object_size()));
    if header.layout.is_striped() {
        info.insert("stripe_unit".into(), json!(header.layout.stripe_unit()));
        info.insert("stripe_count".into(), json!(header.layout.stripe_count()));
    }
    info.insert("snapshot_count".into(), json!(header.snapshots.len()));
    info.insert("block_name_prefix".into(), json!(header.object_prefix));
    info.insert("format".into(), json!(2));
    info.insert("features".into(), json!(feature_names(header.features)));
    if let Some(pool) = header.data_pool {
        info.insert("data_pool_id".into(), json!(pool.0));
    }
    if let (Some(parent), Some(open)) = (&header.parent, image.parent()) {
        let at = open.header().await?;
        let snapshot = at.snapshots.iter().find(|s| s.id == parent.spec.snap_id);
        let parent = json!({
            "pool_id": parent.spec.pool_id,
            "pool_namespace": String::from_utf8_lossy(&parent.spec.pool_namespace),
            "image": open.name(),
            "id": String::from_utf8_lossy(&parent.spec.image_id),
            "snapshot": snapshot.map(|s| s.name.clone()),
            "overlap": parent.overlap,
        });
        info.insert("parent".into(), parent);
    }
    info.insert("create_timestamp".into(), json!(header.created.to_string()));
    info.insert("access_timestamp".into(), json!(header.accessed.to_string()));
    info.insert("modify_timestamp".into(), json!(header.modified.to_string()));
    Ok(info.into())
}

fn plain(value: &Value, depth: usize, out: &mut String) {
    let Value::Object(fields) = value else { return yaml(value, depth, out) };
    for (name, value) in fields {
        let pad = "  ".repeat(depth);
        // Writing to a String cannot fail.
        let _ = match value {
            Value::Object(_) => {
                let _ = writeln!(out, "{pad}{name}:");
                plain(value, depth + 1, out);
                Ok(())
            }
            Value::String(text) => writeln!(out, "{pad}{name}: {text}"),
            Value::Array(list) if list.iter().all(Value::is_string) => {
                let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                writeln!(out, "{pad}{name}: {}", words.join(", "))
            }
            other => writeln!(out, "{pad}{name}: {other}"),
        };
    }
}

/// Block style; strings as JSON writes them, which is YAML too.
fn yaml(value: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let nested = |value: &Value| match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    let _ = match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().try_for_each(|(name, value)| {
                if nested(value) {
                    writeln!(out, "{pad}{name}:")?;
                    yaml(value, depth + 1, out);
                    return Ok(());
                }
                writeln!(out, "{pad}{name}: {value}")
            })
        }
        Value::Array(list) if !list.is_empty() => list.iter().try_for_each(|value| {
            if nested(value) {
                writeln!(out, "{pad}-")?;
                yaml(value, depth + 1, out);
                return Ok(());
            }
            writeln!(out, "{pad}- {value}")
        }),
        other => writeln!(out, "{pad}{other}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_in_blocks() {
        let value = json!({"a": 1, "b": ["x", {"y": true}], "c": {}, "d": {"e": "f: g"}});
        let mut text = String::new();
        yaml(&value, 0, &mut text);
        let want = "a: 1\nb:\n  - \"x\"\n  -\n    y: true\nc: {}\nd:\n  e: \"f: g\"\n";
        assert_eq!(text, want);
    }
}
