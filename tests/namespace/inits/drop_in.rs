//! The same scene with the real program and with the agent under its name: what is seen must be the
//! same. Where it is meant to differ, [`MEANT`] says how and why; an entry that doesn't hold any more
//! fails as well.

use super::{Init, PEERS, PLACES, Place, state, terminal};
use crate::util::{children, eventually};
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// What was seen, by a word for it.
type Seen = BTreeMap<String, String>;

/// A difference that is meant.
struct Meant {
    name: &'static str,
    /// `None` is both.
    place: Option<Place>,
    what: &'static str,
    real: &'static str,
    ours: &'static str,
    /// Why.
    _because: &'static str,
}

const fn meant(
    name: &'static str,
    place: Option<Place>,
    what: &'static str,
    real: &'static str,
    ours: &'static str,
    because: &'static str,
) -> Meant {
    Meant { name, place, what, real, ours, _because: because }
}

const BELOW: Option<Place> = Some(Place::Below);
const LETS_GO: &str =
    "a directory that PID 1 is in can't be unmounted, a pipe that it holds never ends";
const SOCKETS: &str = "handed-over sockets work as under catatonit";
const ADOPTS: &str = "an init that isn't PID 1 is of use all the same";
const RESTORES: &str = "the child starts as the init was started, as under tini";

const MEANT: &[Meant] = &[
    meant("tini", None, "the init's directory", "elsewhere", "/", LETS_GO),
    meant("tini", None, "the init's descriptors", "0 1 2 5", "0 1 2", LETS_GO),
    meant("tini", None, "sockets", "the init's", "the child's", SOCKETS),
    meant("tini", BELOW, "orphans", "PID 1's", "the init's", ADOPTS),
    meant("dumb-init", None, "the init's descriptors", "0 1 2 5", "0 1 2", LETS_GO),
    meant("dumb-init", None, "sockets", "the init's", "the child's", SOCKETS),
    meant("dumb-init", BELOW, "orphans", "PID 1's", "the init's", ADOPTS),
    meant("dumb-init", None, "Blk", "", "TERM TTIN", RESTORES),
    meant("dumb-init", None, "Ign", "", "INT PIPE TTOU", RESTORES),
    meant("catatonit", None, "the init's directory", "elsewhere", "/", "as newer ones do"),
    meant("catatonit", None, "the init's descriptors", "0 1 2 3", "0 1 2", "no signalfd is needed"),
    meant("catatonit", None, "Blk", "TERM TSTP TTIN TTOU", "TERM TTIN", RESTORES),
    meant("tini", None, "/etc/passwd/x", "1", "126", "it is there and can't be executed"),
    meant("tini", None, "/tmp/loop", "1", "126", "as above"),
];

/// Both programs, with the same options, everywhere.
#[track_caller]
fn beside(name: &str, options: &[&str], scene: impl Fn(&Init) -> Seen) {
    for place in PLACES {
        let real = scene(&Init::real(name).with(options).at(place));
        let ours = scene(&Init::ours(name).with(options).at(place));
        for (what, real) in &real {
            let ours = &ours[what];
            let mut entries = MEANT
                .iter()
                .filter(|m| m.name == name && m.what == what && m.place.is_none_or(|p| p == place));
            let expected =
                entries.next().map_or((real.as_str(), real.as_str()), |m| (m.real, m.ours));
            assert_eq!((&**real, &**ours), expected, "{name} {options:?} {place:?}: {what}");
        }
        assert_eq!(real.len(), ours.len());
    }
}

fn seen<const N: usize>(pairs: [(&str, String); N]) -> Seen {
    pairs.into_iter().map(|(what, value)| (what.to_owned(), value)).collect()
}

/// How the child was started, told by itself and by /proc.
fn started(init: &Init) -> Seen {
    let prepared = "use POSIX qw(:signal_h); my $set = POSIX::SigSet->new(15, 21);
        sigprocmask(SIG_BLOCK, $set); $SIG{$_} = 'IGNORE' for qw(INT PIPE TTOU);
        $ENV{LISTEN_PID} = $$; POSIX::close($_) for 3..255; open(my $f, '<', '/etc/passwd'); POSIX::dup2(fileno $f, 5); close $f;
        chdir '/usr'; exec @ARGV";
    let look = "use strict; my ($stat) = map { s/.*\\) //sr } slurp('/proc/self/stat');
        my @stat = split ' ', $stat; my ($status) = slurp('/proc/self/status');
        sub slurp { local (@ARGV, $/) = @_; <> }
        open(my $seen, '>', '/mnt/out/seen') or die;
        my %number = (INT => 2, PIPE => 13, TERM => 15, TSTP => 20, TTIN => 21, TTOU => 22);
        for my $set (qw(Blk Ign)) {
            my ($mask) = map { hex } $status =~ /Sig$set:\\s+(\\S+)/;
            my @in = grep { $mask >> ($number{$_} - 1) & 1 } sort keys %number;
            print $seen \"$set=@in\\n\";
        }
        printf $seen \"group=%d\\nsession=%d\\n\", $stat[2] == $$, $stat[3] == $$;
        printf $seen \"sockets=the %s\\n\", $ENV{LISTEN_PID} == $$ ? \"child's\" : \"init's\";
        printf $seen \"directory=%s\\n\", readlink '/proc/self/cwd';
        printf $seen \"descriptor=%s\\n\", readlink '/proc/self/fd/5'; close $seen;
        select(undef, undef, undef, 0.02) while ! -e '/mnt/out/stop'; exit 11";
    let init = init.clone().through(&["perl", "-e", prepared]);
    let mut scene = init.start(&["--", "perl", "-e", look]);
    scene.reaches("seen");
    // Both let go once the child is there, which may be a moment after it speaks.
    thread::sleep(Duration::from_millis(100));
    let text = scene.sandbox.out("seen");
    let mut all: Seen = text
        .lines()
        .map(|l| l.split_once('=').unwrap())
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    let cwd = fs::read_link(format!("/proc/{}/cwd", scene.pid)).unwrap();
    let cwd = if cwd.as_os_str() == "/" { "/" } else { "elsewhere" };
    all.insert("the init's directory".into(), cwd.into());
    let names = fs::read_dir(format!("/proc/{}/fd", scene.pid)).unwrap();
    let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    all.insert("the init's descriptors".into(), names.join(" "));
    all.insert("children".into(), children(scene.pid).len().to_string());
    scene.stop().expect(11);
    all
}

#[test]
fn the_child_is_started_alike() {
    for (name, options) in [
        ("tini", vec![]),
        ("tini", vec!["-g"]),
        ("tini", vec!["-s"]),
        ("dumb-init", vec![]),
        ("dumb-init", vec!["-c"]),
        ("catatonit", vec![]),
        ("catatonit", vec!["-g"]),
    ] {
        beside(name, &options, started);
    }
}

/// For each signal who gets it. One that ends the init needs another init for the next.
fn sent(init: &Init, signals: &[i32]) -> Seen {
    let mut all = Seen::new();
    let mut scene = init.noting();
    for signal in signals {
        let before = scene.noted();
        scene.signal(*signal);
        // PWR is forwarded by all, and taken after every signal with a lower number.
        scene.signal(30);
        let mut noted = String::new();
        eventually(&format!("signal {signal}"), || {
            noted = scene.noted().strip_prefix(&before).unwrap().to_owned();
            (noted.contains("parent 30\n") || scene.has_ended()).then_some(())
        });
        if scene.has_ended() {
            all.insert(format!("signal {signal}"), "the init ends".into());
            scene = init.noting();
            continue;
        }
        // What is sent to two is noted by each in its own time; a higher number comes later.
        thread::sleep(Duration::from_millis(20));
        let noted = scene.noted().strip_prefix(&before).unwrap().to_owned();
        let mut who: Vec<&str> = noted.lines().filter(|l| !l.ends_with(" 30")).collect();
        who.sort();
        all.insert(format!("signal {signal}"), who.join(", "));
    }
    scene.stop();
    all
}

/// What each of two notes of many, none of which ends the init.
fn sent_at_once(init: &Init, signals: &[i32], expected: usize) -> Seen {
    let scene = init.noting();
    for signal in signals {
        scene.signal(*signal);
    }
    let noted = |who: &str| scene.noted_by(who);
    // Where more or fewer come the lists tell which.
    let limit = Instant::now() + Duration::from_secs(5);
    while noted("parent").len() + noted("child").len() < expected && Instant::now() < limit {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(50));
    let all = seen([
        ("parent", format!("{:?}", noted("parent"))),
        ("child", format!("{:?}", noted("child"))),
    ]);
    scene.stop().expect(11);
    all
}

#[test]
fn signals_reach_the_same_processes() {
    let faults = [4, 5, 6, 7, 8, 11, 31];
    let others = [9, 17, 19, 20, 21, 22, 32, 33];
    for (name, options, receivers, dropped) in [
        ("tini", vec![], 1, 0),
        ("tini", vec!["-g"], 2, 0),
        ("dumb-init", vec![], 2, 0),
        ("dumb-init", vec!["-c"], 1, 0),
        ("dumb-init", vec!["-r", "15:3", "-r", "1:0", "-r", "2:10"], 2, 1),
        ("catatonit", vec![], 1, 0),
        ("catatonit", vec!["-g"], 2, 0),
    ] {
        let forwarded =
            |s: &i32| !others.contains(s) && (name == "dumb-init" || !faults.contains(s));
        let signals: Vec<i32> = (1..=64).filter(forwarded).collect();
        let expected = receivers * (signals.len() - dropped);
        beside(name, &options, |init| sent_at_once(init, &signals, expected));
    }
}

/// A fault's signal that somebody sends is no fault. tini and catatonit end of it, or get none as
/// PID 1; here it is forwarded under each name, as dumb-init does.
#[test]
fn the_signals_of_faults_are_forwarded_under_each_name() {
    for name in ["tini", "catatonit"] {
        for place in PLACES {
            let real = sent(&Init::real(name).at(place), &[4, 11, 31]);
            let none = if place == Place::First { "" } else { "the init ends" };
            assert!(real.values().all(|v| v == none), "{name} {place:?}: {real:?}");
            let ours = sent(&Init::ours(name).at(place), &[4, 11, 31]);
            assert_eq!(ours["signal 11"], "parent 11", "{name} {place:?}");
            assert!(ours.values().all(|v| v.starts_with("parent ")), "{name} {place:?}: {ours:?}");
        }
    }
}

/// catatonit takes the three of job control for itself, and blocks them in its child: who relies on
/// TSTP had to do without `--init`. Here they go as under tini.
#[test]
fn a_stop_reaches_the_child_under_catatonits_name_too() {
    for place in PLACES {
        let stops = [20, 21, 22];
        let real = sent(&Init::real("catatonit").at(place), &stops);
        assert!(real.values().all(String::is_empty), "{real:?}");
        let tini = sent(&Init::real("tini").at(place), &stops);
        assert_eq!(sent(&Init::ours("tini").at(place), &stops), tini);
        assert_eq!(sent(&Init::ours("catatonit").at(place), &stops), tini);
    }
}

/// Who is stopped by each of the three, and that all go on.
fn stopped(init: &Init) -> Seen {
    let mut all = Seen::new();
    let scene = init.noting();
    let state = |pid: i32| if state(pid) == 'T' { "stopped" } else { "awake" };
    let both = || (state(scene.pid), state(scene.child()));
    let continued = || scene.noted_by("parent").iter().filter(|s| **s == 18).count();
    for (round, stop) in [20, 21, 22].into_iter().enumerate() {
        let before = scene.noted_by("parent").len();
        scene.signal(stop);
        // By a rule for nothing nothing may come of it.
        let limit = Instant::now() + Duration::from_millis(500);
        while scene.noted_by("parent").len() == before
            && both() == ("awake", "awake")
            && Instant::now() < limit
        {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(50));
        all.insert(format!("stop {stop}"), format!("{:?} {:?}", both(), scene.noted_by("parent")));
        // One that comes before the stop is complete is cancelled by it (signal(7)).
        eventually("both go on", || {
            if both() != ("awake", "awake") || continued() == round {
                scene.signal(18);
            }
            thread::sleep(Duration::from_millis(50));
            (both() == ("awake", "awake") && continued() > round).then_some(())
        });
    }
    scene.stop().expect(11);
    all
}

#[test]
fn dumb_init_stops_alike() {
    for options in [vec![], vec!["-c"], vec!["-r", "20:15", "-r", "21:0"]] {
        beside("dumb-init", &options, stopped);
    }
}

/// Each end of a child, by what it is started with.
fn ends(init: &Init) -> Seen {
    let files = "printf '#!/nonexistent\\n' >/tmp/lost; printf x >/tmp/closed; printf 'exit 5\\n' >/tmp/plain
        chmod 755 /tmp/lost /tmp/plain; ln -s loop /tmp/loop";
    let mut all = Seen::new();
    for script in ["exit 0", "exit 255", "kill -TERM $$", "kill -KILL $$", "kill -64 $$"] {
        all.insert(script.into(), init.script(script).code().to_string());
    }
    for program in [
        "nonexistent",
        "",
        "/tmp/lost",
        "/tmp/closed",
        "/tmp/plain",
        "/etc",
        "/etc/passwd/x",
        "/tmp/loop",
    ] {
        let ended = init.clone().after(files).run(&["--", program]);
        all.insert(program.into(), ended.code().to_string());
    }
    all
}

#[test]
fn a_child_ends_alike() {
    for name in PEERS {
        beside(name, &[], ends);
    }
    beside("tini", &["-e", "143", "-e", "255"], ends);
    beside("dumb-init", &["-c"], ends);
}

/// Whose an orphan is, and what becomes of it at the end of the child. What is seen a moment later
/// of its own group and session.
fn orphans(init: &Init) -> Seen {
    let noting = |name: &str| {
        format!(
            "sh -c 'trap \"echo {name} >>/mnt/out/got\" TERM; echo up >/mnt/out/{name}; while :; do sleep 0.05; done'"
        )
    };
    let child = format!(
        "({} &); (setsid {} &)
        while [ ! -s /mnt/out/group ] || [ ! -s /mnt/out/apart ]; do sleep 0.02; done
        for f in /proc/[0-9]*/stat; do read -r l <$f || continue; set -- $l; [ \"$4\" = 1 ] && echo x; done 2>/dev/null | wc -l >/mnt/out/of-1
        exit 5",
        noting("group"),
        noting("apart"),
    );
    let after = "\"$@\"; echo $? >/mnt/out/status; sleep 0.3; sort /mnt/out/got >/mnt/out/told
        for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null | grep -c '^sh -c trap' >/mnt/out/left; exit 0";
    let sandbox = crate::sandbox::Sandbox::new();
    sandbox.put_out("got", "");
    crate::util::give(&sandbox.path("out/got"), 0o666);
    let below = init.clone().at(Place::First).through(&["sh", "-c", after, "sh"]);
    crate::util::run(below.command(&sandbox, &["--", "sh", "-c", &child])).expect(0);
    let out = |name: &str| fs::read_to_string(sandbox.path("out").join(name)).unwrap();
    let adopted = if out("of-1").trim() == "1" { "the init's" } else { "PID 1's" };
    seen([
        ("status", out("status")),
        ("told", out("told").replace('\n', " ")),
        ("left", out("left")),
        ("orphans", adopted.to_owned()),
    ])
}

#[test]
fn orphans_are_left_alike() {
    for (name, options) in [
        ("tini", vec![]),
        ("tini", vec!["-g"]),
        ("dumb-init", vec![]),
        ("dumb-init", vec!["-c"]),
        ("dumb-init", vec!["-r", "15:10"]),
        ("catatonit", vec![]),
    ] {
        let real = orphans(&Init::real(name).with(&options));
        let mut ours = orphans(&Init::ours(name).with(&options));
        if name != "catatonit" {
            assert_eq!(real["orphans"], "PID 1's", "{name}: {real:?}");
            assert_eq!(ours["orphans"], "the init's", "{name}: {ours:?}: {ADOPTS}");
            ours.insert("orphans".into(), real["orphans"].clone());
        }
        assert_eq!(ours, real, "{name} {options:?}");
    }
    let asked = ["-s"];
    let real = orphans(&Init::real("tini").with(&asked));
    assert_eq!(orphans(&Init::ours("tini").with(&asked)), real);
}

#[test]
fn the_terminal_is_the_childs_alike() {
    for (name, options) in [
        ("tini", vec![]),
        ("tini", vec!["-g"]),
        ("dumb-init", vec![]),
        ("dumb-init", vec!["-c"]),
        ("catatonit", vec![]),
    ] {
        let real = terminal::standing(&Init::real(name).with(&options));
        assert_eq!(
            terminal::standing(&Init::ours(name).with(&options)),
            real,
            "{name} {options:?}"
        );
    }
}

/// What is told of orphans as they are reaped: who asked for it gets a line an orphan.
#[test]
fn the_reaped_are_told_alike() {
    let script = "(sh -c 'exit 5' &); (sh -c 'exit 6' &); sleep 0.3; exit 2";
    for options in [vec!["-w"], vec![]] {
        let lines = |init: Init| {
            let told = init.with(&options).script(script).expect(2).stderr;
            told.to_lowercase().lines().filter(|l| l.contains("reaped")).count()
        };
        assert_eq!(lines(Init::ours("tini")), lines(Init::real("tini")), "{options:?}");
    }
}

/// Whoever stops a container decides how long it may take.
#[test]
fn under_another_name_nothing_is_killed_for_its_slowness() {
    let script = "trap 'sleep 8; exit 21' TERM; echo up >/mnt/out/up; while :; do sleep 0.05; done";
    let scenes = PEERS.map(|name| {
        let mut scene = Init::ours(name).start(&["--", "sh", "-c", script]);
        scene.reaches("up");
        scene.signal(15);
        scene
    });
    for scene in scenes {
        assert!(scene.end().expect(21).took.as_secs() >= 8);
    }
}
