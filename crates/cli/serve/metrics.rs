//! What is counted, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The format of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const INPUTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
const TOKENS: &[f64] = &[16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// By route and status.
    requests: BTreeMap<(&'static str, u16), u64>,
    seconds: Histogram,
    batch_inputs: Histogram,
    batch_tokens: Histogram,
    truncated: u64,
}

/// Observations by size; the bounds are given again at each use.
#[derive(Debug, Default)]
struct Histogram {
    counts: Vec<u64>,
    sum: f64,
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics under the lock, and a count that lacks one would be no reason to panic either.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was answered; `took` is given of those for predictions.
    pub fn request(&self, route: &'static str, status: u16, took: Option<Duration>) {
        let mut counts = self.counts();
        *counts.requests.entry((route, status)).or_default() += 1;
        if let Some(took) = took {
            counts.seconds.observe(SECONDS, took.as_secs_f64());
        }
    }

    /// A batch was computed.
    pub fn batch(&self, inputs: usize, tokens: usize) {
        let mut counts = self.counts();
        counts.batch_inputs.observe(INPUTS, inputs as f64);
        counts.batch_tokens.observe(TOKENS, tokens as f64);
    }

    /// So many texts were cut.
    pub fn truncated(&self, texts: usize) {
        self.counts().truncated += texts as u64;
    }

    /// All of them, with the number of inputs that wait now.
    pub fn text(&self, waiting: usize) -> String {
        let counts = self.counts();
        let mut out = String::new();
        head(&mut out, "requests_total", "counter", "Requests answered, by route and status.");
        for ((route, status), count) in &counts.requests {
            line(&mut out, "requests_total", &format!("{{route=\"{route}\",status=\"{status}\"}}"), *count);
        }
        let histograms = [
            (
                "request_seconds",
                "Seconds from a request for predictions to its answer.",
                SECONDS,
                &counts.seconds,
            ),
            ("batch_inputs", "Inputs of a batch.", INPUTS, &counts.batch_inputs),
            ("batch_tokens", "Tokens of a batch.", TOKENS, &counts.batch_tokens),
        ];
        for (name, help, bounds, histogram) in histograms {
            head(&mut out, name, "histogram", help);
            histogram.write(&mut out, name, bounds);
        }
        head(&mut out, "queue_inputs", "gauge", "Inputs that wait for the model.");
        line(&mut out, "queue_inputs", "", waiting);
        let totals = [
            ("inputs_total", "Texts or images computed.", counts.batch_inputs.sum),
            ("tokens_total", "Tokens computed.", counts.batch_tokens.sum),
            ("truncated_total", "Texts that were cut.", counts.truncated as f64),
        ];
        for (name, help, value) in totals {
            head(&mut out, name, "counter", help);
            line(&mut out, name, "", value);
        }
        out
    }
}

impl Histogram {
    fn observe(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len() + 1, 0);
        // `le`: a value on a bound belongs below it.
        self.counts[bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }

    fn write(&self, out: &mut String, name: &str, bounds: &[f64]) {
        let mut total = 0;
        for (index, bound) in bounds.iter().enumerate() {
            total += self.counts.get(index).unwrap_or(&0);
            line(out, &format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), total);
        }
        total += self.counts.get(bounds.len()).unwrap_or(&0);
        line(out, &format!("{name}_bucket"), "{le=\"+Inf\"}", total);
        line(out, &format!("{name}_sum"), "", self.sum);
        line(out, &format!("{name}_count"), "", total);
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = write!(out, "# HELP xexp_{name} {help}\n# TYPE xexp_{name} {kind}\n");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "xexp_{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_a_bound_belongs_below() {
        let metrics = Metrics::default();
        for inputs in [1, 2, 3, 2000] {
            metrics.batch(inputs, 16);
        }
        let text = metrics.text(7);
        for expected in [
            "xexp_batch_inputs_bucket{le=\"1\"} 1\n",
            "xexp_batch_inputs_bucket{le=\"2\"} 2\n",
            "xexp_batch_inputs_bucket{le=\"4\"} 3\n",
            "xexp_batch_inputs_bucket{le=\"1024\"} 3\n",
            "xexp_batch_inputs_bucket{le=\"+Inf\"} 4\n",
            "xexp_batch_inputs_sum 2006\nxexp_batch_inputs_count 4\n",
            "xexp_batch_tokens_bucket{le=\"16\"} 4\n",
            "xexp_queue_inputs 7\n",
            "xexp_inputs_total 2006\n",
            "xexp_tokens_total 64\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn every_metric_has_help_and_type_and_requests_are_told_apart() {
        let metrics = Metrics::default();
        metrics.request("/predict", 200, Some(Duration::from_millis(3)));
        metrics.request("/predict", 200, Some(Duration::from_millis(3)));
        metrics.request("/predict", 422, None);
        metrics.truncated(2);
        let text = metrics.text(0);
        assert!(text.contains("xexp_requests_total{route=\"/predict\",status=\"200\"} 2\n"), "{text}");
        assert!(text.contains("xexp_requests_total{route=\"/predict\",status=\"422\"} 1\n"), "{text}");
        assert!(text.contains("xexp_request_seconds_bucket{le=\"0.005\"} 2\n"), "{text}");
        assert!(text.contains("xexp_request_seconds_count 2\n") && text.contains("truncated_total 2\n"));
        let of = |kind: &str| text.lines().filter(|line| line.starts_with(kind)).count();
        assert_eq!((of("# HELP"), of("# TYPE")), (8, 8));
    }
}
