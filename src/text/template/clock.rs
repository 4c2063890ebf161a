//! The date, for templates that write it (`strftime_now`). In UTC: the standard library knows no time zones.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// A moment, in seconds since 1970 in UTC.
pub(crate) struct Moment(u64);

pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment(since.map_or(0, |d| d.as_secs()))
}

impl Moment {
    /// As C's strftime in the C locale; a directive that is not known stays as it is.
    pub fn format(&self, format: &str) -> String {
        let days = self.0 / 86_400;
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        let (year, month, day) = civil(days);
        let month_name = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
        let day_name = DAYS.get((days % 7) as usize).copied().unwrap_or_default();
        let first_of_year = days_before_year(year);
        let hour12 = (hour + 11) % 12 + 1;
        let short = |name: &str| name.chars().take(3).collect::<String>();

        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('Y') => out.push_str(&year.to_string()),
                Some('y') => out.push_str(&format!("{:02}", year % 100)),
                Some('m') => out.push_str(&format!("{month:02}")),
                Some('d') => out.push_str(&format!("{day:02}")),
                Some('e') => out.push_str(&format!("{day:2}")),
                Some('j') => out.push_str(&format!("{:03}", days + 1 - first_of_year)),
                Some('B') => out.push_str(month_name),
                Some('b' | 'h') => out.push_str(&short(month_name)),
                Some('A') => out.push_str(day_name),
                Some('a') => out.push_str(&short(day_name)),
                Some('H') => out.push_str(&format!("{hour:02}")),
                Some('I') => out.push_str(&format!("{hour12:02}")),
                Some('M') => out.push_str(&format!("{minute:02}")),
                Some('S') => out.push_str(&format!("{second:02}")),
                Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
                Some('F') => out.push_str(&format!("{year}-{month:02}-{day:02}")),
                Some('T') => out.push_str(&format!("{hour:02}:{minute:02}:{second:02}")),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            }
        }
        out
    }
}

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

/// Days from 1970 to the first of January of `year`.
fn days_before_year(year: u64) -> u64 {
    let leaps = |y: u64| y / 4 - y / 100 + y / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

/// Year, month (1 to 12) and day (1 to 31) of a day since 1970 in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // The guess is never too early, since no year has more than 366 days plus what it falls short of 365.2425.
    let mut year = 1970 + days / 365;
    while days_before_year(year) > days {
        year -= 1;
    }
    let mut rest = days - days_before_year(year);
    let mut month = 1;
    for length in [
        31,
        if is_leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::Moment;

    // The expected texts are those of Python's datetime.strftime for the same moments.
    #[test]
    fn formats_as_strftime() {
        let all = "%Y-%m-%d %H:%M:%S %b %B %a %A %j %I%p %y %% %Q";
        for (seconds, expected) in [
            (
                0,
                "1970-01-01 00:00:00 Jan January Thu Thursday 001 12AM 70 % %Q",
            ),
            (
                951_827_696,
                "2000-02-29 12:34:56 Feb February Tue Tuesday 060 12PM 00 % %Q",
            ),
            (
                1_735_689_599,
                "2024-12-31 23:59:59 Dec December Tue Tuesday 366 11PM 24 % %Q",
            ),
            (
                4_107_542_400,
                "2100-03-01 00:00:00 Mar March Mon Monday 060 12AM 00 % %Q",
            ),
        ] {
            assert_eq!(Moment(seconds).format(all), expected);
        }
    }
}
