//! Formats dates and times of UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time since 1970 as the clock has it now.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `2026-11-23` for so many days since 1970.
pub fn date(days: u64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11-23T05:58:40.123Z` for a time since 1970.
pub fn timestamp(time: Duration) -> String {
    format!("{}.{:03}Z", date_and_time(time.as_secs()), time.subsec_millis())
}

/// `2026-11-23T05:58:40Z` for so many seconds since 1970.
pub fn rfc3339(seconds: u64) -> String {
    date_and_time(seconds) + "Z"
}

/// Seconds since 1970 of a day (`2026-11-23`) or a time of UTC (`2026-11-23T05:58:40Z`, seconds and `Z` may be left out).
pub fn parse(text: &str) -> Option<u64> {
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let numbers = |text: &str, separator: char, lengths: &[usize]| -> Option<Vec<u64>> {
        let parts: Vec<&str> = text.split(separator).collect();
        let fits = |(part, length): (&&str, &usize)| {
            part.len() == *length && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_whole = parts.len() <= lengths.len() && parts.iter().zip(lengths).all(fits);
        is_whole.then(|| parts.iter().filter_map(|part| part.parse().ok()).collect())
    };
    let [year, month, day] = numbers(day, '-', &[4, 2, 2])?.try_into().ok()?;
    let time = numbers(time.strip_suffix('Z').unwrap_or(time), ':', &[2, 2, 2])?;
    let ([hour, minute] | [hour, minute, _]) = *time.as_slice() else { return None };
    let second = time.get(2).copied().unwrap_or(0);
    let is_time = hour < 24 && minute < 60 && second < 60;
    // a year has at most 366 days: the calendar is searched from a day that is certainly not later
    let first = (year.checked_sub(1970)? * 365 + month.checked_sub(1)? * 28).min(4_000_000);
    let days = (first..first + 3000).find(|days| civil(*days) == (year, month, day)).filter(|_| is_time)?;
    Some(days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second)
}

/// The first second of the month after that of `seconds` since 1970.
pub fn next_month(seconds: u64) -> u64 {
    let days = seconds / SECONDS_A_DAY;
    let (_, month, day) = civil(days);
    let first = days + 1 - day;
    let next = (first + 28..first + 32).find(|days| civil(*days).1 != month).unwrap_or(first + 31);
    next * SECONDS_A_DAY
}

/// A number that is the same for all times of one month of UTC, and rises with it.
pub fn month(seconds: u64) -> u64 {
    let (year, month, _) = civil(seconds / SECONDS_A_DAY);
    year * 12 + month - 1
}

/// `Mon, 23 Nov 2026 05:58:40 GMT` for so many seconds since 1970: the form of HTTP's `Date` (RFC 9110, section 5.6.7).
pub fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970 began on a Thursday
    let days = seconds / SECONDS_A_DAY;
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    let (hour, minute, second) = clock_time(seconds);
    format!(
        "{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month - 1)
    )
}

/// The time since 1970 that a date of HTTP names, in any of the three forms of RFC 9110.
pub fn parse_http_date(text: &str) -> Option<Duration> {
    let words: Vec<&str> = text.split([' ', ',', '-', ':']).filter(|word| !word.is_empty()).collect();
    let month =
        words.iter().find_map(|word| MONTHS.iter().position(|name| word.eq_ignore_ascii_case(name)))?;
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    // asctime's form has the year at its end
    let (day, year, time) = match (text.contains(','), numbers.as_slice()) {
        (true, [day, year, time @ ..]) => (*day, *year, time),
        (false, [day, time @ .., year]) => (*day, *year, time),
        _ => return None,
    };
    let &[hour @ ..24, minute @ ..60, second @ ..=60] = time else { return None };
    let year = match year {
        ..70 => 2000 + year,
        70..100 => 1900 + year,
        1970..10_000 => year,
        _ => return None,
    };
    // leap days are at most one a year in four
    let (first, years) = ((year - 1970) * 365 + month as u64 * 28, year - 1970);
    let wanted = (year, month as u64 + 1, day);
    let days = (first..first + years / 4 + 64).find(|days| civil(*days) == wanted)?;
    Some(Duration::from_secs(days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second))
}

fn clock_time(seconds: u64) -> (u64, u64, u64) {
    let seconds = seconds % SECONDS_A_DAY;
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn date_and_time(seconds: u64) -> String {
    let (hour, minute, second) = clock_time(seconds);
    format!("{}T{hour:02}:{minute:02}:{second:02}", date(seconds / SECONDS_A_DAY))
}

/// Year, month and day of so many days since 1970. Years are counted from March, so that the leap day is the last of
/// its year, and in eras of 400 years, which all have the same number of days.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_AN_ERA: u64 = 146_097;
    const TO_MARCH_OF_YEAR_0: u64 = 719_468;
    let days = days + TO_MARCH_OF_YEAR_0;
    let (era, day) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day + 2) / 153;
    let day = day - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_782, "2024-02-29"),
            (20_780, "2026-11-23"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ];
        for (days, expected) in cases {
            assert_eq!(date(days), expected);
            assert_eq!(rfc3339(days * SECONDS_A_DAY + 3661), format!("{expected}T01:01:01Z"));
        }
        assert_eq!(timestamp(Duration::from_millis(1_795_413_520_007)), "2026-11-23T05:58:40.007Z");
    }

    #[test]
    fn dates_are_read_as_they_are_written() {
        for seconds in (0..4_000_000_000).step_by(12_345_678) {
            assert_eq!(parse(&rfc3339(seconds)), Some(seconds));
            assert_eq!(parse(&date(seconds / 86_400)), Some(seconds / 86_400 * 86_400));
        }
        assert_eq!(parse("2026-11-23T05:58"), parse("2026-11-23 05:58:00Z"));
        for wrong in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "2026-01-01T24:00",
            "1969-01-01",
            "26-01-01",
            "+026-01-01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let time = |text| parse(text).unwrap();
        assert_eq!(next_month(time("2024-02-29T23:59:59Z")), time("2024-03-01"));
        assert_eq!(next_month(time("2026-12-01")), time("2027-01-01"));
        assert_eq!(month(time("2027-01-01")), month(time("2026-12-31")) + 1);
    }

    #[test]
    fn http_dates_name_the_day_of_the_week() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT"); // the example of RFC 9110
        assert_eq!(http_date(1_709_164_799), "Wed, 28 Feb 2024 23:59:59 GMT");
    }

    #[test]
    fn dates_are_read_in_every_form_of_http() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_http_date(text), Some(Duration::from_secs(784_111_777)), "{text}");
        }
        for seconds in (0..4_102_444_800_u64).step_by(86_400 * 29 + 3_599) {
            assert_eq!(parse_http_date(&http_date(seconds)), Some(Duration::from_secs(seconds)));
        }
        for text in
            ["", "7", "soon", "Sun, 31 Feb 2027 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Nov 1"]
        {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }

    #[test]
    fn no_day_is_left_out_or_comes_twice() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..50_000 {
            assert_eq!(civil(days), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
