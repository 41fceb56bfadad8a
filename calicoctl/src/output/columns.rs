//! Tables in plain columns, as `get` prints them.

/// The least between two columns, and the narrowest column: as Go's `tabwriter` is set up for `get`, so that scripts find the
/// columns where they were.
const PADDING: usize = 3;
const NARROWEST: usize = 5;

/// Writes rows in columns. Every cell, also the last of its row, is followed by spaces.
pub fn render(rows: &[Vec<String>]) -> String {
    render_in(rows, &widths(rows, &[]))
}

/// How wide each column must be for these rows, and at least.
pub fn widths(rows: &[Vec<String>], least: &[usize]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).max(least.len());
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count() + PADDING);
        cells.chain(least.get(column).copied()).max().unwrap_or(0).max(NARROWEST)
    };
    (0..columns).map(width).collect()
}

/// Writes rows in columns of these widths.
pub fn render_in(rows: &[Vec<String>], widths: &[usize]) -> String {
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(widths).map(|(cell, &width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<String>())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_recorded() {
        let rows = [["NAME", "CIDR"], ["pool1", "10.10.0.0/16"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(render(&rows), "NAME    CIDR           \npool1   10.10.0.0/16   \n");
    }
}
