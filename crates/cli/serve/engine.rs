//! The thread that computes: takes what waits, packs it into batches, hands the answers out.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use axum::http::StatusCode;
use xexp_train::Sample;

use super::metrics::Metrics;
use super::queue::{Computed, Job, Queue};
use super::refusal::Refusal;

/// A job's samples, and their lengths as [`Computed::lengths`].
#[derive(Debug)]
pub struct Prepared {
    /// What the model reads, an input each.
    pub samples: Vec<Sample>,
    /// Tokens of each sample, for the budget.
    pub tokens: Vec<usize>,
    /// Tokens computed and tokens that the text has.
    pub lengths: Vec<(usize, usize)>,
}

/// How batches are made.
#[derive(Debug, Clone, Copy)]
pub struct Batching {
    /// Most tokens of a batch, unless one sample has more.
    pub tokens: usize,
    /// Most samples of a batch.
    pub samples: usize,
    /// How long an idle engine waits for company.
    pub wait: Duration,
    /// Outputs of the model.
    pub classes: usize,
}

/// A panic, which is a bug of ours: its requests were answered with 500.
#[derive(Debug, PartialEq, Eq)]
pub struct Bug;

/// A job whose samples are computed, all at once or over several batches.
struct Pending {
    job: Job,
    prepared: Prepared,
    /// Samples that have their logits.
    done: usize,
    logits: Vec<f32>,
}

/// Answers jobs until the queue is closed and empty. `prepare` makes samples of several jobs, `compute` logits
/// `(samples, classes)` of a batch.
///
/// # Errors
/// [`Bug`] when one of them panicked; the queue is closed then.
pub fn run(
    queue: &Queue,
    metrics: &Metrics,
    batching: Batching,
    prepare: impl Fn(&[Job]) -> Vec<Result<Prepared, Refusal>>,
    compute: impl Fn(&[Sample]) -> Result<Vec<f32>, Refusal>,
) -> Result<(), Bug> {
    let mut pending: VecDeque<Pending> = VecDeque::new();
    loop {
        let waiting: usize = pending.iter().flat_map(|one| &one.prepared.tokens[one.done..]).sum();
        if waiting < batching.tokens {
            let idle = pending.is_empty().then_some(batching.wait);
            match queue.take(batching.tokens - waiting, idle) {
                None if pending.is_empty() => return Ok(()),
                None => (),
                Some(jobs) => {
                    let Ok(prepared) = catch_unwind(AssertUnwindSafe(|| prepare(&jobs))) else {
                        jobs.into_iter().for_each(|job| answer(job, Err(bug())));
                        queue.close();
                        return Err(Bug);
                    };
                    for (job, prepared) in jobs.into_iter().zip(prepared) {
                        match prepared {
                            Ok(prepared) => {
                                pending.push_back(Pending { job, prepared, done: 0, logits: vec![] })
                            }
                            Err(refusal) => answer(job, Err(refusal)),
                        }
                    }
                }
            }
        }
        pending.retain(|one| !one.job.reply.is_closed());
        let (samples, tokens) = batch(&pending, batching);
        if samples.is_empty() {
            continue;
        }
        let computed = catch_unwind(AssertUnwindSafe(|| compute(&samples)));
        if let Ok(Ok(_)) = computed {
            metrics.batch(samples.len(), tokens);
        }
        let panicked = computed.is_err();
        deliver(&mut pending, samples.len(), &computed.unwrap_or_else(|_| Err(bug())), batching.classes);
        if panicked {
            queue.close();
            return Err(Bug);
        }
    }
}

/// The next samples in the jobs' order, as many as the batch may have and at least one, and their tokens.
fn batch(pending: &VecDeque<Pending>, batching: Batching) -> (Vec<Sample>, usize) {
    let (mut samples, mut sum) = (vec![], 0);
    for one in pending {
        for (sample, tokens) in one.prepared.samples.iter().zip(&one.prepared.tokens).skip(one.done) {
            let full = sum + tokens > batching.tokens || samples.len() == batching.samples;
            if full && !samples.is_empty() {
                return (samples, sum);
            }
            sum += tokens;
            samples.push(sample.clone());
        }
    }
    (samples, sum)
}

/// Hands the logits of a batch to its jobs, in their order, and answers those that are whole; or all of them what went wrong.
fn deliver(
    pending: &mut VecDeque<Pending>,
    mut left: usize,
    computed: &Result<Vec<f32>, Refusal>,
    classes: usize,
) {
    let mut given = 0;
    while left > 0
        && let Some(mut one) = pending.pop_front()
    {
        let count = left.min(one.prepared.samples.len() - one.done);
        left -= count;
        match computed {
            Err(refusal) => answer(one.job, Err(refusal.clone())),
            Ok(logits) => {
                one.logits.extend_from_slice(&logits[given * classes..(given + count) * classes]);
                given += count;
                one.done += count;
                if one.done == one.prepared.samples.len() {
                    answer(one.job, Ok(Computed { logits: one.logits, lengths: one.prepared.lengths }));
                } else {
                    pending.push_front(one);
                }
            }
        }
    }
}

fn bug() -> Refusal {
    let hint =
        "please report it with the request; the server stops, and its last lines on stderr say where it was";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "a bug in xexp", hint)
}

/// Nobody may wait any more; then the answer is not missed.
fn answer(job: Job, what: Result<Computed, Refusal>) {
    let _ = job.reply.send(what);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::request::{Inputs, Text};
    use std::cell::RefCell;
    use std::time::Instant;
    use tokio::sync::oneshot;

    type Answer = oneshot::Receiver<Result<Computed, Refusal>>;

    const BATCHING: Batching = Batching { tokens: 10, samples: 4, wait: Duration::ZERO, classes: 2 };

    /// A job of texts that are their own numbers of tokens.
    fn job(lengths: &[usize]) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let texts = lengths.iter().map(|length| Text { text: length.to_string(), pair: None });
        let (inputs, count) = (Inputs::Texts(texts.collect()), lengths.len());
        let guess = lengths.iter().sum();
        (Job { inputs, count, guess, truncate: false, arrived: Instant::now(), reply }, answer)
    }

    fn prepare(jobs: &[Job]) -> Vec<Result<Prepared, Refusal>> {
        let one = |job: &Job| {
            let Inputs::Texts(texts) = &job.inputs else { return Err(Refusal::wrong("an image", "none")) };
            let tokens: Vec<usize> = texts.iter().map(|text| text.text.parse().unwrap()).collect();
            if tokens.contains(&0) {
                return Err(Refusal::wrong("no token", "say something"));
            }
            let sample = |&length: &usize| Sample::text(vec![length as u32; length], vec![0; length], 0);
            let lengths = tokens.iter().map(|&length| (length, length)).collect();
            Ok(Prepared { samples: tokens.iter().map(sample).collect(), tokens, lengths })
        };
        jobs.iter().map(one).collect()
    }

    /// Two logits a sample: its length, and a hundred times as much.
    fn logits(samples: &[Sample]) -> Vec<f32> {
        let length = |sample: &Sample| sample.tokens().0.len() as f32;
        samples.iter().flat_map(|sample| [length(sample), 100.0 * length(sample)]).collect()
    }

    /// Runs the engine on jobs that wait already; gives the lengths of each batch, the answers, and how it ended.
    #[allow(clippy::type_complexity, reason = "three results of one thing")]
    fn ran(
        jobs: &[&[usize]],
        compute: impl Fn(&[Sample]) -> Result<Vec<f32>, Refusal>,
    ) -> (Vec<Vec<usize>>, Vec<Option<Result<Computed, u16>>>, Result<(), Bug>) {
        let (queue, metrics, batches) = (Queue::new(1000), Metrics::default(), RefCell::new(vec![]));
        let mut answers: Vec<Answer> = jobs
            .iter()
            .map(|lengths| {
                let (job, answer) = job(lengths);
                queue.push(job).unwrap();
                answer
            })
            .collect();
        queue.close();
        let noting = |samples: &[Sample]| {
            batches.borrow_mut().push(samples.iter().map(|s| s.tokens().0.len()).collect());
            compute(samples)
        };
        let end = run(&queue, &metrics, BATCHING, prepare, noting);
        let status = |answer: Result<Computed, Refusal>| answer.map_err(|refusal| refusal.status.as_u16());
        let answers = answers.iter_mut().map(|answer| answer.try_recv().ok().map(status)).collect();
        (batches.into_inner(), answers, end)
    }

    fn expected(lengths: &[usize]) -> Option<Result<Computed, u16>> {
        let logits = lengths.iter().flat_map(|&l| [l as f32, 100.0 * l as f32]).collect();
        Some(Ok(Computed { logits, lengths: lengths.iter().map(|&l| (l, l)).collect() }))
    }

    #[test]
    fn batches_keep_to_their_limits_and_every_job_gets_its_own_logits_in_order() {
        let jobs: [&[usize]; 6] = [&[3, 4], &[2, 2], &[30], &[1, 1, 1, 1, 1, 6], &[10], &[9]];
        let (batches, answers, end) = ran(&jobs, |samples| Ok(logits(samples)));
        // At most ten tokens and four samples by hand; the text of thirty alone.
        let by_hand: [&[usize]; 7] = [&[3, 4, 2], &[2], &[30], &[1, 1, 1, 1], &[1, 6], &[10], &[9]];
        assert_eq!(batches, by_hand);
        assert_eq!(answers, jobs.map(expected));
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn a_job_that_cannot_be_read_spoils_no_other() {
        let (batches, answers, end) = ran(&[&[1], &[0], &[2]], |samples| Ok(logits(samples)));
        assert_eq!((batches, end), (vec![vec![1, 2]], Ok(())));
        assert_eq!(answers, [expected(&[1]), Some(Err(422)), expected(&[2])]);
    }

    #[test]
    fn a_batch_that_fails_is_answered_so_and_the_next_goes_on() {
        let compute = |samples: &[Sample]| match samples[0].tokens().0.len() {
            7 => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no", "none")),
            _ => Ok(logits(samples)),
        };
        let (_, answers, end) = ran(&[&[7, 3], &[7], &[5]], compute);
        // Seven and three are one batch; then seven alone, for seven and five are too many.
        assert_eq!(answers, [Some(Err(500)), Some(Err(500)), expected(&[5])]);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn a_panic_is_answered_with_500_and_ends_the_engine() {
        let compute = |samples: &[Sample]| {
            assert_ne!(samples[0].tokens().0.len(), 9, "a defect");
            Ok(logits(samples))
        };
        let (_, answers, end) = ran(&[&[2], &[9], &[9]], compute);
        assert_eq!(
            (&answers[0], end),
            (&Some(Ok(Computed { logits: vec![2.0, 200.0], lengths: vec![(2, 2)] })), Err(Bug))
        );
        // The third was never computed: its channel is closed without an answer.
        assert_eq!(answers[1..], [Some(Err(500)), None]);
    }
}
