//! The losses without labels: their gradients against finite differences, and a student that begins as its teacher.

use half::f16;
use serde_json::json;
use xexp_backbones::config::Config;
use xexp_backbones::families::{self, Family};
use xexp_backbones::folder::Folder;
use xexp_backbones::{Grads, Input, Mode, Pass, Seed};
use xexp_heads::{Loan, MaskedLm, Pooling, Student, Teacher};
use xexp_kernels::Pool;
use xexp_train::{Imitate, Lessons, MaskedWords, Masking, Objective, StepSettings};

use crate::support::slopes;
use crate::support::tiny_bert::{TinyBert, WIDTH, vocabulary};

fn config(width: usize, range: f64) -> (&'static Family, Config) {
    let fields = json!({
        "model_type": "bert", "vocab_size": 20, "hidden_size": width, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 12, "type_vocab_size": 2,
        "initializer_range": range, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    });
    let config = Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
    (families::find(&config).unwrap(), config)
}

/// Texts of uneven lengths in words 4 to 19.
fn texts() -> Vec<Vec<u32>> {
    let mut stream = Seed(9).stream("texts");
    [5, 1, 8, 3].map(|n| (0..n).map(|_| 4 + stream.below(16) as u32).collect()).to_vec()
}

fn settings(micro_batch: usize) -> StepSettings {
    StepSettings {
        step: 3,
        epoch: 0,
        seed: Seed(3),
        micro_batch,
        accumulate: 2,
        lr: 0.0,
        head_lr: 0.0,
        clip: 0.0,
    }
}

/// Holds the gradients of an objective against slopes of its own loss; returns the steepest slope of each weight.
fn check(objective: &dyn Objective, micro_batch: usize) -> Vec<(String, f64)> {
    let chosen: Vec<usize> = (0..objective.examples()).collect();
    let (params, pool) = (objective.params(), Pool::default());
    let loss = |grads: &mut Grads| {
        grads.clear();
        objective.gradients(&chosen, &settings(micro_batch), grads, &pool).unwrap()
    };
    let mut grads = Grads::new(params);
    loss(&mut grads);
    let scrap = std::cell::RefCell::new(Grads::new(params));
    let steepest = slopes::check(params, &grads, || loss(&mut scrap.borrow_mut()));
    assert_eq!(steepest.len(), params.len());
    assert!(params.iter().all(|(id, _)| grads.reached(id)));
    steepest
}

#[test]
fn the_gradient_of_hidden_words_is_the_slope_of_their_loss_however_the_step_is_cut() {
    let (family, config) = config(8, 0.3);
    let model = MaskedLm::untrained(family, &config, Seed(1)).unwrap();
    let framed = |text: &Vec<u32>| [&[1], &text[..], &[2]].concat();
    let train: Vec<Vec<u32>> = texts().iter().map(framed).collect();
    let masking = Masking { share: 0.4, mask: 3, special: vec![0, 1, 2, 3], vocabulary: 20 };
    let objective = MaskedWords { model: &model, masking, train: &train, valid: &train, seed: Seed(5) };
    for micro_batch in [4, 3] {
        for (name, slope) in check(&objective, micro_batch) {
            let seen = !name.ends_with("key.bias");
            assert_eq!(slope > 10.0 * slopes::TOLERANCE, seen, "{name}: {slope}");
        }
    }
}

#[test]
fn the_gradient_of_imitation_is_the_slope_of_its_loss() {
    // A student of the teacher's width with hidden states, and a wider target through a map without.
    for (width, target, states) in [(8, 8, 0.7), (8, 6, 0.0)] {
        let (family, config) = config(width, 0.2);
        let student = Student::untrained(family, &config, target, Seed(1)).unwrap();
        let mut stream = Seed(2).stream("teacher");
        let mut normal = |count: usize| (0..count).map(|_| stream.normal() as f32).collect::<Vec<f32>>();
        let tokens: usize = texts().iter().map(|t| t.len() + 2).sum();
        let vectors = normal(texts().len() * target);
        let wanted = if states > 0.0 { tokens * target } else { 0 };
        let of_tokens = normal(wanted).into_iter().map(f16::from_f32).collect();
        let train = Lessons::new(texts(), vectors, of_tokens, target);
        let seed = Seed(5);
        let objective = Imitate {
            student: &student,
            train: &train,
            valid: &train,
            ends: (1, 2),
            max_length: 9,
            states,
            drop: 0.3,
            seed,
        };
        for (name, slope) in check(&objective, 3) {
            // Neither a key's bias nor, of one segment, anything but its own row shows; the map's absence none at all.
            let seen = !name.ends_with("key.bias");
            assert_eq!(slope > 10.0 * slopes::TOLERANCE, seen, "{name}: {slope}");
        }
    }
}

#[test]
fn a_student_of_the_teachers_sizes_begins_as_the_teacher() {
    let folder = tempfile::tempdir().unwrap();
    TinyBert::default().write(folder.path());
    let folder = Folder::open(folder.path()).unwrap();
    let teacher = Teacher::open(&folder, Pooling::First).unwrap();
    let student = Student::untrained(folder.family, &folder.config, WIDTH, Seed(1)).unwrap();
    let words: Vec<u32> = (0..vocabulary().len() as u32).collect();
    let loan = Loan { blocks: &[0, 1], words: &words, feed_forward: ("intermediate.dense", "output.dense") };
    student.begin_as(&teacher, &loan).unwrap();
    let input = Input::pack([(&[2u32, 7, 9, 3][..], &[0u32; 4][..]), (&[2, 8, 3], &[0; 3])]).unwrap();
    let pool = Pool::default();
    let made = student.forward(&input, &mut Pass::new(&pool, Mode::Eval)).unwrap();
    let (first, states) = teacher.vectors(&input, &pool).unwrap();
    assert_eq!(made.hidden[..], states[..], "hidden states are the very same");
    // The pooler is the identity: features are tanh of the first token's state, which `first` is but for its norm.
    for (row, (features, first)) in made.vectors.chunks(WIDTH).zip(first.chunks(WIDTH)).enumerate() {
        let start = input.offsets[row] * WIDTH;
        for (i, (feature, first)) in features.iter().zip(first).enumerate() {
            let state = states[start + i];
            assert!((feature - state.tanh()).abs() < 1e-6);
            assert!(
                (f64::from(*first) * crate::gradients::norm(&states[start..start + WIDTH])
                    - f64::from(state))
                .abs()
                    < 1e-5
            );
        }
    }
}

#[test]
fn a_narrower_student_takes_the_heaviest_units_and_the_words_it_keeps() {
    let folder = tempfile::tempdir().unwrap();
    TinyBert::default().write(folder.path());
    let folder = Folder::open(folder.path()).unwrap();
    let teacher = Teacher::open(&folder, Pooling::Mean).unwrap();
    let (whole, _) = MaskedLm::open(&folder, Seed(0)).unwrap();
    let values = |name: &str| whole.params.values(whole.params.find(name).unwrap().0).unwrap().to_vec();
    let mut config = folder.config.clone();
    for (field, value) in [("num_hidden_layers", 1), ("intermediate_size", 5), ("vocab_size", 3)] {
        config.fields.insert(field.into(), value.into());
    }
    let student = Student::untrained(folder.family, &config, WIDTH, Seed(1)).unwrap();
    let loan = Loan { blocks: &[1], words: &[0, 4, 7], feed_forward: ("intermediate.dense", "output.dense") };
    student.begin_as(&teacher, &loan).unwrap();
    let ours = |name: &str| student.params.values(student.params.find(name).unwrap().0).unwrap().to_vec();
    let table = values("bert.embeddings.word_embeddings.weight");
    let expected: Vec<f32> =
        [0, 4, 7].iter().flat_map(|w| table[w * WIDTH..(w + 1) * WIDTH].to_vec()).collect();
    assert_eq!(ours("bert.embeddings.word_embeddings.weight"), expected);
    // The weight of a unit by hand.
    let (up, down) = (
        values("bert.encoder.layer.1.intermediate.dense.weight"),
        values("bert.encoder.layer.1.output.dense.weight"),
    );
    let hidden = up.len() / WIDTH;
    let square = |v: f32| f64::from(v) * f64::from(v);
    let mut ranked: Vec<(f64, usize)> = (0..hidden)
        .map(|unit| {
            let inward: f64 = up[unit * WIDTH..(unit + 1) * WIDTH].iter().map(|v| square(*v)).sum();
            let outward: f64 = (0..WIDTH).map(|row| square(down[row * hidden + unit])).sum();
            (inward * outward, unit)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut kept: Vec<usize> = ranked[..5].iter().map(|r| r.1).collect();
    kept.sort_unstable();
    let expected: Vec<f32> = kept.iter().flat_map(|u| up[u * WIDTH..(u + 1) * WIDTH].to_vec()).collect();
    assert_eq!(ours("bert.encoder.layer.0.intermediate.dense.weight"), expected);
    let rows = (0..WIDTH).flat_map(|row| kept.iter().map(move |u| row * hidden + u));
    assert_eq!(ours("bert.encoder.layer.0.output.dense.weight"), rows.map(|i| down[i]).collect::<Vec<f32>>());
    let wrong = Loan { words: &[0, 4, 1000], ..loan };
    let error = student.begin_as(&teacher, &wrong).unwrap_err();
    assert!(error.to_string().contains("word_embeddings") && error.hint().is_some(), "{error}");
}
