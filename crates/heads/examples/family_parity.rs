//! How near every family is to transformers, as CSV on stdout: one training step on each of the tiny models of
//! `tests/families`, by the comparisons of that sweep.
//!
//! `cargo run --release -p xexp-heads --example family_parity`
#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code, reason = "it shares the modules of a test")]

#[path = "../tests/families/fixture.rs"]
mod fixture;
#[path = "../tests/families/rule.rs"]
mod rule;
#[path = "../tests/families/step.rs"]
mod step;

fn main() {
    println!("case,family,logits_max_abs,gradient_share_of_bound,tensors_with_gradient,statistics_max_abs");
    for fixture in fixture::Fixture::all() {
        let apart = step::apart(&fixture);
        assert!(apart.failures.is_empty(), "{}", apart.failures.join("\n"));
        let statistics = apart.statistics.map_or(String::new(), |apart| format!("{apart:.1e}"));
        println!(
            "{},{},{:.1e},{:.4},{},{statistics}",
            fixture.case,
            fixture.family().model_type,
            apart.logits,
            apart.gradients,
            apart.tensors
        );
    }
}
