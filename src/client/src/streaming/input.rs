//! Standard input, read by a thread: it may be anything, and a terminal's other holders must not find it changed.

use std::io::{self, Read as _};

use tokio::sync::mpsc;

use super::error::StreamError;
use crate::bounds::PIECES;

/// As much as is read at once.
const PIECE: usize = 32 << 10;

/// Begins to read; the channel ends with the input. Nobody waits for the thread, which may be reading for ever.
pub(crate) fn standard_input() -> Result<mpsc::Receiver<Vec<u8>>, StreamError> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let read = move || {
        let mut buffer = vec![0; PIECE];
        loop {
            match io::stdin().lock().read(&mut buffer) {
                Ok(0) => return,
                Ok(count) if sender.blocking_send(buffer[..count].to_vec()).is_err() => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal that is gone.
                Err(_) => return,
            }
        }
    };
    let started = std::thread::Builder::new().name("input".to_owned()).spawn(read);
    started.map_err(StreamError::local("can't read standard input"))?;
    Ok(receiver)
}
