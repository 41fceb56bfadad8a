//! JSON, by the rules that YAML is read by: no key twice, no fraction where there is none.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Unreadable, compose, number};

/// Reads a value that may be inside so many collections.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

/// The value of a text in JSON. None if the text is not JSON.
pub fn read(text: &str) -> Result<Option<Value>, Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match (Strict { depth: 0 }).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_data() => {
            let reason = error.to_string();
            // The place is in a text of its own.
            let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason).to_owned();
            Err(Unreadable { line: error.line(), column: error.column(), reason })
        }
        Err(_) => Ok(None),
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Strict, E> {
        let depth = self.depth + 1;
        compose::check_depth(depth).map(|()| Strict { depth }).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(number::number(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("key \"{name}\" already set in map")));
            }
            object.insert(name, entries.next_value_seed(inner)?);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values() {
        let text =
            "\t{\"b\":\t[1, -1, 1.5, 5.0, 18446744073709551615, null, true, \"\\ud83d\\ude00\\/\", {}], \"a\": []}\n";
        let expected = json!({"b": [1, -1, 1.5, 5, u64::MAX, null, true, "😀/", {}], "a": []});
        let value = read(text).unwrap_or_default().unwrap_or_default();
        assert_eq!(value.to_string(), expected.to_string());
    }

    #[test]
    fn what_is_no_json_may_be_yaml() {
        for text in ["", "a: 1", "{a: 1}", "[1", "{}\n{}"] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let twice = read("{\"a\": {\n\"b\": 1,\n\"b\": 2}}");
        assert_eq!(twice.map_err(|error| error.to_string()), Err("line 3: key \"b\" already set in map".to_owned()));
        let deep = read(&format!("{}1{}", "[".repeat(65), "]".repeat(65)));
        assert_eq!(deep.map_err(|error| error.reason), Err("more than 64 collections in each other".to_owned()));
    }
}
