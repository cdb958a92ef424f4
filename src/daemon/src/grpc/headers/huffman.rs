//! The code in which HPACK writes texts (RFC 7541, appendix B). Only decoding.

use std::sync::LazyLock;

use super::Violation;

/// Bits of each symbol's code; the last symbol, 256, ends a text and is never written. Codes of a length follow each
/// other in the order of their symbols, and those of the next length follow them: so the lengths say all.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28,
    28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23,
    23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
    23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21,
    26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27,
    27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LONGEST: usize = 30;

/// By length: the first code, and the symbols in the order of their codes.
static CODES: LazyLock<Vec<(u32, Vec<u16>)>> = LazyLock::new(|| {
    let mut first = 0;
    (0..=LONGEST)
        .map(|length| {
            let symbols: Vec<u16> =
                (0..).zip(LENGTHS).filter(|(_, bits)| usize::from(*bits) == length).map(|(symbol, _)| symbol).collect();
            let code = first;
            first = (code + u32::try_from(symbols.len()).unwrap_or_default()) << 1;
            (code, symbols)
        })
        .collect()
});

/// The text that was written so.
pub(super) fn decode(written: &[u8]) -> Result<Vec<u8>, Violation> {
    // The shortest code has five bits.
    let mut text = Vec::with_capacity(written.len() * 8 / 5);
    let (mut code, mut length) = (0_u32, 0);
    for bit in written.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        (code, length) = (code << 1 | u32::from(bit), length + 1);
        let Some((first, symbols)) = CODES.get(length) else { return Err(Violation::Compression) };
        let found = code.checked_sub(*first).and_then(|at| symbols.get(usize::try_from(at).ok()?));
        if let Some(symbol) = found {
            text.push(u8::try_from(*symbol).map_err(|_| Violation::Compression)?);
            (code, length) = (0, 0);
        }
    }
    // What fills the last byte is the beginning of the end's code: ones.
    if length < 8 && code == (1 << length) - 1 { Ok(text) } else { Err(Violation::Compression) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_standard() {
        // RFC 7541, C.4 and C.6.
        for (written, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("", ""),
        ] {
            let bytes: Vec<u8> =
                (0..written.len()).step_by(2).map(|at| u8::from_str_radix(&written[at..at + 2], 16).unwrap()).collect();
            assert_eq!(decode(&bytes), Ok(text.as_bytes().to_vec()));
        }
    }

    #[test]
    fn what_is_no_text() {
        // Filled with zeros, by a whole byte, with the end itself.
        for wrong in [&[0b0001_1000_u8][..], &[0xff], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decode(wrong), Err(Violation::Compression), "{wrong:x?}");
        }
    }
}
