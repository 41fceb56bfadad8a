//! A text's documents, before they are understood.

/// What a line begins with that separates documents.
const SEPARATOR: &str = "---";

/// What is between two separators.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text, with the separator that it begins with.
    pub text: &'a str,
    /// The line where it begins, counted from 1.
    pub line: usize,
    /// Whether there is a separator before its content.
    pub is_separated: bool,
}

impl<'a> Piece<'a> {
    /// The text without the separator.
    pub fn body(&self) -> &'a str {
        self.text.strip_prefix(SEPARATOR).filter(|_| self.is_separated).unwrap_or(self.text)
    }
}

/// Cuts a text at its separators.
pub fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut piece = Piece { line: 1, ..Piece::default() };
    let (mut begin, mut end) = (0, 0);
    for (before, line) in text.split_inclusive('\n').enumerate() {
        if is_separator(line) {
            // Directives are above the separator, and belong to what is below it.
            if end > begin && !is_directives(&text[begin..end]) {
                pieces.push(Piece { text: &text[begin..end], ..piece });
                (begin, piece.line) = (end, before + 1);
            }
            piece.is_separated = true;
        }
        end += line.len();
    }
    if end > begin {
        pieces.push(Piece { text: &text[begin..end], ..piece });
    }
    pieces
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix(SEPARATOR).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether there is nothing in a text but directives such as `%YAML 1.1`, with comments.
fn is_directives(text: &str) -> bool {
    let is_comment = |line: &str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
    text.lines().all(|line| line.starts_with('%') || is_comment(line)) && text.lines().any(|line| line.starts_with('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(&str, usize, bool)> {
        split(text).into_iter().map(|piece| (piece.text, piece.line, piece.is_separated)).collect()
    }

    #[test]
    fn separators_are_whole_words_at_the_beginning_of_lines() {
        assert_eq!(texts(""), []);
        assert_eq!(texts("a\n"), [("a\n", 1, false)]);
        assert_eq!(texts("---\na\n---"), [("---\na\n", 1, true), ("---", 3, true)]);
        assert_eq!(texts("a\r\n--- # b\r\nc"), [("a\r\n", 1, false), ("--- # b\r\nc", 2, true)]);
        assert_eq!(texts("a\n----\n ---\n---b\n"), [("a\n----\n ---\n---b\n", 1, false)]);
    }

    #[test]
    fn directives_stay_with_their_document() {
        let text = "# a\n%YAML 1.1\n---\na\n---\nb";
        assert_eq!(texts(text), [("# a\n%YAML 1.1\n---\na\n", 1, true), ("---\nb", 5, true)]);
    }

    #[test]
    fn bodies() {
        let bodies: Vec<_> = split("---\n--- {}").iter().map(Piece::body).collect();
        assert_eq!(bodies, ["\n", " {}"]);
        assert_eq!(split("---a")[0].body(), "---a");
    }
}
