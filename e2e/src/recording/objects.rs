//! Stored objects as recordings have them: shortened and masked, and whole again.
//!
//! What differs from run to run is masked by name on both sides before comparing: UUIDs, times, versions, sequence numbers
//! and MAC addresses. That a MAC is the same wherever it appears is for the caller to check.

use serde_json::{Map, Value, json};

/// The lists that recordings shorten where they are long.
const SHORTENED: [&str; 2] = ["allocations", "unallocated"];

/// An object without what differs from run to run. The order of its fields stays.
pub(super) fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sequence = map.get("sequenceNumber").and_then(Value::as_u64);
            map.iter().map(|(key, value)| (key.clone(), mask_field(key, value, sequence))).collect()
        }
        Value::Array(list) => list.iter().map(masked).collect(),
        other => other.clone(),
    }
}

fn mask_field(key: &str, value: &Value, sequence: Option<u64>) -> Value {
    match (key, value) {
        (
            "uid" | "mac" | "creationTimestamp" | "timestamp" | "affinity_claim_time" | "affinityClaimTime",
            Value::String(text),
        ) => {
            json!(format!("<{key} of {} characters>", masked_length(key, text)))
        }
        ("sequenceNumber" | "generation", Value::Number(_)) | ("resourceVersion", Value::String(_)) => {
            json!("<number>")
        }
        // How far back it is tells how many writes there were since.
        ("sequenceNumberForAllocation", Value::Object(map)) => {
            let since = |number: &Value| Some(sequence?.wrapping_sub(number.as_u64()?));
            map.iter().map(|(ordinal, number)| (ordinal.clone(), json!(since(number)))).collect()
        }
        (_, Value::Array(list)) if SHORTENED.contains(&key) => shortened(list),
        _ => masked(value),
    }
}

/// The length of a masked text, which tells one format from another; but fractions of seconds vary in length.
fn masked_length(key: &str, text: &str) -> usize {
    match (key, text.split_once('.')) {
        ("timestamp", Some((before, after))) => {
            before.len() + after.trim_start_matches(|c: char| c.is_ascii_digit()).len()
        }
        _ => text.len(),
    }
}

/// A list as recordings have it: a text, if it is long.
fn shortened(list: &[Value]) -> Value {
    if list.len() <= 16 {
        return list.iter().cloned().collect();
    }
    let first: Vec<String> = list.iter().take(4).map(Value::to_string).collect();
    json!(format!("[{} entries, first [{}]]", list.len(), first.join(", ")))
}

/// How many entries a list has that recordings may have shortened, and the first of them.
fn length_and_first(list: &Value) -> (usize, Option<usize>) {
    let number = |text: &str| text.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    match list {
        Value::String(text) => {
            let (length, first) = text.split_once(" entries, first ").unwrap_or_default();
            let first = first.split(',').next().unwrap_or_default();
            (number(length).unwrap_or_else(|| panic!("not a shortened list: {text}")), number(first))
        }
        list => {
            let first = list.get(0).and_then(Value::as_u64).and_then(|first| usize::try_from(first).ok());
            (list.as_array().map(Vec::len).unwrap_or_default(), first)
        }
    }
}

/// An object with its lists as they were before the recording shortened them, also in the specification of a custom
/// resource.
///
/// For a block, `sequenceNumberForAllocation` says which addresses are allocated, and each has an attribute of its own,
/// in their order. The others are free, from the first one recorded on; those before it were used and returned.
///
/// # Panics
/// If the whole object, shortened again, is not the recorded one.
pub(super) fn whole(recorded: &Value) -> Value {
    let mut object = recorded.clone();
    if let Some(spec) = recorded.get("spec") {
        object["spec"] = whole(spec);
    }
    if let Some(allocations) = recorded.get("allocations") {
        let held = recorded["sequenceNumberForAllocation"].as_object().into_iter().flat_map(Map::keys);
        let mut held: Vec<usize> = held.map(|ordinal| ordinal.parse().expect("an ordinal is a number")).collect();
        held.sort_unstable();
        let (size, _) = length_and_first(allocations);
        let first = length_and_first(&recorded["unallocated"]).1.unwrap_or_default();
        let attribute = |ordinal: usize| held.binary_search(&ordinal).ok();
        object["allocations"] = (0..size).map(|ordinal| json!(attribute(ordinal))).collect();
        let free = (first..size).chain(0..first).filter(|ordinal| attribute(*ordinal).is_none());
        object["unallocated"] = free.collect();
    }
    for list in SHORTENED {
        if let Some(entries) = object.get(list).and_then(Value::as_array) {
            assert_eq!(shortened(entries), recorded[list], "{list} of {recorded}");
        }
    }
    object
}
