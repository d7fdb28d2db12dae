//! Columns for people: as wide as their longest cell, two blanks between, no lines drawn.

/// A table as text; rows shorter than the header are filled with `-`.
#[must_use]
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], i: usize| row.get(i).filter(|c| !c.is_empty()).map_or("-", String::as_str).to_owned();
    let mut lines = vec![header.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| (0..header.len()).map(|i| cell(row, i)).collect()));
    let width = |i: usize| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A table that is there only when it has rows.
#[must_use]
pub fn section(header: &[&str], rows: &[Vec<String>]) -> Option<String> {
    (!rows.is_empty()).then(|| render(header, rows))
}

/// How long ago, as kubectl prints it: two units at most.
#[must_use]
pub fn age(seconds: i64) -> String {
    let s = seconds.max(0);
    match s {
        0..=119 => format!("{s}s"),
        120..=599 => format!("{}m{}s", s / 60, s % 60),
        600..=10_799 => format!("{}m", s / 60),
        10_800..=172_799 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// Bytes in the binary unit that suits them.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (0..4).take_while(|p| n >> (10 * (p + 1)) > 0).count();
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let value = n as f64 / f64::from(1_u32 << (10 * power.min(3))) / if power == 4 { 1024.0 } else { 1.0 };
    if power == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[power]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_gaps_show() {
        let text = render(&["NAME", "STATE"], &[vec!["a".into(), "awake".into()], vec!["longer".into()]]);
        assert_eq!(text, "NAME    STATE\na       awake\nlonger  -\n");
    }

    #[test]
    fn units_are_chosen_by_size() {
        assert_eq!([age(5), age(125), age(700), age(11_000), age(200_000)], ["5s", "2m5s", "11m", "3h", "2d"]);
        assert_eq!([bytes(12), bytes(1 << 20), bytes(80 << 30), bytes(3 << 40)], ["12 B", "1.0 MiB", "80.0 GiB", "3.0 TiB"]);
    }
}
