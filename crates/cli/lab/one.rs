//! One experiment from its predictions to its reports.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::Value;
use xexp_experiments::bench::Bench;
use xexp_experiments::{Error, Plan};
use xexp_init::Seed;
use xexp_report::lab::{
    FORMAT, Folder, MANIFEST_FILE, Machine, MeasuredSetup, PREDICTED_FILE, Recorded, Run, Status, sha256,
};

use super::progress::Progress;
use super::run::Args;
use super::subject::Subject;
use crate::device::Device;
use crate::doctor::machine::Cpu;
use crate::failure::Failure;
use crate::output::{self, Existing};
use crate::provenance;

/// An experiment that is ready to be measured.
pub struct Job {
    /// The experiment with its parameters.
    pub subject: Subject,
    /// Its predictions.
    pub plan: Plan,
    /// Where it is recorded.
    pub folder: Folder,
    /// Share of the whole run's work that one set-up is, in seconds.
    pub work: f64,
}

/// How a job ended.
pub enum Ended {
    /// With verdicts.
    Recorded(Box<Recorded>),
    /// Early, by a signal.
    Interrupted,
}

impl Job {
    /// Its id.
    pub fn id(&self) -> &'static str {
        self.subject.entry.about.id
    }

    /// The record of the run as it is about to begin.
    fn record(&self, args: &Args, device: Device) -> Result<Run, Failure> {
        let mut words = vec!["xexp".to_owned(), "run".to_owned(), self.id().to_owned()];
        words.extend([format!("--device={device}"), format!("--seed={}", args.seed)]);
        words.extend(args.draws.map(|draws| format!("--draws={draws}")));
        words.extend(args.full.then(|| "--full".to_owned()));
        words.extend(self.subject.set.iter().map(|set| format!("--set={set}")));
        Ok(Run {
            format: FORMAT.to_owned(),
            experiment: self.id().to_owned(),
            status: Status::Measuring,
            command: words.iter().map(|word| provenance::quoted(word)).collect::<Vec<_>>().join(" "),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: args.seed,
            draws: args.draws(),
            parameters: self.subject.opened.parameters()?,
            device: device.to_string(),
            machine: Machine {
                cpu: Cpu::of_this_machine().model,
                threads: rayon::current_num_threads(),
                target: provenance::target(),
            },
            started: output::clock(),
            finished: None,
            seconds: None,
            sha256: Default::default(),
        })
    }

    /// The earlier run in the folder, if it can be gone on with.
    ///
    /// # Errors
    /// Exit 2 where it is another run than this one, with what differs.
    pub fn earlier(&self, args: &Args, device: Device) -> Result<Option<Run>, Failure> {
        let Some(run) = self.folder.run()? else { return Ok(None) };
        let now = self.record(args, device)?;
        let mut differences = vec![];
        let mut hold = |what: &str, was: &Value, now: &Value| {
            if was != now {
                differences.push(format!("{what} was {was}, now {now}"));
            }
        };
        hold("the experiment", &run.experiment.as_str().into(), &now.experiment.as_str().into());
        hold("seed", &run.seed.into(), &now.seed.into());
        hold("draws", &run.draws.into(), &now.draws.into());
        hold("device", &run.device.as_str().into(), &now.device.as_str().into());
        hold("the version of xexp", &run.version.as_str().into(), &now.version.as_str().into());
        if let (Value::Object(was), Value::Object(now)) = (&run.parameters, &now.parameters) {
            for key in was.keys().chain(now.keys().filter(|key| !was.contains_key(*key))) {
                let of =
                    |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                hold(key, &of(was), &of(now));
            }
        }
        if differences.is_empty() {
            let manifest = self.plan.manifest.text()?;
            let predicted = self.predicted()?;
            for (name, text) in [(MANIFEST_FILE, manifest), (PREDICTED_FILE, predicted)] {
                let hash = sha256(text.as_bytes());
                if run.sha256.get(name) != Some(&hash) || self.folder.text(name)? != text {
                    differences.push(format!("{name} is not what this program predicts"));
                }
            }
        }
        if differences.is_empty() {
            return Ok(Some(run));
        }
        let place = self.folder.path().display();
        Err(Failure::input(format!("--resume: {place} holds another run: {}", differences.join("; ")))
            .hint("give the same arguments as then, or begin anew with --overwrite"))
    }

    fn predicted(&self) -> Result<String, Failure> {
        Ok(xexp_report::lab::predicted_table(self.id(), &self.plan.predictions)?.csv())
    }

    /// Measures what is not measured yet, judges, and writes everything.
    ///
    /// # Errors
    /// Whatever a draw fails with, and files that cannot be read or written.
    pub fn run(
        &self,
        args: &Args,
        (device, existing): (Device, Existing),
        stop: &AtomicBool,
        progress: &mut Progress,
    ) -> Result<Ended, Failure> {
        let earlier = match existing {
            Existing::Resume => self.earlier(args, device)?,
            _ => None,
        };
        let run = match earlier {
            Some(run) if run.status == Status::Finished => {
                progress.skip(self.work * self.plan.setups.len() as f64);
                let missing = || Failure::input(format!("{}: no record", self.folder.path().display()));
                return Ok(Ended::Recorded(Box::new(self.folder.read()?.ok_or_else(missing)?)));
            }
            Some(run) => run,
            None => {
                let run = self.record(args, device)?;
                self.folder.begin(&run, &self.plan.manifest, &self.plan.predictions)?
            }
        };
        let tensors = candle_core::Device::Cpu;
        let bench = Bench { seed: Seed(args.seed), device: &tensors, draws: args.draws(), stop };
        let mut measured = vec![];
        let mut seconds = 0.0;
        for (number, planned) in self.plan.setups.iter().enumerate() {
            let kept = self.folder.kept(number)?.filter(|kept| kept.setup == planned.name);
            let setup = match kept {
                Some(kept) => {
                    progress.skip(self.work);
                    kept
                }
                None => {
                    progress.at(&format!("{}: {}", self.id(), planned.name));
                    let began = Instant::now();
                    let rows = match bench.measure(&*self.subject.opened, number, planned) {
                        Err(Error::Interrupted) => return Ok(Ended::Interrupted),
                        rows => rows?,
                    };
                    let seconds = began.elapsed().as_secs_f64();
                    let setup = MeasuredSetup { setup: planned.name.clone(), seconds, measured: rows };
                    self.folder.keep(number, &setup)?;
                    progress.add(self.work);
                    setup
                }
            };
            seconds += setup.seconds;
            measured.extend(setup.measured);
        }
        let run = Run { finished: Some(output::clock()), seconds: Some(seconds), ..run };
        let (manifest, predictions) = (self.plan.manifest.clone(), self.plan.predictions.clone());
        let recorded = self.folder.finish(run, manifest, predictions, &measured)?;
        super::report::write(&self.folder, &recorded)?;
        self.folder.seal(&recorded)?;
        Ok(Ended::Recorded(Box::new(recorded)))
    }
}
