//! Kinds of stages: the set of their names is fixed when peapod is built.

/// What a stage is, as those write it down who do the work: one `static` for each.
#[derive(Debug)]
pub struct StageKind {
    /// A few words in lower case, unique in its crate: what tables and labels show.
    pub name: &'static str,
    /// What an operation waits for in this stage, in words behind "waiting for". `{}` stands for what the stage is
    /// about, and goes if that is not known.
    pub awaited: &'static str,
}

impl StageKind {
    /// The words, with what the stage is about in its place.
    #[must_use]
    pub fn awaited(&self, detail: Option<&str>) -> String {
        match (self.awaited.split_once("{}"), detail) {
            (Some((before, after)), Some(detail)) => format!("{before}{detail}{after}"),
            (Some((before, after)), None) => format!("{}{after}", before.trim_end()),
            (None, Some(detail)) => format!("{} ({detail})", self.awaited),
            (None, None) => self.awaited.to_owned(),
        }
    }
}

/// Declares the kinds of a crate's stages, each with its name and what is awaited, and `STAGES`, all of them.
#[macro_export]
macro_rules! stages {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $awaited:literal;)*) => {
        $(
            $(#[$doc])*
            pub(crate) static $kind: $crate::StageKind = $crate::StageKind { name: $name, awaited: $awaited };
        )*

        /// All kinds of stages that this crate tells of.
        pub static STAGES: &[&$crate::StageKind] = &[$(&$kind),*];
    };
}

/// The work is done: its answer is on its way to the client.
pub static ANSWER: StageKind = StageKind { name: "answer", awaited: "its client to take the answer" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_awaited_names_what_it_is_about() {
        let kind = |awaited| StageKind { name: "a", awaited };
        let runtime = kind("the OCI runtime {} to create it");
        assert_eq!(runtime.awaited(Some("crun")), "the OCI runtime crun to create it");
        assert_eq!(runtime.awaited(None), "the OCI runtime to create it");
        assert_eq!(kind("registry {}").awaited(Some("a.b: manifest")), "registry a.b: manifest");
        assert_eq!(kind("registry {}").awaited(None), "registry");
        assert_eq!(kind("its record").awaited(Some("of eth0")), "its record (of eth0)");
        assert_eq!(kind("its record").awaited(None), "its record");
    }
}
