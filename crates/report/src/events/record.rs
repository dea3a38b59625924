//! The frame of a record: its length, a checksum of that, the payload, and a checksum of this.
//!
//! Source: TensorFlow's `core/lib/io/record_writer.h`: little-endian `u64` length, masked CRC-32C of the length, payload, masked
//! CRC-32C of the payload. The mask is the sum rotated right by 15 bits plus `0xa282ead8`.

/// CRC-32C (Castagnoli), bit-reflected. Source: RFC 3720, appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    let byte = |sum: u32, &byte: &u8| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, byte)
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A payload in its frame.
pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), payload, &masked(payload)].concat()
}

/// The payloads of the records from the beginning, to the first that is torn or wrong.
pub(super) fn payloads(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (payload, rest) = rest.split_at_checked(size)?;
        let (payload_sum, rest) = rest.split_first_chunk::<4>()?;
        bytes = rest;
        (*sum == masked(length) && *payload_sum == masked(payload)).then_some(payload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_its_definition() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_come_back_and_a_wrong_one_ends_them() {
        let all = [&b"one"[..], b"", b"three"].map(framed).concat();
        assert_eq!(payloads(&all).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        for (broken, left) in [(0, 0), (9, 0), (13, 0), (17, 0), (all.len() - 5, 2)] {
            let mut bytes = all.clone();
            bytes[broken] ^= 1;
            assert_eq!(payloads(&bytes).count(), left, "byte {broken}");
        }
        assert_eq!(payloads(&all[..all.len() - 1]).count(), 2);
    }
}
