//! Real files of other people's making, as they are found: their row and class counts are those that were counted when
//! the files were fetched, independently of this crate (`SOURCES.md` beside them).

use std::collections::BTreeMap;
use std::path::PathBuf;

use xexp_data::{
    BadRow, Batches, Columns, Dataset, Delimiter, Encoded, Format, Labels, Receipt, Source, SplitInput, Task,
    Tokenizer, read, stratified_split,
};

/// The folder of shared data; none, said loudly, where it is missing, which CI does not allow.
fn shared() -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("XEXP_SHARED").map_or_else(default, PathBuf::from);
    if folder.join("data/text").is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI needs the shared data, which is not at {}",
        folder.display()
    );
    eprintln!("NOT TESTED: no shared data at {}; set XEXP_SHARED to their folder", folder.display());
    None
}

fn source(path: &str) -> Option<Source> {
    Some(Source::new(shared()?.join("data/text").join(path)))
}

fn columns(names: &str) -> Option<Vec<String>> {
    Some(names.split(',').map(String::from).collect())
}

fn counts(data: &Dataset) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for example in &data.examples {
        *counts.entry(example.class().unwrap_or("")).or_default() += 1;
    }
    counts.into_iter().map(|(label, count)| (label.to_string(), count)).collect()
}

#[track_caller]
fn check(data: &Dataset, rows: usize, classes: &[(&str, usize)]) {
    assert_eq!((data.rows_read as usize, data.examples.len(), data.blank_lines), (rows, rows, 0));
    let classes: Vec<(String, usize)> =
        classes.iter().map(|(label, count)| (label.to_string(), *count)).collect();
    assert_eq!(counts(data), classes, "{}", data.path.display());
}

#[test]
fn sst2_reads_with_nothing_said() {
    let Some(train) = source("sst2_glue/train.tsv") else { return };
    let train = read(&train, true).unwrap();
    check(&train, 67349, &[("0", 29780), ("1", 37569)]);
    assert_eq!((train.columns.text.as_str(), train.columns.label.as_deref()), ("sentence", Some("label")));
    assert_eq!(train.examples[0].text, "hide new secretions from the parental units ");
    assert_eq!((train.examples[67348].line, train.examples[0].line), (67350, 2));
    check(&read(&source("sst2_glue/dev.tsv").unwrap(), true).unwrap(), 872, &[("0", 428), ("1", 444)]);
    let test = read(&source("sst2_glue/test.tsv").unwrap(), false).unwrap();
    assert_eq!((test.examples.len(), test.examples[1820].id.as_str()), (1821, "1820"));
    let error = read(&source("sst2_glue/test.tsv").unwrap(), true).unwrap_err();
    assert!(error.to_string().ends_with("found `index`, `sentence`"), "{error}");
}

#[test]
fn cola_reads_headerless() {
    let Some(train) = source("cola/train.tsv") else { return };
    let names = columns("source,label,star,sentence");
    let train = read(&Source { columns: names.clone(), ..train }, true).unwrap();
    check(&train, 8551, &[("0", 2528), ("1", 6023)]);
    assert_eq!(train.examples[0].line, 1);
    let dev = Source { columns: names, ..source("cola/dev.tsv").unwrap() };
    check(&read(&dev, true).unwrap(), 1043, &[("0", 322), ("1", 721)]);
    assert_eq!(read(&source("cola/test.tsv").unwrap(), false).unwrap().examples.len(), 1063);
}

#[test]
fn mrpc_reads_pairs_behind_a_byte_order_mark() {
    let Some(train) = source("mrpc/train.tsv") else { return };
    let named = |source: Source| Source {
        text_column: Some("#1 String".into()),
        pair_column: Some("#2 String".into()),
        label_column: Some("Quality".into()),
        ..source
    };
    let train = read(&named(train), true).unwrap();
    check(&train, 3667, &[("0", 1194), ("1", 2473)]);
    assert!(train.examples.iter().all(|example| example.pair.is_some()));
    let dev = read(&named(source("mrpc/dev.tsv").unwrap()), true).unwrap();
    check(&dev, 408, &[("0", 129), ("1", 279)]);
    assert!(dev.examples[0].pair.as_deref().unwrap().starts_with("\" The foodservice"));
    assert_eq!(read(&named(source("mrpc/test.tsv").unwrap()), false).unwrap().examples.len(), 1725);
}

#[test]
fn stsb_reads_pairs_by_name() {
    let Some(train) = source("stsb/train.tsv") else { return };
    let scored = |source| Source { label_column: Some("score".into()), task: None, ..source };
    let train = read(&scored(train), true).unwrap();
    assert_eq!((train.examples.len(), train.task), (5749, Task::Regression));
    assert_eq!(train.columns.pair.as_deref(), Some("sentence2"));
    let scores = Labels::from_training(&train, &[]).unwrap().values(&train).unwrap();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    // The mean is recorded to three decimals.
    assert!((mean - 2.701).abs() <= 0.0005, "{mean}");
    assert_eq!(read(&scored(source("stsb/dev.tsv").unwrap()), true).unwrap().examples.len(), 1500);
}

#[test]
fn emotion_reads_with_a_format_and_a_delimiter() {
    let Some(train) = source("emotion/train.txt") else { return };
    assert!(read(&train, true).unwrap_err().hint().unwrap().contains("--data-format"));
    let said = |source: Source| Source {
        format: Some(Format::Csv),
        delimiter: Some(";".parse::<Delimiter>().unwrap()),
        ..source
    };
    let train = read(&said(train), true).unwrap();
    let classes = [
        ("anger", 2159),
        ("fear", 1937),
        ("joy", 5362),
        ("love", 1304),
        ("sadness", 4666),
        ("surprise", 572),
    ];
    check(&train, 16000, &classes);
    for name in ["emotion/val.txt", "emotion/test.txt"] {
        assert_eq!(read(&said(source(name).unwrap()), true).unwrap().examples.len(), 2000);
    }
}

#[test]
fn snips_reads_with_nothing_said() {
    let Some(train) = source("snips/train.csv") else { return };
    let classes = [
        ("AddToPlaylist", 1942),
        ("BookRestaurant", 1973),
        ("GetWeather", 2000),
        ("PlayMusic", 2000),
        ("RateBook", 1956),
        ("SearchCreativeWork", 1954),
        ("SearchScreeningEvent", 1959),
    ];
    let train = read(&train, true).unwrap();
    check(&train, 13784, &classes);
    let valid = read(&source("snips/validate.csv").unwrap(), true).unwrap();
    check(&valid, 700, &classes.map(|(label, _)| (label, 100)));
    let labels = Labels::from_training(&train, &[]).unwrap();
    assert_eq!(labels.names(), classes.map(|(label, _)| label));
    assert_eq!(labels.ids(&valid).unwrap().len(), 700);
}

#[test]
fn ag_news_reads_headerless() {
    let Some(test) = source("ag_news/test.csv") else { return };
    let test = read(&Source { columns: columns("class,title,text"), ..test }, true).unwrap();
    check(&test, 7600, &[("1", 1900), ("2", 1900), ("3", 1900), ("4", 1900)]);
    let train = Source { columns: columns("text,label"), ..source("ag_news/alps_dev.tsv").unwrap() };
    let classes = [("Business", 2496), ("Sci/Tech", 2538), ("Sports", 2458), ("World", 2509)];
    check(&read(&train, true).unwrap(), 10001, &classes);
}

#[test]
fn sms_spam_reads_with_unused_columns() {
    let Some(sms) = source("sms_spam/SMSSpamCollection") else { return };
    let sms = Source { format: Some(Format::Tsv), ..sms };
    let all = Source { columns: columns("label,text,_,_,_"), ..sms.clone() };
    check(&read(&all, true).unwrap(), 5574, &[("ham", 4827), ("spam", 747)]);
    let two = Source { columns: columns("label,text"), ..sms };
    let error = read(&two, true).unwrap_err();
    assert!(error.to_string().ends_with("SMSSpamCollection:1: expected 2 fields, found 5"), "{error}");
    assert!(read(&Source { on_bad_row: BadRow::Skip, ..two }, true).is_err());
}

#[test]
fn a_json_file_that_is_no_array_of_records_is_refused() {
    let Some(clinc) = source("clinc150/data_full.json") else { return };
    let error = read(&clinc, true).unwrap_err();
    assert!(error.to_string().contains("expected an array of records"), "{error}");
}

/// The pieces are those of the greedy longest match, made by hand; an id is a line of the published vocab.txt.
#[test]
fn bert_tokens_are_the_lines_of_the_published_vocabulary() {
    let Some(folder) = shared() else { return };
    let folder = folder.join("data/tokenizers/bert-base-uncased");
    let tokenizer = Tokenizer::from_file(&folder.join("tokenizer.json")).unwrap();
    let vocabulary = std::fs::read_to_string(folder.join("vocab.txt")).unwrap();
    let vocabulary: Vec<&str> = vocabulary.lines().collect();
    assert_eq!(tokenizer.largest_id() as usize + 1, vocabulary.len());
    let Encoded { ids, type_ids, full_length } =
        tokenizer.encode("Unaffordable Cafés!", Some("[SEP] yes"), 64).unwrap();
    let tokens: Vec<&str> = ids.iter().map(|&id| vocabulary[id as usize]).collect();
    assert_eq!(
        tokens,
        ["[CLS]", "una", "##ff", "##ord", "##able", "cafes", "!", "[SEP]", "[SEP]", "yes", "[SEP]"]
    );
    assert_eq!(type_ids, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    assert_eq!(full_length, 11);
}

/// From `BertTokenizerFast` of transformers 5.23.0 with tokenizers 0.23.3, `truncation=True`.
#[test]
fn truncation_is_that_of_transformers() {
    let Some(folder) = shared() else { return };
    let tokenizer =
        Tokenizer::from_file(&folder.join("data/tokenizers/bert-base-uncased/tokenizer.json")).unwrap();
    let a = "He said the foodservice pie business doesn 't fit the company 's long-term growth strategy .";
    let b = "Unaffordable cafés are everywhere";
    type Case<'a> = (&'a str, Option<&'a str>, usize, &'a [u32], usize, usize);
    let cases: [Case; 6] = [
        (a, None, 6, &[101, 2002, 2056, 1996, 9440, 102], 0, 25),
        (a, Some(b), 9, &[101, 2002, 2056, 1996, 102, 14477, 4246, 8551, 102], 4, 33),
        (a, Some(b), 8, &[101, 2002, 2056, 1996, 102, 14477, 4246, 102], 3, 33),
        (b, Some(a), 8, &[101, 14477, 4246, 102, 2002, 2056, 1996, 102], 4, 33),
        (
            a,
            Some(b),
            14,
            &[101, 2002, 2056, 1996, 9440, 2121, 7903, 102, 14477, 4246, 8551, 3085, 23812, 102],
            6,
            33,
        ),
        (a, Some(a), 10, &[101, 2002, 2056, 1996, 102, 2002, 2056, 1996, 9440, 102], 5, 49),
    ];
    for (text, pair, max_length, ids, of_second, full_length) in cases {
        let found = tokenizer.encode(text, pair, max_length).unwrap();
        let type_ids: Vec<u32> =
            (0..ids.len()).map(|index| u32::from(index >= ids.len() - of_second)).collect();
        assert_eq!(found, Encoded { ids: ids.to_vec(), type_ids, full_length });
    }
}

#[test]
fn snips_goes_from_file_to_batches_and_receipt() {
    let Some(folder) = shared() else { return };
    let tokenizer =
        Tokenizer::from_file(&folder.join("data/tokenizers/bert-base-uncased/tokenizer.json")).unwrap();
    let data = read(&source("snips/train.csv").unwrap(), true).unwrap();
    let test = read(&source("snips/validate.csv").unwrap(), true).unwrap();
    let labels = Labels::from_training(&data, &[]).unwrap();
    let split = stratified_split(&labels.ids(&data).unwrap(), 0.1, &mut |rows| rows.reverse()).unwrap();
    assert_eq!((split.train.len(), split.valid.len()), (12406, 1378));
    let parts = [("train", data.subset(&split.train)), ("valid", data.subset(&split.valid)), ("test", test)];
    let max_length = 16;
    let encoded: Vec<Vec<Encoded>> = parts
        .iter()
        .map(|(_, part)| tokenizer.encode_examples(&part.examples, max_length).unwrap())
        .collect();
    // One by one, the tokens are those of all at once.
    for (example, found) in parts[2].1.examples.iter().zip(&encoded[2]) {
        assert_eq!(*found, tokenizer.encode(&example.text, None, max_length).unwrap());
        assert!(
            found.ids.len() == found.full_length.min(max_length) && found.ids.len() == found.type_ids.len()
        );
    }
    let inputs: Vec<SplitInput> = parts
        .iter()
        .zip(&encoded)
        .map(|((name, data), encoded)| SplitInput { name, data, encoded: Some(encoded) })
        .collect();
    let receipt = Receipt::new(&inputs, Some(&labels), Some(max_length)).unwrap();
    assert_eq!(receipt.splits[0].rows_used + receipt.splits[1].rows_used, 13784);
    assert!(receipt.splits[0].truncated.as_ref().unwrap().texts > 0);
    eprintln!("{receipt}");

    // Counted by a few lines of Python: its csv module, `" ".join(text.split()).lower()`, and sets.
    let whole = tokenizer.encode_examples(&data.examples, max_length).unwrap();
    let inputs = [SplitInput { name: "train", data: &data, encoded: Some(&whole) }, inputs[2]];
    let receipt = Receipt::new(&inputs, Some(&labels), Some(max_length)).unwrap();
    assert_eq!(receipt.splits.iter().map(|split| split.duplicates).collect::<Vec<_>>(), [207, 5]);
    assert_eq!(receipt.leaks[0].rows, 11);
    assert_eq!(Batches::in_order(12406, 32).unwrap().len(), 388);
    let columns = Columns { text: "text".into(), pair: None, label: Some("label".into()), id: None };
    assert_eq!(receipt.splits[0].columns, columns);
}
