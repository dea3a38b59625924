//! What to set, each with its formula, its number and its source; nothing where no theory says.

use serde::Serialize;
use xexp_heads::CALIBRATED_VARIANCE;
use xexp_init::head_theory::{self, guaranteed_learning_rate};
use xexp_init::{Init, Layer};

use crate::Result;
use crate::features::Input;
use crate::headroom::{F16, bits};
use crate::sheet::{Sheet, shown};

/// A piece of advice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// What it is about.
    pub about: &'static str,
    /// What to do.
    pub text: String,
    /// The formula.
    pub formula: &'static str,
    /// The number that it gives here.
    pub number: f64,
    /// Where the formula is from.
    pub source: &'static str,
}

/// Classes of a head where none are known.
const CLASSES: usize = 10;

/// Advice on a head for these features: its standard deviation, its input, its learning rate.
///
/// # Errors
/// Features that are all zero.
pub fn on_head(input: &Input, classes: Option<usize>) -> Result<Vec<Advice>> {
    let (moments, classes) = (&input.moments, classes.unwrap_or(CLASSES));
    if moments.second_moment <= 0.0 {
        return Ok(vec![]);
    }
    let features = head_theory::Features {
        width: moments.width,
        second_moment: moments.second_moment,
        variance: moments.variance.clamp(0.0, moments.second_moment),
    };
    let xavier = Init::xavier_normal().std(&Layer::Linear { input: moments.width, output: classes })?;
    let made = features.logit_variance(xavier)?;
    let calibrated = features.weight_std_for(CALIBRATED_VARIANCE)?;
    let mut all = vec![
        Advice {
            about: "head",
            text: format!(
                "begin from a zero head, or from a standard deviation of {}; Xavier's {} for {classes} classes would give \
                 logits of variance {}, {:.0} % of it the same for every example",
                shown(calibrated),
                shown(xavier),
                shown(made.total),
                100.0 * made.class_bias / made.total
            ),
            formula: "std = √(s²/(d·E φ²)), s² = 0.1",
            number: calibrated,
            source: "E z² = d·Var(w)·E φ² for independent weights; zero heads: Kolesnikov et al. 2020 (BiT)",
        },
        Advice {
            about: "bias",
            text: "set the head's bias to the logarithm of the classes' shares, 0 where they are alike"
                .into(),
            formula: "b_k = ln π_k",
            number: 0.0,
            source: "the loss at W = 0 is then the entropy of the labels (Lin et al. 2017, §3.3)",
        },
    ];
    let (raw, centred) = (guaranteed_learning_rate(input.lambda)?, guaranteed_learning_rate(input.centred)?);
    all.push(Advice {
        about: "head learning rate",
        text: format!(
            "full-batch gradient descent on the head's cross-entropy descends at every step up to {}; a squared loss with \
             momentum 0.9 is stable up to {}",
            shown(raw),
            shown(2.0 * 1.9 / input.lambda)
        ),
        formula: "η = 4/λ_max(E φφᵀ); squares: 2(1 + β)/λ_max",
        number: raw,
        source: "Böhning 1992, lemma 1; heavy ball: Polyak 1964",
    });
    if centred / raw > 1.5 {
        all.push(Advice {
            about: "centring",
            text: format!(
                "take the mean off the features first: the largest safe rate grows {:.1} times, to {}",
                centred / raw,
                shown(centred)
            ),
            formula: "λ_max(E φφᵀ)/λ_max(Cov φ)",
            number: centred / raw,
            source: "λ_max(E φφᵀ) ≥ ‖E φ‖²; LeCun et al. 1998, §4.3",
        });
    }
    Ok(all)
}

/// Advice on number formats, from the largest weight and the largest activation.
pub fn on_precision(sheets: &[Sheet]) -> Vec<Advice> {
    let largest = |ids: &[&str]| {
        let all = sheets.iter().filter(|sheet| ids.contains(&sheet.id));
        let rows = all.flat_map(|sheet| sheet.rows.iter().map(move |row| (sheet, row)));
        let with = rows.filter_map(|(sheet, row)| Some((sheet.number(row, "max")?, row.name.clone())));
        with.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let mut all = vec![];
    let mut say = |what: &str, found: Option<(f64, String)>| {
        let Some((max, name)) = found else { return };
        let left = bits(F16, max);
        let max = shown(max);
        let text = if left < 0.0 {
            format!(
                "do not use binary16: {what} reach {max} in {name}; bf16 has the range of f32 and steps of 2⁻⁸"
            )
        } else if left < 4.0 {
            format!("prefer bf16 to binary16: {what} reach {max} in {name}, {left:.1} bits below its end")
        } else {
            format!(
                "binary16 and bf16 both hold {what}: the largest is {max}, in {name}, {left:.1} bits below binary16's end"
            )
        };
        let advice = Advice {
            about: "precision",
            text,
            formula: "log₂(65504/max|x|)",
            number: left,
            source: "IEEE 754-2019, table 3.5; Micikevicius et al. 2018",
        };
        all.push(advice);
    };
    say("weights", largest(&["weights"]));
    say("activations", largest(&["stream", "products"]));
    if let Some((max, name)) =
        largest(&["stream"]).filter(|(max, _)| bits(F16.sqrt(), *max) < 0.0 && *max < F16)
    {
        all.push(Advice {
            about: "precision",
            text: format!(
                "keep norms in f32: squares of the stream overflow binary16 at {name}, where it reaches {}",
                shown(max)
            ),
            formula: "log₂(√65504/max|x|)",
            number: bits(F16.sqrt(), max),
            source: "IEEE 754-2019, table 3.5",
        });
    }
    all
}

/// Advice on how far a step of Adam moves the blocks.
pub fn on_steps(gradients: &Sheet, lr: f64) -> Option<Advice> {
    let steps =
        gradients.rows.iter().filter_map(|row| Some((gradients.number(row, "adam_step")?, row.layer?)));
    let (most, layer) = steps.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Advice {
        about: "learning rate",
        text: format!(
            "at {lr} a step of Adam moves the matrices of block {layer}, those that move most, by {:.2} % of their norm; a \
             step of 1 % needs {}",
            100.0 * most,
            shown(lr * 0.01 / most)
        ),
        formula: "lr/rms(W)",
        number: most,
        source: "each value moves by about lr: Kingma & Ba 2015, §2.1",
    })
}

/// Advice on blocks that do not use their attention.
pub fn on_blocks(findings: &crate::findings::Findings) -> Vec<Advice> {
    let worn = findings
        .faults
        .iter()
        .filter(|finding| matches!(finding.rule, "dead" | "uniform" | "collapse" | "nan"));
    let mut layers: Vec<usize> = worn.filter_map(|finding| finding.layer).collect();
    layers.dedup();
    if layers.is_empty() {
        return vec![];
    }
    let names = layers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    vec![Advice {
        about: "blocks",
        text: format!(
            "draw the blocks {names} anew before fine-tuning: they pass nothing on that training could use"
        ),
        formula: "H/ln n > 0.999, ρ > 0.99, or gains below a hundredth",
        number: layers.len() as f64,
        source: "Zhang et al. 2021, §5 (re-initialised top blocks); Noci et al. 2022 (uniform attention has no gradient at Q and K)",
    }]
}
