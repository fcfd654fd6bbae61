//! Servers that judge pictures.

mod endpoint;
mod failure;
mod key;
mod picture;

pub use endpoint::can_encrypt;
pub(crate) use endpoint::{Endpoint, EndpointOptions, check_address};
pub use failure::WebFailure;
pub(crate) use picture::{data_url, encoded};
