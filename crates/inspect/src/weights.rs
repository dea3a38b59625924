//! The weights as they lie in the checkpoint: sizes, scales, shapes of their spectra.

use xexp_backbones::Declarations;
use xexp_backbones::checkpoint::Checkpoint;
use xexp_init::{Dist, Init, Layer};

use crate::headroom::{BF16, E4M3, F16, bits, lost_in_f16};
use crate::sheet::{Column, Reading, Row, Sheet, Value};
use crate::structure::Structure;
use crate::{Result, spectral};

const COLUMNS: &[Column] = &[
    Column { name: "kind", what: "layer kind", brief: false },
    Column { name: "shape", what: "shape", brief: true },
    Column { name: "fan_in", what: "products that an output sums", brief: false },
    Column { name: "fan_out", what: "products that an input feeds", brief: false },
    Column {
        name: "std",
        what: "standard deviation; expected: that of the family's own initializer, which draws spread by √((κ + 2)/4n) of it for n values of excess kurtosis κ. Rows of zeros (padding) are left out",
        brief: true,
    },
    Column { name: "mean", what: "mean", brief: false },
    Column {
        name: "kurtosis",
        what: "excess kurtosis; a normal law has 0, a uniform one −1.2",
        brief: false,
    },
    Column {
        name: "xavier",
        what: "std over √(2/(fan_in + fan_out)) (Glorot & Bengio 2010, eq. 12)",
        brief: false,
    },
    Column { name: "he", what: "std over √(2/fan_in) (He et al. 2015, eq. 10)", brief: false },
    Column { name: "lecun", what: "std over √(1/fan_in) (LeCun et al. 1998, eq. 16)", brief: false },
    Column { name: "nearest", what: "the initializer whose std is nearest", brief: true },
    Column {
        name: "moved",
        what: "at least so far from its initial values, relative to their norm: |std/std₀ − 1| (reverse triangle inequality)",
        brief: true,
    },
    Column {
        name: "spectral",
        what: "largest singular value; expected: std₀·√edge of the Marchenko–Pastur law with Tracy–Widom mean and spread (Johnstone 2001)",
        brief: true,
    },
    Column {
        name: "stable_rank",
        what: "‖W‖²_F/‖W‖²; expected: rows·columns/edge of the Marchenko–Pastur law",
        brief: true,
    },
    Column {
        name: "peak",
        what: "largest size of a row or column over the median one; of a vector, its largest value over the median one",
        brief: false,
    },
    Column { name: "max", what: "largest magnitude", brief: true },
    Column { name: "f16_bits", what: "log₂(65504/max), below 0 beyond the format", brief: true },
    Column { name: "bf16_bits", what: "log₂(3.39e38/max)", brief: false },
    Column { name: "fp8_bits", what: "log₂(448/max), FP8 e4m3 without a scale", brief: false },
    Column { name: "f16_lost", what: "share of values that binary16 makes zero of", brief: false },
    Column { name: "nan", what: "values that are no number", brief: true },
    Column { name: "inf", what: "infinite values", brief: true },
];

/// The weights of a checkpoint, by the names that the family declares; one tensor is read at a time. `law` is by which a
/// weight is drawn, where that is not the declared initializer.
///
/// # Errors
/// A tensor of a type that is none of floats.
pub fn sheet(
    declared: &Declarations,
    checkpoint: &Checkpoint,
    structure: Option<&Structure>,
    law: &dyn Fn(&str) -> Option<Init>,
) -> Result<Sheet> {
    let mut sheet = Sheet::new("weights", "Weights", COLUMNS);
    for (name, layer, init, key) in declared.found(checkpoint) {
        let Some(key) = key else { continue };
        // Counts and means of what was seen are no weights.
        if !layer.is_parameter() {
            continue;
        }
        let values = checkpoint.stored(&key)?;
        sheet.rows.push(Row {
            layer: structure.and_then(|structure| structure.layer(name)),
            head: None,
            name: key,
            values: row(layer, law(name).unwrap_or(init), &values)?,
        });
    }
    Ok(sheet)
}

/// The matrix that a weight is, as `(rows, columns)` of its storage.
pub fn matrix(layer: &Layer) -> Option<(usize, usize)> {
    match layer {
        Layer::Linear { input, output } => Some((*output, *input)),
        Layer::Transposed { input, output } => Some((*input, *output)),
        Layer::Embedding { count, width } => Some((*count, *width)),
        Layer::Conv { input, output, kernel, groups, .. } => {
            Some((*output, input / groups * kernel.iter().product::<usize>()))
        }
        _ => None,
    }
}

fn row(layer: &Layer, init: Init, values: &[f32]) -> Result<Vec<Value>> {
    let finite = values.iter().all(|v| v.is_finite());
    let seen = spread(layer, values);
    let fan = layer.fan();
    let new = init.std(layer).ok().filter(|std| *std > 0.0);
    let count = |what: &dyn Fn(&f32) -> bool| Value::Count(values.iter().filter(|v| what(v)).count() as u64);
    let max = values.iter().filter(|v| v.is_finite()).fold(0.0f64, |max, v| max.max(f64::from(v.abs())));
    let over = |init: Init| match (fan, init.std(layer)) {
        (Some(_), Ok(std)) if finite => Reading::of(seen.std / std).into(),
        _ => Value::None,
    };
    let std = match new {
        Some(new) => {
            let excess = if matches!(init, Init::Uniform { .. }) { -1.2 } else { 0.0 };
            Reading::against(seen.std, new, ((excess + 2.0) / (4.0 * seen.count as f64)).sqrt())
        }
        None => Reading::beside(seen.std, 0.0),
    };
    let moved = new.filter(|_| finite).map(|new| Reading::of((seen.std / new - 1.0).abs()));
    let (mut norm, mut rank) = (Value::None, Value::None);
    let dense = !matches!(layer, Layer::Embedding { .. })
        && !matches!(layer, Layer::Conv { groups, .. } if *groups > 1);
    if let (Some((rows, columns)), true, true) = (matrix(layer), dense, finite) {
        let top = spectral::norm(values, columns);
        let (edge, deviation) = spectral::expected(rows, columns);
        let squares = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        norm = match new {
            Some(new) => Reading::against(top, new * edge, deviation / edge).into(),
            None => Reading::of(top).into(),
        };
        let expected = (rows * columns) as f64 / (edge * edge);
        // ‖W‖²_F spreads far less than ‖W‖², whose spread is twice that of ‖W‖.
        let rank_of = if top > 0.0 { squares / (top * top) } else { f64::NAN };
        rank = Reading::against(rank_of, expected, 2.0 * deviation / edge).into();
    }
    let fan_of = |pick: &dyn Fn(xexp_init::Fan) -> f64| match fan.map(pick) {
        Some(fan) if fan.fract() == 0.0 => Value::Count(fan as u64),
        fan => fan.map(Reading::of).into(),
    };
    let shape = layer.shape().iter().map(usize::to_string).collect::<Vec<_>>().join("×");
    Ok(vec![
        Value::Text(layer.kind().into()),
        Value::Text(shape),
        fan_of(&|fan| fan.input),
        fan_of(&|fan| fan.output),
        if finite { std.into() } else { Value::None },
        if finite { Reading::of(seen.mean).into() } else { Value::None },
        if finite && new.is_some() { Reading::of(seen.kurtosis).into() } else { Value::None },
        over(Init::xavier_normal()),
        over(Init::Scaled { gain: 2f64.sqrt(), mode: xexp_init::Mode::FanIn, dist: Dist::Normal }),
        over(Init::lecun()),
        if finite { nearest(layer, init, &seen) } else { Value::None },
        moved.into(),
        norm,
        rank,
        if finite { peak(layer, values).map(Reading::of).into() } else { Value::None },
        Reading::of(max).into(),
        Reading::of(bits(F16, max)).into(),
        Reading::of(bits(BF16, max)).into(),
        Reading::of(bits(E4M3, max)).into(),
        Reading::of(lost_in_f16(values)).into(),
        count(&|v| v.is_nan()),
        count(&|v| v.is_infinite()),
    ])
}

/// Moments of a weight's values.
struct Spread {
    count: usize,
    mean: f64,
    std: f64,
    kurtosis: f64,
}

/// Rows of zeros, by which tables mark padding, are left out.
fn spread(layer: &Layer, values: &[f32]) -> Spread {
    let width = match layer {
        Layer::Embedding { width, .. } => *width,
        _ => values.len().max(1),
    };
    let drawn =
        || values.chunks(width).filter(|row| row.iter().any(|v| *v != 0.0)).flatten().map(|v| f64::from(*v));
    let count = drawn().count().max(1);
    let n = count as f64;
    let mean = drawn().sum::<f64>() / n;
    let square = drawn().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let fourth = drawn().map(|v| (v - mean).powi(4)).sum::<f64>() / n;
    Spread { count, mean, std: square.sqrt(), kurtosis: fourth / (square * square) - 3.0 }
}

/// The initializer whose standard deviation is nearest, with how near; those of a constant are told apart by the value.
fn nearest(layer: &Layer, own: Init, seen: &Spread) -> Value {
    if let Init::Constant(value) = own {
        let still = seen.std == 0.0 && (seen.mean - value).abs() < 1e-12;
        return Value::Text(if still { format!("as new ({value})") } else { "moved".into() });
    }
    let Some(fan) = layer.fan() else { return Value::None };
    let candidates = [
        ("the family's own", own.std(layer).ok()),
        ("xavier", Init::xavier_normal().std(layer).ok()),
        ("he", Some((2.0 / fan.input).sqrt())),
        ("lecun", Some((1.0 / fan.input).sqrt())),
        // U(±1/√fan_in), what `torch.nn.Linear` and `Conv2d` draw by themselves.
        ("torch", Some((1.0 / (3.0 * fan.input)).sqrt())),
        ("N(0, 0.02²)", Some(0.02)),
    ];
    let off = |std: f64| (seen.std / std).ln().abs();
    let all =
        candidates.iter().filter_map(|(name, std)| std.filter(|std| *std > 0.0).map(|std| (*name, std)));
    let best = all.min_by(|a, b| off(a.1).total_cmp(&off(b.1)));
    best.filter(|_| seen.std > 0.0)
        .map_or(Value::None, |(name, std)| Value::Text(format!("{name} ×{:.2}", seen.std / std)))
}

/// The size of the largest row or column over the median one; of a vector, that of its values.
fn peak(layer: &Layer, values: &[f32]) -> Option<f64> {
    let root =
        |squares: &mut dyn Iterator<Item = f32>| squares.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let over = |mut sizes: Vec<f64>| {
        sizes.sort_by(f64::total_cmp);
        let middle = sizes[sizes.len() / 2];
        (middle > 0.0).then(|| sizes[sizes.len() - 1] / middle)
    };
    match (layer, matrix(layer)) {
        (Layer::Vector { len }, _) if *len > 1 => over(values.iter().map(|v| f64::from(v.abs())).collect()),
        (_, Some((rows, columns))) if rows > 1 && columns > 1 => {
            let mut squares = vec![0.0; columns];
            for row in values.chunks_exact(columns) {
                squares.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v).powi(2));
            }
            let by_column = over(squares.into_iter().map(f64::sqrt).collect());
            if matches!(layer, Layer::Embedding { .. }) {
                return by_column;
            }
            let by_row =
                over(values.chunks_exact(columns).map(|row| root(&mut row.iter().copied())).collect());
            by_row.zip(by_column).map(|(a, b)| a.max(b)).or(by_row).or(by_column)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    fn text(sheet: &Sheet, values: &[Value], column: &str) -> String {
        let row = Row { layer: None, head: None, name: String::new(), values: values.to_vec() };
        match sheet.get(&row, column) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Number(reading)) => format!("{:?} {:?}", reading.value, reading.z()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_drawn_weight_looks_like_its_initializer_and_a_larger_one_does_not() {
        let (sheet, layer) = (Sheet::new("weights", "", COLUMNS), Layer::Linear { input: 96, output: 64 });
        let own = Init::Normal { std: 0.02 };
        let drawn = own.fill(&layer, &mut Seed(3).stream("w")).unwrap();
        let values = row(&layer, own, &drawn).unwrap();
        let of = |values: &[Value], column: &str| {
            let row = Row { layer: None, head: None, name: String::new(), values: values.to_vec() };
            sheet.reading(&row, column).unwrap()
        };
        for column in ["std", "spectral", "stable_rank"] {
            assert!(of(&values, column).z().unwrap().abs() < 4.0, "{column} {:?}", of(&values, column));
        }
        assert!(text(&sheet, &values, "nearest").starts_with("the family's own"));
        // √(2/160) = 0.1118 is Xavier's.
        let large: Vec<f32> = drawn.iter().map(|w| w * 5.59).collect();
        let values = row(&layer, own, &large).unwrap();
        assert!(text(&sheet, &values, "nearest").starts_with("xavier"));
        assert!(of(&values, "std").z().unwrap() > 100.0);
        assert!((of(&values, "moved").value - 4.59).abs() < 0.1);
        assert!(
            (of(&values, "stable_rank").ratio().unwrap() - 1.0).abs() < 0.2,
            "scale does not change a rank"
        );
    }

    #[test]
    fn a_channel_that_sticks_out_and_values_that_are_none_are_seen() {
        let layer = Layer::Linear { input: 8, output: 4 };
        let mut values = vec![1.0f32; 32];
        values[8..16].fill(200.0);
        assert_eq!(peak(&layer, &values), Some(200.0));
        assert_eq!(peak(&Layer::Vector { len: 3 }, &[1.0, -50.0, 1.0]), Some(50.0));
        values[3] = f32::NAN;
        values[4] = f32::INFINITY;
        let values = row(&layer, Init::Normal { std: 1.0 }, &values).unwrap();
        assert_eq!(values[values.len() - 2..], [Value::Count(1), Value::Count(1)]);
        assert_eq!(values[4], Value::None);
    }
}
