//! Pages of a list: how many rows, and opaque tokens for where the next page begins.

use prost::Message;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Problem;

/// How many rows to read for `page_size` as requested: 0 means the default of 50, more than 1000
/// means 1000, negative is refused.
pub fn page_size(requested: i32) -> Result<i64, Problem> {
    match requested {
        0 => Ok(DEFAULT_PAGE_SIZE),
        1.. => Ok(i64::from(requested).min(MAX_PAGE_SIZE)),
        _ => Err(Problem::invalid("page_size", "must not be negative; 0 means 50")),
    }
}

const DEFAULT_PAGE_SIZE: i64 = 50;
const MAX_PAGE_SIZE: i64 = 1000;

/// The token of the page that begins after `cursor` in the list that `filters` select.
///
/// # Errors
/// A cursor or filter that JSON cannot hold, which is a mistake in the caller's types.
pub fn encode<F: Serialize, C: Serialize>(filters: &F, cursor: &C) -> Result<String, Problem> {
    let page = Page { filters: fingerprint(filters)?, cursor };
    let json = serde_json::to_vec(&page).map_err(Problem::internal)?;
    Ok(json.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The cursor in a page token; an empty token is the first page.
///
/// # Errors
/// A token that [`encode`] did not make, or that was made for other filters.
pub fn decode<F: Serialize, C: DeserializeOwned>(
    token: &str,
    filters: &F,
) -> Result<Option<C>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    let page: Page<C> = from_hex(token)
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Problem::invalid("page_token", "is not one this server gave out"))?;
    if page.filters != fingerprint(filters)? {
        return Err(Problem::invalid(
            "page_token",
            "belongs to another filter; ask for the first page of this one",
        ));
    }
    Ok(Some(page.cursor))
}

/// The page in rows of which one more than `page_size` was read, as messages, and the token of the
/// next page: empty when there is none. What one answer cannot hold is left to the next page.
///
/// # Errors
/// As [`encode`].
pub fn page<T, M: Message, F: Serialize, C: Serialize>(
    rows: Vec<T>,
    page_size: i64,
    filters: &F,
    cursor: impl Fn(&T) -> C,
    message: impl Fn(T) -> M,
) -> Result<(Vec<M>, String), Problem> {
    let length = usize::try_from(page_size).unwrap_or_default();
    let mut page = Vec::with_capacity(rows.len().min(length));
    let mut byte_count = 0;
    let mut last = None;
    for row in rows {
        let cursor = cursor(&row);
        let message = message(row);
        byte_count += message.encoded_len() + FRAME_BYTES;
        let is_full = page.len() == length || byte_count > PAGE_BYTES_MAX;
        // A message that fills an answer by itself goes alone: without it no page would end.
        if let (true, Some(last)) = (is_full, &last) {
            return Ok((page, encode(filters, last)?));
        }
        page.push(message);
        last = Some(cursor);
    }
    Ok((page, String::new()))
}

/// Clients take messages of 4 MiB.
const PAGE_BYTES_MAX: usize = 4_000_000;
/// What stands before each message of a list, at most.
const FRAME_BYTES: usize = 8;

#[derive(Serialize, Deserialize)]
struct Page<C> {
    filters: u64,
    cursor: C,
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_TOKEN_LENGTH || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

const MAX_TOKEN_LENGTH: usize = 4096;

/// FNV-1a: the same in every process and version, which the standard hasher does not promise.
fn fingerprint<F: Serialize>(filters: &F) -> Result<u64, Problem> {
    let json = serde_json::to_vec(filters).map_err(Problem::internal)?;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Ok(json.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests;
