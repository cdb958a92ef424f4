//! Numbers and texts in a datagram: little-endian, texts and lists behind their length.

use std::time::Duration;

use crate::bounds::REASON_BYTES;
use crate::message::DecodeError;
use crate::token::SessionToken;

/// What was sent, from the front.
pub(crate) struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    /// Reads all of a datagram: its kind, then what `rest` takes of the fields for that kind.
    pub(crate) fn all<T>(
        datagram: &'a [u8],
        rest: impl FnOnce(u8, &mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut fields = Self(datagram);
        let kind = fields.u8()?;
        let message = rest(kind, &mut fields)?;
        if fields.0.is_empty() { Ok(message) } else { Err(DecodeError::Trailing(fields.0.len())) }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// Milliseconds.
    pub(crate) fn duration(&mut self) -> Result<Duration, DecodeError> {
        self.u32().map(|milliseconds| Duration::from_millis(milliseconds.into()))
    }

    pub(crate) fn token(&mut self) -> Result<SessionToken, DecodeError> {
        let bytes = self.bytes::<{ SessionToken::LENGTH }>()?;
        SessionToken::parse(&bytes).ok_or(DecodeError::Value("token"))
    }

    pub(crate) fn text(&mut self) -> Result<String, DecodeError> {
        let length = usize::from(self.u16()?);
        if length > REASON_BYTES {
            return Err(DecodeError::Value("text"));
        }
        let (text, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        str::from_utf8(text).map(str::to_owned).map_err(|_| DecodeError::Value("text"))
    }
}

/// A datagram in the making.
pub(crate) struct FieldWriter(Vec<u8>);

impl FieldWriter {
    pub(crate) fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Milliseconds; what is longer than there are (49 days) is as long as there are.
    pub(crate) fn duration(self, value: Duration) -> Self {
        self.u32(u32::try_from(value.as_millis()).unwrap_or(u32::MAX))
    }

    pub(crate) fn token(mut self, token: &SessionToken) -> Self {
        self.0.extend(token.as_bytes());
        self
    }

    /// What is beyond the bound is cut.
    pub(crate) fn text(self, text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(REASON_BYTES)];
        let mut writer = self.u16(u16::try_from(text.len()).unwrap_or(0));
        writer.0.extend(text.as_bytes());
        writer
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}
