//! Attempts to get past the backend policy, each beside its control: what is refused would
//! have worked without the policy. docs/tools.md has the same table.
//!
//! There is no network in these sandboxes. What would install are two plugins on the volume:
//! `oldplug`, run by mise's asdf backend, and `evil`, a backend under its own name.

use crate::engine::{Output, ready};
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};

const MANIFEST: &str = ".config/mise/config.toml";

/// Takes the policy out of a command's environment.
const LOOSE: &str = "env -u MISE_DISABLE_BACKENDS -u MISE_PLUGINS_DIR";

/// What a user's config says where it wants everything.
const OPEN: &str = "[settings]\ndisable_backends = []\n";

/// The backends that the image's mise has and that are not allowed, with a tool of each; but
/// for `core`, at which mise stops before it comes to the others.
const DENIED: &[&str] = &[
    "aqua:a/b",
    "asdf:x",
    "cargo:x",
    "conda:x",
    "dotnet:x",
    "forgejo:a/b",
    "gem:x",
    "gitlab:a/b",
    "go:example.com/x",
    "http:x",
    "packslip:x",
    "pypi:x",
    "s3:x",
    "spm:a/b",
    "ubi:a/b",
    "vfox:x",
];

/// Makes both plugins in `~/.local/share/mise/plugins`, and a git repository that is one.
const PLUGINS: &str = r##"set -e
plain() {
    mkdir -p "$1/bin"
    printf '#!/bin/sh\necho 1.0.0\n' >"$1/bin/list-all"
    printf '#!/bin/sh\nmkdir -p "$ASDF_INSTALL_PATH/bin"\nprintf "#!/bin/sh\\necho came by asdf\\n" >"$ASDF_INSTALL_PATH/bin/%s"\nchmod +x "$ASDF_INSTALL_PATH/bin/%s"\n' "$2" "$2" >"$1/bin/install"
    chmod +x "$1"/bin/*
}
all=$HOME/.local/share/mise/plugins
plain "$all/oldplug" oldplug
mkdir -p "$all/evil/hooks"
printf 'PLUGIN = { name = "evil", version = "1.0.0", homepage = "x", license = "MIT", description = "x" }\n' >"$all/evil/metadata.lua"
echo 'function PLUGIN:BackendListVersions(ctx) return { versions = {"1.0.0"} } end' >"$all/evil/hooks/backend_list_versions.lua"
echo 'function PLUGIN:BackendInstall(ctx) local f = io.open(ctx.install_path .. "/marker", "w") f:write("x") f:close() return {} end' >"$all/evil/hooks/backend_install.lua"
echo 'function PLUGIN:BackendExecEnv(ctx) return { env_vars = {} } end' >"$all/evil/hooks/backend_exec_env.lua"
plain "$HOME/repo" gitplug
cd "$HOME/repo" && git init -q && git add -A && git -c user.name=x -c user.email=x@y commit -qm x
"##;

/// A volume with the plugins, a user's config beside them, and the boot that met both.
struct Scene {
    sandbox: Sandbox,
}

impl Scene {
    #[track_caller]
    fn set(volume: &Volume, manifest: &str) -> Self {
        let (_gone, output) = Recipe::on(volume).argument("--entrypoint=sh").run(&["-c", PLUGINS]);
        output.good();
        if !manifest.is_empty() {
            seed(volume, MANIFEST, manifest);
        }
        let sandbox = Recipe::on(volume).start(IDLE);
        sandbox.settled();
        Self { sandbox }
    }

    /// What is installed on the volume.
    fn installed(&self) -> Vec<String> {
        let line = "find ~/.local/share/mise/installs -mindepth 2 -maxdepth 2 -name '[0-9]*' -type d 2>/dev/null | sort; true";
        let all = self.sandbox.sh(line).good();
        all.lines().filter_map(|l| Some(l.split("/installs/").nth(1)?.to_owned())).collect()
    }

    /// Runs a line with the environment of the workload: what an engine adds has the
    /// image's, and what PID 1 starts has the boot's.
    fn as_the_workload(&self, line: &str) -> Output {
        let whole = format!(
            "set -a; eval \"$(tr '\\0' '\\n' </proc/$(cut -d' ' -f1 /proc/1/task/1/children)/environ | grep ^MISE_)\"; set +a; cd; {line}"
        );
        self.sandbox.sh(&whole)
    }

    /// The attempt is refused to the workload and to what an engine adds; without the policy
    /// it installs `what`.
    #[track_caller]
    fn refuses(&self, attempt: &str, what: &str) {
        for (who, output) in [
            ("the workload", self.as_the_workload(attempt)),
            ("what an engine adds", self.sandbox.sh(&format!("cd; {attempt}"))),
        ] {
            assert_ne!(output.status, 0, "{who}: {}{}", output.stdout, output.stderr);
            assert!(!self.installed().contains(&what.to_owned()), "{who}: {:?}", self.installed());
        }
        let control = self.sandbox.sh(&format!("cd; {LOOSE} {attempt}"));
        assert!(
            self.installed().contains(&what.to_owned()),
            "the control: {:?}\n{}{}",
            self.installed(),
            control.stdout,
            control.stderr
        );
    }
}

#[test]
fn every_denied_backend_is_refused_by_its_name() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let tools: Vec<String> = DENIED.iter().map(|t| format!("\"{t}\" = \"0.0.0\"\n")).collect();
    let manifest = format!("{OPEN}[tools]\n{}", tools.concat());
    seed(&volume, MANIFEST, &manifest);
    let sandbox = Recipe::on(&volume).start(IDLE);
    let (seen, text) = sandbox.expects("degraded", "tool-backend-denied");
    assert!(seen.codes().iter().all(|c| c == "tool-backend-denied"), "{text}");
    assert_eq!(seen.codes().len(), DENIED.len(), "each one, and once: {text}");
    for backend in DENIED.iter().map(|t| t.split(':').next().unwrap()) {
        assert!(text.contains(&format!("backend {backend} is disabled")), "{backend}: {text}");
    }
    // The list above is this mise's own.
    let listed = sandbox.exec(&["mise", "backends", "ls"]).good();
    let own = listed.lines().filter(|b| !["npm", "github", "core", ""].contains(b)).count();
    assert_eq!(own, DENIED.len(), "{listed}");
    // The control: other reasons, none of them a refusal.
    let loose = sandbox.sh(&format!("cd; MISE_OFFLINE=1 {LOOSE} timeout 60 mise install"));
    assert!(!loose.stderr.contains("disabled by disable_backends"), "{}", loose.stderr);
    assert!(loose.stderr.contains("cargo:x@0.0.0"), "{}", loose.stderr);
}

#[test]
fn a_name_of_the_registry_or_of_the_core_finds_no_denied_backend() {
    if !ready() {
        return;
    }
    for name in ["node", "core:node"] {
        let volume = Volume::new();
        seed(&volume, MANIFEST, &format!("{OPEN}[tools]\n\"{name}\" = \"22.1.0\"\n"));
        let sandbox = Recipe::on(&volume).start(IDLE);
        let (seen, text) = sandbox.expects("degraded", "tool-backend-denied");
        let problem = seen.problem("tool-backend-denied");
        assert!(problem.contains("none of its backends (core:node)"), "{name}: {text}");
        let loose = sandbox.sh(&format!("cd; MISE_OFFLINE=1 {LOOSE} timeout 60 mise install"));
        assert!(!loose.stderr.contains("none of its backends"), "the control: {}", loose.stderr);
    }
}

/// A short name of the registry for each denied backend that has one which no allowed backend
/// serves too, and the backends in a workspace's config that the user trusts.
#[test]
fn every_denied_backend_is_refused_by_a_registrys_name_and_in_a_workspace() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    let registry = sandbox.sh(&format!("cd; {LOOSE} MISE_DISABLE_BACKENDS= mise registry")).good();
    let mut names: Vec<(String, String)> = Vec::new();
    for line in registry.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let backends: Vec<&str> = words.filter_map(|w| Some(w.split_once(':')?.0)).collect();
        let denied = !backends.iter().any(|b| ["npm", "github"].contains(b));
        let new = |b: &&&str| !names.iter().any(|(known, _)| known == **b);
        if let Some(backend) = backends.first().filter(|b| denied && new(b)) {
            names.push(((*backend).to_owned(), name.to_owned()));
        }
    }
    assert!(names.len() >= 10, "{names:?}");
    let all: Vec<String> = names.iter().map(|(_, name)| format!("{name}@0.0.0")).collect();
    let install = format!("MISE_OFFLINE=1 timeout 60 mise install {}", all.join(" "));
    let refused = sandbox.sh(&format!("cd; {install}"));
    for (backend, name) in &names {
        let line = refused.stderr.lines().find(|l| l.starts_with(&format!("{name}@0.0.0: ")));
        let line = line.unwrap_or_else(|| panic!("{name} of {backend}: {}", refused.stderr));
        assert!(line.contains("none of its backends"), "{backend}: {line}");
    }
    let loose = sandbox.sh(&format!("cd; {LOOSE} MISE_DISABLE_BACKENDS= {install}"));
    assert!(!loose.stderr.contains("none of its backends"), "the control: {}", loose.stderr);
    let tools: Vec<String> = DENIED.iter().map(|t| format!("\"{t}\" = \"0.0.0\"\n")).collect();
    let workspace = format!("{OPEN}[tools]\n{}", tools.concat()).replace('\n', "\\n");
    let make = format!("mkdir ~/ws; cd ~/ws; printf '{workspace}' >mise.toml; mise trust");
    sandbox.sh(&make).good();
    let refused = sandbox.sh("cd ~/ws; MISE_OFFLINE=1 timeout 60 mise install");
    for backend in DENIED.iter().map(|t| t.split(':').next().unwrap()) {
        let said = format!("backend {backend} is disabled");
        assert!(refused.stderr.contains(&said), "{backend}: {}", refused.stderr);
    }
}

#[test]
fn settings_and_variables_of_a_users_config_loosen_nothing() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest = format!(
        "{OPEN}[env]\nMISE_DISABLE_BACKENDS = \"\"\nMISE_PLUGINS_DIR = \"/home/iteron/.local/share/mise/plugins\"\n[tools]\noldplug = \"1.0.0\"\n"
    );
    let scene = Scene::set(&volume, &manifest);
    let seen = scene.sandbox.settled();
    assert_eq!(seen.state(), "degraded", "{}", scene.sandbox.logs());
    assert!(scene.installed().is_empty(), "{:?}", scene.installed());
    assert!(seen.notes().contains("sets MISE_DISABLE_BACKENDS in [env]"), "{}", seen.notes());
    scene.refuses("mise install", "oldplug/1.0.0");
}

/// What can't be prevented: mise gives `[env]` to what it starts, and a second mise below it
/// believes that. The next boot names what came of it.
#[test]
fn what_mise_itself_starts_has_a_users_variables_and_the_next_boot_tells() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest = format!(
        "{OPEN}[env]\nMISE_DISABLE_BACKENDS = \"\"\nMISE_PLUGINS_DIR = \"/home/iteron/.local/share/mise/plugins\"\n"
    );
    let scene = Scene::set(&volume, &manifest);
    assert_eq!(scene.sandbox.settled().state(), "complete", "{}", scene.sandbox.logs());
    scene.as_the_workload("mise exec -- mise install oldplug@1.0.0").good();
    assert_eq!(scene.installed(), ["oldplug/1.0.0"]);
    scene.sandbox.restart();
    let (seen, _) = scene.sandbox.expects("degraded", "tool-backend-denied");
    let problem = seen.problem("tool-backend-denied");
    assert!(problem.contains("oldplug 1.0.0 is there by asdf"), "{problem}");
}

#[test]
fn a_workspace_that_the_user_trusts_loosens_nothing() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, "");
    let lines = format!(
        "mkdir -p ~/ws; cd ~/ws; printf '{}' >mise.toml; mise trust",
        format!("{OPEN}[env]\nMISE_DISABLE_BACKENDS = \"\"\n[tools]\n\"evil:x\" = \"1.0.0\"\n")
            .replace('\n', "\\n")
    );
    scene.sandbox.sh(&lines).good();
    scene.refuses("env -C /home/iteron/ws mise install", "evil-x/1.0.0");
}

#[test]
fn a_plugin_that_is_a_backend_is_denied_by_its_name() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, OPEN);
    let seen = scene.sandbox.settled();
    assert_eq!(seen.state(), "complete", "{}", scene.sandbox.logs());
    assert!(seen.notes().contains("evil, oldplug"), "{}", seen.notes());
    // Also where somebody points mise at the plugins again: the name is in the list.
    let again = "MISE_PLUGINS_DIR=$HOME/.local/share/mise/plugins mise install evil:x@1.0.0";
    let output = scene.as_the_workload(again);
    assert!(output.stderr.contains("backend evil is disabled"), "{}", output.stderr);
    scene.refuses("mise install evil:x@1.0.0", "evil-x/1.0.0");
}

#[test]
fn a_declared_plugin_is_not_fetched() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest = format!(
        "{OPEN}[plugins]\ngitplug = \"file:///home/iteron/repo\"\n[tools]\ngitplug = \"1.0.0\"\n"
    );
    let scene = Scene::set(&volume, &manifest);
    let (seen, text) = scene.sandbox.shows("degraded", "tool-plugin-denied");
    assert!(seen.problem("tool-plugin-denied").contains("gitplug"), "{text}");
    assert_eq!(scene.sandbox.sh("ls ~/.local/share/mise/plugins").good(), "evil\noldplug\n");
    scene.refuses("mise install", "gitplug/1.0.0");
}

#[test]
fn a_plugin_cannot_be_added_by_hand() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, "");
    let add = "mise plugins install gitplug file:///home/iteron/repo";
    let there = || scene.sandbox.sh("ls ~/.local/share/mise/plugins").good();
    assert_ne!(scene.as_the_workload(add).status, 0);
    assert_ne!(scene.sandbox.sh(&format!("cd; {add}")).status, 0);
    assert_eq!(there(), "evil\noldplug\n");
    scene.sandbox.sh(&format!("cd; {LOOSE} {add}")).good();
    assert_eq!(there(), "evil\ngitplug\noldplug\n", "the control");
}

#[test]
fn an_alias_leads_to_no_denied_backend() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest =
        format!("{OPEN}[tool_alias]\nsemver = \"evil:x\"\n[tools]\nsemver = \"1.0.0\"\n");
    let scene = Scene::set(&volume, &manifest);
    assert_eq!(scene.sandbox.settled().state(), "degraded", "{}", scene.sandbox.logs());
    scene.refuses("mise install", "semver/1.0.0");
}

/// A variable that is set outranks every config, the image's too.
#[test]
fn a_profile_that_sets_the_variables_is_loose_at_once_and_the_next_boot_tells() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, "");
    let set = "echo 'export MISE_DISABLE_BACKENDS= MISE_PLUGINS_DIR=$HOME/.local/share/mise/plugins' >>~/.profile";
    scene.sandbox.sh(set).good();
    scene.sandbox.exec(&["bash", "-lc", "cd; mise install oldplug@1.0.0"]).good();
    assert_eq!(scene.installed(), ["oldplug/1.0.0"]);
    scene.sandbox.restart();
    let (seen, _) = scene.sandbox.expects("degraded", "tool-backend-denied");
    assert!(seen.problem("tool-backend-denied").contains("oldplug 1.0.0 is there by asdf"));
}

/// What no install made: a directory of the user's under the name of a denied backend.
#[test]
fn what_a_user_links_as_a_tool_is_told_at_the_next_boot() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, "");
    let link = "mkdir -p ~/ln/bin; printf '#!/bin/sh\\necho linked\\n' >~/ln/bin/lnk; chmod +x ~/ln/bin/lnk
        cd; mise link cargo:evil@1.0.0 ~/ln && mise x cargo:evil@1.0.0 -- lnk";
    assert_eq!(scene.sandbox.sh(link).good(), "linked\n", "it can't be prevented");
    scene.sandbox.restart();
    let (seen, _) = scene.sandbox.expects("degraded", "tool-backend-denied");
    assert!(seen.problem("tool-backend-denied").contains("cargo:evil 1.0.0 is there by cargo"));
}

#[test]
fn what_a_part_of_the_users_config_says_is_told_too() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, "");
    let part = "mkdir -p ~/.config/mise/conf.d; cd ~/.config/mise
        printf '[settings]\\ndisable_backends = []\\n[env]\\nMISE_DISABLE_BACKENDS = \"\"\\n' >conf.d/x.toml
        cp conf.d/x.toml config.local.toml";
    scene.sandbox.sh(part).good();
    let policy = scene.sandbox.exec(&["agent", "tools", "policy"]).good();
    for file in ["conf.d/x.toml", "config.local.toml"] {
        assert!(policy.lines().any(|l| l.contains(file) && l.contains("DISAGREES")), "{policy}");
    }
    scene.sandbox.restart();
    let notes = scene.sandbox.settled().notes();
    assert!(notes.contains("conf.d/x.toml sets MISE_DISABLE_BACKENDS in [env]"), "{notes}");
}

/// What can't be prevented for the shell that does it: the variable is the user's to unset.
/// The image's own config is then still there; a user's config outranks that. The next boot
/// names what came of it, and its next step mends it.
#[test]
fn a_shell_that_unsets_the_variables_is_loose_and_the_next_boot_tells() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, "");
    scene.sandbox.sh("echo 'unset MISE_DISABLE_BACKENDS MISE_PLUGINS_DIR' >>~/.profile").good();
    let add = ["bash", "-lc", "cd; mise use -g oldplug@1.0.0"];
    let second_line = scene.sandbox.exec(&add);
    assert!(second_line.stderr.contains("disabled by disable_backends"), "{}", second_line.stderr);
    assert!(scene.installed().is_empty());
    scene
        .sandbox
        .sh("mkdir -p ~/.config/mise; printf '[settings]\\ndisable_backends = []\\n' >~/.config/mise/config.toml")
        .good();
    scene.sandbox.exec(&add).good();
    assert_eq!(scene.installed(), ["oldplug/1.0.0"]);
    assert_eq!(scene.sandbox.exec(&["oldplug"]).good(), "came by asdf\n", "its shim runs it");
    scene.sandbox.restart();
    let (seen, text) = scene.sandbox.expects("degraded", "tool-backend-denied");
    assert!(seen.problem("tool-backend-denied").contains("oldplug 1.0.0 is there by asdf"));
    assert_eq!(text.matches("oldplug 1.0.0 is there").count(), 2, "once, and on top: {text}");
    assert!(text.contains("mise uninstall --all oldplug"), "{text}");
    scene.sandbox.sh("cd; mise uninstall --all oldplug; rm ~/.config/mise/config.toml").good();
    assert!(scene.installed().is_empty());
    scene.sandbox.restart();
    assert_eq!(scene.sandbox.settled().state(), "complete", "{}", scene.sandbox.logs());
}

/// What can't be prevented: a user runs another program. The next boot names what came of it.
#[test]
fn another_mise_does_as_it_likes_and_the_next_boot_tells() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let scene = Scene::set(&volume, OPEN);
    let mut older =
        std::process::Command::new(crate::engine::repository().join("tests/util/mise-env"));
    older.arg("older");
    let older = crate::engine::run(older, std::time::Duration::from_secs(300)).good();
    drop(scene);
    let sandbox = Recipe::on(&volume)
        .argument(&format!("--volume={}:/opt/mise:ro", older.trim()))
        .start(IDLE);
    sandbox.settled();
    let scene = Scene { sandbox };
    let plugins = "MISE_PLUGINS_DIR=$HOME/.local/share/mise/plugins";
    let own = scene.as_the_workload(&format!("{plugins} mise install oldplug@1.0.0"));
    assert_ne!(own.status, 0, "the image's own refuses");
    // It says that it can't write the image's lock; by then it has installed.
    scene.as_the_workload(&format!("{plugins} /opt/mise install oldplug@1.0.0"));
    assert_eq!(scene.installed(), ["oldplug/1.0.0"]);
    scene.sandbox.restart();
    let (seen, _) = scene.sandbox.expects("degraded", "tool-backend-denied");
    assert!(seen.problem("tool-backend-denied").contains("oldplug 1.0.0"));
    // Nor can it be prevented that the user changes mise's notes: agent and mise believe them.
    let forge = "cd ~/.local/share/mise/installs && sed -i s/asdf:oldplug/npm:oldplug/ .mise-installs.toml oldplug/.mise.backend.toml; grep -q npm:oldplug .mise-installs.toml";
    scene.sandbox.sh(forge).good();
    scene.sandbox.restart();
    assert_eq!(scene.sandbox.settled().state(), "complete", "{}", scene.sandbox.logs());
}
