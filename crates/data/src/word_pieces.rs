//! WordPiece vocabularies: one learned from texts, and one cut down to what texts use.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Trainer, decoders,
};

use crate::error::{Error, Result};

/// BERT's special tokens, in the order of their ids: padding, unknown word, begin, end, hidden word.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Characters of a text that get an entry of their own at most: enough for the alphabets of European languages.
const ALPHABET: usize = 1000;

/// A `tokenizer.json` of BERT's kind whose vocabulary of `size` entries is learned from the texts.
///
/// # Errors
/// [`Error::Vocabulary`] for a size that leaves no room for the special tokens and the texts' characters, or texts
/// without a word.
pub fn learn_word_pieces<'a>(
    texts: impl Iterator<Item = &'a str>,
    size: usize,
    lowercase: bool,
) -> Result<Vec<u8>> {
    let failed = |error: tokenizers::Error| Error::Vocabulary { message: error.to_string() };
    let normalizer = BertNormalizer::new(true, true, None, lowercase);
    let words = words(texts, &normalizer).map_err(failed)?;
    let model = learn(&words, size).map_err(failed)?;
    let found = model.get_vocab_size();
    if found > size || found <= SPECIAL.len() {
        let message = format!("expected at most {size} entries, the texts' characters alone need {found}");
        return Err(Error::Vocabulary { message });
    }
    let ids = ["[CLS]", "[SEP]"].map(|token| (token, model.token_to_id(token).unwrap_or(0)));
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_normalizer(Some(normalizer)).map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(decoders::wordpiece::WordPiece::default()));
    tokenizer.add_special_tokens(SPECIAL.map(special)).map_err(failed)?;
    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")
        .and_then(|t| t.try_pair("[CLS] $A [SEP] $B:1 [SEP]:1"))
        .map_err(|message| Error::Vocabulary { message })?
        .special_tokens(ids.to_vec())
        .build()
        .map_err(|error| Error::Vocabulary { message: error.to_string() })?;
    tokenizer.with_post_processor(Some(template));
    tokenizer.to_string(false).map(String::into_bytes).map_err(failed)
}

fn special(text: &str) -> AddedToken {
    AddedToken::from(text, true)
}

/// The words of the texts, as BERT cuts them, with their counts.
fn words<'a>(
    texts: impl Iterator<Item = &'a str>,
    normalizer: &BertNormalizer,
) -> tokenizers::Result<BTreeMap<String, u64>> {
    let mut words = BTreeMap::new();
    for text in texts {
        let mut normalized = NormalizedString::from(text);
        normalizer.normalize(&mut normalized)?;
        let mut cut = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut cut)?;
        for (word, _, _) in cut.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *words.entry(word.to_string()).or_default() += 1;
        }
    }
    Ok(words)
}

/// The library's trainer numbers the characters inside words in the order of a hash map, which differs from run to
/// run and decides ties between merges. Handed over as special tokens in a fixed order, they have fixed numbers.
fn learn(words: &BTreeMap<String, u64>, size: usize) -> tokenizers::Result<WordPiece> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in words {
        word.chars().for_each(|c| *counts.entry(c).or_default() += count);
    }
    let mut characters: Vec<(char, u64)> = counts.into_iter().collect();
    characters.sort_by_key(|&(c, count)| (u64::MAX - count, c));
    characters.truncate(ALPHABET);
    let known: BTreeSet<char> = characters.into_iter().map(|(c, _)| c).collect();
    let inner: BTreeSet<char> =
        words.keys().flat_map(|word| word.chars().skip(1)).filter(|c| known.contains(c)).collect();
    let fixed = SPECIAL.map(special).into_iter().chain(inner.iter().map(|c| special(&format!("##{c}"))));
    let mut trainer = WordPieceTrainer::builder()
        .vocab_size(size)
        .min_frequency(2)
        .initial_alphabet(known.iter().copied().collect())
        .limit_alphabet(known.len())
        .show_progress(false)
        .special_tokens(fixed.collect())
        .build();
    let repeated = words.iter().flat_map(|(word, &count)| std::iter::repeat_n(word, count as usize));
    Trainer::feed(&mut trainer, repeated, |word| Ok(vec![word.to_string()]))?;
    let mut model = WordPiece::default();
    trainer.train(&mut model)?;
    Ok(model)
}

/// A WordPiece `tokenizer.json` with fewer entries, and the old ids of those that it keeps, in their new order.
///
/// Kept are the special tokens, all single printable ASCII characters, which make the entries that go spellable, and
/// then the entries of the highest `counts`, by old id, up to `size`; among equals the lower id. The order of ids stays.
///
/// # Errors
/// [`Error::Tokenizer`] when the file is no WordPiece tokenizer, [`Error::Vocabulary`] for a size that leaves no room.
pub fn prune_word_pieces(
    path: &Path,
    bytes: &[u8],
    counts: &[u64],
    size: usize,
) -> Result<(Vec<u8>, Vec<u32>)> {
    let refused = |message: &str| Error::Tokenizer { path: path.into(), message: message.into() };
    let mut json: Value = serde_json::from_slice(bytes).map_err(|error| refused(&error.to_string()))?;
    let model = &json["model"];
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or("##").to_string();
    let mut words = entries((path, bytes))?;
    words.sort_unstable();
    let added: HashSet<&str> =
        json["added_tokens"].as_array().into_iter().flatten().filter_map(|t| t["content"].as_str()).collect();
    let basic = |word: &str| {
        let bare = word.strip_prefix(prefix.as_str()).unwrap_or(word);
        bare.len() == 1 && bare.chars().all(|c| c.is_ascii_graphic())
    };
    let count = |id: u32| counts.get(id as usize).copied().unwrap_or(0);
    let mut ranked: Vec<&(u32, String)> = words.iter().collect();
    ranked.sort_by_key(|(id, word)| {
        let rank = if added.contains(word.as_str()) { 0 } else { 2 - u8::from(basic(word)) };
        (rank, u64::MAX - count(*id), *id)
    });
    let needed = words.iter().filter(|(_, word)| added.contains(word.as_str()) || basic(word)).count();
    if size < needed {
        let message =
            format!("expected at least {needed} entries for special tokens and characters, found {size}");
        return Err(Error::Vocabulary { message });
    }
    let kept: HashSet<u32> = ranked.into_iter().take(size).map(|(id, _)| *id).collect();
    let mut vocabulary = Map::new();
    let mut old = vec![];
    for (id, word) in words.into_iter().filter(|(id, _)| kept.contains(id)) {
        vocabulary.insert(word, Value::from(old.len()));
        old.push(id);
    }
    renumber(&mut json, &vocabulary);
    json["model"]["vocab"] = Value::Object(vocabulary);
    let text = serde_json::to_vec(&json).map_err(|error| refused(&error.to_string()))?;
    Ok((text, old))
}

/// The whole vocabulary's ids of a smaller one's entries, in the order of the smaller one's ids: what
/// [`prune_word_pieces`] returned when it was cut down.
///
/// # Errors
/// [`Error::Tokenizer`] when one of the files is no WordPiece tokenizer, or an entry is missing in the whole one.
pub fn word_piece_ids(whole: (&Path, &[u8]), part: (&Path, &[u8])) -> Result<Vec<u32>> {
    let of_whole: HashMap<String, u32> = entries(whole)?.into_iter().map(|(id, word)| (word, id)).collect();
    let mut of_part = entries(part)?;
    of_part.sort_unstable();
    let id = |(_, word): (u32, String)| {
        of_whole.get(&word).copied().ok_or_else(|| Error::Tokenizer {
            path: part.0.into(),
            message: format!("`{word}` is no entry of {}", whole.0.display()),
        })
    };
    of_part.into_iter().map(id).collect()
}

/// Ids and entries of a WordPiece `tokenizer.json`.
fn entries((path, bytes): (&Path, &[u8])) -> Result<Vec<(u32, String)>> {
    let refused = |message: &str| Error::Tokenizer { path: path.into(), message: message.into() };
    let json: Value = serde_json::from_slice(bytes).map_err(|error| refused(&error.to_string()))?;
    let model = &json["model"];
    if model["type"] != "WordPiece" {
        return Err(refused("expected a WordPiece vocabulary"));
    }
    let entries = model["vocab"].as_object().ok_or_else(|| refused("it has no vocabulary"))?;
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    let pair = |(word, value): (&String, &Value)| id(value).map(|id| (id, word.clone()));
    entries.iter().map(pair).collect::<Option<_>>().ok_or_else(|| refused("an id that is no whole number"))
}

/// Gives the tokens that a tokenizer names outside its vocabulary their new ids.
fn renumber(json: &mut Value, vocabulary: &Map<String, Value>) {
    let new = |word: &Value| word.as_str().and_then(|word| vocabulary.get(word)).cloned();
    for token in json["added_tokens"].as_array_mut().into_iter().flatten() {
        if let Some(id) = new(&token["content"]) {
            token["id"] = id;
        }
    }
    let processor = &mut json["post_processor"];
    for (_, token) in processor["special_tokens"].as_object_mut().into_iter().flatten() {
        let ids: Option<Vec<Value>> = token["tokens"].as_array().map(|t| t.iter().filter_map(new).collect());
        if let Some(ids) = ids {
            token["ids"] = Value::from(ids);
        }
    }
    // BertProcessing holds pairs of a token and its id.
    for end in ["sep", "cls"] {
        if let Some(id) = processor[end].get(0).and_then(new) {
            processor[end][1] = id;
        }
    }
    // What the last use of the file padded and cut to belongs to that use.
    for habit in ["padding", "truncation"] {
        json[habit] = Value::Null;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokenizer;

    const TEXTS: [&str; 4] = [
        "the cat sat on the mat",
        "The cats sat on the mats, and the dogs sat with the cats.",
        "a dog and a cat on a mat",
        "dogs and cats",
    ];

    fn learned(size: usize) -> (Vec<u8>, Tokenizer) {
        let bytes = learn_word_pieces(TEXTS.into_iter(), size, true).unwrap();
        let tokenizer = Tokenizer::from_bytes("tokenizer.json".as_ref(), &bytes).unwrap();
        (bytes, tokenizer)
    }

    #[test]
    fn a_learned_vocabulary_spells_its_texts_the_same_each_time() {
        let (bytes, tokenizer) = learned(60);
        assert!(bytes == learned(60).0 && bytes == learned(60).0);
        assert!(tokenizer.largest_id() < 60);
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        for (id, token) in SPECIAL.iter().enumerate() {
            assert_eq!(json["model"]["vocab"][*token], id);
        }
        for text in TEXTS {
            let ids = tokenizer.encode(text, None, 64).unwrap().ids;
            assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3), "between begin and end");
            assert!(!ids.contains(&1), "no unknown word in {text}");
        }
        // A frequent word is one entry; case is folded.
        assert_eq!(tokenizer.encode("THE", None, 8).unwrap().ids.len(), 3);
        assert_eq!(tokenizer.encode("the", Some("cat"), 8).unwrap().type_ids, [0, 0, 0, 1, 1]);
    }

    #[test]
    fn a_vocabulary_too_small_for_its_characters_is_refused() {
        let error = learn_word_pieces(TEXTS.into_iter(), 12, true).unwrap_err();
        assert!(matches!(error, Error::Vocabulary { .. }) && error.hint().is_some(), "{error}");
        assert!(learn_word_pieces([].into_iter(), 100, true).is_err());
    }

    #[test]
    fn a_pruned_vocabulary_keeps_what_counts_and_spells_the_rest() {
        let (bytes, whole) = learned(60);
        let path = Path::new("tokenizer.json");
        let mut counts = vec![0u64; 60];
        for id in whole.encode(TEXTS[0], None, 64).unwrap().ids {
            counts[id as usize] += 1;
        }
        let needed = prune_word_pieces(path, &bytes, &counts, 1).unwrap_err().to_string();
        let needed: usize = needed.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        let (pruned, old) = prune_word_pieces(path, &bytes, &counts, needed + 5).unwrap();
        assert_eq!(old.len(), needed + 5);
        assert!(old.is_sorted() && old[..5] == [0, 1, 2, 3, 4]);
        assert_eq!(word_piece_ids((path, &bytes), (path, &pruned)).unwrap(), old);
        assert!(
            word_piece_ids((path, &pruned), (path, &bytes)).is_err(),
            "the part lacks entries of the whole"
        );
        let pruned = Tokenizer::from_bytes(path, &pruned).unwrap();
        // The counted text is spelt as before, under the new ids; another one still without unknown words.
        let ids = pruned.encode(TEXTS[0], None, 64).unwrap().ids;
        let back: Vec<u32> = ids.iter().map(|&id| old[id as usize]).collect();
        assert_eq!(back, whole.encode(TEXTS[0], None, 64).unwrap().ids);
        let other = pruned.encode(TEXTS[1], None, 64).unwrap().ids;
        assert!(!other.contains(&1) && other.len() > whole.encode(TEXTS[1], None, 64).unwrap().ids.len());
        let (same, old) = prune_word_pieces(path, &bytes, &counts, 60).unwrap();
        let same = Tokenizer::from_bytes(path, &same).unwrap();
        assert_eq!(old.len(), whole.largest_id() as usize + 1);
        assert_eq!(same.encode(TEXTS[1], None, 64).unwrap(), whole.encode(TEXTS[1], None, 64).unwrap());
    }

    #[test]
    fn another_kind_of_tokenizer_is_refused() {
        let bytes = br#"{"model": {"type": "BPE", "vocab": {}}}"#;
        assert!(matches!(prune_word_pieces("t.json".as_ref(), bytes, &[], 9), Err(Error::Tokenizer { .. })));
    }
}
