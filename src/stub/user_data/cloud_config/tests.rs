use super::super::super::told::Package;
use super::*;
use std::path::Path;

fn good(text: &str) -> Said {
    read(text.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// Each fault as `LINE KEY`.
fn faults(text: &str) -> Vec<String> {
    let all = read(text.as_bytes()).map(|_| ()).unwrap_err();
    all.iter()
        .map(|f| format!("{} {}", f.line.unwrap_or(0), f.key.as_deref().unwrap_or("-")))
        .collect()
}

#[track_caller]
fn refused(text: &str, what: &str) {
    let all = read(text.as_bytes()).map(|_| ()).unwrap_err();
    assert!(all.iter().any(|f| f.to_string().contains(what) && f.line.is_some()), "{all:?}");
    assert!(all.iter().all(|f| !f.next.is_empty()), "{all:?}");
}

#[test]
fn the_subset_is_read() {
    let said = good(
        "#cloud-config\nhostname: box.example.org\nfqdn: \"box.example.org\"\npreserve_hostname: no\n\
         ssh_authorized_keys:\n  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0hYGvhvpDCrcULfGDkXrqxGJ0QzVKzMR4gYbkqJ6nC me\npackage_update: yes\npackage_upgrade: false\n\
         packages:\n- git\n- [jq, 1.7.1-3]\nruncmd:\n- echo $HOME\n- [echo, a b, \"it's\", 0644, yes]\n- [find, /a, -exec, chmod, 2775, {}, \\;]\n",
    );
    assert_eq!(said.cloud.hostname.as_deref(), Some("box.example.org"));
    assert_eq!(
        said.cloud.ssh_authorized_keys,
        ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0hYGvhvpDCrcULfGDkXrqxGJ0QzVKzMR4gYbkqJ6nC me"]
    );
    assert!(said.packages.update && !said.packages.upgrade);
    let jq = Package { name: "jq".into(), version: Some("1.7.1-3".into()) };
    assert_eq!(said.packages.names, [Package { name: "git".into(), version: None }, jq]);
    let commands: Vec<&str> =
        said.commands.iter().map(|c| std::str::from_utf8(c.shell.bytes()).unwrap()).collect();
    assert_eq!(commands[0], "echo $HOME");
    assert_eq!(commands[1], "'echo' 'a b' 'it'\\''s' '0644' 'yes'");
    assert_eq!(commands[2], "'find' '/a' '-exec' 'chmod' '2775' '{}' '\\;'");
    assert_eq!(said.commands[1].line, 14);
}

#[test]
fn files_have_cloud_inits_defaults() {
    let said = good(
        "write_files:\n- path: /etc/a\n- {path: /b, content: x, owner: 'www-data', permissions: 0o600, append: true, defer: on}\n",
    );
    let a = &said.files[0];
    assert_eq!(
        (a.path.as_path(), a.content.bytes(), a.mode),
        (Path::new("/etc/a"), b"".as_slice(), 0o644)
    );
    assert_eq!(
        (a.user.as_str(), a.group.as_str(), a.append, a.defer),
        ("root", "root", false, false)
    );
    let b = &said.files[1];
    assert_eq!(
        (b.user.as_str(), b.group.as_str(), b.mode, b.append, b.defer),
        ("www-data", "root", 0o600, true, true)
    );
}

#[test]
fn every_encoding_of_a_content_is_undone() {
    // `printf hello | gzip -9n | base64`
    const PACKED: &str = "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA==";
    for (encoding, content) in [
        ("text/plain", "hello"),
        ("b64", "aGVsbG8="),
        ("Base64", "aGVs bG8="),
        ("gz+b64", PACKED),
        ("gzip+base64", PACKED),
        ("gz", &format!("!!binary {PACKED}")),
        ("text/plain", "!!binary aGVsbG8="),
    ] {
        let said = good(&format!(
            "write_files:\n- path: /a\n  encoding: {encoding}\n  content: {content}\n"
        ));
        assert_eq!(said.files[0].content.bytes(), b"hello", "{encoding} {content}");
    }
    for (encoding, content) in [
        ("b64", "aGVs*G8="),
        ("gz", "aGVsbG8="),
        ("gz+b64", "aGVsbG8="),
        ("rot13", "q9q9"),
        ("text/plain", "!!binary '*'"),
    ] {
        let text =
            format!("write_files:\n- path: /a\n  encoding: {encoding}\n  content: {content}\n");
        let all = read(text.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(!all[0].to_string().contains(content), "{all:?}");
    }
}

/// A user-data of 13 KB can hold hundreds of texts that each unpack to megabytes.
#[test]
fn what_unpacks_to_nothing_is_tried_a_few_times_only() {
    use base64::Engine;
    use flate2::{Compression, read::GzEncoder};
    use std::io::Read;
    let mut packed = Vec::new();
    let zeros = std::io::repeat(0).take((8 << 20) + 1);
    GzEncoder::new(zeros, Compression::best()).read_to_end(&mut packed).unwrap();
    let packed = base64::engine::general_purpose::STANDARD.encode(&packed);
    let entry = format!("- path: /a\n  encoding: gz+b64\n  content: {packed}\n");
    let text = format!("#cloud-config\nwrite_files:\n{}", entry.repeat(40));
    let all = read(text.as_bytes()).map(|_| ()).unwrap_err();
    assert_eq!(all.len(), 40, "each is told");
    let tried = all.iter().filter(|f| f.message.contains("unpacks to too much")).count();
    assert_eq!(tried, 4, "{all:?}");
}

#[test]
fn permissions_are_octal_or_refused() {
    let mode = |text: &str| {
        good(&format!("write_files: [{{path: /a, permissions: {text}}}]\n")).files[0].mode
    };
    for text in ["'0644'", "'644'", "0644", "0o644", "\"0o644\""] {
        assert_eq!(mode(text), 0o644, "{text}");
    }
    for text in ["644", "420", "'0888'", "'u+x'", "'010000'", "-1", "''", "[]"] {
        refused(
            &format!("write_files: [{{path: /a, permissions: {text}}}]\n"),
            "write_files.permissions",
        );
    }
}

#[test]
fn every_key_that_is_not_read_is_told_with_its_line_at_every_level() {
    assert_eq!(
        faults(
            "#cloud-config\nusers:\n- default\nwrite_files:\n- path: /a\n  source: {uri: x}\n- path: /b\n  perms: '0600'\nbootcmd: [a]\npackages:\n- apt: [git]\nfoo: 1\n"
        ),
        [
            "2 users",
            "6 write_files.source",
            "8 write_files.perms",
            "9 bootcmd",
            "11 packages.apt",
            "12 foo"
        ]
    );
    let all = read(b"users: []\ngrowpart: {}\nbar: 1\n").map(|_| ()).unwrap_err();
    assert!(
        all[0].next.contains("useradd") && all[2].next.contains("docs/user-data.md"),
        "{all:?}"
    );
}

#[test]
fn a_value_of_another_kind_is_refused_without_being_shown() {
    refused("runcmd: ls\n", "`runcmd` is a text here, and must be a list");
    refused("runcmd:\n- echo \"a: b\": c\n", "no YAML");
    refused("runcmd:\n- echo key: value\n", "must be a list of texts and lists");
    refused("runcmd:\n- []\n", "empty list");
    refused("runcmd:\n- [ls, {a: b}]\n", "`runcmd` is a map here");
    refused("hostname: 10.0.0.1\n", "host name");
    refused("ssh_authorized_keys: ['# no key at all']\n", "no line of an authorized_keys");
    refused("runcmd:\n- \n", "`runcmd` is nothing here");
    refused("runcmd:\n- [ls, [a]]\n", "`runcmd` is a list here");
    refused("packages:\n- --allow-unauthenticated\n", "no name of a package");
    refused("packages:\n- https://example.org/x.rpm\n", "no name of a package");
    refused("packages:\n- [a, b, c]\n", "[name, version]");
    refused("hostname: -a\n", "host name");
    refused("hostname: [a]\n", "`hostname` is a list here");
    refused("preserve_hostname: true\n", "preserve_hostname");
    refused("package_update: maybe\n", "true or false");
    refused("ssh_authorized_keys: [abc]\n", "no line of an authorized_keys");
    refused(
        "ssh_authorized_keys:\n- |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  x\n",
        "no line of an authorized_keys",
    );
    refused("write_files:\n- content: x\n", "has no `path`");
    refused("write_files:\n- x\n", "a list of maps");
    for path in ["a", "/", "/a/", "/a/../b", "\"/a\\nb\"", "''"] {
        refused(&format!("write_files: [{{path: {path}}}]\n"), "write_files.path");
    }
    for owner in ["'a:b:c'", "':'", "'-x:root'", "'a b'"] {
        refused(&format!("write_files: [{{path: /a, owner: {owner}}}]\n"), "write_files.owner");
    }
    refused("- a\n", "cloud-config is a list here");
    refused("echo hi\n", "cloud-config is a text here");
    refused("a: \"\\xff\nb\n", "no YAML");
    let all = read(b"hostname: 'a\xff'\n").map(|_| ()).unwrap_err();
    assert_eq!(all[0].message, "it is not UTF-8");
}

#[test]
fn nothing_is_nothing() {
    for text in ["#cloud-config\n", "#cloud-config\nruncmd:\npackages: []\nwrite_files:\n"] {
        let said = good(text);
        assert!(said.commands.is_empty() && said.files.is_empty() && said.packages.is_empty());
    }
}
