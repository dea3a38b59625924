//! The model card and the one-file report of a run.

use xexp_backbones::checkpoint::{Extent, LoadReport};
use xexp_backbones::families::{Family, Modality};
use xexp_heads::{HeadPlan, Uninformed};
use xexp_report::plot::{Bin, HeatMap, LineChart, Reliability, Scatter, Series, Svg};
use xexp_report::{Block, Card, HeadNumbers, Metric, Page, Row, Section, Task};

use super::args::Backbone;
use super::calibration::Calibration;
use super::data::Examples;
use super::errors::Shown;
use super::results::Results;
use super::{Args, Plan, lora, published, push};
use crate::failure::Failure;
use crate::scoring::Scores;
use crate::{places, provenance};

/// Most classes whose confusion matrix is still readable as a plot.
const PLOTTED_CLASSES: usize = 40;

/// The scores to report: the test set's if there is one.
fn reported(results: &Results) -> (&'static str, &Scores) {
    results.test.as_ref().map_or(("validation", &results.valid), |test| ("test", test))
}

/// The model card. Of a model that is uploaded it names the place at the Hub, and no folder of this machine.
///
/// # Errors
/// None in practice: the tables are well formed.
pub fn card(
    args: &Args,
    plan: &Plan,
    family: &Family,
    examples: &Examples,
    results: &Results,
) -> Result<String, Failure> {
    let (split, scores) = reported(results);
    let folder = || plan.output.file_name().map_or("model".to_string(), |n| n.to_string_lossy().into_owned());
    let name = match &plan.to {
        Some(to) => to.id.rsplit('/').next().unwrap_or(&to.id).to_string(),
        None => folder(),
    };
    let command = provenance::command();
    let t = &args.training;
    let settings = [
        ("strategy", format!("{:?}", t.strategy).to_lowercase()),
        ("epochs", results.epochs.to_string()),
        ("batch size", (args.shared.batch_size.get() * t.course.accumulate.get()).to_string()),
        ("learning rate", results.lr.to_string()),
        ("head learning rate", results.head_lr.to_string()),
        ("schedule", format!("{:?}", t.course.schedule).to_lowercase()),
        ("warm-up", t.course.warmup.to_string()),
        ("weight decay", t.course.weight_decay.to_string()),
        ("clip", t.course.clip.to_string()),
        ("seed", args.shared.seed.to_string()),
    ];
    let card = Card {
        task: match family.modality {
            Modality::Text => Task::Text,
            Modality::Image => Task::Image,
        },
        name,
        opened_by: opened_by(args, plan, family),
        adapter_of: adapter_of(args, plan)?,
        location: plan.to.as_ref().map_or_else(|| plan.output.display().to_string(), |to| to.id.clone()),
        revision: plan.to.as_ref().and_then(push::branch).map(str::to_string),
        // Of a backbone drawn anew the model gives the configuration alone.
        base_model: match &plan.model {
            places::Model::Hub(model) if t.backbone == Backbone::Pretrained => Some(model.id.clone()),
            _ => None,
        },
        evaluation: None,
        metrics: metrics(scores),
        results: scores.table()?,
        per_class: scores.class_table()?,
        head: HeadNumbers {
            init: results.head.init.clone(),
            std: results.head.std,
            predicted_logit_variance: results.head.predicted_logit_variance,
            measured_logit_variance: results.head.measured_logit_variance,
            initial_loss: results.head.initial_loss,
            uninformed: (uninformed(results.head.uninformed).to_string(), results.head.uninformed.loss()),
        },
        hyper_parameters: settings
            .into_iter()
            .chain(results.lora.iter().flat_map(|lora| {
                [
                    ("adapters' rank", lora.rank.to_string()),
                    ("adapters' alpha", lora.alpha.to_string()),
                    ("adapters' dropout", lora.dropout.to_string()),
                    ("adapted layers", lora.layers.len().to_string()),
                ]
            }))
            .chain(examples.receipt.max_length.map(|length| ("maximum length", length.to_string())))
            .map(|(name, value)| (name.to_string(), value))
            .collect(),
        data_notes: notes(split, examples),
        command: if plan.to.is_some() { published::command(&command) } else { command },
        versions: vec![("xexp".to_string(), env!("CARGO_PKG_VERSION").to_string())],
    };
    Ok(card.markdown()?)
}

/// The scores that the card names in the Hub's terms.
fn metrics(scores: &Scores) -> Vec<Metric> {
    let named: Vec<(&str, &str, Option<f64>)> = match scores {
        Scores::SingleLabel(s) => vec![
            ("Accuracy", "accuracy", Some(s.accuracy)),
            ("Macro F1", "f1", Some(s.macro_f1)),
            ("MCC", "matthews_correlation", Some(s.mcc)),
        ],
        Scores::MultiLabel(s) => vec![
            ("Micro F1", "f1", Some(s.at_half.micro_f1)),
            ("Macro F1", "f1", Some(s.at_half.macro_f1)),
            ("Average precision", "average_precision", s.average_precision),
        ],
        Scores::Regression(s) => vec![
            ("Pearson", "pearsonr", s.pearson),
            ("Spearman", "spearmanr", s.spearman),
            ("MSE", "mse", Some(s.loss)),
        ],
    };
    let metric = |(name, kind, value): (&str, &str, Option<f64>)| {
        Some(Metric { name: name.into(), kind: kind.into(), value: value? })
    };
    named.into_iter().filter_map(metric).collect()
}

fn uninformed(uninformed: Uninformed) -> &'static str {
    match uninformed {
        Uninformed::LnClasses(_) => "ln C, the loss of equal logits",
        Uninformed::LnTwo(_) => "ln 2, the loss of logits of zero",
        Uninformed::ValueVariance(_) => "variance of the values, the loss of their mean",
    }
}

/// Of an adapter: what PEFT's model is made of.
fn adapter_of(args: &Args, plan: &Plan) -> Result<Option<String>, Failure> {
    let adapter = lora::extent(args) == Extent::Adapter;
    adapter.then(|| plan.model.reference().map(|(base, _)| base)).transpose()
}

/// What opens a model that transformers has no class for, or an adapter whose model only this program has.
fn opened_by(args: &Args, plan: &Plan, family: &Family) -> Option<Vec<String>> {
    if let (Extent::Adapter, places::Model::Bundled(_)) = (lora::extent(args), &plan.model) {
        let base = &plan.model;
        return Some(vec![format!(
            "The adapter belongs to `{base}`, which xexp carries: `xexp predict` opens it, and `xexp merge` makes a model of both."
        )]);
    }
    (!family.opens_in_transformers()).then(|| {
        vec![
            format!(
                "transformers has no class for `{}` with a classifier: `xexp predict` and `xexp evaluate` open it.",
                family.model_type
            ),
            format!(
                "The tensors of the backbone have their own names, by which `{}` opens it.",
                family.base_architecture
            ),
        ]
    })
}

fn notes(split: &str, examples: &Examples) -> Vec<String> {
    let mut notes = vec![format!("The scores above are of the {split} examples.")];
    for s in &examples.receipt.splits {
        let cut = match (&s.truncated, examples.receipt.max_length) {
            (Some(truncated), Some(length)) => {
                format!(" {} longer than {length} tokens and cut;", truncated.texts)
            }
            _ => String::new(),
        };
        notes.push(format!("{}: {} examples;{cut} {} duplicates.", s.name, s.rows_used, s.duplicates));
    }
    for leak in &examples.receipt.leaks {
        notes.push(format!("{} examples of {} have a text of {}.", leak.rows, leak.to, leak.from));
    }
    notes
}

/// The report as one HTML file.
///
/// # Errors
/// None in practice: the tables are well formed.
pub fn page(
    (load, head): (&LoadReport, &HeadPlan),
    examples: &Examples,
    results: &Results,
    shown: Shown,
    history: &[Row],
) -> Result<String, Failure> {
    let (split, scores) = reported(results);
    let mut outcome = vec![Block::Table(format!("On the {split} examples"), scores.table()?)];
    let name = if matches!(scores, Scores::MultiLabel(_)) { "By label" } else { "By class" };
    outcome.extend(scores.class_table()?.map(|table| Block::Table(name.to_string(), table)));
    match scores {
        Scores::SingleLabel(scores) if scores.confusion.len() <= PLOTTED_CLASSES => {
            let labels = examples.labels.names().to_vec();
            let (title, counts) = ("Truth by prediction".to_string(), scores.confusion.clone());
            outcome.push(Block::Plot(HeatMap { title, labels, counts }.svg()?));
        }
        Scores::Regression(_) => outcome.extend(scatters(&shown.values).map(Block::Plot)),
        Scores::MultiLabel(_) => outcome.push(Block::Text(TUNED.to_string())),
        Scores::SingleLabel(_) => {}
    }
    outcome.push(shown.worst);
    let sure = match (&results.calibration, scores) {
        (Some(calibration), Scores::SingleLabel(scores)) => Some(sure(calibration, &scores.reliability)?),
        _ => None,
    };
    let mut course = vec![Block::Plot(curves(history, scores).svg())];
    course.extend(results.lr_auto.iter().map(|measured| Block::Text(measured.to_string())));
    if let Some(warnings) = &results.warnings {
        let none = (warnings.is_empty()).then(|| "The monitor found nothing wrong.".to_string());
        course.extend(warnings.iter().cloned().chain(none).map(Block::Text));
    }
    let section = |heading: &str, blocks| Section { heading: heading.to_string(), blocks };
    let page = Page {
        title: "Fine-tuning report".to_string(),
        summary: format!(
            "{} examples, {} steps, {:.1} s on {}",
            results.train_examples, results.steps, results.seconds, results.device
        ),
        sections: [
            Some(section("Results", outcome)),
            sure.map(|sure| section("Calibration", sure)),
            Some(section("Course", course)),
            Some(section("Head plan", vec![Block::Code(head.to_string())])),
            Some(section("Data", vec![Block::Code(examples.receipt.to_string())])),
            Some(section("Weights", vec![Block::Text(load.to_string())])),
            Some(section("Command", vec![Block::Code(provenance::command())])),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    Ok(page.html())
}

/// What is to be known of tuned thresholds.
const TUNED: &str = "Thresholds are those of the best F1 of each label on the validation examples. Figures of that set at them flatter. \
                     `xexp predict --threshold fitted` uses them.";

/// How sure the model is of a class.
fn sure(calibration: &Calibration, reliability: &[Bin]) -> Result<Vec<Block>, Failure> {
    let bins =
        |title: &str, bins: &[Bin]| Reliability { title: title.to_string(), bins: bins.to_vec() }.svg();
    let mut sure = vec![
        Block::Text(calibration.to_string()),
        Block::Plot(bins("Confidence and accuracy", reliability)?),
    ];
    if let Some(fitted) = &calibration.fitted {
        sure.push(Block::Plot(bins("The same at the fitted temperature", &fitted.reliability)?));
    }
    Ok(sure)
}

/// Predictions against values, and what is left between them.
fn scatters(values: &[(f64, f64)]) -> impl Iterator<Item = Svg> {
    let residuals = values.iter().map(|(y, z)| (*z, z - y)).collect();
    let plot = |title: &str, (x, y): (&str, &str), points, ideal| {
        let (title, x_label, y_label) = (title.to_string(), x.to_string(), y.to_string());
        Scatter { title, x_label, y_label, points, ideal }.svg()
    };
    [
        plot("Predicted against true values", ("true value", "predicted"), values.to_vec(), |x| x),
        plot("Residuals", ("predicted", "predicted less true"), residuals, |_| 0.0),
    ]
    .into_iter()
}

fn curves(history: &[Row], scores: &Scores) -> LineChart {
    let series = |name: &str, value: fn(&Row) -> Option<f64>| Series {
        name: name.to_string(),
        points: history.iter().filter_map(|row| Some((row.step as f64, value(row)?))).collect(),
    };
    let (title, score) = match scores {
        Scores::SingleLabel(_) | Scores::MultiLabel(_) => {
            ("Loss and macro-F1", series("validation macro-F1", |row| row.valid.and_then(|v| v.macro_f1)))
        }
        Scores::Regression(_) => (
            "Loss and Pearson's correlation",
            series("validation Pearson", |row| row.valid.and_then(|v| v.pearson)),
        ),
    };
    LineChart {
        title: title.to_string(),
        x_label: "step".to_string(),
        y_label: String::new(),
        series: vec![
            series("training loss", |row| row.loss),
            series("validation loss", |row| row.valid.map(|v| v.loss)),
            score,
        ],
    }
}
