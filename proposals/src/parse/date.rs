//! Dates as people write them (proposals contract 1.3).

use jiff::civil::Date;
use jiff::fmt::strtime;

/// What a value says as a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateValue {
    /// As it should be written.
    Iso(Date),
    /// Written otherwise, and sure.
    Readable(Date),
    /// Month and day may be either.
    Ambiguous {
        /// With the month first.
        month_first: Date,
        /// With the day first.
        day_first: Date,
    },
}

/// Which part of a date with slashes comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nobody has said.
    #[default]
    None,
    /// The month.
    MonthFirst,
    /// The day.
    DayFirst,
}

impl DateValue {
    /// Reads a value, or the first date in a note in brackets.
    #[must_use]
    pub fn read(value: &str, order: Order) -> Option<Self> {
        let value = value.trim();
        one(value, order).or_else(|| {
            let note = value.strip_prefix(['[', '('])?.strip_suffix([']', ')'])?;
            first_in(note, order)
        })
    }

    /// The day, where there is no doubt.
    #[must_use]
    pub fn date(self) -> Option<Date> {
        match self {
            Self::Iso(date) | Self::Readable(date) => Some(date),
            Self::Ambiguous { .. } => None,
        }
    }
}

const WORDS: [&str; 6] = ["%b %d %Y", "%B %d %Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y"];

fn one(text: &str, order: Order) -> Option<DateValue> {
    let parse = |format: &str, text: &str| strtime::parse(format, text).ok()?.to_date().ok();
    let iso = text.len() == 10 && text.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    if iso {
        return parse("%Y-%m-%d", text).map(DateValue::Iso);
    }
    if let Some(date) = WORDS.iter().find_map(|format| parse(format, text)) {
        return Some(DateValue::Readable(date));
    }
    let month_first = parse("%m/%d/%Y", text);
    let day_first = parse("%d/%m/%Y", text);
    match (month_first, day_first, order) {
        (Some(month_first), Some(day_first), Order::None) if month_first != day_first => {
            Some(DateValue::Ambiguous { month_first, day_first })
        }
        (Some(date), _, Order::None | Order::MonthFirst) | (_, Some(date), Order::None | Order::DayFirst) => {
            Some(DateValue::Readable(date))
        }
        (Some(date), None, Order::DayFirst) | (None, Some(date), Order::MonthFirst) => Some(DateValue::Readable(date)),
        (None, None, _) => None,
    }
}

/// The first run of one to three words of a note that is a date; none of them is as it should be written.
fn first_in(note: &str, order: Order) -> Option<DateValue> {
    let words: Vec<&str> = note.split_whitespace().collect();
    let runs = (0..words.len()).flat_map(|from| [3, 2, 1].map(|length| (from, length)));
    let trimmed = |text: String| text.trim_end_matches([',', ';', '.']).to_owned();
    let found =
        runs.filter_map(|(from, length)| Some(trimmed(words.get(from..from + length)?.join(" ")))).find_map(|text| one(&text, order))?;
    Some(match found {
        DateValue::Iso(date) => DateValue::Readable(date),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn dates_are_read() {
        let read = |text| DateValue::read(text, Order::None);
        assert_eq!(read("2025-07-18"), Some(DateValue::Iso(date(2025, 7, 18))));
        for text in ["Jul 09 2025", "July 9 2025", "July 9, 2025", "Jul 9, 2025", "9 July 2025"] {
            assert_eq!(read(text), Some(DateValue::Readable(date(2025, 7, 9))), "{text}");
        }
        assert_eq!(read("07/15/2025"), Some(DateValue::Readable(date(2025, 7, 15))));
        assert_eq!(read("15/07/2025"), Some(DateValue::Readable(date(2025, 7, 15))));
        assert_eq!(read("07/07/2025"), Some(DateValue::Readable(date(2025, 7, 7))));
        let both = DateValue::Ambiguous { month_first: date(2025, 7, 1), day_first: date(2025, 1, 7) };
        assert_eq!(read("07/01/2025"), Some(both));
        assert_eq!(read("[targeted: Oct 9, 2025]"), Some(DateValue::Readable(date(2025, 10, 9))));
        assert_eq!(read("[2025-10-09]"), Some(DateValue::Readable(date(2025, 10, 9))));
        for none in ["", "2025-13-01", "2025-02-30", "soon", "[Date for review]", "13/13/2025", "2025"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(DateValue::read("07/01/2025", Order::DayFirst), Some(DateValue::Readable(date(2025, 1, 7))));
        assert_eq!(DateValue::read("07/15/2025", Order::DayFirst), Some(DateValue::Readable(date(2025, 7, 15))));
    }
}
