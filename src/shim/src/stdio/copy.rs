//! Moving bytes: from a container's pipes or terminal into its log, and between terminals and FIFOs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use peapod_sys::sync::lock;
use peapod_sys::watched;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::lines::{LONGEST, Lines};
use super::output::{ContainerOutput, Stream};

/// How many buffers are read from one stream before the other one is looked at.
const READ_BUDGET: usize = 4;

/// Where a terminal's output goes.
pub(crate) enum Sink {
    Output(ContainerOutput),
    Fifo(AsyncFd<OwnedFd>),
    Null,
}

/// Reads stdout and stderr into the output, in the order in which they come, until both have ended.
pub(crate) async fn to_output(
    stdout: Option<AsyncFd<OwnedFd>>,
    stderr: Option<AsyncFd<OwnedFd>>,
    output: ContainerOutput,
) {
    let mut streams = [(stdout, Lines::new("stdout")), (stderr, Lines::new("stderr"))];
    let buffer = Buffer::default();
    loop {
        output.room().await;
        let [(stdout, out_lines), (stderr, err_lines)] = &mut streams;
        tokio::select! {
            more = read(stdout.as_ref(), Stream::Stdout, out_lines, &output, &buffer), if stdout.is_some() => {
                if !more { *stdout = None; }
            }
            more = read(stderr.as_ref(), Stream::Stderr, err_lines, &output, &buffer), if stderr.is_some() => {
                if !more { *stderr = None; }
            }
            else => break,
        }
    }
    output.end();
}

/// The read buffer; there only while there is something to read.
type Buffer = Mutex<Vec<u8>>;

/// Reads what is there; false at the end.
async fn read(
    fd: Option<&AsyncFd<OwnedFd>>,
    stream: Stream,
    lines: &mut Lines,
    output: &ContainerOutput,
    buffer: &Buffer,
) -> bool {
    let Some(fd) = fd else { return false };
    let Ok(mut ready) = fd.readable().await else { return false };
    let mut buffer = lock(buffer);
    buffer.resize(LONGEST, 0);
    for _ in 0..READ_BUDGET {
        match rustix::io::read(fd, buffer.as_mut_slice()) {
            Err(Errno::AGAIN) => {
                ready.clear_ready();
                *buffer = Vec::new();
                return true;
            }
            Err(Errno::INTR) => {}
            // EIO: the last holder of a terminal has closed it.
            Ok(0) | Err(_) => {
                output.finish(lines);
                return false;
            }
            Ok(count) => {
                output.write(stream, lines, &buffer[..count]);
                if output.is_full() {
                    return true;
                }
            }
        }
    }
    true
}

/// Copies a terminal's output until it ends.
pub(crate) async fn from_terminal(terminal: AsyncFd<OwnedFd>, sink: Sink) {
    match sink {
        Sink::Output(output) => to_output(Some(terminal), None, output).await,
        Sink::Fifo(fifo) => copy(&terminal, &fifo).await,
        Sink::Null => read_away(&terminal).await,
    }
}

/// Reads until the end what nobody wants.
pub(crate) async fn discard(output: OwnedFd) {
    if let Ok(output) = watched(output) {
        read_away(&output).await;
    }
}

async fn read_away(output: &AsyncFd<OwnedFd>) {
    let mut buffer = [0; 1024];
    while matches!(read_some(output, &mut buffer).await, Ok(count) if count > 0) {}
}

/// Copies until the end of either side.
pub(crate) async fn copy(from: &AsyncFd<OwnedFd>, to: &AsyncFd<OwnedFd>) {
    copy_telling(from, to, || {}).await;
}

/// The same, and tells whenever something was taken.
pub(crate) async fn copy_telling(from: &AsyncFd<OwnedFd>, to: &AsyncFd<OwnedFd>, taken: impl Fn()) {
    let mut buffer = [0; 4096];
    loop {
        let Ok(count) = read_some(from, &mut buffer).await else { return };
        if count == 0 {
            return;
        }
        let mut bytes = &buffer[..count];
        while !bytes.is_empty() {
            let Ok(written) = write_some(to, bytes).await else { return };
            bytes = &bytes[written..];
            taken();
        }
    }
}

pub(crate) async fn read_some(fd: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = fd.readable().await?;
        match ready.try_io(|fd| rustix::io::read(fd.as_fd(), &mut *buffer).map_err(io::Error::from)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(outcome) => return outcome,
            Err(_would_block) => {}
        }
    }
}

pub(crate) async fn write_all(fd: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[write_some(fd, bytes).await?..];
    }
    Ok(())
}

async fn write_some(fd: &AsyncFd<OwnedFd>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        let mut ready = fd.writable().await?;
        match ready.try_io(|fd| rustix::io::write(fd.as_fd(), bytes).map_err(io::Error::from)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(outcome) => return outcome,
            Err(_would_block) => {}
        }
    }
}
