//! Columns for people, set as Docker's tools set them, so that scripts that cut them go on working.
//!
//! Source: Go's `text/tabwriter` with a padding of three blanks.

use std::fmt;

/// The blanks between two columns.
const PADDING: usize = 3;

/// Rows of cells in columns as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    narrowest: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table whose columns have at least `narrowest` characters, blanks between them included.
    pub(crate) fn new<'a>(narrowest: usize, header: impl IntoIterator<Item = &'a str>) -> Self {
        Self { narrowest, rows: vec![header.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
        (widest + PADDING).max(self.narrowest)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "{}", cells.collect::<String>().trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_three_blanks() {
        let mut table = Table::new(10, ["NAME", "STATUS", "PORTS"]);
        table.row(["shop-web-1".to_owned(), "Up".to_owned(), "80/tcp".to_owned()]);
        table.row(["é".to_owned(), "Exited (0)".to_owned(), String::new()]);
        insta::assert_snapshot!(table, @"
        NAME         STATUS       PORTS
        shop-web-1   Up           80/tcp
        é            Exited (0)
        ");
    }
}
