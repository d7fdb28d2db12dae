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

/// How long ago, as kubectl prints it: two units at most, fewer digits the older.
#[must_use]
pub fn age(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let s = seconds.max(0);
    // The smaller unit is left out when there is nothing of it.
    let pair = |whole: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    match s {
        _ if s < 2 * MINUTE => format!("{s}s"),
        _ if s < 10 * MINUTE => pair(s / MINUTE, "m", s % MINUTE, "s"),
        _ if s < 3 * HOUR => format!("{}m", s / MINUTE),
        _ if s < 8 * HOUR => pair(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        _ if s < 2 * DAY => format!("{}h", s / HOUR),
        _ if s < 8 * DAY => pair(s / DAY, "d", s % DAY / HOUR, "h"),
        _ if s < 2 * YEAR => format!("{}d", s / DAY),
        _ if s < 8 * YEAR => pair(s / YEAR, "y", s % YEAR / DAY, "d"),
        _ => format!("{}y", s / YEAR),
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
        let ages = [-3, 5, 120, 125, 700, 10_800, 11_000, 172_799, 172_800, 200_000, 700_000, 63_158_400].map(age);
        assert_eq!(ages, ["0s", "5s", "2m", "2m5s", "11m", "3h", "3h3m", "47h", "2d", "2d7h", "8d", "2y1d"]);
        assert_eq!([bytes(12), bytes(1 << 20), bytes(80 << 30), bytes(3 << 40)], ["12 B", "1.0 MiB", "80.0 GiB", "3.0 TiB"]);
    }
}
