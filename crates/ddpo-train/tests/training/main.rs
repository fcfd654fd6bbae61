//! The trainer on a toy policy: what an epoch must do, and what a resumed run must be.

mod common;
mod ddpo;
mod resume;
