//! What the fuzz targets share.

use calico_model::{Key, Object};

/// An object that was read is written back as it was, also the fields that this code does not know.
pub fn assert_survives(key: &Key, object: &Object) {
    let text = serde_json::to_string(object).expect("stored objects have text for keys");
    let again = Object::parse(key, text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(&again, object, "{text}");
    assert_eq!(serde_json::to_string(&again).ok().as_deref(), Some(text.as_str()));
}
