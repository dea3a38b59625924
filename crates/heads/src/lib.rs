//! Classification heads on a pretrained backbone: initialization, calibration and the head plan.
