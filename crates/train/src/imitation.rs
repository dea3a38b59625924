//! Distillation: a student's sentence vectors made those of a teacher, on texts without labels.

use crate::objective::{Evaluation, Objective};
use crate::step::StepSettings;
use crate::{Error, Result};
use half::f16;
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_backbones::{Grads, Input, Mode, Params, Pass, Seed};
use xexp_heads::{Imitation, Student};
use xexp_kernels::{Buffer, Pool, cosine};
use xexp_report::Valid;

/// Texts as the student reads them, without the tokens at their ends, and what the teacher makes of them.
pub struct Lessons {
    /// Token ids of each text.
    pub texts: Vec<Vec<u32>>,
    /// The teacher's vectors, `(texts, width)`.
    pub vectors: Vec<f32>,
    /// The teacher's hidden states, `(tokens, width)`, text after text with the tokens at the ends; empty where they
    /// are not learned. In 16 bits, since they outweigh everything else.
    pub states: Vec<f16>,
    /// Width of a vector.
    pub width: usize,
    /// Where each text's states begin, in tokens.
    starts: Vec<usize>,
}

impl Lessons {
    /// Lessons of texts, vectors and states that belong together.
    pub fn new(texts: Vec<Vec<u32>>, vectors: Vec<f32>, states: Vec<f16>, width: usize) -> Self {
        let starts = texts.iter().scan(0, |start, text| {
            *start += text.len() + 2;
            Some(*start - text.len() - 2)
        });
        Lessons { starts: starts.collect(), texts, vectors, states, width }
    }
}

/// The loss `1 − cos(student, teacher)` of sentence vectors, averaged over texts, and that of hidden states, averaged
/// over tokens. Source: the cosine embedding loss of Sanh et al. 2019 (DistilBERT), §3.
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
    /// Weight of the hidden states' loss; 0 leaves them alone.
    pub states: f64,
    /// Probability that each token of every second text is left out of what the student reads; what it is to say
    /// stays that of the whole text.
    pub drop: f64,
    /// Seed of the streams `drop/…`.
    pub seed: Seed,
}

/// Texts as a student reads them, packed, with what it is to say.
struct Batch {
    input: Input,
    vectors: Vec<f32>,
    states: Vec<f32>,
}

impl Imitate<'_> {
    /// The tokens of a training text that the student reads at a step, by number; the ends are not among them.
    fn read_at(&self, index: usize, step: u64) -> Vec<usize> {
        let count = self.train.texts[index].len();
        let mut stream = self.seed.stream(&format!("drop/{step}/{index}"));
        if self.drop > 0.0 && stream.uniform() < 0.5 {
            let kept: Vec<usize> = (0..count).filter(|_| stream.uniform() >= self.drop).collect();
            // A text of which nothing is left teaches nothing.
            if !kept.is_empty() {
                return kept;
            }
        }
        (0..count).collect()
    }

    /// Packs the texts at `indices`, of each the tokens numbered in `read`.
    fn pack(&self, lessons: &Lessons, indices: &[usize], read: &[Vec<usize>]) -> Result<Batch> {
        let width = lessons.width;
        let (begin, end) = self.ends;
        let (mut texts, mut vectors, mut states) = (vec![], vec![], vec![]);
        for (&index, read) in indices.iter().zip(read) {
            let read = &read[..read.len().min(self.max_length.saturating_sub(2))];
            let text = &lessons.texts[index];
            let ids = std::iter::once(begin).chain(read.iter().map(|&i| text[i])).chain([end]);
            texts.push(ids.collect::<Vec<u32>>());
            vectors.extend_from_slice(&lessons.vectors[index * width..(index + 1) * width]);
            if self.states > 0.0 {
                let rows = std::iter::once(0).chain(read.iter().map(|i| i + 1)).chain([text.len() + 1]);
                for row in rows {
                    let start = (lessons.starts[index] + row) * width;
                    states.extend(lessons.states[start..start + width].iter().map(|v| v.to_f32()));
                }
            }
        }
        let zeros = vec![0; texts.iter().map(Vec::len).max().unwrap_or(0)];
        let input = Input::pack(texts.iter().map(|ids| (&ids[..], &zeros[..ids.len()])))?;
        Ok(Batch { input, vectors, states })
    }

    /// Loss of what the student made of a batch, and its gradients. The weights are one over the texts and the tokens
    /// of the whole step.
    fn loss(
        &self,
        made: &Imitation,
        batch: &Batch,
        (per_text, per_token): (f64, f64),
        pool: &Pool,
    ) -> (f64, Buffer, Option<Buffer>) {
        let width = self.train.width;
        let mut slope = pool.buffer(made.vectors.len());
        let loss = cosine::forward_backward(&made.vectors, &batch.vectors, width, per_text, &mut slope);
        if self.states == 0.0 {
            return (loss, slope, None);
        }
        let mut of_states = pool.buffer(made.hidden.len());
        let weight = self.states * per_token;
        let more = cosine::forward_backward(&made.hidden, &batch.states, width, weight, &mut of_states);
        (loss + more, slope, Some(of_states))
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
        let read: Vec<Vec<usize>> = chosen.iter().map(|&i| self.read_at(i, settings.step)).collect();
        let tokens: usize = read.iter().map(|r| r.len().min(self.max_length.saturating_sub(2)) + 2).sum();
        let weights = (1.0 / chosen.len() as f64, 1.0 / tokens as f64);
        let mut loss = 0.0;
        let parts = chosen.chunks(settings.micro_batch).zip(read.chunks(settings.micro_batch));
        for (turn, (part, read)) in parts.enumerate() {
            let batch = self.pack(self.train, part, read)?;
            let mode = Mode::Train { seed: settings.seed, step: settings.pass(turn) };
            let mut pass = Pass::new(pool, mode);
            let made = self.student.forward(&batch.input, &mut pass)?;
            let (part, slope, of_states) = self.loss(&made, &batch, weights, pool);
            loss += part;
            if !loss.is_finite() {
                return Err(Error::NonFiniteLoss { step: settings.step, loss });
            }
            if let Some(tape) = made.tape {
                self.student.backward(grads, (slope, of_states), tape, &batch.input, &pass)?;
            }
        }
        Ok(loss)
    }

    fn evaluate(&self, batch: usize, interrupted: &AtomicBool) -> Result<Evaluation> {
        let texts = &self.valid.texts;
        let tokens: usize = texts.iter().map(|t| t.len().min(self.max_length.saturating_sub(2)) + 2).sum();
        let weights = (1.0 / texts.len().max(1) as f64, 1.0 / tokens.max(1) as f64);
        let (pool, mut loss) = (Pool::default(), 0.0);
        let indices: Vec<usize> = (0..texts.len()).collect();
        for part in indices.chunks(batch) {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(Evaluation::Interrupted);
            }
            let read: Vec<Vec<usize>> = part.iter().map(|&i| (0..texts[i].len()).collect()).collect();
            let batch = self.pack(self.valid, part, &read)?;
            let made = self.student.forward(&batch.input, &mut Pass::new(&pool, Mode::Eval))?;
            loss += self.loss(&made, &batch, weights, &pool).0;
        }
        if texts.is_empty() {
            return Ok(Evaluation::Nothing);
        }
        Ok(Evaluation::Scored(Valid { loss, ..Default::default() }))
    }
}
