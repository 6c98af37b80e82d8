//! What the user's script finds in its environment, and what nobody finds in any.

use crate::rehearse::Rehearsal;
use crate::sandbox::Sandbox;
use crate::util::PATH;

#[test]
fn the_script_has_the_environment_of_a_login() {
    let script = "#!/bin/sh\nfor v in HOME USER LOGNAME SHELL; do eval echo $v=\\$$v; done > ~/seen\npwd >> ~/seen\nid -u >> ~/seen\n";
    let ended = Rehearsal::of(script).then("cat ~/seen").expect(0);
    assert_eq!(
        ended.stdout,
        "HOME=/home/iteron\nUSER=iteron\nLOGNAME=iteron\nSHELL=/bin/bash\n/home/iteron\n1000\n"
    );
}

#[test]
fn the_users_programs_come_first_on_path_then_the_shims_then_the_images() {
    let sandbox = Sandbox::new().script("#!/bin/sh\necho $PATH > /mnt/out/script\n");
    sandbox.init(&[], "echo $PATH > /mnt/out/workload").expect(0);
    let home = "/mnt/home/.local";
    let expected = format!("{home}/bin:{home}/share/mise/shims:/mnt/bin:{PATH}\n");
    assert_eq!(sandbox.out("script"), expected);
    assert_eq!(sandbox.out("workload"), expected, "the workload has the same");
}

#[test]
fn a_users_program_goes_before_the_images() {
    let script = "#!/bin/sh\nprintf '#!/bin/sh\\necho mine\\n' > ~/.local/bin/ls\nchmod +x ~/.local/bin/ls\nls\n";
    let ended = Rehearsal::of(script).then("ls").expect(0);
    assert_eq!(ended.stdout, "mine\n");
}

#[test]
fn variables_of_the_container_and_of_the_config_reach_the_script() {
    Sandbox::new()
        .config("agent.toml", "[bootstrap.environment]\nFROM_CONFIG = \"a b\"\n")
        .variable("ANTHROPIC_API_KEY", "key")
        .script("#!/bin/sh\n[ \"$FROM_CONFIG\" = 'a b' ] && [ \"$ANTHROPIC_API_KEY\" = key ]\n")
        .look()
        .is("complete");
}

#[test]
fn variables_of_the_config_are_the_scripts_alone() {
    Sandbox::new()
        .config("agent.toml", "[bootstrap.environment]\nFROM_CONFIG = \"x\"\n")
        .script("#!/bin/sh\n[ -n \"$FROM_CONFIG\" ]\n")
        .init(&[], "[ -z \"$FROM_CONFIG\" ] && [ -z \"$GIT_CONFIG_COUNT\" ]")
        .expect(0);
}

#[test]
fn git_rewrites_ssh_addresses_of_the_public_forges_for_this_run() {
    let ended = Rehearsal::of(
        "#!/bin/sh\nenv | grep ^GIT_CONFIG_ | sort > ~/variables\ncommand -v git >/dev/null || exit 0\n\
         for host in github.com gitlab.com bitbucket.org; do\n\
         git config --get-all url.https://$host/.insteadOf\n\
         for u in git@$host:a/b.git ssh://git@$host/a/b.git; do git ls-remote --get-url $u; done\n\
         done > ~/git\ngit ls-remote --get-url git@example.com:a/b.git >> ~/git\n",
    )
    .then("cat ~/variables; echo; cat ~/git 2>/dev/null; env | grep ^GIT_")
    .expect(1);
    let (variables, git) = ended.stdout.split_once("\n\n").unwrap();
    assert!(variables.contains("GIT_CONFIG_COUNT=6"), "{variables}");
    for host in ["github.com", "gitlab.com", "bitbucket.org"] {
        assert!(variables.contains(&format!("=url.https://{host}/.insteadOf")), "{variables}");
        if git.is_empty() {
            continue; // this machine has no git
        }
        let url = format!("https://{host}/a/b.git\n");
        let block = format!("git@{host}:\nssh://git@{host}/\n{url}{url}");
        assert!(git.contains(&block), "{block:?}: {git}");
    }
    if !git.is_empty() {
        assert!(git.ends_with("git@example.com:a/b.git\n"), "others stay as they are: {git}");
    }
}

#[test]
fn git_rewrites_stand_beside_those_that_the_container_sets() {
    Sandbox::new()
        .variable("GIT_CONFIG_COUNT", "1")
        .variable("GIT_CONFIG_KEY_0", "user.name")
        .variable("GIT_CONFIG_VALUE_0", "Somebody")
        .script("#!/bin/sh\n[ $GIT_CONFIG_COUNT = 7 ] && [ \"$GIT_CONFIG_VALUE_0\" = Somebody ] && [ -n \"$GIT_CONFIG_KEY_6\" ]\n")
        .look()
        .is("complete");
}

#[test]
fn git_rewrites_can_be_turned_off() {
    Sandbox::new()
        .variable("AGENT__BOOTSTRAP__GIT_HTTPS", "false")
        .script("#!/bin/sh\n[ -z \"$GIT_CONFIG_COUNT\" ]\n")
        .look()
        .is("complete");
}

/// Prints every variable of every process that can be seen, one a line. What a shell reads from
/// its own /proc entry is what it was started with.
const ENVIRONMENTS: &str = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'";

#[test]
fn the_payload_is_in_no_environment_while_the_script_runs_nor_after() {
    let script = format!("#!/bin/sh\n{ENVIRONMENTS} > /mnt/out/during\n");
    let sandbox = Sandbox::new().script(script).variable("BESIDE_IT", "is-seen");
    sandbox.init(&[], &format!("{ENVIRONMENTS} > /mnt/out/after; env > /mnt/out/env")).expect(0);
    for name in ["during", "after"] {
        let text = sandbox.out(name);
        // Negative control: what else PID 1 was given is seen, so the look is a real one.
        assert!(text.matches("BESIDE_IT=is-seen").count() >= 2, "{name}: {text}");
        let payloads = text.lines().filter_map(|l| l.strip_prefix("MINT_USER_BOOTSTRAP="));
        let shown: Vec<&str> = payloads.filter(|value| !value.is_empty()).collect();
        assert!(shown.is_empty(), "{name}: {shown:?}");
    }
    assert!(!sandbox.out("env").contains("MINT_USER_BOOTSTRAP"), "{}", sandbox.out("env"));
}

#[test]
fn the_script_is_not_given_its_own_payload() {
    Sandbox::new()
        .script("#!/bin/sh\n! env | grep -q '^MINT_USER_BOOTSTRAP'\n")
        .look()
        .is("complete");
}
