//! Other releases of mise in the image: what they have beyond what was decided on, and whether
//! they keep to it, is told at boot and stops an image's build.

use crate::engine::{Output, podman_command, ready, repository, run};
use crate::guard::{Files, Image, Volume, unique};
use crate::sandbox::{IDLE, Recipe, Sandbox};
use std::process::Command;
use std::time::Duration;

/// Where the image has its mise.
const PLACE: &str = "/usr/local/bin/mise";

/// An image whose environment was written before `pkgx` was there.
const BEFORE_PKGX: &str = "ENV MISE_DISABLE_BACKENDS=aqua,asdf,cargo,conda,core,dotnet,forgejo,gem,gitlab,go,http,packslip,pipx,pypi,s3,spm,ubi,vfox";

/// The argument that puts another release in the place of the image's mise.
fn instead(release: &str) -> String {
    let output = run(command(release), Duration::from_secs(300));
    format!("--volume={}:{PLACE}:ro", output.good().trim())
}

fn command(release: &str) -> Command {
    let mut command = Command::new(repository().join("tests/util/mise-env"));
    command.arg(release);
    command
}

/// What the workload has in its environment, as the kernel tells it.
fn denied_for_the_workload(sandbox: &Sandbox) -> String {
    let line = "for p in $(cat /proc/1/task/1/children); do tr '\\0' '\\n' </proc/$p/environ; done";
    let all = sandbox.sh(line).good();
    all.lines().find_map(|l| l.strip_prefix("MISE_DISABLE_BACKENDS=")).unwrap_or_default().into()
}

/// `agent tools policy --check`, as a CI or a build would call it.
fn check(sandbox: &Sandbox) -> Output {
    sandbox.exec(&["agent", "tools", "policy", "--check"])
}

fn has(list: &str, name: &str) -> bool {
    list.split(',').any(|n| n == name)
}

#[test]
fn a_backend_that_a_new_mise_brings_is_denied_and_told() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let image = Image::derived(BEFORE_PKGX, &[]);
    let sandbox = Recipe::on(&volume).image(&image.name).argument(&instead("middle")).start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "backend-drift");
    let problem = seen.problem("backend-drift");
    assert!(problem.contains("mise 2026.6.14") && problem.contains("pkgx"), "{problem}");
    assert!(text.contains("ENV MISE_DISABLE_BACKENDS=aqua,asdf,"), "the line to commit: {text}");
    assert!(has(&denied_for_the_workload(&sandbox), "pkgx"), "the workload is safe all the same");
    // What an engine adds is not: it has the image's own variable.
    let added = sandbox.exec(&["printenv", "MISE_DISABLE_BACKENDS"]).good();
    assert!(!has(added.trim(), "pkgx"), "{added}");
    let output = check(&sandbox);
    assert_eq!(output.status, 1, "{}", output.stdout);
    assert!(output.stdout.contains("neither allowed nor denied: pkgx"), "{}", output.stdout);
    assert!(output.stdout.contains("\"pkgx\""), "the line to commit: {}", output.stdout);
}

/// The control: the same two with what the other test lacks.
#[test]
fn neither_the_release_nor_the_environment_alone_is_a_drift() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let decided = Recipe::on(&volume).argument(&instead("middle")).start(IDLE);
    let seen = decided.settled();
    assert!(!seen.codes().contains(&"backend-drift".to_owned()), "{:?}", seen.codes());
    assert_eq!(check(&decided).status, 0, "{}", check(&decided).stdout);
    drop(decided);
    // The image's own mise has no pkgx.
    let image = Image::derived(BEFORE_PKGX, &[]);
    let older_list = Recipe::on(&volume).image(&image.name).start(IDLE);
    assert_eq!(older_list.settled().state(), "complete", "{}", older_list.logs());
}

#[test]
fn an_image_with_a_drift_is_not_built() {
    if !ready() {
        return;
    }
    let build = |instructions: &str| {
        let text = format!("FROM {}\n{instructions}\n", crate::engine::image());
        let files = Files::one("Containerfile", &text);
        let name = format!("localhost/{}", unique("image"));
        let mut command = podman_command();
        command.args(["build", "--no-cache", "--format", "docker", "--tag", &name]);
        command.arg(instead("middle")).arg("--file").arg(files.path("Containerfile"));
        command.arg(files.path(""));
        let output = crate::guard::build(command);
        crate::guard::remove_image(&name);
        output
    };
    const STEP: &str = "RUN [\"agent\", \"tools\", \"policy\", \"--check\"]";
    let refused = build(&format!("{BEFORE_PKGX}\n{STEP}"));
    assert_ne!(refused.status, 0, "{}{}", refused.stdout, refused.stderr);
    let said = refused.stdout + &refused.stderr;
    assert!(said.contains("nobody has decided on: pkgx"), "{said}");
    assert!(said.contains("disable_backends = [\"aqua\", "), "the line to commit: {said}");
    let built = build(STEP);
    assert_eq!(built.status, 0, "{}{}", built.stdout, built.stderr);
}

#[test]
fn a_mise_that_installs_what_is_denied_is_told_of() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).argument(&instead("older")).start(IDLE);
    let (seen, _) = sandbox.shows("degraded", "policy-unenforced");
    let problem = seen.problem("policy-unenforced");
    assert!(problem.contains("mise 2026.2.16") && problem.contains("cargo"), "{problem}");
    assert!(problem.contains("a plugin's install was run"), "{problem}");
    let output = check(&sandbox);
    assert_eq!(output.status, 1);
    assert!(output.stdout.contains("does not refuse what is denied"), "{}", output.stdout);
    let left = sandbox.sh("find ~/.cache/agent /tmp -name 'agent-policy-*'; ls -d ~/.cache/agent");
    assert_eq!(left.stdout, "", "nothing is left of the trial");
    drop(sandbox);
    // The image's own, on the same volume.
    let own = Recipe::on(&volume).start(IDLE);
    assert_eq!(own.settled().state(), "complete", "{}", own.logs());
    assert_eq!(check(&own).status, 0, "{}", check(&own).stdout);
}

#[test]
fn a_sandbox_started_without_the_variable_is_told_what_that_means() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).argument("--unsetenv=MISE_DISABLE_BACKENDS").start(IDLE);
    let seen = sandbox.settled();
    assert_eq!(seen.state(), "complete", "{}", sandbox.logs());
    assert!(seen.notes().contains("is not set for this sandbox as a whole"), "{}", seen.notes());
    assert!(has(&denied_for_the_workload(&sandbox), "cargo"));
    // An empty one is somebody's decision that leaves everything open.
    let emptied = Recipe::on(&volume).env("MISE_DISABLE_BACKENDS", "").start(IDLE);
    let seen = emptied.settled();
    assert_eq!(seen.codes(), ["backend-drift"], "{}", emptied.logs());
    assert!(has(&denied_for_the_workload(&emptied), "cargo"));
}
