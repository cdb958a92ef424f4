//! A message as bytes, written field by field: for messages whose many parts repeat a few texts. As a message each part
//! would have copies of its own, and every message around them would measure all of them once more.

use bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};

/// Fields in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct EncodedFields(Vec<u8>);

impl EncodedFields {
    /// With no fields, in the room of those before.
    pub(super) fn clear(&mut self) -> &mut Self {
        self.0.clear();
        self
    }

    /// A text, or one of a list of them.
    pub(super) fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.delimited(field, text.as_bytes())
    }

    /// A number. Zero is told by leaving it out.
    pub(super) fn number(&mut self, field: u32, number: u64) -> &mut Self {
        if number != 0 {
            encode_key(field, WireType::Varint, &mut self.0);
            encode_varint(number, &mut self.0);
        }
        self
    }

    /// A message, or one of a list of them.
    pub(super) fn message(&mut self, field: u32, message: &Self) -> &mut Self {
        self.delimited(field, &message.0)
    }

    /// All fields of another.
    pub(super) fn all_of(&mut self, other: &Self) -> &mut Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    fn delimited(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        // A length in memory fits.
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use peapod_api::v1;
    use prost::Message;

    use super::EncodedFields;

    #[test]
    fn they_are_what_a_message_is_encoded_to() {
        for (texts, value) in [(vec![], 0), (vec!["", "a", ""], 1), (vec!["long"; 100], u64::MAX)] {
            let message = v1::Metric {
                name: "name".repeat(50),
                timestamp: 1 << 60,
                metric_type: v1::MetricType::Gauge.into(),
                label_values: texts.iter().map(|text| (*text).to_owned()).collect(),
                value: Some(v1::UInt64Value { value }),
            };
            let (mut fields, mut labels, mut number) = <(EncodedFields, EncodedFields, EncodedFields)>::default();
            number.text(7, "of before").clear().number(1, value);
            for text in &texts {
                labels.text(4, text);
            }
            fields.text(1, &message.name).number(2, 1 << 60).number(3, 1).all_of(&labels).message(5, &number);
            assert_eq!(fields.into_bytes(), message.encode_to_vec());
        }
    }
}
