//! Recorded tables held against what they should say.

use std::path::Path;

use xexp_report::lab::Prediction;

/// How far a recomputed number may be from the recorded one, as a share of it: mathematical libraries differ in the
/// last digits.
const CLOSE: f64 = 1e-9;

/// Texts that should be equal, by lines: the first that is not.
pub fn lines(path: &Path, expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let (mut a, mut b) = (expected.lines(), found.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return Some(format!("{}: line ends differ", path.display())),
            (a, b) => {
                let shown =
                    |text: Option<&str>| text.map_or_else(|| "the end".to_owned(), |t| format!("`{t}`"));
                return Some(format!("{}:{line}: expected {}, found {}", path.display(), shown(a), shown(b)));
            }
        }
    }
}

/// Recorded predictions against those that the code makes now.
pub fn predictions(path: &Path, expected: &[Prediction], found: &[Prediction]) -> Vec<String> {
    let place = path.display();
    let mut differences = vec![];
    if expected.len() != found.len() {
        differences.push(format!("{place}: expected {} rows, found {}", expected.len(), found.len()));
    }
    for (expected, found) in expected.iter().zip(found) {
        let name = &expected.row.row;
        for ((column, expected), (_, found)) in fields(expected).into_iter().zip(fields(found)) {
            if !expected.agrees(&found) {
                let (expected, found) = (expected.shown(), found.shown());
                differences.push(format!("{place}: {name}: {column}: expected {expected}, found {found}"));
            }
        }
    }
    differences
}

/// A field of a prediction: words, or a number that may differ in its last digits.
enum Field {
    Words(String),
    Number(Option<f64>, f64),
}

impl Field {
    fn agrees(&self, other: &Field) -> bool {
        match (self, other) {
            (Field::Words(a), Field::Words(b)) => a == b,
            (Field::Number(None, _), Field::Number(None, _)) => true,
            (Field::Number(Some(a), scale), Field::Number(Some(b), _)) => {
                a == b || (a - b).abs() <= CLOSE * a.abs().max(b.abs()).max(*scale)
            }
            _ => false,
        }
    }

    fn shown(&self) -> String {
        match self {
            Field::Words(text) => format!("`{text}`"),
            Field::Number(number, _) => number.map_or_else(|| "nothing".to_owned(), |x| format!("{x:?}")),
        }
    }
}

fn fields(prediction: &Prediction) -> Vec<(&'static str, Field)> {
    let row = &prediction.row;
    let words = |text: &str| Field::Words(text.to_owned());
    let claim = row.claim.as_ref();
    let point = row.point.as_ref();
    // A value near zero is as exact as its tolerance asks for.
    let scale = row.predicted.map_or(0.0, |rule| rule.tolerance());
    let number = |value: Option<f64>| Field::Number(value, scale);
    vec![
        ("row", words(&row.row)),
        ("setup", words(&prediction.setup)),
        ("quantity", words(&row.quantity)),
        ("unit", words(&row.unit)),
        ("rule", words(row.predicted.map_or("", |rule| rule.sign()))),
        ("predicted", number(row.predicted.map(|rule| rule.value()))),
        ("tolerance", number(row.predicted.map(|rule| rule.tolerance()))),
        ("reason", words(&row.reason)),
        ("statistic", Field::Words(format!("{:?}", row.statistic))),
        ("control", words(if row.control { "true" } else { "false" })),
        ("announced", words(row.announced.as_deref().unwrap_or_default())),
        ("claim", words(claim.map_or("", |claim| &claim.text))),
        ("claim_rule", words(claim.map_or("", |claim| claim.says.sign()))),
        ("claim_value", number(claim.map(|claim| claim.says.value()))),
        ("claim_tolerance", number(claim.map(|claim| claim.says.tolerance()))),
        ("why", words(claim.map_or("", |claim| &claim.why))),
        ("figure", words(point.map_or("", |point| &point.figure))),
        ("series", words(point.map_or("", |point| &point.series))),
        ("x", number(point.map(|point| point.x))),
    ]
}
