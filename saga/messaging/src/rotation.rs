//! Which time partitions there should be, and what they are called. Pure.

use time::{Duration, OffsetDateTime};

use crate::message::first_id_at;

/// A partition: its name and its bounds, as Postgres takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) name: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// What a table is partitioned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A timestamp, one partition an hour.
    Hour,
    /// A UUID of version 7, one partition a day.
    UuidDay,
}

impl By {
    fn span(self) -> Duration {
        match self {
            By::Hour => Duration::HOUR,
            By::UuidDay => Duration::DAY,
        }
    }

    fn begin(self, at: OffsetDateTime) -> OffsetDateTime {
        let span = self.span().whole_seconds();
        let begin = at.unix_timestamp().div_euclid(span) * span;
        OffsetDateTime::from_unix_timestamp(begin).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    pub(crate) fn bound(self, at: OffsetDateTime) -> String {
        match self {
            By::Hour => at.to_string(),
            By::UuidDay => first_id_at(at).to_string(),
        }
    }

    /// The partition of `table` that `at` falls into.
    pub(crate) fn partition(self, table: &str, at: OffsetDateTime) -> Partition {
        let begin = self.begin(at);
        let (year, month, day) = (begin.year(), u8::from(begin.month()), begin.day());
        Partition {
            name: format!("{table}_{year:04}{month:02}{day:02}{:02}", begin.hour()),
            from: self.bound(begin),
            to: self.bound(begin + self.span()),
        }
    }

    /// The partitions for now and for the time ahead: none can be made while somebody reads the table
    /// for long, as a backup does.
    pub(crate) fn wanted(self, table: &str, now: OffsetDateTime) -> Vec<Partition> {
        (0..=self.ahead()).map(|ahead| self.partition(table, now + self.span() * ahead)).collect()
    }

    fn ahead(self) -> i32 {
        match self {
            By::Hour => 12,
            By::UuidDay => 2,
        }
    }

    /// Whether all that is in the partition called `name` is older than `keep`.
    pub(crate) fn is_over(
        self,
        table: &str,
        name: &str,
        now: OffsetDateTime,
        keep: Duration,
    ) -> bool {
        let last_kept = self.partition(table, now - keep).name;
        // Names of one table have one length: they sort by time.
        name.len() == last_kept.len() && name < last_kept.as_str()
    }
}

#[cfg(test)]
mod tests;
