use super::*;
use crate::tools::places::Places;
use std::os::unix::fs::symlink;

/// A home with a config, and a request about it. mise is this test.
fn request(dir: &Path) -> Request {
    fs::create_dir_all(dir.join(".config/mise")).unwrap();
    fs::write(dir.join(".config/mise/config.toml"), "[tools]\n").unwrap();
    let mut places = Places::of(dir, |_| None);
    places.system_config = dir.join("etc");
    places.system_data = dir.join("image");
    places.image_links = dir.join("links");
    let mise = std::env::current_exe().unwrap();
    Request { places, mise, ..Request::default() }
}

#[test]
fn each_input_that_changes_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    let home = tmp.path();
    let mut request = request(home);
    let mut last = of(&request);
    assert_eq!(of(&request), last, "twice the same");
    let mut differs = |request: &Request| {
        let now = of(request);
        let names = now.differs_from(&last).join(" and ");
        last = now.clone();
        names
    };
    let write = |path: &str, text: &str| {
        fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
        fs::write(home.join(path), text).unwrap();
    };
    write(".config/mise/config.toml", "[tools]\n# more\n");
    assert_eq!(differs(&request), "a config");
    write(".config/mise/conf.d/a.toml", "");
    assert_eq!(differs(&request), "a config");
    write("etc/config.toml", "");
    assert_eq!(differs(&request), "a config");
    write(".config/mise/mise.lock", "");
    assert_eq!(differs(&request), LOCKS);
    write(".config/mise/locks/npm-x/1/package.json", "{}");
    assert_eq!(differs(&request), LOCKS, "mise makes these while it installs");
    fs::create_dir_all(home.join("etc/.mise")).unwrap();
    differs(&request);
    write("etc/.mise/locks/npm-x/1/package.json", "{}");
    assert_eq!(differs(&request), LOCKS);
    write("etc/.mise/locks/npm-x/1/package.json", "{ }");
    assert_eq!(differs(&request), LOCKS);
    fs::create_dir_all(home.join(".local/share/mise/plugins/p")).unwrap();
    assert_eq!(differs(&request), "the plugins");
    fs::create_dir_all(home.join("links")).unwrap();
    symlink("/a", home.join("links/x")).unwrap();
    assert_eq!(differs(&request), LINKS);
    write(".local/share/mise/installs/npm-x/1/x", "");
    assert_eq!(differs(&request), INSTALLED);
    request.variables.insert("MISE_LOCKED".into(), "1".into());
    assert_eq!(differs(&request), "mise's variables");
    request.proof.decided = "other".into();
    assert_eq!(differs(&request), "what the agent was told");
    write("mise", "#!/bin/sh\n");
    fs::set_permissions(home.join("mise"), fs::Permissions::from_mode(0o755)).unwrap();
    request.mise = home.join("mise");
    assert_eq!(differs(&request), "mise itself");
    assert_eq!(differs(&request), "");
}

#[test]
fn a_secret_is_no_part_of_a_hash() {
    let tmp = tempfile::tempdir().unwrap();
    let mut request = request(tmp.path());
    request.variables.insert("MISE_GITHUB_TOKEN".into(), "a".into());
    let before = of(&request);
    request.variables.insert("MISE_GITHUB_TOKEN".into(), "b".into());
    assert_eq!(of(&request), before);
}

#[test]
fn a_file_that_a_variable_names_counts() {
    let tmp = tempfile::tempdir().unwrap();
    let mut request = request(tmp.path());
    let named = tmp.path().join("elsewhere.toml");
    fs::write(&named, "").unwrap();
    request.variables.insert("MISE_GLOBAL_CONFIG_FILE".into(), named.display().to_string());
    let before = of(&request);
    fs::write(&named, "[tools]").unwrap();
    assert_eq!(of(&request).differs_from(&before), ["a config"]);
}

#[test]
fn what_is_too_much_or_not_known_beforehand_is_no_proof() {
    let tmp = tempfile::tempdir().unwrap();
    let request = request(tmp.path());
    let config = tmp.path().join(".config/mise");
    assert_eq!(of(&request).unprovable, None);
    fs::write(config.join("config.toml"), "[env]\nA = \"{{ env.B }}\"\n").unwrap();
    assert_eq!(of(&request).unprovable, None, "no matter of tools");
    fs::write(config.join("config.toml"), "[tools]\nnode = \"{{ env.B }}\"\n").unwrap();
    assert!(of(&request).unprovable.unwrap().contains("template"));
    fs::write(config.join("config.toml"), "").unwrap();
    symlink(&config, config.join("round")).unwrap();
    assert!(of(&request).unprovable.is_some(), "links that go round");
    fs::remove_file(config.join("round")).unwrap();
    fs::write(config.join("big"), vec![0; 5 << 20]).unwrap();
    assert!(of(&request).unprovable.unwrap().contains("bytes"));
}

#[test]
fn what_never_ends_keeps_nobody_waiting() {
    let tmp = tempfile::tempdir().unwrap();
    let request = request(tmp.path());
    let fifo = tmp.path().join(".config/mise/fifo.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before = of(&request);
    assert_eq!(before.unprovable, None);
    fs::remove_file(&fifo).unwrap();
    assert_eq!(of(&request).differs_from(&before), ["a config"]);
}
