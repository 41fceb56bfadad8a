//! The words and signs of a selector.

use std::fmt;

use super::TextOperator;

/// The most bytes that a label may have.
const MAX_LABEL: usize = 512;

/// The operators that are words, each with the words that make it. Blanks between these may be missing.
const WORDS: [(&[&str], Operator); 5] = [
    (&["contains"], Operator::Text(TextOperator::Contains)),
    (&["starts", "with"], Operator::Text(TextOperator::StartsWith)),
    (&["ends", "with"], Operator::Text(TextOperator::EndsWith)),
    (&["not", "in"], Operator::Set { member: false }),
    (&["in"], Operator::Set { member: true }),
];

const SIGNS: [(&str, Token<'static>); 11] = [
    ("has(", Token::Has),
    ("all(", Token::All),
    ("global(", Token::Global),
    ("(", Token::Open),
    (")", Token::Close),
    ("{", Token::OpenSet),
    ("}", Token::CloseSet),
    (",", Token::Comma),
    ("!", Token::Not),
    ("&&", Token::And),
    ("||", Token::Or),
];

/// What follows a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// Compares with one text.
    Text(TextOperator),
    /// Compares with a set of texts.
    Set { member: bool },
}

/// A word or sign, other than an operator behind a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `has(`
    Has,
    /// `all(`
    All,
    /// `global(`
    Global,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `{`
    OpenSet,
    /// `}`
    CloseSet,
    /// `,`
    Comma,
    /// `!`
    Not,
    /// `&&`
    And,
    /// `||`
    Or,
    /// A text, without its quotes.
    Text(&'a str),
    /// A text without an end.
    Unterminated,
    /// A label.
    Label(&'a str),
    /// What would be a label, were it not so long.
    TooLong,
    /// `==` or `!=`, where no label is before it.
    Comparison(&'a str),
    /// A character that begins nothing.
    Other(char),
    /// The end of the selector.
    End,
}

impl fmt::Display for Token<'_> {
    /// The token in an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Text(_) => f.write_str("a quoted text"),
            Token::Unterminated => f.write_str("a text without its closing quote"),
            Token::Label(label) if label.len() > 64 => write!(f, "`{}...`", &label[..64]),
            Token::Label(text) | Token::Comparison(text) => write!(f, "`{text}`"),
            Token::TooLong => write!(f, "a name of more than {MAX_LABEL} bytes"),
            Token::Other(c) if c.is_control() => write!(f, "the character {}", c.escape_default()),
            Token::Other(c) => write!(f, "`{c}`"),
            Token::End => f.write_str("the end"),
            sign => match SIGNS.iter().find(|(_, token)| token == sign) {
                Some((text, _)) => write!(f, "`{text}`"),
                None => Ok(()),
            },
        }
    }
}

/// Reads a selector's text from its beginning to its end.
pub(super) struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { rest: skip_blanks(text) }
    }

    /// The text from the next token on.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Takes the next token, which does not follow a label.
    pub(super) fn token(&mut self) -> Token<'a> {
        let (token, length) = first_token(self.rest);
        self.rest = skip_blanks(&self.rest[length..]);
        token
    }

    /// Takes the operator that follows a label; `None` where there is none.
    pub(super) fn operator(&mut self) -> Option<Operator> {
        let (operator, rest) = first_operator(self.rest)?;
        self.rest = skip_blanks(rest);
        Some(operator)
    }
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

fn is_in_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-')
}

/// The first token of a text without blanks before it, and its length in bytes.
fn first_token(text: &str) -> (Token<'_>, usize) {
    let Some(first) = text.chars().next() else { return (Token::End, 0) };
    if text.starts_with("==") || text.starts_with("!=") {
        return (Token::Comparison(&text[..2]), 2);
    }
    if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| text.starts_with(sign)) {
        return (*token, sign.len());
    }
    if matches!(first, '"' | '\'') {
        return match text[1..].find(first) {
            Some(length) => (Token::Text(&text[1..=length]), length + 2),
            None => (Token::Unterminated, text.len()),
        };
    }
    match text.find(|c| !is_in_label(c)).unwrap_or(text.len()) {
        0 => (Token::Other(first), first.len_utf8()),
        length if length > MAX_LABEL => (Token::TooLong, length),
        length => (Token::Label(&text[..length]), length),
    }
}

/// The operator at the beginning of a text, and what follows it.
fn first_operator(text: &str) -> Option<(Operator, &str)> {
    if let Some(rest) = text.strip_prefix("==") {
        return Some((Operator::Text(TextOperator::Equals), rest));
    }
    if let Some(rest) = text.strip_prefix("!=") {
        return Some((Operator::Text(TextOperator::Differs), rest));
    }
    WORDS.into_iter().find_map(|(words, operator)| {
        let rest = words.iter().try_fold(text, |rest, word| skip_blanks(rest).strip_prefix(word))?;
        (!rest.starts_with(is_in_label)).then_some((operator, rest))
    })
}
