//! What readers of a container's output hear, and that its log does not care.

use std::os::fd::OwnedFd;
use std::time::Duration;

use peapod_sys::watched;
use rustix::pipe::{PipeFlags, pipe_with};

use super::*;
use crate::bounds::{READER_RATE, READERS_PATIENCE};
use crate::stdio::copy;

const EXIT: Exit = Exit { code: 3, signal: None, oom: false, started_at: 1, finished_at: 2 };

fn output() -> (ContainerOutput, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let log = CriLog::open(&dir.path().join("0.log"), 0).unwrap();
    (ContainerOutput::with_log(log), dir)
}

/// Lines of the log without their times.
fn log(dir: &tempfile::TempDir) -> Vec<String> {
    let text = std::fs::read_to_string(dir.path().join("0.log")).unwrap();
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

fn bytes(stream: Stream, text: &str) -> Event {
    Event::Bytes { stream, bytes: text.as_bytes().into() }
}

fn keeps_up(subscription: &OutputSubscription) -> bool {
    matches!(*subscription.queue.state.lock().unwrap(), Waiting::Events { .. })
}

fn waiting(subscription: &OutputSubscription) -> usize {
    match &*subscription.queue.state.lock().unwrap() {
        Waiting::Events { bytes, .. } => *bytes,
        Waiting::Lagged | Waiting::Left => 0,
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_reader_hears_what_comes_and_the_end() {
    let (output, dir) = output();
    let (mut out, mut err) = (Lines::new("stdout"), Lines::new("stderr"));
    output.write(Stream::Stdout, &mut out, b"before\n");
    let mut reader = output.subscribe().unwrap();
    output.write(Stream::Stdout, &mut out, b"one\ntw");
    output.write(Stream::Stderr, &mut err, b"bad\n");
    output.finish(&mut out);
    output.end();
    output.exited(EXIT);
    for wanted in
        [bytes(Stream::Stdout, "one\ntw"), bytes(Stream::Stderr, "bad\n"), Event::OutputEnded, Event::Exited(EXIT)]
    {
        assert_eq!(reader.next().await, Ok(Some(wanted)));
    }
    assert_eq!(reader.next().await, Ok(None));
    assert_eq!(log(&dir), ["stdout F before", "stdout F one", "stderr F bad", "stdout P tw"]);
    // One that comes too late hears the end at once.
    let mut late = output.subscribe().unwrap();
    assert_eq!(late.next().await, Ok(Some(Event::OutputEnded)));
    assert_eq!(late.next().await, Ok(Some(Event::Exited(EXIT))));
    assert_eq!(late.next().await, Ok(None));
}

#[tokio::test(flavor = "current_thread")]
async fn a_reader_that_does_not_keep_up_is_dropped_and_told() {
    let (output, dir) = output();
    let mut lines = Lines::new("stdout");
    let (mut slow, mut quick) = (output.subscribe().unwrap(), output.subscribe().unwrap());
    let line = [b"x".repeat(1000), b"\n".to_vec()].concat();
    let mut heard = 0;
    for _ in 0..1000 {
        output.write(Stream::Stdout, &mut lines, &line);
        if let Ok(Some(Event::Bytes { bytes, .. })) = quick.next().await {
            heard += bytes.len();
        }
        assert!(waiting(&slow) <= SUBSCRIBER_BYTES);
    }
    assert_eq!(heard, 1000 * line.len());
    let error = slow.next().await.unwrap_err();
    assert!(error.to_string().contains("did not keep up"), "{error}");
    assert_eq!(output.lock().subscribers.len(), 1);
    output.exited(EXIT);
    assert_eq!(slow.next().await, Err(error));
    assert_eq!(log(&dir).len(), 1000, "the log has all");
}

#[tokio::test(flavor = "current_thread")]
async fn many_small_writes_are_bounded_too() {
    let (output, _dir) = output();
    let mut lines = Lines::new("stdout");
    let mut reader = output.subscribe().unwrap();
    for _ in 0..SUBSCRIBER_BYTES / OVERHEAD {
        output.write(Stream::Stdout, &mut lines, b"x");
    }
    assert!(reader.next().await.is_err());
}

#[test]
fn readers_are_few_and_may_leave() {
    let (output, _dir) = output();
    let readers: Vec<_> = (0..SUBSCRIBERS).map(|_| output.subscribe().unwrap()).collect();
    assert!(matches!(output.subscribe(), Err(Error::Full { .. })));
    drop(readers);
    output.write(Stream::Stdout, &mut Lines::new("stdout"), b"one\n");
    assert!(output.lock().subscribers.is_empty());
    output.subscribe().unwrap();
}

/// A process whose output is pumped as a container's is, while one reads along who does not read at all.
#[tokio::test(flavor = "current_thread")]
async fn a_process_is_not_held_up_by_a_reader() {
    let (output, dir) = output();
    let mut lazy = output.subscribe().unwrap();
    let mut reader = output.subscribe().unwrap();
    let (ours, theirs): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", "i=0; while [ $i -lt 20000 ]; do echo line number $i; i=$((i+1)); done"])
        .stdout(theirs)
        .spawn()
        .unwrap();
    let pump = tokio::spawn(copy::to_output(Some(watched(ours).unwrap()), None, output.clone()));
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match reader.next().await.unwrap() {
                Some(Event::Bytes { bytes, .. }) => heard.extend_from_slice(&bytes),
                Some(Event::OutputEnded) => return,
                other => panic!("{other:?}"),
            }
        }
    });
    ended.await.unwrap();
    pump.await.unwrap();
    assert!(child.wait().unwrap().success());
    let written: String = (0..20_000).map(|number| format!("line number {number}\n")).collect();
    assert!(heard == written.as_bytes(), "what was heard differs from what was written");
    assert_eq!(log(&dir).len(), 20_000);
    assert!(lazy.next().await.is_err());
}

/// A container that writes for as long as nobody holds it up.
fn write_until_full(output: &ContainerOutput, lines: &mut Lines) {
    while !output.is_full() {
        output.write(Stream::Stdout, lines, &[b'x'; 1000]);
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn many_hold_it_up_for_no_longer_than_one() {
    let (output, _dir) = output();
    let _lazy: Vec<_> = (0..SUBSCRIBERS).map(|_| output.subscribe().unwrap()).collect();
    write_until_full(&output, &mut Lines::new("stdout"));
    let began = Instant::now();
    output.room().await;
    assert!(began.elapsed() < 2 * SUBSCRIBER_PATIENCE, "{:?}", began.elapsed());
    assert!(!output.is_full());
}

/// Each is dropped in time, and comes again.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn who_comes_again_and_again_does_not_hold_it_up_for_ever() {
    let (output, _dir) = output();
    let mut lines = Lines::new("stdout");
    let began = Instant::now();
    for _ in 0..100 {
        let mut lazy = output.subscribe().unwrap();
        while keeps_up(&lazy) {
            output.write(Stream::Stdout, &mut lines, &[b'x'; 1000]);
            output.room().await;
        }
        assert!(lazy.next().await.is_err());
    }
    let held = began.elapsed();
    assert!(held >= READERS_PATIENCE && held < 2 * READERS_PATIENCE, "{held:?}");
}

/// One that takes a little, each time just before it would be dropped.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn who_reads_slowly_does_not_hold_it_up_for_ever() {
    let (output, _dir) = output();
    let mut reader = output.subscribe().unwrap();
    let trickle = tokio::spawn(async move {
        while reader.next().await.is_ok() {
            sleep(SUBSCRIBER_PATIENCE * 4 / 5).await;
        }
    });
    let (mut lines, began) = (Lines::new("stdout"), Instant::now());
    while !output.lock().subscribers.is_empty() {
        output.write(Stream::Stdout, &mut lines, &[b'x'; 1000]);
        output.room().await;
    }
    let held = began.elapsed();
    assert!(held >= READERS_PATIENCE && held < 2 * READERS_PATIENCE, "{held:?}");
    trickle.abort();
}

/// One that takes what a network takes.
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn who_keeps_on_reading_is_waited_for() {
    let (output, _dir) = output();
    let mut reader = output.subscribe().unwrap();
    let reading = tokio::spawn(async move {
        while let Event::Bytes { bytes, .. } = reader.next().await.unwrap().unwrap() {
            sleep(Duration::from_secs(1) * u32::try_from(bytes.len()).unwrap() / READER_RATE).await;
        }
    });
    let (mut lines, began) = (Lines::new("stdout"), Instant::now());
    while began.elapsed() < 5 * READERS_PATIENCE {
        output.write(Stream::Stdout, &mut lines, &[b'x'; 30_000]);
        output.room().await;
    }
    output.end();
    reading.await.unwrap();
}

/// The same where the reader is only slower than the process.
#[tokio::test(flavor = "current_thread")]
async fn a_slow_reader_hears_all() {
    let (output, _dir) = output();
    let mut reader = output.subscribe().unwrap();
    let (ours, theirs): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let script = "yes | head -c 4194304";
    let mut child = std::process::Command::new("/bin/sh").args(["-c", script]).stdout(theirs).spawn().unwrap();
    let pump = tokio::spawn(copy::to_output(Some(watched(ours).unwrap()), None, output.clone()));
    let (mut heard, mut most) = (0, 0);
    while let Some(Event::Bytes { bytes, .. }) = reader.next().await.unwrap() {
        heard += bytes.len();
        most = most.max(waiting(&reader));
        yield_now().await;
    }
    pump.await.unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(heard, 4 << 20);
    assert!(most > SUBSCRIBER_FULL / 2 && most <= SUBSCRIBER_BYTES, "{most}");
}

#[tokio::test(flavor = "current_thread")]
async fn nobody_is_waited_for_once_the_container_has_ended() {
    let (output, _dir) = output();
    let reader = output.subscribe().unwrap();
    let mut lines = Lines::new("stdout");
    while !output.is_full() {
        output.write(Stream::Stdout, &mut lines, &[b'x'; 1000]);
    }
    let waiting = tokio::spawn({
        let output = output.clone();
        async move { output.room().await }
    });
    yield_now().await;
    assert!(!waiting.is_finished());
    let started = std::time::Instant::now();
    output.hurry();
    waiting.await.unwrap();
    assert!(started.elapsed() < SUBSCRIBER_PATIENCE / 2);
    // One that leaves is no more waited for.
    drop(reader);
    assert!(!output.is_full());
}
