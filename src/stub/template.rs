//! The text of a stub around what it carries.
//!
//! ```text
//! #!/bin/sh
//! # agent-user-data protocol=1 template=baked
//! {
//! export MINT_VM_NAME='…'
//! unset MINT_USER_BOOTSTRAP
//! MINT_USER_BOOTSTRAP='…'
//! …
//! exec /usr/local/bin/agent boot --user-data "$0"
//! }
//! # agent-user-data end
//! ```
//!
//! The braces make a shell read everything before it runs anything: one that is cut short
//! is a syntax error and not half a boot. The payload is unset first, because a variable
//! that came with the environment stays exported when it is assigned. Nothing is filled
//! into a text: a stub is put together, so no placeholder can be left.

use serde::Serialize;
use std::fmt;

/// The version of the agreement between a stub and the agent that reads it: the marker, the
/// variables, their encoding and the end. It grows when an older agent would misread a stub.
pub const PROTOCOL: u32 = 1;

/// How every stub begins.
pub(super) const SHEBANG: &str = "#!/bin/sh\n";

/// How a stub's second line begins.
pub(super) const MARKER: &str = "# agent-user-data ";

/// The same, up to the protocol's number.
pub(super) const MARKER_FIELDS: &str = "# agent-user-data protocol=";

/// A stub's last line; without it, the stub was cut short.
pub(super) const END: &str = "# agent-user-data end";

/// Where the agent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Template {
    /// The image has it.
    Baked,
    /// It is downloaded, and run only where its SHA-256 is the given one.
    Fetch,
}

impl Template {
    /// The name as it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Baked => "baked",
            Self::Fetch => "fetch",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Baked, Self::Fetch].into_iter().find(|t| t.word() == word)
    }

    /// What stands before the assignments.
    pub(super) fn head(self) -> String {
        format!("{SHEBANG}{MARKER_FIELDS}{PROTOCOL} template={}\n{{\n", self.word())
    }

    /// What stands behind them.
    pub(super) fn tail(self) -> String {
        let commands = match self {
            Self::Baked => include_str!("template/baked.sh"),
            Self::Fetch => include_str!("template/fetch.sh"),
        };
        format!("{commands}}}\n{END}\n")
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
