//! JSON: an array of records, or one record a line.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::fault::{self, RowFault};
use crate::input::Input;
use crate::intake::{Intake, Parts};
use crate::label::Found;

/// Reads one JSON object a line into `intake`.
pub(crate) fn read_lines(input: &mut Input, intake: &mut Intake) -> Result<()> {
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
        let item = fault::utf8(&bytes).and_then(|text| {
            let mut parser = serde_json::Deserializer::from_str(text);
            let item = AnyItem.deserialize(&mut parser);
            item.and_then(|item| parser.end().map(|()| item)).map_err(|error| {
                let message = without_place(&error);
                RowFault::Json { column: error.column(), message }
            })
        });
        take(intake, line, item)?;
    }
}

/// Reads one JSON array of objects into `intake`, object by object.
pub(crate) fn read_array(input: &mut Input, intake: &mut Intake) -> Result<()> {
    let path = intake.source().path.clone();
    let line = Cell::new(1);
    let mut stopped = None;
    let mut parser = serde_json::Deserializer::from_reader(CountedLines { reader: input, line: &line });
    // The parser asks for rows only after a byte that is no white space: an empty file is a file without rows.
    let read = parser.deserialize_seq(Array { line: &line, intake, stopped: &mut stopped });
    match (stopped, read.and_then(|()| parser.end())) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_io() => Err(Error::Read { path, source: error.into() }),
        (None, Err(error)) => {
            let message = without_place(&error);
            Err(Error::Json { path, line: error.line(), column: error.column(), message })
        }
    }
}

/// The parser's message without its own words for the place, which stands in a field of the error.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.rsplit_once(" at line ").map(|(message, _)| message.to_string()).unwrap_or(message)
}

/// A reader that counts line feeds. The JSON parser reads single bytes and looks no further than the first byte of the
/// value it is about to parse, so the count is the line of that value.
struct CountedLines<'a> {
    reader: &'a mut Input,
    line: &'a Cell<u64>,
}

impl Read for CountedLines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let feeds = buffer[..read].iter().filter(|&&byte| byte == b'\n').count();
        self.line.set(self.line.get() + feeds as u64);
        Ok(read)
    }
}

/// A value that should be a record.
enum Item {
    Record(Vec<(String, Value)>),
    Repeated(String),
    Other(&'static str),
}

struct Array<'a, 'b> {
    line: &'a Cell<u64>,
    intake: &'a mut Intake<'b>,
    /// The error of ours for which the parser was stopped.
    stopped: &'a mut Option<Error>,
}

impl<'de> Visitor<'de> for Array<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        while let Some((line, item)) = items.next_element_seed(ItemAt(self.line))? {
            if let Err(error) = take(self.intake, line, Ok(item)) {
                *self.stopped = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Reads a value and notes the line on which it starts.
struct ItemAt<'a>(&'a Cell<u64>);

impl<'de> DeserializeSeed<'de> for ItemAt<'_> {
    type Value = (u64, Item);

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<Self::Value, D::Error> {
        let line = self.0.get();
        AnyItem.deserialize(parser).map(|item| (line, item))
    }
}

/// Reads any value whole; keeps it only when it is an object.
struct AnyItem;

impl<'de> DeserializeSeed<'de> for AnyItem {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<Item, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyItem {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Item, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        let mut repeated = None;
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.iter().any(|(other, _)| *other == name) {
                repeated = Some(name);
            } else {
                fields.push((name, value));
            }
        }
        Ok(repeated.map_or(Item::Record(fields), Item::Repeated))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Item, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Other("a list"))
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<Item, E> {
        Ok(Item::Other("a string"))
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Item, E> {
        Ok(Item::Other("true or false"))
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Item, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Item, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Item, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_unit<E>(self) -> std::result::Result<Item, E> {
        Ok(Item::Other("null"))
    }
}

/// Gives an item to `intake`; the first record tells the columns.
fn take(intake: &mut Intake, line: u64, item: std::result::Result<Item, RowFault>) -> Result<()> {
    let fields = item.and_then(|item| match item {
        Item::Record(fields) => Ok(fields),
        Item::Repeated(field) => Err(RowFault::RepeatedField { field }),
        Item::Other(found) => Err(RowFault::NotARecord { found }),
    });
    if let (Ok(fields), None) = (&fields, intake.columns()) {
        let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
        intake.choose(&names)?;
    }
    let parts = fields.and_then(|fields| parts(fields, intake));
    intake.row(line, parts).map(|_| ())
}

fn parts(mut fields: Vec<(String, Value)>, intake: &Intake) -> std::result::Result<Parts, RowFault> {
    let Some(columns) = intake.columns() else { return Ok(Parts::default()) };
    let mut value = |name: &String| {
        let index = fields.iter().position(|(other, _)| other == name)?;
        Some((name.clone(), fields.swap_remove(index).1))
    };
    let mut read =
        |name: Option<&String>, read: fn(&str, Value) -> std::result::Result<Option<String>, RowFault>| {
            name.and_then(&mut value).map_or(Ok(None), |(name, value)| read(&name, value))
        };
    let (first, pair) = (read(Some(&columns.text), text)?, read(columns.pair.as_ref(), text)?);
    let id = read(columns.id.as_ref(), scalar)?;
    let label = match columns.label.as_ref().and_then(value) {
        Some((name, value)) => label(&name, value)?,
        None => None,
    };
    Ok(Parts { text: first, pair, label, id })
}

fn text(name: &str, value: Value) -> std::result::Result<Option<String>, RowFault> {
    match value {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        other => Err(RowFault::Kind { field: name.into(), expected: "a string", found: kind(&other) }),
    }
}

/// What is to be said of the record.
fn label(name: &str, value: Value) -> std::result::Result<Option<Found>, RowFault> {
    match value {
        Value::Array(items) => {
            let item = |item| match scalar(name, item)? {
                Some(text) => Ok(text),
                None => Err(RowFault::Kind {
                    field: name.into(),
                    expected: "a list of labels",
                    found: "null in a list".into(),
                }),
            };
            items.into_iter().map(item).collect::<std::result::Result<_, _>>().map(Found::List).map(Some)
        }
        Value::Number(number) if number.is_f64() && number.as_f64().is_some_and(|v| v.fract() != 0.0) => {
            Ok(number.as_f64().map(Found::Real))
        }
        other => Ok(scalar(name, other)?.map(Found::Text)),
    }
}

/// A class, or an id, as text.
fn scalar(name: &str, value: Value) -> std::result::Result<Option<String>, RowFault> {
    /// 2^53: whole numbers below are exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        Value::Bool(value) => Ok(Some(value.to_string())),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() && (value.fract() != 0.0 || value.abs() >= EXACT) => {
                Err(RowFault::Kind {
                    field: name.into(),
                    expected: "a string, a whole number, true or false",
                    found: format!("the number {number}"),
                })
            }
            Some(value) if number.is_f64() => Ok(Some((value as i64).to_string())),
            _ => Ok(Some(number.to_string())),
        },
        other => Err(RowFault::Kind {
            field: name.into(),
            expected: "a string, a whole number, true or false",
            found: kind(&other),
        }),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
    .into()
}
