//! The suite: one binary, a module a subject.
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

/// The manifests and files, held against the design: who may use whom, how long, how safe.
mod architecture;
/// The command line: help, exit codes, and what is refused before any work begins.
mod arguments;
/// `--head-init auto`, `--head-bias` and `--lr auto`.
mod auto;
/// The backward passes against candle's autograd, in double precision.
mod autograd;
/// `xexp pretrain` and `xexp distill`.
mod backbones;
/// Bad input of every kind: exit codes, messages, nothing written.
mod bad_input;
/// Bundled models and data.
mod bundled;
/// `xexp compare`: runs against each other.
mod compare;
/// `--config`: what wins over what, and mistakes with their line.
mod config_file;
/// `xexp doctor`, for people and for programs.
mod doctor;
/// `xexp finetune` from end to end.
mod finetune;
/// Families that are computed without gradients.
mod frozen;
/// The backward pass of the whole classifier against finite differences.
mod gradients;
/// New heads: their variance, their initial loss, and what a probe learns.
mod heads;
/// `--model ORG/NAME`.
mod hub;
/// Images in folders: `xexp finetune`, `predict` and `evaluate` on them.
mod images;
/// `xexp inspect`.
mod inspect;
/// `xexp list`, `run`, `check` and `report`.
mod laboratory;
/// Rates by depth, layers that stay, wait or begin anew, and averages.
mod layers;
/// `--strategy lora` and `xexp merge`.
mod lora;
/// Image networks of other sizes than their configuration's, and batch norms that stay.
mod networks;
/// The laboratory against independent simulations.
mod oracle;
/// Completions and manual pages.
mod pages;
/// `--plan`: what a run will take.
mod plan;
/// `--precision bf16`.
mod precision;
/// Losses without labels: hidden words, imitation, and a student that begins as its teacher.
mod pretraining;
/// How the tests drive the binary.
mod program;
/// `xexp finetune --push`.
mod push;
/// Runs that are stopped and go on.
mod resume;
/// `xexp predict` and `xexp evaluate` on a saved model.
mod saved_model;
/// `--seeds`: one recipe, several runs.
mod seeds;
/// `xexp serve`.
mod serve;
/// A tiny model, its data, and how runs on them are made.
mod support;
/// Values, several labels, and how classes count.
mod tasks;
/// The image encoder.
mod vision;
