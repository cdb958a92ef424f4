use std::io;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::*;

/// Takes lines, and fails in between as it was told to.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    text: Vec<u8>,
    /// Those that are still to come; the last one is the next.
    errors: Vec<Option<Errno>>,
}

impl Paper {
    fn failing(errors: &[Option<Errno>]) -> Self {
        let errors = errors.iter().rev().copied().collect();
        Self(Arc::new(Mutex::new(Written { errors, ..Written::default() })))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().text.clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut paper = self.0.lock().unwrap();
        if let Some(Some(errno)) = paper.errors.pop() {
            return Err(errno.into());
        }
        paper.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn outputs(out: &Paper, err: &Paper, is_terminal: bool) -> Outputs {
    let target = |paper: &Paper| ConsoleStream::new(Box::new(paper.clone()), is_terminal, false);
    Outputs { out: target(out), err: target(err), screen: None, waiting: None }
}

/// Whether each line found a reader, and how many were lost.
fn written(outputs: Outputs, lines: &[&str]) -> (Vec<bool>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (console, writer) = Console::to(0, outputs).unwrap();
    let found = runtime.block_on(async {
        let mut found = Vec::new();
        for line in lines {
            found.push(console.line(0, "a", OutputStream::Out, line.as_bytes().to_vec()).await);
            // Each is written before the next one comes, if anybody writes.
            while !console.room.is_empty() && !console.lines.is_closed() {
                tokio::task::yield_now().await;
            }
        }
        found
    });
    drop(console);
    (found, writer.finish())
}

#[test]
fn a_full_disk_leaves_lines_out_and_ends_nothing() {
    let full = Some(Errno::NOSPC);
    let (out, err) = (Paper::failing(&[None, full, full, None, None, full]), Paper::default());
    let (found, lost) = written(outputs(&out, &err, false), &["1", "2", "3", "4", "5", "6"]);
    assert_eq!((found, lost), (vec![true; 6], 3));
    assert_eq!(out.text(), "a      | 1\na      | 4\na      | 5\n");
    let told = err.text();
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(told.contains("standard output: lines are left out until they can be written: No space"), "{told}");
    assert!(
        told.contains("2 lines are left out here")
            && told.ends_with("1 line is left out here: No space left on device (os error 28)\n"),
        "{told}"
    );
}

#[test]
fn without_a_reader_nothing_more_is_written() {
    for (error, is_terminal, ends) in
        [(Errno::PIPE, false, true), (Errno::PIPE, true, true), (Errno::IO, true, true), (Errno::IO, false, false)]
    {
        let (out, err) = (Paper::failing(&[Some(error)]), Paper::default());
        written(outputs(&out, &err, is_terminal), &["1", "2"]);
        assert_eq!(out.text().is_empty(), ends, "{error} {is_terminal}");
    }
}

#[test]
fn a_terminal_gets_no_control_characters_and_a_file_gets_all() {
    for (is_terminal, expected) in [(true, "a      | \\u{1b}[A"), (false, "a      | \x1b[A")] {
        let out = Paper::default();
        let mut outputs = outputs(&out, &Paper::default(), is_terminal);
        outputs.out.has_colours = false;
        written(outputs, &["\x1b[A"]);
        assert_eq!(out.text(), format!("{expected}\n"));
    }
}
