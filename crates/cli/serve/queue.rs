//! Requests that wait for the model.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::refusal::Refusal;
use super::request::Inputs;

/// A request on its way to the engine.
#[derive(Debug)]
pub struct Job {
    /// What is to be labelled.
    pub inputs: Inputs,
    /// Number of inputs.
    pub count: usize,
    /// Tokens of them, guessed before anything is read: how many jobs are worth reading at once.
    pub guess: usize,
    /// Whether longer texts are cut.
    pub truncate: bool,
    /// When it came.
    pub arrived: Instant,
    /// Where the answer goes; closed when nobody waits for it any more.
    pub reply: oneshot::Sender<Result<Computed, Refusal>>,
}

/// What the engine found out about a job's inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    /// Logits `(inputs, classes)`.
    pub logits: Vec<f32>,
    /// For each text the tokens that were computed, and those that it has; none of images.
    pub lengths: Vec<(usize, usize)>,
}

/// First come, first served, up to a number of inputs.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    more: Condvar,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Inputs of all jobs.
    inputs: usize,
    closed: bool,
}

impl Queue {
    /// With room for so many inputs.
    pub fn new(most: usize) -> Self {
        Queue { state: Mutex::default(), more: Condvar::new(), most }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves whole jobs behind: each change is one push or one pop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inputs that wait.
    pub fn len(&self) -> usize {
        self.state().inputs
    }

    /// Adds a job behind the others.
    ///
    /// # Errors
    /// 503 when there is no room for its inputs, or nobody will take it.
    pub fn push(&self, job: Job) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.closed {
            return Err(Refusal::stopping());
        }
        if state.inputs + job.count > self.most {
            let error = format!("{} inputs wait already, and there is room for {}", state.inputs, self.most);
            return Err(Refusal::later(error, "ask again later, or start the server with a larger --queue"));
        }
        state.inputs += job.count;
        state.jobs.push_back(job);
        self.more.notify_all();
        Ok(())
    }

    /// Takes jobs in their order until their guessed tokens reach `room`, at least one. With `idle` it waits for the first
    /// one, and from then on so long for others; without, it takes what is there. Jobs that nobody waits for are dropped.
    /// `None` when the queue is closed and empty.
    pub fn take(&self, room: usize, idle: Option<Duration>) -> Option<Vec<Job>> {
        let mut state = self.state();
        if let Some(wait) = idle {
            while state.jobs.is_empty() && !state.closed {
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            while let Some(first) = state.jobs.front()
                && !state.closed
                && let Some(left) = wait.checked_sub(first.arrived.elapsed()).filter(|left| !left.is_zero())
                && state.jobs.iter().map(|job| job.guess).sum::<usize>() < room
            {
                state = self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        let (mut taken, mut guess) = (vec![], 0);
        while guess < room
            && let Some(job) = state.jobs.pop_front()
        {
            state.inputs -= job.count;
            if !job.reply.is_closed() {
                guess += job.guess;
                taken.push(job);
            }
        }
        Some(taken)
    }

    /// Takes no more jobs; those that wait are still given out.
    pub fn close(&self) {
        self.state().closed = true;
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::request::Text;
    use std::sync::Arc;

    type Answer = oneshot::Receiver<Result<Computed, Refusal>>;

    fn job(count: usize, guess: usize) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let inputs = Inputs::Texts(vec![Text { text: "a".into(), pair: None }; count]);
        (Job { inputs, count, guess, truncate: false, arrived: Instant::now(), reply }, answer)
    }

    fn guesses(jobs: &[Job]) -> Vec<usize> {
        jobs.iter().map(|job| job.guess).collect()
    }

    #[test]
    fn jobs_come_in_their_order_up_to_the_room_and_at_least_one() {
        let queue = Queue::new(100);
        let _answers: Vec<Answer> = [5, 6, 7, 50, 1]
            .map(|guess| {
                let (job, answer) = job(2, guess);
                queue.push(job).unwrap();
                answer
            })
            .into();
        assert_eq!(queue.len(), 10);
        let taken = || guesses(&queue.take(11, Some(Duration::ZERO)).unwrap());
        assert_eq!((taken(), taken(), taken()), (vec![5, 6], vec![7, 50], vec![1]));
        assert!(queue.len() == 0 && queue.take(11, None).unwrap().is_empty());
    }

    #[test]
    fn a_full_queue_refuses_and_what_nobody_waits_for_makes_room() {
        let queue = Queue::new(3);
        let (first, gone) = job(2, 4);
        queue.push(first).unwrap();
        let (second, _answer) = job(2, 4);
        let refusal = queue.push(second).unwrap_err();
        assert_eq!(refusal.status.as_u16(), 503);
        assert!(refusal.error.starts_with("2 inputs wait already, and there is room for 3"), "{refusal:?}");
        drop(gone);
        assert!(queue.take(1, None).unwrap().is_empty(), "the client has gone");
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn closing_gives_out_what_waits_and_then_ends() {
        let queue = Arc::new(Queue::new(3));
        let (waiting, _answer) = job(1, 4);
        queue.push(waiting).unwrap();
        queue.close();
        let (late, _late) = job(1, 4);
        assert_eq!(queue.push(late).unwrap_err().status.as_u16(), 503);
        assert_eq!(guesses(&queue.take(9, Some(Duration::from_secs(3600))).unwrap()), [4]);
        assert!(queue.take(9, Some(Duration::from_secs(3600))).is_none());
        let other = Arc::new(Queue::new(3));
        let idle = std::thread::spawn({
            let other = other.clone();
            move || other.take(9, Some(Duration::ZERO)).is_none()
        });
        other.close();
        assert!(idle.join().unwrap(), "a thread that waits is woken");
    }

    #[test]
    fn an_idle_engine_waits_for_company_but_not_once_there_is_enough() {
        let queue = Arc::new(Queue::new(9));
        let (first, _first) = job(1, 4);
        queue.push(first).unwrap();
        let (second, _second) = job(1, 5);
        let sender = std::thread::spawn({
            let queue = queue.clone();
            move || queue.push(second).map_err(|refusal| refusal.error)
        });
        // Would take an hour if it waited for more than the room.
        let taken = queue.take(9, Some(Duration::from_secs(3600))).unwrap();
        assert_eq!(guesses(&taken), [4, 5]);
        sender.join().unwrap().unwrap();
    }
}
