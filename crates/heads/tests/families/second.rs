//! Families of ours against candle-transformers: a second reference, written by others than the first.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, distilbert, qwen3, vit};
use serde_json::json;
use xexp_backbones::{Input, Mode, Pass};
use xexp_kernels::Pool;

use crate::fixture::Fixture;
use crate::rule;
use crate::step::worst;

/// Sums of the same products in another order, as for the first reference.
const APART: f64 = 1e-4;

fn fixture(case: &str) -> Fixture {
    Fixture::all().into_iter().find(|fixture| fixture.case == case).unwrap()
}

/// The weights of a fixture, as candle reads a checkpoint.
fn weights(fixture: &Fixture) -> VarBuilder<'static> {
    let tensor = |(name, shape): (&String, &Vec<usize>)| {
        (name.clone(), Tensor::from_vec(rule::values(name, shape), shape.clone(), &Device::Cpu).unwrap())
    };
    VarBuilder::from_tensors(fixture.shapes.iter().map(tensor).collect(), DType::F32, &Device::Cpu)
}

fn ids(text: &[u32]) -> Tensor {
    Tensor::new(text, &Device::Cpu).unwrap().unsqueeze(0).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Our hidden states and logits of a batch.
fn ours(fixture: &Fixture, input: &Input) -> (Vec<f32>, Vec<f32>) {
    let (classifier, pool) = (fixture.classifier(), Pool::default());
    let encoded = classifier.backbone.forward(&classifier.params, input, &mut Pass::new(&pool, Mode::Eval));
    let encoded = encoded.unwrap();
    let logits = classifier.logits(&encoded.features, &pool).unwrap();
    (encoded.hidden.to_vec(), logits.to_vec())
}

/// Holds the hidden states of a text encoder against `theirs`, text by text.
fn hold(fixture: &Fixture, theirs: impl Fn(&[u32]) -> Tensor) {
    let texts = fixture.texts.as_ref().unwrap();
    let theirs: Vec<f32> = texts.iter().flat_map(|text| flat(&theirs(text))).collect();
    let apart = worst(&ours(fixture, &fixture.input()).0, &theirs);
    assert!(apart < APART, "{}: {apart}", fixture.case);
}

#[test]
fn bert_is_that_of_candle() {
    let case = fixture("bert");
    let config: bert::Config = serde_json::from_value(case.config.clone()).unwrap();
    let model = bert::BertModel::load(weights(&case).pp("bert"), &config).unwrap();
    hold(&case, |text| {
        let ids = ids(text);
        model.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap()
    });
}

#[test]
fn distilbert_is_that_of_candle() {
    let mut case = fixture("distilbert");
    // candle's gelu is here the approximation by tanh, which is 4e-4 from transformers'.
    case.config["activation"] = json!("relu");
    let config: distilbert::Config = serde_json::from_value(case.config.clone()).unwrap();
    let model = distilbert::DistilBertModel::load(weights(&case).pp("distilbert"), &config).unwrap();
    hold(&case, |text| {
        // What is masked is 1 here.
        let nothing = Tensor::zeros((1, 1, 1, text.len()), DType::U8, &Device::Cpu).unwrap();
        model.forward(&ids(text), &nothing).unwrap()
    });
}

#[test]
fn qwen3_is_that_of_candle() {
    let case = fixture("qwen3");
    let mut config = case.config.clone();
    config["rope_theta"] = config["rope_parameters"]["rope_theta"].clone();
    let config: qwen3::Config = serde_json::from_value(config).unwrap();
    let head = weights(&case).get((3, config.hidden_size), "score.weight").unwrap();
    let texts = case.texts.as_ref().unwrap();
    let theirs = texts.iter().flat_map(|text| {
        // A model keeps what it has read.
        let hidden = qwen3::Model::new(&config, weights(&case)).unwrap().forward(&ids(text), 0).unwrap();
        let last = hidden.i((.., text.len() - 1)).unwrap();
        flat(&last.matmul(&head.t().unwrap()).unwrap())
    });
    let apart = worst(&ours(&case, &case.input()).1, &theirs.collect::<Vec<f32>>());
    assert!(apart < APART, "{apart}");
}

#[test]
fn vit_is_that_of_candle() {
    let case = fixture("vit");
    let config: vit::Config = serde_json::from_value(case.config.clone()).unwrap();
    let model = vit::Model::new(&config, 3, weights(&case)).unwrap();
    let input = case.input();
    let shape = (input.batch(), config.num_channels, config.image_size, config.image_size);
    let pixels = Tensor::from_slice(input.images().unwrap(), shape, &Device::Cpu).unwrap();
    let theirs = flat(&model.forward(&pixels).unwrap());
    let apart = worst(&ours(&case, &input).1, &theirs);
    assert!(apart < APART, "{apart}");
}
