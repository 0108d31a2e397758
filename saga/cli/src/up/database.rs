//! From one database's url to the others'.

use bootstrap::ServerUrl;

use crate::failure::Failure;

/// The databases of the four services.
pub(super) const NAMES: [&str; 4] = ["order", "inventory", "payment", "saga"];

pub(super) fn is_postgres(url: &str) -> bool {
    postgres(url).is_some()
}

fn postgres(url: &str) -> Option<ServerUrl<'_>> {
    ServerUrl::parse(url)
        .filter(|url| matches!(url.scheme, "postgres" | "postgresql") && !url.host.is_empty())
}

/// The url with another database.
///
/// # Errors
/// What is no url of a Postgres.
pub(super) fn url_of(base: &str, name: &str) -> Result<String, Failure> {
    let url = postgres(base).map(|url| url.of_database(name));
    url.ok_or_else(|| Failure::usage("that is no url of a Postgres"))
}

/// Where the server of such a url listens.
pub(super) fn address_of(url: &str) -> String {
    ServerUrl::parse(url).map(|url| url.host_and_port(PORT)).unwrap_or_default()
}

/// Of a url that names none.
const PORT: u16 = 5_432;

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
