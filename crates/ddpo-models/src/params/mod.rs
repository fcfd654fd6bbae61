//! Named parameters: what a model needs ([`ParamSpec`]), and the values it is given ([`Weights`]).

mod init;
mod layout;
mod spec;
mod weights;

pub use spec::{Init, Layout, ParamSpec, Specs};
pub(crate) use spec::{ParamId, Scope};
pub use weights::Weights;
pub(crate) use weights::vector;
