//! Figures as signed distances: parts that are added and cut away.

/// A point or a displacement, x to the right and y upwards.
pub(super) type Point = [f64; 2];

/// A part of a figure.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// Points no further than `radius` from `at`.
    Disc { at: Point, radius: f64 },
    /// Points no further than `half` from the circle of `radius` around `at`.
    Ring { at: Point, radius: f64, half: f64 },
    /// An axis-parallel rectangle by its half width and half height.
    Block { at: Point, half: Point },
    /// An axis-parallel ellipse by its half axes.
    Ellipse { at: Point, axes: Point },
    /// Points no further than `half` from a chain of segments.
    Path { points: Vec<Point>, half: f64 },
    /// The inside of a closed chain of segments that does not cross itself.
    Polygon(Vec<Point>),
}

impl Part {
    /// Signed distance of `p` from the outline, negative inside. Exact but for the ellipse, where it is right to first
    /// order near the outline, which is what anti-aliasing asks for.
    ///
    /// Source: Quilez, "2D distance functions".
    fn distance(&self, p: Point) -> f64 {
        match self {
            Self::Disc { at, radius } => length(minus(p, *at)) - radius,
            Self::Ring { at, radius, half } => (length(minus(p, *at)) - radius).abs() - half,
            Self::Block { at, half } => {
                let [x, y] = minus(p, *at);
                let (dx, dy) = (x.abs() - half[0], y.abs() - half[1]);
                length([dx.max(0.0), dy.max(0.0)]) + dx.max(dy).min(0.0)
            }
            Self::Ellipse { at, axes } => {
                let [x, y] = minus(p, *at);
                let scaled = length([x / axes[0], y / axes[1]]);
                let slope = length([x / (axes[0] * axes[0]), y / (axes[1] * axes[1])]);
                // The quotient has no value in the centre, and there the shorter half axis is the distance.
                if slope < 1e-9 { -axes[0].min(axes[1]) } else { scaled * (scaled - 1.0) / slope }
            }
            Self::Path { points, half } => {
                let pairs = points.windows(2).map(|pair| squared_to_segment(p, pair[0], pair[1]));
                pairs.fold(f64::INFINITY, f64::min).sqrt() - half
            }
            Self::Polygon(corners) => polygon(corners, p),
        }
    }
}

/// Parts in order; each is added to what stands before it, or cut from it.
#[derive(Debug, Clone, Default)]
pub(super) struct Figure {
    parts: Vec<(bool, Part)>,
}

impl Figure {
    /// The figure together with `part`.
    pub(super) fn add(mut self, part: Part) -> Self {
        self.parts.push((true, part));
        self
    }

    /// The figure without `part`.
    pub(super) fn cut(mut self, part: Part) -> Self {
        self.parts.push((false, part));
        self
    }

    /// Signed distance of `p` from the outline, negative inside; past corners where parts meet, a bound of it.
    pub(super) fn distance(&self, p: Point) -> f64 {
        self.parts.iter().fold(f64::INFINITY, |distance, (added, part)| {
            if *added { distance.min(part.distance(p)) } else { distance.max(-part.distance(p)) }
        })
    }
}

/// From `a` at 0 to `b` at 1.
pub(super) fn between(a: f64, b: f64, t: f64) -> f64 {
    a + (b - a) * t
}

/// Points of the arc around `at`, the angles in degrees, anticlockwise from the right.
pub(super) fn arc(at: Point, radius: f64, from: f64, to: f64) -> Vec<Point> {
    let point = |k: usize| {
        let angle = core::f64::consts::PI / 180.0 * between(from, to, k as f64 / 12.0);
        [at[0] + radius * libm::cos(angle), at[1] + radius * libm::sin(angle)]
    };
    (0..=12).map(point).collect()
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

fn length([x, y]: Point) -> f64 {
    // Not `hypot`, whose bits depend on the platform.
    (x * x + y * y).sqrt()
}

fn squared_to_segment(p: Point, a: Point, b: Point) -> f64 {
    let ([px, py], [bx, by]) = (minus(p, a), minus(b, a));
    let t = ((px * bx + py * by) / (bx * bx + by * by)).clamp(0.0, 1.0);
    let (x, y) = (px - t * bx, py - t * by);
    x * x + y * y
}

fn polygon(corners: &[Point], p: Point) -> f64 {
    let Some(&last) = corners.last() else { return f64::INFINITY };
    let (mut squared, mut inside, mut before) = (f64::INFINITY, false, last);
    for &corner in corners {
        squared = squared.min(squared_to_segment(p, before, corner));
        // A ray to the right of an inner point crosses the outline an odd number of times.
        if (corner[1] > p[1]) != (before[1] > p[1]) {
            let t = (p[1] - corner[1]) / (before[1] - corner[1]);
            inside ^= p[0] < corner[0] + t * (before[0] - corner[0]);
        }
        before = corner;
    }
    if inside { -squared.sqrt() } else { squared.sqrt() }
}

/// The area of a figure within the disc of radius 1.1, by counting the points of a lattice.
///
/// The lattice is turned against the axes, so that no side of a figure runs along a row of it and takes in, or misses,
/// a whole row at once.
#[cfg(test)]
pub(super) fn counted_area(figure: &Figure) -> f64 {
    let n = 800;
    let step = 2.2 / f64::from(n);
    let place = |i: i32| (f64::from(i) + 0.5) * step - 1.1;
    let (sine, cosine) = 0.3f64.sin_cos();
    let turned = |x: f64, y: f64| [cosine * x - sine * y, sine * x + cosine * y];
    let points = (0..n * n).filter(|i| figure.distance(turned(place(i % n), place(i / n))) < 0.0);
    points.count() as f64 * step * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    fn only(part: Part) -> Figure {
        Figure::default().add(part)
    }

    #[test]
    fn areas_are_those_of_the_closed_forms() {
        let triangle = vec![[-0.5, -0.5], [0.7, -0.5], [-0.1, 0.9]];
        let path = vec![[-0.5, 0.0], [0.5, 0.0]];
        for (part, expected) in [
            (Part::Disc { at: [0.1, -0.1], radius: 0.7 }, PI * 0.49),
            (Part::Ring { at: [0.0, 0.0], radius: 0.6, half: 0.2 }, PI * (0.64 - 0.16)),
            (Part::Block { at: [0.1, 0.2], half: [0.5, 0.3] }, 4.0 * 0.5 * 0.3),
            (Part::Ellipse { at: [0.0, 0.1], axes: [0.9, 0.4] }, PI * 0.36),
            (Part::Polygon(triangle), 0.5 * 1.2 * 1.4),
            (Part::Path { points: path, half: 0.2 }, 2.0 * 0.2 + PI * 0.04),
        ] {
            // Rows of points 0.00275 apart misjudge where they meet the outline by parts of a step with both signs; all
            // outlines are shorter than 8, and a sixth of a step along all of one would be 0.004.
            let area = counted_area(&only(part.clone()));
            assert!((area - expected).abs() < 0.004, "{part:?}: {area}, expected {expected}");
        }
    }

    #[test]
    fn distances_are_those_to_the_nearest_point_of_the_outline() {
        // Worked out by hand, inside, outside and past a corner.
        let square = vec![[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]];
        let root = 2f64.sqrt();
        for part in [Part::Block { at: [0.0, 0.0], half: [1.0, 1.0] }, Part::Polygon(square)] {
            for (p, expected) in [([0.0, 0.25], -0.75), ([3.0, 0.5], 2.0), ([2.0, 2.0], root)] {
                assert!((part.distance(p) - expected).abs() < 1e-12, "{part:?} {p:?}");
            }
        }
        let ring = Part::Ring { at: [1.0, 0.0], radius: 2.0, half: 0.5 };
        for (p, expected) in [([1.0, 0.0], 1.5), ([3.0, 0.0], -0.5), ([1.0, 4.0], 1.5)] {
            assert!((ring.distance(p) - expected).abs() < 1e-12, "{p:?}");
        }
        // On its axes and on its outline the ellipse's distance is exact.
        let ellipse = Part::Ellipse { at: [0.0, 0.0], axes: [2.0, 1.0] };
        for (p, expected) in
            [([2.0, 0.0], 0.0), ([0.0, 0.0], -1.0), ([root, 0.5 * root], 0.0), ([0.0, 3.0], 2.0)]
        {
            assert!((ellipse.distance(p) - expected).abs() < 1e-12, "{p:?}");
        }
    }

    #[test]
    fn what_is_cut_is_outside_unless_it_is_added_again() {
        let disc = |radius| Part::Disc { at: [0.0, 0.0], radius };
        let target = only(disc(1.0)).cut(disc(0.6)).add(disc(0.3));
        let signs = [0.0, 0.45, 0.8, 1.2].map(|x| target.distance([x, 0.0]) < 0.0);
        assert_eq!(signs, [true, false, true, false]);
    }
}
