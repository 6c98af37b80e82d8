//! Where COMMAND lies, and for which processor it was made.
//!
//! `execvp(3)` gives what the kernel doesn't take for a program to `/bin/sh`, as a script without
//! `#!` is to run. A program for another processor (the wrong image, the most usual of such
//! mistakes) is no script: a shell can only say something odd about its first bytes.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where `execvp(3)` looks without PATH.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// What begins a program's file, up to its processor (elf(5), `e_machine`).
const HEADER: usize = 20;

/// How much of a file is looked at for its interpreter, in bytes: linkers put it first.
const LONGEST_START: u64 = 64 * 1024;

/// The numbers that `e_machine` may have, of what Linux runs on, by the names that Rust has for it.
const PROCESSORS: [(u16, &str); 11] = [
    (3, "x86"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (43, "sparc64"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

/// The file that `name` stands for: by PATH (that of `variables` if they have one) where there is
/// no slash in it. `None` where it is nowhere.
pub(super) fn find(name: &OsStr, variables: &[(String, String)]) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let own = variables.iter().find(|(n, _)| n == "PATH").map(|(_, path)| path.into());
    let path = own.or_else(|| env::var_os("PATH")).unwrap_or_else(|| USUAL_PATH.into());
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.symlink_metadata().is_ok())
}

/// The processor of a program that isn't made for this one; an emulator may run it all the same
/// (binfmt_misc). `None` is everything else.
pub(super) fn foreign(file: &Path) -> Option<&'static str> {
    let mut header = [0; HEADER];
    File::open(file).ok()?.read_exact(&mut header).ok()?;
    processor(header).filter(|name| *name != env::consts::ARCH)
}

/// The processor of a program with this header.
fn processor(header: [u8; HEADER]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', _, order, .., low, high] = header else { return None };
    // 1 is little-endian (elf(5), EI_DATA).
    let number =
        if order == 1 { u16::from_le_bytes([low, high]) } else { u16::from_be_bytes([low, high]) };
    let name = PROCESSORS.iter().find(|(n, _)| *n == number).map(|(_, name)| *name);
    Some(name.unwrap_or("another processor"))
}

/// What a script's first line, or a program (elf(5), PT_INTERP), wants to be run by, where that is
/// missing. `execve(2)` says only "not found" then, of a file that is there.
pub(super) fn missing_interpreter(file: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(LONGEST_START).read_to_end(&mut start).ok()?;
    let interpreter = match start.strip_prefix(b"#!") {
        Some(line) => line.trim_ascii_start().split(|b| b.is_ascii_whitespace()).next()?,
        None => loader(&start)?,
    };
    let path = Path::new(OsStr::from_bytes(interpreter));
    (!interpreter.is_empty() && !path.exists()).then(|| path.display().to_string())
}

/// The loader of a 64-bit program of this machine's byte order.
fn loader(start: &[u8]) -> Option<&[u8]> {
    let number = |at: usize, bytes: usize| {
        let mut word = [0; 8];
        word.get_mut(..bytes)?.copy_from_slice(start.get(at..at.checked_add(bytes)?)?);
        usize::try_from(u64::from_le_bytes(word)).ok()
    };
    if !start.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    // e_phoff, e_phentsize, e_phnum; of a header p_type (PT_INTERP is 3), p_offset, p_filesz.
    let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let entry = |n: usize| headers.checked_add(n.checked_mul(size)?);
    let found = (0..count).filter_map(entry).find(|at| number(*at, 4) == Some(3))?;
    let (at, length) = (number(found + 8, 8)?, number(found + 32, 8)?);
    start.get(at..at.checked_add(length)?)?.strip_suffix(b"\0")
}

/// What `execve(2)` wants of `file` and `command`; `None` where there is a zero byte in it.
pub(super) fn call(file: &Path, command: &[OsString]) -> Option<(CString, Vec<CString>)> {
    let arguments = command.iter().map(|word| CString::new(word.as_bytes())).collect();
    Some((CString::new(file.as_os_str().as_bytes()).ok()?, Result::ok(arguments)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_a_processor_and_a_script_has_none() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(processor(own[..HEADER].try_into().unwrap()), Some(env::consts::ARCH));
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(b"\x7fELF\x02\x02");
        header[18..].copy_from_slice(&[0, 22]);
        assert_eq!(processor(header), Some("s390x"));
        header[18] = 77;
        assert_eq!(processor(header), Some("another processor"));
        assert_eq!(processor(*b"#!/bin/sh\nexec true\n"), None);
    }

    #[test]
    fn a_loader_is_found_where_a_program_has_one() {
        let dynamic = std::fs::read("/bin/ls").unwrap();
        let path = Path::new(OsStr::from_bytes(loader(&dynamic).unwrap()));
        assert!(path.is_absolute() && path.exists(), "{}", path.display());
        for end in [0, 20, 63, 64, 100, 500] {
            assert_eq!(loader(&dynamic[..end]), None, "{end}");
        }
        assert_eq!(missing_interpreter(Path::new("/bin/ls")), None);
    }

    #[test]
    fn a_name_without_a_path_to_look_in_is_looked_for_where_exec_does() {
        let path = |text: &str| [("PATH".into(), text.into())];
        assert_eq!(find("sh".as_ref(), &path("/nowhere:/bin")), Some("/bin/sh".into()));
        assert_eq!(find("sh".as_ref(), &path("/nowhere")), None);
        assert_eq!(find("./sh".as_ref(), &path("/bin")), Some("./sh".into()));
    }
}
