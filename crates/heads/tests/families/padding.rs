//! Where the padding of a decoder's batch stands: on the right, on the left, or nowhere.

use xexp_backbones::{Input, Mode, Pass};
use xexp_heads::Classifier;
use xexp_kernels::Pool;

use crate::fixture::Fixture;
use crate::step::worst;

/// Ids with fillers up to the longest text, and the mask.
fn padded(texts: &[Vec<u32>], filler: u32, left: bool) -> Input {
    let longest = texts.iter().map(Vec::len).max().unwrap();
    let row = |text: Vec<u32>, filler: u32| {
        let fillers = vec![filler; longest - text.len()];
        if left { [fillers, text].concat() } else { [text, fillers].concat() }
    };
    let ids: Vec<u32> = texts.iter().flat_map(|text| row(text.clone(), filler)).collect();
    let mask: Vec<u32> = texts.iter().flat_map(|text| row(vec![1; text.len()], 0)).collect();
    Input::from_padded(&ids, &vec![0; ids.len()], &mask, longest).unwrap()
}

fn logits(classifier: &Classifier, input: &Input) -> Vec<f32> {
    let pool = Pool::default();
    classifier.forward(input, &mut Pass::new(&pool, Mode::Eval)).unwrap().values.to_vec()
}

/// One by one, packed and padded on the right, a text has the same logits to rounding. So it has padded on the left where
/// positions are relative; GPT-2's are columns, and its logits then differ, in transformers as here.
#[test]
fn a_decoder_reads_a_text_at_its_end_wherever_the_padding_is() {
    let decoders = Fixture::all().into_iter().filter(|fixture| fixture.tensors.contains_key("left"));
    let mut seen = 0;
    for fixture in decoders {
        let (case, classifier) = (&fixture.case, fixture.classifier());
        let texts = fixture.texts.as_ref().unwrap();
        let packed = logits(&classifier, &fixture.input());
        let alone: Vec<f32> = texts
            .iter()
            .flat_map(|text| logits(&classifier, &padded(std::slice::from_ref(text), 0, false)))
            .collect();
        let [right, left] = [false, true].map(|left| logits(&classifier, &padded(texts, 1, left)));
        // Logits of size one to ten, from sums in another order at most.
        assert!(worst(&packed, &alone) < 1e-5 && worst(&packed, &right) < 1e-5, "{case}");
        // The bound of the whole comparison.
        assert!(worst(&left, &fixture.tensors["left"]) < 1e-4, "{case}: padded on the left");
        let apart = worst(&packed, &left);
        match fixture.family().model_type {
            "gpt2" => assert!(apart > 1e-2, "{case}: {apart}"),
            // Angles up to 9 are known to 9 · 2⁻²⁴ = 5e-7.
            _ => assert!(apart < 1e-4, "{case}: {apart}"),
        }
        seen += 1;
    }
    assert!(seen > 0, "no decoder has a fixture");
}
