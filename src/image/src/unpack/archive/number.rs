//! Numbers as headers hold them. Pure.

/// Reads a field: octal text with spaces or NULs around it, or base 256 (a first byte of 0x80 or above, two's
/// complement behind its highest bit) as GNU tar and Solaris write what octal can't hold.
///
/// A field without a digit is 0: that is what Go's reader, and so Docker and containerd, take it for, while GNU tar
/// warns. What follows a space or NUL behind the digits means nothing, as in GNU tar.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let digits = field.iter().skip_while(|byte| padding(byte)).take_while(|byte| !padding(byte));
    digits.copied().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn base_256(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    // The sign is the bit below the mark.
    let start = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first | 0x80) - 256 };
    let value = rest.iter().try_fold(start, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)));
    i64::try_from(value?).ok()
}

/// A user's or group's id. A negative one counts from the end, as the kernel reads it (-2 is what old systems call
/// nobody): so do Docker and containerd; GNU tar fails and leaves the file root's. -1 is no id for the kernel but
/// "leave it": root's, with all three.
pub(super) fn owner(value: i64) -> Option<u32> {
    let id = match value {
        0.. => u32::try_from(value).ok()?,
        _ => i32::try_from(value).ok()?.cast_unsigned(),
    };
    Some(if id == u32::MAX { 0 } else { id })
}

/// Reads a decimal number of a PAX record.
pub(super) fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{number, owner};

    #[test]
    fn octal_numbers_have_spaces_and_nuls_around_them() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   1750 ", Some(1000)),
            (b"\0  1750\0", Some(1000)),
            (b"1750 xyz", Some(1000)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"        ", Some(0)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"0000008\0", None),
            (b"-000001\0", None),
            (b"0x10\0", None),
            (b"7777777777777777777777777", None),
        ] {
            assert_eq!(number(field), value, "{:?}", field.escape_ascii().to_string());
        }
    }

    #[test]
    fn base_256_has_a_sign() {
        let wide = |low: i64, fill: u8| [&[fill; 4][..], &low.to_be_bytes()].concat();
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(number(&wide(-86_400, 0xff)), Some(-86_400));
        assert_eq!(number(&wide(1 << 40, 0x80)[..]), None, "more than 64 bits");
        assert_eq!(number(&[&[0x80, 0, 0, 0][..], &(1_i64 << 40).to_be_bytes()].concat()), Some(1 << 40));
        assert_eq!(number(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn owners_are_what_the_kernel_can_hold() {
        assert_eq!(owner(-2), Some(4_294_967_294));
        assert_eq!(owner(4_294_967_294), Some(4_294_967_294));
        assert_eq!((owner(-1), owner(0xffff_ffff)), (Some(0), Some(0)));
        assert_eq!((owner(1 << 32), owner(-(1 << 40))), (None, None));
    }
}
