//! What the agent must know of the synced files' text: which files a lock names, and
//! where in a config tokens may stand. Pure.

use super::table::check_path;
use std::collections::BTreeSet;
use std::path::Path;

/// The files in a directory that a lock's `aube` entry names (the npm backend's own lock).
const SIDECAR_FILES: [&str; 2] = ["aube-lock.yaml", "package.json"];

/// The files that a lock names, as paths from the lock's own directory. They may lie below
/// `allowed` there and nowhere else.
///
/// # Errors
/// It is no TOML, or names a place outside `allowed`; the text says so.
pub fn sidecars(lock: &str, allowed: &str) -> Result<BTreeSet<String>, String> {
    let mut files = BTreeSet::new();
    for entry in entries(&table(lock)?) {
        let Some(path) = entry.get("aube").and_then(|aube| aube.get("path")) else { continue };
        let path = path.as_str().ok_or("its path of a tool's own lock is no text")?;
        check_path(path).map_err(|why| format!("it names {path:?}: {why}"))?;
        let below = Path::new(path).strip_prefix(allowed);
        if below.map_or(true, |rest| rest.as_os_str().is_empty()) {
            return Err(format!("it names {path:?}, which is not below {allowed}"));
        }
        files.extend(SIDECAR_FILES.map(|name| format!("{path}/{name}")));
    }
    Ok(files)
}

/// The entries of `[tools]` in a lock: a table each, or a list of them.
fn entries(lock: &toml::Table) -> impl Iterator<Item = &toml::Value> {
    let tools = lock.get("tools").and_then(toml::Value::as_table);
    tools.into_iter().flatten().flat_map(|(_, tool)| match tool {
        toml::Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    })
}

/// Checks that a text is TOML.
///
/// # Errors
/// It isn't; the text says where and why, without a word of the content.
pub fn table(text: &str) -> Result<toml::Table, String> {
    text.parse::<toml::Table>().map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {} is no TOML ({})", before.matches('\n').count() + 1, kind(e.message()))
    })
}

/// The parser's message without what it quotes of the text.
fn kind(message: &str) -> &str {
    message.split(['`', '\n']).next().unwrap_or_default().trim()
}

/// Where a config may hold tokens: variables (`[env]`, `[vars]`, `install_env`), what is run
/// (`hooks`, `postinstall`), and addresses with a name or password in them. Names of keys,
/// nothing of their values.
pub fn private(config: &toml::Table) -> Vec<String> {
    let mut found = Vec::new();
    search(config, "", &mut found);
    found.dedup();
    found
}

fn search(table: &toml::Table, at: &str, found: &mut Vec<String>) {
    for (name, value) in table {
        let name = name.escape_debug();
        let here = if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
        judge(&name.to_string(), value, at, &here, found);
    }
}

fn judge(name: &str, value: &toml::Value, at: &str, here: &str, found: &mut Vec<String>) {
    let holds = match value {
        toml::Value::Table(inner) => !inner.is_empty(),
        toml::Value::Array(all) => !all.is_empty(),
        _ => false,
    };
    // A tool may be called like any of these; then it has a version, which is text.
    let of_tool = at.starts_with("tools.");
    let counts = match name {
        "env" | "vars" | "install_env" => holds,
        "postinstall" => of_tool,
        "hooks" => at.is_empty(),
        _ => false,
    };
    match value {
        _ if counts => found.push(format!("[{here}]")),
        toml::Value::Table(inner) => search(inner, here, found),
        toml::Value::Array(all) => all.iter().for_each(|one| judge("", one, at, here, found)),
        toml::Value::String(text) if has_userinfo(text) => found.push(format!("[{here}]")),
        _ => {}
    }
}

/// Is there an address of the form `https://NAME:PASSWORD@HOST` in it?
fn has_userinfo(text: &str) -> bool {
    let after = text.match_indices("://").filter_map(|(at, mark)| text.get(at + mark.len()..));
    after.into_iter().any(|rest| {
        let end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'');
        rest.split(end).next().is_some_and(|authority| authority.contains('@'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_a_lock_names_are_found() {
        let lock = "lockfile_version = 2\n[[tools.\"npm:a\"]]\nversion = \"1\"\naube = { path = \"locks/npm-a/1\", digest = \"sha256:0\" }\n\
                    [[tools.node]]\nversion = \"2\"\n[tools.\"npm:b\"]\nversion = \"1\"\naube.path = \"locks/npm-b/1\"\n";
        let files: Vec<_> = sidecars(lock, "locks").unwrap().into_iter().collect();
        let both = |dir: &str| SIDECAR_FILES.map(|name| format!("locks/{dir}/1/{name}"));
        assert_eq!(files, [both("npm-a"), both("npm-b")].concat());
        assert!(sidecars("", "locks").unwrap().is_empty());
    }

    #[test]
    fn a_lock_that_names_a_place_elsewhere_is_refused() {
        for path in ["../x", "/etc", "locks", "locks/../../x", ".mise/locks/x", "locksmith/x", ""] {
            let lock = format!("[[tools.a]]\naube = {{ path = {path:?} }}\n");
            assert!(sidecars(&lock, "locks").is_err(), "{path}");
        }
        assert!(sidecars("[[tools.a]]\naube = { path = 1 }\n", "locks").is_err());
    }

    #[test]
    fn variables_are_seen_wherever_they_stand() {
        let config = "[env]\nT = \"x\"\n[tasks.b.env]\nA = \"1\"\n[tools]\nnode = \"1\"\n[vars]\n";
        assert_eq!(private(&table(config).unwrap()), ["[env]", "[tasks.b.env]"]);
        assert_eq!(private(&table("[[env]]\nA = 1\n").unwrap()), ["[env]"]);
        let tool = "[[tools.\"npm:a\"]]\nversion = \"1\"\ninstall_env = { NPM_TOKEN = \"x\" }\n\
                    [tools.b]\nversion = \"1\"\npostinstall = \"curl x\"\n\
                    [plugins]\np = \"https://u:secret@host/x\"\nq = \"https://host/a@b\"\n\
                    [hooks]\nenter = \"x\"\n";
        let mut found = private(&table(tool).unwrap());
        found.sort();
        let all = ["[hooks]", "[plugins.p]", "[tools.b.postinstall]", "[tools.npm:a.install_env]"];
        assert_eq!(found, all);
        let tools = "[tools]\nhooks = \"1\"\npostinstall = \"1\"\nvars = \"1\"\n";
        assert!(private(&table(tools).unwrap()).is_empty());
        assert!(private(&table("[env]\n[tools]\nenv = \"1\"\n").unwrap()).is_empty());
    }

    #[test]
    fn an_error_tells_the_line_and_nothing_of_the_text() {
        let e = table("[tools]\nsecret-word-4711 = hunter2\n").unwrap_err();
        assert!(e.starts_with("line 2 ") && !e.contains("hunter2") && !e.contains("4711"), "{e}");
    }
}
