//! `xexp inspect`: a checkpoint measured, each number beside what new weights would give.

mod args;
mod output;

use std::collections::BTreeSet;

use xexp_backbones::folder::Folder;
use xexp_data::{Augment, Task};
use xexp_inspect::{Data, Inspection, SAVED, Sheet, Subject, compare};
use xexp_train::{Sample, Target};

pub use args::Args;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::inputs::{Encoder, Terms};
use crate::output::{Existing, prepare};
use crate::places::Model;
use crate::reading::Wanted;
use crate::{device, image_size, places, provenance};

/// Inspects as the arguments say.
///
/// # Errors
/// Whatever ends the command early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let named = args.model().ok_or_else(|| {
        Failure::input("no model")
            .hint("name a folder, a model of the Hub, or a bundled one: xexp inspect bundled:mini-text")
    })?;
    let place = places::model("MODEL", named, args.shared.access())?;
    let other = args
        .compare
        .as_deref()
        .map(|name| places::model("--compare", name, args.shared.access()))
        .transpose()?;
    let data =
        args.data.as_deref().map(|name| places::data("--data", name, "test", &args.shared)).transpose()?;
    device::choose(args.shared.device, args.shared.quiet)?;
    if let Some(folder) = args.shared.output.as_deref() {
        prepare(folder.as_ref(), if args.shared.overwrite { Existing::Overwrite } else { Existing::Refuse })?;
    }
    let folder = opened(&place, args)?;
    let spoilt = xexp_inspect::not_finite(&folder)?;
    if !spoilt.is_empty() {
        return Err(unusable(args, &place, &folder, &spoilt));
    }
    let input = data.map(|data| Input::read(&folder, &data, args)).transpose()?;
    let (mut inspection, layers) = inspected(folder, input.as_ref(), args)?;
    if let Some(other) = &other {
        inspection = against(args, (&place, other), inspection, input.as_ref())?;
    }
    if let Some(wanted) = &args.layers {
        match wanted.0.last() {
            Some(last) if *last >= layers => {
                return Err(Failure::input(format!("--layers: block {last}: the model has {layers} blocks"))
                    .hint(format!("blocks are counted from 0 to {}", layers.saturating_sub(1))));
            }
            _ => inspection.keep(&wanted.0),
        }
    }
    let model = match &other {
        Some(other) => format!("{place} → {other}"),
        None => place.to_string(),
    };
    output::write(args, &model, &inspection)?;
    Ok(verdict(args, &inspection))
}

/// The model's folder, with images of the size that it sees.
fn opened(place: &Model, args: &Args) -> Result<Folder, Failure> {
    let mut folder = place.open()?;
    image_size::agree(&mut folder, args.shared.quiet)?;
    Ok(folder)
}

/// 1 when a rule found something that is asked for.
fn verdict(args: &Args, inspection: &Inspection) -> Exit {
    let failed = inspection.findings.faults.iter().find(|finding| args.fails_on(finding.rule));
    match failed {
        Some(finding) => {
            eprintln!("failed on {}: {}: {}", finding.rule, finding.tensor, finding.text);
            Exit::CheckFailed
        }
        None => Exit::Done,
    }
}

/// Reports the weights of a checkpoint that cannot compute; the failure that follows.
fn unusable(args: &Args, place: &Model, folder: &Folder, spoilt: &[(String, usize)]) -> Failure {
    let alone = xexp_inspect::weights_alone(folder).map_err(Failure::from);
    if let Err(failure) = alone.and_then(|alone| output::write(args, &place.to_string(), &alone)) {
        return failure;
    }
    let (name, count) = &spoilt[0];
    let more =
        if spoilt.len() > 1 { format!(", and {} other tensors", spoilt.len() - 1) } else { String::new() };
    let message =
        format!("{place}: {name} has {count} values that are not finite{more}; only weights were measured");
    Failure::input(message).hint("take an earlier checkpoint: these values cannot be mended")
}

/// Real input, ready for a model.
struct Input {
    samples: Vec<Sample>,
    special: BTreeSet<u32>,
    classes: Option<usize>,
}

impl Input {
    /// What is to be measured with it.
    fn data(&self, args: &Args) -> Data<'_> {
        Data {
            samples: &self.samples,
            special: self.special.clone(),
            batch: args.shared.batch_size.get(),
            classes: self.classes,
            lr: args.lr,
            search: args.max_lr,
        }
    }

    fn read(folder: &Folder, data: &places::Data, args: &Args) -> Result<Self, Failure> {
        let mut declared = xexp_backbones::Declarations::default();
        let reading = xexp_backbones::families::Reading::Hidden;
        let image = folder.family.declare(&folder.config, &mut declared, reading)?.image();
        let mut encoder = Encoder::new(folder, image, Terms::new(&args.shared, &args.reading))?;
        let wanted = if args.max_lr { Wanted::Labels(Some(Task::SingleLabel)) } else { Wanted::Nothing };
        let mut read = encoder.read(data, &args.reading, wanted)?;
        let names: BTreeSet<String> =
            read.examples.iter().filter_map(|example| example.class().map(str::to_string)).collect();
        let classes = (names.len() > 1).then_some(names.len());
        if args.max_lr && classes.is_none() {
            return Err(Failure::input("--max-lr: the data has fewer than two classes"));
        }
        // Files are often sorted by class: the examples are spread over all of it.
        let (count, limit) = (read.examples.len(), args.limit.get());
        if count > limit {
            let mut index = 0;
            read.examples.retain(|_| {
                index += 1;
                (index - 1) * limit / count != index * limit / count
            });
        }
        let mut samples = encoder.prepare(&read, Augment::default())?.samples;
        for (sample, example) in samples.iter_mut().zip(&read.examples) {
            let label = example.class().and_then(|label| names.iter().position(|name| name == label));
            sample.target = Target::Class(label.unwrap_or(0) as u32);
        }
        Ok(Input { samples, special: encoder.special_tokens(), classes })
    }
}

/// Classes of a head for the search for a learning rate.
fn classes(input: Option<&Input>, args: &Args) -> usize {
    input.and_then(|input| input.classes).filter(|_| args.max_lr).unwrap_or(SAVED)
}

/// A model's inspection, and the number of its blocks.
fn inspected(folder: Folder, input: Option<&Input>, args: &Args) -> Result<(Inspection, usize), Failure> {
    let mut subject = Subject::open(folder, classes(input, args))?;
    let data = input.map(|input| input.data(args));
    let layers = subject.structure().blocks.len();
    Ok((subject.inspect(data.as_ref())?, layers))
}

/// The second model beside the first, and the change of each weight.
fn against(
    args: &Args,
    (first, second): (&Model, &Model),
    before: Inspection,
    input: Option<&Input>,
) -> Result<Inspection, Failure> {
    let (folder, base) = (opened(second, args)?, opened(first, args)?);
    if folder.family.model_type != base.family.model_type {
        let (a, b) = (base.family.model_type, folder.family.model_type);
        return Err(Failure::input(format!("--compare {second}: expected a {a} model, found {b}")));
    }
    let spoilt = xexp_inspect::not_finite(&folder)?;
    if !spoilt.is_empty() {
        return Err(unusable(args, second, &folder, &spoilt));
    }
    let (checkpoints, prefix) = ((base.checkpoint()?, folder.checkpoint()?), folder.family.prefix);
    let mut declared = xexp_backbones::Declarations::default();
    folder.family.declare(&folder.config, &mut declared, xexp_backbones::families::Reading::Features)?;
    let mut subject = Subject::open(folder, classes(input, args))?;
    let (changes, left) =
        compare::changes(&declared, (&checkpoints.0, &checkpoints.1), Some(subject.structure()))?;
    let data = input.map(|input| input.data(args));
    let after = subject.inspect(data.as_ref())?;
    let pair = |sheet: &Sheet| before.sheet(sheet.id).map(|first| compare::beside(first, sheet, prefix));
    let mut facts = after.facts;
    facts.push(("compared", format!("numbers in parentheses are those of {first}; the others of {second}")));
    if !left.is_empty() {
        facts.push((
            "not compared",
            format!("in one of both alone, or of another shape: {}", left.join(", ")),
        ));
    }
    let sheets = std::iter::once(changes).chain(after.sheets.iter().filter_map(pair)).collect();
    Ok(Inspection { facts, sheets, findings: after.findings, advice: after.advice })
}
