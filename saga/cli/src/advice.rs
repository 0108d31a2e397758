//! Commands to type next. Whoever said on this command line where the system is has to say it again.

use std::sync::LazyLock;

/// The command in backticks, so that it reaches the same system as this one did.
pub(crate) fn here(command: &str) -> String {
    format!("`{}`", typed(command))
}

/// As [`here`], on a line of its own.
pub(crate) fn typed(command: &str) -> String {
    format!("saga {command}{}", *PLACE)
}

static PLACE: LazyLock<String> = LazyLock::new(|| {
    let args = std::env::args_os().skip(1);
    place(args.map(|arg| arg.to_string_lossy().into_owned()))
});

/// Those of these arguments that say where the system is, as a shell takes them.
fn place(args: impl IntoIterator<Item = String>) -> String {
    let mut args = args.into_iter().take_while(|arg| arg != "--");
    let mut place = String::new();
    while let Some(arg) = args.next() {
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        if !FLAGS.contains(&flag) {
            continue;
        }
        if let Some(value) = value.or_else(|| args.next()) {
            place.push_str(&format!(" {flag} {}", quoted(&value)));
        }
    }
    place
}

const FLAGS: [&str; 7] = [
    "--data-dir",
    "--port-base",
    "--coordinator",
    "--order",
    "--inventory",
    "--payment",
    "--config",
];

fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:,@+~".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn what_says_where_the_system_is_has_to_be_said_again() {
        let place = |line: &str| place(line.split(' ').map(str::to_owned));
        assert_eq!(place("order submit --sku SKU-1 --watch"), "");
        assert_eq!(place("--data-dir .two show 7"), " --data-dir .two");
        assert_eq!(place("show 7 --port-base=7200 -o json"), " --port-base 7200");
        assert_eq!(
            place("up --detach --data-dir /a/b --port-base 7200"),
            " --data-dir /a/b --port-base 7200"
        );
        assert_eq!(place("show -- --data-dir"), "");
        assert_eq!(place("show --data-dir"), "");
    }

    #[test]
    fn a_shell_takes_it_as_it_was() {
        let said = |value: &str| place(["--data-dir".to_owned(), value.to_owned()]);
        assert_eq!(said("my data"), " --data-dir 'my data'");
        assert_eq!(said("it's"), r" --data-dir 'it'\''s'");
    }
}
