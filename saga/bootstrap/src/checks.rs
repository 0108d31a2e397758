//! What every API demands of its requests.

use sqlx::types::Uuid;

use crate::Problem;

/// What is wrong with a request, by field: all of it is said at once.
#[derive(Debug, Default)]
pub struct Violations {
    listed: Vec<(String, String)>,
    left_out: usize,
}

/// They travel in headers, for which some clients accept 8 KiB.
const MAX_VIOLATIONS: usize = 10;
/// In characters.
pub const MAX_REQUEST_ID_LENGTH: usize = 128;

impl Violations {
    /// `text` follows the field's name: "must be …".
    pub fn add(&mut self, field: impl Into<String>, text: impl Into<String>) {
        if self.listed.len() < MAX_VIOLATIONS {
            self.listed.push((field.into(), text.into()));
        } else {
            self.left_out += 1;
        }
    }

    /// Text of at most so many characters, which may be empty.
    pub fn check_text(&mut self, field: impl Into<String>, text: &str, max_length: usize) {
        let length = text.chars().count();
        if length > max_length {
            let text = format!("has {length} characters, at most {max_length} are allowed");
            self.add(field, text);
        } else if text.contains(char::is_control) {
            self.add(field, "has control characters; only printable ones are allowed");
        }
    }

    /// What makes it harmless to send a request again.
    pub fn check_request_id(&mut self, request_id: &str) {
        if request_id.trim().is_empty() {
            self.add("request_id", "is missing; choose one, it makes sending again harmless");
        } else {
            self.check_text("request_id", request_id, MAX_REQUEST_ID_LENGTH);
        }
    }

    /// What is wrong, if anything is.
    pub fn into_result(self) -> Result<(), Vec<(String, String)>> {
        let Self { mut listed, left_out } = self;
        if left_out > 0 {
            let text = format!("has {left_out} more violations that are not listed");
            listed.push(("request".to_owned(), text));
        }
        if listed.is_empty() { Ok(()) } else { Err(listed) }
    }

    /// What was asked for, if nothing is wrong with it.
    pub fn or<T>(self, right: T) -> Result<T, Problem> {
        match self.into_result() {
            Ok(()) => Ok(right),
            Err(violations) => {
                Err(Problem::InvalidArgument { reason: "INVALID_ARGUMENT", violations })
            }
        }
    }
}

/// An id that somebody sent in this field, in any spelling that a UUID has.
///
/// # Errors
/// What is no UUID.
pub fn id(field: &str, text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| {
        Problem::invalid(field, "must be a UUID, such as '0198c0de-0000-7000-8000-000000000000'")
    })
}

/// The statuses to look for, each once and in a fixed order, so that one filter has one spelling.
///
/// # Errors
/// A number that is no known status.
pub fn statuses<S: Ord>(
    asked: &[i32],
    known: impl Fn(i32) -> Option<S>,
) -> Result<Vec<S>, Problem> {
    let status = |(index, number): (usize, &i32)| {
        let text = || format!("is {number}, which is no status; leave the list empty to get all");
        known(*number).ok_or_else(|| Problem::invalid(format!("statuses[{index}]"), text()))
    };
    let mut statuses = asked.iter().enumerate().map(status).collect::<Result<Vec<_>, _>>()?;
    statuses.sort_unstable();
    statuses.dedup();
    Ok(statuses)
}

#[cfg(test)]
mod tests;
