//! A reward of the user's own behind an address: the protocol of [`exec`](crate::exec) as JSON over POST.
//!
//! A request is
//!
//! ```json
//! {"protocol": 2, "id": 0, "images": ["iVBORw0KGgo…", "iVBORw0KGgo…"], "prompts": ["cat", "dog"]}
//! ```
//!
//! with the pictures as PNG files in Base64, and the answer `{"id": 0, "scores": [0.25, -1.5]}`, or the list alone.
//! `docs/reference/rewards.md` has every detail.

mod factory;
mod reward;

pub(crate) use factory::HttpFactory;
pub use factory::HttpOptions;
pub use reward::HttpReward;
