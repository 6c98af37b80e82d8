//! The stand-in for EC2's metadata service, `tests/util/metadata-service`: started for one
//! test, told its faults, ended with the test.

use super::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use ureq::Agent;

/// A running service.
pub(crate) struct Service {
    child: Child,
    where_: Value,
    agent: Agent,
}

impl Service {
    /// Starts one on a free port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/util/metadata-service");
        let mut command = Command::new(program);
        // It ends with its standard input, also where the test is killed.
        command.arg("--until-eof").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let where_ = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Self { child, where_, agent: client() }
    }

    /// Its URL, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        self.where_["url"].as_str().unwrap().to_owned()
    }

    /// Its port on the loopback.
    pub(crate) fn port(&self) -> u16 {
        self.where_["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap()
    }

    /// Sets the faults, instead of those before.
    #[track_caller]
    pub(crate) fn faults(&self, rules: Value) {
        self.tell("/faults", &rules);
    }

    /// Changes the instance.
    #[track_caller]
    pub(crate) fn change(&self, told: Value) {
        self.tell("/config", &told);
    }

    /// Refuses, from now on, the tokens given out so far.
    #[track_caller]
    pub(crate) fn expire_tokens(&self) {
        self.tell("/expire-tokens", &Value::Null);
    }

    /// Every request so far.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<Value> {
        let mut answer = self.agent.get(self.control("/log")).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// `METHOD PATH STATUS` of every request so far; the status is `-` where there was none.
    #[track_caller]
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let status = |v: &Value| v.as_u64().map_or("-".into(), |s| s.to_string());
        let line = |r: &Value| {
            format!("{} {} {}", text(&r["method"]), text(&r["path"]), status(&r["status"]))
        };
        self.log().iter().map(line).collect()
    }

    /// How many requests began so.
    #[track_caller]
    pub(crate) fn count(&self, beginning: &str) -> usize {
        self.requests().iter().filter(|r| r.starts_with(beginning)).count()
    }

    fn control(&self, path: &str) -> String {
        format!("{}{path}", self.where_["control_url"].as_str().unwrap())
    }

    #[track_caller]
    fn tell(&self, path: &str, told: &Value) {
        let answer = self.agent.post(self.control(path)).send(told.to_string()).unwrap();
        assert_eq!(answer.status(), 200, "{path} {told}");
    }
}

/// A client that goes through no proxy and takes any status for an answer.
pub(crate) fn client() -> Agent {
    let config = Agent::config_builder().proxy(None).http_status_as_error(false);
    Agent::new_with_config(config.timeout_global(Some(PATIENCE)).build())
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
