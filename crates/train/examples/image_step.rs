//! Seconds of training steps of an image model on noise, for `tests/bench/mobilenet.py` to set against PyTorch's.
//!
//! ```text
//! image_step DIR BATCH STEPS
//! ```
//! Prints the seconds of each step, a line each; the first warms up. `RAYON_NUM_THREADS` says how many threads.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use xexp_backbones::Seed;
use xexp_backbones::folder::Folder;
use xexp_heads::{Classifier, HeadInit};
use xexp_kernels::Pool;
use xexp_train::{Optimizer, OptimizerSettings, Sample, StepSettings, Supervised, step};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
const CLASSES: usize = 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image_step: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, batch, steps] = &words[..] else { return Err("expected DIR BATCH STEPS".into()) };
    let (batch, steps): (usize, u64) = (batch.parse()?, steps.parse()?);
    let (mut classifier, _) = Classifier::with_new_head(&Folder::open(folder.as_ref())?, CLASSES, Seed(1))?;
    classifier.initialize(HeadInit::Hf, 1.0, None, Seed(1))?;
    let image = classifier.backbone.image().ok_or("expected an image model")?;
    let values = image.channels * image.size * image.size;
    let train: Vec<Sample> = (0..batch)
        .map(|index| {
            let mut noise = Seed(2).stream(&format!("image {index}"));
            let pixels: Vec<f32> = (0..values).map(|_| noise.normal() as f32).collect();
            Sample::image(Arc::from(pixels), image.tokens, (index % CLASSES) as u32)
        })
        .collect();
    let mut grads = xexp_backbones::Grads::new(&classifier.params);
    let mut optimizer = Optimizer::new(&classifier.params, OptimizerSettings::default());
    let objective = Supervised::new(&classifier, &train, &[]);
    let (chosen, pool): (Vec<usize>, _) = ((0..batch).collect(), Pool::default());
    for number in 0..=steps {
        let settings = StepSettings {
            step: number,
            epoch: number,
            seed: Seed(3),
            micro_batch: batch,
            accumulate: 1,
            lr: 1e-4,
            head_lr: 1e-4,
            clip: 0.0,
        };
        let start = Instant::now();
        step(&objective, &chosen, &settings, (&mut grads, &mut optimizer), &pool)?;
        writeln!(std::io::stdout(), "{}", start.elapsed().as_secs_f64())?;
    }
    Ok(())
}
