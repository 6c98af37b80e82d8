//! `agent plan`.

use super::args::PlanArgs;
use super::config::print_errors;
use super::print;
use crate::stub::payload;
use crate::{boot, config, plan, survey};
use std::os::unix::ffi::OsStrExt;

pub(super) fn main(args: &PlanArgs) -> u8 {
    let config = match config::load(&boot::sources(args.config.as_ref())) {
        Ok(config) => config,
        Err(e) => return print_errors(&e.errors),
    };
    let text = std::env::var_os(payload::VARIABLE);
    let (facts, _) = survey::survey(&config, text.as_ref().map(|t| t.as_bytes()));
    let plan = plan::resolve(&config, &facts, false);
    if !args.json {
        print(&plan);
        return 0;
    }
    match serde_json::to_string_pretty(&plan) {
        Ok(json) => {
            print(&format_args!("{json}\n"));
            0
        }
        Err(e) => {
            eprintln!("agent: the plan cannot be printed: {e}");
            1
        }
    }
}
