//! What tables of fields are made of: the shape of each field, and what it does.

/// What a field holds.
pub(super) enum Schema {
    Text,
    Integer,
    /// A whole number or the name of a port.
    Port,
    Flag,
    /// `500m`, or a number.
    Quantity,
    /// A whole number, or `25%`.
    Share,
    /// Keys of the user's own, with text.
    Texts,
    /// Whatever Kubernetes takes there.
    Any,
    Map(&'static [FieldSchema]),
    List(&'static Schema),
}

/// What comes of a field that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// What it does, in words.
    Does(&'static str),
    /// It is accepted and changes nothing, because of this.
    Idle(&'static str),
    /// The pod is refused, because of this.
    Refused(&'static str),
}

/// A field of a map.
pub(super) struct FieldSchema {
    /// `hugepages-*` stands for all that begin so, `*/*` for all with a `/`.
    pub(super) name: &'static str,
    pub(super) shape: Schema,
    pub(super) required: bool,
    pub(super) effect: Effect,
}

/// A field that is carried out if it is there.
pub(super) const fn optional(name: &'static str, shape: Schema) -> FieldSchema {
    FieldSchema { name, shape, required: false, effect: Effect::Does("") }
}

/// A field that has to be there.
pub(super) const fn required(name: &'static str, shape: Schema) -> FieldSchema {
    FieldSchema { name, shape, required: true, effect: Effect::Does("") }
}

/// A field that can't be carried out, and why.
pub(super) const fn refused(name: &'static str, why: &'static str) -> FieldSchema {
    FieldSchema { name, shape: Schema::Any, required: false, effect: Effect::Refused(why) }
}

impl FieldSchema {
    /// The same with what it does.
    pub(super) const fn does(self, what: &'static str) -> Self {
        self.with(Effect::Does(what))
    }

    /// The same with another effect.
    pub(super) const fn with(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    /// Whether the field has this name.
    pub(super) fn is_named(&self, key: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some("*/") => key.contains('/'),
            Some(beginning) => key.len() > beginning.len() && key.starts_with(beginning),
            None => self.name == key,
        }
    }
}

impl Schema {
    /// What has to stand there, as a user would say it.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Port => "a port: its number, or its name among the container's ports",
            Self::Flag => "true or false",
            Self::Quantity => "a quantity such as 500m or 1Gi",
            Self::Share => "a whole number, or a share such as 25%",
            Self::Any => "anything",
            Self::Texts | Self::Map(_) => "a map",
            Self::List(_) => "a list",
        }
    }
}
