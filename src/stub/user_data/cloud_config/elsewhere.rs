//! What to do in place of a key that is not read.

/// Keys with the same way out.
const WAYS: &[(&[&str], &str)] = &[
    (
        &["users", "user", "groups"],
        "the login user is the image's; make others by runcmd (useradd) or in a script",
    ),
    (
        &["bootcmd"],
        "send it as a text/cloud-boothook part with a #! line: it is run early, at every boot",
    ),
    (
        &[
            "cloud_init_modules",
            "cloud_config_modules",
            "cloud_final_modules",
            "scripts-user",
            "unverified_modules",
        ],
        "there are no modules to choose from; what shall run at every boot is a text/cloud-boothook part, or a systemd unit by write_files",
    ),
    (
        &["package_reboot_if_required", "apt_reboot_if_required", "power_state"],
        "nothing reboots the machine by itself; do it at the end of the script",
    ),
    (
        &["apt_update", "repo_update", "apt_upgrade", "repo_upgrade"],
        "write package_update or package_upgrade",
    ),
    (
        &[
            "apt",
            "apt_sources",
            "apt_mirror",
            "apt_proxy",
            "yum_repos",
            "zypper",
            "apk_repos",
            "ca_certs",
            "ca-certs",
        ],
        "write the manager's own files by write_files, which come before packages",
    ),
    (&["snap", "snappy", "flatpak"], "install them by runcmd"),
    (
        &["mounts", "mount_default_fields", "fs_setup", "disk_setup", "swap"],
        "declare volumes in the agent's configuration ([[volume]]), or mount by runcmd",
    ),
    (
        &["growpart", "resize_rootfs"],
        "leave it out: the agent's configuration says whether the root file system grows",
    ),
    (
        &["timezone", "locale", "keyboard", "ntp"],
        "set it in the image, or by runcmd (timedatectl, localectl)",
    ),
    (
        &[
            "password",
            "chpasswd",
            "ssh_pwauth",
            "disable_root",
            "disable_root_opts",
            "ssh_import_id",
        ],
        "log in by key: ssh_authorized_keys, or the key pair of the launch",
    ),
    (
        &["ssh_keys", "ssh_deletekeys", "ssh_genkeytypes", "ssh", "no_ssh_fingerprints"],
        "host keys are made on the machine; none is taken from user-data, which others can read",
    ),
    (
        &[
            "manage_etc_hosts",
            "manage_resolv_conf",
            "resolv_conf",
            "network",
            "random_seed",
            "rsyslog",
        ],
        "write the file by write_files",
    ),
    (
        &["final_message", "output", "phone_home", "reporting", "debug", "vendor_data"],
        "leave it out; `agent status` tells how the boot ended, and the tags tell EC2",
    ),
    (
        &[
            "chef",
            "puppet",
            "salt_minion",
            "ansible",
            "landscape",
            "mcollective",
            "ubuntu_advantage",
            "ubuntu_pro",
            "lxd",
            "wireguard",
            "rh_subscription",
            "spacewalk",
            "fan",
            "autoinstall",
        ],
        "install it by packages, and set it up by write_files and runcmd",
    ),
    (
        &["merge_how", "merge_type", "#include"],
        "nothing is merged: write the cloud-config as it shall be",
    ),
    (
        &["jinja", "datasource", "datasource_list", "system_info"],
        "that is cloud-init's own configuration: leave it out",
    ),
];

/// What to do where `key` isn't read.
pub(super) fn instead(key: &str) -> &'static str {
    WAYS.iter().find(|(keys, _)| keys.contains(&key)).map_or(
        "leave it out, and do what it does by write_files, runcmd or a script; docs/user-data.md lists the keys",
        |(_, way)| way,
    )
}
