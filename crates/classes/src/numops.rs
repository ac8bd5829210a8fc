//! Class `numops`: arithmetic on decimal text in the omap, read and written as C does it.

use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::Bytes;

use crate::codec::input;
use crate::{Access, Class, Done, Method, Object, Output};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "numops",
    methods: &[
        Method { name: "add", access: Access::RDWR, run: add },
        Method { name: "mul", access: Access::RDWR, run: mul },
    ],
};

/// A stored value that is no number.
const EBADMSG: Errno = Errno(74);

/// Significant digits of what is stored.
const PRECISION: i32 = 10;

/// The number that the whole text is, as `strtod` reads it; an empty text is 0. Text ends at its
/// first zero byte.
fn number(text: &[u8]) -> Option<f64> {
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        return hexadecimal(hex).map(|n| sign * n);
    }
    if digits.starts_with(['+', '-']) {
        return None;
    }
    digits.parse().ok().map(|n: f64| sign * n)
}

/// Hexadecimal digits with a point and a power of two.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, power) = match text.split_once(['p', 'P']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * f64::from(power.checked_sub(shift)?).exp2())
}

/// The number with ten significant digits, as `%.10g` writes it.
fn text(n: f64) -> String {
    if !n.is_finite() {
        let sign = if n.is_sign_negative() { "-" } else { "" };
        return format!("{sign}{}", if n.is_nan() { "nan" } else { "inf" });
    }
    let scientific = format!("{n:.*e}", PRECISION as usize - 1);
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..PRECISION).contains(&power) {
        let places = usize::try_from(PRECISION - 1 - power).unwrap_or(0);
        return shortened(&format!("{n:.places$}")).to_owned();
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", shortened(digits), power.unsigned_abs())
}

/// Without the zeros that end a fraction.
fn shortened(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

/// Puts `f` of the stored value and the input's in its place; an absent value is 0.
fn change(object: &mut dyn Object, bytes: Bytes, f: impl FnOnce(f64, f64) -> f64) -> Done {
    let (key, operand): (Bytes, Bytes) = input(bytes)?;
    let operand = number(&operand).ok_or(Errno::EINVAL)?;
    let stored = match object.omap_val(&key) {
        Err(Errno::ENOENT) => Bytes::new(),
        stored => stored?,
    };
    let value = f(number(&stored).ok_or(EBADMSG)?, operand);
    object.omap_set(BTreeMap::from([(key, text(value).into())]))?;
    Ok(Output::default())
}

fn add(object: &mut dyn Object, bytes: Bytes) -> Done {
    change(object, bytes, |stored, operand| stored + operand)
}

fn mul(object: &mut dyn Object, bytes: Bytes) -> Done {
    change(object, bytes, |stored, operand| stored * operand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_printf_writes_them() {
        for (n, written) in [
            (0.0, "0"),
            (10.5, "10.5"),
            (-3.0, "-3"),
            (0.1 + 0.2, "0.3"),
            (1e9, "1000000000"),
            (12_345_678_901.0, "1.23456789e+10"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (9_999_999_999.9, "1e+10"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (-0.0, "-0"),
        ] {
            assert_eq!(text(n), written);
        }
    }

    #[test]
    fn numbers_are_read_as_strtod_reads_them() {
        for (written, n) in [
            ("", Some(0.0)),
            (" \t12", Some(12.0)),
            ("-1.5e3", Some(-1500.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("0x1.8p1", Some(3.0)),
            ("7\0rest", Some(7.0)),
            ("inf", Some(f64::INFINITY)),
            ("12 ", None),
            ("1e", None),
            ("+-1", None),
            ("0x", None),
            ("one", None),
        ] {
            assert_eq!(number(written.as_bytes()), n, "{written:?}");
        }
    }
}
