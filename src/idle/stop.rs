//! How an idle machine ends: `StopInstances` in the role's name, or switching off.

use crate::config::{Config, StopBy};
use crate::ec2::imds::{self, Settings};
use crate::ec2::stop::{ShutdownBehaviour, shutdown_behaviour, stop_instance};
use crate::ec2::tags::{Account, Limits};
use crate::journal::{Problem, Status};
use crate::observe;
use crate::phases::metadata;
use crate::tools::run;
use std::process::Command;
use std::time::Duration;

/// How long the EC2 API may take in all, once for each call.
pub const API: Duration = Duration::from_secs(45);

/// How long systemd may take to take the order.
const ORDER: Duration = Duration::from_secs(20);

/// Stops the machine. `unused` looks once more, right before what can't be taken back: the
/// way to there takes seconds. Returns what was done, `None` where somebody has come meanwhile.
///
/// # Errors
/// It still runs, and why.
pub fn stop(
    config: &Config,
    status: &Status,
    unused: &dyn Fn() -> bool,
) -> Result<Option<String>, Problem> {
    if config.idle.stop == StopBy::PowerOff {
        return if unused() { power_off().map(Some) } else { Ok(None) };
    }
    let settings = metadata::settings(config);
    let (instance, region) = machine(status, &settings)?;
    let credentials = imds::credentials(&settings).map_err(|e| not_stopped(&e.problem()))?;
    let mut account = Account { region, endpoint: config.ec2.api.clone(), credentials };
    let limits = Limits { request_deadline: config.ec2.api_deadline.0, deadline: API };
    let mut renew = || imds::credentials(&settings).ok();
    if !unused() {
        return Ok(None);
    }
    let refused = match stop_instance(&mut account, &instance, &limits, &mut renew) {
        Ok(()) => return Ok(Some(format!("EC2 stops {instance}"))),
        Err(e) => e,
    };
    if config.idle.stop == StopBy::StopInstance || refused.protected() {
        return Err(refused.problem());
    }
    match shutdown_behaviour(&mut account, &instance, &limits, &mut renew) {
        Ok(ShutdownBehaviour::Stops) if unused() => power_off().map(Some),
        Ok(ShutdownBehaviour::Stops) => Ok(None),
        Ok(ShutdownBehaviour::Terminates) => {
            let mut problem = refused.problem();
            problem.message.push_str("; nor is it switched off, which would terminate it");
            Err(problem)
        }
        Err(unknown) => {
            let mut problem = refused.problem();
            problem.message.push_str(
                "; nor is it switched off, since the API doesn't say whether that would terminate it",
            );
            problem.evidence = Some(format!("{refused}; {unknown}"));
            Err(problem)
        }
    }
}

/// The instance and its region, as the boot learnt them, else as the service tells them now.
fn machine(status: &Status, settings: &Settings) -> Result<(String, String), Problem> {
    match (observe::ec2_instance(status), &status.machine) {
        (Some(_), Some(seen)) => Ok((seen.instance.clone(), seen.region.clone())),
        _ => {
            let found = imds::collect(settings).map_err(|e| not_stopped(&e.problem()))?;
            Ok((found.instance_id, found.region))
        }
    }
}

fn not_stopped(why: &Problem) -> Problem {
    Problem {
        message: format!("the idle machine was not stopped: {}", why.message),
        next: format!("{}; or set idle.stop = \"power-off\"", why.next),
        ..why.clone()
    }
}

/// Has systemd switch the machine off in order.
fn power_off() -> Result<String, Problem> {
    let mut command = Command::new("systemctl");
    command.args(["--no-block", "poweroff"]).current_dir("/");
    let why = match run::to_end(command, ORDER) {
        Ok(output) if output.status.success() => return Ok("the machine is switched off".into()),
        Ok(output) => format!("{}: {}", output.status, output.stderr.trim()),
        Err(e) => e.to_string(),
    };
    Err(Problem::new(
        "power-off-failed",
        "the idle machine was not stopped: systemctl poweroff failed",
        "try it by hand: `systemctl poweroff`",
    )
    .evidence(why))
}
