//! Loss, optimiser, schedule, loop, metrics, checkpoints and resume.
