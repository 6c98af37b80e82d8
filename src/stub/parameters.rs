//! What the host tells the guest beside the script (the contract's `MINT_*` variables).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The launch's parameters. Absent ones were not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The EFS file system, such as `fs-0123456789abcdef0` (`MINT_EFS_ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub efs_id: Option<String>,
    /// The project volume: a device name such as `/dev/sdf`, or a volume id such as
    /// `vol-0123456789abcdef0` (`MINT_PROJECT_DEV`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_dev: Option<String>,
    /// The machine's name (`MINT_VM_NAME`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_name: Option<String>,
    /// Idle minutes after which the machine stops itself (`MINT_IDLE_TIMEOUT`; 60 if unset).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u32>,
}

impl Parameters {
    /// What the variables say that `get` looks up; one without the right form counts as absent.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            efs_id: get("MINT_EFS_ID"),
            project_dev: get("MINT_PROJECT_DEV"),
            vm_name: get("MINT_VM_NAME"),
            idle_timeout: get("MINT_IDLE_TIMEOUT").and_then(|minutes| minutes.parse().ok()),
        }
    }

    /// The variables that commands of the boot are given.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let idle = self.idle_timeout.map(|minutes| minutes.to_string());
        [
            ("MINT_EFS_ID", &self.efs_id),
            ("MINT_PROJECT_DEV", &self.project_dev),
            ("MINT_VM_NAME", &self.vm_name),
            ("MINT_IDLE_TIMEOUT", &idle),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
        .collect()
    }
}
