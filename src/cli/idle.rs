//! `agent idle`.

use super::args::{IdleArgs, IdleCommand};
use super::{print, print_json};
use crate::config::value::human;
use crate::idle::{self, Checked, Extended, Stand};
use crate::views::idle::Text;

pub(super) fn main(args: &IdleArgs) -> u8 {
    let config = args.config.as_ref();
    match &args.command {
        None => look(args),
        Some(IdleCommand::Check) => u8::from(idle::check(config) == Checked::Trouble),
        Some(IdleCommand::Extend { span, .. }) => match idle::extend(config, *span) {
            Ok(extended) => {
                print(&format_args!("{}\n", told(extended)));
                0
            }
            Err(why) => {
                eprintln!("agent: idle: {why}");
                1
            }
        },
    }
}

fn told(extended: Extended) -> String {
    match extended {
        Extended::For(span) => format!("this machine does not stop itself for {}", human(span)),
        Extended::Asked(span) if span.is_zero() => {
            "no extension any more, from the next check on".to_owned()
        }
        Extended::Asked(span) => format!(
            "this machine does not stop itself for {}; the next check, within minutes, takes that down",
            human(span)
        ),
        Extended::Cancelled => "no extension any more".to_owned(),
    }
}

fn look(args: &IdleArgs) -> u8 {
    let report = match idle::look(args.config.as_ref()) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("agent: idle: {why}");
            return 1;
        }
    };
    if args.json {
        print_json(&report, "idle: the report");
    } else {
        print(&Text(&report));
    }
    u8::from(report.state == Stand::Unknown)
}
