//! A container's own task: it waits for the end, kills at the deadline, records, closes the log, tells.

use std::sync::Arc;
use std::time::Duration;

use peapod_shim_protocol::exit::Exit;
use peapod_shim_protocol::extension::Exited;
use peapod_shim_protocol::extension::event::Kind;
use peapod_sys::boottime_ns;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::OciContainer;
use super::oom::Oom;
use super::state::Phase;
use crate::events::Events;
use crate::reaper::ExitStatus;
use crate::{bundle, clock, log, proc};

/// Processes that are not gone so long after KILL are named.
const EMPTY: Duration = Duration::from_secs(5);
/// How long something outside the container may hold its output open.
const DRAIN: Duration = Duration::from_secs(2);
/// The interval between two looks at a group, and two KILLs, at first.
const AGAIN: Duration = Duration::from_millis(5);
/// After so long the group is looked at, and killed, at this interval.
const SLOWLY: Duration = Duration::from_millis(100);
/// The interval once processes were named: one that hangs in the kernel (a dead server's file system) may do so for
/// days.
const SELDOM: Duration = Duration::from_secs(1);

/// What the supervisor owns of a container.
pub(crate) struct Supervised {
    pub(crate) ended: oneshot::Receiver<ExitStatus>,
    pub(crate) oom: Oom,
    /// Reads the output to its end.
    pub(crate) output: Option<JoinHandle<()>>,
    /// Feeds a terminal.
    pub(crate) input: Option<JoinHandle<()>>,
}

pub(crate) async fn run(events: Arc<Events>, container: Arc<OciContainer>, mut supervised: Supervised) {
    let ended = until_ended(&container, supervised.ended, &mut supervised.oom).await;
    supervised.oom.look();
    container.begin_end();
    let killed = left(&container).is_some_and(|left| left.is_zero());
    let started = until_start_has_ended(&container).await;
    empty(&container).await;
    let started_at = started.started_at();
    let exit = Exit {
        code: ended.code,
        signal: ended.signal,
        // What a guest's sandbox lost and outlived is not this one's end.
        oom: (!container.init.is_guest() || ended.signal.is_some())
            && supervised.oom.verdict(container.id(), &ended, killed),
        started_at,
        finished_at: ended.at.max(started_at),
    };
    // Of a start that failed the call's error alone tells.
    let is_news = !matches!(started, Phase::StartFailed { .. });
    if is_news && let Err(error) = bundle::exit(&container.init.bundle, &exit) {
        log::error("a container's end can't be written down", &[("container", &container.id()), ("error", &error)]);
    }
    if let Some(output) = &container.output {
        output.hurry();
    }
    drain(&container, supervised.output).await;
    if let Some(input) = supervised.input {
        input.abort();
    }
    container.state.send_modify(|state| state.exited(exit));
    if let Some(output) = &container.output {
        output.exited(exit);
    }
    if is_news {
        events.push(container.id(), Kind::Exited(exited(&exit)));
    }
}

fn exited(exit: &Exit) -> Exited {
    Exited {
        code: exit.code,
        signal: exit.signal.unwrap_or(0),
        oom: exit.oom,
        started_at: exit.started_at,
        finished_at: exit.finished_at,
        ..Exited::default()
    }
}

/// How long until the KILL.
fn left(container: &OciContainer) -> Option<Duration> {
    let deadline = container.state.borrow().deadline()?;
    let left = deadline.saturating_sub(boottime_ns());
    Some(Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
}

/// What `start` says comes before the end.
async fn until_start_has_ended(container: &OciContainer) -> Phase {
    let mut state = container.state.subscribe();
    // The sender is the container's.
    let _ = state.wait_for(|state| !matches!(state.phase(), Phase::Starting { .. })).await;
    container.phase()
}

/// Waits for the first process; sends KILL at the deadline, and again until it is heard.
async fn until_ended(container: &OciContainer, mut ended: oneshot::Receiver<ExitStatus>, oom: &mut Oom) -> ExitStatus {
    let mut state = container.state.subscribe();
    let lost = || ExitStatus { code: 255, signal: None, at: clock::now_ns() };
    loop {
        state.mark_unchanged();
        let left = left(container);
        let deadline = async {
            match left {
                Some(left) => sleep(left.max(Duration::ZERO)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = &mut ended => return ended.unwrap_or_else(|_| lost()),
            // The sender is the container's.
            _ = state.changed() => {}
            () = oom.note() => {}
            () = deadline => {
                container.interrupt();
                if let Err(error) = container.kill_all() {
                    log::warn("a container can't be killed", &[("container", &container.id()), ("error", &error)]);
                }
                if let Ok(ended) = timeout(SLOWLY, &mut ended).await {
                    return ended.unwrap_or_else(|_| lost());
                }
            }
        }
    }
}

/// Kills what is left and waits until the group is empty, however long that takes: a container has not ended before.
async fn empty(container: &OciContainer) {
    let Some(cgroup) = container.init.cgroup() else { return };
    let start = Instant::now();
    let mut warned = false;
    while !cgroup.is_empty().unwrap_or(true) {
        if let Err(error) = cgroup.kill() {
            log::warn("a container's group can't be killed", &[("container", &container.id()), ("error", &error)]);
        }
        let waited = start.elapsed();
        if waited > EMPTY && !warned {
            warned = true;
            for pid in cgroup.pids().unwrap_or_default() {
                let stuck = proc::wait_channel(pid);
                log::warn("a process won't die", &[("container", &container.id()), ("process", &stuck)]);
            }
        }
        let pause = match waited {
            _ if warned => SELDOM,
            waited if waited > SLOWLY => SLOWLY,
            _ => AGAIN,
        };
        sleep(pause).await;
    }
}

/// Reads the output to its end.
async fn drain(container: &OciContainer, output: Option<JoinHandle<()>>) {
    let Some(mut output) = output else { return };
    if timeout(DRAIN, &mut output).await.is_err() {
        output.abort();
        // An aborted task has ended before anybody is told of the exit.
        let _ = output.await;
        log::warn("something outside holds a container's output open", &[("container", &container.id())]);
    }
}
