//! What people and programs see of a boot. Each view is made from the [`Status`]
//! alone, so no two of them disagree.
//!
//! [`Status`]: crate::journal::Status

#[cfg(target_os = "linux")]
pub mod idle;
pub mod plain;
pub mod status;
pub mod timeline;

#[cfg(test)]
mod tests;
