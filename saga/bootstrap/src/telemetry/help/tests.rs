use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::*;

#[test]
fn every_metric_has_its_help_and_its_place_on_the_page_for_operators() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let [engine, services] = ["saga", "services"].map(|folder| {
        let mut sources = Vec::new();
        find_sources(&workspace.join(folder), &mut sources);
        sources
    });
    let page = fs::read_to_string(workspace.join("docs/operating.md")).unwrap();

    let kinds: [(&str, &[(&str, &str)]); 3] =
        [("counter", &COUNTERS), ("gauge", &GAUGES), ("histogram", &DURATIONS)];
    for (kind, listed) in kinds {
        let listed: BTreeSet<_> = listed.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, named_in(&engine, kind), "what the engine lists, and uses as a {kind}");
        let described = named_in(&services, &format!("describe_{kind}"));
        let used = named_in(&services, kind);
        assert_eq!(described, used, "what services describe, and use as a {kind}");
        for name in listed.union(&described) {
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
fn named_in(sources: &[String], macro_name: &str) -> BTreeSet<String> {
    let macro_call = format!("metrics::{macro_name}!(");
    let after = sources.iter().flat_map(|source| source.split(macro_call.as_str()).skip(1));
    after
        .map(|text| {
            let name = text.trim_start().strip_prefix('"').and_then(|text| text.split('"').next());
            name.expect("a metric is named where it is counted").to_owned()
        })
        .collect()
}
