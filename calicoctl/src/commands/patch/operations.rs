//! Patches that are lists of operations (RFC 6902).

use serde_json::Value;

/// Carries out the operations, one after the other.
///
/// # Errors
/// The first that cannot be carried out.
pub fn apply(target: &mut Value, operations: &[Value]) -> Result<(), String> {
    operations
        .iter()
        .try_for_each(|operation| carry_out(target, operation).map_err(|reason| format!("{operation}: {reason}")))
}

fn carry_out(target: &mut Value, operation: &Value) -> Result<(), String> {
    let text = |field: &str| operation[field].as_str().ok_or_else(|| format!("{field} is missing"));
    let value = || operation.get("value").cloned().ok_or_else(|| "value is missing".to_owned());
    let path = text("path")?;
    match text("op")? {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(drop),
        "replace" => {
            *target.pointer_mut(path).ok_or_else(|| absent(path))? = value()?;
            Ok(())
        }
        "test" => match target.pointer(path) == Some(&value()?) {
            true => Ok(()),
            false => Err(format!("{path} has another value")),
        },
        "copy" => {
            let from = text("from")?;
            let copied = target.pointer(from).cloned().ok_or_else(|| absent(from))?;
            add(target, path, copied)
        }
        "move" => {
            let moved = remove(target, text("from")?)?;
            add(target, path, moved)
        }
        other => Err(format!("there is no operation {other:?}")),
    }
}

fn absent(path: &str) -> String {
    format!("there is no {path}")
}

/// The object or list that a path leads into, and the name in it.
fn parent<'a>(target: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let (parent, name) = path.rsplit_once('/').ok_or_else(|| format!("{path:?} is no path"))?;
    let parent = target.pointer_mut(parent).ok_or_else(|| absent(parent))?;
    Ok((parent, name.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let (parent, name) = parent(target, path)?;
    match parent {
        Value::Object(object) => drop(object.insert(name, value)),
        Value::Array(list) if name == "-" => list.push(value),
        Value::Array(list) => match name.parse::<usize>() {
            Ok(index) if index <= list.len() => list.insert(index, value),
            _ => return Err(absent(path)),
        },
        _ => return Err(absent(path)),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, name) = parent(target, path)?;
    match parent {
        Value::Object(object) => object.shift_remove(&name).ok_or_else(|| absent(path)),
        Value::Array(list) => match name.parse::<usize>() {
            Ok(index) if index < list.len() => Ok(list.remove(index)),
            _ => Err(absent(path)),
        },
        _ => Err(absent(path)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operation() {
        let mut target = json!({"a": {"b": [1, 3]}, "x/y": 1});
        let operations = json!([
            {"op": "test", "path": "/a/b/0", "value": 1},
            {"op": "add", "path": "/a/b/1", "value": 2},
            {"op": "add", "path": "/a/b/-", "value": 4},
            {"op": "replace", "path": "/a/b/0", "value": 0},
            {"op": "copy", "from": "/a/b/0", "path": "/c"},
            {"op": "move", "from": "/x~1y", "path": "/d"},
            {"op": "remove", "path": "/a/b/2"}
        ]);
        apply(&mut target, operations.as_array().unwrap()).unwrap();
        assert_eq!(target, json!({"a": {"b": [0, 2, 4]}, "c": 0, "d": 1}));
    }

    #[test]
    fn what_cannot_be_carried_out_is_said() {
        for (operation, words) in [
            (json!({"op": "test", "path": "/a", "value": 2}), "/a has another value"),
            (json!({"op": "remove", "path": "/b"}), "there is no /b"),
            (json!({"op": "add", "path": "/a/b", "value": 1}), "there is no /a/b"),
            (json!({"op": "dance", "path": "/a"}), "there is no operation \"dance\""),
            (json!({"op": "add", "path": "/a"}), "value is missing"),
        ] {
            let error = apply(&mut json!({"a": 1}), &[operation]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
