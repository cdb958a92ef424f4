//! A command's streams, by what they are for: pure.

use peapod_streaming_protocol::CommandStreams;

use crate::channels;
use crate::spdy::{Headers, StreamId};
use crate::version::CommandVersion;

/// What a stream of a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandStream {
    Stdin,
    Stdout,
    Stderr,
    /// How it ends.
    Error,
    /// The terminal's size.
    Resize,
}

impl CommandStream {
    const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Error, Self::Resize];

    /// Its name in the header `streamtype`.
    fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Error => "error",
            Self::Resize => "resize",
        }
    }

    fn channel(self) -> u8 {
        match self {
            Self::Stdin => channels::STDIN,
            Self::Stdout => channels::STDOUT,
            Self::Stderr => channels::STDERR,
            Self::Error => channels::ERROR,
            Self::Resize => channels::RESIZE,
        }
    }

    /// The client was promised it.
    fn is_promised(self, promised: CommandStreams, version: CommandVersion) -> bool {
        match self {
            Self::Stdin => promised.stdin,
            Self::Stdout => promised.stdout,
            Self::Stderr => promised.stderr,
            Self::Error => true,
            Self::Resize => promised.tty && version.has_resize(),
        }
    }
}

/// Which stream is for what.
#[derive(Debug)]
pub(super) struct CommandTable {
    /// In the order of [`CommandStream::ALL`].
    ids: [Option<StreamId>; 5],
    promised: CommandStreams,
    pub(super) version: CommandVersion,
}

impl CommandTable {
    /// Of a client that will open its streams.
    pub(super) fn empty(promised: CommandStreams, version: CommandVersion) -> Self {
        Self { ids: [None; 5], promised, version }
    }

    /// Of a client whose streams are channels: all are there. A size can be told in each version.
    pub(super) fn of_channels(promised: CommandStreams, version: CommandVersion) -> Self {
        let ids = CommandStream::ALL
            .map(|stream| stream.is_promised(promised, CommandVersion::V5).then(|| stream.channel().into()));
        Self { ids, promised, version }
    }

    /// Enters a stream that the client opened. None: it is for nothing that we know, or that is there already, or was
    /// not promised. Such a stream does no harm.
    pub(super) fn enter(&mut self, id: StreamId, headers: &Headers) -> Option<CommandStream> {
        let name = headers.get("streamtype")?;
        let at = CommandStream::ALL.iter().position(|stream| stream.name() == name)?;
        let stream = CommandStream::ALL[at];
        if self.ids[at].is_some() || !stream.is_promised(self.promised, self.version) {
            return None;
        }
        self.ids[at] = Some(id);
        Some(stream)
    }

    /// All that was promised is there.
    pub(super) fn is_complete(&self) -> bool {
        CommandStream::ALL
            .iter()
            .zip(self.ids)
            .all(|(stream, id)| id.is_some() || !stream.is_promised(self.promised, self.version))
    }

    pub(super) fn id(&self, stream: CommandStream) -> Option<StreamId> {
        let at = CommandStream::ALL.iter().position(|known| *known == stream)?;
        self.ids[at]
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<CommandStream> {
        let at = self.ids.iter().position(|known| *known == Some(id))?;
        Some(CommandStream::ALL[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: CommandStreams = CommandStreams { tty: true, stdin: true, stdout: true, stderr: false };

    fn named(name: &str) -> Headers {
        Headers::of(&[("streamtype", name)])
    }

    #[test]
    fn what_was_promised_is_waited_for() {
        let mut table = CommandTable::empty(TERMINAL, CommandVersion::V4);
        for (id, name, expected) in [
            (1, "error", Some(CommandStream::Error)),
            (3, "stdin", Some(CommandStream::Stdin)),
            (5, "stderr", None),
            (7, "stdin", None),
            (9, "novelty", None),
            (11, "stdout", Some(CommandStream::Stdout)),
        ] {
            assert_eq!(table.enter(id, &named(name)), expected);
        }
        assert!(!table.is_complete());
        assert_eq!(table.enter(13, &named("resize")), Some(CommandStream::Resize));
        assert!(table.is_complete());
        assert_eq!((table.id(CommandStream::Stdin), table.id(CommandStream::Stderr)), (Some(3), None));
        assert_eq!((table.stream(11), table.stream(7)), (Some(CommandStream::Stdout), None));
    }

    #[test]
    fn older_versions_have_no_sizes() {
        let mut table = CommandTable::empty(TERMINAL, CommandVersion::V2);
        for (id, name) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
            table.enter(id, &named(name));
        }
        assert!(table.is_complete());
        assert_eq!(table.enter(7, &named("resize")), None);
    }

    #[test]
    fn channels_are_there() {
        let table = CommandTable::of_channels(CommandStreams { stderr: true, ..TERMINAL }, CommandVersion::V1);
        assert!(table.is_complete());
        let all = CommandStream::ALL.map(|stream| table.id(stream));
        assert_eq!(all, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        let none = CommandTable::of_channels(CommandStreams::default(), CommandVersion::V5);
        assert_eq!(CommandStream::ALL.map(|stream| none.id(stream)), [None, None, None, Some(3), None]);
    }
}
