//! What the host hands to the guest, and back: the user-data of a machine, the user script's
//! encoding. Shared by both programs and free of Linux.
//!
//! A program that launches machines calls [`user_script`] and [`render()`]; the guest calls
//! [`user_data::parse`].

mod budget;
pub mod cli;
mod home;
mod parameters;
pub mod payload;
pub mod public_key;
mod render;
pub mod shebang;
mod shell;
mod template;
pub mod told;
pub mod user_data;

pub use budget::{Budget, Encoding, LIMIT, ScriptSizes};
pub use home::{USER_SCRIPT, UserScriptError, user_script};
pub(crate) use parameters::is_resource_id;
pub use parameters::{Fetch, NAMES, Name, ParameterError, Parameters};
pub use render::{Launch, RenderError, UserData, budget, render};
pub use shell::quote;
pub use template::{PROTOCOL, Template};
