//! A record that no client library would send: Kafka's own bytes, by hand.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use prost::encoding::encode_varint;

/// Sends it to the first partition of the topic. Header names need not be text. Tells whether the
/// broker took it: not when the topic is so new that the partition is not there yet.
pub(crate) fn produce(
    brokers: &str,
    topic: &str,
    key: &[u8],
    payload: &[u8],
    headers: &[(&[u8], &[u8])],
) -> bool {
    let batch = batch(&record(key, payload, headers));
    let mut request = Vec::new();
    // Produce, version 3; the first request of a nameless client.
    request.extend([0_i16, 3, 0, 1, -1].map(i16::to_be_bytes).concat());
    // Without a transaction, acknowledged by all within 10 s.
    request.extend([-1_i16, -1].map(i16::to_be_bytes).concat());
    request.extend(10_000_i32.to_be_bytes());
    let topic_len = topic.len() as i16;
    request.extend([&1_i32.to_be_bytes()[..], &topic_len.to_be_bytes(), topic.as_bytes()].concat());
    request.extend([1_i32, 0, batch.len() as i32].map(i32::to_be_bytes).concat());
    request.extend(batch);

    let mut stream = TcpStream::connect(brokers).unwrap();
    stream.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut response = vec![0; i32::from_be_bytes(size) as usize];
    stream.read_exact(&mut response).unwrap();
    // Behind the request's number, one topic, and one partition.
    let error_at = 4 + 4 + 2 + topic.len() + 4 + 4;
    response[error_at..error_at + 2] == [0, 0]
}

fn record(key: &[u8], payload: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    // No attributes, and the time and the offset of its batch.
    let mut record = vec![0, 0, 0];
    add(&mut record, key);
    add(&mut record, payload);
    add_length(&mut record, headers.len());
    for (name, value) in headers {
        add(&mut record, name);
        add(&mut record, value);
    }
    record
}

/// Of this one record, in version 2.
fn batch(record: &[u8]) -> Vec<u8> {
    let mut checked = Vec::new();
    // No attributes; the last offset is the first one; no times.
    checked.extend([0; 2 + 4 + 8 + 8]);
    // No producer's id, epoch and sequence.
    checked.extend([0xff; 8 + 2 + 4]);
    checked.extend(1_i32.to_be_bytes());
    add_length(&mut checked, record.len());
    checked.extend(record);

    let mut batch = vec![0; 8];
    batch.extend((checked.len() as i32 + 4 + 1 + 4).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

fn add(record: &mut Vec<u8>, bytes: &[u8]) {
    add_length(record, bytes.len());
    record.extend(bytes);
}

/// Lengths are signed there.
fn add_length(bytes: &mut Vec<u8>, length: usize) {
    encode_varint(length as u64 * 2, bytes);
}

fn crc32c(bytes: &[u8]) -> u32 {
    let with_bit = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), with_bit))
}
