//! What clients send, on its way to the HTTP/2 library: frames are passed on as they are, but header blocks are written
//! anew, so that every `:authority` is one that the library takes.
//!
//! The library refuses a request by a reset (PROTOCOL_ERROR) if its authority could not stand in a URL, and has no
//! setting for that; over unix sockets clients send such ones.

mod hpack;
mod huffman;
mod stream;

pub(super) use stream::Rewritten;

use self::hpack::Decoder;
use crate::bounds::{HEADER_BLOCK, HEADER_FRAMES};

/// What begins a connection.
const PREFACE: usize = 24;
const HEAD: usize = 9;
/// The largest payload that the library takes.
const PAYLOAD: usize = 16 << 10;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// Why a connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// A block that can't be decompressed: what follows it can't either.
    Compression,
    /// Frames that may not follow each other, or more of them than any request needs.
    Protocol,
}

impl Violation {
    /// A frame at which the library ends the connection with the code that the client deserves.
    fn frame(self) -> &'static [u8] {
        match self {
            // The field with index 0.
            Self::Compression => &[0, 0, 1, HEADERS, END_HEADERS, 0, 0, 0, 1, 0x80],
            // Data of no stream.
            Self::Protocol => &[0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// Where in the client's bytes we are.
#[derive(Debug)]
enum FrameState {
    /// So many bytes of the preface, or of a frame's payload, are still to be passed on.
    Pass(usize),
    /// A frame's head, as far as it is here.
    Head(Vec<u8>),
    /// The payload of a frame with header fields.
    Fields { head: Head, payload: Vec<u8> },
    /// Nothing more is passed on.
    Broken,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Fields of a request so far.
#[derive(Debug)]
struct Block {
    head: Head,
    fields: Vec<u8>,
    frames: usize,
}

/// Rewrites what one client sends.
#[derive(Debug)]
pub(super) struct Rewriter {
    state: FrameState,
    block: Option<Block>,
    decoder: Decoder,
    greeted: bool,
}

impl Default for Rewriter {
    fn default() -> Self {
        Self { state: FrameState::Pass(PREFACE), block: None, decoder: Decoder::default(), greeted: false }
    }
}

impl Rewriter {
    /// Whether a whole frame's head has come after the preface: whoever is there speaks HTTP/2.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Takes more of what the client sent, and adds to `out` what is to be read instead.
    pub(super) fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            if let Err(violation) = self.step(&mut input, out) {
                out.extend_from_slice(violation.frame());
                self.block = None;
                self.state = FrameState::Broken;
            }
        }
    }

    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        match &mut self.state {
            FrameState::Broken => *input = &[],
            FrameState::Pass(left) => {
                let passed = take(input, *left);
                out.extend_from_slice(passed);
                *left -= passed.len();
                if *left == 0 {
                    self.state = FrameState::Head(Vec::with_capacity(HEAD));
                }
            }
            FrameState::Head(bytes) => {
                bytes.extend_from_slice(take(input, HEAD - bytes.len()));
                if let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes[..] {
                    let length = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
                    let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
                    let head = Head { length, kind, flags, stream };
                    let bytes = std::mem::take(bytes);
                    self.greeted = true;
                    return self.begin(head, &bytes, out);
                }
            }
            FrameState::Fields { head, payload } => {
                payload.extend_from_slice(take(input, head.length - payload.len()));
                if payload.len() == head.length {
                    let (head, payload) = (*head, std::mem::take(payload));
                    self.state = FrameState::Head(Vec::with_capacity(HEAD));
                    return self.add(head, &payload, out);
                }
            }
        }
        Ok(())
    }

    /// A frame begins.
    fn begin(&mut self, head: Head, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let fits = match &self.block {
            Some(block) => head.kind == CONTINUATION && head.stream == block.head.stream,
            None => head.kind != CONTINUATION,
        };
        if !fits {
            return Err(Violation::Protocol);
        }
        // One that is too long the library refuses by its head.
        if matches!(head.kind, HEADERS | CONTINUATION) && head.length <= PAYLOAD {
            self.state = FrameState::Fields { head, payload: Vec::new() };
            if head.length == 0 {
                self.state = FrameState::Head(Vec::with_capacity(HEAD));
                return self.add(head, &[], out);
            }
            return Ok(());
        }
        out.extend_from_slice(bytes);
        self.state =
            if head.length == 0 { FrameState::Head(Vec::with_capacity(HEAD)) } else { FrameState::Pass(head.length) };
        Ok(())
    }

    /// A frame with fields is here.
    fn add(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let fields = if head.kind == HEADERS { without_padding(head.flags, payload)? } else { payload };
        let block = self.block.get_or_insert_with(|| Block { head, fields: Vec::new(), frames: 0 });
        block.fields.extend_from_slice(fields);
        block.frames += 1;
        if block.frames > HEADER_FRAMES || block.fields.len() > HEADER_BLOCK {
            return Err(Violation::Protocol);
        }
        if head.flags & END_HEADERS != 0
            && let Some(block) = self.block.take()
        {
            emit(block.head, &self.decoder.rewrite(&block.fields)?, out);
        }
        Ok(())
    }
}

/// The first bytes of the input, at most so many.
fn take<'i>(input: &mut &'i [u8], most: usize) -> &'i [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

/// The fields within a HEADERS frame. Its priority is nobody's business.
fn without_padding(flags: u8, mut payload: &[u8]) -> Result<&[u8], Violation> {
    let mut padding = 0;
    if flags & PADDED != 0 {
        let (length, rest) = payload.split_first().ok_or(Violation::Protocol)?;
        (padding, payload) = (usize::from(*length), rest);
    }
    if flags & PRIORITY != 0 {
        payload = payload.get(5..).ok_or(Violation::Protocol)?;
    }
    payload.len().checked_sub(padding).and_then(|length| payload.get(..length)).ok_or(Violation::Protocol)
}

/// Writes a request's fields in as many frames as they need.
fn emit(head: Head, fields: &[u8], out: &mut Vec<u8>) {
    let mut chunks = fields.chunks(PAYLOAD).peekable();
    let mut kind = HEADERS;
    // All but padding and priority, which are gone, and the end, which is at another place now.
    let mut flags = head.flags & !(PADDED | PRIORITY | END_HEADERS);
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = if chunks.peek().is_none() { END_HEADERS } else { 0 };
        let [_, length @ ..] = u32::try_from(chunk.len()).unwrap_or_default().to_be_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&[kind, flags | last]);
        out.extend_from_slice(&head.stream.to_be_bytes());
        out.extend_from_slice(chunk);
        (kind, flags) = (CONTINUATION, 0);
        if last != 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
