//! A client that hears what a container writes from now on, and writes to its input.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use peapod_streaming_protocol::{CommandStreams, ToSession};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::{OpenSession, SessionPlace};
use crate::bounds::{LEFT_INPUT, LEFT_INPUT_ALL};
use crate::container::OciContainer;
use crate::container::attach_point::AttachPoint;
use crate::error::Error;
use crate::shim::PodShim;
use crate::stdio::copy;
use crate::stdio::output::{Event, OutputSubscription, Stream};
use crate::tasks;

/// What the master asks for.
pub(crate) struct AttachSessionRequest {
    pub(crate) address: SessionPlace,
    pub(crate) container: String,
    pub(crate) streams: CommandStreams,
    /// The container's input ends with this session's.
    pub(crate) stdin_once: bool,
}

/// What the shim moves between a container and a session.
struct AttachedClient {
    container: Arc<OciContainer>,
    subscription: OutputSubscription,
    stdin: Option<ClientInput>,
    stdout: Option<AsyncFd<OwnedFd>>,
    stderr: Option<AsyncFd<OwnedFd>>,
}

/// From a session's input to a container's.
struct ClientInput {
    from: AsyncFd<OwnedFd>,
    to: AsyncFd<OwnedFd>,
    once: bool,
}

/// The ends of an attachment that the session gets, in the order stdin, stdout, stderr.
#[derive(Default)]
struct FarEnds {
    streams: CommandStreams,
    ends: Vec<OwnedFd>,
}

impl AttachSessionRequest {
    /// Opens the session, which is then served by a task that nobody waits for.
    pub(crate) async fn open(self, shim: Arc<PodShim>) -> Result<(), Error> {
        let container = shim.containers.get(&self.container)?;
        container.check_running()?;
        let (attachment, far) = self.attach(container)?;
        let session = shim.sessions.open(&self.address).await?;
        tasks::spawn(attachment.run(session, far));
        Ok(())
    }

    fn attach(&self, container: Arc<OciContainer>) -> Result<(AttachedClient, FarEnds), Error> {
        let (wanted, tty) = (self.streams, container.uris.terminal);
        let mut far = FarEnds { streams: CommandStreams { tty, ..CommandStreams::default() }, ends: Vec::new() };
        let stdin = match if wanted.stdin { AttachPoint(&container).input()? } else { None } {
            Some(to) => {
                let (read, write) = pipe()?;
                far.add(write, |streams| &mut streams.stdin);
                Some(ClientInput { from: watched(read)?, to: watched(to)?, once: self.stdin_once })
            }
            None => None,
        };
        let mut output = |wanted: bool, which: fn(&mut CommandStreams) -> &mut bool| {
            if !wanted {
                return Ok(None);
            }
            let (read, write) = pipe()?;
            far.add(read, which);
            watched(write).map(Some)
        };
        let stdout = output(wanted.stdout, |streams| &mut streams.stdout)?;
        let stderr = output(wanted.stderr && !tty, |streams| &mut streams.stderr)?;
        let subscription = AttachPoint(&container).subscribe()?;
        Ok((AttachedClient { container, subscription, stdin, stdout, stderr }, far))
    }
}

impl FarEnds {
    fn add(&mut self, end: OwnedFd, which: impl FnOnce(&mut CommandStreams) -> &mut bool) {
        *which(&mut self.streams) = true;
        self.ends.push(end);
    }

    fn ends(&self) -> Vec<BorrowedFd<'_>> {
        self.ends.iter().map(AsFd::as_fd).collect()
    }
}

impl AttachedClient {
    async fn run(self, session: OpenSession, far: FarEnds) {
        let Self { container, subscription, stdin, stdout, stderr } = self;
        if !session.tell(&ToSession::Started { streams: far.streams }, &far.ends()).await {
            return;
        }
        drop(far);
        let (gone, left) = oneshot::channel();
        let fed = tasks::spawn(feed(container.clone(), stdin, left));
        let last = tokio::select! {
            last = forward(subscription, stdout, stderr) => Some(last),
            () = session.until_gone(|(width, height)| {
                // One without a terminal has no size.
                let _ = container.resize("", width.into(), height.into());
            }) => None,
        };
        let _counts = match last {
            Some(last) => session.end(last).await,
            None => session.close(),
        };
        // What the client wrote before it left is the container's, if that takes it.
        drop(gone);
        let _ = fed.await;
    }
}

/// Moves a client's input until it ends, or the container's does, or the container takes nothing of it for a while
/// after the client has left.
async fn feed(container: Arc<OciContainer>, input: Option<ClientInput>, left: oneshot::Receiver<()>) {
    let Some(ClientInput { from, to, once }) = input else { return };
    let (point, taken) = (AttachPoint(&container), Notify::new());
    tokio::select! {
        () = copy::copy_telling(&from, &to, || taken.notify_one()) => {}
        () = point.input_closed() => {}
        () = given_up(left, &taken) => {}
    }
    if once {
        container.close_stdin();
    }
}

/// A container that reads nothing must not keep the session of each client that has written to it; nor one that reads
/// next to nothing.
async fn given_up(left: oneshot::Receiver<()>, taken: &Notify) {
    // Nothing is sent.
    let _ = left.await;
    tokio::select! {
        () = sleep(LEFT_INPUT_ALL) => {}
        () = async { while timeout(LEFT_INPUT, taken.notified()).await.is_ok() {} } => {}
    }
}

/// Passes output on until the container has ended, or the client has not kept up.
async fn forward(
    mut subscription: OutputSubscription,
    mut stdout: Option<AsyncFd<OwnedFd>>,
    mut stderr: Option<AsyncFd<OwnedFd>>,
) -> ToSession {
    loop {
        match subscription.next().await {
            Ok(Some(Event::Bytes { stream, bytes })) => {
                let to = match stream {
                    Stream::Stdout => &mut stdout,
                    Stream::Stderr => &mut stderr,
                };
                // Who has closed one may still read the other.
                if let Some(pipe) = to
                    && copy::write_all(pipe, &bytes).await.is_err()
                {
                    *to = None;
                }
            }
            Ok(Some(Event::OutputEnded)) => (stdout, stderr) = (None, None),
            Ok(Some(Event::Exited(exit))) => return ToSession::Exited { code: exit.code },
            // Nothing comes after the exit.
            Ok(None) => return ToSession::Exited { code: 255 },
            Err(_) => return ToSession::Lagged,
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(Error::errno("make a pipe for", Path::new("a session")))
}

fn watched(end: OwnedFd) -> Result<AsyncFd<OwnedFd>, Error> {
    peapod_sys::watched(end).map_err(Error::io("watch", Path::new("a session's pipe")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// How long a container that takes something in such intervals, so often, is waited for.
    async fn waited(interval: Duration, times: u32) -> Duration {
        let (taken, (gone, left)) = (Notify::new(), oneshot::channel());
        // What was taken before is no matter.
        taken.notify_one();
        sleep(3 * LEFT_INPUT).await;
        drop(gone);
        let began = Instant::now();
        let takes = async {
            for _ in 0..times {
                sleep(interval).await;
                taken.notify_one();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = given_up(left, &taken) => began.elapsed(),
            () = takes => Duration::MAX,
        }
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn input_that_was_left_waits_for_who_reads_it() {
        let about = |time: Duration| time..=time + Duration::from_millis(10);
        assert!(about(LEFT_INPUT).contains(&waited(LEFT_INPUT, 0).await));
        assert!(about(LEFT_INPUT / 2 * 3 + LEFT_INPUT).contains(&waited(LEFT_INPUT / 2, 3).await));
        assert!(about(LEFT_INPUT_ALL).contains(&waited(LEFT_INPUT / 2, 1000).await));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_taken_is_told() {
        let ends = || pipe().map(|(read, write)| (watched(read).unwrap(), watched(write).unwrap())).unwrap();
        let ((from, near), (far, to), taken) = (ends(), ends(), Notify::new());
        copy::write_all(&near, b"abc").await.unwrap();
        let mut bytes = [0; 4];
        tokio::select! {
            () = copy::copy_telling(&from, &to, || taken.notify_one()) => panic!("the input has ended"),
            () = taken.notified() => {}
        }
        assert_eq!(copy::read_some(&far, &mut bytes).await.unwrap(), 3);
    }
}
