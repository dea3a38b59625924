//! Pretrained backbones: parameters, layers, families and Hugging Face checkpoints.
