//! Named parameters: what a model needs ([`ParamSpec`]), and the values it is given ([`Weights`]).

mod init;
mod layout;
mod load;
mod spec;
mod weights;

pub(crate) use init::draw;
pub(crate) use layout::{to_file, to_kernel};
pub use spec::{Init, Layout, ParamSpec, Specs};
pub(crate) use spec::{ParamId, ParamScope};
pub use weights::Weights;
pub(crate) use weights::{Adapter, Value, leaf, read_back, vector};
