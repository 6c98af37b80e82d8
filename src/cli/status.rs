//! `agent status`.

use super::args::StatusArgs;
use super::{print, print_json};
use crate::journal::event::PhaseResult;
use crate::journal::status::PhaseState;
use crate::journal::{State, Status};
use crate::observe;
use crate::plan::PhaseName;
use crate::views::status::Text;
use crate::views::timeline::Timeline;

pub(super) fn main(args: &StatusArgs) -> u8 {
    let config = args.config.as_deref();
    let status = if let Some(phase) = args.wait_phase {
        observe::phase_ended(config, phase, args.timeout.0, &observe::boot_may_begin)
    } else if args.wait {
        observe::ended(config, args.timeout.0, &observe::boot_may_begin)
    } else {
        observe::status(config)
    };
    if args.json {
        print_json(&status, "the status");
    } else if !args.quiet {
        print(&Text(&status));
        if args.timeline {
            print(&format_args!("\n{}", Timeline(&status)));
        }
    }
    if let Some(phase) = args.wait_phase {
        return phase_code(&status, phase);
    }
    match status.state {
        State::Degraded if args.allow_degraded => 0,
        state => state.exit_code(),
    }
}

/// How the phase ended, as an exit status; the state's where it has not ended.
fn phase_code(status: &Status, phase: PhaseName) -> u8 {
    match status.phase_state(phase) {
        Some(PhaseState::Ended(PhaseResult::Ok | PhaseResult::Skipped | PhaseResult::Degraded)) => {
            0
        }
        Some(PhaseState::Ended(_) | PhaseState::NotRun) => 1,
        _ if matches!(status.state, State::Running | State::None) => status.state.exit_code(),
        // The boot has ended, and had no such phase.
        _ => 1,
    }
}
