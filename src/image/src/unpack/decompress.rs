//! Plain, gzip and zstd layers. Which of them one is, its first bytes say: media types in the wild do not always.

use super::error::{ArchiveError, LimitError};
use super::meter::through_reader;
use crate::bounds::{ZSTD_LARGE_WINDOW_LOG, ZSTD_WINDOW_LOG};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Chain, Cursor, Read};
use zstd::zstd_safe::{get_error_name, zstd_sys::ZSTD_ErrorCode};

/// The first bytes, looked at already, and what follows them.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// How much memory a zstd frame may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Usual,
    /// What only a few unpackers may have at a time.
    Large,
}

impl Window {
    fn log(self) -> u32 {
        match self {
            Self::Usual => ZSTD_WINDOW_LOG,
            Self::Large => ZSTD_LARGE_WINDOW_LOG,
        }
    }

    /// An error of the zstd decoder, with the bound if it is about that.
    fn explain(self, error: io::Error) -> io::Error {
        const TOO_LARGE: usize = (ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize).wrapping_neg();
        // The decoder's errors have nothing but a text.
        if error.to_string() == get_error_name(TOO_LARGE) {
            return through_reader(ArchiveError::TooMuch(LimitError::Window(1 << self.log())));
        }
        error
    }
}

/// What comes out of a compressed layer.
pub(super) enum Decompressor<R: BufRead> {
    Plain(Whole<R>),
    Gzip(Box<Members<Whole<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Whole<R>>, Window),
}

impl<R: BufRead> Decompressor<R> {
    pub(super) fn new(mut compressed: R, window: Window) -> io::Result<Self> {
        // As many as the longest mark has. A transfer may bring them one by one.
        let mut first = Vec::new();
        compressed.by_ref().take(6).read_to_end(&mut first)?;
        let format = LayerCompression::of(&first);
        let whole = Cursor::new(first).chain(compressed);
        Ok(match format {
            LayerCompression::Plain => Self::Plain(whole),
            LayerCompression::Gzip => Self::Gzip(Box::new(Members(Some(GzDecoder::new(whole))))),
            LayerCompression::Zstd => {
                // Takes any number of frames one after the other, and passes over skippable ones wherever they are.
                let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
                decoder.window_log_max(window.log())?;
                Self::Zstd(decoder, window)
            }
            LayerCompression::Other(name) => {
                let what = format!(
                    "it is compressed with {name}, which peapod does not read: take gzip, zstd or no compression"
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, what));
            }
        })
    }

    /// Reads what the decompressor left of the compressed bytes: they belong to the blob's digest.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let rest: &mut dyn Read = match self {
            Self::Plain(whole) => whole,
            Self::Gzip(members) => members,
            Self::Zstd(decoder, _) => decoder.get_mut(),
        };
        io::copy(rest, &mut io::sink()).map(drop)
    }
}

impl<R: BufRead> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(whole) => whole.read(buffer),
            Self::Gzip(members) => members.read(buffer),
            Self::Zstd(decoder, window) => decoder.read(buffer).map_err(|error| window.explain(error)),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum LayerCompression {
    Plain,
    Gzip,
    Zstd,
    Other(&'static str),
}

impl LayerCompression {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame: pzstd and seekable formats begin with one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            b"BZh" | [b'B', b'Z', b'h', ..] => Self::Other("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Other("xz"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Other("lz4"),
            _ => Self::Plain,
        }
    }
}

/// Whether a layer or an archive that begins so is not compressed.
pub(crate) fn is_plain(first: &[u8]) -> bool {
    LayerCompression::of(first) == LayerCompression::Plain
}

/// Gzip members one after the other, as one stream, and NULs behind the last one: gzip(1) ignores these, which tapes
/// and some builders leave. Whatever else is there is refused, as by Go.
pub(super) struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.0 {
            let count = member.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let rest = self.0.take().map(GzDecoder::into_inner);
            self.0 = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut rest: R) -> io::Result<Option<GzDecoder<R>>> {
    let mut padded = false;
    loop {
        let seen = rest.fill_buf()?;
        let Some(other) = seen.iter().position(|byte| *byte != 0) else {
            let count = seen.len();
            if count == 0 {
                return Ok(None);
            }
            padded = true;
            rest.consume(count);
            continue;
        };
        if padded || other > 0 || seen.first() != Some(&0x1f) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "something that is not gzip follows its gzip data"));
        }
        return Ok(Some(GzDecoder::new(rest)));
    }
}

#[cfg(test)]
mod tests {
    use super::{Decompressor, Window};
    use std::io::{self, BufReader, Read, Write};

    /// Brings one byte at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(layer: &[u8]) -> Result<String, String> {
        read_within(layer, Window::Usual)
    }

    fn read_within(layer: &[u8], window: Window) -> Result<String, String> {
        let mut text = String::new();
        let outcome = Decompressor::new(BufReader::new(Trickle(layer)), window).and_then(|mut decompressor| {
            decompressor.read_to_string(&mut text)?;
            decompressor.finish()
        });
        outcome.map(|()| text).map_err(|error| error.to_string())
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 1).unwrap()
    }

    const SKIPPABLE: &[u8] = b"\x53\x2a\x4d\x18\x03\0\0\0abc";

    #[test]
    fn streams_in_several_parts_are_read_whole() {
        for (what, layer) in [
            ("plain", b"one two".to_vec()),
            ("gzip", gzip("one two")),
            ("gzip members", [gzip("one "), gzip(""), gzip("two")].concat()),
            ("gzip and NULs", [gzip("one two"), vec![0; 512]].concat()),
            ("members and NULs", [gzip("one "), gzip("two"), vec![0; 70_000]].concat()),
            ("zstd", zstd("one two")),
            ("zstd frames", [zstd("one "), zstd(""), zstd("two")].concat()),
            ("skippable first", [SKIPPABLE, &zstd("one two")].concat()),
            ("skippable between", [&zstd("one "), SKIPPABLE, &zstd("two")].concat()),
            ("skippable last", [&zstd("one two"), SKIPPABLE].concat()),
        ] {
            assert_eq!(read(&layer).as_deref(), Ok("one two"), "{what}");
        }
        assert_eq!(read(b"").as_deref(), Ok(""));
        assert_eq!(read(b"a").as_deref(), Ok("a"));
    }

    #[test]
    fn damaged_streams_are_refused() {
        let (whole, frame) = (gzip("one two"), zstd("one two"));
        let mut wrong_sum = whole.clone();
        let at = wrong_sum.len() - 6;
        wrong_sum[at] ^= 1;
        for (what, layer) in [
            ("gzip cut", whole[..whole.len() - 1].to_vec()),
            ("gzip cut in its header", whole[..8].to_vec()),
            ("second member cut", [&whole[..], &whole[..9]].concat()),
            ("gzip checksum", wrong_sum),
            ("behind gzip", [&whole[..], b"junk"].concat()),
            ("a member behind NULs", [&whole[..], &[0; 20], &whole[..]].concat()),
            ("zstd cut", frame[..frame.len() - 1].to_vec()),
            ("behind zstd", [&frame[..], b"junk"].concat()),
            ("skippable cut", SKIPPABLE[..9].to_vec()),
        ] {
            assert!(read(&layer).is_err(), "{what}");
        }
        assert!(read(b"BZh91AY&SY").unwrap_err().contains("bzip2"));
        assert!(read(b"\xfd7zXZ\0").unwrap_err().contains("xz"));
    }

    #[test]
    fn a_frame_may_not_ask_for_more_memory_than_its_bound() {
        let asking = |log| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.include_contentsize(false).unwrap();
            encoder.write_all(b"one two").unwrap();
            encoder.finish().unwrap()
        };
        for (window, taken) in [(Window::Usual, 23), (Window::Large, 27)] {
            assert_eq!(read_within(&asking(taken), window).as_deref(), Ok("one two"));
            let refused = read_within(&asking(taken + 1), window).unwrap_err();
            assert!(refused.contains(&format!("more than {} bytes", 1 << taken)), "{refused}");
            // A later frame is no other matter.
            assert!(read_within(&[zstd("one "), asking(taken + 1)].concat(), window).is_err());
        }
    }
}
