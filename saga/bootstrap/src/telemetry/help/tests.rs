use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::*;

#[test]
fn every_metric_has_its_help_and_its_place_on_the_page_for_operators() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = Vec::new();
    for folder in ["saga", "services"] {
        find_sources(&workspace.join(folder), &mut sources);
    }
    let page = fs::read_to_string(workspace.join("docs/operating.md")).unwrap();

    let kinds: [(&str, &[(&str, &str)]); 3] =
        [("counter", &COUNTERS), ("gauge", &GAUGES), ("histogram", &DURATIONS)];
    for (kind, described) in kinds {
        let described: BTreeSet<_> = described.iter().map(|(name, _)| (*name).to_owned()).collect();
        let used: BTreeSet<_> = sources.iter().flat_map(|source| used_in(source, kind)).collect();
        assert_eq!(described, used, "what is described, and what is used as a {kind}");
        for name in described {
            let is_told =
                [format!("`{name}`"), format!("`{name}{{")].iter().any(|cell| page.contains(cell));
            assert!(is_told, "docs/operating.md does not tell of {name}");
        }
    }
}

/// What is compiled into processes: under a `src`, without tests.
fn find_sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") && !path.ends_with("target") {
                find_sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The names after `metrics::counter!(` and the like.
fn used_in(source: &str, kind: &str) -> Vec<String> {
    let macro_call = format!("metrics::{kind}!(");
    let after = source.split(macro_call.as_str()).skip(1);
    after
        .map(|text| {
            let name = text.trim_start().strip_prefix('"').and_then(|text| text.split('"').next());
            name.expect("a metric is named where it is counted").to_owned()
        })
        .collect()
}
