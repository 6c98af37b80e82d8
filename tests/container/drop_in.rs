//! In place of another init: an image that changes one COPY line, podman's own `--init`, and the
//! pause of a pod. What an operator sees of the other one is seen of the agent too.

use crate::engine::{Output, podman, ready, wait_for};
use crate::guard::{Image, Volume, unique};
use crate::orphans::{defunct, orphans};
use crate::pty::{CTRL_Z, Terminal};
use crate::sandbox::{Recipe, Sandbox};
use std::time::Duration;

/// An image whose init is the agent by another name. The base has the agent; an image of anybody
/// else's copies it from there.
fn image(place: &str, entrypoint: &str) -> Image {
    let from = crate::engine::image();
    let copy = format!("COPY --from={from} /usr/local/bin/agent {place}");
    Image::derived(&format!("{copy}\nENTRYPOINT {entrypoint}\nCMD []"), &[])
}

/// A sandbox of such an image.
fn of(image: &Image) -> Recipe {
    Recipe::with(&[]).image(&image.name)
}

/// A sandbox of the image under test, in which podman's init is the agent: podman mounts what
/// `--init-path` names as `/run/podman-init` and calls it `/run/podman-init -- COMMAND`.
pub(crate) fn as_podmans_init() -> Recipe {
    Recipe::with(&["--init", "--entrypoint="])
        .argument(&format!("--init-path={}", env!("CARGO_BIN_EXE_agent")))
}

/// Statuses, signals to the child, orphans, the list of processes, and the stop.
#[track_caller]
fn serves(recipe: impl Fn() -> Recipe, init: &str, shell: &[&str]) {
    let line = |line: &'static str| [shell, &[line]].concat();
    for (end, status) in [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143)] {
        let (_sandbox, output) = recipe().run(&line(end));
        assert_eq!(output.status, status, "{init}: {end}: {}", output.stderr);
        assert_eq!(output.stderr, "", "{init}: it has a line of its own");
    }
    let waits = "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let sandbox = recipe().start(&line(waits));
    sandbox.says("up");
    sandbox.signal("USR1");
    sandbox.says("usr1");
    sandbox.sh(&orphans(500)).good();
    wait_for("no defunct process", Duration::from_secs(20), || {
        (defunct(&sandbox) == 0).then_some(())
    });
    let top = podman(&["top", &sandbox.name, "pid", "ppid", "comm"]).good();
    let first = top.lines().find(|line| line.starts_with("1 ")).unwrap_or_default();
    assert!(first.ends_with(init.rsplit('/').next().unwrap()), "{init}: {top}");
    let arguments = sandbox.sh("tr '\\0' ' ' </proc/1/cmdline").good();
    assert!(arguments.starts_with(&format!("{init} ")), "{arguments}");
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(5), "{init}: {:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 9, "{init}: {}", sandbox.logs());
}

/// Job control in a shell, then the shell's end; it asks twice for the sake of the stopped job.
#[track_caller]
fn stops_a_job(terminal: &mut Terminal) {
    terminal.line("sh -c 'echo up$((1+1)); exec sleep 300'");
    terminal.see("up2");
    terminal.press(CTRL_Z);
    terminal.see("Stopped");
    terminal.line("exit 3");
    terminal.see("There are stopped jobs");
    terminal.line("exit 3");
    assert_eq!(terminal.ended(), 3);
}

#[test]
fn an_image_of_tinis_changes_one_line() {
    if !ready() {
        return;
    }
    let image = image("/usr/bin/tini", r#"["/usr/bin/tini", "--"]"#);
    serves(|| of(&image), "/usr/bin/tini", &["sh", "-c"]);
    let statuses = |command: &[&str]| of(&image).run(command).1.status;
    assert_eq!([statuses(&["nonexistent"]), statuses(&["/etc/passwd"])], [127, 126]);
}

#[test]
fn an_image_of_dumb_inits_changes_one_line() {
    if !ready() {
        return;
    }
    let image = image("/usr/bin/dumb-init", r#"["/usr/bin/dumb-init", "--", "bash", "-c"]"#);
    serves(|| of(&image), "/usr/bin/dumb-init", &[]);
    // A session of its own, which has the terminal.
    let (_sandbox, mut terminal) = of(&image).on_terminal(&["exec bash --norc"]);
    terminal.see("bash-");
    terminal.line("ps -o sid= $$ | grep -xq \" *$$\" && echo leader$((1+1))");
    terminal.see("leader2");
    stops_a_job(&mut terminal);
    let screen = terminal.screen();
    assert!(!screen.contains("job control") && !screen.contains("terminal process"), "{screen}");
}

/// docker mounts its `docker-init` as `/sbin/docker-init` and calls it `/sbin/docker-init -- COMMAND`.
#[test]
fn as_dockers_init_it_is_tini() {
    if !ready() {
        return;
    }
    let agent = format!("--volume={}:/sbin/docker-init:ro", env!("CARGO_BIN_EXE_agent"));
    let recipe = || Recipe::with(&[r#"--entrypoint=["/sbin/docker-init", "--"]"#]).argument(&agent);
    serves(recipe, "/sbin/docker-init", &["sh", "-c"]);
}

#[test]
fn as_podmans_init_it_is_catatonit() {
    if !ready() {
        return;
    }
    serves(as_podmans_init, "/run/podman-init", &["sh", "-c"]);
    let (_sandbox, missing) = as_podmans_init().run(&["nonexistent"]);
    assert_eq!(missing.status, 1, "{missing:?}");
    let (_sandbox, mut terminal) =
        as_podmans_init().argument("--env=PS1=prompt> ").on_terminal(&["bash", "--norc"]);
    terminal.see("prompt> ");
    stops_a_job(&mut terminal);
}

/// Both: podman's init is the agent, and so is the image's entrypoint.
#[test]
fn the_agent_below_the_agent_boots_and_stops() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume)
        .argument("--init")
        .argument(&format!("--init-path={}", env!("CARGO_BIN_EXE_agent")))
        .start(&["sleep", "infinity"]);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(5), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143, "{}", sandbox.logs());
}

/// Whoever stops such a container decides how long that takes.
#[test]
fn by_another_name_the_engine_kills_who_ignores_term() {
    if !ready() {
        return;
    }
    let sandbox = as_podmans_init().start(&[
        "sh",
        "-c",
        "trap '' TERM; echo up; while :; do sleep 0.1; done",
    ]);
    sandbox.says("up");
    let stop = podman(&["stop", "--time", "2", &sandbox.name]);
    assert!(stop.took >= Duration::from_secs(2), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 137);
}

/// A pod, removed with its containers when this value goes.
struct Pod {
    name: String,
}

impl Pod {
    fn inspect(&self, what: &str) -> Output {
        podman(&["pod", "inspect", "--format", what, &self.name])
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        podman(&["pod", "rm", "--force", "--time", "0", &self.name]);
    }
}

/// Every pod of podman's is held by `/catatonit -P`. Where the containers share their process
/// ids, that is PID 1 for all of them, and reaps for all of them.
#[test]
fn as_the_pause_of_a_pod_it_reaps_for_all_of_it() {
    if !ready() {
        return;
    }
    let pause = image("/catatonit", r#"["/catatonit", "-P"]"#);
    let pod = Pod { name: unique("pod") };
    let shared = ["--network=none", "--share=pid,ipc", "--infra-image", &pause.name];
    podman(&[&["pod", "create", "--name", &pod.name], &shared[..]].concat()).good();
    let member = Sandbox { name: unique("sandbox") };
    let run = ["run", "--detach", "--pod", &pod.name, "--name", &member.name, "--entrypoint="];
    podman(&[&run[..], &[&crate::engine::image(), "sleep", "infinity"]].concat()).good();
    assert!(member.sh("tr '\\0' ' ' </proc/1/cmdline").good().starts_with("/catatonit -P"));
    member.sh(&orphans(300)).good();
    wait_for("no defunct process", Duration::from_secs(20), || {
        (defunct(&member) == 0).then_some(())
    });
    let infra = pod.inspect("{{.InfraContainerID}}").good();
    let stop = podman(&["pod", "stop", &pod.name]);
    assert!(stop.took < Duration::from_secs(5), "{:?}", stop.took);
    // How the others end is podman's: it stops all of them at once.
    let end = podman(&["inspect", "--format", "{{.State.ExitCode}}", infra.trim()]);
    assert_eq!(end.good(), "0\n");
}
