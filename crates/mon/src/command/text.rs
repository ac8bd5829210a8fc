//! Plain text as Ceph's tools print it: tables, sizes, counts, ages.

use std::time::Duration;

/// A cell or heading is flush with this side of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Flush left.
    Left,
    /// Flush right.
    Right,
}

/// A table with aligned columns, two spaces between them.
#[derive(Debug, Default)]
pub struct Table {
    columns: Vec<(String, Align, Align)>,
    rows: Vec<Vec<String>>,
    headless: bool,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column with the alignment of its heading and of its cells.
    pub fn column(&mut self, name: &str, heading: Align, cells: Align) -> &mut Self {
        self.columns.push((name.to_string(), heading, cells));
        self
    }

    /// Adds a column whose heading is aligned as its cells.
    pub fn plain(&mut self, name: &str, align: Align) -> &mut Self {
        self.column(name, align, align)
    }

    /// Prints no headings.
    pub fn without_headings(&mut self) -> &mut Self {
        self.headless = true;
        self
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) -> &mut Self {
        self.rows.push(cells.into_iter().collect());
        self
    }

    /// The text, a newline after each row.
    pub fn render(&self) -> String {
        let width = |i: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
            let head = if self.headless { 0 } else { self.columns[i].0.chars().count() };
            cells.max().unwrap_or(0).max(head)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut out = String::new();
        if !self.headless {
            let cells = self.columns.iter().map(|(n, a, _)| (n.as_str(), *a));
            line(&mut out, cells, &widths);
        }
        for row in &self.rows {
            let cells = self
                .columns
                .iter()
                .enumerate()
                .map(|(i, (_, _, a))| (row.get(i).map_or("", String::as_str), *a));
            line(&mut out, cells, &widths);
        }
        out
    }
}

fn line<'a>(out: &mut String, cells: impl Iterator<Item = (&'a str, Align)>, widths: &[usize]) {
    for (i, (text, align)) in cells.enumerate() {
        if i > 0 {
            out.push_str("  ");
        }
        let pad = " ".repeat(widths[i].saturating_sub(text.chars().count()));
        match align {
            Align::Left => {
                out.push_str(text);
                out.push_str(&pad);
            }
            Align::Right => {
                out.push_str(&pad);
                out.push_str(text);
            }
        }
    }
    out.push('\n');
}

/// A value in at most seven characters, with as many of two decimals as fit.
fn scaled(value: u64, base: u64, units: &[&str]) -> String {
    let (mut n, mut index, mut divisor) = (value, 0usize, 1u64);
    while n >= base && index + 1 < units.len() {
        n /= base;
        index += 1;
        divisor = divisor.saturating_mul(base);
    }
    if index == 0 || value.is_multiple_of(divisor) {
        return format!("{n}{}", units[index]);
    }
    let exact = value as f64 / divisor as f64;
    for decimals in (1..=2usize).rev() {
        let text = format!("{exact:.decimals$}{}", units[index]);
        if text.len() <= 7 {
            return text;
        }
    }
    format!("{exact:.0}{}", units[index])
}

/// Bytes: `935 MiB`, `9.0 MiB`, `19 B`.
pub fn bytes(value: u64) -> String {
    scaled(value, 1024, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"])
}

/// A count: `306`, `1.23k`.
pub fn count(value: u64) -> String {
    scaled(value, 1000, &["", "k", "M", "G", "T", "P", "E"])
}

/// An age or a time left: `47m`, `2m`, `1.35435s`.
pub fn span(d: Duration) -> String {
    if d.as_nanos() < 2_000_000_000 {
        return format!("{}s", float_g(d.as_secs_f64(), 6));
    }
    let sec = d.as_secs();
    let (min, hr) = (sec / 60, sec / 3600);
    let day = hr / 24;
    match () {
        () if sec < 120 => format!("{sec}s"),
        () if min < 120 => format!("{min}m"),
        () if hr < 48 => format!("{hr}h"),
        () if day < 14 => format!("{day}d"),
        () if day / 7 < 12 => format!("{}w", day / 7),
        () if day / 30 < 24 => format!("{}M", day / 30),
        () => format!("{}y", day / 365),
    }
}

/// A float with `digits` significant digits and no trailing zeros, as C++ streams print it.
pub fn float_g(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    let exponent = value.abs().log10().floor();
    if exponent < -5.0 || exponent >= digits as f64 {
        let text = format!("{:.*e}", digits.saturating_sub(1), value);
        let (mantissa, exp) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = trim_zeros(mantissa);
        let exp: i32 = exp.parse().unwrap_or(0);
        let sign = if exp < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exp.abs());
    }
    let decimals = (digits as f64 - 1.0 - exponent).max(0.0) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_string()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A ratio already in per cent: two decimals, `0` when below a hundredth.
pub fn percent(value: f64) -> String {
    if value.abs() < 0.01 { "0".to_string() } else { format!("{value:.2}") }
}

/// A CRUSH weight in 16.16 fixed point: five decimals, `0` when it rounds to that.
pub fn weight(fixed: u32) -> String {
    weight_f(f64::from(fixed) / 65536.0)
}

/// The same of a float.
pub fn weight_f(value: f64) -> String {
    if value.abs() < 0.01 / 1000.0 { "0".to_string() } else { format!("{value:.5}") }
}

/// `[1,0,2]`.
pub fn id_list(ids: impl IntoIterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|i| i.to_string()).collect();
    format!("[{}]", ids.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_recorded() {
        // Values and texts of recorded sessions b01, b05 and b17.
        assert_eq!(bytes(19), "19 B");
        assert_eq!(bytes(1_200_000), "1.1 MiB");
        assert_eq!(bytes(9 * 1024 * 1024 + 11), "9.0 MiB");
        assert_eq!(bytes(8 << 30), "8 GiB");
        assert_eq!(bytes(3_217_519_140), "3.0 GiB");
        assert_eq!(bytes((1 << 30) - 1000), "1024 MiB");
        assert_eq!(count(306), "306");
        assert_eq!(count(1234), "1.23k");
    }

    #[test]
    fn ages_as_recorded() {
        assert_eq!(span(Duration::from_secs(2882)), "48m");
        assert_eq!(span(Duration::from_nanos(1_354_350_000)), "1.35435s");
        assert_eq!(span(Duration::from_secs(16)), "16s");
        assert_eq!(span(Duration::from_secs(7201)), "2h");
    }

    #[test]
    fn table_pads_like_text_table() {
        let mut t = Table::new();
        t.column("ID", Align::Left, Align::Right).column("CLASS", Align::Left, Align::Right);
        t.column("TYPE NAME", Align::Left, Align::Left);
        t.row(["-1".into(), String::new(), "root default".into()]);
        t.row(["0".into(), "hdd".into(), "    osd.0".into()]);
        assert_eq!(
            t.render(),
            "ID  CLASS  TYPE NAME   \n-1         root default\n 0    hdd      osd.0   \n"
        );
    }

    #[test]
    fn floats_like_streams() {
        assert_eq!(float_g(0.5, 6), "0.5");
        assert_eq!(float_g(1.0, 6), "1");
        assert_eq!(float_g(0.949_999_988, 6), "0.95");
        assert_eq!(float_g(66.666_666, 6), "66.6667");
    }
}
