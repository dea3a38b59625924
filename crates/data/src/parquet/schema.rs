//! What the columns of a file hold.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::schema::types::{SchemaDescriptor, Type};

use crate::error::{Error, Result};

/// A column: a field of the schema's root.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds, with the places of its leaves among the leaves of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text(usize),
    /// Bytes that are not marked as text.
    Binary(usize),
    Whole(usize),
    Real(usize),
    Truth(usize),
    /// Bytes of an image file with its path, as the feature `Image` of `datasets` stores them.
    Image {
        bytes: usize,
        path: Option<usize>,
    },
    /// Anything else, in words.
    Other(&'static str),
}

impl Kind {
    /// The leaf of a column whose values can be written as a label or an id.
    pub(super) fn scalar(self) -> Option<usize> {
        match self {
            Kind::Text(leaf)
            | Kind::Binary(leaf)
            | Kind::Whole(leaf)
            | Kind::Real(leaf)
            | Kind::Truth(leaf) => Some(leaf),
            Kind::Image { .. } | Kind::Other(_) => None,
        }
    }

    pub(super) fn is_scalar(self) -> bool {
        self.scalar().is_some()
    }

    /// Its values in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Text(_) => "strings",
            Kind::Binary(_) => "bytes",
            Kind::Whole(_) => "whole numbers",
            Kind::Real(_) => "floating-point numbers",
            Kind::Truth(_) => "true and false",
            Kind::Image { .. } => "images",
            Kind::Other(name) => name,
        }
    }
}

/// The columns of a schema, in its order.
pub(super) fn fields(schema: &SchemaDescriptor) -> Vec<Field> {
    let leaf = |path: &[&str]| schema.columns().iter().position(|leaf| leaf.path().parts() == path);
    let field = |field: &parquet::schema::types::TypePtr| {
        let name = field.name();
        let kind = match &**field {
            _ if is_list(field) => Kind::Other("lists"),
            Type::PrimitiveType { .. } => match leaf(&[name]) {
                Some(leaf) => primitive(field, leaf),
                None => Kind::Other("nothing"),
            },
            Type::GroupType { .. } => match (child(field, "bytes"), child(field, "path")) {
                (Some(bytes), path)
                    if matches!(primitive(bytes, 0), Kind::Binary(_))
                        && path.is_none_or(|path| matches!(primitive(path, 0), Kind::Text(_))) =>
                {
                    match leaf(&[name, "bytes"]) {
                        Some(bytes) => Kind::Image { bytes, path: leaf(&[name, "path"]) },
                        None => Kind::Other("records of fields"),
                    }
                }
                _ => Kind::Other("records of fields"),
            },
        };
        Field { name: name.to_string(), kind }
    };
    schema.root_schema().get_fields().iter().map(field).collect()
}

fn child<'a>(group: &'a Type, name: &str) -> Option<&'a Type> {
    let found = group.get_fields().iter().find(|field| field.name() == name)?;
    (found.is_primitive() && !is_list(found)).then_some(&**found)
}

/// Whether a field repeats, or is a group that is marked as a list or a map.
fn is_list(field: &Type) -> bool {
    let info = field.get_basic_info();
    (info.has_repetition() && info.repetition() == Repetition::REPEATED)
        || matches!(info.logical_type_ref(), Some(LogicalType::List | LogicalType::Map))
        || matches!(info.converted_type(), ConvertedType::LIST | ConvertedType::MAP)
}

fn primitive(field: &Type, leaf: usize) -> Kind {
    let info = field.get_basic_info();
    let (logical, converted) = (info.logical_type_ref(), info.converted_type());
    match field.get_physical_type() {
        Physical::BOOLEAN => Kind::Truth(leaf),
        Physical::FLOAT | Physical::DOUBLE => Kind::Real(leaf),
        Physical::BYTE_ARRAY => match (logical, converted) {
            (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json), _)
            | (None, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON) => Kind::Text(leaf),
            (None, ConvertedType::NONE) => Kind::Binary(leaf),
            _ => Kind::Other("decimal numbers or other marked bytes"),
        },
        Physical::INT32 | Physical::INT64 => match (logical, converted) {
            (Some(LogicalType::Integer(_)), _)
            | (
                None,
                ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64
                | ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
            ) => Kind::Whole(leaf),
            _ => Kind::Other("dates, times or decimal numbers"),
        },
        Physical::INT96 => Kind::Other("times"),
        Physical::FIXED_LEN_BYTE_ARRAY => Kind::Other("bytes of a fixed length"),
    }
}

/// An encrypted file says so in its last four bytes.
///
/// Source: Parquet Modular Encryption, "Encrypted footer mode".
pub(super) fn refuse_encrypted(path: &Path, mut file: &File) -> Result<()> {
    let mut end = [0; 4];
    // What is shorter, or has no end, is no Parquet file, which its reader says better.
    if file.seek(SeekFrom::End(-4)).is_ok() && file.read_exact(&mut end).is_ok() && &end == b"PARE" {
        return Err(Error::Parquet { path: path.into(), message: "the file is encrypted".into() });
    }
    Ok(())
}
