//! The payload of a record: an `Event` in the wire format of protocol buffers, with the few fields that scalars need.
//!
//! Source: TensorBoard's `event.proto` and `summary.proto`: `Event { double wall_time = 1; int64 step = 2; string file_version = 3;
//! Summary summary = 5 }`, `Summary { repeated Value value = 1 }`, `Value { string tag = 1; float simple_value = 2 }`.

const VARINT: u8 = 0;
const EIGHT_BYTES: u8 = 1;
const LENGTH: u8 = 2;
const FOUR_BYTES: u8 = 5;

/// Every event file begins with this.
const VERSION: &[u8] = b"brain.Event:2";

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn key(field: u8, wire: u8) -> u8 {
    field << 3 | wire
}

fn bytes(field: u8, content: &[u8], to: &mut Vec<u8>) {
    to.push(key(field, LENGTH));
    varint(content.len() as u64, to);
    to.extend_from_slice(content);
}

fn event(time: f64, step: i64) -> Vec<u8> {
    let mut event = vec![key(1, EIGHT_BYTES)];
    event.extend(time.to_le_bytes());
    event.push(key(2, VARINT));
    varint(step as u64, &mut event);
    event
}

/// The first event of a file.
pub(super) fn version(time: f64) -> Vec<u8> {
    let mut event = event(time, 0);
    bytes(3, VERSION, &mut event);
    event
}

/// The scalars of a step.
pub(super) fn scalars(time: f64, step: i64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = vec![];
    for (tag, scalar) in values {
        let mut value = vec![];
        bytes(1, tag.as_bytes(), &mut value);
        value.push(key(2, FOUR_BYTES));
        value.extend((*scalar as f32).to_le_bytes());
        bytes(1, &value, &mut summary);
    }
    let mut event = event(time, step);
    bytes(5, &summary, &mut event);
    event
}

/// Step and time of an event that [`version`] or [`scalars`] wrote.
pub(super) fn step_and_time(event: &[u8]) -> Option<(i64, f64)> {
    let (&[first], rest) = event.split_first_chunk::<1>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (&[second], rest) = rest.split_first_chunk::<1>()?;
    if (first, second) != (key(1, EIGHT_BYTES), key(2, VARINT)) {
        return None;
    }
    let last = rest.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let step = rest[..=last].iter().rev().fold(0u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some((step as i64, f64::from_le_bytes(*time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_bytes_of_the_wire_format() {
        let mut expected = vec![0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0xac, 0x02];
        expected.extend([0x2a, 10, 0x0a, 8, 0x0a, 1, b'x', 0x15, 0, 0, 0, 0x40]);
        // 300 is the example of the documentation of the encoding: ac 02.
        assert_eq!(scalars(1.5, 300, &[("x", 2.0)]), expected);
        assert_eq!(version(0.0)[11..], [&[0x1a, 13], VERSION].concat());
    }

    #[test]
    fn steps_and_times_come_back() {
        for step in [0, 1, 127, 128, 300, i64::MAX] {
            assert_eq!(step_and_time(&scalars(0.25, step, &[])), Some((step, 0.25)));
        }
        assert_eq!(step_and_time(&[0x09]), None);
        assert_eq!(step_and_time(&[]), None);
    }
}
