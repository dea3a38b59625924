//! The experiments by name, behind one face.

use serde_json::Value;
use xexp_report::lab::{Figure, Looks, Row};

use crate::{About, Draw, Error, Experiment, Result, Setup};
use crate::{audit, catalogue, transfer};

/// One experiment of the registry.
pub struct Entry {
    /// What it is.
    pub about: About,
    /// Whether `run all` includes it: the claims of the document.
    pub document: bool,
    /// Its usual parameters, as JSON.
    pub usual: fn() -> Result<Value>,
    /// Its parameters for `--full`, as JSON.
    pub full: fn() -> Result<Value>,
    /// The experiment with these parameters.
    pub open: fn(Value) -> Result<Box<dyn Opened>>,
}

/// One set-up and what is predicted for it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Name of the set-up.
    pub name: String,
    /// When its draws are looked at.
    pub looks: Looks,
    /// Its predictions.
    pub rows: Vec<Row>,
}

/// An experiment with its parameters.
pub trait Opened: Send + Sync {
    /// What it is.
    fn about(&self) -> About;
    /// Its parameters, as JSON.
    ///
    /// # Errors
    /// Parameters that JSON cannot hold.
    fn parameters(&self) -> Result<Value>;
    /// All predictions, by set-up; no device, no randomness.
    ///
    /// # Errors
    /// A formula outside its domain, or two rows of one name.
    fn plan(&self) -> Result<Vec<Planned>>;
    /// One draw of set-up number `setup`.
    ///
    /// # Errors
    /// A failed tensor operation.
    fn draw(&self, setup: usize, draw: &mut Draw<'_>) -> Result<()>;
    /// Its plots.
    fn figures(&self) -> Vec<Figure>;
}

struct Held<E: Experiment> {
    experiment: E,
    setups: Vec<Setup<E::Setup>>,
}

impl<E: Experiment> Opened for Held<E> {
    fn about(&self) -> About {
        E::ABOUT
    }

    fn parameters(&self) -> Result<Value> {
        json::<E>(&self.experiment)
    }

    fn plan(&self) -> Result<Vec<Planned>> {
        let mut names = std::collections::BTreeSet::new();
        let mut planned = vec![];
        for setup in &self.setups {
            let rows = self.experiment.predict(setup)?;
            for name in rows.iter().map(|row| &row.row) {
                if !names.insert(name.clone()) {
                    return Err(Error::Twice { experiment: E::ABOUT.id.to_owned(), name: name.clone() });
                }
            }
            planned.push(Planned { name: setup.name.clone(), looks: setup.looks.clone(), rows });
        }
        Ok(planned)
    }

    fn draw(&self, setup: usize, draw: &mut Draw<'_>) -> Result<()> {
        self.experiment.draw(&self.setups[setup], draw)
    }

    fn figures(&self) -> Vec<Figure> {
        self.experiment.figures()
    }
}

fn json<E: Experiment>(experiment: &E) -> Result<Value> {
    serde_json::to_value(experiment).map_err(|error| unusable::<E>(&error))
}

fn unusable<E: Experiment>(error: &serde_json::Error) -> Error {
    Error::Parameters { experiment: E::ABOUT.id, found: error.to_string() }
}

fn open<E: Experiment>(parameters: Value) -> Result<Box<dyn Opened>> {
    let experiment: E = serde_json::from_value(parameters).map_err(|error| unusable::<E>(&error))?;
    experiment.check()?;
    let setups = experiment.setups()?;
    Ok(Box::new(Held { experiment, setups }))
}

const fn entry<E: Experiment>() -> Entry {
    Entry {
        about: E::ABOUT,
        document: true,
        usual: || json(&E::default()),
        full: || json(&E::full()),
        open: open::<E>,
    }
}

/// An experiment that is run by its name alone: it takes hours, or data that the program does not carry.
const fn by_name<E: Experiment>() -> Entry {
    Entry { document: false, ..entry::<E>() }
}

/// All experiments, in the order of the document.
pub const EXPERIMENTS: &[Entry] = &[
    // conv
    entry::<catalogue::conv_fan::ConvFan>(),
    entry::<catalogue::conv_stride_backward::ConvStrideBackward>(),
    entry::<catalogue::conv_padding_leak::ConvPaddingLeak>(),
    entry::<catalogue::xavier_activation_drift::XavierActivationDrift>(),
    entry::<catalogue::depthwise_fan::DepthwiseFan>(),
    entry::<catalogue::pointwise_fan::PointwiseFan>(),
    entry::<catalogue::transposed_phase::TransposedPhase>(),
    entry::<catalogue::checkerboard_energy::CheckerboardEnergy>(),
    // sums and recurrence
    entry::<catalogue::inception_sum::InceptionSum>(),
    entry::<catalogue::residual_doubling::ResidualDoubling>(),
    entry::<catalogue::unet_concat::UnetConcat>(),
    entry::<catalogue::rnn_spectral_radius::RnnSpectralRadius>(),
    entry::<catalogue::rnn_driven_variance::RnnDrivenVariance>(),
    entry::<catalogue::rnn_tanh_contraction::RnnTanhContraction>(),
    entry::<catalogue::dropout_scaling::DropoutScaling>(),
    entry::<catalogue::fp16_range::Fp16Range>(),
    // attention and norms
    entry::<catalogue::attn_logit_variance::AttnLogitVariance>(),
    entry::<catalogue::attn_entropy_law::AttnEntropyLaw>(),
    entry::<catalogue::ln_placement_forward::LnPlacementForward>(),
    entry::<catalogue::ln_placement_gradient::LnPlacementGradient>(),
    entry::<catalogue::ln_placement_training::LnPlacementTraining>(),
    // training
    entry::<catalogue::adam_vs_sgd_gain::AdamVsSgdGain>(),
    entry::<catalogue::adam_epsilon_floor::AdamEpsilonFloor>(),
    entry::<catalogue::lipschitz_max_lr::LipschitzMaxLr>(),
    // heads
    entry::<catalogue::head_init::HeadInit>(),
    entry::<catalogue::head_speed::HeadSpeed>(),
    entry::<catalogue::head_features_real::HeadFeaturesReal>(),
    // real backbones
    by_name::<transfer::probe::TransferProbe>(),
    by_name::<transfer::full::TransferFull>(),
    by_name::<audit::HeadAudit>(),
];
