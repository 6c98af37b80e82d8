//! Every signal at random, as fast as they can be sent, while orphans come by the hundred: PID 1
//! lives, loses no real-time signal and no last word of a standard one, leaves nobody defunct,
//! grows by nothing, and ends with the workload's status.
//!
//! `AGENT_TEST_STORM_SECONDS` makes each storm last longer; `AGENT_TEST_STORM_SEED` repeats one.
//! With `--nocapture` the figures are printed.

use crate::inits::named;
use crate::sandbox::Sandbox;
use crate::util::{Running, child_of, children, eventually, run, start};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Both ends of a storm.
const SCRIPT: &str = include_str!("storm.pl");

const CHLD: usize = 17;
const CONT: usize = 18;
const TERM: usize = 15;
/// Those that stop a process: the kernel takes a CONT back that is still waiting when one comes,
/// and the other way round (`signal(7)`).
const STOPS: [usize; 3] = [20, 21, 22];

/// How many signals are sent before all of them must have come. Few enough for the queue
/// (`RLIMIT_SIGPENDING`), as a real-time signal that finds it full is lost where it was sent.
const ROUND: usize = 1000;

/// The kernel's first real-time signal. Those are queued, each; of others one at a time.
const REAL_TIME: usize = 32;

/// How a storm meets an init.
struct Weather {
    what: &'static str,
    name: &'static str,
    options: &'static [&'static str],
    /// PID 1, or the child of one.
    first: bool,
    /// Not sent in the storm: it asks for the end.
    not_yet: Option<usize>,
    /// Stops are followed, so CONT must be sent until it goes on.
    follows_stops: bool,
}

const AGENT: Weather = Weather {
    what: "agent init",
    name: "agent",
    options: &["init", "--no-boot"],
    first: true,
    not_yet: Some(TERM),
    follows_stops: false,
};

#[test]
fn pid_1_in_a_storm() {
    storm(&AGENT);
}

#[test]
fn a_subreaper_in_a_storm() {
    let options = &["init", "--no-boot", "--grace", "20s"];
    storm(&Weather { what: "agent init as a subreaper", options, first: false, ..AGENT });
}

const TINI: Weather = Weather { what: "tini", name: "tini", options: &[], not_yet: None, ..AGENT };

#[test]
fn pid_1_by_the_name_of_tini_in_a_storm() {
    storm(&TINI);
}

const DUMB_INIT: Weather = Weather {
    what: "dumb-init",
    name: "dumb-init",
    options: &[],
    not_yet: None,
    follows_stops: true,
    ..AGENT
};

#[test]
fn pid_1_by_the_name_of_dumb_init_in_a_storm() {
    storm(&DUMB_INIT);
}

#[test]
fn a_subreaper_by_the_name_of_dumb_init_in_a_storm() {
    storm(&Weather { what: "dumb-init as a subreaper", first: false, ..DUMB_INIT });
}

/// What an init is told of each orphan, it tells: none is lost, and none is told twice.
#[test]
fn every_orphan_is_named_once_with_the_way_it_ended() {
    let sandbox = Sandbox::new();
    sandbox.put_out("storm.pl", SCRIPT);
    let seed = seed().to_string();
    let script = ["perl", "/mnt/out/storm.pl", "tally", &seed, "3000"];
    let init = ["agent", "init", "--no-boot", "--warn-on-reap", "--"];
    let ended = run(sandbox.pid1(&[&init[..], &script].concat())).expect(0);
    let mut told = BTreeMap::<&str, u32>::new();
    for line in ended.stderr.lines() {
        let (_, way) = line.split_once(": reaped process ").unwrap();
        let (_, way) = way.split_once(": ").unwrap();
        *told.entry(way).or_default() += 1;
    }
    let told: String = told.iter().map(|(way, n)| format!("{n} {way}\n")).collect();
    assert_eq!(told, sandbox.out("ways"));
}

/// Which signals reach the workload as they are.
impl Weather {
    fn sends(&self, signal: usize) -> bool {
        !matches!(signal, 9 | 19) && self.not_yet != Some(signal)
    }

    fn passes_on(&self, signal: usize) -> bool {
        // Of CONT and the stops only the last that was sent must come, which is CONT.
        let uncertain = STOPS.contains(&signal) || (signal == CONT && self.follows_stops);
        signal != CHLD && !uncertain
    }

    fn start(&self, sandbox: &Sandbox, seed: u64) -> Running {
        let seed = seed.to_string();
        let script = ["--", "perl", "/mnt/out/storm.pl", "count", &seed];
        let words = [self.options, &script].concat();
        if self.first {
            return start(named(sandbox, self.name, &words));
        }
        let line = format!("(exec -a {} agent \"$@\"); exit $?", self.name);
        start(sandbox.pid1(&[&["bash", "-c", &line, "bash"], &words[..]].concat()))
    }
}

fn storm(weather: &Weather) {
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let sandbox = Sandbox::new();
    sandbox.put_out("storm.pl", SCRIPT);
    let running = weather.start(&sandbox, rng.u64(..1 << 30));
    sandbox.out("seen");
    let outermost = child_of(running.pid());
    let init = Init(if weather.first { outermost } else { child_of(outermost) });
    let mut sender = Sender::to(init.0, &sandbox);

    let before = init.cost();
    sandbox.put_out("go", "now");
    sandbox.out("gone");
    let began = Instant::now();
    let mut sent = [0u64; 65];
    let mut defunct = 0;
    while began.elapsed() < length() {
        let signals = || Some(rng.usize(1..=64)).filter(|s| weather.sends(*s));
        let mut round: Vec<usize> = std::iter::repeat_with(signals).flatten().take(ROUND).collect();
        round.push(CONT);
        let last = sender.send(&round);
        round.iter().for_each(|signal| sent[*signal] += 1);
        defunct = defunct.max(init.defunct());
        all_come(weather, &sandbox, &sent, &last, || {
            if weather.follows_stops {
                sender.send(&[CONT]);
            }
        });
    }
    let lasted = began.elapsed();

    sandbox.put_out("calm", "now");
    sandbox.out("calm-now");
    let calm = Instant::now();
    eventually("nobody is defunct", || (init.defunct() == 0).then_some(()));
    let settled = calm.elapsed();
    let after = init.cost();
    let orphans = made(&sandbox);
    let counts = seen(&sandbox);
    if let Some(signal) = weather.not_yet {
        sent[signal] += 1;
        let last = sender.send(&[signal]);
        all_come(weather, &sandbox, &sent, &last, || ());
    }
    let (way, status) = end(&mut rng);
    sandbox.put_out("end", &way);
    let ended = running.end();

    let total = |of: &dyn Fn(usize) -> u64, real_time: bool| -> u64 {
        (1..=64).filter(|s| (*s >= REAL_TIME) == real_time).map(of).sum()
    };
    let came = |s: usize| counts.get(&s).map_or(0, |(n, _)| *n);
    let (signals, spent) = (sent.iter().sum::<u64>(), after.processor - before.processor);
    println!(
        "{}: {:.0} s, seed {seed}\n  sent: {} standard, {} real-time; came: {}, {}\n  orphans: {orphans}; at most {defunct} defunct, none {settled:.0?} after\n  processor: {spent:?}, {:?} a signal or orphan\n  memory: {} KiB before, {} KiB after\n  end: {} as {way}",
        weather.what,
        lasted.as_secs_f64(),
        total(&|s| sent[s], false),
        total(&|s| sent[s], true),
        total(&came, false),
        total(&came, true),
        spent / u32::try_from(signals + orphans).unwrap(),
        before.memory,
        after.memory,
        ended.code(),
    );
    assert_eq!(ended.code(), status, "{way}: {ended:#?}");
    assert!(settled < Duration::from_secs(1), "{settled:?}");
    assert!(orphans > 100, "{orphans}");
    // Not optimised, the loop calls a little that lies elsewhere in the program, 64 KiB at a time.
    assert!(after.memory <= before.memory + 192, "{before:?}, then {after:?}");
    assert!(spent < Duration::from_micros(300) * u32::try_from(signals + orphans).unwrap());
}

/// Waits until each signal has come that must: real-time ones as often as they were sent, the
/// others at least once after they were sent last.
#[track_caller]
fn all_come(
    weather: &Weather,
    sandbox: &Sandbox,
    sent: &[u64; 65],
    last: &BTreeMap<usize, f64>,
    mut meanwhile: impl FnMut(),
) {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let seen = seen(sandbox);
        let missing: Vec<String> = (1..=64)
            .filter(|signal| weather.passes_on(*signal) && sent[*signal] > 0)
            .filter_map(|signal| {
                let (count, at) = seen.get(&signal).copied().unwrap_or_default();
                let whole = if signal >= REAL_TIME {
                    count == sent[signal]
                } else {
                    last.get(&signal).is_none_or(|last| at >= *last)
                };
                (!whole).then(|| format!("{signal}: {count} of {}", sent[signal]))
            })
            .collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < limit, "not all have come: {missing:?}");
        meanwhile();
        sleep(Duration::from_millis(20));
    }
}

/// How often each signal came, and when it came last.
fn seen(sandbox: &Sandbox) -> BTreeMap<usize, (u64, f64)> {
    let text = fs::read_to_string(sandbox.path("out/seen")).unwrap_or_default();
    let entry = |word: &str| {
        let mut fields = word.split(':');
        let mut next = || fields.next().unwrap();
        (next().parse().unwrap(), (next().parse().unwrap(), next().parse().unwrap()))
    };
    text.split_whitespace().map(entry).collect()
}

/// How many orphans there were.
fn made(sandbox: &Sandbox) -> u64 {
    let files = fs::read_dir(sandbox.path("out")).unwrap().flatten();
    let made = files.filter(|f| f.file_name().to_str().unwrap().starts_with("made-"));
    made.map(|f| fs::read_to_string(f.path()).unwrap().trim().parse::<u64>().unwrap()).sum()
}

/// A way for the workload to end, and the status that is.
fn end(rng: &mut Rng) -> (String, i32) {
    if rng.bool() {
        let status = rng.i32(0..=255);
        return (format!("exit {status}"), status);
    }
    let signal = *rng.choice(&[1, 2, 3, 6, 9, 11, 13, 15, 31, 34, 50, 64]).unwrap();
    (format!("signal {signal}"), 128 + signal)
}

fn seed() -> u64 {
    let given = std::env::var("AGENT_TEST_STORM_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..1 << 30), |text| text.parse().unwrap());
    println!("AGENT_TEST_STORM_SEED={seed}");
    seed
}

fn length() -> Duration {
    let given = std::env::var("AGENT_TEST_STORM_SECONDS").ok();
    given.map_or(Duration::from_millis(1500), |text| Duration::from_secs(text.parse().unwrap()))
}

/// An init as the machine sees it.
struct Init(i32);

/// What it has used, or uses.
#[derive(Debug)]
struct Cost {
    processor: Duration,
    /// In KiB.
    memory: u64,
}

impl Init {
    /// How many of its descendants are defunct.
    fn defunct(&self) -> usize {
        let mut all = vec![self.0];
        let mut defunct = 0;
        while let Some(pid) = all.pop() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            defunct += usize::from(stat.contains(") Z "));
            all.extend(children(pid));
        }
        defunct
    }

    fn cost(&self) -> Cost {
        let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap();
        let stat = read("stat");
        let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11);
        let mut ticks = || fields.next().unwrap().parse::<u64>().unwrap();
        let rollup = read("smaps_rollup");
        let memory = rollup.lines().find_map(|l| l.strip_prefix("Rss:")).unwrap();
        Cost {
            // A tick is 10 ms wherever Linux runs (USER_HZ).
            processor: Duration::from_millis(10 * (ticks() + ticks())),
            memory: memory.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }
}

/// Sends signals without a process for each.
struct Sender {
    child: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Sender {
    fn to(pid: i32, sandbox: &Sandbox) -> Self {
        let mut command = Command::new("perl");
        command.arg(sandbox.path("out/storm.pl")).args(["send", &pid.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("perl");
        let lines = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, answers }
    }

    /// Sends all of them, and says when each was sent last.
    fn send(&mut self, signals: &[usize]) -> BTreeMap<usize, f64> {
        let line: Vec<String> = signals.iter().map(usize::to_string).collect();
        writeln!(self.lines, "{}", line.join(" ")).expect("PID 1 lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "PID 1 is gone");
        let time = |word: &str| {
            let (signal, time) = word.split_once(':').unwrap();
            (signal.parse().unwrap(), time.parse().unwrap())
        };
        answer.split_whitespace().map(time).collect()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
