//! What comes of a command in a session: pieces of its output, and then what is said about its end.

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

use super::channel::{ChannelSource, collect};
use super::end::is_whole;
use super::error::StreamError;
use crate::bounds::SESSION_END;
use crate::console::OutputStream;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;

/// The reading side of such a session.
pub(super) struct CommandSource {
    reader: ChannelSource,
    said: Vec<u8>,
    /// Until when more may come. None before all is said: a server that stays after that is not waited for long.
    farewell: Option<Instant>,
    /// When the last piece was handed on.
    handed_on: Instant,
}

impl CommandSource {
    pub(super) fn new(reader: ChannelSource) -> Self {
        Self { reader, said: Vec::new(), farewell: None, handed_on: Instant::now() }
    }

    /// The next piece of the command's output, which is not empty; nothing at the session's end.
    ///
    /// # Errors
    /// If the connection breaks off before all is said.
    pub(super) async fn next(&mut self) -> Result<Option<(OutputStream, Bytes)>, StreamError> {
        // What was waited for who takes the output is not the server's time.
        let taken = self.handed_on.elapsed();
        self.farewell = self.farewell.map(|until| until + taken);
        loop {
            let message = match self.farewell {
                None => self.reader.next().await,
                Some(until) => self.reader.next_until(until).await,
            };
            let (channel, payload) = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(None),
                // All is said: how the connection ends is of no matter.
                Err(error) if self.said.is_empty() || !error.is_broken() => return Err(error),
                Err(_) => return Ok(None),
            };
            let stream = match channel {
                STDOUT => OutputStream::Out,
                STDERR => OutputStream::Err,
                ERROR => {
                    collect(&mut self.said, &payload);
                    if self.farewell.is_none() && is_whole(&self.said) {
                        self.farewell = Some(Instant::now() + SESSION_END);
                    }
                    continue;
                }
                _ => continue,
            };
            if !payload.is_empty() {
                self.handed_on = Instant::now();
                return Ok(Some((stream, payload)));
            }
        }
    }

    /// What was said about the end so far.
    pub(super) fn said(self) -> Vec<u8> {
        self.said
    }
}
