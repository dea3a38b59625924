//! A student that begins with its teacher's weights.

use crate::{Error, MAP, Result, Student, Teacher};
use xexp_backbones::{Params, Weight};
use xexp_init::Layer;
use xexp_kernels::sum_of_squares;

/// Which of a teacher's weights a student begins with.
pub struct Loan<'a> {
    /// The teacher's block that each of the student's begins as.
    pub blocks: &'a [usize],
    /// The teacher's id of each of the student's words.
    pub words: &'a [u32],
    /// Names inside a block of the two feed-forward matrices.
    pub feed_forward: (&'a str, &'a str),
}

impl Student {
    /// Begins as the teacher, by name: blocks and words as the loan says, positions as the first ones. Where the
    /// student's feed-forward layers are narrower, they take the units of the largest weight, `‖w_in‖·‖w_out‖`, in
    /// their order. The pooler begins as the identity, so that the features are near the first token's hidden state.
    ///
    /// Source: the initialization from every second layer of Sanh et al. 2019 (DistilBERT), §3; magnitude pruning of
    /// whole units.
    ///
    /// # Errors
    /// [`Error::Shape`] for a weight that is of another shape than the teacher's.
    pub fn begin_as(&self, teacher: &Teacher, loan: &Loan<'_>) -> Result<()> {
        for (id, weight) in self.params.iter().filter(|(_, weight)| !weight.name.starts_with(MAP)) {
            if let (true, Layer::Linear { input, output }) = (weight.name.contains("pooler"), &weight.layer) {
                let identity = (0..input * output).map(|i| if i / input == i % input { 1.0 } else { 0.0 });
                self.params.set(id, &identity.collect::<Vec<f32>>())?;
            } else if !weight.name.contains("pooler") {
                self.params.set(id, &loan.values(&teacher.params, weight)?)?;
            }
        }
        Ok(())
    }
}

impl Loan<'_> {
    /// What one of the student's weights begins as.
    fn values(&self, teacher: &Params, weight: &Weight) -> Result<Vec<f32>> {
        let shape = weight.layer.shape();
        let refused =
            |found: Vec<usize>| Error::Shape { name: weight.name.clone(), expected: shape.clone(), found };
        let name = self.renamed(&weight.name);
        let (id, lent) = teacher.find(&name).ok_or_else(|| refused(vec![]))?;
        let (values, theirs) = (teacher.values(id)?, lent.layer.shape());
        let rows = |rows: &[usize]| -> Vec<f32> {
            let width = values.len() / theirs[0];
            rows.iter().flat_map(|row| values[row * width..(row + 1) * width].to_vec()).collect()
        };
        if weight.name.ends_with("word_embeddings.weight") {
            let words: Vec<usize> = self.words.iter().map(|&word| word as usize).collect();
            let fit = shape[1..] == theirs[1..] && words.iter().all(|&word| word < theirs[0]);
            return if fit { Ok(rows(&words)) } else { Err(refused(theirs)) };
        }
        if shape == theirs {
            return Ok(values.to_vec());
        }
        let (up, down) = self.feed_forward;
        match (&weight.layer, self.units(teacher, &name)?) {
            // The tables of positions and segments give their first rows.
            (Layer::Embedding { count, .. }, _) if shape[1..] == theirs[1..] && *count <= theirs[0] => {
                Ok(rows(&(0..*count).collect::<Vec<_>>()))
            }
            (_, Some(mut units)) if name.contains(up) && shape[0] <= units.len() => {
                units.truncate(shape[0]);
                units.sort_unstable();
                Ok(rows(&units))
            }
            (Layer::Linear { input, .. }, Some(mut units))
                if name.contains(down) && *input <= units.len() =>
            {
                units.truncate(*input);
                units.sort_unstable();
                let columns = |row: &[f32]| units.iter().map(|&unit| row[unit]).collect::<Vec<_>>();
                Ok(values.chunks_exact(theirs[1]).flat_map(columns).collect())
            }
            _ => Err(refused(theirs)),
        }
    }

    /// The units of the feed-forward layer that a teacher's weight belongs to, the heaviest first; `None` for a weight
    /// of another part.
    fn units(&self, teacher: &Params, name: &str) -> Result<Option<Vec<usize>>> {
        let (up, down) = self.feed_forward;
        let Some(stem) = [up, down].iter().find_map(|part| {
            let (stem, rest) = name.rsplit_once(part)?;
            (rest == ".weight" || rest == ".bias").then_some(stem)
        }) else {
            return Ok(None);
        };
        let find = |part: &str| teacher.find(&format!("{stem}{part}.weight"));
        let (Some((w_in, layer)), Some((w_out, _))) = (find(up), find(down)) else { return Ok(None) };
        let (w_in, w_out) = (teacher.values(w_in)?, teacher.values(w_out)?);
        let (hidden, width) = (layer.layer.shape()[0], layer.layer.shape()[1]);
        let weight = |unit: usize| {
            let column: Vec<f32> = w_out.iter().skip(unit).step_by(hidden).copied().collect();
            sum_of_squares(&w_in[unit * width..(unit + 1) * width]) * sum_of_squares(&column)
        };
        let mut ranked: Vec<(f64, usize)> = (0..hidden).map(|unit| (weight(unit), unit)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Ok(Some(ranked.into_iter().map(|(_, unit)| unit).collect()))
    }

    /// A weight's name in the teacher: that of block `blocks[i]` for one of block `i`.
    fn renamed(&self, name: &str) -> String {
        let renamed = || {
            let (stem, rest) = name.split_once(".layer.")?;
            let (block, rest) = rest.split_once('.')?;
            let from = self.blocks.get(block.parse::<usize>().ok()?)?;
            Some(format!("{stem}.layer.{from}.{rest}"))
        };
        renamed().unwrap_or_else(|| name.to_string())
    }
}
