//! How values look to people: sizes, times, columns. Pure.

use std::fmt::Write as _;

/// Writes a number of bytes with a unit of powers of ten: `999 B`, `1.2 kB`, `34.5 MB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit: u128 = 1000;
    let mut name = "EB";
    for candidate in UNITS {
        name = candidate;
        // 999 950 and more would round to `1000.0`, so the next unit takes over there.
        if u128::from(bytes) * 20 + unit < unit * 20_000 {
            break;
        }
        unit *= 1000;
    }
    let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// Writes a signed number of bytes, as savings are: small stores may cost more than they save.
pub(super) fn signed_size(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

/// Writes a share as whole percent; nothing of nothing is 0 %.
pub(super) fn percent(part: i64, whole: u64) -> String {
    let part = i128::from(part) * 100;
    match i128::from(whole) {
        0 => "0 %".to_owned(),
        whole => format!("{} %", (part + whole / 2).div_euclid(whole)),
    }
}

/// Writes a count with its noun: `1 export`, `2 exports`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Writes seconds since 1970 as RFC 3339 in UTC, `2026-03-01T09:30:00Z`.
pub(super) fn rfc3339(unix: i64) -> String {
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Writes the day and minute of a time for people, in UTC.
pub(super) fn minute(unix: i64) -> String {
    let full = rfc3339(unix);
    full.split_once('T')
        .map(|(day, time)| format!("{day} {}", time.chars().take(5).collect::<String>()))
        .unwrap_or(full)
}

/// Turns days since 1970-01-01 into year, month and day of the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year and months have a regular pattern; an
/// era is the 400 years (146 097 days) after which the calendar repeats.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_TO_1970_FROM_MARCH_0000: i64 = 719_468;
    let shifted = days + DAYS_TO_1970_FROM_MARCH_0000;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Lays rows out in columns two spaces apart. Columns beyond `aligns` are left-aligned; every row ends with a newline.
pub(super) fn table(rows: &[Vec<String>], aligns: &[Align]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let _ = match aligns.get(column) {
                Some(Align::Right) => write!(line, "{gap}{cell:>width$}"),
                _ => write!(line, "{gap}{cell:<width$}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Puts two spaces in front of every line.
pub(super) fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "  {line}");
        out
    })
}

/// Replaces control characters except newlines, so that hostile names cannot drive the terminal.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// As [`visible`], for a text that must stay on its line.
pub(super) fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_never_a_thousand_of_a_unit() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_500_000_000, "1.5 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(signed_size(-2500), "-2.5 kB");
    }

    #[test]
    fn shares_are_whole_percent() {
        assert_eq!(percent(0, 0), "0 %");
        assert_eq!(percent(995, 1000), "100 %");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(-50, 100), "-50 %");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ];
        for (unix, text) in table {
            assert_eq!(rfc3339(unix), text);
        }
        assert_eq!(minute(1_709_210_096), "2024-02-29 12:34");
    }

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows =
            [vec!["a".to_owned(), "1 B".to_owned(), "x".to_owned()], vec!["größe".to_owned(), "12 B".to_owned()]];
        assert_eq!(table(&rows, &[Align::Left, Align::Right]), "a       1 B  x\ngröße  12 B\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(visible("a\x1b[2J\nb"), "a\u{fffd}[2J\nb");
        assert_eq!(one_line("a\nb"), "a\u{fffd}b");
    }

    fn month_len(year: i64, month: i64) -> i64 {
        match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    proptest! {
        #[test]
        fn each_day_is_followed_by_the_next(days in -1_000_000_i64..4_000_000) {
            let (year, month, day) = civil_date(days);
            let next = if day < month_len(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            prop_assert_eq!(civil_date(days + 1), next);
        }

        #[test]
        fn any_time_can_be_written(unix in any::<i64>()) {
            prop_assert!(rfc3339(unix).ends_with('Z'));
        }

        #[test]
        fn any_size_is_short(bytes in any::<u64>()) {
            prop_assert!(size(bytes).len() <= 8);
        }
    }
}
