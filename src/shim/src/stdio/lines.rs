//! Bytes into lines of the CRI log format: `<time> <stream> P|F <content>`.

/// A longer line is written in parts.
pub(crate) const LONGEST: usize = 16 * 1024;

/// Takes the output of one stream apart.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: &'static str,
    pending: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(stream: &'static str) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// Appends to `out` what became whole by `bytes`; answers how many lines.
    pub(crate) fn push(&mut self, mut bytes: &[u8], time: &str, out: &mut Vec<u8>) -> u64 {
        let mut lines = 0;
        while !bytes.is_empty() {
            let space = LONGEST - self.pending.len();
            let part = &bytes[..space.min(bytes.len())];
            if let Some(end) = part.iter().position(|byte| *byte == b'\n') {
                self.write(&part[..end], b'F', time, out);
                bytes = &bytes[end + 1..];
                lines += 1;
            } else if part.len() == space && bytes.get(space) != Some(&b'\n') {
                self.write(part, b'P', time, out);
                bytes = &bytes[space..];
                lines += 1;
            } else if part.len() == space {
                // The line is just as long as a part may be: it ends here.
                self.write(part, b'F', time, out);
                bytes = &bytes[space + 1..];
                lines += 1;
            } else {
                self.pending.extend_from_slice(part);
                break;
            }
        }
        lines
    }

    /// Appends a last line that has no end.
    pub(crate) fn finish(&mut self, time: &str, out: &mut Vec<u8>) -> u64 {
        if self.pending.is_empty() {
            return 0;
        }
        self.write(&[], b'P', time, out);
        1
    }

    fn write(&mut self, rest: &[u8], tag: u8, time: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(time.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.stream.as_bytes());
        out.extend_from_slice(&[b' ', tag, b' ']);
        out.extend_from_slice(&self.pending);
        out.extend_from_slice(rest);
        out.push(b'\n');
        // Idle containers hold no buffers.
        self.pending = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&[u8]], wanted: &[(u8, usize)]) {
        let mut lines = Lines::new("stdout");
        let mut out = Vec::new();
        let mut count = 0;
        for chunk in chunks {
            count += lines.push(chunk, "T", &mut out);
        }
        count += lines.finish("T", &mut out);
        let got: Vec<(u8, usize)> = out
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| {
                let rest = line.strip_prefix(b"T stdout ").unwrap();
                (rest[0], rest.len() - 3)
            })
            .collect();
        assert_eq!(got, wanted);
        assert_eq!(count, wanted.len() as u64);
    }

    #[test]
    fn splits_lines() {
        check(&[b"one\ntwo\n"], &[(b'F', 3), (b'F', 3)]);
        check(&[b"on", b"e\n", b"\n"], &[(b'F', 3), (b'F', 0)]);
        check(&[b"no end"], &[(b'P', 6)]);
        check(&[], &[]);
    }

    #[test]
    fn splits_long_lines() {
        let long = vec![b'x'; LONGEST + 5];
        check(&[&long, b"\n"], &[(b'P', LONGEST), (b'F', 5)]);
        let mut exact = vec![b'x'; LONGEST];
        check(&[&exact], &[(b'P', LONGEST)]);
        exact.push(b'\n');
        check(&[&exact], &[(b'F', LONGEST)]);
        check(&[&long[..LONGEST - 1], b"y\n"], &[(b'F', LONGEST)]);
    }
}
