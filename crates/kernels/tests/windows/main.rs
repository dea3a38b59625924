//! Convolutions, pools and norms of images against PyTorch (`tests/parity/windows.py`) and against slopes of their
//! definitions in double precision.
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod definition;

use candle_core::{Device, Tensor};
use definition::{Case, mean_case, slopes, wave};
use std::collections::HashMap;
use xexp_kernels::batch_norm::{self, Moments, Norm, Range, Statistics};
use xexp_kernels::convolution::{self, Shape};
use xexp_kernels::pooling::{self, Divisor};
use xexp_kernels::{Axis, Pool, Windows, depthwise, response_norm, transposed_convolution};

struct PyTorch(HashMap<String, Tensor>);

impl PyTorch {
    fn open() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/windows/pytorch.safetensors");
        PyTorch(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    fn get(&self, name: &str) -> Vec<f32> {
        self.0[name].flatten_all().unwrap().to_vec1().unwrap()
    }

    fn all<const N: usize>(&self, case: &str, names: [&str; N]) -> [Vec<f32>; N] {
        names.map(|name| self.get(&format!("{case}.{name}")))
    }
}

/// Sums of at most a few hundred products of size one, in another order: 300 · 2⁻²⁴ ≈ 2e-5.
fn close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst < 3e-5, "{what} differs by {worst}");
}

fn zeros(like: &[f32]) -> Vec<f32> {
    vec![0.0; like.len()]
}

fn windows(vertical: Option<Axis>, horizontal: Option<Axis>) -> Windows {
    Windows { images: 2, vertical: vertical.unwrap(), horizontal: horizontal.unwrap() }
}

fn convolve(case: &str, shape: &Shape) {
    let pool = Pool::default();
    let [x, w, b, y, dy, dx, dw] = PyTorch::open().all(case, ["x", "w", "b", "y", "dy", "dx", "dw"]);
    let mut ours = zeros(&y);
    convolution::forward(&x, &w, Some(&b), &mut ours, shape, &pool);
    close(&ours, &y, case);
    // What is there is added to, or written over.
    let (mut ours_dw, mut ours_dx) = (vec![1.0; w.len()], vec![f32::NAN; x.len()]);
    convolution::backward(&dy, &x, &w, Some(&mut ours_dw), Some((&mut ours_dx, false)), shape, &pool);
    close(&ours_dx, &dx, case);
    close(&ours_dw, &dw.iter().map(|v| v + 1.0).collect::<Vec<_>>(), case);
    let mut twice = ours_dx.clone();
    convolution::backward(&dy, &x, &w, None, Some((&mut twice, true)), shape, &pool);
    close(&twice, &dx.iter().map(|v| 2.0 * v).collect::<Vec<_>>(), case);
}

#[test]
fn convolutions_are_those_of_pytorch() {
    let dilated = |n| Axis::padded(n, 3, 1, 2, (2, 2));
    convolve("dilated", &Shape { windows: windows(dilated(5), dilated(6)), input: 2, output: 3, groups: 1 });
    let grouped = windows(Axis::padded(5, 3, 2, 1, (1, 1)), Axis::padded(6, 2, 1, 1, (1, 1)));
    convolve("grouped", &Shape { windows: grouped, input: 4, output: 6, groups: 2 });
    // The depthwise kernel and the general one.
    let axis = |n| Axis::padded(n, 3, 2, 1, (1, 1));
    let windows = windows(axis(7), axis(6));
    convolve("depthwise", &Shape { windows, input: 9, output: 9, groups: 9 });
    let [x, w, b, y, dy, dx, dw] = PyTorch::open().all("depthwise", ["x", "w", "b", "y", "dy", "dx", "dw"]);
    let (mut ours, mut ours_dw, mut ours_dx) = (zeros(&y), zeros(&w), zeros(&x));
    depthwise::forward(&x, &w, Some(&b), &mut ours, &windows);
    depthwise::backward(&dy, &x, &w, Some(&mut ours_dw), Some((&mut ours_dx, false)), &windows);
    close(&ours, &y, "y");
    close(&ours_dw, &dw, "dw");
    close(&ours_dx, &dx, "dx");
}

#[test]
fn transposed_convolution_is_that_of_pytorch() {
    let axis = |n| Axis::transposed(n, 3, 2, 1, 1, 1);
    let shape = Shape { windows: windows(axis(3), axis(4)), input: 6, output: 4, groups: 2 };
    let names = ["x", "w", "b", "y", "dy", "dx", "dw", "db"];
    let [x, w, b, y, dy, dx, dw, db] = PyTorch::open().all("transposed", names);
    let pool = Pool::default();
    let (mut ours, mut ours_dw, mut ours_db, mut ours_dx) = (zeros(&y), zeros(&w), zeros(&b), zeros(&x));
    transposed_convolution::forward(&x, &w, Some(&b), &mut ours, &shape, &pool);
    let weights = (Some(&mut ours_dw[..]), Some(&mut ours_db[..]));
    transposed_convolution::backward(&dy, &x, &w, weights, Some(&mut ours_dx), &shape, &pool);
    for (ours, theirs) in [(ours, y), (ours_dw, dw), (ours_db, db), (ours_dx, dx)] {
        close(&ours, &theirs, "transposed");
    }
}

#[test]
fn pools_are_those_of_pytorch() {
    let axis = |n| Axis::padded(n, 3, 2, 1, (1, 1));
    let windows = windows(axis(7), axis(6));
    let means = [("mean_of_taps", Divisor::Taps), ("mean_of_seen", Divisor::Seen)];
    for (case, divisor) in [("largest", None)].into_iter().chain(means.map(|(c, d)| (c, Some(d)))) {
        let [x, y, dy, dx] = PyTorch::open().all(case, ["x", "y", "dy", "dx"]);
        let (mut ours, mut ours_dx) = (zeros(&y), zeros(&x));
        match divisor {
            None => {
                pooling::largest(&x, &mut ours, &windows);
                pooling::backward_largest(&dy, &x, &mut ours_dx, &windows);
            }
            Some(divisor) => {
                pooling::mean(&x, &mut ours, divisor, &windows);
                pooling::backward_mean(&dy, &mut ours_dx, divisor, &windows);
            }
        }
        close(&ours, &y, case);
        close(&ours_dx, &dx, case);
    }
}

#[test]
fn batch_norm_is_that_of_pytorch() {
    let names = ["x", "w", "b", "y", "dy", "dx", "dw", "db", "running_mean", "running_var"];
    let [x, w, b, y, dy, dx, dw, db, running_mean, running_var] = PyTorch::open().all("batch_norm", names);
    let moments = Moments::of(&x, 5);
    let (mut ours, mut ours_dx) = (zeros(&y), dy.clone());
    let (mut ours_dw, mut ours_db) = (zeros(&w), zeros(&b));
    let norm = Norm { moments: &moments, w: &w, b: &b, eps: 1e-3, range: Range::ALL };
    batch_norm::forward(&x, &norm, &mut ours);
    let weights = Some((&mut ours_dw[..], &mut ours_db[..]));
    batch_norm::backward(&mut ours_dx, &x, (&norm, Statistics::OfBatch), weights);
    for (ours, theirs) in [(ours, y), (ours_dw, dw), (ours_db, db), (ours_dx, dx)] {
        close(&ours, &theirs, "batch norm");
    }
    // From running values of 0 and 1, by 0.3, with the variance of divisor 24 − 1.
    let mean: Vec<f32> = moments.mean.iter().map(|m| 0.3 * m).collect();
    let variance: Vec<f32> = moments.variance.iter().map(|v| 0.7 + 0.3 * v * 24.0 / 23.0).collect();
    close(&mean, &running_mean, "running mean");
    close(&variance, &running_var, "running variance");
}

#[test]
fn convolutions_have_the_slopes_of_their_definition() {
    let pool = Pool::default();
    for case in Case::all() {
        let shape = case.shape;
        let (x, w, dy) = case.values();
        let y = case.forward(&x, &w);
        let single = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
        let loss = |x: &[f64], w: &[f64]| case.forward(x, w).iter().zip(&dy).map(|(y, g)| y * g).sum::<f64>();
        let (dx, dw) = (slopes(|x| loss(x, &w), &x), slopes(|w| loss(&x, w), &w));
        let (x, w, dy) = (single(&x), single(&w), single(&dy));
        let what = format!("{shape:?}");
        let check = |ours: [Vec<f32>; 3]| {
            for (ours, theirs) in ours.iter().zip([&y, &dx, &dw]) {
                close(ours, &single(theirs), &what);
            }
        };
        let mut ours = [vec![0.0; y.len()], zeros(&x), zeros(&w)];
        let [ours_y, ours_dx, ours_dw] = &mut ours;
        convolution::forward(&x, &w, None, ours_y, &shape, &pool);
        convolution::backward(&dy, &x, &w, Some(ours_dw), Some((ours_dx, false)), &shape, &pool);
        check(ours);
        if shape.groups == shape.input && shape.input == shape.output {
            let mut ours = [vec![0.0; y.len()], zeros(&x), zeros(&w)];
            let [ours_y, ours_dx, ours_dw] = &mut ours;
            depthwise::forward(&x, &w, None, ours_y, &shape.windows);
            depthwise::backward(&dy, &x, &w, Some(ours_dw), Some((ours_dx, false)), &shape.windows);
            check(ours);
        }
    }
}

#[test]
fn response_norm_has_the_slopes_of_its_definition() {
    let (images, places, width, eps) = (2, 6, 5, 1e-6);
    let (x, w, b, dy) =
        (wave(images * places * width, 0.7), wave(width, 0.9), wave(width, 1.3), wave(60, 0.23));
    let single = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let forward = |x: &[f64], w: &[f64], b: &[f64]| -> Vec<f64> {
        x.chunks(places * width)
            .flat_map(|x| {
                let norm = |c: usize| x.iter().skip(c).step_by(width).map(|v| v * v).sum::<f64>().sqrt();
                let norms: Vec<f64> = (0..width).map(norm).collect();
                let mean = norms.iter().sum::<f64>() / width as f64 + eps;
                let one = |(i, v): (usize, &f64)| {
                    let c = i % width;
                    w[c] * v * norms[c] / mean + b[c] + v
                };
                x.iter().enumerate().map(one).collect::<Vec<_>>()
            })
            .collect()
    };
    let loss =
        |x: &[f64], w: &[f64], b: &[f64]| forward(x, w, b).iter().zip(&dy).map(|(y, g)| y * g).sum::<f64>();
    let expected = [
        forward(&x, &w, &b),
        slopes(|x| loss(x, &w, &b), &x),
        slopes(|w| loss(&x, w, &b), &w),
        slopes(|b| loss(&x, &w, b), &b),
    ];
    let (x, w, b) = (single(&x), single(&w), single(&b));
    let (mut y, mut norms, mut d) = (zeros(&x), vec![0.0; images * width], single(&dy));
    let (mut dw, mut db) = (zeros(&w), zeros(&b));
    response_norm::forward(&x, (&w, &b), eps as f32, places, &mut y, &mut norms);
    let weights = Some((&mut dw[..], &mut db[..]));
    response_norm::backward(&mut d, (&x, &norms), &w, eps as f32, places, weights);
    for (ours, theirs) in [y, d, dw, db].iter().zip(expected) {
        close(ours, &single(&theirs), "response norm");
    }
}

#[test]
fn pools_have_the_slopes_of_their_definition_and_fixed_statistics_are_constants() {
    mean_case(
        |x, y, windows| pooling::mean(x, y, Divisor::Seen, windows),
        |dy, dx, windows| {
            pooling::backward_mean(dy, dx, Divisor::Seen, windows);
        },
    );
    let moments = Moments { mean: vec![0.5, -1.0], variance: vec![4.0, 0.25] };
    let (x, w, b) = ([1.5, 0.0, 0.5, 1.0], [2.0, 3.0], [0.0, 1.0]);
    let mut y = [0.0; 4];
    let norm = Norm { moments: &moments, w: &w, b: &b, eps: 0.0, range: Range::ALL };
    batch_norm::forward(&x, &norm, &mut y);
    assert_eq!(y, [1.0, 7.0, 0.0, 13.0]);
    let (mut d, mut dw, mut db) = ([1.0, 1.0, 2.0, -1.0], [0.0; 2], [0.0; 2]);
    let weights = Some((&mut dw[..], &mut db[..]));
    batch_norm::backward(&mut d, &x, (&norm, Statistics::Fixed), weights);
    // dy · w / √var; Σ dy · x̂; Σ dy.
    assert_eq!((d, dw, db), ([1.0, 6.0, 2.0, -6.0], [0.5, -2.0], [3.0, 0.0]));
    // Cut off to [0, 7]: no gradient at and beyond the ends.
    let cut = Norm { range: Range { low: 0.0, high: 7.0 }, ..norm };
    batch_norm::forward(&x, &cut, &mut y);
    let mut d = [1.0, 1.0, 2.0, -1.0];
    batch_norm::backward(&mut d, &x, (&cut, Statistics::Fixed), None);
    assert_eq!((y, d), ([1.0, 7.0, 0.0, 7.0], [1.0, 0.0, 0.0, 0.0]));
}

/// Long columns of a large mean keep their variance: parts of 256 rows are joined around their own means.
#[test]
fn moments_of_long_columns_are_exact() {
    let (rows, width) = (100_001, 3);
    let x: Vec<f32> = (0..rows * width).map(|i| 1000.0 + ((i * 7919) % 64) as f32 / 64.0).collect();
    let moments = Moments::of(&x, width);
    for c in 0..width {
        let column = || x.iter().skip(c).step_by(width).map(|v| f64::from(*v));
        let mean = column().sum::<f64>() / rows as f64;
        let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / rows as f64;
        // The mean of 256 values near 1000 is rounded by 2⁻¹⁴ at most, and its square is added to the variance.
        assert!((f64::from(moments.mean[c]) - mean).abs() < 1e-4, "{c}");
        assert!((f64::from(moments.variance[c]) / variance - 1.0).abs() < 1e-5, "{c}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let run = || {
        let axis = Axis::padded(9, 3, 2, 1, (1, 1)).unwrap();
        let windows = Windows { images: 11, vertical: axis, horizontal: axis };
        let single = |n, k| wave(n, k).iter().map(|v| *v as f32).collect::<Vec<f32>>();
        let (x, w, dy) = (single(11 * 81 * 24, 0.7), single(24 * 24 * 9, 0.3), single(11 * 25 * 24, 0.1));
        let shape = Shape { windows, input: 24, output: 24, groups: 1 };
        let (mut dw, mut depth, mut dx) = (zeros(&w), vec![0.0; 24 * 9], zeros(&x));
        let pool = Pool::default();
        convolution::backward(&dy, &x, &w, Some(&mut dw), Some((&mut dx, false)), &shape, &pool);
        depthwise::backward(&dy, &x, &w[..24 * 9], Some(&mut depth), None, &windows);
        let moments = Moments::of(&x, 24);
        let (mut d, mut gain, mut offset) = (x.clone(), [0.0; 24], [0.0; 24]);
        let weights = Some((&mut gain[..], &mut offset[..]));
        let norm = Norm { moments: &moments, w: &w[..24], b: &w[24..48], eps: 0.1, range: Range::ALL };
        batch_norm::backward(&mut d, &x, (&norm, Statistics::OfBatch), weights);
        [dw, depth, dx, moments.mean, moments.variance, d, gain.to_vec(), offset.to_vec()]
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    assert!(with(1) == with(3));
}
