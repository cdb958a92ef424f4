//! What is said about one of the pods of a run.

use crate::console::{Console, OutputStream};

/// Speaks for a pod, and names it where there are several.
#[derive(Clone)]
pub(super) struct Voice(Console);

impl Voice {
    /// `pod` is empty where there is one.
    pub(super) fn new(console: &Console, pod: &str) -> Self {
        Self(console.of_pod(pod))
    }

    /// Something that peapod has to say about the pod.
    pub(super) async fn note(&self, text: impl std::fmt::Display) {
        self.0.note(text.to_string()).await;
    }

    /// A line of a container; says false if nobody reads any more.
    pub(super) async fn line(&self, colour: usize, container: &str, stream: OutputStream, text: Vec<u8>) -> bool {
        self.0.line(colour, container, stream, text).await
    }

    /// For what shows how something of the pod goes on.
    pub(super) fn console(&self) -> &Console {
        &self.0
    }
}
