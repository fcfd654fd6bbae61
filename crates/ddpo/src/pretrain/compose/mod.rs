//! Pictures composed anew at every draw: a cut-out of some animal or thing on a ground, in a part of them a second thing beside
//! it, and a caption that says a part of what is there.

mod caption;
mod cutout;
mod drawings;
mod ground;
mod scene;

pub(crate) use drawings::are_cutouts;
pub use drawings::{Drawings, Split};
pub use ground::Ground;
pub use scene::{Composition, Compositor, CompositorConfig};
