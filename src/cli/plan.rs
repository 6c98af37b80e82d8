//! `agent plan`.

use super::args::PlanArgs;
use super::config::print_errors;
use super::{print, print_json};
use crate::config::Config;
use crate::config::value::Span;
use crate::ec2::imds::{self, Settings};
use crate::phases::metadata;
use crate::plan::Facts;
use crate::stub::payload;
use crate::{boot, config, plan, survey};
use std::os::unix::ffi::OsStrExt;

/// A person is waiting: a service that doesn't answer at once is left out.
const PATIENCE: Span = Span::seconds(4);

/// Adds what the metadata service says; where it says nothing the plan tells so.
fn read_metadata(config: &Config, facts: &mut Facts) {
    let deadline = if config.ec2.deadline < PATIENCE { config.ec2.deadline } else { PATIENCE };
    let settings = Settings { deadline, ..metadata::settings(config) };
    match imds::collect(&settings).map_err(|e| e.problem()) {
        Ok(found) => {
            let _ = survey::take_in(facts, config, found, None);
        }
        Err(problem) => facts.notes.push(format!(
            "the instance metadata is not in this plan: {}; next: {}",
            problem.message, problem.next
        )),
    }
}

pub(super) fn main(args: &PlanArgs) -> u8 {
    let config = match config::load(&boot::sources(args.config.as_ref())) {
        Ok(config) => config,
        Err(e) => return print_errors(&e.errors),
    };
    let text = std::env::var_os(payload::VARIABLE);
    let (mut facts, _) = survey::survey(&config, text.as_ref().map(|t| t.as_bytes()));
    if config.ec2.enabled {
        read_metadata(&config, &mut facts);
    }
    let plan = plan::resolve(&config, &facts, false);
    if !args.json {
        print(&plan);
        return 0;
    }
    u8::from(!print_json(&plan, "the plan"))
}
