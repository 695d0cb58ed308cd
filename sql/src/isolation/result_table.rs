//! A result as `PQprint` prints it with a header and aligned columns.
//!
//! Invariants: widths are in bytes. A column is aligned to the right if no value of it has anything but digits, points,
//! minus signs, blanks and exponents, or fails to end in a digit; empty values and nulls say nothing. Source: `fe-print.c`.

/// Appends the table, its count of rows, and an empty line. A result without columns is not printed.
pub fn push(columns: &[String], rows: &[Vec<Option<String>>], out: &mut String) {
    if columns.is_empty() {
        return;
    }
    let values = |column: usize| {
        let value = move |row: &Vec<Option<String>>| row.get(column).cloned().flatten();
        rows.iter().filter_map(value).filter(|value| !value.is_empty())
    };
    let layout: Vec<(usize, bool)> = columns
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let width = values(at).map(|value| value.len()).max().unwrap_or(0).max(name.len());
            (width, values(at).all(|value| is_number(&value)))
        })
        .collect();
    push_row(columns.iter().map(String::as_str), &layout, out);
    let border: Vec<String> = layout.iter().map(|(width, _)| "-".repeat(*width)).collect();
    out.push_str(&(border.join("+") + "\n"));
    for row in rows {
        push_row(row.iter().map(|value| value.as_deref().unwrap_or("")), &layout, out);
    }
    let plural = if rows.len() == 1 { "" } else { "s" };
    out.push_str(&format!("({} row{plural})\n\n", rows.len()));
}

/// A line; of each column its width, and whether it has numbers alone, which stand on the right.
fn push_row<'a>(cells: impl Iterator<Item = &'a str>, layout: &[(usize, bool)], out: &mut String) {
    for (at, (cell, (width, is_number))) in cells.zip(layout).enumerate() {
        if at > 0 {
            out.push('|');
        }
        let blanks = " ".repeat(width - cell.len());
        let (one, other) = if *is_number { (blanks.as_str(), cell) } else { (cell, &*blanks) };
        out.push_str(one);
        out.push_str(other);
    }
    out.push('\n');
}

fn is_number(value: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || ".Ee -".contains(c);
    value.chars().all(is_part)
        && !value.starts_with(['E', 'e'])
        && value.ends_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by PostgreSQL 15's isolationtester.
    #[test]
    fn tables_are_those_of_pqprint() {
        let mut out = String::new();
        let row =
            |id: &str, balance: Option<&str>| vec![Some(id.to_owned()), balance.map(str::to_owned)];
        push(
            &["id".to_owned(), "balance".to_owned()],
            &[row("X", Some("0")), row("Yo!", None)],
            &mut out,
        );
        push(&["?column?".to_owned()], &[vec![Some("-".to_owned())]], &mut out);
        push(&["count".to_owned()], &[], &mut out);
        push(&[], &[vec![]], &mut out);
        let expected = "id |balance\n---+-------\nX  |      0\nYo!|       \n(2 rows)\n\n\
                        ?column?\n--------\n-       \n(1 row)\n\n\
                        count\n-----\n(0 rows)\n\n";
        assert_eq!(out, expected);
    }
}
