//! `xexp distill`: a small encoder that learns a teacher's sentence vectors on texts without labels.

mod args;
mod lessons;
mod student;

use serde_json::json;
use xexp_backbones::Seed;
use xexp_backbones::families::Modality;
use xexp_backbones::folder::Folder;
use xexp_heads::{MAP, Pooling, Teacher};
use xexp_train::Imitate;

pub use args::Args;

use crate::backbone::{Corpus, Job, Journey};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{places, provenance, signals};
use lessons::{Tokens, Wanted};

/// Distils as the arguments say.
///
/// # Errors
/// Whatever ends the run early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let given = args.shared.model.as_deref().ok_or_else(|| {
        Failure::input("no teacher").hint("give a text encoder in the Hugging Face layout: --model DIR")
    })?;
    let job = Job::new("distill", &args.shared, &args.corpus)?;
    let place = places::model("--model", given, args.shared.access())?;
    let earlier = args.student.student.as_deref();
    let earlier = earlier.map(|name| places::model("--student", name, args.shared.access())).transpose()?;
    // Not before the models are here: a signal ends a download at once.
    let stop = signals::watch()?;
    let folder = place.open()?;
    if folder.family.modality != Modality::Text {
        return Err(Failure::input(format!("--model {given}: expected a text encoder for a teacher")));
    }
    let seed = Seed(args.shared.seed);
    let corpus = Corpus::read(&args.corpus, &args.reading, &args.shared)?;
    let pooling = match args.student.pooling {
        Some(pooling) => pooling,
        None => recommended(&folder)?.unwrap_or(Pooling::Features),
    };
    let teacher = Teacher::open(&folder, pooling)?;
    let (tokens, student) = match &earlier {
        Some(earlier) => {
            let made = earlier.open()?;
            trainable(&made)?;
            let tokens = Tokens::of_student(&folder, &made)?;
            let student = student::Plan::made(&earlier.to_string(), &made, tokens.vocabulary)?;
            (tokens, student)
        }
        None => {
            trainable(&folder)?;
            let tokens = Tokens::new(&folder, &corpus, args.student.vocabulary.map(usize::from))?;
            let student = student::Plan::new(&args.student, &folder, tokens.vocabulary)?;
            (tokens, student)
        }
    };
    if !args.shared.quiet {
        eprintln!(
            "{} texts to learn from, {} to validate on, {} repeated ones left out\n\
             teacher {place}, pooling {pooling}; student: {student}",
            corpus.train.len(),
            corpus.valid.len(),
            corpus.repeats,
        );
    }
    let model = student.build(&teacher, &tokens.kept, seed)?;
    let positions = student.positions;
    let max_length = args.shared.max_length.map_or(positions, usize::from);
    if max_length > positions || max_length < 3 {
        return Err(Failure::input(format!("--max-length {max_length}: expected 3 to {positions} tokens")));
    }
    let same_width = student.width() == teacher.width();
    let states = args.states.unwrap_or(if same_width { 1.0 } else { 0.0 });
    if states > 0.0 && !same_width {
        return Err(Failure::input(format!("--states {states}: expected a student of the teacher's width"))
            .hint("leave --width away, or learn the sentence vectors alone: --states 0"));
    }
    let wanted = Wanted { states: states > 0.0, join: args.join, seed };
    let Some((train, valid)) = tokens.lessons(&corpus, &teacher, &wanted, &args.shared, &stop)? else {
        return Ok(Exit::Interrupted);
    };
    let objective = Imitate {
        student: &model,
        train: &train,
        valid: &valid,
        ends: tokens.ends,
        max_length,
        states,
        drop: args.drop_tokens,
        seed,
    };
    let settings = args.course.settings(
        args.epochs.get(),
        (args.lr, args.lr),
        args.shared.batch_size.get(),
        args.shared.seed,
    );
    let journey = Journey {
        command: "distill",
        config: json!(args),
        shared: &args.shared,
        flags: &args.corpus,
        job: &job,
        corpus: &corpus,
        objective: &objective,
        settings: &settings,
        identity: vec![
            ("teacher", json!(provenance::weights_sha256(&folder.checkpoint()?))),
            ("pooling", json!(pooling.to_string())),
            ("student", json!(student.config)),
            ("begin", json!([json!(args.student.begin), json!(student.take), json!(student.goes_on_from())])),
            ("join", json!(args.join)),
            ("states", json!(states)),
            ("drop-tokens", json!(args.drop_tokens)),
            ("max-length", json!(max_length)),
        ],
        summary: format!(
            "A student of `{place}` made by `xexp distill`: its pooled features imitate the teacher's sentence vectors \
             (pooling: {pooling}){}, on texts without labels. {student}.",
            if states > 0.0 { ", its hidden states the teacher's" } else { "" }
        ),
        model_config: student.config,
        tokenizer: tokens.files_for(positions)?,
        wanted: |name| !name.starts_with(MAP),
    };
    journey.run(&stop)
}

/// Whether a student of this family can learn; a teacher may be of any.
fn trainable(folder: &Folder) -> Result<(), Failure> {
    if folder.family.frozen {
        let message = format!(
            "{}: a student of the family {} cannot learn: the family is computed without gradients",
            folder.path.display(),
            folder.family.model_type
        );
        return Err(Failure::input(message)
            .hint("give a student of another family that reads the teacher's tokens: --student DIR"));
    }
    Ok(())
}

/// What the teacher's folder says of its pooling, in sentence-transformers' spelling.
fn recommended(folder: &Folder) -> Result<Option<Pooling>, Failure> {
    let Some(bytes) = folder.file("1_Pooling/config.json")? else { return Ok(None) };
    let path = folder.path.join("1_Pooling/config.json");
    let fields: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::input(format!("{}: not JSON", path.display())).because(&error))?;
    let says = |field: &str| fields.get(field).and_then(serde_json::Value::as_bool) == Some(true);
    match (says("pooling_mode_mean_tokens"), says("pooling_mode_cls_token")) {
        (true, false) => Ok(Some(Pooling::Mean)),
        (false, true) => Ok(Some(Pooling::First)),
        _ => Err(Failure::input(format!("{}: neither the mean nor the first token alone", path.display()))
            .hint("say what is to be learned: --pooling mean|first|features")),
    }
}
