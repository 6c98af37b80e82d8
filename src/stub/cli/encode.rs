//! `agent-stub encode` and `decode`: a script in a container's env-file.

use super::super::payload::{PayloadError, Script, VARIABLE};
use std::fs;
use std::path::Path;

/// The kernel takes no environment string longer than this (`execve(2)`, MAX_ARG_STRLEN:
/// 32 pages), name and terminator included.
const MAX_VARIABLE: usize = 32 * 4096;

pub(super) fn read_script(path: &Path) -> Result<Script, String> {
    let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let bytes = fs::read(path).map_err(|e| place(&e))?;
    Script::from_bytes(bytes).map_err(|e| place(&e))
}

pub(super) fn encode(path: &Path) -> Result<Vec<u8>, String> {
    let line = format!("{VARIABLE}={}\n", read_script(path)?.encode());
    if line.len() > MAX_VARIABLE {
        return Err(format!(
            "{}: the encoded script has {} bytes, an environment variable takes {MAX_VARIABLE}; \
             mount it as a file and name it in bootstrap.file instead",
            path.display(),
            line.len()
        ));
    }
    Ok(line.into_bytes())
}

pub(super) fn decode(path: &Path, show: bool) -> Result<Vec<u8>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let name = format!("{VARIABLE}=");
    let value = text.lines().rev().find_map(|l| l.strip_prefix(&name)).unwrap_or(&text);
    match Script::decode(value.as_bytes()) {
        Ok(Some(script)) if show => Ok(script.bytes().to_vec()),
        Ok(Some(s)) => Ok(format!("{} bytes, sha256 {}\n", s.bytes().len(), s.sha256()).into()),
        Ok(None) => Ok(b"no script\n".to_vec()),
        Err(e) => Err(undecodable(path, &e)),
    }
}

fn undecodable(path: &Path, e: &PayloadError) -> String {
    format!("{}: {e}; encode the script again with `agent-stub encode`", path.display())
}
