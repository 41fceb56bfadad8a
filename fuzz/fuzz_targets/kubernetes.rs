//! Answers of the Kubernetes API as custom resources of every type, and as pods.

#![no_main]

use calico_model::kubernetes::{
    ClusterNode, Group, Item, Pod, decode, decode_outline, encode, endpoint_patch, node_patch,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for group in [Group::V1, Group::V3] {
        for kind in [
            "IPAMBlock",
            "BlockAffinity",
            "IPAMHandle",
            "IPAMConfig",
            "IPAMConfiguration",
            "IPPool",
            "IPReservation",
            "ClusterInformation",
        ] {
            let Some(item) = decode(group, kind, data) else { continue };
            let Some(text) = written(group, &item) else { continue };
            let again = decode(group, kind, text.as_bytes()).expect("what was written can be read");
            assert_eq!((&again.key, again.is_deleted), (&item.key, item.is_deleted), "{text}");
            assert_eq!(written(group, &again).as_ref(), Some(&text));
        }
        let whole = decode(group, "IPAMBlock", data);
        if let (Some(whole), Some(outline)) = (whole, decode_outline(group, data)) {
            assert_eq!(outline.key, whole.key);
            assert!(outline.object.is_ok() || whole.object.is_err());
        }
    }
    if let Ok(pod) = serde_json::from_slice::<Pod>(data)
        && let Ok(endpoint) = pod.endpoint("cali")
    {
        drop(endpoint.validate());
        endpoint_patch(&endpoint);
    }
    if let Ok(node) = serde_json::from_slice::<ClusterNode>(data) {
        if let Ok(calicos) = node.node() {
            node_patch(&calicos, &node.kept(), &node.metadata.resource_version);
        }
    }
});

/// An item as it replaces itself; `None` for one that cannot be read.
fn written(group: Group, item: &Item) -> Option<String> {
    let object = item.object.as_ref().ok()?;
    let text = encode(group, &item.key, object, Some(&item.kept), Some(&item.resource_version));
    Some(text.unwrap_or_else(|error| panic!("{error}")))
}
