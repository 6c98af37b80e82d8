//! `packages`: a name, or a name and a version.

use super::super::super::told::Package;
use super::super::fault::{Fault, INVALID, UNSUPPORTED};
use super::super::yaml::{Key, Node, Value};
use super::{Faults, must, text};

/// The packages, in order.
pub(super) fn read(key: &Key, node: &Node, faults: &mut Faults) -> Vec<Package> {
    let mut all = Vec::new();
    for entry in faults.list(&key.name, node) {
        let package = match &entry.value {
            Value::List(pair) => versioned(&key.name, entry, pair),
            Value::Map(managers) => Err(of_a_manager(key, entry, managers)),
            Value::Text(_) => word(&key.name, entry).map(|name| Package { name, version: None }),
        };
        all.extend(faults.hold(package));
    }
    all
}

fn versioned(key: &str, node: &Node, pair: &[Node]) -> Result<Package, Fault> {
    match pair {
        [name] => Ok(Package { name: word(key, name)?, version: None }),
        [name, version] => {
            Ok(Package { name: word(key, name)?, version: Some(word(key, version)?) })
        }
        _ => Err(must(
            key,
            node,
            "a name, or [name, version]",
            "write `- git` or `- [git, \"1:2.39\"]`",
        )),
    }
}

/// `apt: [...]`, `snap: [...]`: the newer form.
fn of_a_manager(key: &Key, node: &Node, managers: &[(Key, Node)]) -> Fault {
    let (name, line) = managers.first().map_or(("", node.line), |(k, _)| (k.name.as_str(), k.line));
    let message = "packages of a named manager are not read";
    let next = match name {
        "snap" => "install snaps by runcmd: `snap install NAME`",
        _ => "write their names in `packages` itself: the distribution's own manager installs them",
    };
    Fault::new(UNSUPPORTED, message, next).at(line).key(format!("{}.{name}", key.name))
}

/// A name or a version, which becomes an argument of the package manager: no option, no file
/// of the network, no blank.
fn word(key: &str, node: &Node) -> Result<String, Fault> {
    let written = text(key, node)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-._:=~@^*/".contains(&b);
    let begins = written.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@');
    if begins && written.len() <= 256 && written.bytes().all(allowed) && !written.contains("//") {
        return Ok(written.to_owned());
    }
    let message = format!("an entry of `{key}` is no name of a package, or no version");
    let next = "write the name as the distribution has it; what comes from elsewhere is installed by runcmd";
    Err(Fault::new(INVALID, message, next).at(node.line).key(key))
}
