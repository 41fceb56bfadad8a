//! Reading a JSON object with the leniency of Go, on which real network configurations rely.
//!
//! Callers that marshal a Go structure send every key it has, unset ones as `null`, `""` or `0`, and now and then in
//! another case. So unknown keys are ignored, `null` means absent, and a key matches in any case if it is not there
//! exactly. A value of the wrong type is an error all the same.

use serde_json::{Map, Value};

/// A value has the wrong type. Displayed as `ipam.assign_ipv4: expected a string, found a boolean`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}{separator}expected {expected}, found {found}", separator = if .path.is_empty() { "" } else { ": " })]
pub struct FieldError {
    /// Where the value is, from the top of the document: keys separated by dots, positions in brackets. Empty for the
    /// document itself.
    pub path: String,
    /// What should be there, with its article.
    pub expected: &'static str,
    /// What is there, with its article.
    pub found: String,
}

/// A JSON object and where it was found.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which must be an object. `path` says in error texts where it is, empty for a whole
    /// document.
    pub fn of(value: &'a Value, path: &str) -> Result<Self, FieldError> {
        match value {
            Value::Object(object) => Ok(Self { object, path: path.to_owned() }),
            other => Err(wrong_type(path.to_owned(), "an object", other)),
        }
    }

    /// The full path of one of the fields, for an error text.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a field whatever its type, `None` if it is absent or `null`. Among keys that differ from `key` in
    /// case only, the last one counts.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        let exact = self.object.get(key).filter(|value| !value.is_null());
        let mut present = self.object.iter().rev().filter(|(_, value)| !value.is_null());
        exact.or_else(|| present.find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
    }

    /// A string, possibly empty.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, FieldError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A string; an empty one counts as absent.
    pub fn nonempty(&self, key: &str) -> Result<Option<&'a str>, FieldError> {
        Ok(self.string(key)?.filter(|text| !text.is_empty()))
    }

    /// An integer. As in Go, `1.0` and `1e3` are none.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, FieldError> {
        self.typed(key, "an integer", Value::as_i64)
    }

    /// A boolean; a string such as `"true"` is none.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, FieldError> {
        self.typed(key, "a boolean", Value::as_bool)
    }

    /// A nested object.
    pub fn object(&self, key: &str) -> Result<Option<Fields<'a>>, FieldError> {
        self.get(key).map(|value| Fields::of(value, &self.path(key))).transpose()
    }

    /// A list, its elements as they are.
    pub fn array(&self, key: &str) -> Result<Option<&'a [Value]>, FieldError> {
        self.typed(key, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    /// A list of strings. A `null` in it is an empty string, as in Go.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>, FieldError> {
        let Some(array) = self.array(key)? else { return Ok(None) };
        let string = |(at, value): (usize, &Value)| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            other => Err(wrong_type(self.element_path(key, at), "a string", other)),
        };
        array.iter().enumerate().map(string).collect::<Result<_, _>>().map(Some)
    }

    /// A list of objects; an absent one is empty. A `null` in it is left out.
    pub fn objects(&self, key: &str) -> Result<Vec<Fields<'a>>, FieldError> {
        let array = self.array(key)?.unwrap_or_default();
        let objects = array.iter().enumerate().filter(|(_, value)| !value.is_null());
        objects.map(|(at, value)| Fields::of(value, &self.element_path(key, at))).collect()
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| wrong_type(self.path(key), expected, value))
    }

    fn element_path(&self, key: &str, at: usize) -> String {
        format!("{}[{at}]", self.path(key))
    }
}

fn wrong_type(path: String, expected: &'static str, found: &Value) -> FieldError {
    // The value itself stays out of the text, numbers excepted: it may be a token.
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    FieldError { path, expected, found }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a caller sends that marshals the whole Go structure without having set much of it.
    fn zero_valued() -> Value {
        serde_json::from_str(
            r#"{"cniVersion":"","name":"net1","type":"calico","mode":"","mtu":0,"vxlan_vni":0,"num_queues":0,
                "ipam":{"Name":"","type":"calico-ipam","subnet":"","assign_ipv4":null,"assign_ipv6":null,
                "ipv4_pools":null},"args":{"org.apache.mesos":{"network_info":{"name":"","labels":{}}}},
                "RuntimeConfig":{"DNS":{}},"readiness_gates":null,
                "policy":{"type":"k8s","k8s_api_root":""},"require_mtu_file":false}"#,
        )
        .unwrap()
    }

    #[test]
    fn zero_values_are_accepted() {
        let config = zero_valued();
        let fields = Fields::of(&config, "").unwrap();
        assert_eq!(fields.string("cniVersion"), Ok(Some("")));
        assert_eq!(fields.nonempty("cniVersion"), Ok(None));
        assert_eq!(fields.integer("mtu"), Ok(Some(0)));
        assert_eq!(fields.boolean("require_mtu_file"), Ok(Some(false)));
        assert_eq!(fields.strings("readiness_gates"), Ok(None));
        assert_eq!(fields.string("no such key"), Ok(None));
        let ipam = fields.object("ipam").unwrap().unwrap();
        assert_eq!(ipam.nonempty("name"), Ok(None));
        assert_eq!(ipam.string("assign_ipv4"), Ok(None));
        assert_eq!(ipam.strings("ipv4_pools"), Ok(None));
        assert_eq!(ipam.nonempty("type"), Ok(Some("calico-ipam")));
        assert!(fields.object("runtimeConfig").unwrap().unwrap().object("dns").unwrap().is_some());
    }

    #[test]
    fn key_case() {
        let value = json!({"MTU": 1, "Mtu": 2, "mTU": null, "name": "exact", "NAME": "other", "x": null, "X": 3});
        let fields = Fields::of(&value, "").unwrap();
        assert_eq!(fields.integer("mtu"), Ok(Some(2)));
        assert_eq!(fields.integer("x"), Ok(Some(3)));
        assert_eq!(fields.string("name"), Ok(Some("exact")));
        assert_eq!(fields.string("Name"), Ok(Some("other")));
    }

    #[test]
    fn integers_must_be_integral() {
        let value: Value =
            serde_json::from_str(r#"{"a":1.0,"b":1e3,"c":9223372036854775808,"d":-9223372036854775808,"e":"1"}"#)
                .unwrap();
        let fields = Fields::of(&value, "").unwrap();
        for (key, found) in [
            ("a", "the number 1.0"),
            ("b", "the number 1000.0"),
            ("c", "the number 9223372036854775808"),
            ("e", "a string"),
        ] {
            assert_eq!(
                fields.integer(key).unwrap_err().to_string(),
                format!("{key}: expected an integer, found {found}")
            );
        }
        assert_eq!(fields.integer("d"), Ok(Some(i64::MIN)));
    }

    #[test]
    fn wrong_types_name_the_whole_path() {
        let ipam = json!({"assign_ipv4": true, "pools": ["a", 1], "ranges": [{}, []], "x": "y"});
        let value = json!({"ipam": ipam, "flag": "true", "list": {}});
        let fields = Fields::of(&value, "").unwrap();
        let ipam = fields.object("ipam").unwrap().unwrap();
        let text = |error: FieldError| error.to_string();
        assert_eq!(
            text(ipam.string("assign_ipv4").unwrap_err()),
            "ipam.assign_ipv4: expected a string, found a boolean"
        );
        assert_eq!(text(ipam.strings("pools").unwrap_err()), "ipam.pools[1]: expected a string, found the number 1");
        assert_eq!(text(ipam.objects("ranges").unwrap_err()), "ipam.ranges[1]: expected an object, found a list");
        assert_eq!(text(ipam.object("x").unwrap_err()), "ipam.x: expected an object, found a string");
        assert_eq!(text(fields.boolean("flag").unwrap_err()), "flag: expected a boolean, found a string");
        assert_eq!(text(fields.array("list").unwrap_err()), "list: expected a list, found an object");
        assert_eq!(text(Fields::of(&json!(null), "").unwrap_err()), "expected an object, found null");
    }

    #[test]
    fn lists() {
        let value = json!({"strings": ["a", "", null], "objects": [{"n": 1}, {"n": 2}]});
        let fields = Fields::of(&value, "").unwrap();
        assert_eq!(fields.strings("strings"), Ok(Some(vec!["a".to_owned(), String::new(), String::new()])));
        let numbers: Vec<_> =
            fields.objects("objects").unwrap().iter().map(|object| object.integer("n").unwrap()).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
        assert!(fields.objects("absent").unwrap().is_empty());
        assert_eq!(fields.array("objects").unwrap().unwrap().len(), 2);
    }
}
