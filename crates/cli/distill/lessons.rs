//! Texts in the student's words, and the teacher's vectors of them.

use std::sync::atomic::{AtomicBool, Ordering};

use xexp_backbones::Input;
use xexp_backbones::folder::Folder;
use xexp_data::{Encoded, Tokenizer, prune_word_pieces};
use xexp_heads::Teacher;
use xexp_kernels::Pool;
use xexp_train::Lessons;

use crate::args::Shared;
use crate::backbone::{Corpus, examples};
use crate::failure::Failure;
use crate::inputs::TextEncoder;
use crate::progress::Progress;

/// Both tokenizations of a corpus.
pub struct Tokens {
    /// The teacher's, whole.
    teacher: Vec<Encoded>,
    /// The student's.
    student: Tokenizer,
    /// The student's tokenizer files.
    pub files: Vec<(String, Vec<u8>)>,
    /// Entries of the student's vocabulary.
    pub vocabulary: usize,
    /// The teacher's ids of those entries.
    pub kept: Vec<u32>,
    /// Tokens at the begin and the end of a text.
    pub ends: (u32, u32),
    /// Most tokens that the teacher takes.
    limit: usize,
}

impl Tokens {
    /// Reads the teacher's tokenizer, counts what the corpus uses of it, and cuts it down to `size` entries.
    ///
    /// # Errors
    /// A tokenizer that cannot be used or cut down, or one that does not put the same token at each end of a text.
    pub fn new(folder: &Folder, corpus: &Corpus, size: Option<usize>) -> Result<Self, Failure> {
        let path = folder.path.join("tokenizer.json");
        let bytes = folder.companion()?;
        let whole = Tokenizer::from_bytes(&path, &bytes)?;
        let (rows, limit) = (folder.config.size("vocab_size")?, folder.config.size("max_position_embeddings")?);
        let encoder = TextEncoder::new(whole, rows, limit, Some(limit))?;
        let mut teacher = encoder.encode_texts(&examples(&corpus.train))?;
        let mut counts = vec![0u64; rows];
        teacher.iter().flat_map(|e| &e.ids).for_each(|&id| counts[id as usize] += 1);
        teacher.extend(encoder.encode_texts(&examples(&corpus.valid))?);
        let (content, kept) = match size {
            Some(size) => prune_word_pieces(&path, &bytes, &counts, size)?,
            None => (bytes.to_vec(), (0..rows as u32).collect()),
        };
        let student = Tokenizer::from_bytes(&path, &content)?;
        let sample = student.encode("a b", None, limit)?.ids;
        let (Some(&begin), Some(&end)) = (sample.first(), sample.last()) else {
            return Err(Failure::input("the teacher's tokenizer gives no tokens"));
        };
        let mut files = folder.companions()?;
        // A vocabulary in a file of its own would be the whole one.
        files.retain(|(name, _)| size.is_none() || !["vocab.txt", "added_tokens.json"].contains(&name.as_str()));
        files.iter_mut().filter(|(name, _)| name == "tokenizer.json").for_each(|(_, old)| old.clone_from(&content));
        Ok(Tokens { teacher, student, files, vocabulary: kept.len(), kept, ends: (begin, end), limit })
    }

    /// The lessons to learn from and to validate on; `None` when a signal came first.
    ///
    /// # Errors
    /// A text that cannot be encoded.
    pub fn lessons(
        &self,
        corpus: &Corpus,
        teacher: &Teacher,
        shared: &Shared,
        stop: &AtomicBool,
    ) -> Result<Option<(Lessons, Lessons)>, Failure> {
        let Some(mut vectors) = self.vectors(teacher, shared, stop)? else { return Ok(None) };
        let (width, split) = (teacher.width(), corpus.train.len());
        let valid = vectors.split_off(split * width);
        let texts = |texts| -> Result<Vec<Vec<u32>>, Failure> {
            let encoded = self.student.encode_examples(&examples(texts), self.limit)?;
            encoded.into_iter().map(|e| self.bare(e.ids)).collect()
        };
        let (train_texts, valid_texts) = (texts(&corpus.train)?, texts(&corpus.valid)?);
        let lessons = |texts, vectors| Lessons { texts, vectors, width };
        Ok(Some((lessons(train_texts, vectors), lessons(valid_texts, valid))))
    }

    /// A text's tokens without those at its ends.
    fn bare(&self, mut ids: Vec<u32>) -> Result<Vec<u32>, Failure> {
        let (begin, end) = self.ends;
        if ids.len() < 3 || ids[0] != begin || ids[ids.len() - 1] != end {
            return Err(Failure::input("the teacher's tokenizer does not put the same token at each end of a text")
                .hint("distillation joins texts between a token at the begin and one at the end, as BERT has them"));
        }
        ids.pop();
        ids.remove(0);
        Ok(ids)
    }

    fn vectors(&self, teacher: &Teacher, shared: &Shared, stop: &AtomicBool) -> Result<Option<Vec<f32>>, Failure> {
        let mut display = Progress::new("teacher's vectors", 0, self.teacher.len() as u64, shared.quiet);
        let (pool, mut vectors, mut done) = (Pool::default(), vec![], 0);
        for part in self.teacher.chunks(shared.batch_size.get()) {
            if stop.load(Ordering::Relaxed) {
                eprintln!("interrupted before the first step: --resume starts from the beginning");
                return Ok(None);
            }
            let input = Input::pack(part.iter().map(|e| (&e.ids[..], &e.type_ids[..])))?;
            vectors.extend(teacher.vectors(&input, &pool)?);
            done += part.len() as u64;
            display.tick(done, None, part.len());
        }
        display.finish();
        Ok(Some(vectors))
    }
}
