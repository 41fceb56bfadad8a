//! The grammar of selectors. Open parentheses are kept in a list, not on the stack: there may be any number.

use std::collections::BTreeSet;

use thiserror::Error;

use super::Node;
use super::lexer::{Lexer, Operator, Token};

/// The greatest height of a tree. Stored selectors have at most 1024 characters, too few for more.
const MAX_HEIGHT: usize = 256;

/// How many characters of the selector an error shows before and after its place.
const NEAR: (usize, usize) = (16, 24);

/// A text is no selector. It is not read beyond the first error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no selector: at character {character}, near `{near}`: expected {expected}, found {found}")]
pub struct ParseError {
    /// Where in the text, counted in bytes from 0.
    pub offset: usize,
    /// Where in the text, counted in characters from 1.
    pub character: usize,
    /// The text around that place, with control characters escaped.
    pub near: String,
    /// What may stand there.
    pub expected: &'static str,
    /// What does.
    pub found: String,
}

/// A part of the selector, and how many nodes lie above each other in it.
struct Tree {
    node: Node,
    height: usize,
}

impl Tree {
    /// The tree, or its opposite. Two negations are none, also where a parenthesis is between them: the canonical
    /// text could not keep them apart.
    fn negated(self, negated: bool) -> Tree {
        match self.node {
            node if !negated => Tree { node, ..self },
            Node::Not(operand) => Tree { node: *operand, height: self.height - 1 },
            node => Tree { node: Node::Not(Box::new(node)), height: self.height + 1 },
        }
    }
}

/// The operands of a chain of `&&` or `||`.
#[derive(Default)]
struct Chain {
    nodes: Vec<Node>,
    height: usize,
}

impl Chain {
    fn push(&mut self, tree: Tree) {
        self.height = self.height.max(tree.height);
        self.nodes.push(tree.node);
    }

    /// A chain of one is that one.
    fn end(self, group: fn(Vec<Node>) -> Node) -> Tree {
        match <[Node; 1]>::try_from(self.nodes) {
            Ok([node]) => Tree { node, height: self.height },
            Err(nodes) => Tree { node: group(nodes), height: self.height + 1 },
        }
    }
}

/// What was read since the innermost open parenthesis, or since the beginning.
#[derive(Default)]
struct Group {
    /// An odd number of `!` is before the parenthesis.
    negated: bool,
    /// The operands of `||` that are complete.
    any: Chain,
    /// The operands of `&&` since the last `||`.
    all: Chain,
}

impl Group {
    fn end_all(&mut self) {
        self.any.push(std::mem::take(&mut self.all).end(Node::And));
    }

    fn end(mut self) -> Tree {
        self.end_all();
        self.any.end(Node::Or).negated(self.negated)
    }
}

pub(super) fn parse(text: &str) -> Result<Node, ParseError> {
    let mut parser = Parser { text, lexer: Lexer::new(text), at: 0 };
    if parser.lexer.rest().is_empty() {
        return Ok(Node::All);
    }
    parser.selector()
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// Where the last token begins.
    at: usize,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<Node, ParseError> {
        let mut group = Group::default();
        let mut outer = Vec::new();
        loop {
            let (negated, token) = self.negations();
            if token == Token::Open {
                outer.push(std::mem::replace(&mut group, Group { negated, ..Group::default() }));
                continue;
            }
            group.all.push(Tree { node: self.operand(token)?, height: 1 }.negated(negated));
            loop {
                match self.token() {
                    Token::And => break,
                    Token::Or => {
                        group.end_all();
                        break;
                    }
                    Token::End if outer.is_empty() => return Ok(self.checked(group.end())?.node),
                    token => match outer.pop() {
                        Some(around) if token == Token::Close => {
                            let tree = std::mem::replace(&mut group, around).end();
                            group.all.push(self.checked(tree)?);
                        }
                        Some(_) => return Err(self.error("`&&`, `||` or `)`", token)),
                        None => return Err(self.error("`&&`, `||` or the end", token)),
                    },
                }
            }
        }
    }

    /// The tree, where functions may recurse on it.
    fn checked(&self, tree: Tree) -> Result<Tree, ParseError> {
        if tree.height <= MAX_HEIGHT {
            return Ok(tree);
        }
        Err(self.error("at most 256 of `!`, `&&`, `||` and comparisons inside each other", "more"))
    }

    /// Takes the `!` before an operand, and the token after them.
    fn negations(&mut self) -> (bool, Token<'a>) {
        let mut negated = false;
        loop {
            match self.token() {
                Token::Not => negated = !negated,
                token => return (negated, token),
            }
        }
    }

    /// The rest of an operand that begins with this token, which is no parenthesis.
    fn operand(&mut self, first: Token<'a>) -> Result<Node, ParseError> {
        let node = match first {
            Token::Label(label) => return self.comparison(label),
            Token::Has => match self.token() {
                Token::Label(label) => Node::Has(label.to_owned()),
                token => return Err(self.error("a label", token)),
            },
            Token::All => Node::All,
            Token::Global => Node::Global,
            token => return Err(self.error("a label, `has(`, `all()`, `global()`, `!` or `(`", token)),
        };
        match self.token() {
            Token::Close => Ok(node),
            token => Err(self.error("`)`", token)),
        }
    }

    fn comparison(&mut self, label: &str) -> Result<Node, ParseError> {
        let label = label.to_owned();
        match self.lexer.operator() {
            Some(Operator::Text(operator)) => match self.token() {
                Token::Text(text) => Ok(Node::Text { label, operator, text: text.to_owned() }),
                token => Err(self.error("a text in quotes", token)),
            },
            Some(Operator::Set { member }) => Ok(Node::Set { label, member, texts: self.set()? }),
            None => {
                let token = self.token();
                Err(self.error("`==`, `!=`, `contains`, `starts with`, `ends with`, `in` or `not in`", token))
            }
        }
    }

    fn set(&mut self) -> Result<BTreeSet<String>, ParseError> {
        match self.token() {
            Token::OpenSet => {}
            token => return Err(self.error("`{`", token)),
        }
        let mut texts = BTreeSet::new();
        loop {
            match self.token() {
                Token::Text(text) => texts.insert(text.to_owned()),
                Token::CloseSet => return Ok(texts),
                token => return Err(self.error("a text in quotes or `}`", token)),
            };
            match self.token() {
                Token::Comma => {}
                Token::CloseSet => return Ok(texts),
                token => return Err(self.error("`,` or `}`", token)),
            }
        }
    }

    fn token(&mut self) -> Token<'a> {
        self.at = self.text.len() - self.lexer.rest().len();
        self.lexer.token()
    }

    /// The last token is wrong.
    fn error(&self, expected: &'static str, found: impl ToString) -> ParseError {
        let (before, after) = self.text.split_at(self.at);
        let start = before.char_indices().rev().nth(NEAR.0 - 1).map_or(0, |(i, _)| i);
        let end = after.char_indices().nth(NEAR.1).map_or(self.text.len(), |(i, _)| self.at + i);
        let mut near = String::new();
        for c in self.text[start..end].chars() {
            if c.is_control() { near.extend(c.escape_default()) } else { near.push(c) }
        }
        let character = before.chars().count() + 1;
        ParseError { offset: self.at, character, near, expected, found: found.to_string() }
    }
}
