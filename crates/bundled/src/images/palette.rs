//! Colours of a picture: the figure's stand out from the background's in brightness, whatever their hues.

use core::f64::consts::TAU;

use xexp_init::Stream;

use super::figure::between;

/// Red, green and blue, from 0 to 1.
pub(super) type Colour = [f64; 3];

/// The colours of one picture.
#[derive(Debug, Clone)]
pub(super) struct Palette {
    /// The figure's two colours.
    pub(super) figure: [Colour; 2],
    /// The background's two colours.
    pub(super) ground: [Colour; 2],
    /// A colour between those in brightness for each bit of clutter.
    pub(super) clutter: Vec<Colour>,
}

/// The least difference of mean brightness between a colour of the figure and one of the background, before clutter,
/// blur and noise.
const CONTRAST: f64 = 0.2;

/// The share of pictures whose figure is the lighter one. An even share leaves a network without any mean to begin
/// from: for epochs it stays at chance.
const LIGHT: f64 = 0.85;

impl Palette {
    /// Draws colours, with one more for each of `clutter` bits of clutter. With a `strength` of 0 they are greys and the
    /// background has one colour; with 1 they are as colourful as they get.
    pub(super) fn draw(clutter: usize, strength: f64, stream: &mut Stream) -> Self {
        let mut uniform = |from: f64, to: f64| between(from, to, stream.uniform());
        // Brightness from the figure's end of the scale: the figure's far colour, its near one, and the background.
        let far = uniform(0.0, 0.12);
        let near = far + uniform(0.26, 0.34);
        let ground = uniform(near + CONTRAST + 0.02, 0.92);
        let spread = (ground - near - CONTRAST).min(0.12);
        let other = ground + strength * uniform(-spread, 0.08);
        let light = uniform(0.0, 1.0) < LIGHT;
        let mut colour = |brightness: f64| {
            let (hue, tint) = (uniform(0.0, TAU), strength * uniform(0.05, 0.3));
            tinted(if light { 1.0 - brightness } else { brightness }, hue, tint)
        };
        let (mut figure, ground_colours) = ([colour(far), colour(near)], [colour(ground), colour(other)]);
        let clutter =
            (0..clutter).map(|i| colour(if i % 2 == 0 { near } else { 0.5 * (near + ground) })).collect();
        if uniform(0.0, 1.0) < 0.5 {
            figure.swap(0, 1);
        }
        Self { figure, ground: ground_colours, clutter }
    }
}

/// A colour of the given mean brightness, moved towards a hue by `tint` as far as the range from 0 to 1 allows.
fn tinted(brightness: f64, hue: f64, tint: f64) -> Colour {
    let room = brightness.min(1.0 - brightness).max(0.0);
    let tint = tint.min(room);
    // Three cosines a third of a turn apart sum to zero: the mean stays.
    core::array::from_fn(|channel| brightness + tint * libm::cos(hue + TAU * channel as f64 / 3.0))
}

/// From `a` at 0 to `b` at 1.
pub(super) fn mix(a: Colour, b: Colour, t: f64) -> Colour {
    core::array::from_fn(|channel| between(a[channel], b[channel], t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    fn brightness(colour: Colour) -> f64 {
        colour.iter().sum::<f64>() / 3.0
    }

    #[test]
    fn the_figure_stands_out_from_the_background_and_is_the_lighter_one_as_often_as_said() {
        let n = 4000;
        let mut stream = Seed(1).stream("palette");
        let mut lighter = 0;
        for k in 0..n {
            let palette = Palette::draw(5, f64::from(k % 11) / 10.0, &mut stream);
            let (figure, ground) = (palette.figure.map(brightness), palette.ground.map(brightness));
            let differences: Vec<f64> =
                figure.iter().flat_map(|f| ground.iter().map(move |g| f - g)).collect();
            let sign = differences[0].signum();
            assert!(differences.iter().all(|d| d * sign > CONTRAST - 1e-9), "{palette:?}");
            lighter += i32::from(sign > 0.0);
            let all = palette.figure.iter().chain(&palette.ground).chain(&palette.clutter).flatten();
            assert!(all.clone().count() == 27 && all.clone().all(|c| (-1e-12..=1.0 + 1e-12).contains(c)));
        }
        // Five standard errors of a coin.
        let (n, lighter) = (f64::from(n), f64::from(lighter));
        assert!((lighter - LIGHT * n).abs() < 5.0 * (LIGHT * (1.0 - LIGHT) * n).sqrt(), "{lighter}");
    }
}
