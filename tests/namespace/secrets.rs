//! The script may hold a token: it is in no file, journal, log, argument or environment, and
//! the script's own file is gone afterwards.

use crate::sandbox::Sandbox;
use crate::util::run;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Two halves, so that what searches for the whole does not hold it.
const HALVES: (&str, &str) = ("ghp_PlantedT0ken", "OfTheNamespaceLayer");

fn token() -> String {
    format!("{}{}", HALVES.0, HALVES.1)
}

/// A shell script that prints every file, argument vector and environment that holds the token.
fn search() -> String {
    let (a, b) = HALVES;
    format!(
        "find_token() {{ printf '%s%s\\n' {a} {b} | grep -laFf - \"$@\" 2>/dev/null; }}
         find /mnt/home /mnt/etc /run /tmp /dev/shm /etc -type f 2>/dev/null |
         while read -r f; do find_token \"$f\"; done
         find_token /proc/[0-9]*/cmdline /proc/[0-9]*/environ"
    )
}

#[test]
fn a_token_in_the_script_is_found_nowhere_after_the_boot() {
    for status in [0, 3] {
        let script = format!("#!/bin/sh\nGH_TOKEN={}\nexit {status}\n", token());
        let sandbox = Sandbox::new().script(script);
        let ended = sandbox.init(
            &["--on-boot-failure", "hold"],
            &format!("agent status; agent plan; {}; exit 0", search()),
        );
        assert!(!ended.all().contains(&token()), "{ended:#?}");
        let hits: Vec<&str> = ended.stdout.lines().filter(|l| l.starts_with('/')).collect();
        assert!(hits.is_empty(), "{hits:?}: {ended:#?}");
    }
}

/// Negative control: the search finds what is there to be found.
#[test]
fn a_token_that_the_script_writes_down_is_found() {
    let token = token();
    let script = format!(
        "#!/bin/sh\necho {token} > ~/file\nenv X={token} sleep 300 & sh -c 'sleep 300; : {token}' &\necho {token}\n"
    );
    let sandbox = Sandbox::new().script(script);
    let ended = sandbox.init(&[], &format!("sleep 0.3; {}; exit 0", search())).expect(0);
    for part in ["/mnt/home/file", "/cmdline", "/environ", "/logs/user-script.log"] {
        assert!(ended.stdout.contains(part), "{part}: {ended:#?}");
    }
    assert!(!ended.all().contains(&token), "what it prints is in its own log alone: {ended:#?}");
}

#[test]
fn a_token_in_the_script_is_in_no_argument_or_environment_while_it_runs() {
    let (a, b) = HALVES;
    let script = format!(
        "#!/bin/sh\nGH_TOKEN={a}{b}\nprintf '%s%s\\n' {a} {b} | grep -laFf - /proc/[0-9]*/cmdline /proc/[0-9]*/environ > /mnt/out/hits\necho end >> /mnt/out/hits\n"
    );
    let sandbox = Sandbox::new().script(script);
    sandbox.look().is("complete");
    assert_eq!(sandbox.out("hits"), "end\n");
}

/// On its way from PID 1 to the boot the script lies in a memory file.
#[test]
fn the_scripts_memory_file_is_open_in_no_process_but_the_boot() {
    let list = "for p in /proc/[0-9]*; do [ $p = /proc/$PPID ] || ls -l $p/fd 2>/dev/null | grep -F memfd:; done";
    let sandbox =
        Sandbox::new().script(format!("#!/bin/sh\n{{ {list}; echo end; }} > /mnt/out/during\n"));
    // The workload's parent is PID 1, which made the file: there it is looked for too.
    let after = format!("{list}; ls -l /proc/1/fd | grep -F memfd: ; exit 0");
    assert_eq!(sandbox.init(&[], &after).expect(0).stdout, "");
    assert_eq!(sandbox.out("during"), "end\n");
}

/// Without capabilities, as the contract's container is: what a process of the same user may look
/// into is up to that process (prctl(2), PR_SET_DUMPABLE).
#[test]
fn the_boot_is_closed_to_the_script_and_to_its_siblings() {
    let script = "#!/bin/sh\n[ -n \"$PPID\" ] || exit 9\ncat /proc/$PPID/environ > /dev/null && exit 4\ncat /proc/$PPID/fd/0 > /dev/null && exit 5\nsleep 300 & cat /proc/$!/environ > /dev/null || exit 6\ncat /proc/$!/fd/0 > /dev/null || exit 7\nkill $!\n";
    let sandbox = Sandbox::new().script(script);
    let command = sandbox.pid1(&[
        "setpriv",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--no-new-privs",
        "agent",
        "init",
        "--on-boot-failure",
        "hold",
        "--",
        "agent",
        "status",
    ]);
    run(command).expect(0);
}

#[test]
fn nobody_else_can_read_the_script_while_it_runs() {
    let sandbox =
        Sandbox::new().script("#!/bin/sh\nstat -c %a \"$0\" \"${0%/*}\" > /mnt/out/modes\n");
    sandbox.look().is("complete");
    let modes = sandbox.out("modes");
    let all: Vec<u32> = modes.lines().map(|m| u32::from_str_radix(m, 8).unwrap()).collect();
    assert_eq!(all.len(), 2, "{modes}");
    assert!(all.iter().all(|m| m & 0o077 == 0), "{modes}");
}

#[test]
fn the_scripts_file_is_gone_afterwards_however_it_ended() {
    let ends = ["exit 0", "exit 3", "kill -9 $$", "sleep 300"];
    for end in ends {
        let sandbox = Sandbox::new()
            .variable("AGENT__BOOTSTRAP__DEADLINE", "1s")
            .script(format!("#!/bin/sh\necho \"$0\" > /mnt/out/path\n{end}\n"));
        let seen = sandbox.init(
            &["--on-boot-failure", "hold"],
            "p=$(cat /mnt/out/path); ls -d \"$p\" \"${p%/*}\" 2>/dev/null
             find /tmp /dev/shm /run /mnt/home -name '*script*' ! -name user-script.log ! -name scripts",
        );
        assert_eq!(seen.stdout, "", "after {end:?}: {seen:#?}");
        assert!(sandbox.out("path").starts_with('/'));
    }
}

#[test]
fn the_scripts_file_lies_in_memory_where_there_is_any() {
    let sandbox = Sandbox::new().script("#!/bin/sh\nstat -f -c %T \"$0\" > /mnt/out/filesystem\n");
    sandbox.look().is("complete");
    assert_eq!(sandbox.out("filesystem"), "tmpfs\n");
}

#[test]
fn the_scripts_output_is_kept_in_a_log_that_its_owner_alone_can_read() {
    let sandbox = Sandbox::new().no_run().script("#!/bin/sh\necho said; echo wrong >&2\nexit 3\n");
    let seen = sandbox.look().is("failed");
    let problem = &seen.phase("user-script")["problems"][0];
    let log = problem["log"].as_str().unwrap_or_else(|| panic!("{:#?}", seen.ended));
    let outside = sandbox.path(log.strip_prefix("/mnt/").unwrap());
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "said\nwrong\n");
    assert!(
        !seen.ended.all().contains("wrong"),
        "its output is nobody's business: {:#?}",
        seen.ended
    );
}

#[test]
fn the_status_is_readable_by_all() {
    let sandbox = Sandbox::new().no_run();
    let seen = sandbox.look().is("complete");
    let journal = seen.status["journal"].as_str().unwrap();
    let outside = sandbox.path(journal.strip_prefix("/mnt/").unwrap());
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn a_log_that_never_ends_is_cut_off() {
    let sandbox = Sandbox::new()
        .no_run()
        .variable("AGENT__LOG__MAX_SIZE", "64KiB")
        .variable("AGENT__BOOTSTRAP__DEADLINE", "4s")
        .script("#!/bin/sh\nwhile :; do echo 0123456789012345678901234567890123456789; sleep 0.001; done\n");
    let seen = sandbox.look().is("failed");
    let log = seen.phase("user-script")["problems"][0]["log"].as_str().unwrap().to_owned();
    let text = fs::read_to_string(sandbox.path(log.strip_prefix("/mnt/").unwrap())).unwrap();
    assert!(text.len() < 1 << 20, "{} bytes", text.len());
}
