//! Documents in JSON, as `get -o json` prints them.

use serde_json::Value;

/// Writes a value in JSON as Go does, with two spaces a level. The established tool leaves out the newline at the end.
pub fn write(value: &Value) -> String {
    go_json::to_indented(value, "  ") + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_recorded() {
        let pool = json!({"kind": "IPPool", "metadata": {"name": "pool1"}, "spec": {"allowedUses": ["Workload", "Tunnel"], "natOutgoing": true}});
        let expected = r#"{
  "kind": "IPPool",
  "metadata": {
    "name": "pool1"
  },
  "spec": {
    "allowedUses": [
      "Workload",
      "Tunnel"
    ],
    "natOutgoing": true
  }
}
"#;
        assert_eq!(write(&pool), expected);
    }

    #[test]
    fn empty_values_and_escapes() {
        let expected = "[\n  [],\n  {},\n  null,\n  \"\\u003ca \\u0026 b\\u003e\",\n  1000000\n]\n";
        assert_eq!(write(&json!([[], {}, null, "<a & b>", 1e6])), expected);
        assert_eq!(write(&json!([])), "[]\n");
    }
}
