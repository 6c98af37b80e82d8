//! A mock of AWS's APIs, moto, started for one test and ended with it. It checks signatures
//! and permissions once it is told to, which makes it worth asking.
//!
//! `AGENT_TEST_MOTO` names the program, else `moto_server` on PATH is taken;
//! `tests/util/moto-env` makes one.

use super::PATIENCE;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use ureq::Agent;

/// Where everything is.
pub(crate) const REGION: &str = "eu-west-1";

/// A running mock.
pub(crate) struct Moto {
    child: Child,
    url: String,
    agent: Agent,
}

/// Temporary keys of a role.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
}

impl Moto {
    /// A mock that believes everybody, at a free port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(&[], "http")
    }

    /// The same by TLS, with a certificate that nobody knows.
    #[track_caller]
    pub(crate) fn start_tls() -> Self {
        Self::with(&["--ssl"], "https")
    }

    #[track_caller]
    fn with(arguments: &[&str], scheme: &str) -> Self {
        let program = std::env::var("AGENT_TEST_MOTO").unwrap_or_else(|_| "moto_server".into());
        // It ends with the thread that runs the test, also where that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", &program]);
        command.args(["-H", "127.0.0.1", "-p", "0"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, told) = mpsc::channel();
        let begin = format!(" * Running on {scheme}://127.0.0.1:");
        // Reads on to the end: a full pipe would stop the mock.
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some(port) = line.strip_prefix(&begin) {
                    _ = tell.send(port.trim().to_owned());
                }
            }
        });
        let Ok(port) = told.recv_timeout(PATIENCE) else {
            _ = child.kill();
            panic!("{command:?} does not say where it listens");
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            child,
            url: format!("{scheme}://127.0.0.1:{port}"),
            agent: Agent::new_with_config(config),
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on signatures and permissions are checked, or not.
    #[track_caller]
    pub(crate) fn checks(&self, on: bool) {
        let url = format!("{}/moto-api/reset-auth", self.url);
        // So many requests go unchecked.
        let answer =
            self.agent.post(url).content_type("text/plain").send(if on { "0" } else { "inf" });
        assert_eq!(answer.unwrap().status(), 200);
    }

    /// Calls an action while nothing is checked; its answer.
    #[track_caller]
    pub(crate) fn call(&self, service: &str, form: &[(&str, &str)]) -> String {
        // The mock finds the service by the scope of the signature, and looks no further.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=x/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=x"
        );
        let request =
            self.agent.post(format!("{}/", self.url)).header("Authorization", authorization);
        let mut answer = request.send_form(form.iter().copied()).unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), 200, "{form:?}: {body}");
        body
    }

    /// A new instance's id.
    #[track_caller]
    pub(crate) fn instance(&self) -> String {
        self.instance_with(&[])
    }

    /// The same, launched with more parameters.
    #[track_caller]
    pub(crate) fn instance_with(&self, more: &[(&str, &str)]) -> String {
        let image = ("ImageId", "ami-12345678");
        let form = [
            ("Action", "RunInstances"),
            ("Version", "2016-11-15"),
            image,
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        element(&self.call("ec2", &[&form[..], more].concat()), "instanceId")
    }

    /// Temporary keys of a role that may do these actions and nothing else.
    #[track_caller]
    pub(crate) fn role(&self, name: &str, actions: &[&str]) -> Keys {
        let iam = ("Version", "2010-05-08");
        let created = self.call(
            "iam",
            &[
                ("Action", "CreateRole"),
                iam,
                ("RoleName", name),
                ("AssumeRolePolicyDocument", "{}"),
            ],
        );
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
        });
        let policy = policy.to_string();
        let document = ("PolicyDocument", policy.as_str());
        self.call(
            "iam",
            &[
                ("Action", "PutRolePolicy"),
                iam,
                ("RoleName", name),
                ("PolicyName", "its"),
                document,
            ],
        );
        let arn = element(&created, "Arn");
        let assumed = self.call(
            "sts",
            &[
                ("Action", "AssumeRole"),
                ("Version", "2011-06-15"),
                ("RoleArn", &arn),
                ("RoleSessionName", "test"),
            ],
        );
        Keys {
            id: element(&assumed, "AccessKeyId"),
            secret: element(&assumed, "SecretAccessKey"),
            token: element(&assumed, "SessionToken"),
        }
    }

    /// The tags of an instance. Nothing is checked while it is asked, and all is afterwards.
    #[track_caller]
    pub(crate) fn tags(&self, instance: &str) -> BTreeMap<String, String> {
        self.checks(false);
        let said = self.call("ec2", &[("Action", "DescribeTags"), ("Version", "2016-11-15")]);
        self.checks(true);
        let items =
            said.split("<item>").skip(1).filter(|item| element(item, "resourceId") == instance);
        items.map(|item| (element(item, "key"), element(item, "value"))).collect()
    }

    /// The state of an instance, such as `running`. What is checked is as with [`Self::tags`].
    #[track_caller]
    pub(crate) fn state(&self, instance: &str) -> String {
        self.checks(false);
        let form = [
            ("Action", "DescribeInstances"),
            ("Version", "2016-11-15"),
            ("InstanceId.1", instance),
        ];
        let said = self.call("ec2", &form);
        self.checks(true);
        let state = said.split_once("<instanceState>").map_or("", |(_, rest)| rest);
        element(state, "name")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The text of the first element of this name; empty where it is `<name/>`.
#[track_caller]
fn element(xml: &str, name: &str) -> String {
    if xml.contains(&format!("<{name}/>")) {
        return String::new();
    }
    let text = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
    let (text, _) = text.unwrap_or_else(|| panic!("no {name} in {xml}"));
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
