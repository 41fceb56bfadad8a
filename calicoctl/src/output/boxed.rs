//! Tables in boxes, as the commands about addresses and nodes print them.

/// A table with a heading.
#[derive(Debug, Default)]
pub struct Boxed {
    heading: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// At the left.
    Text(String),
    /// At the right, as numbers are.
    Number(String),
}

impl Cell {
    fn text(&self) -> &str {
        match self {
            Cell::Text(text) | Cell::Number(text) => text,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl Boxed {
    /// A table with these headings, which are shown in capitals.
    pub fn new(heading: &[&str]) -> Boxed {
        Boxed { heading: heading.iter().map(|text| text.to_uppercase()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as lines.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text().chars().count());
            cells.chain([self.heading[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heading.len()).map(width).collect();
        let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
        let rule = format!("{rule}+\n");
        let line = |cells: &mut dyn Iterator<Item = Cell>| {
            let cells = cells.zip(&widths).map(|(cell, &width)| match cell {
                Cell::Text(text) => format!("| {text:<width$} "),
                Cell::Number(text) => format!("| {text:>width$} "),
            });
            format!("{}|\n", cells.collect::<String>())
        };
        let mut text = rule.clone();
        text += &line(&mut self.heading.iter().cloned().map(Cell::Text));
        text += &rule;
        self.rows.iter().for_each(|row| text += &line(&mut row.iter().cloned()));
        text + &rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_established_tool_draws_them() {
        let mut table = Boxed::new(&["grouping", "IPs total"]);
        table.row(["IP Pool".into(), Cell::Number("65536".to_owned())]);
        let expected = "+----------+-----------+\n| GROUPING | IPS TOTAL |\n+----------+-----------+\n| IP Pool  |     65536 |\n+----------+-----------+\n";
        assert_eq!(table.render(), expected);
    }
}
