//! What changed from one checkpoint to another of the same architecture.

use xexp_backbones::Declarations;
use xexp_backbones::checkpoint::Checkpoint;

use crate::sheet::{Column, Reading, Row, Sheet, Value};
use crate::structure::Structure;
use crate::{Result, spectral, weights};

const CHANGES: &[Column] = &[
    Column { name: "moved", what: "‖W′ − W‖/‖W‖", brief: true },
    Column { name: "turned", what: "1 − ⟨W′, W⟩/(‖W′‖‖W‖)", brief: true },
    Column { name: "size", what: "‖W′‖/‖W‖", brief: true },
    Column {
        name: "rank",
        what: "stable rank of the change, ‖Δ‖²_F/‖Δ‖²; expected: that of noise, rows·columns/edge of the Marchenko–Pastur law",
        brief: true,
    },
    Column {
        name: "share", what: "share of the whole model's ‖Δ‖² that lies in this weight", brief: false
    },
];

/// Each weight of the one against the same of the other, a pair at a time; weights that one of them lacks are left out, as
/// are those of other shapes, and both are counted.
///
/// # Errors
/// A tensor of a type that is none of floats.
pub fn changes(
    declared: &Declarations,
    (before, after): (&Checkpoint, &Checkpoint),
    structure: Option<&Structure>,
) -> Result<(Sheet, Vec<String>)> {
    let mut sheet = Sheet::new("changes", "What changed", CHANGES);
    let (mut left, mut totals) = (vec![], vec![]);
    let others: std::collections::BTreeMap<String, String> =
        declared.found(after).filter_map(|(name, .., key)| Some((name.to_string(), key?))).collect();
    for (name, layer, _, key) in declared.found(before) {
        if !layer.is_parameter() {
            continue;
        }
        let (Some(key), Some(other)) = (key, others.get(name)) else {
            left.push(name.to_string());
            continue;
        };
        let (old, new) = (before.stored(&key)?, after.stored(other)?);
        if old.len() != new.len() {
            left.push(key);
            continue;
        }
        // Of what was zero nothing is a multiple.
        let over = |a: f64, b: f64| {
            if b > 0.0 { Value::from(Reading::of((a / b).sqrt())) } else { Value::None }
        };
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let (was, is) = (dot(&old, &old), dot(&new, &new));
        let change: Vec<f32> = new.iter().zip(&old).map(|(new, old)| new - old).collect();
        let moved = dot(&change, &change);
        let dense = !matches!(layer, xexp_init::Layer::Embedding { .. });
        let rank = weights::matrix(layer).filter(|_| dense && moved > 0.0).map(|(rows, columns)| {
            let (edge, deviation) = spectral::expected(rows, columns);
            let top = spectral::norm(&change, columns);
            Reading::against(
                moved / (top * top),
                (rows * columns) as f64 / (edge * edge),
                2.0 * deviation / edge,
            )
        });
        totals.push(moved);
        sheet.rows.push(Row {
            layer: structure.and_then(|structure| structure.layer(name)),
            head: None,
            name: key,
            values: vec![
                over(moved, was),
                Reading::of(1.0 - dot(&old, &new) / (was * is).sqrt()).into(),
                over(is, was),
                rank.into(),
                Value::None,
            ],
        });
    }
    let total: f64 = totals.iter().sum();
    for (row, moved) in sheet.rows.iter_mut().zip(totals) {
        row.values[4] = Reading::of(moved / total).into();
    }
    Ok((sheet, left))
}

/// A sheet of the second model beside that of the first: each number of the second, and in the place of what is expected the
/// first's. Rows are matched by block, head and name, with the family's `prefix` or without: bare checkpoints have none.
pub fn beside(first: &Sheet, second: &Sheet, prefix: &str) -> Sheet {
    let bare = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_string();
    let mut sheet = Sheet::new(second.id, second.title, second.columns);
    for row in &second.rows {
        let same = |other: &&Row| {
            (other.layer, other.head) == (row.layer, row.head) && bare(&other.name) == bare(&row.name)
        };
        let Some(other) = first.rows.iter().find(same) else { continue };
        let pair = |(new, old): (&Value, &Value)| match (new, old) {
            (Value::Number(new), Value::Number(old)) => Value::Number(Reading::beside(new.value, old.value)),
            (Value::Text(new), Value::Text(old)) if new != old => Value::Text(format!("{old} → {new}")),
            (Value::Count(new), Value::Count(old)) if new != old => {
                Value::Number(Reading::beside(*new as f64, *old as f64))
            }
            (same, _) => same.clone(),
        };
        let values = row.values.iter().zip(&other.values).map(pair).collect();
        sheet.rows.push(Row { values, ..row.clone() });
    }
    sheet
}
