//! Differentiable fused operations and pooled buffers.
