//! What `peapod run --explain` says.

use std::fmt::Write;

use crate::manifest::Explained;

/// A line for each field.
pub(crate) fn explanation(explained: &[Explained]) -> String {
    let mut text = String::new();
    let places = |document: &Explained| {
        let file = document.file.clone();
        let place = move |line: u64| if file.is_empty() { format!("{line}") } else { format!("{file}:{line}") };
        document.fields.iter().map(move |field| place(field.line)).collect::<Vec<_>>()
    };
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    let place_width = width(&mut explained.iter().flat_map(places).map(|place| place.len()));
    let paths = |document: &Explained| {
        document.fields.iter().map(|field| format!("{} {}", document.kind, field.path)).collect::<Vec<_>>()
    };
    let path_width = width(&mut explained.iter().flat_map(paths).map(|path| path.len()));
    for document in explained {
        for ((place, path), field) in places(document).iter().zip(paths(document)).zip(&document.fields) {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{place:>place_width$}  {path:path_width$}  {}", field.effect);
        }
    }
    text
}
