//! The cells of one leaf column of a row group.

use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::RowGroupReader;

use super::value::Value;

/// A column that is being read.
pub(super) struct Leaf {
    reader: ColumnReader,
    /// Definition level of a value that is there; a lower one is a null somewhere on the way to it.
    present: i16,
    unsigned: bool,
}

impl Leaf {
    /// The leaf at a place among the leaves of the file.
    pub(super) fn open(group: &dyn RowGroupReader, leaf: usize) -> Result<Self> {
        let description = group.metadata().schema_descr().column(leaf);
        let unsigned = match description.logical_type_ref() {
            Some(LogicalType::Integer(integer)) => !integer.is_signed,
            _ => matches!(
                description.converted_type(),
                ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            ),
        };
        let reader = group.get_column_reader(leaf)?;
        Ok(Leaf { reader, present: description.max_def_level(), unsigned })
    }

    /// The next `rows` cells; fewer at the end.
    pub(super) fn next(&mut self, rows: usize) -> Result<Vec<Option<Value>>> {
        let (present, unsigned) = (self.present, self.unsigned);
        match &mut self.reader {
            ColumnReader::BoolColumnReader(reader) => cells(reader, present, rows, Value::Truth),
            ColumnReader::Int32ColumnReader(reader) => cells(reader, present, rows, |value| {
                Value::Whole(if unsigned { i128::from(value as u32) } else { i128::from(value) })
            }),
            ColumnReader::Int64ColumnReader(reader) => cells(reader, present, rows, |value| {
                Value::Whole(if unsigned { i128::from(value as u64) } else { i128::from(value) })
            }),
            ColumnReader::FloatColumnReader(reader) => {
                cells(reader, present, rows, |value| Value::Real(f64::from(value)))
            }
            ColumnReader::DoubleColumnReader(reader) => cells(reader, present, rows, Value::Real),
            ColumnReader::ByteArrayColumnReader(reader) => cells(reader, present, rows, Value::Bytes),
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
                Err(ParquetError::NYI("a column of this type".into()))
            }
        }
    }
}

fn cells<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    present: i16,
    rows: usize,
    value: impl Fn(T::T) -> Value,
) -> Result<Vec<Option<Value>>> {
    let (mut levels, mut values) = (vec![], vec![]);
    let (records, _, _) = reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    if present == 0 {
        return Ok(values.into_iter().map(|found| Some(value(found))).collect());
    }
    let mut values = values.into_iter();
    let cell = |level: &i16| match (*level == present).then(|| values.next()) {
        None => Ok(None),
        Some(Some(found)) => Ok(Some(value(found))),
        Some(None) => Err(ParquetError::EOF("fewer values than levels".into())),
    };
    levels.iter().take(records).map(cell).collect()
}
