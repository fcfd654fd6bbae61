//! Data on its way from sampling to training. Each stage consumes the last, so none can be skipped or used twice.

pub(crate) mod minibatch;
pub(crate) mod rollout;
pub(crate) mod sampling;
pub(crate) mod scored;
pub(crate) mod training_set;
