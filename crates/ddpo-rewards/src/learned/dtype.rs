//! In what format the products of a reward's network are.

use burn::tensor::{Device, FloatDType};
use ddpo_nn::Placement;
use serde::{Deserialize, Serialize};

/// The format of the weights of linear layers and convolutions, and of their products; all else is in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkDtype {
    /// 32 bits.
    #[default]
    F32,
    /// The upper 16 of them: half the memory, and fewer digits.
    Bf16,
}

impl NetworkDtype {
    /// Where a reward's weights are: rewards are computed by the processor.
    pub(super) fn placement(self) -> Placement {
        let products = match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        };
        Placement::new(&Device::flex(), products)
    }
}
