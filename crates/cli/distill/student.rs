//! The student: its configuration, and what its weights begin as.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use xexp_backbones::Seed;
use xexp_backbones::checkpoint::Checkpoint;
use xexp_backbones::config::Config;
use xexp_backbones::families::Family;
use xexp_backbones::folder::Folder;
use xexp_heads::{Loan, Student, Teacher};

use super::args::{self, Begin};
use crate::failure::Failure;
use crate::provenance;

/// A student before it is built.
pub struct Plan {
    family: &'static Family,
    /// Its `config.json`.
    pub config: Map<String, Value>,
    /// The teacher's blocks that it begins with; empty for one that is drawn anew.
    pub take: Vec<usize>,
    /// Longest text, in tokens.
    pub positions: usize,
    /// Where its weights come from, if it was made before.
    made: Option<Made>,
}

/// A student that was made before.
struct Made {
    /// As it was given.
    name: String,
    checkpoint: Checkpoint,
}

impl Plan {
    /// The student that the arguments ask for, with the teacher's sizes where they say nothing.
    ///
    /// # Errors
    /// Sizes that do not fit the teacher.
    pub fn new(args: &args::Student, folder: &Folder, vocabulary: usize) -> Result<Self, Failure> {
        let teacher = &folder.config;
        let size = |given: Option<std::num::NonZeroUsize>, field: &str| match given {
            Some(size) => Ok(size.get()),
            None => teacher.size(field),
        };
        let of_teacher = teacher.size("num_hidden_layers")?;
        let layers = match (&args.take, args.layers) {
            (Some(take), None) => take.len(),
            (_, Some(layers)) => layers.get(),
            (None, None) => of_teacher.div_ceil(2),
        };
        let take = take(args, layers, of_teacher)?;
        let positions = size(args.positions, "max_position_embeddings")?;
        let mut config = teacher.fields.clone();
        config.shift_remove("_name_or_path");
        for (field, value) in [
            ("architectures", json!([folder.family.base_architecture])),
            ("hidden_size", json!(size(args.width, "hidden_size")?)),
            ("num_hidden_layers", json!(layers)),
            ("num_attention_heads", json!(size(args.heads, "num_attention_heads")?)),
            ("intermediate_size", json!(size(args.hidden, "intermediate_size")?)),
            ("max_position_embeddings", json!(positions)),
            ("vocab_size", json!(vocabulary)),
        ] {
            config.insert(field.to_string(), value);
        }
        Ok(Plan { family: folder.family, config, take, positions, made: None })
    }

    /// The student that an earlier run made, `name`, of the vocabulary that its tokenizer has.
    ///
    /// # Errors
    /// A folder that cannot be read, or another vocabulary than the tokenizer's.
    pub fn made(name: &str, folder: &Folder, vocabulary: usize) -> Result<Self, Failure> {
        let rows = folder.config.size("vocab_size")?;
        if rows != vocabulary {
            return Err(Failure::input(format!(
                "--student {name}: {rows} words in config.json, {vocabulary} in tokenizer.json"
            )));
        }
        let positions = folder.config.size("max_position_embeddings")?;
        let made = Some(Made { name: name.to_string(), checkpoint: folder.checkpoint()? });
        let config = folder.config.fields.clone();
        Ok(Plan { family: folder.family, config, take: vec![], positions, made })
    }

    /// SHA-256 of the weights that it goes on from.
    pub fn goes_on_from(&self) -> Option<String> {
        self.made.as_ref().map(|made| provenance::weights_sha256(&made.checkpoint))
    }

    /// Width of its stream.
    pub fn width(&self) -> usize {
        self.config.get("hidden_size").and_then(Value::as_u64).unwrap_or(0) as usize
    }

    /// Builds it for vectors of the teacher's width. It learns without dropout; the configuration that is saved keeps
    /// the teacher's, for whoever fine-tunes.
    ///
    /// # Errors
    /// Sizes that cannot be built, or shapes that the teacher cannot lend.
    pub fn build(&self, teacher: &Teacher, kept: &[u32], seed: Seed) -> Result<Student, Failure> {
        let mut fields = self.config.clone();
        for dropout in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
            fields.insert(dropout.to_string(), json!(0.0));
        }
        let config = Config { path: PathBuf::from("the student"), fields };
        if let Some(made) = &self.made {
            return Ok(Student::open(self.family, &config, &made.checkpoint, teacher.width(), seed)?);
        }
        let student = Student::untrained(self.family, &config, teacher.width(), seed)?;
        if !self.take.is_empty() {
            let feed_forward = ("intermediate.dense", "output.dense");
            student.begin_as(teacher, &Loan { blocks: &self.take, words: kept, feed_forward })?;
        }
        Ok(student)
    }
}

/// The teacher's blocks that the student's begin as.
fn take(args: &args::Student, layers: usize, of_teacher: usize) -> Result<Vec<usize>, Failure> {
    if args.begin == Begin::Random {
        return match args.take {
            Some(_) => Err(Failure::input("--take has no meaning beside --begin random")),
            None => Ok(vec![]),
        };
    }
    let spread = |i: usize| if layers == 1 { 0 } else { i * (of_teacher - 1) / (layers - 1) };
    let take = args.take.clone().unwrap_or_else(|| (0..layers).map(spread).collect());
    if take.len() != layers || take.iter().any(|&block| block >= of_teacher) {
        let shown: Vec<String> = take.iter().map(usize::to_string).collect();
        return Err(Failure::input(format!(
            "--take {}: expected {layers} of the teacher's blocks 0 to {}",
            shown.join(","),
            of_teacher - 1
        )));
    }
    Ok(take)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |field: &str| self.config.get(field).and_then(Value::as_u64).unwrap_or(0);
        write!(
            f,
            "{} blocks of width {}, feed-forward {}, {} positions, {} words; ",
            size("num_hidden_layers"),
            size("hidden_size"),
            size("intermediate_size"),
            self.positions,
            size("vocab_size")
        )?;
        if let Some(made) = &self.made {
            return write!(f, "going on from {}", made.name);
        }
        if self.take.is_empty() {
            return f.write_str("drawn at random");
        }
        let blocks: Vec<String> = self.take.iter().map(usize::to_string).collect();
        write!(f, "begun as the teacher's blocks {}", blocks.join(", "))
    }
}
