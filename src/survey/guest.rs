//! Who else is a guest agent here: is there a cloud-init, and is it enabled?

use std::fs;
use std::path::Path;

/// Is a cloud-init on the machine whose root directory is `root`, and enabled? Its generator
/// leaves its verdict on this boot in `/run/cloud-init`; before that, and where systemd
/// runs none, its two switches are read (cloud-init's documentation, "Disable cloud-init").
pub fn cloud_init(root: &Path) -> bool {
    let there = |path: &str| root.join(path).symlink_metadata().is_ok();
    if !there("usr/bin/cloud-init") {
        return false;
    }
    if there("run/cloud-init/disabled") {
        return false;
    }
    if there("run/cloud-init/enabled") {
        return true;
    }
    let command_line = fs::read_to_string(root.join("proc/cmdline")).unwrap_or_default();
    let by_kernel = command_line.split_ascii_whitespace().any(|w| w == "cloud-init=disabled");
    !by_kernel && !there("etc/cloud/cloud-init.disabled")
}

/// The instance on which a cloud-init has done its duties before, by its own record.
pub fn cloud_init_served(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("var/lib/cloud/data/instance-id")).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_init_counts_where_it_is_there_and_nobody_has_switched_it_off() {
        let put = |root: &Path, path: &str, text: &str| {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        };
        let with = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            files.iter().for_each(|(path, text)| put(root.path(), path, text));
            cloud_init(root.path())
        };
        let program = ("usr/bin/cloud-init", "");
        assert!(!with(&[]));
        assert!(!with(&[("run/cloud-init/enabled", "")]), "what is left of one is none");
        assert!(with(&[program]));
        assert!(!with(&[program, ("etc/cloud/cloud-init.disabled", "")]));
        assert!(!with(&[program, ("proc/cmdline", "quiet cloud-init=disabled ro\n")]));
        assert!(!with(&[program, ("run/cloud-init/disabled", "")]));
        let overruled = ("etc/cloud/cloud-init.disabled", "");
        assert!(with(&[program, overruled, ("run/cloud-init/enabled", "")]), "its own verdict");
    }

    #[test]
    fn its_last_instance_is_known_where_it_left_a_record() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(cloud_init_served(root.path()), None);
        fs::create_dir_all(root.path().join("var/lib/cloud/data")).unwrap();
        fs::write(root.path().join("var/lib/cloud/data/instance-id"), "i-0123\n").unwrap();
        assert_eq!(cloud_init_served(root.path()).as_deref(), Some("i-0123"));
    }
}
