//! Measured numbers beside expected ones, in tables that print, save and compare alike.

use serde_json::{Map, Value as Json, json};
use xexp_report::{Cell, Table};

/// A measured number, what it is expected to be at initialization, and how far the two may lie apart by chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub value: f64,
    /// What new weights by the family's own initializer give, in the mean; `None` where no formula says.
    pub expected: Option<f64>,
    /// Standard deviation of the value around `expected` over draws of new weights, in the value's units.
    pub deviation: Option<f64>,
    /// Whether the value is a mean of squares, whose draws have a long tail above.
    pub squares: bool,
}

impl Reading {
    /// A number that nothing is expected of.
    pub fn of(value: f64) -> Self {
        Reading { value, expected: None, deviation: None, squares: false }
    }

    /// A number beside its expectation alone.
    pub fn beside(value: f64, expected: f64) -> Self {
        Reading { expected: Some(expected), ..Reading::of(value) }
    }

    /// A number beside its expectation and the spread of draws, relative to it.
    pub fn against(value: f64, expected: f64, relative: f64) -> Self {
        Reading { deviation: Some(relative * expected.abs()), ..Reading::beside(value, expected) }
    }

    /// The same of a number with a spread in its own units.
    pub fn within(value: f64, expected: f64, deviation: f64) -> Self {
        Reading { deviation: Some(deviation), ..Reading::beside(value, expected) }
    }

    /// The same of a mean of squares, of which few are independent where the spread is large.
    pub fn of_squares(value: f64, expected: f64, relative: f64) -> Self {
        Reading { squares: true, ..Reading::against(value, expected, relative) }
    }

    /// How many standard deviations the value lies from what is expected; of a mean of squares, those of the normal law at
    /// the same probability, by the cube root of a χ² with as many degrees of freedom as the spread says.
    ///
    /// Source: Wilson & Hilferty 1931.
    pub fn z(&self) -> Option<f64> {
        let (expected, deviation) = (self.expected?, self.deviation?);
        if self.squares && expected > 0.0 && deviation > 0.0 {
            let ninth = (deviation / expected).powi(2) / 9.0;
            return Some(((self.value / expected).cbrt() - 1.0 + ninth) / ninth.sqrt());
        }
        (deviation > 0.0).then(|| (self.value - expected) / deviation)
    }

    /// The value over what is expected.
    pub fn ratio(&self) -> Option<f64> {
        self.expected.filter(|expected| *expected != 0.0).map(|expected| self.value / expected)
    }

    /// The reading as people see it: `value (expected, surprise)`.
    fn text(&self, digits: u8) -> String {
        let shown = |value| Cell::significant(value, digits).text();
        let value = shown(self.value);
        match (self.expected, self.z()) {
            (Some(expected), Some(z)) => format!("{value} ({}, {}σ)", shown(expected), surprise(z)),
            (Some(expected), None) => format!("{value} ({})", shown(expected)),
            _ => value,
        }
    }
}

/// A number with three digits.
pub(crate) fn shown(value: f64) -> String {
    Cell::significant(value, 3).text()
}

/// Standard deviations with as many digits as matter.
fn surprise(z: f64) -> String {
    if z.abs() < 9.95 { format!("{z:+.1}") } else { format!("{z:+.0e}") }
}

/// A cell of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not measured, or without meaning here.
    None,
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// A number.
    Number(Reading),
}

impl From<Reading> for Value {
    fn from(reading: Reading) -> Self {
        if reading.value.is_nan() { Value::None } else { Value::Number(reading) }
    }
}

impl From<Option<Reading>> for Value {
    fn from(reading: Option<Reading>) -> Self {
        reading.map_or(Value::None, Value::from)
    }
}

/// A column: its name, and what is expected of it by which formula.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, in CSV and JSON too.
    pub name: &'static str,
    /// What it is, with the formula and the source of what is expected.
    pub what: &'static str,
    /// Whether it is among the few that are printed on a terminal.
    pub brief: bool,
}

/// A row: what it is about, and its values by column.
#[derive(Clone, Debug)]
pub struct Row {
    /// The block, from 0; none for what lies outside all blocks.
    pub layer: Option<usize>,
    /// The head of an attention.
    pub head: Option<usize>,
    /// The tensor's key, or the place's name.
    pub name: String,
    /// One value a column.
    pub values: Vec<Value>,
}

/// A table of measurements.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Its name, also of its file.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// The columns.
    pub columns: &'static [Column],
    /// The rows, in the order of the model.
    pub rows: Vec<Row>,
}

impl Sheet {
    /// A sheet without rows.
    pub fn new(id: &'static str, title: &'static str, columns: &'static [Column]) -> Self {
        Sheet { id, title, columns, rows: vec![] }
    }

    /// The place of a column.
    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// What a row has in a column.
    pub fn get<'a>(&'a self, row: &'a Row, column: &str) -> Option<&'a Value> {
        row.values.get(self.column(column)?)
    }

    /// The reading that a row has in a column.
    pub fn reading(&self, row: &Row, column: &str) -> Option<Reading> {
        match self.get(row, column)? {
            Value::Number(reading) => Some(*reading),
            Value::Count(count) => Some(Reading::of(*count as f64)),
            _ => None,
        }
    }

    /// The number that a row has in a column.
    pub fn number(&self, row: &Row, column: &str) -> Option<f64> {
        self.reading(row, column).map(|reading| reading.value)
    }

    /// Whether any row has a head, and any a layer.
    fn keyed(&self) -> (bool, bool) {
        (self.rows.iter().any(|row| row.layer.is_some()), self.rows.iter().any(|row| row.head.is_some()))
    }

    /// What people read; `brief` are the columns for a terminal alone.
    ///
    /// # Errors
    /// None in practice: rows are made with a value a column.
    pub fn table(&self, brief: bool) -> xexp_report::Result<Table> {
        let (layers, heads) = self.keyed();
        let filled = |index: usize| self.rows.iter().any(|row| row.values[index] != Value::None);
        let wanted: Vec<usize> =
            (0..self.columns.len()).filter(|&i| (self.columns[i].brief || !brief) && filled(i)).collect();
        let keys = [(layers, "layer"), (heads, "head"), (true, "name")];
        let names = keys.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name);
        let mut table = Table::new(names.chain(wanted.iter().map(|&i| self.columns[i].name)));
        for row in &self.rows {
            let count = |value: Option<usize>| value.map_or(Cell::Empty, Cell::from);
            let mut cells = vec![];
            if layers {
                cells.push(count(row.layer));
            }
            if heads {
                cells.push(count(row.head));
            }
            cells.push(Cell::from(&row.name[..]));
            cells.extend(wanted.iter().map(|&i| match &row.values[i] {
                Value::None => Cell::Empty,
                Value::Text(text) => Cell::from(&text[..]),
                Value::Count(count) => Cell::from(*count),
                Value::Number(reading) if reading.expected.is_none() => Cell::significant(reading.value, 3),
                Value::Number(reading) => Cell::Text(reading.text(3)),
            }));
            table.push(cells)?;
        }
        Ok(table)
    }

    /// All numbers, six digits each: a column's value, and behind it what is expected and the surprise, where there is any.
    ///
    /// # Errors
    /// None in practice: rows are made with a value a column.
    pub fn csv(&self) -> xexp_report::Result<String> {
        let mut names = vec!["layer".to_string(), "head".into(), "name".into()];
        let number = |row: &Row, i: usize| match &row.values[i] {
            Value::Number(reading) => Some(*reading),
            _ => None,
        };
        let any = |i: usize, of: &dyn Fn(&Reading) -> bool| {
            self.rows.iter().filter_map(|row| number(row, i)).any(|reading| of(&reading))
        };
        let extra: Vec<[bool; 2]> = (0..self.columns.len())
            .map(|i| [any(i, &|r| r.expected.is_some()), any(i, &|r| r.z().is_some())])
            .collect();
        for (column, [expected, z]) in self.columns.iter().zip(&extra) {
            names.push(column.name.to_string());
            names.extend(expected.then(|| format!("{}_expected", column.name)));
            names.extend(z.then(|| format!("{}_z", column.name)));
        }
        let mut table = Table::new(names);
        for row in &self.rows {
            let count = |value: Option<usize>| value.map_or(Cell::Empty, Cell::from);
            let mut cells = vec![count(row.layer), count(row.head), Cell::from(&row.name[..])];
            for (i, [expected, z]) in extra.iter().enumerate() {
                cells.push(match &row.values[i] {
                    Value::None => Cell::Empty,
                    Value::Text(text) => Cell::from(&text[..]),
                    Value::Count(count) => Cell::from(*count),
                    Value::Number(reading) => six(reading.value),
                });
                let reading = number(row, i);
                let cell = |value: Option<f64>| value.map_or(Cell::Empty, six);
                cells.extend(expected.then(|| cell(reading.and_then(|r| r.expected))));
                cells.extend(z.then(|| cell(reading.and_then(|r| r.z()))));
            }
            table.push(cells)?;
        }
        Ok(table.csv())
    }

    /// For programs: an object a row.
    pub fn json(&self) -> Json {
        let row = |row: &Row| {
            let mut object = Map::new();
            object.insert("layer".into(), json!(row.layer));
            if row.head.is_some() {
                object.insert("head".into(), json!(row.head));
            }
            object.insert("name".into(), json!(row.name));
            for (column, value) in self.columns.iter().zip(&row.values) {
                let value = match value {
                    Value::None => continue,
                    Value::Text(text) => json!(text),
                    Value::Count(count) => json!(count),
                    Value::Number(Reading { value, expected: None, .. }) => json!(value),
                    Value::Number(reading) => {
                        json!({ "value": reading.value, "expected": reading.expected, "z": reading.z() })
                    }
                };
                object.insert(column.name.into(), value);
            }
            Json::Object(object)
        };
        Json::Array(self.rows.iter().map(row).collect())
    }
}

/// A number of six digits: more would be noise in a record, and less would lose what comparisons need.
fn six(value: f64) -> Cell {
    Cell::Text(Cell::significant(value, 6).text())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column { name: "std", what: "", brief: true }, Column { name: "kind", what: "", brief: false }];

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new("weights", "Weights", COLUMNS);
        let values = vec![Reading::against(0.03, 0.02, 0.1).into(), Value::Text("linear".into())];
        sheet.rows.push(Row { layer: Some(2), head: None, name: "a.weight".into(), values });
        let values = vec![Reading::of(1.5).into(), Value::None];
        sheet.rows.push(Row { layer: None, head: None, name: "b".into(), values });
        sheet
    }

    #[test]
    fn a_number_stands_beside_what_is_expected_and_its_surprise() {
        let sheet = sheet();
        assert_eq!(
            sheet.reading(&sheet.rows[0], "std").unwrap().z().map(|z| (z * 1e6).round() / 1e6),
            Some(5.0)
        );
        let text = sheet.table(true).unwrap().markdown();
        assert!(text.contains("0.0300 (0.0200, +5.0σ)") && !text.contains("linear"), "{text}");
        let csv = sheet.csv().unwrap();
        assert!(csv.starts_with("layer,head,name,std,std_expected,std_z,kind\n2,,a.weight,"), "{csv}");
        assert!(csv.ends_with(",,b,1.50000,,,\n"), "{csv}");
        let json = sheet.json();
        assert_eq!(json[0]["std"]["expected"], 0.02);
        assert_eq!(json[1]["std"], 1.5);
    }

    #[test]
    fn what_is_no_number_is_no_value() {
        assert_eq!(Value::from(Reading::of(f64::NAN)), Value::None);
        assert_eq!(Reading::beside(1.0, 0.0).ratio(), None);
    }
}
