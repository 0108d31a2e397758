//! How durations, shares, money, counts and times are read from flags and written for people.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use proto::shop::Money;
use time::OffsetDateTime;

/// `500ms`, `10s`, `1m30s`, `2h`, `7d`.
///
/// # Errors
/// What cannot be read, with an example of what can.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_none(text) {
        Ok(Duration::ZERO) => {
            Err(format!("'{text}' is no time at all; write it like 500ms or 10s"))
        }
        read => read,
    }
}

/// As [`duration`], or `0s` for none at all.
///
/// # Errors
/// As [`duration`], but for zero.
pub(crate) fn duration_or_none(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration; write it like 500ms, 10s, 1m30s, 2h or 7d");
    if text.trim().is_empty() {
        return Err(wrong());
    }
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        // What is too large for a duration is too long in any case.
        let part = Duration::try_from_secs_f64(number * seconds).unwrap_or(Duration::MAX);
        total = total.saturating_add(part);
        rest = after;
    }
    if total > MAX_DURATION {
        return Err(format!("'{text}' is too long; the longest is 3650d, ten years"));
    }
    Ok(total)
}

const MAX_DURATION: Duration = Duration::from_secs(3_650 * 86_400);

/// `5%` or `5`, as a share of one.
///
/// # Errors
/// What is no number from 0 to 100.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("'{text}' is no percentage; write it like 5% or 0.5%")),
    }
}

/// `4.2 ms`, `412 ms`, `3.4 s`, `2m 05s`, `3h 12m`, `4d 01h`.
pub(crate) fn brief(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1_000.0;
    let seconds = duration.as_secs();
    if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else if seconds < 3_600 {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    } else if seconds < 86_400 {
        format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60)
    } else {
        format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600)
    }
}

/// `12,345`
pub(crate) fn count(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// `39.98 EUR`; `-` when there is none.
pub(crate) fn money(money: Option<&Money>) -> String {
    money.map_or_else(|| "-".to_owned(), |money| amount(money.minor_units, &money.currency))
}

/// `39.98 EUR` of 3998 minor units.
pub(crate) fn amount(minor_units: i64, currency: &str) -> String {
    let decimals: u32 = match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let unit = 10_u64.pow(decimals);
    let sign = if minor_units < 0 { "-" } else { "" };
    let whole = count(minor_units.unsigned_abs() / unit);
    match minor_units.unsigned_abs() % unit {
        _ if decimals == 0 => format!("{sign}{whole} {currency}"),
        part => format!("{sign}{whole}.{part:0width$} {currency}", width = decimals as usize),
    }
}

/// `2026-11-21 16:19:02`, in UTC; `-` when there is none.
pub(crate) fn date(at: Option<&Timestamp>) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at.and_then(utc).and_then(|at| at.format(&format).ok()).unwrap_or_else(|| "-".to_owned())
}

/// `16:19:02.123`, in UTC; `-` when there is none.
pub(crate) fn clock(at: Option<&Timestamp>) -> String {
    let format = time::macros::format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    at.and_then(utc).and_then(|at| at.format(&format).ok()).unwrap_or_else(|| "-".to_owned())
}

/// Time from one to the other; none when one is absent or they are the other way round.
pub(crate) fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Option<Duration> {
    let nanoseconds = nanoseconds(to?)? - nanoseconds(from?)?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// The time this process knows.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

fn utc(at: &Timestamp) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds(at)?).ok()
}

fn nanoseconds(at: &Timestamp) -> Option<i128> {
    Some(i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos))
}

#[cfg(test)]
mod tests;
