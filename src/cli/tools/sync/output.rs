//! What the commands print, and the archive's own file.

use crate::sys::beneath::{Dir, Kind};
use crate::tools::sync::bundle::Bundle;
use crate::tools::sync::ground::{Ground, Spot};
use crate::tools::sync::import::{Plan, What};
use crate::tools::sync::staying::files;
use crate::tools::sync::table::{ROWS, Root, Row, Synced, USER_DIRECTORY};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// One row of the table on this machine.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    path: PathBuf,
    synced: Synced,
    present: bool,
    reason: &'static str,
    /// Why it can't be taken, where it is there.
    blocked: Option<String>,
    #[serde(skip)]
    shown: String,
}

/// The table, each workspace's rows once for each.
pub(super) fn rows(ground: &Ground, workspaces: &[String]) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in ROWS {
        match row.root_in(&ground.places) {
            Some(_) if row.root == Root::Config => {
                lines.push(below_home(ground, row, &format!("{USER_DIRECTORY}/{}", row.name)));
            }
            Some(root) => lines.push(elsewhere(ground, row, root)),
            None if workspaces.is_empty() => lines.push(Line {
                path: Path::new("WORKSPACE").join(row.name),
                synced: row.synced,
                present: false,
                reason: row.reason,
                blocked: None,
                shown: format!("WORKSPACE/{}", row.name),
            }),
            None => {
                let of = |w: &String| below_home(ground, row, &format!("{w}/{}", row.name));
                lines.extend(workspaces.iter().map(of));
            }
        }
    }
    lines
}

fn below_home(ground: &Ground, row: &Row, path: &str) -> Line {
    let spot = ground.spot(path);
    let directory = path.strip_suffix(row.name).map(|d| d.trim_end_matches('/'));
    let (present, blocked) = match directory {
        Some(directory) if row.name.contains('*') => match files(ground, directory, row) {
            Ok(found) => (!found.is_empty(), None),
            Err(e) => (true, Some(e.to_string())),
        },
        _ => presence(&spot),
    };
    let shown = ground.shown(path);
    Line { path: spot.path(), synced: row.synced, present, reason: row.reason, blocked, shown }
}

/// Is it there, and what keeps it from being taken?
fn presence(spot: &Spot) -> (bool, Option<String>) {
    let kind = match spot.directory() {
        Ok(Some(dir)) => dir.kind(spot.name()),
        Ok(None) => return (false, None),
        Err(e) => return (true, Some(e.to_string())),
    };
    match kind {
        Ok(Kind::Missing) => (false, None),
        Ok(Kind::File | Kind::Directory) => (true, None),
        Ok(Kind::Link) => (true, Some("it is a symbolic link, which is not followed".into())),
        Ok(Kind::Special) => (true, Some("it is no regular file".into())),
        Err(e) => (true, Some(e.to_string())),
    }
}

/// A directory of mise's that stays where it is.
fn elsewhere(ground: &Ground, row: &Row, root: &Path) -> Line {
    let (shown, present) = match root.strip_prefix(&ground.places.home) {
        // Root may be asked too, and follows no link of the user's.
        Ok(below) => {
            let spot = Spot::new(&ground.places.home, true, below);
            (format!("~/{}", below.display()), presence(&spot).0)
        }
        Err(_) => (root.display().to_string(), root.symlink_metadata().is_ok()),
    };
    Line {
        path: root.into(),
        synced: row.synced,
        present,
        reason: row.reason,
        blocked: None,
        shown,
    }
}

/// The table as a person reads it.
pub(super) fn list_text(lines: &[Line], pending: bool) -> String {
    let width = lines.iter().map(|l| l.shown.len()).max().unwrap_or_default();
    let mut text = String::new();
    for line in lines {
        let synced = match line.synced {
            Synced::Yes => "yes",
            Synced::No => "no",
            Synced::Never => "never",
        };
        let present = if line.present { "present" } else { "absent" };
        let shown = &line.shown;
        let _ = writeln!(text, "{synced:<5}  {shown:<width$}  {present:<7}  {}", line.reason);
        if let Some(why) = &line.blocked {
            let _ = writeln!(text, "       {:<width$}  {why}", "");
        }
    }
    if pending {
        text.push_str("\nan import was cut off: the next import, export or boot finishes it\n");
    }
    text
}

/// The same for a program.
pub(super) fn list_json(lines: &[Line], pending: bool) -> String {
    let value = serde_json::json!({
        "schema": "agent.tools-sync/1",
        "rows": lines,
        "import_pending": pending,
    });
    format!("{value:#}\n")
}

/// What an import did, or would do.
pub(super) fn import_text(plan: &Plan, dry_run: bool, undo: bool, ground: &Ground) -> String {
    let home = &ground.places.home;
    let shown = |path: &Path| match path.strip_prefix(home) {
        Ok(below) => format!("~/{}", below.display()),
        Err(_) => path.display().to_string(),
    };
    let mut text = String::new();
    for change in &plan.changes {
        let what = match change.what {
            What::Added => "added",
            What::Replaced => "replaced",
            What::Unchanged => "unchanged",
            What::Removed => "removed",
            What::Skipped => "left out",
        };
        let _ = write!(text, "{what:<9}  {}", shown(&change.path));
        text.push_str(match change.what {
            What::Removed if undo => "  (that import had added it)\n",
            What::Removed => "  (the archive has its config without a lock)\n",
            What::Skipped => "  (the workspace is not here)\n",
            _ => "\n",
        });
    }
    if plan.changes.iter().any(|change| change.backup.is_some()) {
        let _ = writeln!(text, "\nwhat was there is kept in {}", shown(&plan.backups.path()));
    }
    if !plan.is_empty() && !dry_run {
        let line = format!("agent tools import --undo {}", plan.backups.name());
        let _ = writeln!(text, "\n`{line}` takes this back");
    }
    text.push_str(match (plan.is_empty(), dry_run) {
        (true, _) => "\nnothing to do\n",
        (false, true) => "\nnothing is changed: this was a dry run\n",
        (false, false) => {
            "\n`agent boot` installs the tools; in a workspace: `mise trust`, `mise install`\n"
        }
    });
    text
}

/// The same for a program.
pub(super) fn import_json(plan: &Plan, dry_run: bool) -> String {
    let value = serde_json::json!({
        "schema": "agent.tools-import/1",
        "dry_run": dry_run,
        "undo": (!dry_run && !plan.is_empty()).then(|| plan.backups.name()),
        "files": plan.changes,
    });
    format!("{value:#}\n")
}

/// May the archive be written here? Not over what it holds, nor where mise or the agent would
/// take it for a file of theirs.
pub(super) fn is_apart(path: &Path, bundle: &Bundle, ground: &Ground) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("{}: {why}; name another FILE", path.display()));
    // By its directory's real name; a directory that isn't there is another error's.
    let real = |path: &Path| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(fs::canonicalize(parent).ok()?.join(path.file_name()?))
    };
    let Some(target) = real(path) else { return Ok(()) };
    if bundle.items.iter().any(|item| real(&ground.spot(&item.path).path()) == Some(target.clone()))
    {
        return refuse("it is one of the files that are exported");
    }
    if target.extension().is_some_and(|e| e == "toml" || e == "lock") {
        return refuse("mise could take it for a config or a lock");
    }
    let p = &ground.places;
    let own = [&p.config, &p.data, &p.cache, &p.state, &p.agent_data, &p.agent_state];
    for directory in own.into_iter().chain([&p.system_config, &p.system_data]) {
        let whole = fs::canonicalize(directory).unwrap_or_else(|_| directory.clone());
        if target.starts_with(&whole) || target.starts_with(directory) {
            return refuse("it lies in a directory of mise's or of the agent's own");
        }
    }
    Ok(())
}

/// Writes the archive so that its name never stands for half of it, readable by its owner
/// alone: a config's variables may hold tokens.
pub(super) fn replace(path: &Path, archive: &[u8]) -> io::Result<()> {
    if path.symlink_metadata().is_ok_and(|m| !m.is_file()) {
        return Err(io::Error::other("it is there and is no regular file"));
    }
    let name = path.file_name().and_then(|n| n.to_str());
    let name = name.ok_or_else(|| io::Error::other("it is no name of a file"))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent)?;
    let dir = Dir::open(&parent)?;
    let part = format!(".{name}.{}.part", std::process::id());
    let write = || {
        let mut file = dir.create_new(&part, 0o600)?;
        file.write_all(archive)?;
        file.sync_all()?;
        dir.rename(&part, name)?;
        dir.sync()
    };
    write().inspect_err(|_| {
        let _ = dir.remove(&part);
    })
}
