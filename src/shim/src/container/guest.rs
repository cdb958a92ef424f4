//! A container in a sandbox of its runtime's, such as gVisor's: none of its processes is one of the node's. It gets
//! signals by the runtime's command line, one after the other, and a call of the runtime waits for its end.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peapod_sys::sync::lock;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;

use crate::error::Error;
use crate::reaper::ExitStatus;
use crate::runtime::{GuestProcess, GuestSignal, Runtime, RuntimeError, Target};
use crate::{clock, log, proc, tasks};

/// KILL.
const SIGKILL: i32 = libc::SIGKILL;
/// Signals that wait for those before them.
const SIGNALS: usize = 64;
/// How often an end is asked for again whose call was killed while the sandbox lives, and after what pause.
const TRIES: usize = 5;
const AGAIN: Duration = Duration::from_secs(1);

/// What is held of such a container.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Those of its process, until it is started.
    streams: Mutex<Option<[Stdio; 3]>>,
    signals: mpsc::Sender<GuestSignal>,
    end: Arc<GuestEnd>,
}

/// Where its end is told, once.
#[derive(Debug)]
struct GuestEnd(Mutex<Option<oneshot::Sender<ExitStatus>>>);

/// Whom the runtime is asked about.
#[derive(Clone, Debug)]
pub(crate) struct GuestName {
    pub(crate) id: String,
    pub(crate) bundle: std::path::PathBuf,
    pub(crate) runtime: Runtime,
    /// The process of the sandbox.
    pub(crate) sandbox: u32,
}

impl Guest {
    /// Of a created container, with its end.
    pub(super) fn new(name: &GuestName, streams: [Stdio; 3]) -> (Self, oneshot::Receiver<ExitStatus>) {
        let (signals, waiting) = mpsc::channel(SIGNALS);
        let (sender, ended) = oneshot::channel();
        tasks::spawn(send(name.clone(), waiting));
        let end = Arc::new(GuestEnd(Mutex::new(Some(sender))));
        (Self { streams: Mutex::new(Some(streams)), signals, end }, ended)
    }

    /// Starts its process, and waits for the end from then on.
    pub(super) async fn start(&self, name: GuestName, interrupt: &Notify) -> Result<(), RuntimeError> {
        let streams = lock(&self.streams).take();
        let streams = streams.unwrap_or_else(|| [Stdio::null(), Stdio::null(), Stdio::null()]);
        let target = Target { id: &name.id, bundle: &name.bundle, interrupt };
        name.runtime.start_guest(target, streams).await?;
        tasks::spawn(see_end(name, Arc::clone(&self.end)));
        Ok(())
    }

    /// Has a signal sent. Nobody waits for that.
    pub(super) fn signal(&self, signal: i32, whom: GuestProcess) -> Result<(), Error> {
        if signal == SIGKILL && whom == GuestProcess::First && lock(&self.streams).is_some() {
            self.end.tell(killed());
            return Ok(());
        }
        match self.signals.try_send(GuestSignal { signal, whom }) {
            // A KILL is among those that wait, or comes again.
            Err(mpsc::error::TrySendError::Full(_)) if signal != SIGKILL => {
                Err(Error::Full { what: "signals that wait", limit: SIGNALS })
            }
            _ => Ok(()),
        }
    }

    /// KILL for all of it. One that was never started has ended with that.
    pub(super) fn kill_all(&self) -> Result<(), Error> {
        if lock(&self.streams).is_some() {
            self.end.tell(killed());
            return Ok(());
        }
        // One that waits already is enough.
        if self.signals.capacity() == SIGNALS { self.signal(SIGKILL, GuestProcess::All) } else { Ok(()) }
    }

    /// Its start has failed: there is nothing to wait for.
    pub(super) fn never_started(&self) {
        self.end.tell(killed());
    }
}

impl GuestEnd {
    /// The first one counts.
    fn tell(&self, ended: ExitStatus) {
        if let Some(sender) = lock(&self.0).take() {
            // Nobody may wait for it.
            let _ = sender.send(ended);
        }
    }

    fn is_told(&self) -> bool {
        lock(&self.0).is_none()
    }
}

/// As one that KILL has ended.
fn killed() -> ExitStatus {
    let signal = SIGKILL.unsigned_abs();
    ExitStatus { code: 128 + signal, signal: Some(signal), at: clock::now_ns() }
}

/// Sends signals in their order until the container is forgotten.
async fn send(name: GuestName, mut waiting: mpsc::Receiver<GuestSignal>) {
    let uninterrupted = Notify::new();
    while let Some(signal) = waiting.recv().await {
        let target = Target { id: &name.id, bundle: &name.bundle, interrupt: &uninterrupted };
        if let Err(error) = name.runtime.signal_guest(target, signal).await {
            log::info("a signal was not heard", &[("container", &name.id), ("error", &error)]);
        }
    }
}

/// Waits for the end of a started container. With its sandbox it has ended as well.
async fn see_end(name: GuestName, end: Arc<GuestEnd>) {
    let uninterrupted = Notify::new();
    let sandbox = proc::open(name.sandbox);
    for _ in 0..TRIES {
        let target = Target { id: &name.id, bundle: &name.bundle, interrupt: &uninterrupted };
        match name.runtime.wait_guest(target).await {
            Ok(code) => return end.tell(ExitStatus { code, signal: None, at: clock::now_ns() }),
            Err(error) => log::warn("a container's end is not told", &[("container", &name.id), ("error", &error)]),
        }
        // Signal 0 only asks.
        let lives = sandbox.as_ref().is_ok_and(|sandbox| peapod_sys::send_signal(sandbox, 0).is_ok());
        if !lives || end.is_told() {
            break;
        }
        sleep(AGAIN).await;
    }
    end.tell(killed());
}
