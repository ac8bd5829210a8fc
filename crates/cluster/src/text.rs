//! How Ceph's programs print numbers and lists.

use std::fmt;

use serde_json::Value;

/// A float with six significant digits and no trailing zeros: C's `%g`.
pub(crate) struct Short(pub f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        if x.is_nan() {
            // 0/0 on the machines that Ceph runs on has the sign bit set.
            return f.write_str("-nan");
        }
        if x.is_infinite() {
            return f.write_str(if x > 0.0 { "inf" } else { "-inf" });
        }
        let scientific = format!("{x:.5e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let trim = |s: &str| -> String {
            if s.contains('.') {
                s.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                s.to_owned()
            }
        };
        if (-4..6).contains(&exponent) {
            let decimals = usize::try_from(5 - exponent).unwrap_or(0);
            f.write_str(&trim(&format!("{x:.decimals$}")))
        } else {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(f, "{}e{sign}{:02}", trim(digits), exponent.abs())
        }
    }
}

/// Items with commas between.
pub(crate) struct Commas<I>(pub I);

impl<I> fmt::Display for Commas<I>
where
    I: Clone + IntoIterator,
    I::Item: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.clone().into_iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            fmt::Display::fmt(&item, f)?;
        }
        Ok(())
    }
}

/// A float in JSON; whole numbers have no fraction, as in Ceph.
pub(crate) fn number(x: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if x.fract() == 0.0 && x.abs() < EXACT { Value::from(x as i64) } else { Value::from(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_c_prints_it() {
        let cases = [
            (1.0, "1"),
            (0.0232086181640625, "0.0232086"),
            (0.95f32 as f64, "0.95"),
            (123456.7, "123457"),
            (1234567.0, "1.23457e+06"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (0.0, "0"),
            (999999.5, "1e+06"),
            (f64::NAN, "-nan"),
        ];
        for (x, text) in cases {
            assert_eq!(Short(x).to_string(), text);
        }
    }
}
