//! Plain text: one text a line.

use std::io::BufRead;

use crate::error::Result;
use crate::fault;
use crate::input::Input;
use crate::intake::{Intake, Parts};

/// Reads one text a line into `intake`; blank lines separate and are no texts.
pub(crate) fn read(input: &mut Input, intake: &mut Intake) -> Result<()> {
    intake.choose(&["text".to_string()])?;
    let mut bytes = Vec::new();
    let mut line = 0;
    loop {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes).map_err(|source| input.failed(source))? == 0 {
            return Ok(());
        }
        line += 1;
        if bytes.trim_ascii().is_empty() {
            intake.blank(&[line]);
            continue;
        }
        let parts = fault::utf8(&bytes).map(|text| {
            let text = Some(text.trim_end_matches(['\n', '\r']).to_string());
            Parts { id: None, text, pair: None, label: None }
        });
        intake.row(line, parts)?;
    }
}

#[cfg(test)]
mod tests {
    use crate::{Source, read_bytes};

    #[test]
    fn each_line_with_something_on_it_is_a_text() {
        let source = Source::new("a.txt");
        let data = read_bytes(&source, b"\xef\xbb\xbfone, \"two\"\r\n\n  \n three\tfour", false).unwrap();
        let found: Vec<(&str, u64)> = data.examples.iter().map(|e| (e.text.as_str(), e.line)).collect();
        assert_eq!(found, [("one, \"two\"", 1), (" three\tfour", 4)]);
        assert_eq!((data.rows_read, data.blank_lines), (2, 2));
        let error = read_bytes(&source, b"one\n", true).unwrap_err().to_string();
        assert!(error.contains(".txt"), "{error}");
        let error = read_bytes(&source, b"one\n\xff\n", false).unwrap_err().to_string();
        assert!(error.contains("a.txt:2"), "{error}");
    }
}
