//! Manifests as text: YAML as the established tool reads and writes it.
//!
//! That tool is written in Go and follows YAML 1.1, with some rules of its library's own. Manifests rely on them: `node: n` is
//! a truth value, `0010` is eight. What is written here is read back by both as the same value.

mod compose;
mod json;
mod layout;
mod number;
mod scalar;
mod split;
mod style;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::Value;
use thiserror::Error;

pub use layout::write;

/// The largest document, in bytes.
const LARGEST: usize = 10 * 1024 * 1024;

/// One document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What is in it.
    pub value: Value,
    /// The line where it begins, counted from 1.
    pub line: usize,
    /// The lines of its fields and items, by their paths.
    lines: HashMap<String, usize>,
}

/// A text is not YAML, or says what JSON cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct Unreadable {
    /// Where reading stopped, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

impl Document {
    /// The line of a field or an item, by a path such as `spec.ports[0].port`. What comes from an alias has none.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        self.lines.get(path).copied()
    }
}

/// Reads all documents of a text.
pub fn read(text: &str) -> Result<Vec<Document>, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    for piece in split::split(text) {
        if piece.text.len() > LARGEST {
            let reason = format!("a document of more than {} MB", LARGEST >> 20);
            return Err(Unreadable { line: piece.line, column: 1, reason });
        }
        documents.extend(read_piece(&piece)?);
    }
    Ok(documents)
}

/// The documents between two separators: one, unless `...` ends one of them.
fn read_piece(piece: &split::Piece) -> Result<Vec<Document>, Unreadable> {
    let without_lines = |value| Document { value, line: piece.line, lines: HashMap::new() };
    let json = json::read(piece.body());
    let json = json.map_err(|error| Unreadable { line: error.line + piece.line - 1, ..error })?;
    let composed = compose::compose(piece.text, piece.line);
    // JSON may have tabs and escapes that YAML does not know. The lines of its fields are known if it is YAML all the same.
    if let Some(value) = json {
        let same = composed.unwrap_or_default().into_iter().find(|document| document.value == value);
        return Ok(vec![same.unwrap_or_else(|| without_lines(value))]);
    }
    let mut documents = composed?;
    // A comment above the first separator is a document to the established tool, and not a valid one.
    if documents.is_empty() && !piece.is_separated {
        documents.push(without_lines(Value::Null));
    }
    Ok(documents)
}
