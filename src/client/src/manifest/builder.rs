//! What the parts of a Pod are built with: the document, and the mistakes that were found in it.

use super::Mistake;
use super::names::is_label;
use super::tree::YamlNode;

/// Collects every mistake on its way through the document.
pub(super) struct Builder<'a> {
    document: &'a YamlNode,
    mistakes: Vec<Mistake>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(document: &'a YamlNode) -> Self {
        Self { document, mistakes: Vec::new() }
    }

    /// What was built, if there are no mistakes.
    pub(super) fn into_result<T>(self, built: T) -> Result<T, Vec<Mistake>> {
        if self.mistakes.is_empty() { Ok(built) } else { Err(self.mistakes) }
    }

    /// Adds a mistake of the field at `path`.
    pub(super) fn add_mistake(&mut self, path: &str, text: impl Into<String>) {
        let line = self.document.line_at(path);
        self.mistakes.push(Mistake { path: path.to_owned(), line, text: text.into() });
    }

    /// Checks a name of a container, a volume, a namespace or a host.
    pub(super) fn check_label(&mut self, path: &str, text: &str) {
        if !is_label(text) {
            self.add_mistake(
                path,
                format!("is `{text}`; it has to be a name of at most 63 of a-z, 0-9 and inner dashes"),
            );
        }
    }

    /// One of several words, or a mistake and the first of them.
    pub(super) fn one_of<T: Copy>(&mut self, path: &str, text: Option<&str>, default: T, words: &[(&str, T)]) -> T {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return default };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.add_mistake(path, format!("is `{text}`; it can be {}", allowed.join(", ")));
        default
    }
}
