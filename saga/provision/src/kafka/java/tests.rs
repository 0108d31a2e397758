use super::{major, version};

fn check(said: &str, expected: Option<u32>) {
    assert_eq!(version(said).and_then(major), expected, "{said}");
}

#[test]
fn the_version_is_read_from_what_java_says() {
    check("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment", Some(17));
    check("Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"25\" 2025-09-16", Some(25));
    check("openjdk version \"26-ea\" 2026-03-17", Some(26));
    check("java version \"1.8.0_402\"", Some(1));
    check("The operation couldn't be completed. Unable to locate a Java Runtime.", None);
}
