//! The text that etcd and the local store keep for an object.

use std::time::SystemTime;

use calico_model::object::Malformed;
use calico_model::{Key, Object, resource, timestamp};

use crate::contract::{Expect, Write};
use crate::error::Error;

/// The text to store for each write; `None` deletes. A v3 resource that is created is given a UUID and a creation time where it has none.
pub fn encode(writes: &[Write]) -> Result<Vec<(&Write, Option<String>)>, Error> {
    let text =
        |write: &Write| write.object.clone().map(|object| encode_one(&write.key, write.expect, object)).transpose();
    writes.iter().map(|write| Ok((write, text(write)?))).collect()
}

fn encode_one(key: &Key, expect: Expect, mut object: Object) -> Result<String, Error> {
    let refused = |reason: String| Malformed { key: key.path(), reason };
    if let (Expect::Absent, Some(metadata)) = (expect, object.metadata_mut()) {
        if metadata.uid.is_empty() {
            metadata.uid = resource::random_uid().map_err(|e| refused(format!("no random UUID: {e}")))?;
        }
        metadata.creation_timestamp.get_or_insert_with(|| timestamp::rfc3339(SystemTime::now()));
    }
    Ok(go_json::to_compact(&object))
}
