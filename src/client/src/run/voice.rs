//! What is said about one of the pods of a run.

use crate::console::{Console, OutputStream};

/// Speaks for a pod, and names it where there are several.
#[derive(Clone)]
pub(super) struct Voice {
    console: Console,
    /// Empty where there is one pod.
    pod: String,
}

impl Voice {
    pub(super) fn new(console: &Console, pod: &str) -> Self {
        Self { console: console.clone(), pod: pod.to_owned() }
    }

    /// Something that peapod has to say about the pod.
    pub(super) async fn note(&self, text: impl std::fmt::Display) {
        let text = if self.pod.is_empty() { text.to_string() } else { format!("{}: {text}", self.pod) };
        self.console.note(text).await;
    }

    /// A line of a container; says false if nobody reads any more.
    pub(super) async fn line(&self, colour: usize, container: &str, stream: OutputStream, text: Vec<u8>) -> bool {
        if self.pod.is_empty() {
            self.console.line(colour, container, stream, text).await
        } else {
            self.console.line(colour, &format!("{}/{container}", self.pod), stream, text).await
        }
    }

    /// For what speaks about no pod.
    pub(super) fn console(&self) -> &Console {
        &self.console
    }
}
