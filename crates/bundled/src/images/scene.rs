//! A figure somewhere in a picture: what differs between two pictures of the same class.

use core::f64::consts::PI;

use xexp_init::Stream;

use super::canvas::{Canvas, SIZE};
use super::figure::{Figure, between};
use super::palette::{Palette, mix};
use super::pattern::{GRADIENT, PLAIN, Pattern};

/// What a set allows its pictures to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freedom {
    /// The least strength of all that is not the figure itself, as a share of the greatest.
    pub(super) least: f64,
    /// The largest rotation to either side, in radians.
    pub(super) turn: f64,
    /// Least and greatest diameter of the figure, as a share of the picture.
    pub(super) scale: (f64, f64),
    /// The largest factor between height and width beyond the figure's own.
    pub(super) stretch: f64,
    /// Bits of clutter behind the figure, at most.
    pub(super) behind: u64,
    /// Bits of clutter before the figure, at most.
    pub(super) before: u64,
    /// The largest noise, as a share of the range.
    pub(super) noise: f64,
}

/// Draws `figure`, which lies in the unit disc, with a texture, as bytes in the order channel, row, column.
pub(super) fn draw(figure: &Figure, texture: usize, freedom: &Freedom, stream: &mut Stream) -> Vec<u8> {
    let middle = 0.5 * SIZE as f64;
    // One number for all that is not the figure itself: a set holds easy pictures and hard ones. A network starts to
    // learn on the easy ones, where hard ones alone keep it at chance for many epochs.
    let strength = between(freedom.least, 1.0, stream.uniform());
    let radius = middle * between(freedom.scale.0, freedom.scale.1, stream.uniform());
    // As far from the middle as the figure stays inside, or nearly.
    let slack = strength * (middle - 0.95 * radius);
    let at = [(); 2].map(|()| middle + slack * (2.0 * stream.uniform() - 1.0));
    let pose = Pose::draw(at, radius, strength * freedom.turn, freedom.stretch, stream);

    let mut clutter = |most: u64| (strength * (most + 1) as f64 * stream.uniform()) as u64;
    let (behind, before) = (clutter(freedom.behind), clutter(freedom.before));
    let palette = Palette::draw((behind + before) as usize, strength, stream);
    // A third of the backgrounds is plain, a third a gradient, and a third has a texture.
    let ground = [PLAIN, GRADIENT, stream.below(6) as usize][stream.below(3) as usize];
    let ground = Pattern::draw(ground, [middle; 2], 1.2 * middle, stream);
    let surface = Pattern::draw(texture, at, radius, stream);

    let mut canvas = Canvas::new(|x, y| mix(palette.ground[0], palette.ground[1], ground.share(x, y)));
    for (index, colour) in palette.clutter.iter().enumerate() {
        if index as u64 == behind {
            paint(&mut canvas, figure, &pose, &palette, &surface);
        }
        Clutter::draw(stream).paint(&mut canvas, *colour);
    }
    if before == 0 {
        paint(&mut canvas, figure, &pose, &palette, &surface);
    }
    canvas.blur(0.16 * strength * stream.uniform());
    let noise = strength * freedom.noise * stream.uniform();
    canvas.into_bytes(noise, stream)
}

fn paint(canvas: &mut Canvas, figure: &Figure, pose: &Pose, palette: &Palette, surface: &Pattern) {
    canvas.paint(
        pose.at,
        1.2 * pose.radius + 1.0,
        |x, y| figure.distance(pose.inverse(x, y)) * pose.radius,
        |x, y| mix(palette.figure[0], palette.figure[1], surface.share(x, y)),
    );
}

/// From the figure's coordinates to the picture's: mirrored or not, stretched, turned, enlarged and moved.
struct Pose {
    at: [f64; 2],
    radius: f64,
    cosine: f64,
    sine: f64,
    /// Factors along the figure's own axes; the first is negative in a mirrored picture.
    stretch: [f64; 2],
}

impl Pose {
    fn draw(at: [f64; 2], radius: f64, turn: f64, stretch: f64, stream: &mut Stream) -> Self {
        let angle = turn * (2.0 * stream.uniform() - 1.0);
        let factor = between(1.0, stretch, stream.uniform()).sqrt();
        let mut stretch =
            if stream.uniform() < 0.5 { [factor, 1.0 / factor] } else { [1.0 / factor, factor] };
        if stream.uniform() < 0.5 {
            stretch[0] = -stretch[0];
        }
        Self { at, radius, cosine: libm::cos(angle), sine: libm::sin(angle), stretch }
    }

    /// Where the picture's `(x, y)` lies in the figure's coordinates, in which y points upwards.
    fn inverse(&self, x: f64, y: f64) -> [f64; 2] {
        let (x, y) = ((x - self.at[0]) / self.radius, (self.at[1] - y) / self.radius);
        let (u, v) = (self.cosine * x + self.sine * y, self.cosine * y - self.sine * x);
        [u / self.stretch[0], v / self.stretch[1]]
    }
}

/// A small disc or a thin line that belongs to no class.
struct Clutter {
    at: [f64; 2],
    /// Half of the line; nothing for a disc.
    arm: [f64; 2],
    half: f64,
}

impl Clutter {
    fn draw(stream: &mut Stream) -> Self {
        let at = [(); 2].map(|()| SIZE as f64 * stream.uniform());
        let (line, angle) = (stream.uniform() < 0.5, PI * stream.uniform());
        let (length, half) = match line {
            true => (between(1.5, 5.0, stream.uniform()), between(0.4, 0.7, stream.uniform())),
            false => (0.0, between(0.8, 2.0, stream.uniform())),
        };
        Self { at, arm: [length * libm::cos(angle), length * libm::sin(angle)], half }
    }

    fn paint(&self, canvas: &mut Canvas, colour: [f64; 3]) {
        let [ax, ay] = self.arm;
        let squared = (ax * ax + ay * ay).max(1e-9);
        let distance = |x: f64, y: f64| {
            let (x, y) = (x - self.at[0], y - self.at[1]);
            let t = ((x * ax + y * ay) / squared).clamp(-1.0, 1.0);
            let (x, y) = (x - t * ax, y - t * ay);
            (x * x + y * y).sqrt() - self.half
        };
        canvas.paint(self.at, squared.sqrt() + self.half + 1.0, distance, |_, _| colour);
    }
}

#[cfg(test)]
mod tests {
    use super::super::figure::Part;
    use super::*;
    use xexp_init::Seed;

    #[test]
    fn a_pose_keeps_the_middle_and_scales_areas_by_the_square_of_the_radius() {
        let mut mirrored = 0;
        for k in 0..400 {
            let pose = Pose::draw([11.0, 18.0], 9.0, 0.6, 1.3, &mut Seed(k).stream("pose"));
            assert_eq!(pose.inverse(11.0, 18.0), [0.0, 0.0]);
            let ([ax, ay], [bx, by]) = (pose.inverse(12.0, 18.0), pose.inverse(11.0, 19.0));
            let area = ax * by - ay * bx;
            // The picture's y points downwards: what is not mirrored turns the other way round.
            assert!((area.abs() - 1.0 / 81.0).abs() < 1e-12);
            mirrored += u32::from(area > 0.0);
        }
        // Five standard errors of a fair coin.
        assert!((150..=250).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn upright_means_that_upwards_stays_upwards() {
        for k in 0..100 {
            let pose = Pose::draw([16.0, 16.0], 10.0, 0.6, 1.0, &mut Seed(k).stream("pose"));
            // Half a radius above the middle, turned by at most 0.6.
            let [x, y] = pose.inverse(16.0, 11.0);
            assert!(y >= 0.5 * 0.6f64.cos() - 1e-12 && x.abs() <= 0.5 * 0.6f64.sin() + 1e-12, "{x} {y}");
        }
    }

    #[test]
    fn a_figure_is_seen_before_its_background_in_every_picture() {
        // A disc's middle is of the figure, and opposite corners are not: their mean differs in brightness by the
        // contrast of 0.2 that the palette promises, less what noise takes away, and a disc that reaches into one of
        // them.
        let freedom = Freedom {
            least: 0.0,
            turn: 0.5,
            scale: (0.6, 0.7),
            stretch: 1.1,
            behind: 0,
            before: 0,
            noise: 0.02,
        };
        let figure = Figure::default().add(Part::Disc { at: [0.0, 0.0], radius: 0.9 });
        for k in 0..300 {
            let mut stream = Seed(k).stream("seen");
            let bytes = draw(&figure, PLAIN, &freedom, &mut stream);
            let mean = |keep: &dyn Fn(usize) -> bool| {
                let kept: Vec<f64> = (0..bytes.len())
                    .filter(|i| keep(i % (SIZE * SIZE)))
                    .map(|i| f64::from(bytes[i]))
                    .collect();
                kept.iter().sum::<f64>() / kept.len() as f64 / 255.0
            };
            let middle = mean(&|i| (14..18).contains(&(i / SIZE)) && (14..18).contains(&(i % SIZE)));
            let corner = mean(&|i| i / SIZE < 2 && i % SIZE < 2 || i / SIZE > 29 && i % SIZE > 29);
            assert!((middle - corner).abs() > 0.15, "{k}: {middle} {corner}");
        }
    }
}
