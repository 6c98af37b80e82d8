//! Every reader of `agent` that meets bytes which somebody else wrote, as targets of libFuzzer.
//!
//! One program: a target is chosen by the variable `AGENT_FUZZ`, so that all are linked once and
//! share one table of what is covered. `tests/fuzz` builds and runs it; README.md says how.
//!
//! No panic is the least. Each target also says what must hold of an answer, and [`limits`] what
//! any input may cost.
#![no_main]

mod coverage;
mod limits;
mod targets;

use std::sync::OnceLock;
use targets::Target;

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

fn choose() {
    match std::env::var("AGENT_FUZZ").as_deref() {
        Ok("list") => {
            targets::ALL.iter().for_each(|t| println!("{}", t.name));
            std::process::exit(0);
        }
        Ok("coverage") => coverage::report(),
        Ok(name) => match targets::ALL.iter().find(|t| t.name == name) {
            Some(target) => _ = CHOSEN.set(target),
            None => usage(&format!("AGENT_FUZZ={name} is no target")),
        },
        Err(_) => usage("AGENT_FUZZ names no target"),
    }
}

fn usage(what: &str) -> ! {
    eprintln!("agent-fuzz: {what}; `tests/fuzz` runs this program");
    std::process::exit(64);
}

libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        limits::held(target, data);
    }
});
