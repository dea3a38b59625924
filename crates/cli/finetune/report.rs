//! The model card and the one-file report of a run.

use xexp_backbones::checkpoint::{Extent, LoadReport};
use xexp_backbones::families::{Family, Modality};
use xexp_heads::HeadPlan;
use xexp_report::plot::{Bin, HeatMap, LineChart, Reliability, Series};
use xexp_report::{Block, Card, HeadNumbers, Metric, Page, Row, Section, Table, Task};
use xexp_train::metrics::Scores;

use super::args::Backbone;
use super::data::Examples;
use super::results::Results;
use super::{Args, Plan, lora, published, push};
use crate::failure::Failure;
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
    let metric = |name: &str, kind: &str, value| Metric { name: name.into(), kind: kind.into(), value };
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
        metrics: vec![
            metric("Accuracy", "accuracy", scores.accuracy),
            metric("Macro F1", "f1", scores.macro_f1),
            metric("MCC", "matthews_correlation", scores.mcc),
        ],
        results: scores.table()?,
        per_class: scores.class_table()?,
        head: HeadNumbers {
            init: results.head.init.clone(),
            std: results.head.std,
            predicted_logit_variance: results.head.predicted_logit_variance,
            measured_logit_variance: results.head.measured_logit_variance,
            initial_loss: results.head.initial_loss,
            ln_classes: results.head.ln_classes,
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
    wrong: Option<Table>,
    history: &[Row],
) -> Result<String, Failure> {
    let (split, scores) = reported(results);
    let mut outcome = vec![Block::Table(format!("On the {split} examples"), scores.table()?)];
    outcome.push(Block::Table("By class".to_string(), scores.class_table()?));
    if scores.confusion.len() <= PLOTTED_CLASSES {
        let labels = examples.labels.names().to_vec();
        let map =
            HeatMap { title: "Truth by prediction".to_string(), labels, counts: scores.confusion.clone() };
        outcome.push(Block::Plot(map.svg()?));
    }
    match wrong {
        Some(wrong) => outcome.push(Block::Table("Wrong, the surest first".to_string(), wrong)),
        None => outcome.push(Block::Text("No example is labelled wrong.".to_string())),
    }
    let bins =
        |title: &str, bins: &[Bin]| Reliability { title: title.to_string(), bins: bins.to_vec() }.svg();
    let mut sure = vec![
        Block::Text(results.calibration.to_string()),
        Block::Plot(bins("Confidence and accuracy", &scores.reliability)?),
    ];
    if let Some(fitted) = &results.calibration.fitted {
        sure.push(Block::Plot(bins("The same at the fitted temperature", &fitted.reliability)?));
    }
    let mut course = vec![Block::Plot(curves(history).svg())];
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
        sections: vec![
            section("Results", outcome),
            section("Calibration", sure),
            section("Course", course),
            section("Head plan", vec![Block::Code(head.to_string())]),
            section("Data", vec![Block::Code(examples.receipt.to_string())]),
            section("Weights", vec![Block::Text(load.to_string())]),
            section("Command", vec![Block::Code(provenance::command())]),
        ],
    };
    Ok(page.html())
}

fn curves(history: &[Row]) -> LineChart {
    let series = |name: &str, value: fn(&Row) -> Option<f64>| Series {
        name: name.to_string(),
        points: history.iter().filter_map(|row| Some((row.step as f64, value(row)?))).collect(),
    };
    LineChart {
        title: "Loss and macro-F1".to_string(),
        x_label: "step".to_string(),
        y_label: String::new(),
        series: vec![
            series("training loss", |row| row.loss),
            series("validation loss", |row| row.valid.map(|v| v.loss)),
            series("validation macro-F1", |row| row.valid.and_then(|v| v.macro_f1)),
        ],
    }
}
