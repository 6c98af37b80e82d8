//! `write_files`, as root.

use super::sections::{Sections, done};
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::journal::event::ScriptEnd;
use crate::journal::ledger::PastStep;
use crate::plan::definition_of_files;
use crate::stub::told::{Duties, WriteFile};
use crate::sys::beneath::Owner;
use crate::sys::files::no_room;
use crate::sys::placed::{self, Put};
use crate::sys::users::Database;
use std::path::Path;

/// Writes those that come before the packages, or (`deferred`) after.
pub(super) fn write(
    duties: &Duties,
    deferred: bool,
    sections: &Sections,
    report: &mut Report,
    cx: &Context<'_>,
) -> Result<(), Problem> {
    let count = duties.files(deferred).count();
    if count == 0 || cx.cancel.requested().is_some() {
        return Ok(());
    }
    let (name, what) = match deferred {
        false => ("write_files", "files"),
        true => ("write_files-deferred", "deferred files"),
    };
    let section = sections.section(name, definition_of_files(duties.files(deferred)));
    let again = match section.past() {
        PastStep::Ended(end, at) if end.good() => {
            report.notes.push(done(what, at));
            return Ok(());
        }
        PastStep::None => false,
        _ => true,
    };
    section.begin()?;
    // An owner may be one that an earlier step or package has made.
    let accounts = Database::read(Path::new("/"));
    // Nothing is written where a later one could not be.
    let owners: Vec<Owner> =
        duties.files(deferred).map(|file| owner(file, &accounts)).collect::<Result<_, _>>()?;
    for (file, owner) in joined(duties.files(deferred).zip(owners)) {
        one(&file, owner, again)?;
    }
    section.end(Some(ScriptEnd::Exit(0)))?;
    report.notes.push(format!("{what}: {count} written"));
    Ok(())
}

/// One entry a file: what is appended to the same file stands together, so that one look tells
/// whether it is there already.
fn joined<'a>(files: impl Iterator<Item = (&'a WriteFile, Owner)>) -> Vec<(WriteFile, Owner)> {
    let mut all: Vec<(WriteFile, Owner)> = Vec::new();
    for (file, owner) in files {
        let earlier =
            all.iter_mut().rev().find(|(earlier, _)| earlier.path == file.path && file.append);
        match earlier {
            Some((earlier, whose)) => {
                earlier.content = earlier.content.followed_by(&file.content);
                (earlier.mode, *whose) = (file.mode, owner);
            }
            None => all.push((file.clone(), owner)),
        }
    }
    all
}

fn one(file: &WriteFile, owner: Owner, again: bool) -> Result<(), Problem> {
    let path = file.path.display();
    let put = Put {
        path: &file.path,
        content: file.content.bytes(),
        append: file.append,
        again,
        mode: file.mode,
        owner,
    };
    placed::put(&put).map_err(|e| {
        let next = if no_room(&e) {
            "make room; the next boot writes it"
        } else {
            "look at what lies at the path and on the way to it; the next boot writes it"
        };
        Problem::new("write-file-failed", format!("{path} cannot be written: {e}"), next)
    })
}

/// The owner in numbers. Root has them without an entry.
fn owner(file: &WriteFile, accounts: &Database) -> Result<Owner, Problem> {
    let unknown = |what: &str, name: &str| {
        Problem::new(
            "write-file-owner",
            format!(
                "{} shall belong to the {what} {name}, which is not known here",
                file.path.display()
            ),
            "correct `owner`; or write the file with `defer: true`, where a package makes the account",
        )
    };
    let number = |name: &str| if name == "root" { Some(0) } else { name.parse().ok() };
    let user = accounts.by_name(&file.user).map(|a| a.uid).or_else(|| number(&file.user));
    let group = accounts.group(&file.group).or_else(|| number(&file.group));
    Ok((
        user.ok_or_else(|| unknown("user", &file.user))?,
        group.ok_or_else(|| unknown("group", &file.group))?,
    ))
}
