//! Textures: how a surface goes between its two colours.

use core::f64::consts::TAU;

use xexp_init::Stream;

use super::figure::between;

/// The names of the textures, in alphabetical order.
pub(super) const NAMES: [&str; 6] = ["checks", "dots", "gradient", "noise", "plain", "stripes"];
/// The texture of one colour alone.
pub(super) const PLAIN: usize = 4;
/// The texture that goes from one colour to the other across the surface.
pub(super) const GRADIENT: usize = 2;

/// Index of the texture `name` in [`NAMES`].
pub(super) fn index(name: &str) -> usize {
    // The names are this module's own; a wrong one would be a texture of one colour, and a test would see it.
    NAMES.iter().position(|other| *other == name).unwrap_or(PLAIN)
}

/// Values of the noise, one a cell; cells further apart than the square root of it repeat.
const CELLS: usize = 256;

/// A texture with its direction, period and phase.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    texture: usize,
    /// Where it is anchored.
    at: [f64; 2],
    cosine: f64,
    sine: f64,
    /// Width of a cell, or of the whole for a gradient, in pixels.
    period: f64,
    /// Share of a period by which each axis is moved.
    phase: [f64; 2],
    cells: Vec<f64>,
}

impl Pattern {
    /// Texture `texture` of [`NAMES`] on a surface around `at` that reaches `radius` pixels far.
    pub(super) fn draw(texture: usize, at: [f64; 2], radius: f64, stream: &mut Stream) -> Self {
        let angle = TAU * stream.uniform();
        let (least, most) = match NAMES[texture] {
            "checks" => (5.5, 8.0),
            "dots" => (4.5, 6.0),
            "gradient" => (1.3 * radius, 1.7 * radius),
            "noise" => (1.6, 2.2),
            _ => (3.5, 5.5),
        };
        let period = between(least, most, stream.uniform());
        let phase = [stream.uniform(), stream.uniform()];
        let cells = match NAMES[texture] {
            "noise" => (0..CELLS).map(|_| stream.uniform()).collect(),
            _ => Vec::new(),
        };
        Self { texture, at, cosine: libm::cos(angle), sine: libm::sin(angle), period, phase, cells }
    }

    /// Share of the second colour at a place, in pixels.
    pub(super) fn share(&self, x: f64, y: f64) -> f64 {
        let (x, y) = (x - self.at[0], y - self.at[1]);
        let u = (self.cosine * x + self.sine * y) / self.period;
        let v = (self.cosine * y - self.sine * x) / self.period;
        let (a, b) = (u + self.phase[0], v + self.phase[1]);
        match NAMES[self.texture] {
            "checks" => 0.5 + 0.5 * self.edge(a) * self.edge(b),
            "dots" => {
                let (x, y) = (a - a.floor() - 0.5, b - b.floor() - 0.5);
                // A dot is three fifths of a cell wide.
                (0.5 - self.period * ((x * x + y * y).sqrt() - 0.3)).clamp(0.0, 1.0)
            }
            "gradient" => (0.5 + u).clamp(0.0, 1.0),
            "noise" => {
                // Cells far outside are the same as near ones: the cast wraps with the number of cells.
                let (column, row) = (a.floor() as i64, b.floor() as i64);
                self.cells[((16 * row + column) & (CELLS as i64 - 1)) as usize]
            }
            "plain" => 0.0,
            _ => 0.5 + 0.5 * self.edge(a),
        }
    }

    /// From 1 to −1 and back within a period, changing over within a pixel.
    fn edge(&self, a: f64) -> f64 {
        // Signed distance from the nearest change, in pixels.
        let distance = self.period * (0.25 - (a - a.floor() - 0.5).abs());
        (2.0 * distance).clamp(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    /// Mean of the shares over many patterns, and the mean of their squares.
    fn moments(texture: usize) -> (f64, f64) {
        let (mut sum, mut squares, mut n) = (0.0, 0.0, 0.0);
        for k in 0..200 {
            let mut stream = Seed(k).stream("pattern");
            let pattern = Pattern::draw(texture, [16.0, 16.0], 12.0, &mut stream);
            for i in 0..1024 {
                let share = pattern.share(f64::from(i % 32) + 0.5, f64::from(i / 32) + 0.5);
                assert!((0.0..=1.0).contains(&share));
                sum += share;
                squares += share * share;
                n += 1.0;
            }
        }
        (sum / n, squares / n)
    }

    #[test]
    fn textures_cover_what_their_geometry_says() {
        assert_eq!((NAMES[PLAIN], NAMES[GRADIENT]), ("plain", "gradient"));
        // Half of the surface for stripes, checks and, by symmetry, a gradient; the mean of a uniform for noise. The
        // 200 patterns' means differ by their phases, less than 0.1 each, so their mean by less than 0.1 / sqrt(200).
        for name in ["stripes", "checks", "gradient", "noise"] {
            let (mean, _) = moments(index(name));
            assert!((mean - 0.5).abs() < 0.03, "{name}: {mean}");
        }
        // A disc of radius 0.3 in a cell of side 1, and the edge's ramp of a pixel adds pi/12 pixels of some 27.
        let (mean, _) = moments(index("dots"));
        assert!((mean - (core::f64::consts::PI * 0.09 + 0.0095)).abs() < 0.02, "{mean}");
        assert_eq!(moments(PLAIN), (0.0, 0.0));
        // The square of a uniform has mean 1/3; of a fair coin 1/2, less what the edges blend.
        assert!((moments(index("noise")).1 - 1.0 / 3.0).abs() < 0.02);
        assert!(moments(index("checks")).1 > 0.38);
    }

    #[test]
    fn stripes_repeat_along_their_direction_only() {
        let stream = &mut Seed(3).stream("stripes");
        let pattern = Pattern::draw(5, [16.0, 16.0], 12.0, stream);
        let (c, s, p) = (pattern.cosine, pattern.sine, pattern.period);
        for i in 0..50 {
            let (x, y) = (f64::from(i) * 0.61, f64::from(i) * 0.37);
            let here = pattern.share(x, y);
            assert!((pattern.share(x + p * c, y + p * s) - here).abs() < 1e-9);
            assert!((pattern.share(x - 3.3 * s, y + 3.3 * c) - here).abs() < 1e-9);
            assert!((pattern.share(x + 0.5 * p * c, y + 0.5 * p * s) - (1.0 - here)).abs() < 1e-9);
        }
    }
}
