//! The shapes to pretrain on.

use core::f64::consts::{FRAC_PI_2, PI};

use super::figure::{Figure, Part, Point, between};

/// The names of the shapes, in alphabetical order.
pub(super) const NAMES: [&str; 12] = [
    "bar",
    "corner",
    "cross",
    "disc",
    "ellipse",
    "pentagon",
    "ring",
    "semicircle",
    "square",
    "star",
    "tee",
    "triangle",
];

/// Shape `index` of [`NAMES`] in the unit disc. `t` from 0 to 1 sets proportions that differ within a class.
pub(super) fn shape(index: usize, t: f64) -> Figure {
    let centre = [0.0, 0.0];
    let part = match NAMES[index] {
        "bar" => Part::Block { at: centre, half: [0.95, between(0.2, 0.3, t)] },
        "corner" => {
            let thick = between(0.42, 0.56, t);
            let (low, high) = (-0.7, 0.7);
            Part::Polygon(vec![
                [low, low],
                [high, low],
                [high, low + thick],
                [low + thick, low + thick],
                [low + thick, high],
                [low, high],
            ])
        }
        "cross" => {
            let (arm, half) = (0.95, between(0.22, 0.32, t));
            let figure = Figure::default().add(Part::Block { at: centre, half: [arm, half] });
            return figure.add(Part::Block { at: centre, half: [half, arm] });
        }
        "disc" => Part::Disc { at: centre, radius: 0.9 },
        "ellipse" => Part::Ellipse { at: centre, axes: [1.0, between(0.45, 0.6, t)] },
        "pentagon" => Part::Polygon(regular(5, 1.0, 1.0)),
        "ring" => {
            let half = between(0.14, 0.24, t);
            Part::Ring { at: centre, radius: 0.95 - half, half }
        }
        "semicircle" => {
            // A disc of radius 1, of which the lower half is cut away; moved down to lie in the middle.
            let figure = Figure::default().add(Part::Disc { at: [0.0, -0.4], radius: 1.0 });
            return figure.cut(Part::Block { at: [0.0, -1.4], half: [2.0, 1.0] });
        }
        "square" => Part::Block { at: centre, half: [0.75, 0.75] },
        "star" => Part::Polygon(regular(5, 1.0, between(0.38, 0.46, t))),
        "tee" => {
            let thick = between(0.4, 0.54, t);
            let figure = Figure::default()
                .add(Part::Block { at: [0.0, 0.75 - 0.5 * thick], half: [0.75, 0.5 * thick] });
            return figure.add(Part::Block { at: [0.0, -0.05], half: [0.5 * thick, 0.8] });
        }
        _ => Part::Polygon(regular(3, 1.0, 1.0)),
    };
    Figure::default().add(part)
}

/// A star of `points` points at the distance `outer`, with notches between them at `inner`; without notches, a regular
/// polygon, when the two are equal.
fn regular(points: usize, outer: f64, inner: f64) -> Vec<Point> {
    let corner = |k: usize, radius: f64| {
        let angle = FRAC_PI_2 + PI * k as f64 / points as f64;
        [radius * libm::cos(angle), radius * libm::sin(angle)]
    };
    if inner == outer {
        return (0..points).map(|k| corner(2 * k, outer)).collect();
    }
    (0..2 * points).map(|k| corner(k, if k % 2 == 0 { outer } else { inner })).collect()
}

#[cfg(test)]
mod tests {
    use super::super::figure::counted_area;
    use super::*;

    #[test]
    fn areas_are_those_of_the_closed_forms() {
        let sine = |degrees: f64| degrees.to_radians().sin();
        for t in [0.0, 0.5, 1.0] {
            let (bar, cross, axis) = (between(0.2, 0.3, t), between(0.22, 0.32, t), between(0.45, 0.6, t));
            let (corner, tee, star) = (between(0.42, 0.56, t), between(0.4, 0.54, t), between(0.38, 0.46, t));
            let hole = 0.95 - 2.0 * between(0.14, 0.24, t);
            let expected = [
                4.0 * 0.95 * bar,
                corner * (2.0 * 1.4 - corner),
                2.0 * 4.0 * 0.95 * cross - 4.0 * cross * cross,
                PI * 0.81,
                PI * axis,
                2.5 * sine(72.0),
                PI * (0.95 * 0.95 - hole * hole),
                0.5 * PI,
                1.5 * 1.5,
                // Ten triangles with sides 1 and `star` that enclose 36 degrees.
                5.0 * star * sine(36.0),
                1.5 * tee + (1.6 - tee) * tee,
                1.5 * sine(120.0),
            ];
            for (index, expected) in expected.into_iter().enumerate() {
                // As for single parts: a fifth of a step of 0.00275 along outlines that are at most 9 long.
                let area = counted_area(&shape(index, t));
                assert!((area - expected).abs() < 0.005, "{} {t}: {area}, expected {expected}", NAMES[index]);
            }
        }
    }

    #[test]
    fn every_shape_fits_the_unit_disc_and_nearly_fills_it() {
        for (index, name) in NAMES.iter().enumerate() {
            for t in [0.0, 1.0] {
                let figure = shape(index, t);
                let widest =
                    (0..360).flat_map(|degrees| (0..120).map(move |r| (f64::from(degrees), f64::from(r))));
                let radii = widest.filter_map(|(degrees, r)| {
                    let (angle, radius) = (degrees.to_radians(), r / 100.0);
                    (figure.distance([radius * angle.cos(), radius * angle.sin()]) <= 0.0).then_some(radius)
                });
                let radius = radii.fold(0.0, f64::max);
                assert!((0.85..=1.1).contains(&radius), "{name} reaches {radius}");
            }
        }
    }
}
