//! `trainer_state.json`: the course of the run as transformers' `TrainerState` reads it.

use serde_json::{Map, Value, json};
use xexp_report::{Row, Valid};

use super::Args;
use super::results::Results;

/// The state after the last step. Field names are those of `transformers.TrainerState`, which refuses others.
pub fn of(args: &Args, results: &Results, history: &[Row]) -> Value {
    let best = history.iter().rev().find(|row| row.step == results.best_step);
    json!({
        "best_global_step": results.best_step,
        "best_metric": best.and_then(|row| row.valid).and_then(|valid| valid.macro_f1.or(valid.pearson)),
        "best_model_checkpoint": null,
        "epoch": history.last().map(|row| row.epoch),
        "global_step": results.steps,
        "is_local_process_zero": true,
        "is_world_process_zero": true,
        "log_history": history.iter().flat_map(logs).collect::<Vec<Value>>(),
        "logging_steps": args.training.course.log_every,
        "max_steps": results.steps,
        "num_train_epochs": results.epochs,
        "train_batch_size": args.shared.batch_size,
    })
}

/// A row as the Trainer logs it: what was trained, and what was evaluated, an object each.
fn logs(row: &Row) -> Vec<Value> {
    let object = |fields: Vec<(&str, Option<f64>)>| {
        let known = fields.into_iter().filter_map(|(name, value)| Some((name.to_string(), json!(value?))));
        let mut fields: Map<String, Value> = known.collect();
        fields.insert("epoch".to_string(), json!(row.epoch));
        fields.insert("step".to_string(), json!(row.step));
        Value::Object(fields)
    };
    let trained = row.loss.map(|loss| {
        object(vec![
            ("loss", Some(loss)),
            ("grad_norm", row.grad_norm),
            ("learning_rate", Some(row.lr)),
            ("head_learning_rate", Some(row.head_lr)),
        ])
    });
    let evaluated = row.valid.map(|valid| {
        let Valid { loss, accuracy, macro_f1, mcc, ece, micro_f1, pearson, spearman, rmse } = valid;
        object(vec![
            ("eval_loss", Some(loss)),
            ("eval_accuracy", accuracy),
            ("eval_macro_f1", macro_f1),
            ("eval_mcc", mcc),
            ("eval_ece", ece),
            ("eval_micro_f1", micro_f1),
            ("eval_pearson", pearson),
            ("eval_spearman", spearman),
            ("eval_rmse", rmse),
        ])
    });
    trained.into_iter().chain(evaluated).collect()
}
