//! Texts as selectors.

#![no_main]

use std::collections::BTreeMap;

use calico_model::Selector;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match Selector::parse(text) {
        Ok(selector) => {
            let canonical = selector.to_string();
            let again = Selector::parse(&canonical).unwrap_or_else(|error| panic!("{error}: {canonical}"));
            assert_eq!(again, selector, "{canonical}");
            assert_eq!(again.to_string(), canonical);
            let labels = [("a", ""), ("b", "c"), ("zone", "z1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
            for labels in [BTreeMap::new(), BTreeMap::from(labels)] {
                assert_eq!(again.matches(&labels), selector.matches(&labels));
            }
        }
        Err(error) => assert!(text.is_char_boundary(error.offset), "{error:?}"),
    }
});
