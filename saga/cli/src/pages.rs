//! Lists that come page by page.

use crate::{failure::Failure, output::talk, units};

/// Items in a page that is asked for; a service may give fewer.
const PAGE_SIZE: i32 = 1_000;

/// As many as there are, up to the limit; says so when there are more. `page` is given how many to ask
/// for and the token to ask with, and gives the items and the token of the next page.
pub(crate) async fn up_to<T>(
    limit: u32,
    mut page: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
) -> Result<Vec<T>, Failure> {
    let limit = limit as usize;
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let left = i32::try_from(limit.saturating_sub(listed.len())).unwrap_or(PAGE_SIZE);
        let (items, next) = page(left.min(PAGE_SIZE), token).await?;
        listed.extend(items);
        token = next;
        if token.is_empty() {
            return Ok(listed);
        }
        if listed.len() >= limit {
            let count = units::count(listed.len() as u64);
            talk(&format!("these are the first {count}; there are more, see --limit"));
            return Ok(listed);
        }
    }
}

/// All there are.
pub(crate) async fn all<T>(
    page: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
) -> Result<Vec<T>, Failure> {
    up_to(u32::MAX, page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of 2,500 numbers.
    async fn numbers(size: i32, token: String) -> Result<(Vec<i32>, String), Failure> {
        let from: i32 = token.parse().unwrap_or_default();
        let to = (from + size).min(2_500);
        let next = if to < 2_500 { to.to_string() } else { String::new() };
        Ok(((from..to).collect(), next))
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_are_enough() {
        assert_eq!(all(numbers).await.unwrap(), (0..2_500).collect::<Vec<_>>());
        assert_eq!(up_to(1_200, numbers).await.unwrap(), (0..1_200).collect::<Vec<_>>());
        assert_eq!(up_to(2_500, numbers).await.unwrap().len(), 2_500);
    }
}
