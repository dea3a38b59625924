//! Images decoded ahead, on threads of their own, while the model computes.
//!
//! A batch is begun before it is needed, and whoever needs it helps to finish it. So what comes of it depends neither on
//! the number of threads nor on their pace, and the memory is that of the batches that were begun.

use crate::Result;
use crate::sample::{Content, Pixels, Sample, Visit, pack_with};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, available_parallelism, spawn};
use xexp_backbones::Input;

/// Threads that decode.
pub(crate) struct Loader {
    /// `None` when there is nothing to decode.
    jobs: Option<Sender<Arc<Work>>>,
    threads: Vec<JoinHandle<()>>,
}

/// A batch that was begun.
pub(crate) struct Ahead(Arc<Work>);

/// An image and the visit that it is wanted for.
type Wanted = (Arc<dyn Pixels>, Option<Visit>);

/// Pixels, an error, or a panic on its way to whoever waits.
type Loaded = std::result::Result<Result<Arc<[f32]>>, Box<dyn Any + Send>>;

struct Work {
    wanted: Vec<Wanted>,
    next: AtomicUsize,
    loaded: Mutex<Vec<Option<Loaded>>>,
    one_more: Condvar,
}

impl Loader {
    /// As many threads as the machine runs at once, if any sample is an image.
    pub(crate) fn new(samples: &[Sample]) -> Self {
        let images = samples.iter().any(|sample| matches!(sample.content, Content::Image { .. }));
        let threads = if images { available_parallelism().map_or(1, usize::from) } else { 0 };
        Self::with_threads(threads)
    }

    fn with_threads(count: usize) -> Self {
        if count == 0 {
            return Loader { jobs: None, threads: vec![] };
        }
        let (jobs, queue) = channel::<Arc<Work>>();
        let queue = Arc::new(Mutex::new(queue));
        let work = |queue: Arc<Mutex<Receiver<Arc<Work>>>>| {
            move || {
                while let Ok(work) = next(&queue) {
                    work.run();
                }
            }
        };
        let threads = (0..count).map(|_| spawn(work(queue.clone()))).collect();
        Loader { jobs: Some(jobs), threads }
    }

    /// Begins to load the images of samples; texts have none.
    pub(crate) fn begin<'a>(&self, samples: impl Iterator<Item = (&'a Sample, Option<Visit>)>) -> Ahead {
        let image = |(sample, visit): (&Sample, Option<Visit>)| match &sample.content {
            Content::Image { image, .. } => Some((image.clone(), visit)),
            Content::Text { .. } => None,
        };
        let wanted: Vec<Wanted> = samples.filter_map(image).collect();
        let loaded = Mutex::new(wanted.iter().map(|_| None).collect());
        let work = Arc::new(Work { wanted, next: AtomicUsize::new(0), loaded, one_more: Condvar::new() });
        if let Some(jobs) = self.jobs.as_ref().filter(|_| !work.wanted.is_empty()) {
            for _ in &self.threads {
                // Without a thread to take it, whoever finishes the batch does all of it.
                let _ = jobs.send(work.clone());
            }
        }
        Ahead(work)
    }
}

/// The next batch to work on; an error when there will be none.
fn next(queue: &Mutex<Receiver<Arc<Work>>>) -> std::result::Result<Arc<Work>, std::sync::mpsc::RecvError> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv()
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // Its panics, if any, have gone to whoever waited.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn loaded(&self) -> MutexGuard<'_, Vec<Option<Loaded>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads images until all are taken.
    fn run(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((image, visit)) = self.wanted.get(index) else { return };
            let found = catch_unwind(AssertUnwindSafe(|| image.pixels(*visit)));
            self.loaded()[index] = Some(found);
            self.one_more.notify_all();
        }
    }
}

impl Ahead {
    /// The pixels, once all are there, in the order of the samples.
    ///
    /// # Errors
    /// That of the first image that cannot be read.
    pub(crate) fn finish(self) -> Result<Vec<Arc<[f32]>>> {
        self.0.run();
        let mut loaded = self.0.loaded();
        while loaded.iter().any(Option::is_none) {
            loaded = self.0.one_more.wait(loaded).unwrap_or_else(PoisonError::into_inner);
        }
        let found =
            loaded.drain(..).flatten().map(|found| found.unwrap_or_else(|panic| resume_unwind(panic)));
        found.collect()
    }
}

/// Tokens up to which short texts are put together: with fewer rows, weights are packed more often than they are worth. What a
/// forward pass needs for so many is less than the weights of any encoder worth its name.
const TOGETHER: usize = 4096;

/// The samples in batches of `size`, each packed, or of more where texts are short; the images of the next are loaded meanwhile.
pub(crate) fn batches(samples: &[Sample], size: usize) -> impl Iterator<Item = Result<Input>> {
    let loader = Loader::new(samples);
    let mut rest = samples;
    let mut begin = move || {
        let (part, others) = rest.split_at(together(rest, size));
        rest = others;
        (!part.is_empty()).then(|| (part, loader.begin(part.iter().map(|sample| (sample, None)))))
    };
    let mut ahead = begin();
    std::iter::from_fn(move || {
        let (part, current) = ahead.take()?;
        ahead = begin();
        Some(current.finish().and_then(|images| pack_with(part.iter(), &images)))
    })
}

/// How many of the first samples make a batch.
fn together(samples: &[Sample], size: usize) -> usize {
    let mut tokens = 0;
    let short = samples.iter().take_while(|sample| match &sample.content {
        Content::Text { ids, .. } => {
            tokens += ids.len();
            tokens <= TOGETHER
        }
        Content::Image { .. } => false,
    });
    short.count().max(size.max(1)).min(samples.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Target};

    /// An image of its own number; the number −1 cannot be read, −2 panics.
    #[derive(Debug)]
    struct Numbered(f32);

    impl Pixels for Numbered {
        fn pixels(&self, visit: Option<Visit>) -> Result<Arc<[f32]>> {
            match self.0 {
                -1.0 => Err(Error::Image { name: "it".into(), message: "gone".into() }),
                -2.0 => panic!("a defect"),
                value => Ok([value, visit.map_or(-1.0, |visit| visit.epoch as f32)].into()),
            }
        }
    }

    fn samples(numbers: impl Iterator<Item = f32>) -> Vec<Sample> {
        let sample = |number| Sample {
            content: Content::Image { image: Arc::new(Numbered(number)), tokens: 1 },
            target: Target::Class(0),
        };
        numbers.map(sample).collect()
    }

    #[test]
    fn the_order_is_that_of_the_samples_on_any_number_of_threads() {
        let samples = samples((0..100).map(|n| n as f32));
        let expected: Vec<f32> = (0..100).flat_map(|n| [n as f32, -1.0]).collect();
        for threads in [0, 1, 7] {
            let loader = Loader::with_threads(threads);
            let (one, two) = samples.split_at(30);
            let begun = [one, two].map(|part| loader.begin(part.iter().map(|sample| (sample, None))));
            let found: Vec<f32> = begun
                .into_iter()
                .flat_map(|ahead| ahead.finish().unwrap())
                .flat_map(|p| p.to_vec())
                .collect();
            assert_eq!(found, expected, "{threads} threads");
        }
        let packed: Vec<f32> =
            batches(&samples, 7).flat_map(|input| input.unwrap().images().unwrap().to_vec()).collect();
        assert_eq!(packed, expected);
    }

    #[test]
    fn an_error_is_returned_and_a_panic_arrives_where_the_batch_is_needed() {
        let broken = samples([0.0, -1.0, 2.0].into_iter());
        assert!(matches!(batches(&broken, 3).next(), Some(Err(Error::Image { .. }))));
        let loader = Loader::with_threads(2);
        let ahead = loader.begin(samples([0.0, -2.0].into_iter()).iter().map(|sample| (sample, None)));
        assert!(catch_unwind(AssertUnwindSafe(|| ahead.finish())).is_err());
    }

    #[test]
    fn short_texts_are_put_together_and_every_sample_comes_once() {
        // Lengths, the asked size, and the batches by hand: at most 4096 tokens, or as many as asked for.
        let cases: [(&[usize], usize, &[usize]); 5] = [
            (&[2; 7], 3, &[7]),
            (&[2048, 2048, 1, 5000, 3], 1, &[2, 1, 1, 1]),
            (&[3000; 5], 2, &[2, 2, 1]),
            (&[1; 5000], 32, &[4096, 904]),
            (&[], 4, &[]),
        ];
        for (lengths, size, expected) in cases {
            let texts: Vec<Sample> =
                lengths.iter().map(|&length| Sample::text(vec![7; length], vec![0; length], 0)).collect();
            let inputs: Vec<Input> = batches(&texts, size).map(|input| input.unwrap()).collect();
            let found: Vec<usize> = inputs.iter().map(Input::batch).collect();
            assert_eq!(found, expected, "{size}");
            assert_eq!(inputs.iter().map(Input::tokens).sum::<usize>(), lengths.iter().sum::<usize>());
        }
    }

    #[test]
    fn texts_need_no_threads() {
        let texts = [Sample::text(vec![1, 2], vec![0, 0], 0)];
        assert!(Loader::new(&texts).threads.is_empty());
        assert_eq!(batches(&texts, 1).next().unwrap().unwrap().tokens(), 2);
    }
}
