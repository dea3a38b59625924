//! Attention heads: how large logits can become by the weights, and what real input makes of them.

use xexp_backbones::Params;

use crate::Result;
use crate::sheet::{Column, Reading, Row, Sheet, Value};
use crate::spectral;
use crate::structure::{Block, Event, Projection, Structure, rows_of};
use crate::watch::Attention;

const COLUMNS: &[Column] = &[
    Column {
        name: "qk_norm",
        what: "‖W_Q W_Kᵀ‖/√d_k, which bounds a logit by its product with ‖x_i‖‖x_j‖; expected: the edge of the free product of two Marchenko–Pastur laws (Voiculescu 1987)",
        brief: true,
    },
    Column {
        name: "row_variance",
        what: "variance of the logits within a row; expected: independent queries and keys of the initial size on this layer's own input, scale²·E|q|²·E|k − k̄|²/d_k·(σ₀/σ)⁴",
        brief: true,
    },
    Column { name: "max_logit", what: "largest magnitude of a logit", brief: false },
    Column {
        name: "entropy",
        what: "entropy of a row over ln of its visible keys; expected: the law of Gaussian rows of the expected variance",
        brief: true,
    },
    Column {
        name: "heat",
        what: "σ²_row/(2 ln n): liquid below 0.5, frozen above 1 (random energy model, Derrida 1981)",
        brief: false,
    },
    Column {
        name: "state",
        what: "liquid, crossover or frozen; near uniform, or collapsed on one key",
        brief: true,
    },
    Column { name: "first", what: "share of the weight on a sequence's first token", brief: true },
    Column {
        name: "special",
        what: "share of the weight that ordinary tokens give to special ones",
        brief: false,
    },
];

/// Above this share of the largest entropy a head is near uniform; below the second it has collapsed on a key.
pub const UNIFORM: f64 = 0.99;
/// See [`UNIFORM`].
pub const COLLAPSED: f64 = 0.1;

/// The ratio of squared standard deviations, new to present, of the rows that a projection takes.
fn renewed(params: &Params, projection: &Projection) -> Option<f64> {
    let weight = params.weight(projection.weight);
    let new = weight.init.std(&weight.layer).ok()?;
    let (rows, _) = rows_of(&weight.layer, &params.values(projection.weight).ok()?, &projection.outputs)?;
    let square = xexp_kernels::sum_of_squares(&rows) / rows.len().max(1) as f64;
    (square > 0.0).then(|| new * new / square)
}

/// Whether queries and keys are normalized before they meet.
fn normed(block: &Block) -> bool {
    let inner = block.events.iter().skip_while(|event| !matches!(event, Event::Product(_)));
    inner
        .take_while(|event| !matches!(event, Event::Attention(..)))
        .any(|event| matches!(event, Event::Norm(_)))
}

/// A row a head; what input showed where there was some.
///
/// # Errors
/// None in practice: our weights are slices.
pub fn sheet(params: &Params, structure: &Structure, seen: &[Attention]) -> Result<Sheet> {
    let mut sheet = Sheet::new("heads", "Attention heads", COLUMNS);
    for (index, block) in structure.blocks.iter().enumerate() {
        let Some((law, _)) = block.attention() else { continue };
        let watched = seen.iter().find(|attention| attention.block == index);
        let parts = match &block.projections {
            Some(parts) => {
                let rows = |part: &Projection| -> Result<_> {
                    let layer = &params.weight(part.weight).layer;
                    Ok(rows_of(layer, &params.values(part.weight)?, &part.outputs))
                };
                rows(&parts[0])?.zip(rows(&parts[1])?)
            }
            None => None,
        };
        let turned = block.events.iter().any(|event| matches!(event, Event::Turn));
        let factor = block.projections.as_ref().and_then(|[q, k]| {
            if normed(block) { Some(1.0) } else { Some(renewed(params, q)? * renewed(params, k)?) }
        });
        let new = block.projections.as_ref().and_then(|parts| {
            let std = |part: &Projection| {
                let weight = params.weight(part.weight);
                weight.init.std(&weight.layer).ok()
            };
            Some(std(&parts[0])? * std(&parts[1])?)
        });
        for head in 0..law.heads {
            let width = law.head_width;
            let norm = parts.as_ref().map(|((q, columns), (k, _))| {
                let served = head / (law.heads / law.kv_heads);
                let rows = |all: &[f32], head: usize| {
                    all[head * width * columns..(head + 1) * width * columns].to_vec()
                };
                let value = spectral::norm_of_pair(&rows(q, head), &rows(k, served), *columns)
                    / (width as f64).sqrt();
                let Some(new) = new else { return Reading::of(value) };
                let edge = spectral::expected_of_pair(width, *columns);
                // Finite matrices stay below the edge by about as much as they spread.
                Reading::against(
                    value,
                    new * *columns as f64 * edge / (width as f64).sqrt(),
                    (width as f64).powf(-2.0 / 3.0),
                )
            });
            let mut values = vec![Value::from(norm)];
            match watched {
                None => values.extend((1..COLUMNS.len()).map(|_| Value::None)),
                Some(attention) => {
                    let (variance, entropy) = attention.expected(head, factor, turned);
                    let of = &attention.heads[head];
                    values.extend([
                        variance.into(),
                        Reading::of(of.max).into(),
                        entropy.into(),
                        Reading::of(of.heat()).into(),
                        state(of.heat(), entropy.value)
                            .map_or(Value::None, |state| Value::Text(state.into())),
                        Reading::of(of.first()).into(),
                        Reading::of(of.special()).into(),
                    ]);
                }
            }
            sheet.rows.push(Row { layer: Some(index), head: Some(head), name: block.place.clone(), values });
        }
    }
    Ok(sheet)
}

/// In which phase a head is.
fn state(heat: f64, entropy: f64) -> Option<&'static str> {
    Some(match (heat, entropy) {
        _ if heat.is_nan() || entropy.is_nan() => return None,
        (_, entropy) if entropy < COLLAPSED => "collapsed",
        (_, entropy) if entropy > UNIFORM => "near uniform",
        (heat, _) if heat > 1.0 => "frozen",
        (heat, _) if heat > 0.5 => "crossover",
        _ => "liquid",
    })
}
