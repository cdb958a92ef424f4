//! A reader that has stopped reading for a while, as `less` and Ctrl-S do.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::*;

/// Takes nothing until it is told to, and then all.
#[derive(Clone)]
struct Paused {
    go: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Write for Paused {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(go) = self.go.lock().unwrap().take() {
            let _ = go.recv();
        }
        self.read.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn notes_wait_for_nobody_and_say_what_is_missing() {
    let (go, wait) = mpsc::channel();
    let paused = Paused { go: Arc::new(Mutex::new(Some(wait))), read: Arc::default() };
    let stream = || ConsoleStream::new(Box::new(paused.clone()), false, true);
    let outputs = Outputs { out: stream(), err: stream(), screen: None, waiting: None };
    let (console, writer) = Console::to(6, outputs).unwrap();
    let long = "x".repeat(1000);
    for number in 0..1000 {
        console.note(format!("{number} {long}")).await;
        console.settled(0).await;
    }
    // A container's lines are not lost: whoever prints them waits.
    let one = console.clone();
    let printer = tokio::spawn(async move {
        for number in 0..1000 {
            assert!(one.line(0, "a", OutputStream::Out, format!("line {number}").into_bytes()).await);
        }
    });
    tokio::task::yield_now().await;
    assert!(!printer.is_finished() && console.lines.strong_count() > 1);
    go.send(()).unwrap();
    printer.await.unwrap();
    console.note("the last").await;
    drop(console);
    tokio::task::spawn_blocking(move || writer.finish()).await.unwrap();
    let text = String::from_utf8(paused.read.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("a      | line").count(), 1000);
    let notes = text.matches("xxx |").count() + text.matches(&long).count();
    let left_out: usize = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("peapod | ")?.split_once(" lines of peapod are left out")?.0.parse::<usize>().ok()
        })
        .sum();
    assert_eq!((notes + left_out, text.matches("| the last").count()), (1000, 1), "{notes} and {left_out}");
    assert!((200..1000).contains(&notes), "{notes}");
}
