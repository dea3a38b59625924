//! Records of fields out of delimited bytes.
//!
//! Source: RFC 4180. Written here because a reader for training data must say what general readers pass over: the line
//! on which a record starts, text after a closing quote, and a quote that swallows the rest of the file.

use std::io::{self, BufRead};

/// One record: its fields end to end, and where each ends.
#[derive(Debug, Default)]
pub(crate) struct Record {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Line on which the record starts, from 1.
    pub(crate) line: u64,
    /// First field, from 1, that goes on after its closing quote.
    pub(crate) after_quote: Option<usize>,
    quoted: bool,
}

impl Record {
    /// Number of fields.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All fields end to end.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where field `index` lies within [`Record::bytes`].
    pub(crate) fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }

    /// Whether the record is a line with nothing on it.
    pub(crate) fn is_blank(&self) -> bool {
        self.bytes.is_empty() && self.ends.len() == 1 && !self.quoted
    }
}

/// Why no further record can be had.
#[derive(Debug)]
pub(crate) enum Failure {
    Io(io::Error),
    /// The file ended inside quotes; the record starts at this line.
    UnclosedQuote(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: the field is closed, unless a second quote follows.
    Closed,
    /// After a carriage return behind a closing quote.
    ClosedReturn,
}

/// Reads records one by one.
pub(crate) struct Records<R> {
    reader: R,
    delimiter: u8,
    quoting: bool,
    line: u64,
}

impl<R: BufRead> Records<R> {
    /// With `quoting`, a field that begins with a quote ends with one; without, quotes are plain characters.
    pub(crate) fn new(reader: R, delimiter: u8, quoting: bool) -> Self {
        Records { reader, delimiter, quoting, line: 1 }
    }

    /// Reads the next record, blank lines included; false at the end.
    pub(crate) fn next(&mut self, record: &mut Record) -> Result<bool, Failure> {
        record.bytes.clear();
        record.ends.clear();
        record.line = self.line;
        record.after_quote = None;
        record.quoted = false;
        let mut state = State::FieldStart;
        let mut any = false;
        loop {
            let buffer = self.reader.fill_buf().map_err(Failure::Io)?;
            if buffer.is_empty() {
                if state == State::Quoted {
                    return Err(Failure::UnclosedQuote(record.line));
                }
                if any {
                    end_line(record, state);
                }
                return Ok(any);
            }
            any = true;
            let mut used = 0;
            let mut complete = false;
            for &byte in buffer {
                used += 1;
                self.line += u64::from(byte == b'\n');
                state = match (state, byte) {
                    (State::FieldStart, b'"') if self.quoting => {
                        record.quoted = true;
                        State::Quoted
                    }
                    (State::Quoted, b'"') => State::Closed,
                    (State::Quoted, _) => {
                        record.bytes.push(byte);
                        State::Quoted
                    }
                    (State::Closed, b'"') => {
                        record.bytes.push(b'"');
                        State::Quoted
                    }
                    (_, b'\n') => {
                        complete = true;
                        break;
                    }
                    (State::Closed, b'\r') => State::ClosedReturn,
                    (State::Closed | State::FieldStart | State::Plain, _) if byte == self.delimiter => {
                        record.ends.push(record.bytes.len());
                        State::FieldStart
                    }
                    (State::Closed | State::ClosedReturn, _) => {
                        record.after_quote.get_or_insert(record.ends.len() + 1);
                        record.bytes.push(byte);
                        State::Plain
                    }
                    (State::FieldStart | State::Plain, _) => {
                        record.bytes.push(byte);
                        State::Plain
                    }
                };
            }
            self.reader.consume(used);
            if complete {
                end_line(record, state);
                return Ok(true);
            }
        }
    }
}

/// Ends the last field; the carriage return before a line feed belongs to the line's end.
fn end_line(record: &mut Record, state: State) {
    if state == State::Plain && record.bytes.last() == Some(&b'\r') {
        record.bytes.pop();
    }
    record.ends.push(record.bytes.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &[u8], quoting: bool, buffer: usize) -> Vec<(u64, Vec<Vec<u8>>)> {
        let mut records = Records::new(io::BufReader::with_capacity(buffer, text), b',', quoting);
        let (mut record, mut all) = (Record::default(), Vec::new());
        while records.next(&mut record).unwrap() {
            if !record.is_blank() {
                let fields = (0..record.len()).map(|i| record.bytes()[record.range(i)].to_vec()).collect();
                all.push((record.line, fields));
            }
        }
        all
    }

    fn written(rows: &[Vec<Vec<u8>>], crlf: bool) -> Vec<u8> {
        let terminator = if crlf { csv_core::Terminator::CRLF } else { csv_core::Terminator::Any(b'\n') };
        let mut writer = csv_core::WriterBuilder::new().terminator(terminator).build();
        let (mut out, mut at) = (vec![0; 1 << 14], 0);
        for row in rows {
            for (index, field) in row.iter().enumerate() {
                if index > 0 {
                    at += writer.delimiter(&mut out[at..]).1;
                }
                at += writer.field(field, &mut out[at..]).2;
            }
            at += writer.terminator(&mut out[at..]).1;
        }
        out.truncate(at);
        out
    }

    fn read_back(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut reader = csv_core::Reader::new();
        let (mut rows, mut at, mut out, mut ends) = (vec![], 0, vec![0; 1 << 14], [0; 16]);
        loop {
            let (result, read, _, fields) = reader.read_record(&bytes[at..], &mut out, &mut ends);
            at += read;
            match result {
                csv_core::ReadRecordResult::Record => {
                    let starts = std::iter::once(0).chain(ends[..fields].iter().copied());
                    let spans = starts.zip(&ends[..fields]);
                    rows.push(spans.map(|(start, &end)| out[start..end].to_vec()).collect());
                }
                csv_core::ReadRecordResult::End => return rows,
                csv_core::ReadRecordResult::InputEmpty => (),
                full => panic!("{full:?}: the buffers hold more than any row here"),
            }
        }
    }

    #[test]
    fn fields_agree_with_the_csv_crate_on_random_files() {
        // The core of the csv crate writes what RFC 4180 demands and reads it back; it is the referee for both.
        let alphabet =
            [b"a".as_slice(), b" ", b",", b"\"", b"\n", b"\r\n", b"\"\"", "é".as_bytes(), b";", b"\t"];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % n
        };
        for round in 0..300 {
            let fields = 2 + below(3) as usize;
            let rows: Vec<Vec<Vec<u8>>> = (0..below(6))
                .map(|_| {
                    let piece = |below: &mut dyn FnMut(u64) -> u64| {
                        (0..below(5))
                            .flat_map(|_| alphabet[below(alphabet.len() as u64) as usize].to_vec())
                            .collect()
                    };
                    (0..fields).map(|_| piece(&mut below)).collect()
                })
                .collect();
            let bytes = written(&rows, round % 2 == 0);
            let theirs = read_back(&bytes);
            for buffer in [1, 7, 4096] {
                let ours = records(&bytes, true, buffer);
                assert_eq!(ours.iter().map(|(_, fields)| fields.clone()).collect::<Vec<_>>(), theirs);
                // A record starts one line after all line feeds before it, counted from the rows that were written.
                let mut line = 1;
                for ((found, _), row) in ours.iter().zip(&rows) {
                    assert_eq!(*found, line);
                    line += 1 + row.iter().flatten().filter(|&&byte| byte == b'\n').count() as u64;
                }
            }
        }
    }

    #[test]
    fn without_quoting_a_line_is_a_record() {
        let found = records(b"\"a,b\nc\",\"\"d\r\n", false, 3);
        let expected =
            vec![(1, vec![b"\"a".to_vec(), b"b".to_vec()]), (2, vec![b"c\"".to_vec(), b"\"\"d".to_vec()])];
        assert_eq!(found, expected);
    }

    #[test]
    fn quote_inside_a_plain_field_is_a_character() {
        assert_eq!(records(b"5\" disk,x\n", true, 2), [(1, vec![b"5\" disk".to_vec(), b"x".to_vec()])]);
    }

    #[test]
    fn an_unclosed_quote_is_found_at_the_start_of_its_record() {
        let mut records = Records::new(b"a,b\n\nc,\"d\ne,f\n".as_slice(), b',', true);
        let mut record = Record::default();
        assert!(records.next(&mut record).unwrap() && records.next(&mut record).unwrap());
        assert!(matches!(records.next(&mut record), Err(Failure::UnclosedQuote(3))));
    }

    #[test]
    fn text_after_a_closing_quote_is_marked_with_its_field() {
        for (text, field) in [("a,\"b\"c\n", Some(2)), ("\"a\"\rb,c\n", Some(1)), ("a,\"b\"\r\n", None)] {
            let mut record = Record::default();
            Records::new(text.as_bytes(), b',', true).next(&mut record).unwrap();
            assert_eq!((record.after_quote, record.len()), (field, 2), "{text:?}");
        }
    }
}
