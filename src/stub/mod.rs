//! What the host hands to the guest, and back: the user script's encoding. Shared by
//! both programs and free of Linux.

pub mod cli;
mod parameters;
pub mod payload;

pub use parameters::Parameters;

