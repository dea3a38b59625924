//! `y = x W + b` and its gradients, for weights that a checkpoint stores the other way round.
//!
//! Shapes: `x (rows, input)`, `w (input, output)`, `b (output)`, `y (rows, output)`. GPT-2 is stored so; everything else
//! is in [`crate::linear`].

use crate::product::{Threads, View, multiply};

/// `y = x w + b`.
pub fn forward(x: &[f32], w: &[f32], b: &[f32], y: &mut [f32]) {
    let output = b.len();
    let (input, rows) = (w.len() / output, y.len() / output);
    assert!(w.len() == input * output && x.len() == rows * input, "linear transposed: lengths");
    y.chunks_exact_mut(output).for_each(|row| row.copy_from_slice(b));
    multiply(
        y,
        output,
        View::new(x, rows, input, input),
        View::new(w, input, output, output),
        true,
        Threads::Pool,
    );
}

/// `dx = dy wᵀ`, or `dx += dy wᵀ` when `accumulate`; `output` is the width of `dy`.
pub fn backward_input(dy: &[f32], output: usize, w: &[f32], dx: &mut [f32], accumulate: bool) {
    let (input, rows) = (w.len() / output, dy.len() / output);
    let (dy, w) = (View::new(dy, rows, output, output), View::new(w, input, output, output).t());
    multiply(dx, input, dy, w, accumulate, Threads::Pool);
}

/// `dw += xᵀ dy`; `output` is the width of `dy`.
pub fn backward_weight(dy: &[f32], output: usize, x: &[f32], dw: &mut [f32]) {
    let (input, rows) = (dw.len() / output, dy.len() / output);
    let (x, dy) = (View::new(x, rows, input, input).t(), View::new(dy, rows, output, output));
    multiply(dw, output, x, dy, true, Threads::Pool);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{self, GradColumns};

    #[test]
    fn it_is_the_dense_layer_of_the_transpose() {
        let (rows, input, output) = (7, 5, 3);
        let wave = |n: usize, k: f32| (0..n).map(|i| (i as f32 * k + 0.3).sin()).collect::<Vec<f32>>();
        let transpose = |w: &[f32], rows: usize| {
            let columns = w.len() / rows;
            (0..w.len()).map(|i| w[i % rows * columns + i / rows]).collect::<Vec<f32>>()
        };
        let (x, w, b, dy) = (
            wave(rows * input, 0.7),
            wave(input * output, 0.9),
            wave(output, 1.3),
            wave(rows * output, 0.23),
        );
        let plain = transpose(&w, input);
        let (mut y, mut expected) = (vec![0.0; rows * output], vec![0.0; rows * output]);
        forward(&x, &w, &b, &mut y);
        linear::forward(&x, &plain, Some(&b), &mut expected);
        // Sums of at most seven products of size one.
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-6);
        assert!(near(&y, &expected));

        let gradient = GradColumns::all(&dy, output);
        let (mut dx, mut expected) = (vec![1.0; x.len()], vec![1.0; x.len()]);
        backward_input(&dy, output, &w, &mut dx, true);
        linear::backward_input(gradient, &plain, &mut expected, true);
        assert!(near(&dx, &expected));
        let (mut dw, mut expected) = (vec![0.0; w.len()], vec![0.0; w.len()]);
        backward_weight(&dy, output, &x, &mut dw);
        linear::backward_weight(gradient, &x, &mut expected);
        assert!(near(&transpose(&dw, input), &expected));
    }
}
