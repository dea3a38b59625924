//! The scores as people read them.

use xexp_report::{Cell, Table};

use super::{Interval, Result, Scores};

/// Digits after the point of a score.
const DIGITS: u8 = 4;

impl Scores {
    /// A row a score: `metric`, `value`, and the `95 % interval` where there is one.
    ///
    /// # Errors
    /// None in practice: a row would have to be of the wrong width.
    pub fn table(&self) -> Result<Table> {
        let mut table = Table::new(["metric", "value", "95 % interval"]);
        let between = |interval: &Interval| {
            Cell::from(format!(
                "{:.*} to {:.*}",
                usize::from(DIGITS),
                interval.low,
                usize::from(DIGITS),
                interval.high
            ))
        };
        for (name, value, interval) in [
            ("accuracy", self.accuracy, Some(&self.intervals.accuracy)),
            ("macro F1", self.macro_f1, Some(&self.intervals.macro_f1)),
            ("micro F1", self.micro_f1, None),
            ("MCC", self.mcc, Some(&self.intervals.mcc)),
            ("loss", self.loss, None),
            ("ECE", self.ece, None),
        ] {
            table.push([
                name.into(),
                Cell::decimals(value, DIGITS),
                interval.map_or(Cell::Empty, between),
            ])?;
        }
        if let (Some(f1), Some(class)) = (self.f1_positive, &self.positive_class) {
            let name = format!("F1 of {class}");
            table.push([name.into(), Cell::decimals(f1, DIGITS), Cell::Empty])?;
        }
        if let Some(out) = &self.out_of_scope {
            for (name, value) in [
                (format!("recall of {}", out.class), Some(out.recall)),
                (format!("precision of {}", out.class), Some(out.precision)),
                ("accuracy in scope".to_string(), out.in_scope_accuracy),
                ("AUROC, in scope or not".to_string(), out.auroc),
            ] {
                let value = value.map_or(Cell::Empty, |value| Cell::decimals(value, DIGITS));
                table.push([name.into(), value, Cell::Empty])?;
            }
        }
        Ok(table)
    }

    /// A row a class: `class`, `precision`, `recall`, `F1`, `examples`.
    ///
    /// # Errors
    /// None in practice: a row would have to be of the wrong width.
    pub fn class_table(&self) -> Result<Table> {
        let mut table = Table::new(["class", "precision", "recall", "F1", "examples"]);
        for class in &self.per_class {
            let [precision, recall, f1] =
                [class.precision, class.recall, class.f1].map(|score| Cell::decimals(score, DIGITS));
            table.push([class.label.as_str().into(), precision, recall, f1, class.support.into()])?;
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::{Logits, Scores};

    #[test]
    fn the_tables_hold_the_scores() {
        let logits = Logits::new(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0], 2).unwrap();
        let names = ["no".to_owned(), "yes".to_owned()];
        let scores = Scores::measure(&logits, &[0, 1, 1], &names, &mut |_| 0).unwrap();
        let markdown = scores.table().unwrap().markdown();
        assert!(markdown.contains("| accuracy | 0.6667 | 1.0000 to 1.0000 |"), "{markdown}");
        assert!(markdown.contains("| micro F1 | 0.6667 |  |"), "{markdown}");
        let classes = scores.class_table().unwrap().markdown();
        assert!(classes.contains("| yes | 1.0000 | 0.5000 | 0.6667 | 2 |"), "{classes}");
    }
}
