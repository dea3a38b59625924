//! Parquet files: tables of typed columns, of which only those in use are read.
//!
//! Rows come in blocks, so that a file of any length takes the memory of its examples alone. Several files can be one
//! table; their rows are counted over all of them.

mod classes;
mod column;
mod guard;
mod schema;
mod value;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use sha2::{Digest, Sha256};

use crate::columns::{Columns, Role};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::fault::RowFault;
use crate::intake::{Intake, Parts};
use crate::picture::Still;
use crate::source::Source;
use classes::Classes;
use column::Leaf;
use guard::guarded;
pub use guard::panic_is_expected;
use schema::{Field, Kind};
use value::Value;

/// Rows of a block.
const BLOCK: usize = 2048;

/// The examples of a source, and where their images are when it holds images.
pub(crate) fn read(source: &Source, labelled: bool) -> Result<(Dataset, Vec<Still>)> {
    let paths = paths(source);
    if labelled && labels_are_hidden(source)? {
        return Err(Error::HiddenLabels { path: source.path.clone() });
    }
    let mut intake = Intake::new(source, labelled);
    let (mut hash, mut stills, mut rows) = (Sha256::new(), vec![], 0);
    let mut classes: Option<Option<Classes>> = None;
    for path in paths {
        let table = Table::open(path)?;
        let columns = table.columns(&mut intake, source, labelled)?;
        let found = columns.label.as_ref().map(|label| table.classes(label)).transpose()?.flatten();
        if classes.get_or_insert_with(|| found.clone()) != &found {
            let message = "its class names differ from those of the files before it".into();
            return Err(Error::Parquet { path: path.clone(), message });
        }
        let plan = Slots::find(&table, &columns, source.images)?;
        hash_file(path, &mut hash)?;
        table.take(&plan, &columns, found.as_ref(), &mut intake, (&mut rows, &mut stills))?;
    }
    let mut data = intake.finish(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())?;
    data.class_names = classes.flatten().map(|classes| classes.names);
    Ok((data, stills))
}

fn paths(source: &Source) -> &[PathBuf] {
    if source.shards.is_empty() { std::slice::from_ref(&source.path) } else { &source.shards }
}

/// Whether every class id of a source in Parquet is −1, which is how data sets of contests keep the labels of their test
/// split back.
///
/// # Errors
/// A file that cannot be read, or is not Parquet; a column that is not found.
pub fn labels_are_hidden(source: &Source) -> Result<bool> {
    for path in paths(source) {
        let table = Table::open(path)?;
        let columns = table.choose(source, true)?;
        let Some(label) = &columns.label else { return Ok(false) };
        let plan = Slots::find(&table, &columns, source.images)?;
        if table.classes(label)?.is_none() || !table.all_hidden(&plan)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the file has a column of images: of bytes with a path, or of plain bytes under the name of one.
///
/// # Errors
/// A file that cannot be read, or is not Parquet.
pub fn parquet_holds_images(path: &Path) -> Result<bool> {
    let table = Table::open(path)?;
    let named = |field: &Field| Role::Image.defaults().contains(&field.name.to_ascii_lowercase().as_str());
    Ok(table.fields.iter().any(|field| match field.kind {
        Kind::Image { .. } => true,
        Kind::Binary(_) => named(field),
        _ => false,
    }))
}

/// An open file.
struct Table {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    fields: Vec<Field>,
}

impl Table {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Read { path: path.into(), source })?;
        schema::refuse_encrypted(path, &file)?;
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(|error| damaged(path, &error))?;
        let fields = schema::fields(reader.metadata().file_metadata().schema_descr());
        Ok(Table { path: path.into(), reader, fields })
    }

    /// The columns in use of this file.
    fn choose(&self, source: &Source, labelled: bool) -> Result<Columns> {
        let names: Vec<String> = self.fields.iter().map(|field| field.name.clone()).collect();
        let source = Source { path: self.path.clone(), ..source.clone() };
        let mut columns = Columns::choose(&source, labelled, &names)?;
        // An id is of use only where it can be written down.
        columns.id = columns.id.filter(|id| self.field(id).is_some_and(|field| field.kind.is_scalar()));
        Ok(columns)
    }

    /// The columns in use: chosen in the first file, and the same in every further one.
    fn columns(&self, intake: &mut Intake, source: &Source, labelled: bool) -> Result<Columns> {
        let columns = self.choose(source, labelled)?;
        match intake.columns() {
            None => intake.adopt(columns.clone()),
            Some(first) if *first == columns => {}
            Some(_) => {
                let message = "its columns differ from those of the files before it".into();
                return Err(Error::Parquet { path: self.path.clone(), message });
            }
        }
        Ok(columns)
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn classes(&self, label: &str) -> Result<Option<Classes>> {
        let entries = self.reader.metadata().file_metadata().key_value_metadata();
        Classes::of(label, entries.map_or(&[], Vec::as_slice))
            .map_err(|message| Error::Parquet { path: self.path.clone(), message })
    }

    /// Whether every label is −1.
    fn all_hidden(&self, slots: &Slots) -> Result<bool> {
        let Some(label) = slots.label else { return Ok(false) };
        let (mut rows, mut hidden) = (0, 0);
        self.blocks(&[slots.leaves[label]], |cells| {
            rows += cells[0].len();
            hidden += cells[0].iter().filter(|cell| matches!(cell, Some(Value::Whole(-1)))).count();
            Ok(())
        })?;
        Ok(rows > 0 && rows == hidden)
    }

    /// Gives all rows to `intake`.
    fn take(
        &self,
        slots: &Slots,
        columns: &Columns,
        classes: Option<&Classes>,
        intake: &mut Intake,
        (rows, stills): (&mut u64, &mut Vec<Still>),
    ) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        self.blocks(&slots.leaves, |cells| {
            for row in 0..cells.first().map_or(0, Vec::len) {
                *rows += 1;
                let mut cell = |slot: Option<usize>| slot.and_then(|slot| cells[slot][row].take());
                let mut still = None;
                let text = match slots.first {
                    First::Text(slot) => value::text(cell(Some(slot))),
                    First::Image { bytes, path } => {
                        let (bytes, path) = (cell(bytes), cell(path));
                        image(&columns.text, folder, *rows, bytes, path).map(|(name, found)| {
                            still = Some(found);
                            Some(name)
                        })
                    }
                };
                let label = |cell| match &columns.label {
                    Some(name) => value::label(name, cell, classes),
                    None => Ok(None),
                };
                let parts = text.and_then(|text| {
                    let id = value::scalar(columns.id.as_deref().unwrap_or_default(), cell(slots.id), None)?;
                    let pair = value::text(cell(slots.pair))?;
                    Ok(Parts { id, text, pair, label: label(cell(slots.label))? })
                });
                if intake.row(*rows, parts)? {
                    stills.extend(still);
                }
            }
            Ok(())
        })
    }

    /// The cells of some columns, a block of rows after the other; every column has the same number of cells.
    fn blocks(
        &self,
        leaves: &[usize],
        mut block: impl FnMut(&mut [Vec<Option<Value>>]) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: ParquetError| damaged(&self.path, &error);
        for group in 0..self.reader.num_row_groups() {
            let group = guarded(|| self.reader.get_row_group(group)).map_err(failed)?;
            let mut columns = leaves
                .iter()
                .map(|&leaf| guarded(|| Leaf::open(&*group, leaf)))
                .collect::<parquet::errors::Result<Vec<_>>>()
                .map_err(failed)?;
            let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
            while left > 0 {
                let wanted = left.min(BLOCK);
                let mut cells = vec![];
                for column in &mut columns {
                    let found = guarded(|| column.next(wanted)).map_err(failed)?;
                    if found.len() != wanted {
                        let message = "a column ends before its rows do".into();
                        return Err(Error::Parquet { path: self.path.clone(), message });
                    }
                    cells.push(found);
                }
                block(&mut cells)?;
                left -= wanted;
            }
        }
        Ok(())
    }
}

/// The columns of the file that are read, and which is for what; places count within `leaves`.
struct Slots {
    leaves: Vec<usize>,
    first: First,
    pair: Option<usize>,
    label: Option<usize>,
    id: Option<usize>,
}

/// What an example begins with.
enum First {
    Text(usize),
    Image { bytes: Option<usize>, path: Option<usize> },
}

impl Slots {
    /// Holds the columns against what their roles can take.
    fn find(table: &Table, columns: &Columns, images: bool) -> Result<Self> {
        let mut leaves = vec![];
        let mut add = |leaf: usize| {
            leaves.push(leaf);
            leaves.len() - 1
        };
        let unusable = |role: Role, field: &Field, expected| Error::ColumnKind {
            path: table.path.clone(),
            role,
            column: field.name.clone(),
            found: field.kind.name(),
            expected,
        };
        let field = |name: &String| table.field(name).expect("a chosen column is one of the file's");
        let texts = |role, name: &String| match field(name).kind {
            Kind::Text(leaf) | Kind::Binary(leaf) => Ok(leaf),
            _ => Err(unusable(role, field(name), "strings")),
        };
        let scalar = |role, name: &String| match field(name).kind.scalar() {
            Some(leaf) => Ok(leaf),
            None => Err(unusable(role, field(name), "strings, whole numbers, or true and false")),
        };
        let first = match (images, &field(&columns.text).kind) {
            (false, _) => First::Text(add(texts(Role::Text, &columns.text)?)),
            (true, &Kind::Text(path)) => First::Image { bytes: None, path: Some(add(path)) },
            (true, &Kind::Binary(bytes)) => First::Image { bytes: Some(add(bytes)), path: None },
            (true, &Kind::Image { bytes, path }) => {
                First::Image { bytes: Some(add(bytes)), path: path.map(&mut add) }
            }
            (true, _) => {
                return Err(unusable(Role::Image, field(&columns.text), "images as bytes, or their paths"));
            }
        };
        let pair = columns.pair.as_ref().map(|name| texts(Role::Pair, name)).transpose()?.map(&mut add);
        let label = columns.label.as_ref().map(|name| scalar(Role::Label, name)).transpose()?.map(&mut add);
        let id = columns.id.as_ref().and_then(|name| field(name).kind.scalar()).map(&mut add);
        Ok(Slots { leaves, first, pair, label, id })
    }
}

/// Name and place of an image: its bytes, or else the file that its path names.
fn image(
    column: &str,
    folder: &Path,
    row: u64,
    bytes: Option<Value>,
    path: Option<Value>,
) -> std::result::Result<(String, Still), RowFault> {
    let path = value::text(path)?.filter(|path| !path.is_empty());
    let still = match (bytes, &path) {
        (Some(Value::Bytes(bytes)), _) => Still::Bytes(Arc::from(bytes.data())),
        (_, Some(path)) => Still::File(folder.join(path)),
        _ => return Err(RowFault::NoImage { column: column.into() }),
    };
    Ok((path.unwrap_or_else(|| format!("image {row}")), still))
}

fn hash_file(path: &Path, hash: &mut Sha256) -> Result<()> {
    let failed = |source| Error::Read { path: path.into(), source };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    loop {
        let bytes = file.fill_buf().map_err(failed)?;
        if bytes.is_empty() {
            return Ok(());
        }
        hash.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
}

fn damaged(path: &Path, error: &ParquetError) -> Error {
    let message = error.to_string();
    let message = message.strip_prefix("Parquet error: ").unwrap_or(&message).to_string();
    Error::Parquet { path: path.into(), message }
}
