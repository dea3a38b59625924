//! The suite: one binary, a module a subject.
