//! The sheets of what a pass over real input has shown of the stream and of products.

use xexp_experiments::catalogue::entropy_law::largest;

use crate::expected::Expected;
use crate::headroom::{BF16, F16, bits};
use crate::sheet::{Column, Reading, Row, Sheet, Value};
use crate::watch::{Multiplied, Stream};

const STREAM: &[Column] = &[
    Column {
        name: "rms",
        what: "√E x² of the stream behind the block; expected: the mean-field recursion from what the stem gave",
        brief: true,
    },
    Column { name: "rms_special", what: "the same of special tokens alone", brief: false },
    Column {
        name: "cosine",
        what: "mean cosine of two tokens of a sequence; expected: the same recursion (Noci et al. 2022)",
        brief: true,
    },
    Column { name: "cosine_centred", what: "the same with the mean of all tokens taken off", brief: false },
    Column { name: "rank", what: "effective rank of a sequence's tokens, (tr G)²/tr G²", brief: true },
    Column { name: "fourth", what: "E x⁴/(E x²)²; 3 for normal values", brief: false },
    Column {
        name: "max",
        what: "largest magnitude; expected: that of so many normal values of the expected size (extreme value theory)",
        brief: true,
    },
    Column {
        name: "channel",
        what: "root mean square of the largest channel over the median one",
        brief: true,
    },
    Column {
        name: "outliers",
        what: "channels above six times the median one, the largest first",
        brief: true,
    },
    Column { name: "f16_bits", what: "log₂(65504/max), below 0 beyond binary16", brief: true },
    Column {
        name: "f16_square_bits",
        what: "the same of squares, as a norm in binary16 makes them: log₂(255.9/max)",
        brief: false,
    },
    Column { name: "bf16_bits", what: "log₂(3.39e38/max)", brief: false },
];

const PRODUCTS: &[Column] = &[
    Column {
        name: "gain",
        what: "E y²/E x²; expected: terms·Var(w), spread √(2/(outputs·r)) over draws, r the inputs' effective dimension",
        brief: true,
    },
    Column { name: "input", what: "E x²", brief: false },
    Column { name: "output", what: "E y²", brief: false },
    Column { name: "max", what: "largest magnitude of the result", brief: true },
    Column { name: "f16_bits", what: "log₂(65504/max) of the result", brief: true },
];

/// How many channels are named.
const NAMED: usize = 5;
/// How far above the median a channel is named.
const STICKS_OUT: f64 = 6.0;

/// A row a place of the stream.
pub fn stream(seen: &[Stream], expected: Option<&[Expected]>) -> Sheet {
    let mut sheet = Sheet::new("stream", "The stream by depth", STREAM);
    for stream in seen {
        let of = stream.layer.and_then(|layer| expected?.get(layer));
        let square = stream.second_moment();
        let (cosine, centred) = stream.cosines();
        let channels = stream.channels();
        let mut order: Vec<usize> = (0..channels.len()).collect();
        order.sort_by(|a, b| channels[*b].total_cmp(&channels[*a]));
        let named = order.iter().take(NAMED).filter(|&&channel| channels[channel] > STICKS_OUT);
        let named: Vec<String> =
            named.map(|&channel| format!("{channel} (×{:.0})", channels[channel])).collect();
        let count = (stream.tokens * stream.width * 2).max(3);
        let rms = match of {
            // The root halves a relative deviation.
            Some(of) => Reading::against(square.sqrt(), of.second_moment.sqrt(), of.spread / 2.0),
            None => Reading::of(square.sqrt()),
        };
        let cosine = match of {
            Some(of) => Reading::within(cosine, of.cosine, of.cosine_spread),
            None => Reading::of(cosine),
        };
        let max = match of {
            Some(of) => Reading::beside(stream.max, of.second_moment.sqrt() * largest(count)),
            None => Reading::of(stream.max),
        };
        sheet.rows.push(Row {
            layer: stream.layer,
            head: None,
            name: stream.place.clone(),
            values: vec![
                rms.into(),
                Reading::of(stream.special()).into(),
                cosine.into(),
                Reading::of(centred).into(),
                Reading::of(stream.rank()).into(),
                Reading::of(stream.fourth()).into(),
                max.into(),
                Reading::of(channels[order[0]]).into(),
                if named.is_empty() { Value::None } else { Value::Text(named.join(", ")) },
                Reading::of(bits(F16, stream.max)).into(),
                Reading::of(bits(F16.sqrt(), stream.max)).into(),
                Reading::of(bits(BF16, stream.max)).into(),
            ],
        });
    }
    sheet
}

/// A row a product, in the order of the pass; `key` is what the checkpoint calls a weight.
pub fn products(seen: &[Multiplied], key: &dyn Fn(&str) -> String) -> Sheet {
    let mut sheet = Sheet::new("products", "Products with weights", PRODUCTS);
    for product in seen {
        let (x, y) = product.moments();
        sheet.rows.push(Row {
            layer: product.layer,
            head: None,
            name: key(&product.name),
            values: vec![
                product.gain().into(),
                Reading::of(x).into(),
                Reading::of(y).into(),
                Reading::of(product.max.1).into(),
                Reading::of(bits(F16, product.max.1)).into(),
            ],
        });
    }
    sheet
}
