//! What `agent status --json` said.

use crate::engine::Output;
use serde_json::Value;

/// A status as a program sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    json: Value,
}

impl Seen {
    /// Reads it, and checks that the exit status tells the same.
    #[track_caller]
    pub(crate) fn of(output: &Output) -> Self {
        let json: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}{}", output.stdout, output.stderr));
        let seen = Self { json };
        let states = ["complete", "failed", "degraded", "running", "none"];
        let expected = states.iter().position(|s| *s == seen.state()).unwrap();
        assert_eq!(output.status, i32::try_from(expected).unwrap(), "{}", seen.state());
        seen
    }

    fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> &str {
        self.text("/state")
    }

    pub(crate) fn summary(&self) -> &str {
        self.text("/summary")
    }

    /// The boot's name.
    pub(crate) fn boot(&self) -> &str {
        self.text("/boot/id")
    }

    /// What "once an instance" is counted by.
    pub(crate) fn instance(&self) -> &str {
        self.text("/boot/instance")
    }

    /// The journal's path.
    pub(crate) fn journal(&self) -> &str {
        self.text("/journal")
    }

    /// Which attempt of the user script this boot made or knows of; 0 without one.
    pub(crate) fn attempt(&self) -> u64 {
        self.json.pointer("/script/attempt").and_then(Value::as_u64).unwrap_or(0)
    }

    fn phases(&self) -> impl Iterator<Item = &Value> {
        self.json["phases"].as_array().into_iter().flatten()
    }

    /// The state of one phase; empty where the plan has no such phase.
    pub(crate) fn phase(&self, name: &str) -> &str {
        let found = self.phases().find(|p| p["name"] == name);
        found.and_then(|p| p["state"].as_str()).unwrap_or_default()
    }

    /// All problems: code, message, evidence and next step.
    fn problems(&self) -> impl Iterator<Item = &Value> {
        self.phases().flat_map(|p| p["problems"].as_array().into_iter().flatten())
    }

    /// The codes of all problems, in order.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.problems().filter_map(|p| Some(p["code"].as_str()?.to_owned())).collect()
    }

    /// One problem's message and evidence in one text.
    #[track_caller]
    pub(crate) fn problem(&self, code: &str) -> String {
        let found = self.problems().find(|p| p["code"] == code);
        let found = found.unwrap_or_else(|| panic!("no {code} in {}", self.json));
        format!("{} {}", found["message"], found["evidence"])
    }

    /// All notes of all phases in one text.
    pub(crate) fn notes(&self) -> String {
        let all = self.phases().flat_map(|p| p["notes"].as_array().into_iter().flatten());
        all.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The versions of this tool that are there, in order: the first is the one in force.
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        let tools = self.json["tools"].as_array().into_iter().flatten();
        let there = tools.filter(|t| t["name"] == name && t["installed"] == true);
        there.filter_map(|t| Some(t["version"].as_str()?.to_owned())).collect()
    }

    /// Is this tool there?
    pub(crate) fn installed(&self, name: &str) -> bool {
        let tools = self.json["tools"].as_array().into_iter().flatten();
        tools.filter(|t| t["name"] == name).any(|t| t["installed"] == true)
    }
}

/// Keeps what a person sees of a failure: docs/operating.md shows these texts.
pub(crate) fn keep_sample(code: &str, text: &str) {
    let Some(dir) = std::env::var_os("AGENT_STATUS_SAMPLES") else { return };
    let dir = std::path::PathBuf::from(dir);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(format!("{code}.txt")), text).unwrap();
}
