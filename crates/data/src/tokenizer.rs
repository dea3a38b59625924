//! Texts to token ids.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{
    EncodeInput, Encoding, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy,
};

use crate::error::{Error, Result, shortened};
use crate::example::Example;

/// Texts encoded at a time: bounds the memory for the library's encodings, which weigh far more than their ids.
const AT_A_TIME: usize = 4096;

/// The token ids of one text or pair of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included: at most the maximal length.
    pub ids: Vec<u32>,
    /// For each token, 0 in the first text, 1 in the second, as the tokenizer's template says.
    pub type_ids: Vec<u32>,
    /// Number of tokens before truncation, special tokens included.
    pub full_length: usize,
}

/// A pretrained model's tokenizer, read from its `tokenizer.json`.
///
/// The file's own padding and truncation are switched off: many a published file still holds the settings of its last
/// use (all-MiniLM-L6-v2 pads everything to 128 tokens and cuts there), which would change lengths unseen. Truncation
/// is asked for at each call instead, at the right end, special tokens kept, and from the longer text of a pair first,
/// as transformers does with `truncation=True`; the length before it is always known.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    largest_id: u32,
    /// The latest maximal length in use, and the tokenizer that cuts to it.
    cutting: Mutex<Option<(usize, Arc<tokenizers::Tokenizer>)>>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Read`] when the file cannot be read, [`Error::Tokenizer`] when it is no tokenizer or has no tokens.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// The same of a file's bytes in memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when they are no tokenizer or it has no tokens.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let refused = |message: String| Error::Tokenizer { path: path.into(), message };
        let mut inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| refused(error.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| refused(error.to_string()))?;
        let largest_id = inner.get_vocab(true).into_values().max();
        let largest_id = largest_id.ok_or_else(|| refused("it has no tokens".into()))?;
        Ok(Tokenizer { path: path.into(), inner, largest_id, cutting: Mutex::new(None) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The largest id there is: a model whose embedding has `largest_id + 1` rows or more can embed every token.
    pub fn largest_id(&self) -> u32 {
        self.largest_id
    }

    /// The ids of special tokens: those that mark beginnings, ends and the like, and stand for no part of a text.
    pub fn special_ids(&self) -> BTreeSet<u32> {
        let added = self.inner.get_added_tokens_decoder();
        added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }

    /// The id of a token, if there is such a one.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Encodes one text or pair of texts, cut to at most `max_length` tokens.
    ///
    /// # Errors
    /// [`Error::MaxLength`] when the special tokens leave no room for a token of each text, [`Error::Encode`] when the
    /// tokenizer fails on the text.
    pub fn encode(&self, text: &str, pair: Option<&str>, max_length: usize) -> Result<Encoded> {
        let mut all = self.encode_all(&[(text, pair)], max_length)?;
        Ok(all.swap_remove(0))
    }

    /// Encodes examples, each cut to at most `max_length` tokens, in their order; on all cores, with the same result
    /// on any number of them.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_examples(&self, examples: &[Example], max_length: usize) -> Result<Vec<Encoded>> {
        let mut encoded = Vec::with_capacity(examples.len());
        for part in examples.chunks(AT_A_TIME) {
            let texts: Vec<_> =
                part.iter().map(|example| (example.text.as_str(), example.pair.as_deref())).collect();
            encoded.extend(self.encode_all(&texts, max_length)?);
        }
        Ok(encoded)
    }

    /// Encodes at full length first, and anew, with truncation, only what proves too long.
    fn encode_all(&self, texts: &[(&str, Option<&str>)], max_length: usize) -> Result<Vec<Encoded>> {
        for pairs in [false, true] {
            let least = self.special_tokens(pairs) + if pairs { 2 } else { 1 };
            if max_length < least && texts.iter().any(|(_, pair)| pair.is_some() == pairs) {
                return Err(Error::MaxLength { least, found: max_length });
            }
        }
        let encode = |tokenizer: &tokenizers::Tokenizer, texts: &[(&str, Option<&str>)]| {
            let inputs: Vec<EncodeInput> = texts.iter().copied().map(input).collect();
            let first = texts.first().map(|(text, _)| *text).unwrap_or_default();
            tokenizer
                .encode_batch_fast(inputs, true)
                .map_err(|error| Error::Encode { text: shortened(first, 60), message: error.to_string() })
        };
        let full = encode(&self.inner, texts)?;
        let mut encoded: Vec<Encoded> =
            full.iter().map(|encoding| finished(encoding, encoding.len())).collect();
        let long: Vec<usize> = (0..full.len()).filter(|&index| full[index].len() > max_length).collect();
        if !long.is_empty() {
            let texts: Vec<_> = long.iter().map(|&index| texts[index]).collect();
            let cutting = self.cutting(max_length)?;
            for (index, cut) in long.into_iter().zip(encode(&cutting, &texts)?) {
                encoded[index] = finished(&cut, full[index].len());
            }
        }
        Ok(encoded)
    }

    /// The library's tokenizer with truncation to `max_length` switched on; the latest is kept, for a copy costs
    /// milliseconds. The library's parts are not called one by one instead, since for pairs it breaks ties by how far
    /// it chose to tokenize each text, and transformers inherits that.
    fn cutting(&self, max_length: usize) -> Result<Arc<tokenizers::Tokenizer>> {
        let mut latest = self.cutting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((length, tokenizer)) = &*latest
            && *length == max_length
        {
            return Ok(tokenizer.clone());
        }
        let mut tokenizer = self.inner.clone();
        let params = TruncationParams {
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: TruncationDirection::Right,
        };
        let refused = |error: tokenizers::Error| Error::Tokenizer {
            path: self.path.clone(),
            message: error.to_string(),
        };
        tokenizer.with_truncation(Some(params)).map_err(refused)?;
        let tokenizer = Arc::new(tokenizer);
        *latest = Some((max_length, tokenizer.clone()));
        Ok(tokenizer)
    }

    /// Special tokens that the template adds to one text, or to a pair.
    fn special_tokens(&self, pair: bool) -> usize {
        self.inner
            .get_post_processor()
            .map_or(0, |template: &PostProcessorWrapper| template.added_tokens(pair))
    }
}

fn input<'s>((text, pair): (&'s str, Option<&'s str>)) -> EncodeInput<'s> {
    match pair {
        Some(pair) => EncodeInput::Dual(text.into(), pair.into()),
        None => EncodeInput::Single(text.into()),
    }
}

fn finished(encoding: &Encoding, full_length: usize) -> Encoded {
    Encoded { ids: encoding.get_ids().to_vec(), type_ids: encoding.get_type_ids().to_vec(), full_length }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const WORDS: [&str; 12] =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "##s", "word", "é", "."];

    /// A WordPiece tokenizer of twelve tokens whose file pads and cuts to 6 tokens.
    fn tiny() -> (tempfile::TempDir, Tokenizer) {
        let special = |id: usize| {
            json!({"id": id, "content": WORDS[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let token = |name: &str, kind: u8| json!({"SpecialToken": {"id": name, "type_id": kind}});
        let sequence = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
        let vocabulary: serde_json::Map<_, _> =
            WORDS.iter().enumerate().map(|(id, word)| (word.to_string(), json!(id))).collect();
        let file = json!({
            "version": "1.0",
            "truncation": {"max_length": 6, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": {"strategy": {"Fixed": 6}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "[PAD]"},
            "added_tokens": [special(0), special(1), special(2), special(3)],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": false, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing",
                "single": [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0)],
                "pair": [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0), sequence("B", 1), token("[SEP]", 1)],
                "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                    "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary},
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, file.to_string()).unwrap();
        let tokenizer = Tokenizer::from_file(&path).unwrap();
        (folder, tokenizer)
    }

    #[test]
    fn the_files_own_padding_and_truncation_are_off() {
        let (_folder, tokenizer) = tiny();
        let short = tokenizer.encode("Words", None, 100).unwrap();
        assert_eq!(short, Encoded { ids: vec![2, 9, 8, 3], type_ids: vec![0; 4], full_length: 4 });
        let long = tokenizer.encode("a b c d a b c d", None, 100).unwrap();
        assert_eq!(long.ids, [2, 4, 5, 6, 7, 4, 5, 6, 7, 3]);
        assert_eq!(tokenizer.largest_id(), 11);
    }

    #[test]
    fn truncation_keeps_the_special_tokens_and_the_full_length() {
        let (_folder, tokenizer) = tiny();
        let cut = tokenizer.encode("a b c d .", None, 4).unwrap();
        assert_eq!(cut, Encoded { ids: vec![2, 4, 5, 3], type_ids: vec![0; 4], full_length: 7 });
        let cut = tokenizer.encode("a b", Some("c d c d"), 7).unwrap();
        assert_eq!(cut.ids, [2, 4, 5, 3, 6, 7, 3]);
        assert_eq!(cut.type_ids, [0, 0, 0, 0, 1, 1, 1]);
        assert_eq!(cut.full_length, 9);
    }

    #[test]
    fn truncation_is_that_of_the_library_at_every_length() {
        let (_folder, tokenizer) = tiny();
        let texts = ["a", "a b c", "words . d c b a é é", "b b b b b b b b b b b b b"];
        let mut inputs: Vec<(&str, Option<&str>)> = texts.iter().map(|text| (*text, None)).collect();
        inputs.extend(texts.iter().flat_map(|a| texts.iter().map(|b| (*a, Some(*b)))));
        for max_length in 5..30 {
            let mut library = tokenizer.inner.clone();
            let params = TruncationParams { max_length, ..TruncationParams::default() };
            library.with_truncation(Some(params)).unwrap();
            let batch = tokenizer.encode_all(&inputs, max_length).unwrap();
            for ((text, pair), found) in inputs.iter().zip(batch) {
                let expected = match pair {
                    Some(pair) => library.encode((*text, *pair), true).unwrap(),
                    None => library.encode(*text, true).unwrap(),
                };
                assert_eq!(found.ids, expected.get_ids(), "{text:?} {pair:?} {max_length}");
                assert_eq!(found.type_ids, expected.get_type_ids());
                assert_eq!(found, tokenizer.encode(text, *pair, max_length).unwrap());
            }
        }
    }

    #[test]
    fn a_length_without_room_is_refused() {
        let (_folder, tokenizer) = tiny();
        assert!(matches!(tokenizer.encode("a", None, 2), Err(Error::MaxLength { least: 3, found: 2 })));
        assert!(tokenizer.encode("a", None, 3).is_ok());
        assert!(matches!(tokenizer.encode("a", Some("b"), 4), Err(Error::MaxLength { least: 5, found: 4 })));
    }

    #[test]
    fn files_that_are_no_tokenizer_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        assert!(matches!(Tokenizer::from_file(&path), Err(Error::Read { .. })));
        std::fs::write(&path, "{\"version\": \"1.0\", \"model\": {").unwrap();
        let error = Tokenizer::from_file(&path).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { .. }) && error.hint().is_some(), "{error}");
    }
}
