//! What streams cost: a command's begin and end, its output, a forwarded port, and memory of many that are open.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{StreamExt, TryStreamExt};
use tokio::task::spawn_blocking;

use crate::cri::Cri;
use crate::measure::{Plan, WORKERS, remove_all};
use crate::processes;
use crate::results::{Results, number};
use crate::side::Side;
use crate::stream::Stream;

/// How much a command writes.
const OUTPUT: usize = 64 << 20;
/// How much comes through a forwarded port.
const FORWARDED: usize = 512 << 20;
/// What is read at once.
const BLOCK: usize = 256 << 10;
/// Streams of a pod: a shim has so many at most, and a few.
const OF_POD: usize = 250;
/// A program that writes [`OUTPUT`], here and in containers.
const WRITER: [&str; 4] = ["dd", "if=/dev/zero", "bs=64k", "count=1024"];

/// A trivial command, from its request to its exit status.
pub(crate) async fn command(cri: &Cri, container: &str) -> Result<Duration> {
    let began = Instant::now();
    Stream::open(&cri.exec_url(container, &["true"]).await?).await?.success().await?;
    Ok(began.elapsed())
}

/// Output and a forwarded port, each beside what they are made of.
pub(crate) async fn speed(cri: &Cri, plan: &Plan, results: &mut Results) -> Result<()> {
    let pod = cri.run_on_node("streams").await?;
    let container = cri.create(&pod, false).await?;
    cri.start(&container).await?;
    for _ in 0..plan.cycles {
        results.time("64 MiB by a pipe", spawn_blocking(pipe).await.context("wait for a thread")??);
        let stream = Stream::open(&cri.exec_url(&container, &WRITER).await?).await?;
        results.time("64 MiB by exec", spawn_blocking(|| output(stream)).await.context("wait for a thread")??);
    }
    for _ in 0..plan.cycles.div_ceil(3) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let direct = move || {
            let begin = TcpStream::connect(address).context("connect").map(|tcp| (tcp, 0));
            forwarded(&listener, begin?).map(|took| (took, listener))
        };
        let (took, listener) = spawn_blocking(direct).await.context("wait for a thread")??;
        results.time("512 MiB by loopback", took);
        let stream = Stream::open(&cri.forward_url(&pod, address.port()).await?).await?;
        let forward = move || forwarded(&listener, stream.into_blocking()?);
        results.time("512 MiB by port-forward", spawn_blocking(forward).await.context("wait for a thread")??);
    }
    remove_all(cri, vec![pod], 1).await
}

/// From the first byte to the last, of a process here.
fn pipe() -> Result<Duration> {
    let [program, arguments @ ..] = WRITER;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context("start dd")?;
    let took = read(child.stdout.take().context("dd has no output")?, 0, OUTPUT);
    child.wait().context("wait for dd")?;
    took
}

/// The same of a command's stream, whose frames are not looked at: that is the client's matter.
fn output(stream: Stream) -> Result<Duration> {
    let (tcp, before) = stream.into_blocking()?;
    read(tcp, before, OUTPUT)
}

/// From the pod's first byte to its last.
fn forwarded(listener: &TcpListener, (tcp, before): (TcpStream, usize)) -> Result<Duration> {
    let (mut pod, _) = listener.accept().context("accept")?;
    let writer = std::thread::spawn(move || {
        let block = vec![7; BLOCK];
        // The client leaves before the last of it, as heads come with it.
        let _ = (0..FORWARDED / BLOCK).try_for_each(|_| pod.write_all(&block));
        pod
    });
    let took = read(tcp, before, FORWARDED)?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
    Ok(took)
}

fn read(mut from: impl Read, before: usize, bytes: usize) -> Result<Duration> {
    /// Of what comes before: heads and empty messages.
    const HEADS: usize = 64;
    let mut buffer = vec![0; BLOCK];
    let (mut count, mut began) = (before, None);
    while count < bytes {
        let more = from.read(&mut buffer).context("read")?;
        ensure!(more > 0, "the end came after {count} bytes of {bytes}");
        count += more;
        if began.is_none() && count > HEADS {
            began = Some(Instant::now());
        }
    }
    Ok(began.map(|began| began.elapsed()).unwrap_or_default())
}

/// What many streams of commands that say nothing more make all processes of a side grow by.
pub(crate) async fn many(cri: &Cri, plan: &Plan, side: &Side, results: &mut Results) -> Result<()> {
    let daemon = side.daemon_pid().await?;
    let mut pods = Vec::new();
    let mut containers = Vec::new();
    for index in 0..plan.streams.div_ceil(OF_POD) {
        let pod = cri.run_pod(&format!("streams-{index}"), false).await?;
        let container = cri.create(&pod, false).await?;
        cri.start(&container).await?;
        // What a first command needs is not what each costs.
        command(cri, &container).await?;
        pods.push(pod);
        containers.push(container);
    }
    tokio::time::sleep(plan.settle).await;
    let before = own(daemon)?;
    let began = Instant::now();
    let open = |index: usize| {
        let container = &containers[index / OF_POD];
        async move {
            let mut stream =
                Stream::open(&cri.exec_url(container, &["sh", "-c", "echo; exec sleep 1000000"]).await?).await?;
            stream.said().await?;
            anyhow::Ok(stream)
        }
    };
    let streams: Vec<_> =
        futures_util::stream::iter(0..plan.streams).map(open).buffer_unordered(WORKERS).try_collect().await?;
    results.time("all streams open", began.elapsed());
    tokio::time::sleep(plan.settle).await;
    let grown = own(daemon)?.saturating_sub(before);
    let grown = u32::try_from(grown).map_or(f64::INFINITY, f64::from);
    results.streams = streams.len();
    results.stream_kib = Some(grown / number(streams.len().max(1)));
    drop(streams);
    remove_all(cri, pods, WORKERS).await
}

/// KiB of what is the runtime's own.
fn own(daemon: u32) -> Result<u64> {
    let memory = processes::memory(daemon)?;
    Ok(["daemon", "streaming server", "shim"].iter().filter_map(|kind| Some(memory.get(kind)?.pss)).sum())
}
