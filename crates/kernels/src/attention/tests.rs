//! Attention against candle's autograd of its composed form.

use super::place::Place;
use super::*;
use crate::Pool;
use candle_core::{D, Device, IndexOp, Tensor, Var};

fn wave(n: usize, k: f32) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * k + 0.3).sin()).collect()
}

/// What is composed from candle's operations, one sequence and head at a time.
struct Composed<'a> {
    a: &'a Attention,
    offsets: &'a [usize],
    /// `(heads, n, n)`
    by_head: Option<&'a Tensor>,
    /// `(count, n, n)`
    by_sequence: Option<&'a Tensor>,
    masks: &'a [Tensor],
}

impl Composed<'_> {
    fn context(&self, qkv: &Tensor) -> Tensor {
        let (a, d) = (self.a, self.a.head_width);
        let mut rows = vec![];
        for s in 0..self.offsets.len() - 1 {
            let n = self.offsets[s + 1] - self.offsets[s];
            if n == 0 {
                continue;
            }
            let mut columns = vec![];
            for h in 0..a.heads {
                let part = |head: usize| {
                    let rows = self.offsets[s]..self.offsets[s + 1];
                    qkv.i((rows, head * d..(head + 1) * d)).unwrap().contiguous().unwrap()
                };
                let served = h * a.kv_heads / a.heads;
                let (k, v) = (part(a.heads + served), part(a.heads + a.kv_heads + served));
                let mut z = (part(h).matmul(&k.t().unwrap()).unwrap() * f64::from(a.scale)).unwrap();
                if let Some(bias) = self.by_head {
                    z = z.add(&bias.i((h, ..n, ..n)).unwrap()).unwrap();
                }
                if let Some(bias) = self.by_sequence {
                    let count = bias.dims()[0];
                    z = z.add(&bias.i((s % count, ..n, ..n)).unwrap()).unwrap();
                }
                let hide: Vec<f32> =
                    (0..n * n).map(|k| if a.sees(k / n, k % n) { 0.0 } else { f32::NEG_INFINITY }).collect();
                z = z.add(&Tensor::from_vec(hide, (n, n), &Device::Cpu).unwrap()).unwrap();
                let p = candle_nn::ops::softmax(&z, D::Minus1).unwrap();
                let p = p.mul(&self.masks[s * a.heads + h]).unwrap();
                columns.push(p.matmul(&v).unwrap());
            }
            rows.push(Tensor::cat(&columns, 1).unwrap());
        }
        Tensor::cat(&rows, 0).unwrap()
    }
}

impl Attention {
    /// Whether a query sees a key, by the words of [`Mask`].
    fn sees(&self, query: usize, key: usize) -> bool {
        match self.mask {
            Mask::Full => true,
            Mask::Causal => key <= query,
            Mask::Near(reach) => key.abs_diff(query) <= reach,
            Mask::Recent(count) => key <= query && query - key < count,
        }
    }
}

/// Values and gradients against autograd, with and without a bias.
fn held_against_autograd(a: &Attention, offsets: &[usize], p: f64, biased: bool) {
    let (tokens, width, sequences) = (offsets[offsets.len() - 1], a.width(), offsets.len() - 1);
    let n = 1 + offsets.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap();
    let (qkv, dc) = (wave(tokens * a.packed(), 0.7), wave(tokens * width, 0.31));
    let (by_head, by_sequence) = (wave(a.heads * n * n, 0.17), wave(3 * n * n, 0.53));
    let dropout = Dropout { p, key: [7, 8], step: 2 };
    // The mask itself, read off by applying it to ones.
    let masks: Vec<Tensor> = (0..sequences * a.heads)
        .map(|t| {
            let n = offsets[t / a.heads + 1] - offsets[t / a.heads];
            let mut ones = vec![1.0; n * n];
            if n > 0 {
                let place = Place { s: t / a.heads, h: t % a.heads, rows: 0..n, keys: 0..n };
                place.drop(a, &dropout, &mut ones);
            }
            Tensor::from_vec(ones, (n, n), &Device::Cpu).unwrap()
        })
        .collect();
    let cpu = &Device::Cpu;
    let var = Var::from_slice(&qkv, (tokens, a.packed()), cpu).unwrap();
    let heads = Var::from_slice(&by_head, (a.heads, n, n), cpu).unwrap();
    let matrices = Tensor::from_slice(&by_sequence, (3, n, n), cpu).unwrap();
    let composed = Composed {
        a,
        offsets,
        by_head: biased.then_some(heads.as_tensor()),
        by_sequence: biased.then_some(&matrices),
        masks: &masks,
    };
    let theirs = composed.context(var.as_tensor());
    let weight = Tensor::from_slice(&dc, (tokens, width), cpu).unwrap();
    let grads = theirs.mul(&weight).unwrap().sum_all().unwrap().backward().unwrap();

    let bias = biased.then_some(Bias { n, heads: Some(&by_head[..]), sequences: Some(&by_sequence[..]) });
    let (mut context, mut dqkv) = (vec![0.0; tokens * width], vec![0.0; qkv.len()]);
    let mut dbias = vec![0.0; by_head.len()];
    a.forward(&qkv, offsets, bias, Some(&dropout), &mut context);
    let slot = biased.then_some(&mut dbias[..]);
    a.backward(&dc, &qkv, offsets, (bias, slot), Some(&dropout), &mut dqkv);
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut pairs = vec![(&context, flat(&theirs)), (&dqkv, flat(grads.get(&var).unwrap()))];
    if biased {
        pairs.push((&dbias, flat(grads.get(&heads).unwrap())));
    }
    for (ours, theirs) in pairs {
        // Some twenty terms of size one, 20 · 2⁻²³ ≈ 2e-6 a sum, over three products.
        let near = ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 2e-5);
        assert!(near && ours.len() == theirs.len(), "{a:?}, dropout {p}, bias {biased}");
    }
    // The gradient of a bias that nobody wants changes nothing else.
    let mut alone = vec![0.0; qkv.len()];
    a.backward(&dc, &qkv, offsets, (bias, None), Some(&dropout), &mut alone);
    assert_eq!(alone, dqkv);
}

#[test]
fn forward_and_gradients_are_those_of_the_composed_form() {
    for mask in [Mask::Full, Mask::Causal, Mask::Near(2), Mask::Recent(3)] {
        for (heads, kv_heads) in [(3, 3), (4, 2), (4, 1)] {
            for (p, biased) in [(0.0, false), (0.4, false), (0.4, true)] {
                let a = Attention { heads, kv_heads, head_width: 4, scale: 0.5, mask, queries: Queries::All };
                held_against_autograd(&a, &[0, 5, 5, 24, 25], p, biased);
            }
        }
    }
}

#[test]
fn first_queries_alone_are_what_they_are_among_all() {
    // 300 keys are more than one place has rows: of all, but not of one.
    let offsets = [0, 5, 6, 306, 316];
    let (tokens, n, heads, kv_heads) = (316, 300, 4, 2);
    for mask in [Mask::Full, Mask::Causal, Mask::Near(2), Mask::Recent(3)] {
        for biased in [false, true] {
            let all = Attention { heads, kv_heads, head_width: 4, scale: 0.5, mask, queries: Queries::All };
            let first = Attention { queries: Queries::First, ..all };
            let width = all.width();
            let (qkv, by_head) = (wave(tokens * all.packed(), 0.7), wave(heads * n * n, 0.17));
            let bias = biased.then_some(Bias { n, heads: Some(&by_head[..]), sequences: None });
            let dropout = Dropout { p: 0.4, key: [7, 8], step: 2 };
            let run = |a: &Attention, dcontext: &[f32]| {
                let mut context = vec![0.0; dcontext.len()];
                // What nobody reads or writes is no number.
                let (mut qkv, mut dqkv) = (qkv.clone(), vec![f32::NAN; qkv.len()]);
                if a.queries == Queries::First {
                    let others = (0..tokens).filter(|row| !offsets.contains(row));
                    others.for_each(|row| qkv[row * a.packed()..][..width].fill(f32::NAN));
                }
                let mut dbias = vec![0.0; by_head.len()];
                a.forward(&qkv, &offsets, bias, Some(&dropout), &mut context);
                let slot = biased.then_some(&mut dbias[..]);
                a.backward(dcontext, &qkv, &offsets, (bias, slot), Some(&dropout), &mut dqkv);
                (context, dqkv, dbias)
            };
            let of_first = wave(4 * width, 0.31);
            let mut of_all = vec![0.0; tokens * width];
            for (row, &start) in of_first.chunks_exact(width).zip(&offsets) {
                of_all[start * width..][..width].copy_from_slice(row);
            }
            let (theirs, ours) = (run(&all, &of_all), run(&first, &of_first));
            // Sums of at most 300 weights that add to one, times values of size one: a few ulp of one.
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-6);
            for (s, &start) in offsets[..4].iter().enumerate() {
                assert!(near(&ours.0[s * width..][..width], &theirs.0[start * width..]), "{mask:?}");
            }
            for (row, (ours, theirs)) in
                ours.1.chunks_exact(all.packed()).zip(theirs.1.chunks_exact(all.packed())).enumerate()
            {
                assert!(near(&ours[width..], &theirs[width..]), "{mask:?}: keys and values of {row}");
                let asks = offsets.contains(&row);
                assert!(if asks { near(ours, theirs) } else { ours[..width].iter().all(|v| v.is_nan()) });
            }
            assert!(near(&ours.2, &theirs.2), "{mask:?}: bias");
        }
    }
}

#[test]
fn sole_queries_have_the_contexts_that_projected_keys_and_values_give() {
    let (heads, head_width, width) = (3, 4, 10);
    let (inner, offsets) = (heads * head_width, [0, 1, 8, 308, 310]);
    let tokens = offsets[4];
    let x = wave(tokens * width, 0.37);
    let [wq, wk, wv] = [0.11, 0.23, 0.41].map(|step| wave(inner * width, step));
    let [bk, bv] = [0.7, 0.9].map(|step| wave(inner, step));
    for value_bias in [None, Some(&bv[..])] {
        let law = Attention {
            heads,
            kv_heads: heads,
            head_width,
            scale: 0.5,
            mask: Mask::Full,
            queries: Queries::First,
        };
        // All of it in double precision, by the definition: keys and values of every token.
        let dot = |w: &[f32], t: usize, row: usize| -> f64 {
            (0..width).map(|i| f64::from(w[row * width + i]) * f64::from(x[t * width + i])).sum()
        };
        let q: Vec<f32> = (0..4)
            .flat_map(|s| (0..inner).map(move |row| (s, row)))
            .map(|(s, row)| dot(&wq, offsets[s], row) as f32)
            .collect();
        let mut found = vec![f32::NAN; 4 * inner];
        let of = KeyValue { key: &wk, value: &wv, value_bias };
        law.sole(&q, &x, of, &offsets, &mut found, &Pool::default());
        for (s, h) in (0..4).flat_map(|s| (0..heads).map(move |h| (s, h))) {
            let q = &q[s * inner + h * head_width..][..head_width];
            let logit = |t: usize| -> f64 {
                let key = |j: usize| dot(&wk, t, h * head_width + j) + f64::from(bk[h * head_width + j]);
                0.5 * q.iter().enumerate().map(|(j, q)| f64::from(*q) * key(j)).sum::<f64>()
            };
            let weights: Vec<f64> = (offsets[s]..offsets[s + 1]).map(|t| logit(t).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for j in 0..head_width {
                let row = h * head_width + j;
                let bias = value_bias.map_or(0.0, |bias| f64::from(bias[row]));
                let terms = (offsets[s]..).zip(&weights).map(|(t, w)| w / sum * dot(&wv, t, row));
                let expected = terms.sum::<f64>() + bias;
                // Logits up to some 20, whose rounding (20 · 2⁻²⁴ · a few) is the context's relative error; contexts up to 6.
                let off = (f64::from(found[s * inner + row]) - expected).abs();
                assert!(off < 5e-5, "sequence {s}, head {h}, {j}: {off}");
            }
        }
    }
}

#[test]
fn a_sequence_of_several_places_is_one_sequence() {
    // 65536 / 300 = 218 queries at a time, and 32 under a window.
    for mask in [Mask::Full, Mask::Causal, Mask::Near(40), Mask::Recent(50)] {
        let a = Attention { heads: 2, kv_heads: 1, head_width: 4, scale: 0.5, mask, queries: Queries::All };
        assert!(a.places((0, 0), 300).count() > 1);
        for biased in [false, true] {
            held_against_autograd(&a, &[0, 300, 310], 0.4, biased);
        }
    }
}

#[test]
fn places_hold_every_pair_that_sees_each_other_and_grow_with_the_length_alone() {
    for mask in [Mask::Full, Mask::Causal, Mask::Near(64), Mask::Recent(128)] {
        let a = Attention { heads: 1, kv_heads: 1, head_width: 4, scale: 0.5, mask, queries: Queries::All };
        let areas = [2048, 8192].map(|n| {
            let (mut next, mut largest, mut all) = (0, 0, 0);
            for place in a.places((0, 0), n) {
                assert_eq!(place.rows.start, next);
                next = place.rows.end;
                for query in [place.rows.start, next - 1] {
                    let seen = (0..n).filter(|&key| a.sees(query, key));
                    assert!(seen.clone().all(|key| place.keys.contains(&key)), "{mask:?} at {query}");
                }
                largest = largest.max(place.rows.len() * place.keys.len());
                all += place.rows.len() * place.keys.len();
            }
            assert_eq!(next, n);
            assert!(largest <= 32 * n, "{mask:?}: {largest} values at once for {n} tokens");
            all
        });
        // Four times the length: sixteen times the pairs, but under a window about four times.
        let most = if matches!(mask, Mask::Full | Mask::Causal) { 17 } else { 5 };
        assert!(areas[1] < most * areas[0], "{mask:?}: {areas:?}");
    }
}
