//! Signatures of commands: literal words and arguments, `name:type`, `name:type*` for several,
//! `name:type=choices`, `name:type<range>`, in brackets when optional.

use serde_json::{Map, Value, json};

/// The literal words of a signature.
pub fn prefix(sig: &str) -> String {
    let words: Vec<&str> = sig.split(' ').take_while(|w| !w.contains(':')).collect();
    words.join(" ")
}

/// What a daemon can be told: signature and help of each command in the form that tools read.
pub fn describe_told<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let entry = |(i, (sig, help)): (usize, (&str, &str))| {
        (format!("cmd{i:03}"), json!({"sig": words(sig), "help": help}))
    };
    Value::Object(rows.enumerate().map(entry).collect())
}

/// What a daemon can be told: the help of each command, for people.
pub fn help_told<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    Value::Object(rows.map(|(sig, help)| (sig.to_owned(), json!(help))).collect())
}

fn words(sig: &str) -> Vec<Value> {
    sig.split(' ').map(argument).collect()
}

/// Signature, help, module and permission of each command in the form that tools read.
pub fn describe<'a>(rows: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)>) -> Value {
    let mut all = Map::new();
    for (i, (sig, help, module, perm)) in rows.enumerate() {
        all.insert(
            format!("cmd{i:03}"),
            json!({"sig": words(sig), "help": help, "module": module, "perm": perm, "flags": 0}),
        );
    }
    Value::Object(all)
}

fn argument(word: &str) -> Value {
    let (body, optional) = match word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
        Some(inner) => (inner, true),
        None => (word, false),
    };
    let Some((name, kind)) = body.split_once(':') else { return json!(word) };
    let mut arg = Map::new();
    arg.insert("name".into(), json!(name));
    let (kind, choices) = match kind.split_once('=') {
        Some((k, c)) => (k, Some(c)),
        None => (kind, None),
    };
    let (kind, range) = match kind.split_once('<') {
        Some((k, r)) => (k, Some(r.trim_end_matches('>'))),
        None => (kind, None),
    };
    arg.insert("type".into(), json!(kind.trim_end_matches('*')));
    if kind.ends_with('*') {
        arg.insert("n".into(), json!("N"));
    }
    if optional {
        arg.insert("req".into(), json!(false));
    }
    if let Some(choices) = choices {
        arg.insert("strings".into(), json!(choices));
    }
    if let Some(range) = range {
        arg.insert("range".into(), json!(range));
    }
    Value::Object(arg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_as_the_tool_expects() {
        assert_eq!(argument("osd"), json!("osd"));
        assert_eq!(
            argument("[num:CephInt<1>]"),
            json!({"name": "num", "type": "CephInt", "req": false, "range": "1"})
        );
        assert_eq!(
            argument("ids:CephString*"),
            json!({"name": "ids", "type": "CephString", "n": "N"})
        );
        assert_eq!(
            argument("[d:CephChoices*=a|b]"),
            json!({"name": "d", "type": "CephChoices", "n": "N", "req": false, "strings": "a|b"})
        );
        assert_eq!(prefix("osd pool ls [detail:CephChoices=detail]"), "osd pool ls");
    }
}
