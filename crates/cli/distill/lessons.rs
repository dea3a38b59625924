//! Texts in the student's words, and the teacher's vectors of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use half::f16;
use xexp_backbones::folder::Folder;
use xexp_backbones::{Input, Seed};
use xexp_data::{Tokenizer, prune_word_pieces, word_piece_ids};
use xexp_heads::Teacher;
use xexp_kernels::Pool;
use xexp_train::Lessons;

use crate::args::Shared;
use crate::backbone::{Corpus, Text, examples};
use crate::failure::Failure;
use crate::inputs::TextEncoder;
use crate::progress::Progress;

/// The student's words, and how texts become them.
pub struct Tokens {
    student: Tokenizer,
    files: Vec<(String, Vec<u8>)>,
    /// Entries of the student's vocabulary.
    pub vocabulary: usize,
    /// The teacher's ids of those entries.
    pub kept: Vec<u32>,
    /// Tokens at the begin and the end of a text.
    pub ends: (u32, u32),
    /// Most tokens that the teacher takes.
    limit: usize,
}

/// What of the teacher is learned, on what beside the texts themselves.
pub struct Wanted {
    /// Its hidden states too.
    pub states: bool,
    /// How many texts made of two texts are added, as a share of the texts.
    pub join: f64,
    /// Seed of the stream `join`.
    pub seed: Seed,
}

impl Tokens {
    /// Reads the teacher's tokenizer, counts what the corpus uses of it, and cuts it down to `size` entries.
    ///
    /// # Errors
    /// A tokenizer that cannot be used or cut down.
    pub fn new(folder: &Folder, corpus: &Corpus, size: Option<usize>) -> Result<Self, Failure> {
        let path = folder.path.join("tokenizer.json");
        let bytes = folder.companion()?;
        let (rows, limit) =
            (folder.config.size("vocab_size")?, folder.config.size("max_position_embeddings")?);
        let (content, kept) = match size {
            Some(size) => {
                let whole = Tokenizer::from_bytes(&path, &bytes)?;
                let encoder = TextEncoder::new(whole, rows, limit, Some(limit))?;
                let mut counts = vec![0u64; rows];
                let encoded = encoder.encode_texts(&examples(&corpus.train))?;
                encoded.iter().flat_map(|e| &e.ids).for_each(|&id| counts[id as usize] += 1);
                prune_word_pieces(&path, &bytes, &counts, size)?
            }
            None => (bytes.to_vec(), (0..rows as u32).collect()),
        };
        let mut files = folder.companions()?;
        // A vocabulary in a file of its own would be the whole one.
        files.retain(|(name, _)| {
            size.is_none() || !["vocab.txt", "added_tokens.json"].contains(&name.as_str())
        });
        files
            .iter_mut()
            .filter(|(name, _)| name == "tokenizer.json")
            .for_each(|(_, old)| old.clone_from(&content));
        Tokens::of((&path, &content), files, kept, limit)
    }

    /// Reads the tokenizer of a student that was made before, whose words are some of the teacher's.
    ///
    /// # Errors
    /// A tokenizer that cannot be used, or a word that the teacher lacks.
    pub fn of_student(teacher: &Folder, student: &Folder) -> Result<Self, Failure> {
        let [whole, part] = [teacher, student].map(|folder| folder.path.join("tokenizer.json"));
        let (of_teacher, of_student) = (teacher.companion()?, student.companion()?);
        let kept = word_piece_ids((&whole, &of_teacher), (&part, &of_student))?;
        let limit = teacher.config.size("max_position_embeddings")?;
        Tokens::of((&part, &of_student), student.companions()?, kept, limit)
    }

    fn of(
        (path, content): (&Path, &[u8]),
        files: Vec<(String, Vec<u8>)>,
        kept: Vec<u32>,
        limit: usize,
    ) -> Result<Self, Failure> {
        let student = Tokenizer::from_bytes(path, content)?;
        let sample = student.encode("a b", None, limit)?.ids;
        let (Some(&begin), Some(&end)) = (sample.first(), sample.last()) else {
            return Err(Failure::input("the teacher's tokenizer gives no tokens"));
        };
        Ok(Tokens { student, files, vocabulary: kept.len(), kept, ends: (begin, end), limit })
    }

    /// The tokenizer's files for a student of `positions` positions: what cuts by `tokenizer_config.json` must cut there.
    ///
    /// # Errors
    /// A `tokenizer_config.json` that is no JSON object.
    pub fn files_for(&self, positions: usize) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut files = self.files.clone();
        for (name, content) in files.iter_mut().filter(|(name, _)| name == "tokenizer_config.json") {
            let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(content)
                .map_err(|error| {
                    Failure::input(format!("the teacher's {name}: not a JSON object")).because(&error)
                })?;
            fields.insert("model_max_length".into(), positions.into());
            // Where the teacher's tokenizer came from does not tell where this one does.
            fields.shift_remove("name_or_path");
            *content = crate::stdout::json(&fields)?.into_bytes();
        }
        Ok(files)
    }

    /// The lessons to learn from and to validate on; `None` when a signal came first. Both read the same words: those
    /// that the student lacks are spelt for the teacher too, so that token stands beside token.
    ///
    /// # Errors
    /// A text that cannot be encoded.
    pub fn lessons(
        &self,
        corpus: &Corpus,
        teacher: &Teacher,
        wanted: &Wanted,
        shared: &Shared,
        stop: &AtomicBool,
    ) -> Result<Option<(Lessons, Lessons)>, Failure> {
        let mut train = self.bare(&corpus.train)?;
        let count = train.len() as u64;
        let mut stream = wanted.seed.stream("join");
        for _ in 0..(wanted.join * count as f64).round() as usize {
            let [a, b] = [(); 2].map(|()| stream.below(count) as usize);
            let mut joined = [&train[a][..], &train[b][..]].concat();
            joined.truncate(self.limit - 2);
            train.push(joined);
        }
        let valid = self.bare(&corpus.valid)?;
        let mut display = Progress::new("teacher", 0, (train.len() + valid.len()) as u64, shared.quiet);
        let mut done = 0;
        let mut taught = |texts: Vec<Vec<u32>>| -> Result<Option<Lessons>, Failure> {
            let (pool, mut vectors, mut states) = (Pool::default(), vec![], vec![]);
            for part in texts.chunks(shared.batch_size.get()) {
                if stop.load(Ordering::Relaxed) {
                    eprintln!("interrupted before the first step: --resume starts from the beginning");
                    return Ok(None);
                }
                let (of_texts, of_tokens) = teacher.vectors(&self.for_teacher(part)?, &pool)?;
                vectors.extend(of_texts);
                if wanted.states {
                    states.extend(of_tokens.iter().map(|v| f16::from_f32(*v)));
                }
                done += part.len() as u64;
                display.tick(done, None, part.len());
            }
            Ok(Some(Lessons::new(texts, vectors, states, teacher.width())))
        };
        let Some(train) = taught(train)? else { return Ok(None) };
        let Some(valid) = taught(valid)? else { return Ok(None) };
        display.finish();
        Ok(Some((train, valid)))
    }

    /// Texts in the teacher's ids, packed.
    fn for_teacher(&self, texts: &[Vec<u32>]) -> Result<Input, Failure> {
        let (begin, end) = self.ends;
        let whole = |text: &Vec<u32>| -> Vec<u32> {
            let ids = std::iter::once(begin).chain(text.iter().copied()).chain([end]);
            ids.map(|id| self.kept[id as usize]).collect()
        };
        let texts: Vec<Vec<u32>> = texts.iter().map(whole).collect();
        let zeros = vec![0; self.limit];
        Ok(Input::pack(texts.iter().map(|ids| (&ids[..], &zeros[..ids.len()])))?)
    }

    /// Texts in the student's ids, without the tokens at their ends.
    fn bare(&self, texts: &[Text]) -> Result<Vec<Vec<u32>>, Failure> {
        let (begin, end) = self.ends;
        let bare = |mut ids: Vec<u32>| {
            if ids.len() < 3 || ids[0] != begin || ids[ids.len() - 1] != end {
                let message = "the teacher's tokenizer does not put the same token at each end of a text";
                return Err(Failure::input(message)
                    .hint("distillation reads texts between a token at the begin and one at the end, as BERT has them"));
            }
            ids.pop();
            ids.remove(0);
            Ok(ids)
        };
        let encoded = self.student.encode_examples(&examples(texts), self.limit)?;
        encoded.into_iter().map(|e| bare(e.ids)).collect()
    }
}
