//! CSV and TSV files.

use crate::error::{Error, Result};
use crate::fault::{self, RowFault};
use crate::format::Delimiter;
use crate::input::Input;
use crate::intake::{Intake, Parts};
use crate::label::Found;
use crate::records::{Failure, Record, Records};

/// Positions of the columns in use.
struct Positions {
    fields: usize,
    text: usize,
    pair: Option<usize>,
    label: Option<usize>,
    id: Option<usize>,
}

/// Reads a delimited file into `intake`; `quoting` as RFC 4180 has it, or quotes as plain characters.
pub(crate) fn read(
    input: &mut Input,
    delimiter: Delimiter,
    quoting: bool,
    intake: &mut Intake,
) -> Result<()> {
    let path = intake.source().path.clone();
    let mut positions = match intake.source().columns.clone() {
        Some(names) => Some(find(&names, intake)?),
        None => None,
    };
    let mut failure = None;
    let mut blank = Vec::new();
    let mut record = Record::default();
    let mut records = Records::new(&mut *input, delimiter.byte(), quoting);
    loop {
        match records.next(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(stopped) => {
                failure = Some(stopped);
                break;
            }
        }
        if record.is_blank() {
            blank.push(record.line);
            continue;
        }
        let Some(positions) = &positions else {
            intake.blank(&blank);
            blank.clear();
            positions = Some(header(&record, intake)?);
            continue;
        };
        if positions.fields == 1 {
            for line in blank.drain(..) {
                intake.row(line, Ok(Parts::default()))?;
            }
        }
        intake.blank(&blank);
        blank.clear();
        intake.row(record.line, parts(&record, positions))?;
    }
    intake.blank(&blank);
    match failure {
        Some(Failure::Io(source)) => Err(input.failed(source)),
        Some(Failure::UnclosedQuote(line)) => Err(Error::UnclosedQuote { path, line }),
        None => Ok(()),
    }
}

fn header(record: &Record, intake: &mut Intake) -> Result<Positions> {
    let bad = |fault| Error::Row { path: intake.source().path.clone(), line: record.line, fault };
    let text = checked(record).map_err(bad)?;
    let names: Vec<String> =
        (0..record.len()).map(|index| text[record.range(index)].trim().to_string()).collect();
    find(&names, intake)
}

fn find(names: &[String], intake: &mut Intake) -> Result<Positions> {
    let columns = intake.choose(names)?;
    let position = |wanted: &String| names.iter().position(|name| name == wanted);
    let optional = |wanted: &Option<String>| wanted.as_ref().and_then(position);
    Ok(Positions {
        fields: names.len(),
        text: position(&columns.text).expect("a chosen column is one of the names"),
        pair: optional(&columns.pair),
        label: optional(&columns.label),
        id: optional(&columns.id),
    })
}

fn parts(record: &Record, positions: &Positions) -> std::result::Result<Parts, RowFault> {
    // Before the count of fields, for a broken quote is the likelier cause of a wrong count than the other way round.
    let text = checked(record)?;
    if record.len() != positions.fields {
        return Err(RowFault::Ragged { expected: positions.fields, found: record.len() });
    }
    let field = |index: usize| text[record.range(index)].to_string();
    Ok(Parts {
        id: positions.id.map(field),
        text: Some(field(positions.text)),
        pair: positions.pair.map(field),
        label: positions.label.map(field).map(Found::Text),
    })
}

/// The record's bytes as text, if its quotes and its encoding are in order.
fn checked(record: &Record) -> std::result::Result<&str, RowFault> {
    if let Some(field) = record.after_quote {
        return Err(RowFault::AfterQuote { field });
    }
    let text = fault::utf8(record.bytes())?;
    // Bytes of one character may lie on both sides of a delimiter and only look whole once that is gone.
    for index in 0..record.len() {
        let range = record.range(index);
        fault::utf8(&record.bytes()[range.clone()]).map_err(|fault| match fault {
            RowFault::Utf8 { column, byte } => RowFault::Utf8 { column: column + range.start, byte },
            other => other,
        })?;
    }
    Ok(text)
}
