//! From one database's url to the others'.

use bootstrap::ServerUrl;

use crate::failure::Failure;

/// The databases of the four services.
pub(super) const NAMES: [&str; 4] = ["order", "inventory", "payment", "saga"];

/// The url with another database.
///
/// # Errors
/// What is no url of a Postgres.
pub(super) fn url_of(base: &str, name: &str) -> Result<String, Failure> {
    let wrong = || {
        Failure::usage("that is no url of a Postgres")
            .next("write it like postgres://user:password@127.0.0.1:5432/postgres")
    };
    let url = ServerUrl::parse(base).ok_or_else(wrong)?;
    if matches!(url.scheme, "postgres" | "postgresql") && !url.host.is_empty() {
        Ok(url.of_database(name))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_postgres_is_refused() {
        assert_eq!(url_of("postgres://db/a", "order").unwrap(), "postgres://db/order");
        for wrong in ["", "db:5432", "mysql://db/a", "postgres:///a", "postgres://"] {
            assert_eq!(url_of(wrong, "order").unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
