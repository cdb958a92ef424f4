//! Text in columns.

use peapod_text::one_line;

/// Rows under a head, each column as wide as its longest text.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|text| one_line(text)).collect()).collect();
    let width = |column: usize| {
        let longest = rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
        longest.unwrap_or_default().max(head.get(column).map_or(0, |text| text.len()))
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |texts: Vec<&str>| {
        let cells = texts.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        let line = cells.collect::<Vec<_>>().join("   ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(head.to_vec());
    for row in &rows {
        text.push_str(&line(row.iter().map(|text| &**text).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["web".into(), "é".into(), "x".into()], vec!["a".into(), "long".into(), String::new()]];
        assert_eq!(table(&["POD", "B", "C"], &rows), "POD   B      C\nweb   é      x\na     long\n");
    }
    #[test]
    fn a_name_forges_no_row() {
        assert_eq!(table(&["POD"], &[vec!["a\nb\x1b[2J".into()]]), "POD\na\\nb\\u{1b}[2J\n");
    }
}
