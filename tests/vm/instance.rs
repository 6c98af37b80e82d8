//! An EC2 instance: a machine with the agent's units and configuration, the metadata
//! service at its own address, and an EC2 API that checks who asks.

use crate::rig::machine::Machine;
use crate::rig::repository;
use crate::util::metadata::Service;
use crate::util::moto::{Keys, Moto};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// How long a boot of the agent may take in an emulated machine.
pub(crate) const BOOT: Duration = Duration::from_secs(240);

/// The units as they are shipped.
const UNITS: &[&str] =
    &["agent-boot.service", "agent-login.service", "agent-tags.service", "agent-complete.target"];

/// The image of the tests is one machine's from the start; the guest duties have a test of their own.
pub(crate) const NO_DUTIES: &str = "[guest]\nmachine_id = false\nhostname = false\nhost_keys = false\n\
                                    login = false\nroot_disk = false\n";

/// Where that is written.
pub(crate) const DUTIES: &str = "/etc/agent/conf.d/10-guest.toml";

/// What the tests' own image looks at when it starts.
const DEVICES: &str = "/etc/systemd/system/systemd-udev-trigger.service.d/rig.conf";

/// What holds in every test: nothing is written to a real service, and nothing waits long.
const CONFIG: &str = "[ec2]\nenabled = true\nrequest_deadline = \"10s\"\ndeadline = \"60s\"\n\
                      api_deadline = \"20s\"\ntags_deadline = \"60s\"\n";

pub(crate) struct Instance {
    pub(crate) machine: Machine,
    pub(crate) service: Service,
    pub(crate) moto: Moto,
    pub(crate) id: String,
    pub(crate) api: String,
}

impl Instance {
    /// Off, with `more` configuration and this user-data.
    #[track_caller]
    pub(crate) fn new(more: &str, user_data: &str) -> Self {
        Self::of(Machine::new(), more, user_data)
    }

    /// The same on a machine that was made before.
    #[track_caller]
    pub(crate) fn of(machine: Machine, more: &str, user_data: &str) -> Self {
        let mut instance = Self::without_units(machine, user_data);
        for unit in UNITS {
            let text = fs::read(repository().join("systemd").join(unit)).unwrap();
            instance.machine.put(&format!("/etc/systemd/system/{unit}"), text, 0o644);
        }
        instance.machine.put(DUTIES, NO_DUTIES, 0o644);
        instance.configure(more);
        instance.enable();
        instance
    }

    /// A launch of an image that has the agent's units and configuration already.
    #[track_caller]
    pub(crate) fn as_baked(machine: Machine, user_data: &str) -> Self {
        let mut instance = Self::without_units(machine, user_data);
        // And for half a minute at devices that nothing here has use for.
        let devices = fs::read(repository().join(format!("tests/vm/guest{DEVICES}"))).unwrap();
        instance.machine.put(DEVICES, devices, 0o644);
        instance.machine.link("/etc/systemd/system/serial-getty@ttyS0.service", "/dev/null");
        // An emulated processor looks for an RSA key for a minute, or two.
        let text = format!(
            "{CONFIG}api = \"{}\"\n[guest]\nhost_key_types = [\"ed25519\", \"ecdsa\"]\n",
            instance.api
        );
        instance.machine.put("/etc/agent/conf.d/90-rig.toml", text, 0o644);
        instance
    }

    /// One where nothing starts the agent, and it is not configured.
    #[track_caller]
    pub(crate) fn without_units(mut machine: Machine, user_data: &str) -> Self {
        let service = Service::start(&[]);
        let moto = Moto::start();
        let id = moto.instance();
        let port = |url: &str| url.rsplit(':').next().unwrap().parse().unwrap();
        machine.network().metadata(port(&service.url()));
        let api = machine.network().reach(port(&moto.url()));
        let mut instance = Self { machine, service, moto, id, api };
        instance.service.change(json!({"region": crate::util::moto::REGION}));
        instance.becomes(&instance.id.clone());
        instance.role("allowed", &["ec2:CreateTags"]);
        instance.moto.checks(true);
        instance.user_data(user_data);
        instance
    }

    fn enable(&mut self) {
        for unit in ["agent-boot.service", "agent-complete.target"] {
            self.machine.enable(unit, "multi-user.target");
        }
        self.machine.enable("agent-login.service", "agent-boot.service");
    }

    /// Another configuration.
    #[track_caller]
    pub(crate) fn configure(&mut self, more: &str) {
        let text = format!("{CONFIG}api = \"{}\"\n{more}", self.api);
        self.machine.put("/etc/agent/agent.toml", text, 0o644);
    }

    /// It is this instance, from the next start on.
    #[track_caller]
    pub(crate) fn becomes(&mut self, id: &str) {
        id.clone_into(&mut self.id);
        self.machine.instance(id);
        self.service.change(json!({"instance_id": id}));
    }

    /// It is a new instance, from the next start on.
    #[track_caller]
    pub(crate) fn becomes_another(&mut self) {
        self.moto.checks(false);
        let other = self.moto.instance();
        self.moto.checks(true);
        self.becomes(&other);
    }

    /// Its profile is a role that may do this.
    #[track_caller]
    pub(crate) fn role(&self, name: &str, actions: &[&str]) {
        self.moto.checks(false);
        let Keys { id, secret, token } = self.moto.role(name, actions);
        self.moto.checks(true);
        let role =
            json!({"name": name, "AccessKeyId": id, "SecretAccessKey": secret, "Token": token});
        self.service.change(json!({"role": role}));
    }

    #[track_caller]
    pub(crate) fn user_data(&self, user_data: impl AsRef<[u8]>) {
        self.service.change(json!({"user_data_base64": STANDARD.encode(user_data)}));
    }

    /// Switches it on and waits for the end of the boot and of the tags; the status.
    #[track_caller]
    pub(crate) fn start(&mut self) -> Value {
        self.machine.start();
        self.machine
            .wait_for("systemctl is-system-running | grep -qvE 'starting|initializing'", BOOT);
        self.settled()
    }

    /// Runs the boot's unit again, as a start of the machine would; the status.
    #[track_caller]
    pub(crate) fn boot(&mut self) -> Value {
        self.machine.run_within("systemctl restart agent-boot.service", BOOT);
        self.settled()
    }

    #[track_caller]
    pub(crate) fn settled(&mut self) -> Value {
        let ended = "systemctl show -P ActiveState agent-boot agent-tags | grep -qv activating";
        let ended = format!("! systemctl list-jobs --no-legend | grep -q agent && {ended}");
        self.machine.wait_for(&ended, BOOT);
        self.machine.run("agent status --json").json()
    }

    /// The tags of the instance as the API tells them.
    #[track_caller]
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        self.moto.tags(&self.id)
    }

    /// What a person is told.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        self.machine.run("agent status").stdout
    }
}

/// The code of the first problem of a phase.
#[track_caller]
pub(crate) fn problem<'a>(status: &'a Value, phase: &str) -> &'a str {
    let phases = status["phases"].as_array().unwrap();
    let found = phases.iter().find(|p| p["name"] == phase);
    found.and_then(|p| p["problems"][0]["code"].as_str()).unwrap_or_else(|| panic!("{status:#}"))
}

/// A stub as `agent-stub render` makes it, with these options.
#[track_caller]
pub(crate) fn rendered(script: &str, options: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let at = home.path().join(".config/mint");
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("user-bootstrap.sh"), script).unwrap();
    let mut stub = std::process::Command::new(env!("CARGO_BIN_EXE_agent-stub"));
    let made = stub.arg("render").args(options).env("HOME", home.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap()
}
