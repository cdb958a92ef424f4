//! What the parts of a Pod are built with: the document, the objects beside it, and the mistakes that were found.

use serde::de::DeserializeOwned;

use super::Mistake;
use super::names::is_label;
use super::objects::Objects;
use super::tree::YamlNode;

/// Something with what the user should know of it, or every mistake.
pub(super) type Built<T> = Result<(T, Vec<String>), Vec<Mistake>>;

/// Collects every mistake on its way through the document.
pub(super) struct Builder<'a> {
    document: &'a YamlNode,
    objects: &'a Objects,
    namespace: String,
    /// Where the document stands in the user's: `spec.template.`, or nothing.
    within: &'static str,
    mistakes: Vec<Mistake>,
    notes: Vec<String>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(document: &'a YamlNode, objects: &'a Objects) -> Self {
        Self { document, objects, namespace: String::new(), within: "", mistakes: Vec::new(), notes: Vec::new() }
    }

    /// Of a document that stands within another one, whose name and namespace it has.
    pub(super) fn within(self, place: &'static str) -> Self {
        Self { within: place, ..self }
    }

    /// The document as Kubernetes has its kind.
    pub(super) fn read<T: DeserializeOwned>(&self, kind: &str) -> Result<T, Vec<Mistake>> {
        serde_json::from_value(self.document.to_json()).map_err(|error| {
            let (path, text) = (kind.to_owned(), error.to_string());
            vec![Mistake { file: String::new(), path, line: self.document.line, text }]
        })
    }

    /// What was built, with what the user should know of it, if there are no mistakes.
    pub(super) fn into_result<T>(self, built: T) -> Built<T> {
        if self.mistakes.is_empty() { Ok((built, self.notes)) } else { Err(self.mistakes) }
    }

    /// From now on objects are those of this namespace.
    pub(super) fn set_namespace(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.namespace);
    }

    /// The objects of all files, and the namespace in which names are looked up.
    pub(super) fn objects(&self) -> (&'a Objects, &str) {
        (self.objects, &self.namespace)
    }

    /// Adds a mistake of the field at `path`.
    pub(super) fn add_mistake(&mut self, path: &str, text: impl Into<String>) {
        let (document, path_shown) = (self.document, self.shown(path));
        super::add_mistake(&mut self.mistakes, || {
            let line = document.line_at(path);
            Mistake { file: String::new(), path: path_shown, line, text: text.into() }
        });
    }

    /// Adds something about the field at `path` that the user should know, and that keeps no pod from running.
    pub(super) fn add_note(&mut self, path: &str, text: impl AsRef<str>) {
        let line = self.document.line_at(path);
        self.notes.push(format!("line {line}: {} {}", self.shown(path), text.as_ref()));
    }

    /// The path in the user's document.
    fn shown(&self, path: &str) -> String {
        let within = if matches!(path, "metadata.name" | "metadata.namespace") { "" } else { self.within };
        format!("{within}{path}")
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
