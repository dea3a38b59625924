//! The symbols to transfer to, none of which is a shape of the other set.

use core::f64::consts::PI;

use super::figure::{Figure, Part, Point, arc, between};

/// The names of the symbols, in alphabetical order.
pub(super) const NAMES: [&str; 12] = [
    "anchor",
    "arrow",
    "bolt",
    "crescent",
    "cup",
    "drop",
    "fish",
    "heart",
    "hourglass",
    "house",
    "key",
    "spiral",
];

/// Symbol `index` of [`NAMES`] upright in the unit disc. `t` from 0 to 1 sets proportions that differ within a class.
pub(super) fn symbol(index: usize, t: f64) -> Figure {
    let figure = Figure::default();
    match NAMES[index] {
        "anchor" => figure
            .add(Part::Ring { at: [0.0, 0.76], radius: 0.17, half: 0.08 })
            .add(Part::Path { points: vec![[0.0, 0.6], [0.0, -0.8]], half: 0.11 })
            .add(Part::Path { points: vec![[-0.4, 0.32], [0.4, 0.32]], half: 0.1 })
            .add(Part::Path { points: arc([0.0, 0.0], between(0.75, 0.85, t), 205.0, 335.0), half: 0.12 })
            .add(polygon(&[[-0.98, -0.12], [-0.45, -0.22], [-0.85, -0.6]]))
            .add(polygon(&[[0.98, -0.12], [0.45, -0.22], [0.85, -0.6]])),
        "arrow" => {
            let (half, neck) = (between(0.15, 0.25, t), between(0.0, 0.2, t));
            figure.add(polygon(&[
                [0.0, 1.0],
                [0.75, neck],
                [half, neck],
                [half, -0.95],
                [-half, -0.95],
                [-half, neck],
                [-0.75, neck],
            ]))
        }
        "bolt" => figure.add(polygon(&[
            [0.3, 1.0],
            [-0.6, -0.12],
            [-0.08, -0.12],
            [-0.35, -1.0],
            [0.6, 0.22],
            [0.08, 0.22],
        ])),
        "crescent" => {
            let bite = between(0.3, 0.42, t);
            let moon = figure.add(Part::Disc { at: [0.05, 0.0], radius: 0.95 });
            moon.cut(Part::Disc { at: [0.05 + bite, 0.12], radius: 0.78 })
        }
        "cup" => figure
            .add(Part::Ring { at: [0.45, 0.1], radius: 0.36, half: between(0.09, 0.12, t) })
            .add(polygon(&[[-0.85, 0.65], [0.42, 0.65], [0.25, -0.7], [-0.68, -0.7]])),
        "drop" => {
            // The sides leave the tip, 1.3 above the disc's centre, as tangents: the cosine of the angle at the centre
            // is 0.62 / 1.3.
            let side = [[0.5449, -0.0043], [-0.5449, -0.0043]];
            figure.add(Part::Disc { at: [0.0, -0.3], radius: 0.62 }).add(polygon(&[
                [0.0, 1.0],
                side[0],
                side[1],
            ]))
        }
        "fish" => figure
            .add(Part::Ellipse { at: [-0.25, 0.0], axes: [0.72, between(0.4, 0.5, t)] })
            .add(polygon(&[[0.2, 0.0], [0.95, 0.55], [0.78, 0.0], [0.95, -0.55]]))
            .cut(Part::Disc { at: [-0.6, 0.12], radius: 0.1 }),
        "heart" => figure
            .add(Part::Disc { at: [-0.42, 0.32], radius: 0.47 })
            .add(Part::Disc { at: [0.42, 0.32], radius: 0.47 })
            .add(polygon(&[
                [0.0, between(-1.0, -0.85, t)],
                [0.79, 0.03],
                [0.42, 0.4],
                [0.0, 0.46],
                [-0.42, 0.4],
                [-0.79, 0.03],
            ])),
        "hourglass" => {
            let waist = between(0.05, 0.12, t);
            figure
                .add(polygon(&[[-0.58, 0.8], [0.58, 0.8], [waist, 0.0], [-waist, 0.0]]))
                .add(polygon(&[[-0.58, -0.8], [0.58, -0.8], [waist, 0.0], [-waist, 0.0]]))
                .add(Part::Block { at: [0.0, 0.85], half: [0.68, 0.09] })
                .add(Part::Block { at: [0.0, -0.85], half: [0.68, 0.09] })
        }
        "house" => figure
            .add(Part::Block { at: [0.0, -0.3], half: [0.6, 0.5] })
            .add(polygon(&[[0.0, 0.95], [0.92, between(0.02, 0.14, t)], [-0.92, between(0.02, 0.14, t)]]))
            .cut(Part::Block { at: [0.0, -0.5], half: [0.17, 0.31] }),
        "key" => figure
            .add(Part::Ring { at: [0.0, 0.58], radius: between(0.27, 0.32, t), half: 0.13 })
            .add(Part::Block { at: [0.0, -0.36], half: [0.11, 0.62] })
            .add(Part::Block { at: [0.22, -0.86], half: [0.26, 0.11] })
            .add(Part::Block { at: [0.2, -0.46], half: [0.22, 0.1] }),
        _ => {
            let turns = between(2.0, 2.3, t);
            let point = |k: usize| {
                let share = k as f64 / 36.0;
                let (radius, angle) = (0.06 + 0.82 * share, 2.0 * PI * turns * share);
                [radius * libm::cos(angle), radius * libm::sin(angle)]
            };
            figure.add(Part::Path { points: (0..=36).map(point).collect(), half: 0.1 })
        }
    }
}

fn polygon(corners: &[Point]) -> Part {
    Part::Polygon(corners.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::figure::counted_area;
    use super::super::shape;
    use super::*;

    fn index(name: &str) -> usize {
        NAMES.iter().position(|n| *n == name).unwrap()
    }

    #[test]
    fn areas_are_those_of_the_closed_forms() {
        // A disc outside of two tangents from a point at distance d, and the kite between them.
        let (radius, d) = (0.62, 1.3f64);
        let drop = radius * (d * d - radius * radius).sqrt() + radius * radius * (PI - (radius / d).acos());
        // The lens that two circles share, taken off the larger.
        let (big, small) = (0.95f64, 0.78f64);
        let apart = 0.36f64.hypot(0.12);
        let (b, s) = (big * big, small * small);
        let (at_big, at_small) =
            ((apart * apart + b - s) / (2.0 * apart), (apart * apart + s - b) / (2.0 * apart));
        let chord = 2.0 * (b - at_big * at_big).sqrt();
        let lens = b * (at_big / big).acos() + s * (at_small / small).acos() - 0.5 * apart * chord;
        // Walls and roof overlap between 0.08 and 0.2, and the door is cut.
        let house = 1.2 * 0.88 + 0.5 * 1.84 * 0.87 - 0.34 * 0.61;
        // A shaft under a triangle.
        let arrow = 0.4 * 1.05 + 0.5 * 1.5 * 0.9;
        for (name, expected) in
            [("drop", drop), ("crescent", PI * b - lens), ("house", house), ("arrow", arrow)]
        {
            // As for shapes.
            let area = counted_area(&symbol(index(name), 0.5));
            assert!((area - expected).abs() < 0.005, "{name}: {area}, expected {expected}");
        }
    }

    #[test]
    fn no_symbol_is_another_or_a_shape() {
        let covered = |figure: &Figure| -> Vec<bool> {
            let place = |i: usize| (i as f64 + 0.5) / 32.0 - 1.0;
            (0..64 * 64).map(|i| figure.distance([place(i % 64), place(i / 64)]) < 0.0).collect()
        };
        let symbols: Vec<Vec<bool>> = (0..NAMES.len()).map(|i| covered(&symbol(i, 0.5))).collect();
        let shapes: Vec<Vec<bool>> =
            (0..shape::NAMES.len()).map(|i| covered(&shape::shape(i, 0.5))).collect();
        for (i, one) in symbols.iter().enumerate() {
            for other in symbols[..i].iter().chain(&shapes) {
                let both = one.iter().zip(other).filter(|(a, b)| **a && **b).count();
                let either = one.iter().zip(other).filter(|(a, b)| **a || **b).count();
                // Upright and at the same size, a quarter or more of what either covers tells them apart.
                assert!(4 * both <= 3 * either, "{}: {both} of {either} points", NAMES[i]);
            }
        }
    }
}
