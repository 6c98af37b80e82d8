//! What the operator wrote, checked: files and environment → [`Config`].
//!
//! The layers, lowest first: the defaults (the container contract), then
//! `/etc/agent/agent.toml`, then `/etc/agent/conf.d/*.toml` in the order of their
//! names, then variables `AGENT__SECTION__KEY`. A higher layer replaces single
//! keys; `[[volume]]` entries are matched by their target, `[[step]]` entries by their name. A key that nobody knows
//! is an error: it is a typing mistake more often than not, and a boot that
//! ignores it says "ready" about a machine that isn't what was asked for.
//!
//! Nothing here touches the kernel; the host-side program reads the same files.

mod error;
pub mod guest;
mod health;
mod idle;
mod layer;
mod resolved;
mod sources;
mod step;
mod storage;
mod user_data;
pub mod value;

pub use error::ConfigError;
pub use guest::{Guest, Wanted};
pub use health::Health;
pub use idle::{Idle, StopBy};
pub use layer::Layer;
pub use resolved::{
    Boot, Bootstrap, Config, Ec2, Init, Log, MountRequest, Tools, User, Volume, config_of,
};
pub use sources::{LoadError, Sources, check_text, load};
pub use step::{CommandLine, RunAt, Step, StepUser};
pub use storage::{Ebs, Efs, Home, is_device, is_file_system};
pub use user_data::UserData;
