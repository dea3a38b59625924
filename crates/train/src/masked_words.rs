//! Masked-language modelling: words hidden at random, and the loss of guessing them.

use crate::objective::{Evaluation, Objective};
use crate::step::StepSettings;
use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_backbones::{Grads, Input, Mode, Params, Pass, Seed};
use xexp_heads::MaskedLm;
use xexp_init::Stream;
use xexp_kernels::{Pool, cross_entropy};
use xexp_report::Valid;

/// How words are hidden. Source: Devlin et al. 2019, §3.1: of the chosen words 80 % become the mask, 10 % another word
/// drawn evenly, and 10 % stay.
#[derive(Clone, Debug)]
pub struct Masking {
    /// Share of the words that are chosen; at least one of each text.
    pub share: f64,
    /// Id of the mask.
    pub mask: u32,
    /// Ids that are neither hidden nor drawn: padding, begin, end and the mask itself; sorted.
    pub special: Vec<u32>,
    /// Number of words.
    pub vocabulary: u32,
}

/// A text with hidden words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Masked {
    /// Ids, some of them replaced.
    pub ids: Vec<u32>,
    /// Where words were chosen, ascending.
    pub places: Vec<usize>,
    /// The words that stood there.
    pub words: Vec<u32>,
}

impl Masking {
    /// Hides words of a text, as `stream` has it.
    pub fn apply(&self, ids: &[u32], stream: &mut Stream) -> Masked {
        let plain = |id: &u32| self.special.binary_search(id).is_err();
        let mut places: Vec<usize> = (0..ids.len()).filter(|&i| plain(&ids[i])).collect();
        let wanted = ((self.share * places.len() as f64).round() as usize).clamp(1, places.len().max(1));
        stream.shuffle(&mut places);
        places.truncate(wanted);
        places.sort_unstable();
        let words = places.iter().map(|&place| ids[place]).collect();
        let mut hidden = ids.to_vec();
        for &place in &places {
            let fate = stream.uniform();
            if fate < 0.8 {
                hidden[place] = self.mask;
            } else if fate < 0.9 {
                hidden[place] = self.word(stream);
            }
        }
        Masked { ids: hidden, places, words }
    }

    /// A word drawn evenly among those that are not special.
    fn word(&self, stream: &mut Stream) -> u32 {
        let plain = u64::from(self.vocabulary).saturating_sub(self.special.len() as u64).max(1);
        let mut word = stream.below(plain) as u32;
        // The special ids are sorted: each that is not above the word moves it up by one.
        for &special in &self.special {
            if special <= word {
                word += 1;
            }
        }
        word
    }
}

/// The loss over texts of token ids, special tokens included.
pub struct MaskedWords<'a> {
    /// The model.
    pub model: &'a MaskedLm,
    /// How words are hidden.
    pub masking: Masking,
    /// Texts to train on; each step hides other words.
    pub train: &'a [Vec<u32>],
    /// Texts to choose the best weights by, always with the same words hidden; may be empty.
    pub valid: &'a [Vec<u32>],
    /// Seed of the streams `mask/…`.
    pub seed: Seed,
}

/// Texts with hidden words, packed.
struct Batch {
    input: Input,
    places: Vec<usize>,
    words: Vec<u32>,
}

impl Batch {
    fn pack(texts: &[Masked]) -> Result<Self> {
        let zeros = vec![0; texts.iter().map(|t| t.ids.len()).max().unwrap_or(0)];
        let input = Input::pack(texts.iter().map(|t| (&t.ids[..], &zeros[..t.ids.len()])))?;
        let starts = input.offsets.iter();
        let places = texts.iter().zip(starts).flat_map(|(t, start)| t.places.iter().map(move |p| start + p));
        let places = places.collect();
        Ok(Batch { input, places, words: texts.iter().flat_map(|t| t.words.iter().copied()).collect() })
    }
}

impl Objective for MaskedWords<'_> {
    fn params(&self) -> &Params {
        &self.model.params
    }

    fn examples(&self) -> usize {
        self.train.len()
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
        let mask = |&index: &usize| {
            let mut stream = self.seed.stream(&format!("mask/{}/{index}", settings.step));
            self.masking.apply(&self.train[index], &mut stream)
        };
        let masked: Vec<Masked> = chosen.iter().map(mask).collect();
        // The mean is over the hidden words of the whole step, however it is cut.
        let weight = 1.0 / masked.iter().map(|m| m.words.len()).sum::<usize>().max(1) as f64;
        let mut loss = 0.0;
        for (turn, part) in masked.chunks(settings.micro_batch).enumerate() {
            let Batch { input, places, words } = Batch::pack(part)?;
            let mode = Mode::Train { seed: settings.seed, step: settings.pass(turn) };
            let mut pass = Pass::new(pool, mode);
            let logits = self.model.forward(&input, &places, &mut pass)?;
            let mut dlogits = pool.buffer(logits.values.len());
            loss += cross_entropy::forward_backward(&logits.values, &words, weight, &mut dlogits);
            if !loss.is_finite() {
                return Err(Error::NonFiniteLoss { step: settings.step, loss });
            }
            if let Some(tape) = logits.tape {
                self.model.backward(grads, &dlogits, (tape, &places), &input, &pass)?;
            }
        }
        Ok(loss)
    }

    fn evaluate(&self, batch: usize, interrupted: &AtomicBool) -> Result<Evaluation> {
        if self.valid.is_empty() {
            return Ok(Evaluation::Nothing);
        }
        let mask = |(index, ids): (usize, &Vec<u32>)| {
            self.masking.apply(ids, &mut self.seed.stream(&format!("mask/valid/{index}")))
        };
        let masked: Vec<Masked> = self.valid.iter().enumerate().map(mask).collect();
        let words: usize = masked.iter().map(|m| m.words.len()).sum();
        let (pool, mut loss, mut right) = (Pool::default(), 0.0, 0);
        for part in masked.chunks(batch) {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(Evaluation::Interrupted);
            }
            let Batch { input, places, words: truth } = Batch::pack(part)?;
            let logits = self.model.forward(&input, &places, &mut Pass::new(&pool, Mode::Eval))?;
            let mut scrap = pool.buffer(logits.values.len());
            loss += cross_entropy::forward_backward(&logits.values, &truth, 1.0 / words as f64, &mut scrap);
            let rows = logits.values.chunks_exact(self.model.vocabulary()).zip(&truth);
            right += rows.filter(|(row, word)| row.iter().all(|z| *z <= row[**word as usize])).count();
        }
        let accuracy = Some(right as f64 / words as f64);
        Ok(Evaluation::Scored(Valid { loss, accuracy, ..Default::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masking(share: f64) -> Masking {
        Masking { share, mask: 4, special: vec![0, 2, 3, 4], vocabulary: 30 }
    }

    /// Begin, 1,000 words, end.
    fn ids() -> Vec<u32> {
        let mut stream = Seed(5).stream("ids");
        let words = (0..1000).map(|_| 5 + stream.below(25) as u32);
        std::iter::once(2).chain(words).chain([3]).collect()
    }

    #[test]
    fn the_right_share_is_hidden_in_the_right_ways() {
        let (ids, mut hidden, mut kept) = (ids(), 0, 0);
        let mut total = 0;
        for draw in 0..50 {
            let masked = masking(0.15).apply(&ids, &mut Seed(1).stream(&format!("{draw}")));
            assert_eq!(masked.places.len(), 150);
            assert!(
                masked.places.is_sorted() && !masked.places.contains(&0) && !masked.places.contains(&1001)
            );
            for (i, id) in masked.ids.iter().enumerate() {
                let chosen = masked.places.binary_search(&i);
                match chosen {
                    Ok(at) => {
                        assert_eq!(masked.words[at], ids[i]);
                        total += 1;
                        hidden += usize::from(*id == 4);
                        kept += usize::from(*id == ids[i]);
                        assert!(*id == 4 || !masking(0.15).special.contains(id));
                    }
                    Err(_) => assert_eq!(*id, ids[i]),
                }
            }
        }
        // Of 7,500: 80 % masks; 10 % kept, and of the 10 % drawn among 26 words one in 26 is the same. Standard
        // deviations are 0.46 and 0.36 points; four of them.
        let share = |n: usize| n as f64 / total as f64;
        assert!((share(hidden) - 0.8).abs() < 0.0185, "{}", share(hidden));
        assert!((share(kept) - (0.1 + 0.1 / 26.0)).abs() < 0.0145, "{}", share(kept));
    }

    #[test]
    fn a_short_text_loses_one_word_and_an_empty_one_none() {
        let one = masking(0.15).apply(&[2, 7, 3], &mut Seed(1).stream("a"));
        assert_eq!((one.places, one.words), (vec![1], vec![7]));
        let none = masking(0.15).apply(&[2, 3], &mut Seed(1).stream("a"));
        assert_eq!(none, Masked { ids: vec![2, 3], ..Default::default() });
    }

    #[test]
    fn every_plain_word_is_drawn_and_no_special_one() {
        let masking = Masking { special: vec![0, 1, 5], vocabulary: 7, ..masking(0.5) };
        let mut stream = Seed(2).stream("words");
        let mut seen = [0; 7];
        (0..4000).for_each(|_| seen[masking.word(&mut stream) as usize] += 1);
        assert_eq!([seen[0], seen[1], seen[5]], [0; 3]);
        // 1,000 each, give or take four standard deviations of 27.
        assert!([2, 3, 4, 6].iter().all(|&word| (890..1110).contains(&seen[word])), "{seen:?}");
    }
}
