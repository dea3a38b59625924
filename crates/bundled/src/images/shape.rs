//! The shapes to pretrain on.

use core::f64::consts::{FRAC_PI_2, PI};

use super::figure::{Figure, Part, Point, arc, between};

/// The names of the shapes, in alphabetical order.
#[rustfmt::skip]
pub(super) const NAMES: [&str; 24] = [
    "aitch", "bar", "burst", "chevron", "clover", "comb",
    "corner", "cross", "disc", "dumbbell", "ellipse", "frame",
    "horseshoe", "pentagon", "pie", "rhombus", "ring", "semicircle",
    "square", "star", "tee", "trapezoid", "triangle", "zigzag",
];

/// Shape `index` of [`NAMES`], which reaches about as far as the unit disc. `t` from 0 to 1 sets proportions that differ within a class.
pub(super) fn shape(index: usize, t: f64) -> Figure {
    let centre = [0.0, 0.0];
    let part = match NAMES[index] {
        "aitch" => {
            let half = between(0.15, 0.22, t);
            return Figure::default()
                .add(Part::Block { at: [-0.6, 0.0], half: [half, 0.8] })
                .add(Part::Block { at: [0.6, 0.0], half: [half, 0.8] })
                .add(Part::Block { at: centre, half: [0.6, half] });
        }
        "bar" => Part::Block { at: centre, half: [0.95, between(0.2, 0.3, t)] },
        "burst" => Part::Polygon(regular(8, 1.0, between(0.55, 0.65, t))),
        "chevron" => {
            let thick = between(0.4, 0.55, t);
            let (low, wing) = (-0.7, 0.05);
            Part::Polygon(vec![
                [0.0, low],
                [0.8, wing],
                [0.8, wing + thick],
                [0.0, low + thick],
                [-0.8, wing + thick],
                [-0.8, wing],
            ])
        }
        "clover" => {
            let half = between(0.4, 0.44, t);
            let leaf = |x: f64, y: f64| Part::Disc { at: [x * half, y * half], radius: half };
            let figure = Figure::default().add(Part::Block { at: centre, half: [half, half] });
            return figure
                .add(leaf(1.0, 1.0))
                .add(leaf(1.0, -1.0))
                .add(leaf(-1.0, 1.0))
                .add(leaf(-1.0, -1.0));
        }
        "comb" => {
            let half = between(0.13, 0.19, t);
            let tooth = |y: f64| Part::Block { at: [0.0, y], half: [0.65, half] };
            let figure = Figure::default().add(Part::Block { at: [half - 0.65, 0.0], half: [half, 0.8] });
            return figure.add(tooth(half - 0.8)).add(tooth(0.0)).add(tooth(0.8 - half));
        }
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
        "dumbbell" => {
            let radius = between(0.34, 0.4, t);
            return Figure::default()
                .add(Part::Disc { at: [-0.6, 0.0], radius })
                .add(Part::Disc { at: [0.6, 0.0], radius })
                .add(Part::Block { at: centre, half: [0.6, 0.12] });
        }
        "ellipse" => Part::Ellipse { at: centre, axes: [1.0, between(0.45, 0.6, t)] },
        "frame" => {
            let hole = between(0.35, 0.47, t);
            let figure = Figure::default().add(Part::Block { at: centre, half: [0.75, 0.75] });
            return figure.cut(Part::Block { at: centre, half: [hole, hole] });
        }
        "horseshoe" => Part::Path { points: arc(centre, 0.72, -50.0, 230.0), half: between(0.16, 0.22, t) },
        "pentagon" => Part::Polygon(regular(5, 1.0, 1.0)),
        "pie" => {
            // The slice that is missing reaches past the rim.
            let angle = between(PI / 6.0, PI / 4.0, t);
            let (x, y) = (2.0 * libm::cos(angle), 2.0 * libm::sin(angle));
            let figure = Figure::default().add(Part::Disc { at: centre, radius: 0.95 });
            return figure.cut(Part::Polygon(vec![centre, [x, y], [x, -y]]));
        }
        "rhombus" => {
            let half = between(0.48, 0.6, t);
            Part::Polygon(vec![[half, 0.0], [0.0, 1.0], [-half, 0.0], [0.0, -1.0]])
        }
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
        "trapezoid" => {
            let top = between(0.3, 0.5, t);
            Part::Polygon(vec![[-0.9, -0.5], [0.9, -0.5], [top, 0.5], [-top, 0.5]])
        }
        "triangle" => Part::Polygon(regular(3, 1.0, 1.0)),
        _ => {
            let points = vec![[-0.65, 0.6], [0.6, 0.6], [-0.6, -0.6], [0.65, -0.6]];
            Part::Path { points, half: between(0.14, 0.19, t) }
        }
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
            let at = |from, to| between(from, to, t);
            let (aitch, corner, cross, comb) =
                (at(0.15, 0.22), at(0.42, 0.56), at(0.22, 0.32), at(0.13, 0.19));
            let (clover, horseshoe, tee) = (at(0.4, 0.44), at(0.16, 0.22), at(0.4, 0.54));
            let hole = 0.95 - 2.0 * at(0.14, 0.24);
            // The chord where a dumbbell's bar enters its disc, and half the angle that it is seen under.
            let disc: f64 = at(0.34, 0.4);
            let (depth, angle) = ((disc * disc - 0.0144).sqrt(), (0.12 / disc).asin());
            let expected = [
                ("aitch", 2.0 * 3.2 * aitch + 2.0 * aitch * (1.2 - 2.0 * aitch)),
                ("bar", 4.0 * 0.95 * at(0.2, 0.3)),
                // As the star, with sixteen triangles.
                ("burst", 8.0 * at(0.55, 0.65) * sine(22.5)),
                ("chevron", 1.6 * at(0.4, 0.55)),
                // A square, and of the disc around each of its corners three quarters lie outside.
                ("clover", (4.0 + 3.0 * PI) * clover * clover),
                ("comb", 3.2 * comb + 3.0 * 2.0 * comb * (1.3 - 2.0 * comb)),
                ("corner", corner * (2.0 * 1.4 - corner)),
                ("cross", 2.0 * 4.0 * 0.95 * cross - 4.0 * cross * cross),
                ("disc", PI * 0.81),
                // Two discs, and a bar less what lies in them: half of each overlap is a triangle and a sector.
                (
                    "dumbbell",
                    2.0 * PI * disc * disc + 4.0 * 0.6 * 0.12 - 2.0 * (0.12 * depth + disc * disc * angle),
                ),
                ("ellipse", PI * at(0.45, 0.6)),
                ("frame", 1.5 * 1.5 - 4.0 * at(0.35, 0.47) * at(0.35, 0.47)),
                // Twelve chords of an arc of 280 degrees, a little shorter than the arc, with round ends.
                (
                    "horseshoe",
                    2.0 * horseshoe * 24.0 * 0.72 * sine(280.0 / 24.0) + PI * horseshoe * horseshoe,
                ),
                ("pentagon", 2.5 * sine(72.0)),
                ("pie", 0.95 * 0.95 * (PI - at(PI / 6.0, PI / 4.0))),
                ("rhombus", 2.0 * at(0.48, 0.6)),
                ("ring", PI * (0.95 * 0.95 - hole * hole)),
                ("semicircle", 0.5 * PI),
                ("square", 1.5 * 1.5),
                // Ten triangles that enclose 36 degrees between sides of 1 and of the notch's distance.
                ("star", 5.0 * at(0.38, 0.46) * sine(36.0)),
                ("tee", 1.5 * tee + (1.6 - tee) * tee),
                ("trapezoid", 0.9 + at(0.3, 0.5)),
                ("triangle", 1.5 * sine(120.0)),
            ];
            for (name, expected) in expected {
                // As for single parts: a fifth of a step of 0.00275 along outlines that are at most 9 long.
                let index = NAMES.iter().position(|other| *other == name).unwrap();
                let area = counted_area(&shape(index, t));
                assert!((area - expected).abs() < 0.005, "{name} {t}: {area}, expected {expected}");
            }
        }
    }

    #[test]
    fn every_shape_reaches_about_as_far_as_the_unit_disc() {
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
                assert!((0.85..=1.15).contains(&radius), "{name} reaches {radius}");
            }
        }
    }
}
