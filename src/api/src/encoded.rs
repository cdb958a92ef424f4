//! Messages that are kept as what they are encoded to.

use std::marker::PhantomData;

use prost::DecodeError;
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{DecodeContext, WireType};

/// A message in its encoded form: it is sent as it is, as often as one likes, and what it says costs nobody a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded<M> {
    bytes: Bytes,
    of: PhantomData<fn() -> M>,
}

impl<M> Encoded<M> {
    /// Of a message's own bytes. Whether they are some is for who gives them to know.
    #[must_use]
    pub const fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// What is sent.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<M> Default for Encoded<M> {
    /// The message with nothing in it.
    fn default() -> Self {
        Self::from_bytes(Bytes::new())
    }
}

impl<M: Message> From<M> for Encoded<M> {
    fn from(message: M) -> Self {
        Self::from_bytes(message.encode_to_vec().into())
    }
}

impl<M: Message + Default> Message for Encoded<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.bytes);
    }

    /// One message behind another is both in one.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut field = M::default();
        field.merge_field(tag, wire_type, buf, ctx)?;
        let mut bytes = BytesMut::from(&*self.bytes);
        field.encode_raw(&mut bytes);
        self.bytes = bytes.freeze();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Container, ListContainersResponse};

    #[test]
    fn a_message_is_the_same_on_the_wire_and_back() {
        let container = |id: &str| Container { id: id.to_owned(), created_at: 7, ..Container::default() };
        let message = ListContainersResponse { containers: vec![container("a"), container("b")] };
        let encoded = Encoded::from(message.clone());
        assert_eq!((encoded.encode_to_vec(), encoded.encoded_len()), (message.encode_to_vec(), message.encoded_len()));
        assert_eq!(ListContainersResponse::decode(encoded.bytes().clone()).unwrap(), message);
        let mut back = Encoded::<ListContainersResponse>::decode(&*message.encode_to_vec()).unwrap();
        assert_eq!(back, encoded);
        back.clear();
        assert_eq!(back, Encoded::from(ListContainersResponse::default()));
        Encoded::<ListContainersResponse>::decode(&b"\x0a\x05a"[..]).unwrap_err();
    }
}
