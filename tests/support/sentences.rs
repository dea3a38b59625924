//! A small learnable set: sentences of four topics, told apart by the words that occur in them.

use std::path::Path;

use xexp_init::{Seed, Stream};

/// The topics, which are the labels, in the natural order of their names, each with its words.
pub const TOPICS: [(&str, [&str; 20]); 4] = [
    (
        "food",
        [
            "soup", "bread", "cook", "taste", "dinner", "rice", "salt", "kitchen", "sweet", "lunch", "apple",
            "meal", "cheese", "bake", "spoon", "hungry", "recipe", "onion", "plate", "menu",
        ],
    ),
    (
        "music",
        [
            "song", "play", "album", "guitar", "loud", "band", "melody", "drum", "listen", "singer", "tune",
            "piano", "concert", "radio", "dance", "choir", "rhythm", "record", "violin", "chorus",
        ],
    ),
    (
        "travel",
        [
            "train", "ticket", "flight", "hotel", "road", "drive", "map", "station", "airport", "luggage",
            "bus", "journey", "passport", "seat", "harbour", "bridge", "abroad", "tour", "coast", "route",
        ],
    ),
    (
        "weather",
        [
            "rain", "snow", "wind", "storm", "cloud", "sunny", "cold", "forecast", "umbrella", "fog",
            "thunder", "degrees", "warm", "humid", "frost", "sky", "drizzle", "breeze", "heat", "ice",
        ],
    ),
];

/// Words that say nothing of the topic.
pub const FILLERS: [&str; 40] = [
    "the", "a", "is", "it", "in", "of", "and", "to", "for", "on", "with", "my", "your", "this", "that",
    "please", "very", "some", "there", "will", "we", "they", "was", "are", "be", "at", "from", "now",
    "today", "again", "then", "so", "but", "not", "all", "any", "good", "little", "want", "know",
];

/// One labelled sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    pub text: String,
    pub label: &'static str,
}

/// `count` sentences, the topics taking turns; another `name` gives other sentences.
///
/// A sentence has two or three words of its topic, now and then one of another, and up to nine fillers.
pub fn sentences(name: &str, count: usize) -> Vec<Sentence> {
    let mut stream = Seed(11).stream(name);
    (0..count).map(|index| sentence(index % TOPICS.len(), &mut stream)).collect()
}

fn sentence(topic: usize, stream: &mut Stream) -> Sentence {
    let (label, own) = TOPICS[topic];
    let mut words: Vec<&str> = (0..2 + stream.below(2)).map(|_| pick(&own, stream)).collect();
    if stream.uniform() < 0.25 {
        let other = (topic + 1 + stream.below(3) as usize) % TOPICS.len();
        words.push(pick(&TOPICS[other].1, stream));
    }
    words.extend((0..2 + stream.below(8)).map(|_| pick(&FILLERS, stream)));
    stream.shuffle(&mut words);
    // Inflections that the vocabulary lacks, so that words fall into pieces; commas and quotes, which the
    // file formats write in different ways.
    let inflected = words.iter().map(|word| match stream.below(12) {
        0 => format!("{word}s"),
        1 => format!("{word},"),
        2 => format!("\"{word}\""),
        _ => (*word).to_owned(),
    });
    let mut text = inflected.collect::<Vec<_>>().join(" ");
    text.push_str(["", ".", "?", "!"][stream.below(4) as usize]);
    Sentence { text, label }
}

fn pick<'a>(words: &[&'a str], stream: &mut Stream) -> &'a str {
    words[stream.below(words.len() as u64) as usize]
}

/// The rows as CSV: every text in quotes, a quote in it twice.
pub fn csv(rows: &[Sentence]) -> String {
    let row = |s: &Sentence| format!("\"{}\",{}\n", s.text.replace('"', "\"\""), s.label);
    format!("text,label\n{}", rows.iter().map(row).collect::<String>())
}

/// The rows as TSV, in which a quote is a character like any other.
pub fn tsv(rows: &[Sentence]) -> String {
    let row = |s: &Sentence| format!("{}\t{}\n", s.text, s.label);
    format!("text\tlabel\n{}", rows.iter().map(row).collect::<String>())
}

/// The rows as JSON lines.
pub fn jsonl(rows: &[Sentence]) -> String {
    rows.iter().map(|s| serde_json::json!({ "text": s.text, "label": s.label }).to_string() + "\n").collect()
}

/// Writes a file in the format that its extension names.
pub fn write(path: &Path, rows: &[Sentence]) {
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => csv(rows),
        Some("tsv") => tsv(rows),
        Some("jsonl") => jsonl(rows),
        other => panic!("no format for {other:?}"),
    };
    std::fs::write(path, text).unwrap();
}
