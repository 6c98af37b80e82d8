//! `[user_data]`: what the user-data of a machine may take.

use super::layer::UserDataLayer;
use super::value::Span;

/// `[user_data]`.
#[derive(Clone, Debug)]
pub struct UserData {
    /// Deadline of all that root does for the user-data: boothooks, files, packages, commands.
    pub deadline: Span,
}

impl Default for UserData {
    /// Packages of a whole desktop take minutes, and a mirror may be slow.
    fn default() -> Self {
        Self { deadline: Span::seconds(30 * 60) }
    }
}

impl UserDataLayer {
    /// With the defaults.
    pub(super) fn resolve(self) -> UserData {
        let default = UserData::default();
        UserData { deadline: self.deadline.unwrap_or(default.deadline) }
    }
}
