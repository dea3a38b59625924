//! The flags of `xexp distill`.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::Serialize;
use xexp_heads::Pooling;

use crate::args::{Corpus, Course, Reading, Shared, number};

/// Which teacher, given with --model, which student, on which texts, and how.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// Which texts, and how weights are saved.
    #[command(flatten)]
    #[serde(flatten)]
    pub corpus: Corpus,
    /// How the files are read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
    /// The student.
    #[command(flatten)]
    #[serde(flatten)]
    pub student: Student,
    /// The number of passes over the texts.
    #[arg(long, env = "XEXP_EPOCHS", value_name = "N", default_value = "10", help_heading = "Training")]
    pub epochs: NonZeroU32,
    /// The learning rate.
    #[arg(long, env = "XEXP_LR", value_name = "X", default_value = "5e-4", value_parser = number::positive, help_heading = "Training")]
    pub lr: f64,
    /// How many texts made of two texts are added, as a share of the texts there are.
    #[arg(long, env = "XEXP_JOIN", value_name = "SHARE", default_value = "0", value_parser = number::not_negative, help_heading = "Training")]
    pub join: f64,
    /// The weight of the loss on every token's hidden state, beside 1 on the sentence vector; needs the teacher's width
    /// [default: 1 at the teacher's width, else 0].
    #[arg(long, env = "XEXP_STATES", value_name = "X", value_parser = number::not_negative, help_heading = "Training")]
    pub states: Option<f64>,
    /// The share of tokens left out of every second text.
    #[arg(long, env = "XEXP_DROP_TOKENS", value_name = "FRACTION", default_value = "0.1", value_parser = number::dropout, help_heading = "Training")]
    pub drop_tokens: f64,
    /// How the steps go.
    #[command(flatten)]
    #[serde(flatten)]
    pub course: Course,
}

/// The student, which has the teacher's sizes where nothing is said.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Student")]
pub struct Student {
    /// What is learned of the teacher: mean, first or features [default: what the teacher's 1_Pooling folder says,
    /// else features].
    #[arg(long, env = "XEXP_POOLING", value_name = "POOLING")]
    #[serde(serialize_with = "shown")]
    pub pooling: Option<Pooling>,
    /// A student that was made before, to go on from: with its sizes, its vocabulary and its weights.
    #[arg(long, env = "XEXP_STUDENT", value_name = "MODEL", conflicts_with_all = ["begin", "layers", "take", "width", "heads", "hidden", "positions", "vocabulary"])]
    pub student: Option<String>,
    /// What the student's weights begin as: copies of the teacher's, or drawn anew.
    #[arg(long, env = "XEXP_BEGIN", value_name = "BEGINNING", default_value = "teacher")]
    pub begin: Begin,
    /// Number of blocks [default: half of the teacher's].
    #[arg(long, env = "XEXP_LAYERS", value_name = "N")]
    pub layers: Option<NonZeroUsize>,
    /// The teacher's blocks that the student begins with, counted from 0 [default: evenly spread, first and last
    /// among them].
    #[arg(long, env = "XEXP_TAKE", value_name = "I,J,…", value_delimiter = ',')]
    pub take: Option<Vec<usize>>,
    /// Width of the stream.
    #[arg(long, env = "XEXP_WIDTH", value_name = "N")]
    pub width: Option<NonZeroUsize>,
    /// Number of attention heads; divides the width.
    #[arg(long, env = "XEXP_HEADS", value_name = "N")]
    pub heads: Option<NonZeroUsize>,
    /// Width of the feed-forward layers.
    #[arg(long, env = "XEXP_HIDDEN", value_name = "N")]
    pub hidden: Option<NonZeroUsize>,
    /// Longest text, in tokens.
    #[arg(long, env = "XEXP_POSITIONS", value_name = "N")]
    pub positions: Option<NonZeroUsize>,
    /// Entries of the teacher's vocabulary that the student keeps: those that the texts use most.
    #[arg(long, env = "XEXP_VOCABULARY", value_name = "N")]
    pub vocabulary: Option<NonZeroUsize>,
}

/// What the student's weights begin as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// Copies of the teacher's, where the shapes are the same.
    Teacher,
    /// Drawn by the family's initializers.
    Random,
}

fn shown<S: serde::Serializer>(pooling: &Option<Pooling>, serializer: S) -> Result<S::Ok, S::Error> {
    match pooling {
        Some(pooling) => serializer.collect_str(pooling),
        None => serializer.serialize_none(),
    }
}
