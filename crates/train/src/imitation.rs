//! Distillation: a student's sentence vectors made those of a teacher, on texts without labels.

use crate::objective::{Evaluation, Objective};
use crate::step::StepSettings;
use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_backbones::{Grads, Input, Mode, Params, Pass, Seed};
use xexp_heads::{Student, normalize};
use xexp_kernels::{Buffer, Pool, cosine};
use xexp_report::Valid;

/// Texts as the student reads them, without special tokens, and the teacher's vectors of norm 1.
pub struct Lessons {
    /// Token ids of each text.
    pub texts: Vec<Vec<u32>>,
    /// `(texts, width)`.
    pub vectors: Vec<f32>,
    /// Width of a vector.
    pub width: usize,
}

impl Lessons {
    fn vector(&self, index: usize) -> &[f32] {
        &self.vectors[index * self.width..(index + 1) * self.width]
    }
}

/// What is made of the texts to make more of them. Both are off at 0.
#[derive(Clone, Copy, Debug)]
pub struct Variety {
    /// Probability that another text follows a text; the target is the mean of both vectors, weighted by their
    /// lengths: exact for a teacher that means over tokens which do not look at each other, and near it for others.
    pub join: f64,
    /// Probability that each token of every second text is left out, target unchanged.
    pub drop: f64,
}

/// The loss `1 − cos(student, teacher)`, averaged over texts.
/// Source: the embedding loss of Sanh et al. 2019 (DistilBERT), §3, applied to sentence vectors.
pub struct Imitate<'a> {
    /// The student.
    pub student: &'a Student,
    /// Texts to learn from.
    pub train: &'a Lessons,
    /// Texts to choose the best weights by, as they are; may be empty.
    pub valid: &'a Lessons,
    /// Tokens at the begin and the end of a text.
    pub ends: (u32, u32),
    /// Most tokens of a text, those two included.
    pub max_length: usize,
    /// How texts are varied.
    pub variety: Variety,
    /// Seed of the streams `variety/…`.
    pub seed: Seed,
}

impl Imitate<'_> {
    /// What a training text is at a step: tokens and target.
    fn lesson(&self, index: usize, step: u64) -> (Vec<u32>, Vec<f32>) {
        let mut stream = self.seed.stream(&format!("variety/{step}/{index}"));
        let mut tokens = self.train.texts[index].clone();
        let mut target = self.train.vector(index).to_vec();
        if stream.uniform() < self.variety.join {
            let other = stream.below(self.train.texts.len() as u64) as usize;
            let (a, b) = (tokens.len() as f32, self.train.texts[other].len() as f32);
            target.iter_mut().zip(self.train.vector(other)).for_each(|(t, o)| *t = a * *t + b * o);
            normalize(&mut target);
            tokens.extend_from_slice(&self.train.texts[other]);
        }
        if self.variety.drop > 0.0 && stream.uniform() < 0.5 {
            let kept: Vec<u32> =
                tokens.iter().copied().filter(|_| stream.uniform() >= self.variety.drop).collect();
            // A text of which nothing is left teaches nothing.
            if !kept.is_empty() {
                tokens = kept;
            }
        }
        (self.framed(&tokens), target)
    }

    fn framed(&self, tokens: &[u32]) -> Vec<u32> {
        let room = tokens.len().min(self.max_length.saturating_sub(2));
        let (begin, end) = self.ends;
        std::iter::once(begin).chain(tokens[..room].iter().copied()).chain([end]).collect()
    }

    fn pack(texts: &[Vec<u32>]) -> Result<Input> {
        let zeros = vec![0; texts.iter().map(Vec::len).max().unwrap_or(0)];
        Ok(Input::pack(texts.iter().map(|ids| (&ids[..], &zeros[..ids.len()])))?)
    }

    /// Loss and gradient of the vectors.
    fn loss(&self, vectors: &[f32], targets: &[f32], weight: f64, pool: &Pool) -> (f64, Buffer) {
        let mut slope = pool.buffer(vectors.len());
        (cosine::forward_backward(vectors, targets, self.train.width, weight, &mut slope), slope)
    }
}

impl Objective for Imitate<'_> {
    fn params(&self) -> &Params {
        &self.student.params
    }

    fn examples(&self) -> usize {
        self.train.texts.len()
    }

    fn in_head(&self, _: &str) -> bool {
        false
    }

    fn gradients(
        &self,
        chosen: &[usize],
        settings: &StepSettings,
        grads: &mut Grads,
        pool: &Pool,
    ) -> Result<f64> {
        let weight = 1.0 / chosen.len() as f64;
        let mut loss = 0.0;
        for (turn, part) in chosen.chunks(settings.micro_batch).enumerate() {
            let lessons = part.iter().map(|&index| self.lesson(index, settings.step));
            let (texts, targets): (Vec<_>, Vec<_>) = lessons.unzip();
            let input = Self::pack(&texts)?;
            let mode = Mode::Train { seed: settings.seed, step: settings.pass(turn) };
            let mut pass = Pass::new(pool, mode);
            let made = self.student.forward(&input, &mut pass)?;
            let (part, slope) = self.loss(&made.vectors, &targets.concat(), weight, pool);
            loss += part;
            if !loss.is_finite() {
                return Err(Error::NonFiniteLoss { step: settings.step, loss });
            }
            if let Some(tape) = made.tape {
                self.student.backward(grads, slope, tape, &input, &pass)?;
            }
        }
        Ok(loss)
    }

    fn evaluate(&self, batch: usize, interrupted: &AtomicBool) -> Result<Evaluation> {
        let count = self.valid.texts.len();
        if count == 0 {
            return Ok(Evaluation::Nothing);
        }
        let (pool, mut loss) = (Pool::default(), 0.0);
        for (turn, part) in self.valid.texts.chunks(batch).enumerate() {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(Evaluation::Interrupted);
            }
            let input = Self::pack(&part.iter().map(|tokens| self.framed(tokens)).collect::<Vec<_>>())?;
            let made = self.student.forward(&input, &mut Pass::new(&pool, Mode::Eval))?;
            let start = turn * batch * self.valid.width;
            let targets = &self.valid.vectors[start..start + made.vectors.len()];
            loss += self.loss(&made.vectors, targets, 1.0 / count as f64, &pool).0;
        }
        Ok(Evaluation::Scored(Valid { loss, ..Default::default() }, -loss))
    }
}
