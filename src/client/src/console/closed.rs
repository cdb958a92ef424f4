//! When it is of no use to write any more.

use std::io;

/// Whether nobody reads any more: of a terminal that was hung up the kernel says something else than of a pipe.
pub(crate) fn is_closed(error: &io::Error, is_terminal: bool) -> bool {
    let hung_up = is_terminal && error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    error.kind() == io::ErrorKind::BrokenPipe || hung_up
}
