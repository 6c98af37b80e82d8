//! What people and programs see of a boot. Each view is made from the [`Status`]
//! alone, so no two of them disagree.
//!
//! [`Status`]: crate::journal::Status

pub mod plain;
pub mod status;
pub mod timeline;
