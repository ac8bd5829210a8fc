//! What is decided without looking at anything: pure, and tested as such.

pub(crate) mod capability;
pub(crate) mod create;
pub(crate) mod fence;
pub(crate) mod handle;
pub(crate) mod parameters;
pub(crate) mod publish;
pub(crate) mod size;

use crate::fault::Fault;

/// Longest text that CSI lets a field have, names and ids among them.
pub(crate) const TEXT_MAX: usize = 128;

/// A field that must be there.
pub(crate) fn required<'a>(field: &str, value: &'a str) -> Result<&'a str, Fault> {
    if value.is_empty() {
        return Err(Fault::invalid(format!("{field} is missing")));
    }
    Ok(value)
}

/// A name that the caller gives: anything of up to 128 bytes that can be shown.
pub(crate) fn name<'a>(field: &str, value: &'a str) -> Result<&'a str, Fault> {
    required(field, value)?;
    if value.len() > TEXT_MAX {
        let length = value.len();
        return Err(Fault::invalid(format!("{field} has {length} bytes, more than {TEXT_MAX}")));
    }
    if value.chars().any(char::is_control) {
        return Err(Fault::invalid(format!("{field} has control characters")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(name("name", "").is_err());
        assert!(name("name", &"x".repeat(128)).is_ok());
        assert!(name("name", &"x".repeat(129)).is_err());
        assert!(name("name", "a\nb").is_err());
        assert!(name("name", "pvc-4711 ü/@").is_ok());
    }
}
