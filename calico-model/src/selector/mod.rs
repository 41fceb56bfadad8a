//! Calico's selector language: which objects are meant, by their labels.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use parser::ParseError;

/// Selects objects by their labels, such as `zone == "a" && !has(gpu)`.
///
/// Its text ([`Display`](fmt::Display)) is the established implementation's canonical one. Parsing that gives an equal
/// selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Node);

impl Selector {
    /// Reads a selector. A blank one is `all()`.
    ///
    /// # Errors
    /// The first place where the text is no selector, or where more is inside each other (256 negations, groups and
    /// comparisons) than a stored selector has room for.
    pub fn parse(text: &str) -> Result<Selector, ParseError> {
        parser::parse(text).map(Selector)
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.matches(labels)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A selector's tree. The parser bounds its height, so that functions on it may recurse; it makes no `Not` of a `Not`
/// and no group of fewer than two.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All,
    Global,
    Has(String),
    Text { label: String, operator: TextOperator, text: String },
    Set { label: String, member: bool, texts: BTreeSet<String> },
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

/// How a label's value is compared with one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextOperator {
    Equals,
    Differs,
    Contains,
    StartsWith,
    EndsWith,
}

impl Node {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Node::All | Node::Global => true,
            Node::Has(label) => labels.contains_key(label),
            Node::Text { label, operator, text } => operator.holds(labels.get(label), text),
            Node::Set { label, member, texts } => labels.get(label).is_some_and(|v| texts.contains(v)) == *member,
            Node::Not(operand) => !operand.matches(labels),
            Node::And(operands) => operands.iter().all(|operand| operand.matches(labels)),
            Node::Or(operands) => operands.iter().any(|operand| operand.matches(labels)),
        }
    }
}

impl TextOperator {
    /// Whether the comparison holds for a label's value, which is `None` where the label is absent.
    fn holds(self, value: Option<&String>, text: &str) -> bool {
        match self {
            TextOperator::Equals => value.is_some_and(|v| v == text),
            TextOperator::Differs => value.is_none_or(|v| v != text),
            TextOperator::Contains => value.is_some_and(|v| v.contains(text)),
            TextOperator::StartsWith => value.is_some_and(|v| v.starts_with(text)),
            TextOperator::EndsWith => value.is_some_and(|v| v.ends_with(text)),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::All => f.write_str("all()"),
            Node::Global => f.write_str("global()"),
            Node::Has(label) => write!(f, "has({label})"),
            Node::Text { label, operator, text } => write!(f, "{label} {operator} {}", Quoted(text)),
            Node::Set { label, member, texts } => {
                write!(f, "{label} {} {{", if *member { "in" } else { "not in" })?;
                for (i, text) in texts.iter().enumerate() {
                    write!(f, "{}{}", if i > 0 { ", " } else { "" }, Quoted(text))?;
                }
                f.write_str("}")
            }
            Node::Not(operand) => write!(f, "!{operand}"),
            Node::And(operands) => write_group(f, operands, " && "),
            Node::Or(operands) => write_group(f, operands, " || "),
        }
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, operands: &[Node], between: &str) -> fmt::Result {
    f.write_str("(")?;
    for (i, operand) in operands.iter().enumerate() {
        write!(f, "{}{operand}", if i > 0 { between } else { "" })?;
    }
    f.write_str(")")
}

impl fmt::Display for TextOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TextOperator::Equals => "==",
            TextOperator::Differs => "!=",
            TextOperator::Contains => "contains",
            TextOperator::StartsWith => "starts with",
            TextOperator::EndsWith => "ends with",
        })
    }
}

/// A text between the quotes that it does not have itself. A text that was parsed lacks one kind: there are no escapes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('"') { '\'' } else { '"' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}
