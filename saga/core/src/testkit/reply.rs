//! A reply in which every field says something, for a saga whose message types are gone.

use prost::encoding::{WireType, encode_key, encode_varint};

/// Fields beyond these numbers, or deeper than this, stay empty.
const FIELD_NUMBER_MAX: u32 = 32;
const DEPTH_MAX: u32 = 3;

/// One, in each way to write it. No message reads like the text.
const VALUES: [(WireType, &[u8]); 4] = [
    (WireType::Varint, &[1]),
    (WireType::SixtyFourBit, &1_f64.to_le_bytes()),
    (WireType::ThirtyTwoBit, &1_f32.to_le_bytes()),
    (WireType::LengthDelimited, b"\x01x"),
];

/// Found by trying: `reads` knows the type. A field takes some of the values, what is no field all
/// of them, and a message none.
pub(crate) fn with_every_field(reads: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    fields(reads, DEPTH_MAX)
}

fn fields(reads: &dyn Fn(&[u8]) -> bool, depth: u32) -> Vec<u8> {
    (1..=FIELD_NUMBER_MAX).flat_map(|number| field(number, reads, depth)).collect()
}

fn field(number: u32, reads: &dyn Fn(&[u8]) -> bool, depth: u32) -> Vec<u8> {
    let values = VALUES.map(|(way, value)| written(number, way, value));
    if values.iter().all(|value| reads(value)) {
        return Vec::new();
    }
    if let Some(value) = values.into_iter().find(|value| reads(value)) {
        return value;
    }
    if depth == 0 || !reads(&message(number, &[])) {
        return Vec::new();
    }
    message(number, &fields(&|inner| reads(&message(number, inner)), depth - 1))
}

fn message(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    encode_varint(inner.len() as u64, &mut value);
    value.extend(inner);
    written(number, WireType::LengthDelimited, &value)
}

fn written(number: u32, way: WireType, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, way, &mut bytes);
    bytes.extend(value);
    bytes
}

#[cfg(test)]
mod tests;
