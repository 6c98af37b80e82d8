//! A user whose making was cut off: what `useradd` had not come to.
//!
//! It writes the account first, then its password's entry, then its groups, then the home with the
//! skeleton's files in it. Whatever of that is missing is made; what is there is left alone.

use super::login::NEXT;
use super::tool::Tools;
use crate::engine::Context;
use crate::journal::Problem;
use crate::phases::roots;
use crate::plan::LoginWork;
use crate::sys::beneath::{Dir, Kind};
use crate::sys::users::Database;
use std::io;
use std::path::Path;

const CODE: &str = "login-user";

/// Finishes it.
pub(super) async fn finish(work: &LoginWork, cx: &Context<'_>) -> Result<(), Problem> {
    let tools = Tools::open(cx)?;
    let (name, user) = (work.user.as_str(), cx.user().clone());
    let database = Database::read(Path::new("/"));
    let what = format!("the user {name}, whose making was cut off, cannot be finished");
    if !database.has_gid(user.gid) {
        let argv = ["groupadd", "--gid", &user.gid.to_string(), name];
        tools.must(&argv, CODE, &what, NEXT).await?;
    }
    // They make the entries that are missing, and no others (pwconv(8)).
    for (file, program) in [("/etc/shadow", "pwconv"), ("/etc/gshadow", "grpconv")] {
        if Path::new(file).exists() && roots::there(program) {
            tools.must(&[program], CODE, &what, NEXT).await?;
        }
    }
    let groups: Vec<&str> =
        work.groups.iter().map(String::as_str).filter(|g| database.has_group(g)).collect();
    if !groups.is_empty() {
        let argv = ["usermod", "--append", "--groups", &groups.join(","), name];
        tools.must(&argv, CODE, &what, NEXT).await?;
    }
    let unfinished = unfinished(&user.home)
        .map_err(|e| Problem::new(CODE, format!("{what}: {}: {e}", user.home.display()), NEXT))?;
    if unfinished {
        let home = user.home.to_string_lossy();
        let owner = format!("{}:{}", user.uid, user.gid);
        if Path::new("/etc/skel").is_dir() {
            tools.must(&["cp", "-rT", "/etc/skel", &home], CODE, &what, NEXT).await?;
        }
        tools.must(&["chmod", "0700", &home], CODE, &what, NEXT).await?;
        tools.must(&["chown", "-RP", &owner, &home], CODE, &what, NEXT).await?;
    }
    Ok(())
}

/// Is the home missing, which it isn't afterwards, or root's still? Then nobody else could put
/// anything into it. What another home holds is the user's own affair.
fn unfinished(path: &Path) -> io::Result<bool> {
    let none = || io::Error::other("it has no directory");
    let (parent, name) = (path.parent().ok_or_else(none)?, path.file_name().ok_or_else(none)?);
    let parent = Dir::open(parent)?;
    let name = name.to_str().ok_or_else(|| io::Error::other("its name is no text"))?;
    if parent.kind(name)? == Kind::Missing {
        parent.make_path(Path::new(name), 0o700, None)?;
    }
    parent.enter(name)?.is_roots()
}
