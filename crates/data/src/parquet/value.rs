//! The value of a cell, and what it is as a text or a label.

use parquet::data_type::ByteArray;

use super::classes::Classes;
use crate::fault::{self, RowFault};
use crate::label::Found;

/// 2^53: whole numbers below are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A value that is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bytes(ByteArray),
    /// Of any width, signed or not.
    Whole(i128),
    Real(f64),
    Truth(bool),
}

/// A text; `None` of a null.
pub(super) fn text(cell: Option<Value>) -> Result<Option<String>, RowFault> {
    match cell {
        Some(Value::Bytes(bytes)) => Ok(Some(fault::utf8(bytes.data())?.to_string())),
        _ => Ok(None),
    }
}

/// What is to be said of a row: a number with a fraction is a value, all else is as a class.
pub(super) fn label(
    column: &str,
    cell: Option<Value>,
    classes: Option<&Classes>,
) -> Result<Option<Found>, RowFault> {
    match cell {
        Some(Value::Real(value)) if classes.is_none() && (value.fract() != 0.0 || !value.is_finite()) => {
            Ok(Some(Found::Real(value)))
        }
        cell => Ok(scalar(column, cell, classes)?.map(Found::Text)),
    }
}

/// A class, or an id, as text. A number that has a class name is that name.
pub(super) fn scalar(
    column: &str,
    cell: Option<Value>,
    classes: Option<&Classes>,
) -> Result<Option<String>, RowFault> {
    let whole = match cell {
        None => return Ok(None),
        Some(Value::Bytes(_)) => return text(cell),
        Some(Value::Truth(value)) => return Ok(Some(value.to_string())),
        Some(Value::Whole(value)) => value,
        Some(Value::Real(value)) if value.fract() == 0.0 && value.abs() < EXACT => value as i128,
        Some(Value::Real(value)) => {
            return Err(RowFault::Kind {
                field: column.into(),
                expected: "a string, a whole number, true or false",
                found: format!("the number {value}"),
            });
        }
    };
    match classes {
        None => Ok(Some(whole.to_string())),
        Some(classes) => match usize::try_from(whole).ok().and_then(|id| classes.names.get(id)) {
            Some(name) => Ok(Some(name.clone())),
            None => Err(RowFault::ClassId {
                column: column.into(),
                found: whole.to_string(),
                classes: classes.names.len(),
            }),
        },
    }
}
