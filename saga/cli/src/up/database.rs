//! From one database's url to the others'.

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
    let (scheme, rest) = base.split_once("://").ok_or_else(wrong)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(wrong());
    }
    let (path, options) = match rest.split_once('?') {
        Some((path, options)) => (path, format!("?{options}")),
        None => (rest, String::new()),
    };
    let server = path.split_once('/').map_or(path, |(server, _)| server);
    if server.is_empty() {
        Err(wrong())
    } else {
        Ok(format!("{scheme}://{server}/{name}{options}"))
    }
}

/// The url without its password, for showing.
pub(super) fn without_password(url: &str) -> String {
    // Options may hold a password too.
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (server, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match server.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{scheme}://{user}@{host}{after}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_replaced_and_the_rest_kept() {
        let url = |base| url_of(base, "order").unwrap();
        assert_eq!(url("postgres://me:x@db:5432/postgres"), "postgres://me:x@db:5432/order");
        assert_eq!(url("postgresql://db"), "postgresql://db/order");
        assert_eq!(url("postgres://db/a?sslmode=require"), "postgres://db/order?sslmode=require");
    }

    #[test]
    fn what_is_no_postgres_is_refused() {
        for wrong in ["", "db:5432", "mysql://db/a", "postgres:///a", "postgres://"] {
            assert_eq!(url_of(wrong, "order").unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("postgres://me:x@db:5432/a"), "postgres://me@db:5432/a");
        assert_eq!(without_password("postgres://db/a"), "postgres://db/a");
    }
}
