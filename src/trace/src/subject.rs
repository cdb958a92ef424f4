//! What a span is about.

use peapod_text::{one_line, shortened};

use crate::bounds::SUBJECT_BYTES;

/// A pod, a container of one, or an image; what is not known is empty. Each text is printable, on one line, and
/// bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanSubject {
    namespace: Box<str>,
    pod_name: Box<str>,
    pod_uid: Box<str>,
    pod_id: Box<str>,
    container_name: Box<str>,
    container_id: Box<str>,
    image: Box<str>,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $set:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> &str {
            &self.$name
        }

        #[doc = concat!("Sets [`Self::", stringify!($name), "`].")]
        pub fn $set(&mut self, text: &str) {
            self.$name = bounded(text);
        }
    )*};
}

impl SpanSubject {
    texts! {
        /// The pod's namespace.
        namespace, set_namespace;
        /// The pod's name.
        pod_name, set_pod_name;
        /// What Kubernetes calls it.
        pod_uid, set_pod_uid;
        /// Its id; before it is known what the client wrote, which may be the beginning of one.
        pod_id, set_pod_id;
        /// The container's name.
        container_name, set_container_name;
        /// Its id, as the pod's.
        container_id, set_container_id;
        /// The image, as the client wrote it.
        image, set_image;
    }

    pub(crate) fn bytes(&self) -> usize {
        let all = [&self.namespace, &self.pod_name, &self.pod_uid, &self.pod_id];
        let others = [&self.container_name, &self.container_id, &self.image];
        all.into_iter().chain(others).map(|text| text.len()).sum()
    }
}

fn bounded(text: &str) -> Box<str> {
    shortened(&one_line(&shortened(text, SUBJECT_BYTES)), SUBJECT_BYTES).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_write_is_bounded_and_printable() {
        let mut subject = SpanSubject::default();
        subject.set_pod_name("web\u{1b}[2J");
        subject.set_image(&"\u{202e}x".repeat(100_000));
        assert_eq!(subject.pod_name(), "web\\u{1b}[2J");
        assert!(subject.image().len() <= SUBJECT_BYTES && subject.bytes() <= 2 * SUBJECT_BYTES);
    }
}
