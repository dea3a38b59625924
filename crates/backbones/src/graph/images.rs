//! Images and what convolutions, pools and channel-wise norms make of them.

use super::{Graph, Var};
use crate::layers::{BatchNorm, Convolution};
use crate::{Error, Result, WeightId};
use xexp_kernels::batch_norm::{Range, Statistics};
use xexp_kernels::{Axis, Windows, pooling, response_norm};

/// A batch of images or of feature maps: `values (batch · height · width, channels)`.
#[derive(Clone)]
pub struct Map {
    /// The values.
    pub values: Var,
    /// Rows of places.
    pub height: usize,
    /// Places of a row.
    pub width: usize,
}

impl Map {
    /// The same places with other values.
    pub fn with(&self, values: Var) -> Self {
        Map { values, ..*self }
    }

    /// Places of one image.
    pub fn places(&self) -> usize {
        self.height * self.width
    }
}

impl Graph<'_, '_> {
    /// The input's square images of so many channels.
    ///
    /// # Errors
    /// [`Error::Input`] for texts, or images that are no squares of these channels.
    pub fn images(&mut self, channels: usize) -> Result<Map> {
        let (pixels, batch) = (self.input.images()?, self.input.batch());
        let places = pixels.len() / (batch * channels).max(1);
        let size = places.isqrt();
        if size == 0 || size * size * batch * channels != pixels.len() {
            let found = pixels.len();
            let reason = format!("{batch} images have {found} values: no squares of {channels} channels");
            return Err(Error::Input { reason });
        }
        let mut values = self.pass.buffer(pixels.len());
        let images = values.chunks_exact_mut(places * channels).zip(pixels.chunks_exact(places * channels));
        for (values, pixels) in images {
            for (channel, pixels) in pixels.chunks_exact(places).enumerate() {
                let places = values.iter_mut().skip(channel).step_by(channels);
                places.zip(pixels).for_each(|(value, pixel)| *value = *pixel);
            }
        }
        let values = self.record(values, channels, false, |_, _| Ok(()));
        Ok(Map { values, height: size, width: size })
    }

    /// A convolution.
    ///
    /// # Errors
    /// [`Error::Input`] for images smaller than its window.
    pub fn convolution(&mut self, layer: &Convolution, x: &Map) -> Result<Map> {
        let windows = layer.windows(self.input.batch(), (x.height, x.width))?;
        let mut y = self.pass.buffer(windows.images * windows.outputs() * layer.output());
        layer.forward(self.params, x.values.values(), &mut y, &windows, self.pass.pool)?;
        layer.show(x.values.values(), &y, &windows, self.pass);
        let wanted = self.wants(&[&x.values], layer.ids());
        let (layer, input, place) = (*layer, x.values.values().clone(), x.values.place());
        let values = self.record(y, layer.output(), wanted, move |descent, dy| {
            let mut dx = descent.open(place);
            let slot = dx.as_mut().map(|(dx, accumulate)| (&mut dx[..], *accumulate));
            let weights = (descent.params, &mut *descent.grads);
            layer.backward(weights, &dy, &input, slot, &windows, descent.pass.pool)?;
            descent.close(place, dx.map(|(dx, _)| dx));
            Ok(())
        });
        Ok(Map { values, height: windows.vertical.output, width: windows.horizontal.output })
    }

    /// Batch normalization of each column, cut off to a range; see [`BatchNorm`] for when it goes by which statistics.
    ///
    /// # Errors
    /// [`Error::Input`] in training, for a single row.
    pub fn batch_norm(&mut self, norm: &BatchNorm, range: Range, x: &Var) -> Result<Var> {
        self.pass.tell(|tap| norm.ids().into_iter().take(1).for_each(|gain| tap.norm(gain)));
        let learns = self.pass.follows_data() && self.params.any_trainable(norm.ids());
        let moments = if learns { norm.batch(x.values())? } else { norm.running(self.params)? };
        if learns {
            for (weight, values) in norm.moved(self.params, &moments, x.rows())? {
                self.learn(weight, values);
            }
        }
        let mut y = self.pass.buffer(x.values().len());
        norm.forward(self.params, x.values(), (&moments, range), &mut y)?;
        let wanted = self.wants(&[x], norm.ids());
        let (norm, input, place) = (*norm, x.values().clone(), x.place());
        let statistics = if learns { Statistics::OfBatch } else { Statistics::Fixed };
        Ok(self.record(y, x.width(), wanted, move |descent, mut dy| {
            let weights = (descent.params, &mut *descent.grads);
            norm.backward(weights, &mut dy, &input, (&moments, range, statistics))?;
            descent.give(place, dy);
            Ok(())
        }))
    }

    /// Global response normalization; see [`xexp_kernels::response_norm`].
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn response_norm(&mut self, (weight, bias): (WeightId, WeightId), eps: f32, x: &Map) -> Result<Map> {
        let (channels, places) = (x.values.width(), x.places());
        let (mut y, mut norms) =
            (self.pass.buffer(x.values.values().len()), self.pass.buffer(self.input.batch() * channels));
        self.pass.tell(|tap| tap.norm(weight));
        let (w, b) = (self.params.values(weight)?, self.params.values(bias)?);
        response_norm::forward(x.values.values(), (&w, &b), eps, places, &mut y, &mut norms);
        drop((w, b));
        let wanted = self.wants(&[&x.values], [weight, bias]);
        let (input, place) = (x.values.values().clone(), x.values.place());
        let values = self.record(y, channels, wanted, move |descent, mut dy| {
            let w = descent.params.values(weight)?;
            let slots = descent.grads.pair(weight, bias);
            response_norm::backward(&mut dy, (&input, &norms), &w, eps, places, slots);
            drop(w);
            descent.give(place, dy);
            Ok(())
        });
        Ok(x.with(values))
    }

    /// The largest value of windows of `kernel` × `kernel` places, `stride` apart, with `padding` around.
    ///
    /// # Errors
    /// [`Error::Input`] for images smaller than a window.
    pub fn max_pool(&mut self, x: &Map, kernel: usize, stride: usize, padding: usize) -> Result<Map> {
        let axis = |size: usize| {
            let fits = 2 * padding <= kernel;
            let axis = fits.then(|| Axis::padded(size, kernel, stride, 1, (padding, padding)));
            let reason = || format!("{size} places are fewer than a pool's window of {kernel}");
            axis.flatten().ok_or_else(|| Error::Input { reason: reason() })
        };
        let (vertical, horizontal) = (axis(x.height)?, axis(x.width)?);
        let windows = Windows { images: self.input.batch(), vertical, horizontal };
        let channels = x.values.width();
        let mut y = self.pass.buffer(windows.images * windows.outputs() * channels);
        pooling::largest(x.values.values(), &mut y, &windows);
        let (input, place) = (x.values.values().clone(), x.values.place());
        let wanted = self.wants(&[&x.values], []);
        let values = self.record(y, channels, wanted, move |descent, dy| {
            let mut dx = descent.open_zeroed(place);
            if let Some(dx) = &mut dx {
                pooling::backward_largest(&dy, &input, dx, &windows);
            }
            descent.close(place, dx);
            Ok(())
        });
        Ok(Map { values, height: vertical.output, width: horizontal.output })
    }

    /// The mean of each image, `(batch, channels)`.
    pub fn mean_of_places(&mut self, x: &Map) -> Var {
        let offsets: Vec<usize> = (0..=self.input.batch()).map(|image| image * x.places()).collect();
        self.mean_rows(&x.values, &offsets)
    }
}
