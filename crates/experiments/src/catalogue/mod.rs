//! One file an experiment.

pub(crate) mod demand;

// conv
pub mod checkerboard_energy;
pub mod conv_fan;
pub mod conv_padding_leak;
pub mod conv_stride_backward;
pub mod depthwise_fan;
pub mod planes;
pub mod pointwise_fan;
pub mod transposed_phase;
pub mod xavier_activation_drift;
// sums and recurrence
pub mod dropout_scaling;
pub mod fp16_range;
mod ginibre;
mod half_precision;
pub mod inception_sum;
mod relu_stream;
pub mod residual_doubling;
pub mod rnn_driven_variance;
pub mod rnn_spectral_radius;
pub mod rnn_tanh_contraction;
mod spread;
mod storage;
pub mod unet_concat;
// attention and norms
pub mod attn_entropy_law;
pub mod attn_logit_variance;
pub mod entropy_law;
pub mod ln_placement_forward;
pub mod ln_placement_gradient;
pub mod ln_placement_training;
pub mod mean_field;
pub mod stack;
// training
pub mod adam_epsilon_floor;
pub mod adam_vs_sgd_gain;
pub(crate) mod bundled_features;
mod last_layer;
pub mod lipschitz_max_lr;
mod small_net;
mod softmax_gradient;
pub mod spectrum;
mod tanh_layer;
mod teacher;
// heads
pub mod head_features_real;
pub mod head_init;
pub mod head_speed;
