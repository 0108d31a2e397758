use super::*;

fn url(url: &str) -> ServerUrl<'_> {
    ServerUrl::parse(url).unwrap()
}

#[test]
fn a_password_is_not_shown_whatever_it_holds() {
    for password in ["x", "a@b", "a/b", "a:b", "/@:/"] {
        let with_password = format!("postgres://me:{password}@db:5432/a?password=y");
        assert_eq!(url(&with_password).without_secrets(), "postgres://me@db:5432/a");
        assert_eq!(url(&with_password).masked("***"), "postgres://me:***@db:5432/a");
    }
    assert_eq!(url("postgres://db/a").masked("***"), "postgres://db/a");
    assert_eq!(url("postgres://me@db/a").masked("***"), "postgres://me@db/a");
}

#[test]
fn the_database_is_replaced_and_the_rest_kept() {
    for (from, to) in [
        ("postgres://me:x@db:5432/postgres", "postgres://me:x@db:5432/order"),
        ("postgresql://db", "postgresql://db/order"),
        ("postgres://db/a?sslmode=require", "postgres://db/order?sslmode=require"),
    ] {
        assert_eq!(url(from).of_database("order"), to);
    }
}

#[test]
fn a_host_has_a_port() {
    for (from, to) in [
        ("postgres://me:1@db:5433/a", "db:5433"),
        ("postgres://db/a", "db:5432"),
        ("postgres://[::1]/a", "[::1]:5432"),
        ("postgres://[::1]:5433/a", "[::1]:5433"),
    ] {
        assert_eq!(url(from).host_and_port(5_432), to);
    }
    assert_eq!(ServerUrl::parse("db:5432"), None);
}
