//! Lending a candle tensor's storage to a kernel.

use crate::{Error, Result};
use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, StorageRef, Tensor};
use std::cell::RefCell;
use std::ops::Deref;

/// A tensor's values, readable as a slice while this guard lives.
pub struct Values<'a> {
    storage: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl Deref for Values<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            // `values` has checked the storage, and a tensor's storage keeps its kind.
            _ => &[],
        }
    }
}

/// The values of a contiguous `f32` tensor on the CPU, without a copy.
///
/// # Errors
/// [`Error::Storage`] for another type or device, [`Error::Strided`] for a strided view.
pub fn values(tensor: &Tensor) -> Result<Values<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::Strided { shape: layout.dims().to_vec() });
    };
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        return Err(wrong_storage(tensor));
    }
    Ok(Values { storage, start, end })
}

/// Runs `change` on the values of a contiguous `f32` tensor on the CPU, in place.
///
/// # Errors
/// As [`values`].
pub fn update<R>(tensor: &Tensor, change: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    if tensor.dtype() != candle_core::DType::F32 || !tensor.device().is_cpu() {
        return Err(wrong_storage(tensor));
    }
    if !tensor.is_contiguous() {
        return Err(Error::Strided { shape: tensor.dims().to_vec() });
    }
    let op = Update { change: RefCell::new(Some(change)), result: RefCell::new(None) };
    tensor.inplace_op1(&op)?;
    op.result.into_inner().ok_or_else(|| wrong_storage(tensor))
}

fn wrong_storage(tensor: &Tensor) -> Error {
    Error::Storage { found: tensor.dtype().as_str().to_string(), device: format!("{:?}", tensor.device()) }
}

struct Update<F, R> {
    change: RefCell<Option<F>>,
    result: RefCell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Update<F, R> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let change = self.change.borrow_mut().take();
        if let (CpuStorage::F32(values), Some((start, end)), Some(change)) =
            (storage, layout.contiguous_offsets(), change)
        {
            *self.result.borrow_mut() = Some(change(&mut values[start..end]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn values_and_update_see_the_same_storage() {
        let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        update(&tensor, |v| v[4] = 2.5).unwrap();
        assert_eq!(&*values(&tensor).unwrap(), [0.0, 0.0, 0.0, 0.0, 2.5, 0.0]);
    }

    #[test]
    fn strided_and_foreign_tensors_are_refused() {
        let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(values(&tensor.t().unwrap()), Err(Error::Strided { .. })));
        let other = tensor.to_dtype(DType::F64).unwrap();
        assert!(matches!(values(&other), Err(Error::Storage { .. })));
        assert!(matches!(update(&other, |_| ()), Err(Error::Storage { .. })));
    }
}
