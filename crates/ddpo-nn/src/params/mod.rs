//! Named parameters: what a model needs ([`ParamSpec`]), and the values it is given ([`Weights`]).

mod init;
mod layout;
mod load;
mod parts;
mod spec;
mod weights;

pub use parts::TensorPart;
pub use spec::{Init, Layout, ParamId, ParamScope, ParamSpec, Specs};
pub use weights::{LowRankTerm, Placement, Weights, leaf, read_back, vector};
