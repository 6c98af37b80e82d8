//! The words and options of the command line.

use crate::config::value::Span;
use crate::plan::PhaseName;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// The first process of a sandbox.
///
/// Boots a container or a machine (volume, tools, the user's script), tells the truth
/// about it, and is a small init beside.
#[derive(Debug, Parser)]
#[command(name = "agent", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  agent try --bootstrap setup.sh      rehearse a boot here, without root
  agent init -- sleep infinity        what an image's ENTRYPOINT runs
  agent status                        how the boot went, and what to do next
  agent plan                          what a boot would do")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run as the first process: boot, start COMMAND, reap, forward signals, stop in order.
    #[command(disable_help_flag = true)]
    Init {
        /// See `agent init --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Boot: check the volume, reconcile the tools, run the user's script.
    Boot(BootArgs),
    /// Print what a boot would do, and do nothing.
    Plan(PlanArgs),
    /// Check configuration files.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Tell how the boot went.
    Status(StatusArgs),
    /// Tell EC2 by tags how the boot ended.
    Tags(TagsArgs),
    /// Tell whether this machine counts as used, and when it stops itself.
    Idle(IdleArgs),
    /// Take out of a machine what an image of it must not hold.
    Clean(CleanArgs),
    /// Tell where the logs are, show one, or make an archive for a support ticket.
    Logs(LogsArgs),
    /// Tools: backend policy, baseline, lockfiles, what goes along to another machine.
    Tools {
        #[command(subcommand)]
        command: super::tools::ToolsCommand,
    },
    /// Rehearse a whole boot on this machine, without root or a container engine.
    Try(TryArgs),
    /// What the agent runs of itself.
    #[command(hide = true)]
    Internal {
        #[command(subcommand)]
        command: InternalCommand,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 complete, 1 failed, 2 degraded, 64 wrong usage, 75 another boot is running.

The user's script and the guest duties run once on an instance. Run by hand, a boot repeats
everything else. With --only the status of the whole boot stays what it was, unless a phase
that is run fails; what the exit status tells is how these phases ended.

Examples:
  agent boot --only login              see to the login user, as far as it was not done
  agent boot --only host-keys --again  make new SSH host keys")]
pub(super) struct BootArgs {
    /// Run the user's script again, whatever happened before; with --only, whatever these phases
    /// do once on an instance
    #[arg(long)]
    pub(super) again: bool,
    /// Run this phase alone (can be given more than once), after reading the instance metadata
    #[arg(long, value_name = "PHASE", value_parser = PhaseName::parse, conflicts_with_all = ["from_init", "user_data"])]
    pub(super) only: Vec<PhaseName>,
    /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Form of log lines: text or json
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub(super) log_format: Option<String>,
    /// On an EC2 instance: take the user-data from this file. A boot that this machine has
    /// already had since it was started isn't repeated: its end is waited for and told
    #[arg(long, value_name = "FILE")]
    pub(super) user_data: Option<PathBuf>,
    /// On an EC2 instance: leave the tags to `agent tags`, which the unit agent-tags runs
    #[arg(long)]
    pub(super) no_tags: bool,
    /// PID 1 is the parent: payload on standard input, handoff on standard output
    #[arg(long, hide = true)]
    pub(super) from_init: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 the plan is printed, 1 the configuration has errors, 64 wrong usage."
)]
pub(super) struct PlanArgs {
    /// Print JSON (schema agent.plan/1)
    #[arg(long)]
    pub(super) json: bool,
    /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check files, each by itself; without any, everything a boot would read.
    ///
    /// Errors are printed as FILE:LINE:COLUMN, the form editors jump to.
    #[command(after_help = "Exit status: 0 no error, 1 errors, 64 wrong usage.")]
    Check {
        /// The files
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 complete, 1 failed, 2 degraded, 3 still running, 4 nothing booted,
64 wrong usage.

Examples:
  agent status --wait --timeout 5m && work     go on when the sandbox is ready
  agent status --wait-phase login -q           go on when somebody can log in, or could not be let in
  agent status --quiet --allow-degraded        a health check or probe
  agent status --json | jq .phases")]
pub(super) struct StatusArgs {
    /// Print JSON (schema agent.status/1)
    #[arg(long)]
    pub(super) json: bool,
    /// Wait until the boot has ended
    #[arg(long, group = "waits")]
    pub(super) wait: bool,
    /// Wait until this phase has ended, whichever way, or the boot has without it; exit with
    /// 0 where it ended well or degraded, 1 where it did not, 3 and 4 where the time was up
    #[arg(long, value_name = "PHASE", value_parser = PhaseName::parse, group = "waits")]
    pub(super) wait_phase: Option<PhaseName>,
    /// How long to wait at most, such as 90s or 5m
    #[arg(long, value_name = "SPAN", value_parser = Span::parse, default_value = "10m", requires = "waits")]
    pub(super) timeout: Span,
    /// Print nothing; the exit status tells
    #[arg(long, short, conflicts_with = "json")]
    pub(super) quiet: bool,
    /// Exit with 0 also where the state is degraded
    #[arg(long)]
    pub(super) allow_degraded: bool,
    /// The config file that the boot was started with (default: PID 1's own --config)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Draw the phases as a waterfall
    #[arg(long, conflicts_with_all = ["json", "quiet"])]
    pub(super) timeline: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Writes mint:bootstrap (complete or failed), mint:health, and on failure before them
mint:bootstrap-failure-phase, with the credentials of the instance's role. Each is tried
again for a while (ec2.tags_deadline). It changes nothing of the boot's outcome, and can be
repeated at any time; `agent status` shows where a tag disagrees.

Exit status: 0 all written, or nothing to write; 1 not all; 3 the boot is still running,
4 nothing booted, 64 wrong usage.")]
pub(super) struct TagsArgs {
    /// Wait for the end of a boot that is running, and for a metadata service that is away as
    /// long as for the EC2 API
    #[arg(long)]
    pub(super) wait: bool,
    /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Exit status: 0 it is told, 1 it cannot be told whether somebody uses the machine,
64 wrong usage.")]
pub(super) struct IdleArgs {
    #[command(subcommand)]
    pub(super) command: Option<IdleCommand>,
    /// Print JSON (schema agent.idle/1)
    #[arg(long)]
    pub(super) json: bool,
    /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The archive holds status, journal, plan, logs, configuration, versions, mounts, and messages
of the kernel and of the agent's units since the start. Secrets are masked, and the output of the
user's script is left out. Run it as root: what cannot be read is missing.

Exit status: 0 done, 1 not done, 64 wrong usage.

Examples:
  agent logs tools                          the log of a phase or step
  sudo agent logs --bundle /tmp/agent.tar.gz")]
pub(super) struct LogsArgs {
    /// The phase or step whose log is printed
    #[arg(value_name = "NAME", conflicts_with = "bundle")]
    pub(super) name: Option<String>,
    /// Make this archive; it must not be there yet
    #[arg(long, value_name = "FILE.tar.gz")]
    pub(super) bundle: Option<PathBuf>,
    /// The config file that the boot was started with (default: PID 1's own --config)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Removes the agent's own state, host keys, the machine id, authorized keys, user-data, logs,
histories, seeds, leases, temporary files. Credentials of people (~/.aws/credentials, .netrc,
private keys) are listed and never removed. Without --yes it removes nothing.

Exit status: 0 nothing left that would leak; 1 something is, or it is refused; 64 wrong usage.

Examples:
  agent clean --check                 what would leak, as a gate of a pipeline
  sudo agent clean --yes              the last step of a bake, before the machine is stopped
  agent clean --yes --root /mnt       an image that is mounted")]
pub(super) struct CleanArgs {
    /// List what would leak into an image, and remove nothing
    #[arg(long, conflicts_with = "yes")]
    pub(super) check: bool,
    /// Remove it
    #[arg(long)]
    pub(super) yes: bool,
    /// The root of an image that is mounted, in place of this machine
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Print JSON (schema agent.clean/1)
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum IdleCommand {
    /// Look, count, and stop the machine where it is time: what agent-idle.timer runs.
    #[command(after_help = "\
Exit status: 0 done, 1 it cannot be told whether somebody uses the machine, or it could not be
stopped; 64 wrong usage.")]
    Check,
    /// Keep the machine up for a while, whoever uses it.
    #[command(after_help = "\
A later one takes the place of an earlier one. It ends with the machine's next start.

Exit status: 0 done, 1 not done, 64 wrong usage.

Examples:
  agent idle extend 2h
  agent idle extend --cancel")]
    Extend {
        /// For how long, such as 90m or 2h
        #[arg(value_name = "SPAN", value_parser = Span::parse, required_unless_present = "cancel", conflicts_with = "cancel")]
        span: Option<Span>,
        /// Take an extension back
        #[arg(long)]
        cancel: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
The sandbox is real and thrown away: user, pid and mount namespaces, the real PID 1, an
empty home in memory, everything else read-only, this machine's mise where it has one,
and this machine's network.

Exit status: COMMAND's; without COMMAND the boot's: 0 complete, 1 failed, 2 degraded;
64 wrong usage; 66 script or config cannot be used; 69 this machine does not allow it.

Examples:
  agent try --bootstrap setup.sh
  agent try --bootstrap setup.sh -- bash      look around afterwards")]
pub(super) struct TryArgs {
    /// The user script to rehearse
    #[arg(long, value_name = "FILE")]
    pub(super) bootstrap: Option<PathBuf>,
    /// The agent's config to rehearse with (default: the built-in one)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// What to run in the sandbox after the boot
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(super) enum InternalCommand {
    /// Read the instance metadata: JSON in, JSON out.
    Metadata,
    /// Check and fill one volume as the sandbox user: JSON in, JSON out.
    Volume,
    /// Add the launch's keys to the login user's, as that user: JSON in, JSON out.
    AuthorizedKeys,
    /// Mount one volume: JSON in, JSON out.
    Mount,
    /// Look for programs and files: JSON in, JSON out.
    Health,
    /// Answer one question about a volume's storage as root: JSON in, JSON out.
    Storage,
    /// See to the sandbox user's home as that user: JSON in, JSON out.
    Home,
    /// Look at what lies on the disk about tools, as the sandbox user: JSON in, JSON out.
    Tools,
    /// Ask mise for its backends and try the policy, as the sandbox user: JSON in, JSON out.
    Policy,
    /// Copy the image's mise configuration, as the sandbox user: JSON in, JSON out.
    ImageConfig,
    /// Link programs of the image's tools on the volume, as the sandbox user: JSON in, JSON out.
    ToolsLinks,
    /// Move tools aside and back, as the sandbox user: JSON in, JSON out.
    ToolsAside,
    /// Sync file systems: JSON in, JSON out.
    Settle,
    /// Check that tools are whole, as the sandbox user: JSON in, JSON out.
    ToolsVerify,
    /// Record the end of a boot that died.
    Recover {
        /// What ended it, or why it could not be started.
        by: String,
        #[arg(long)]
        unstarted: bool,
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Unmount what a boot has mounted, as PID 1 ends.
    Unmount { targets: Vec<PathBuf> },
    /// Set a rehearsal's stage and become its PID 1.
    Rehearse {
        /// Where the rehearsal's description is open.
        descriptor: i32,
    },
    /// Print status and timeline, then become COMMAND.
    Report {
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}
