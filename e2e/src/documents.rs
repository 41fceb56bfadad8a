//! The configurations that the documents show, so that tests use exactly those.

use serde_json::Value;

const README: &str = include_str!("../../README.md");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// The list of plugins that the README shows for a datastore: `calico` alone.
pub fn readme_list(datastore: &str) -> Value {
    only(README, datastore, |plugins| plugins == 1)
}

/// The list that the README shows with other plugins behind `calico`.
pub fn readme_chain() -> Value {
    only(README, "local", |plugins| plugins > 1)
}

/// The list of plugins that the configuration reference shows for a datastore.
pub fn reference_list(datastore: &str) -> Value {
    only(REFERENCE, datastore, |plugins| plugins == 1)
}

fn only(document: &str, datastore: &str, wanted: impl Fn(usize) -> bool) -> Value {
    let blocks = document.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut lists = blocks
        .map(|block| serde_json::from_str::<Value>(block).unwrap_or_else(|e| panic!("{e}: {block}")))
        .filter(|list| list["plugins"][0]["datastore_type"] == datastore)
        .filter(|list| list["plugins"].as_array().is_some_and(|plugins| wanted(plugins.len())));
    let list = lists.next().expect("the document shows a list of plugins");
    assert!(lists.next().is_none(), "the document shows two lists for {datastore}");
    list
}
