//! The configuration: a file's text and variables, and the plan that is made of them.

use agent::config::{Config, Sources, check_text, load};
use agent::plan::{
    Facts, Instance, Payload, PayloadState, SandboxUser, Switch, Told, UserDataState, resolve,
};
use agent::stub::Parameters;
use agent::tools::places::Places;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file; behind a line `---` variables, `NAME=VALUE` a line.
pub fn run(data: &[u8]) {
    let (file, variables) = super::halves(data, "---");
    let Ok(text) = std::str::from_utf8(file) else { return };
    let environment = String::from_utf8_lossy(variables)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("AGENT__{name}"), value.to_owned()))
        .collect();
    let alone = check_text("file", text);
    if let Err(e) = &alone {
        assert!(!e.message.is_empty(), "an error without words");
        if let Some(place) = e.place {
            assert!(super::is_place(text, place), "{place:?} is no place of the file");
        }
    }
    let main = scratch();
    std::fs::write(main, text).expect("a scratch file");
    let sources = Sources { main: main.into(), environment, explicit: true, ..Sources::nothing() };
    match load(&sources) {
        Ok(config) => {
            assert!(alone.is_ok(), "a file with an error is loaded");
            planned(&config);
        }
        Err(e) => {
            assert!(!e.errors.is_empty(), "refused without an error");
            assert!(e.errors.iter().all(|e| !e.message.is_empty() && !e.origin.is_empty()));
            // The boot fails by these settings.
            planned(&e.usable);
        }
    }
}

fn scratch() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| format!("/dev/shm/agent-fuzz.{}.toml", std::process::id()).into())
}

fn planned(config: &Config) {
    static FACTS: OnceLock<[Facts; 2]> = OnceLock::new();
    for facts in FACTS.get_or_init(|| [facts(Switch::Change), facts(Switch::Same)]) {
        let plan = resolve(config, facts, false);
        assert!(!plan.phases.is_empty(), "a boot without a phase");
        assert!(plan.phases.iter().all(|p| p.name.word() != ""));
        assert!(!plan.to_string().is_empty());
        serde_json::to_vec(&plan).expect("a plan that can be printed");
    }
}

fn facts(switch: Switch) -> Facts {
    let home = Path::new("/home/iteron");
    Facts {
        user: SandboxUser {
            name: "iteron".into(),
            uid: 1000,
            gid: 1000,
            groups: vec![1000],
            home: home.into(),
            shell: "/bin/bash".into(),
        },
        switch,
        instance: Instance { id: "i-0123456789abcdef0".into(), source: "a test".into() },
        image_path: "/usr/bin:/bin".into(),
        mise: Some("/usr/local/bin/mise".into()),
        places: Places::of(home, |_| None),
        user_manifest: true,
        payload: Payload { source: "a test".into(), state: PayloadState::Absent },
        told: Told::default(),
        cloud_init: false,
        user_data: UserDataState::Unread,
        machine: None,
        found: BTreeMap::new(),
        user_data_file: None,
        launch: Parameters::default(),
        git_config_count: 0,
        notes: Vec::new(),
    }
}
