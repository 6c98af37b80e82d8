//! [`Config`] and [`Facts`] → [`Plan`].

use super::facts::{Facts, PayloadState, Switch};
use super::storage::{self, VolumeWork};
use super::user_data;
use super::{
    Command, Environment, MetadataWork, Phase, PhaseName, Plan, SCHEMA, ScriptWork, ToolsWork, Work,
};
use super::{guest, machine};
use crate::config::value::{BaselineMode, ScriptUser, Span, ToolsMode};
use crate::config::{Config, Volume};
use crate::journal::Problem;
use crate::stub::payload;
use crate::tools::places::Places;
use crate::tools::policy;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Variables that mise needs to work and that carry no secret of the workload.
/// `GITHUB_TOKEN` lifts the rate limit of the github backend.
const MISE_PASS: &[&str] = &[
    "MISE_*",
    "GITHUB_TOKEN",
    "NPM_CONFIG_*",
    "npm_config_*",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
];

/// SSH addresses of the public forges and what a machine without keys reads instead.
const GIT_REWRITES: &[(&str, &str)] = &[
    ("https://github.com/", "git@github.com:"),
    ("https://github.com/", "ssh://git@github.com/"),
    ("https://gitlab.com/", "git@gitlab.com:"),
    ("https://gitlab.com/", "ssh://git@gitlab.com/"),
    ("https://bitbucket.org/", "git@bitbucket.org:"),
    ("https://bitbucket.org/", "ssh://git@bitbucket.org/"),
];

/// What checking and filling one volume may take.
const CHECKS_OF_A_VOLUME: Duration = Duration::from_secs(60);

/// Makes the plan. `again` asks for the user script whatever the ledger says.
pub fn resolve(config: &Config, facts: &Facts, again: bool) -> Plan {
    let mut phases = Vec::new();
    let mut add = |name, deadline, work| phases.push(Phase { name, deadline, work });
    let refused = match &facts.switch {
        Switch::Missing(missing) => Some(cannot_change_user(facts, missing)),
        Switch::Unknown(who) => Some(unknown_user(who)),
        Switch::Same | Switch::Change | Switch::Pending => twice(config, facts),
    };
    if let Some(problem) = refused {
        add(PhaseName::Config, Span::seconds(1), Work::Refuse { problem });
    }
    if config.ec2.enabled {
        add(PhaseName::Metadata, config.ec2.deadline, metadata(config, facts));
    }
    for Phase { name, deadline, work } in guest::phases(config, facts) {
        add(name, deadline, work);
    }
    if let Some(phase) = user_data::phase(config, facts, again) {
        add(phase.name, phase.deadline, phase.work);
    }
    if let Some((deadline, work)) = machine::provision(config, facts) {
        add(PhaseName::Provision, deadline, work);
    }
    add(PhaseName::Volume, volume_deadline(config), volumes(config, facts));
    add(PhaseName::Tools, config.tools.deadline, tools(config, facts));
    if let Some((deadline, work)) = machine::health(config, facts) {
        add(PhaseName::DriftCheck, deadline, work);
    }
    add(PhaseName::UserScript, config.bootstrap.deadline, script(config, facts, again));
    Plan {
        schema: SCHEMA,
        instance: facts.instance.clone(),
        user: facts.user.clone(),
        config_files: config.sources.clone(),
        on_failure: config.boot.on_failure,
        deadline: config.boot.deadline,
        grace: config.boot.grace,
        phases,
        notes: facts.notes.clone(),
    }
}

fn cannot_change_user(facts: &Facts, missing: &[&str]) -> Problem {
    let user = &facts.user;
    Problem::new(
        "cannot-change-user",
        format!("root without {} cannot act as user {}", missing.join(" and "), user.name),
        format!(
            "start the container with --user {}:{}, or add the capability with --cap-add",
            user.uid, user.gid
        ),
    )
}

fn unknown_user(who: &str) -> Problem {
    Problem::new(
        "user-unknown",
        format!("the sandbox user {who} is not known here"),
        "correct [user], add the account to the image, or write its name, uid, gid and home there; nothing is started as root instead, whatever boot.on_failure says",
    )
}

/// `~` and the home's own path name one mount point.
fn twice(config: &Config, facts: &Facts) -> Option<Problem> {
    let home = &facts.user.home;
    let both = [Path::new("~"), home].iter().all(|t| config.volumes.iter().any(|v| v.target == *t));
    both.then(|| {
        Problem::new(
            "config-invalid",
            format!("volume {} is declared twice, once as \"~\"", home.display()),
            "join the two entries under \"~\"",
        )
    })
}

fn metadata(config: &Config, facts: &Facts) -> Work {
    Work::Metadata(MetadataWork {
        endpoints: config.ec2.endpoints.clone(),
        request_deadline: config.ec2.request_deadline,
        deadline: config.ec2.deadline,
        user_data: facts.user_data_file.clone(),
        known: facts.machine.clone(),
    })
}

/// Checks take milliseconds unless they hang, and each volume has its own time; so has
/// each mount, and what stands behind it; so has the home.
fn volume_deadline(config: &Config) -> Span {
    let each = config.volumes.iter().map(|v| {
        let mount = v.mount.as_ref().map(|m| m.deadline.0).unwrap_or_default();
        CHECKS_OF_A_VOLUME + mount + storage::takes(v)
    });
    let home = if config.home.is_empty() { Duration::ZERO } else { CHECKS_OF_A_VOLUME };
    Span((each.sum::<Duration>() + home).max(CHECKS_OF_A_VOLUME))
}

fn volumes(config: &Config, facts: &Facts) -> Work {
    if let Some(problem) = storage::unserved(&config.volumes, facts) {
        return Work::Refuse { problem };
    }
    if config.volumes.is_empty() && config.home.is_empty() {
        return Work::Skip { reason: "no volume is declared".into() };
    }
    Work::Volumes {
        volumes: config.volumes.iter().map(|v| volume(v, facts)).collect(),
        home: config.home.clone(),
    }
}

fn volume(v: &Volume, facts: &Facts) -> VolumeWork {
    let home = v.target == Path::new("~");
    let volume = Volume {
        target: if home { facts.user.home.clone() } else { v.target.clone() },
        ..v.clone()
    };
    VolumeWork { storage: storage::storage(&volume, facts), volume }
}

fn tools(config: &Config, facts: &Facts) -> Work {
    let t = &config.tools;
    let mise = match (t.enabled, &facts.mise) {
        (ToolsMode::Off, _) => {
            return Work::Skip { reason: "tools.enabled is \"off\"".into() };
        }
        (ToolsMode::Auto, None) => {
            return Work::Skip { reason: "no mise on this machine".into() };
        }
        // Where mise is missing the command says so when it is started; the plan
        // shows what would be run.
        (_, None) => t.mise.clone().unwrap_or_else(|| "mise".into()),
        (_, Some(found)) => found.clone(),
    };
    let mise = mise.to_string_lossy().into_owned();
    let mut pass: Vec<String> = MISE_PASS.iter().map(|s| (*s).to_owned()).collect();
    pass.extend(t.pass_environment.iter().cloned());
    // Left to itself the npm backend spends 70 s on a network that is away; the agent
    // retries by itself, with a cap.
    let default = BTreeMap::from([("npm_config_fetch_retries".into(), "0".into())]);
    let mut set = user_variables(config, facts);
    // mise starts programs while it installs (node, npm). By a shim of the user's it would start
    // itself and wait for itself.
    set.insert("PATH".into(), image_path(&facts.image_path, &facts.user.home, &facts.places));
    let environment = Environment { pass, default, set };
    let command = |arguments: &[&str]| Command {
        argv: std::iter::once(mise.as_str())
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect(),
        // mise trusts and installs the config of the directory it is started in; the
        // root directory has none that a user could have written.
        cwd: "/".into(),
        environment: environment.clone(),
    };
    Work::Tools(Box::new(ToolsWork {
        trust: facts.user_manifest.then(|| {
            command(&["trust", "--quiet", &facts.places.user_manifest().to_string_lossy()])
        }),
        install: command(&["install"]),
        list: command(&["ls", "--current", "--json"]),
        places: facts.places.clone(),
        backends: t.backends.clone(),
        baseline: t.baseline,
        attempts: t.attempts,
        on_failure: t.on_failure,
    }))
}

fn script(config: &Config, facts: &Facts, again: bool) -> Work {
    let b = &config.bootstrap;
    let source = &facts.payload.source;
    let refuse = |code: &str, message: String, next: &str| Work::Refuse {
        problem: Problem::new(code, message, next),
    };
    match &facts.payload.state {
        // What is asked for may be the commands of cloud-config.
        PayloadState::Absent => Work::NoScript { again: again && !facts.user_data.has_commands() },
        // Never run so: once the user-data is read, the plan is made again.
        PayloadState::Unread => refuse(
            "user-data-unread",
            "the user script stands in the user-data, which has not been read".into(),
            "look at the phase `metadata`",
        ),
        PayloadState::Script { .. } if b.user == ScriptUser::Root && !facts.may_act_as_root() => {
            refuse(
                "script-not-root",
                format!("bootstrap.user is \"root\", and the agent runs as {}", facts.user.name),
                "start the agent as root, or write bootstrap.user = \"sandbox\"",
            )
        }
        PayloadState::Script { bytes, sha256, parts } => Work::Script(ScriptWork {
            source: source.clone(),
            bytes: *bytes,
            sha256: sha256.clone(),
            parts: parts.clone(),
            user: b.user,
            retry: b.retry,
            again,
            environment: script_environment(config, facts),
        }),
        PayloadState::Undecodable(why) => refuse(
            "payload-undecodable",
            format!("the user script in {source} cannot be decoded: {why}"),
            "encode it again with `agent-stub encode FILE`, and recreate the instance",
        ),
        PayloadState::Unreadable(why) => refuse(
            "payload-unreadable",
            format!("the user script {source} cannot be read: {why}"),
            "make the file readable for the agent; bootstrap.optional = true lets a missing one pass",
        ),
        PayloadState::Ambiguous => refuse(
            "payload-ambiguous",
            format!("both ${} and {source} hold a user script", payload::VARIABLE),
            "give one of the two",
        ),
    }
}

/// The script sees what the workload will see: the container's environment with the
/// user's variables, less the payload itself.
fn script_environment(config: &Config, facts: &Facts) -> Environment {
    let root = config.bootstrap.user == ScriptUser::Root;
    let mut set =
        if root { user_data::root_variables(facts) } else { user_variables(config, facts) };
    set.extend(facts.machine.iter().flat_map(|machine| machine.parameters.for_commands()));
    if config.bootstrap.git_https {
        let first = facts.git_config_count;
        for (n, (to, from)) in (first..).zip(GIT_REWRITES) {
            set.insert(format!("GIT_CONFIG_KEY_{n}"), format!("url.{to}.insteadOf"));
            set.insert(format!("GIT_CONFIG_VALUE_{n}"), (*from).to_owned());
        }
        let count = first as usize + GIT_REWRITES.len();
        set.insert("GIT_CONFIG_COUNT".into(), count.to_string());
    }
    set.extend(config.bootstrap.environment.clone());
    Environment { pass: vec!["*".into()], set, ..Environment::default() }
}

/// What a login would set, with the contract's PATH, and the backend policy: every mise that
/// is started below has it, and mise ranks it above every config file.
pub fn user_variables(config: &Config, facts: &Facts) -> BTreeMap<String, String> {
    let user = &facts.user;
    let text = |p: &Path| p.to_string_lossy().into_owned();
    let mut set = BTreeMap::from([
        ("HOME".into(), text(&user.home)),
        ("USER".into(), user.name.clone()),
        ("LOGNAME".into(), user.name.clone()),
        ("SHELL".into(), text(&user.shell)),
        ("PATH".into(), search_path(config, facts)),
    ]);
    if let Some(allowed) = &config.tools.backends {
        set.extend(policy::variables(allowed, []));
    }
    set.extend(facts.found.clone());
    set
}

/// A PATH without what the user can put programs into, and without the links to the image's
/// tools: where the image's own programs are.
pub fn image_path(path: &str, home: &Path, places: &Places) -> String {
    let layers = [
        home.join(".local/bin"),
        places.shims(),
        places.volume_links(),
        places.image_links.clone(),
    ];
    let own =
        path.split(':').filter(|p| !p.is_empty() && !layers.iter().any(|l| Path::new(p) == l));
    own.collect::<Vec<_>>().join(":")
}

/// The user's programs; the baseline and the user's tools, the one first that the
/// configuration puts first; then the image's.
fn search_path(config: &Config, facts: &Facts) -> String {
    let places = &facts.places;
    // What the volume has was made for this image by this boot; a link of the image's may be
    // older than the config beside it.
    let mut tools = vec![places.volume_links(), places.image_links.clone(), places.shims()];
    if config.tools.baseline == BaselineMode::Overridable {
        tools.rotate_right(1);
    }
    let linked = facts.image_path.split(':').any(|p| Path::new(p) == places.image_links);
    if !linked && (config.tools.enabled == ToolsMode::Off || facts.mise.is_none()) {
        tools = vec![places.shims()];
    }
    std::iter::once(facts.user.home.join(".local/bin"))
        .chain(tools)
        .map(|p| p.to_string_lossy().into_owned())
        .chain(facts.image_path.split(':').map(str::to_owned))
        .filter(|p| !p.is_empty())
        .fold(Vec::<String>::new(), |mut all, p| {
            if !all.contains(&p) {
                all.push(p);
            }
            all
        })
        .join(":")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::facts::{Instance, Payload, SandboxUser};
    use super::*;

    pub(crate) fn facts() -> Facts {
        Facts {
            user: SandboxUser {
                name: "iteron".into(),
                uid: 1000,
                gid: 1000,
                groups: vec![1000],
                home: "/home/iteron".into(),
                shell: "/bin/bash".into(),
            },
            switch: Switch::Same,
            instance: Instance { id: "3f1c2a9b8d7e".into(), source: "mount table".into() },
            image_path: "/usr/local/bin:/usr/bin:/bin".into(),
            mise: Some("/usr/local/bin/mise".into()),
            places: Places::of(Path::new("/home/iteron"), |_| None),
            user_manifest: false,
            payload: Payload { source: "$MINT_USER_BOOTSTRAP".into(), state: PayloadState::Absent },
            told: Default::default(),
            cloud_init: false,
            machine: None,
            user_data: Default::default(),
            found: BTreeMap::new(),
            user_data_file: None,
            launch: Default::default(),
            git_config_count: 0,
            notes: vec![],
        }
    }

    #[test]
    fn the_defaults_are_the_contract() {
        let plan = resolve(&Config::default(), &facts(), false);
        let names: Vec<_> = plan.phases.iter().map(|p| p.name.word()).collect();
        assert_eq!(names, ["volume", "tools", "user-script"]);
        let Work::Tools(tools) = &plan.phases[1].work else { panic!() };
        assert_eq!(tools.install.argv, ["/usr/local/bin/mise", "install"]);
        assert!(tools.trust.is_none());
        assert_eq!(
            user_variables(&Config::default(), &facts())["PATH"],
            "/home/iteron/.local/bin:/home/iteron/.local/share/agent/baseline/bin:\
             /usr/local/share/agent/baseline/bin:/home/iteron/.local/share/mise/shims:\
             /usr/local/bin:/usr/bin:/bin"
        );
        assert_eq!(tools.install.environment.set["PATH"], "/usr/local/bin:/usr/bin:/bin");
        let denied = &tools.install.environment.set["MISE_DISABLE_BACKENDS"];
        assert!(denied.split(',').any(|b| b == "core") && !denied.split(',').any(|b| b == "npm"));
        assert!(matches!(plan.phases[2].work, Work::NoScript { .. }));
    }

    #[test]
    fn an_overridable_baseline_stands_behind_the_users_shims() {
        let mut config = Config::default();
        config.tools.baseline = BaselineMode::Overridable;
        assert_eq!(
            user_variables(&config, &facts())["PATH"],
            "/home/iteron/.local/bin:/home/iteron/.local/share/mise/shims:\
             /home/iteron/.local/share/agent/baseline/bin:/usr/local/share/agent/baseline/bin:\
             /usr/local/bin:/usr/bin:/bin"
        );
    }

    #[test]
    fn an_image_with_links_keeps_their_place_where_the_agent_leaves_tools_alone() {
        let mut config = Config::default();
        config.tools.enabled = ToolsMode::Off;
        let mut f = facts();
        assert!(!user_variables(&config, &f)["PATH"].contains("baseline"));
        f.image_path = "/usr/local/share/agent/baseline/bin:/usr/bin".into();
        let path = user_variables(&config, &f)["PATH"].clone();
        assert!(path.find("baseline/bin") < path.find("mise/shims"), "{path}");
    }

    #[test]
    fn the_payload_variable_is_passed_to_nobody() {
        let environment = Environment { pass: vec!["*".into()], ..Environment::default() };
        assert!(environment.passes("ANTHROPIC_API_KEY"));
        assert!(!environment.passes("MINT_USER_BOOTSTRAP"));
    }

    #[test]
    fn mise_is_not_given_the_workloads_secrets() {
        let plan = resolve(&Config::default(), &facts(), false);
        let Work::Tools(tools) = &plan.phases[1].work else { panic!() };
        assert!(tools.install.environment.passes("MISE_LOCKED"));
        assert!(!tools.install.environment.passes("ANTHROPIC_API_KEY"));
    }

    #[test]
    fn git_rewrites_stand_behind_those_already_set() {
        let mut f = facts();
        f.git_config_count = 2;
        let set = script_environment(&Config::default(), &f).set;
        assert_eq!(set["GIT_CONFIG_COUNT"], "8");
        assert_eq!(set["GIT_CONFIG_VALUE_2"], "git@github.com:");
        assert!(!set.contains_key("GIT_CONFIG_KEY_0"));
    }

    #[test]
    fn root_without_capabilities_is_told_what_is_missing() {
        let mut f = facts();
        f.switch = Switch::Missing(vec!["CAP_SETUID", "CAP_SETGID"]);
        let plan = resolve(&Config::default(), &f, false);
        let Work::Refuse { problem } = &plan.phases[0].work else { panic!() };
        assert!(problem.message.contains("CAP_SETUID and CAP_SETGID"));
        assert!(problem.next.contains("--user 1000:1000"));
    }
}
