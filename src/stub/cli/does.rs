//! What a user-data would do, for people.

use super::super::parameters::Fetch;
use super::super::template::Template;
use super::super::user_data::{Kind, Parsed};
use crate::plan::Asked;

/// What stands behind the question mark of a presigned URL lets anybody read what it names.
pub(super) fn without_query(fetch: Fetch) -> Fetch {
    match fetch.url.split_once('?') {
        Some((url, _)) => Fetch { url: format!("{url}?…"), ..fetch },
        None => fetch,
    }
}

/// What it would do, a line a step.
pub(super) fn lines(parsed: &Parsed) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    match (parsed.kind, parsed.fetch.clone().map(without_query)) {
        (Kind::Empty, _) => {
            return vec!["nothing: the agent boots without parameters and without a script".into()];
        }
        (Kind::Stub { template: Template::Fetch, .. }, Some(fetch)) => {
            lines.push(format!(
                "run by a shell, it downloads {}, and runs it as `agent boot` if its SHA-256 is {}",
                fetch.url, fetch.sha256
            ));
        }
        (Kind::Stub { .. }, _) => {
            lines.push("run by a shell, it starts `/usr/local/bin/agent boot` of the image".into());
        }
        (Kind::ParentStub, fetch) => {
            if let Some(fetch) = fetch {
                lines.push(format!(
                    "run by a shell, it is about {} with SHA-256 {}",
                    fetch.url, fetch.sha256
                ));
            }
            lines.push(
                "the agent takes the parameters and the script and runs none of its shell".into(),
            );
        }
        (Kind::Script, _) => {
            lines.push("the agent takes the whole of it as the user's script".into());
        }
        (Kind::CloudConfig | Kind::Boothook | Kind::Multipart { .. }, _) => {}
    }
    let cloud = &parsed.cloud;
    let name = cloud.fqdn.as_ref().or(cloud.hostname.as_ref());
    lines.extend(name.map(|name| format!("the host name is {name}")));
    match cloud.ssh_authorized_keys.len() {
        0 => {}
        1 => lines.push("1 SSH key may log in as the login user".into()),
        n => lines.push(format!("{n} SSH keys may log in as the login user")),
    }
    let asked = Asked::from(&parsed.duties).lines();
    lines.extend(asked.into_iter().map(|line| format!("as root: {line}")));
    lines.push(match parsed.scripts.parts().len() {
        0 => "there is no user's script: the hook is skipped".into(),
        1 => "the user's script is run last, once on the instance".into(),
        n => format!("the user's {n} scripts are run last, in order, once on the instance"),
    });
    lines
}
