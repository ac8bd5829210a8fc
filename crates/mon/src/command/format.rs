//! Turning an answer into the bytes that the client prints: plain text or JSON.

use seabed_denc::Bytes;
use serde_json::Value;

use super::{Format, Refusal};

/// JSON as Ceph's formatters print it, compact or with four spaces of indentation.
pub fn json(value: &Value, format: Format) -> String {
    match format {
        Format::Json => value.to_string(),
        Format::Plain | Format::JsonPretty => {
            let mut out = String::new();
            pretty(&mut out, value, 0);
            out
        }
    }
}

fn pretty(out: &mut String, value: &Value, depth: usize) {
    let indent = |out: &mut String, n: usize| {
        out.push('\n');
        out.push_str(&"    ".repeat(n));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                pretty(out, item, depth + 1);
            }
            indent(out, depth);
            out.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                out.push_str(&Value::String(key.clone()).to_string());
                out.push_str(": ");
                pretty(out, item, depth + 1);
            }
            indent(out, depth);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// A float the way Ceph's JSON shows it: without a fraction where there is none.
pub fn num(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9.0e15 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}

/// What a command answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// 0 or a negative errno.
    pub code: i32,
    /// Text for stderr (`outs`).
    pub status: String,
    /// Output for stdout (`outbl`).
    pub data: Bytes,
}

impl Reply {
    /// Success with a status text only.
    pub fn status(text: impl Into<String>) -> Self {
        Self { status: text.into(), ..Self::default() }
    }

    /// Success with output.
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Success with text output.
    pub fn text(text: impl Into<String>) -> Self {
        Self::data(text.into())
    }

    /// Success with JSON, pretty where plain text was asked for.
    pub fn json(value: &Value, format: Format) -> Self {
        Self::text(json(value, format) + "\n")
    }

    /// The same with a status text.
    pub fn with_status(mut self, text: impl Into<String>) -> Self {
        self.status = text.into();
        self
    }
}

impl From<Refusal> for Reply {
    fn from(r: Refusal) -> Self {
        Self { code: r.errno.wire(), status: r.text, data: Bytes::new() }
    }
}
