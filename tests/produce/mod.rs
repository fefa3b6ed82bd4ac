//! Producing what no client lets one produce: headers whose names are no text. Kafka's protocol by
//! hand, as far as one record batch needs it (Produce, version 3).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A record of a value and one header.
pub(crate) struct Raw {
    /// The value.
    pub(crate) value: &'static [u8],
    /// The header's name and value.
    pub(crate) header: (&'static [u8], &'static [u8]),
}

/// Appends records to partition 0 of a topic, and waits until the broker has them.
pub(crate) fn produce_raw(broker: &str, topic: &str, records: &[Raw]) {
    let mut broker = TcpStream::connect(broker).expect("the broker listens");
    let patience = Some(Duration::from_secs(30));
    broker.set_read_timeout(patience).expect("a time-out");
    let batch = batch(records);
    let mut request = Vec::new();
    request.extend([0_i16, 3].iter().flat_map(|n| n.to_be_bytes())); // Produce, version 3
    request.extend(7_i32.to_be_bytes()); // correlation
    request.extend((-1_i16).to_be_bytes()); // no client id
    request.extend((-1_i16).to_be_bytes()); // no transaction
    request.extend((-1_i16).to_be_bytes()); // acknowledged by all
    request.extend([10_000_i32, 1].iter().flat_map(|n| n.to_be_bytes())); // patience; topics
    request.extend(length(topic.as_bytes()).to_be_bytes()[2..].iter());
    request.extend(topic.as_bytes());
    request.extend([1_i32, 0].iter().flat_map(|n| n.to_be_bytes())); // partitions; the number
    request.extend(length(&batch).to_be_bytes());
    request.extend(batch);
    let size = length(&request).to_be_bytes();
    broker.write_all(&size).expect("the broker reads");
    broker.write_all(&request).expect("the broker reads");

    let mut size = [0; 4];
    broker.read_exact(&mut size).expect("an answer");
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a size")];
    broker.read_exact(&mut answer).expect("the whole answer");
    // Correlation, number of topics, name, number of partitions, the partition's number.
    let place = 4 + 4 + 2 + topic.len() + 4 + 4;
    let error = i16::from_be_bytes([answer[place], answer[place + 1]]);
    assert_eq!(error, 0, "Kafka's code of the error");
}

/// A length as the protocol writes most.
fn length(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("short")
}

/// A record batch (magic 2).
fn batch(records: &[Raw]) -> Vec<u8> {
    let count = i32::try_from(records.len()).expect("few");
    let mut body = Vec::new();
    body.extend(0_i16.to_be_bytes()); // attributes
    body.extend((count - 1).to_be_bytes()); // the last record's offset
    body.extend(
        [1_790_000_000_000_i64; 2]
            .iter()
            .flat_map(|n| n.to_be_bytes()),
    ); // times
    body.extend((-1_i64).to_be_bytes()); // no producer id
    body.extend((-1_i16).to_be_bytes()); // nor its epoch
    body.extend((-1_i32).to_be_bytes()); // nor a sequence
    body.extend(count.to_be_bytes());
    for (place, raw) in records.iter().enumerate() {
        let mut record = vec![0, 0]; // attributes, time
        varint(&mut record, i64::try_from(place).expect("few"));
        varint(&mut record, -1); // no key
        bytes(&mut record, raw.value);
        varint(&mut record, 1); // headers
        bytes(&mut record, raw.header.0);
        bytes(&mut record, raw.header.1);
        bytes(&mut body, &record);
    }
    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes()); // the first record's offset
    batch.extend((length(&body) + 9).to_be_bytes()); // what follows
    batch.extend((-1_i32).to_be_bytes()); // no leader's epoch
    batch.push(2);
    batch.extend(crc32c(&body).to_be_bytes());
    batch.extend(body);
    batch
}

/// Bytes behind their length.
fn bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    varint(to, i64::from(length(bytes)));
    to.extend(bytes);
}

/// A number in the protocol's zigzag form.
fn varint(to: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        to.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    to.push(rest.to_le_bytes()[0]);
}

/// The checksum of a batch (Castagnoli).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}
