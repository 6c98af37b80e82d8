//! The first line of a script, read as the kernel reads it (`execve(2)`, "Interpreter
//! scripts"; fs/binfmt_script.c).

/// The kernel looks at no more than this many bytes (BINPRM_BUF_SIZE).
const LOOKED_AT: usize = 256;

/// What a script asks to be run by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// Absolute path of the interpreter.
    pub interpreter: Vec<u8>,
    /// Its one argument: all the rest of the line, inner blanks included.
    pub argument: Option<Vec<u8>>,
}

/// Why a script cannot be run by its own first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no `#!` line, and it is no ELF program either.
    Absent,
    /// The line ends with a carriage return: the file was saved with Windows line ends.
    CarriageReturn,
    /// The line names nothing, a relative path, or is longer than the kernel reads.
    Unusable,
}

impl Fault {
    /// What is wrong with a script, and what to do.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Absent => (
                "the user script has no #! line",
                "begin it with #!/bin/bash or another interpreter, and recreate the sandbox",
            ),
            Self::CarriageReturn => (
                "the user script has Windows line ends, so its interpreter is not found",
                "convert it (dos2unix), and recreate the sandbox",
            ),
            Self::Unusable => (
                "the user script's first line names no interpreter that the kernel can run",
                "begin it with an absolute path, such as #!/bin/bash, and recreate the sandbox",
            ),
        }
    }
}

/// Reads the first line. `Ok(None)` is an ELF program, which needs none.
///
/// # Errors
/// The script cannot be run by its own first line.
pub fn parse(script: &[u8]) -> Result<Option<Shebang>, Fault> {
    if script.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let rest = script.strip_prefix(b"#!").ok_or(Fault::Absent)?;
    let looked_at = rest.get(..LOOKED_AT - 2).unwrap_or(rest);
    let line = match looked_at.iter().position(|&b| b == b'\n') {
        Some(end) => looked_at.get(..end).unwrap_or_default(),
        None if rest.len() == looked_at.len() => looked_at,
        None => return Err(Fault::Unusable),
    };
    if line.ends_with(b"\r") {
        return Err(Fault::CarriageReturn);
    }
    let line = line.trim_ascii();
    let end = line.iter().position(|&b| b == b' ' || b == b'\t').unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(end);
    if !interpreter.starts_with(b"/") || line.contains(&0) {
        return Err(Fault::Unusable);
    }
    let argument = argument.trim_ascii();
    Ok(Some(Shebang {
        interpreter: interpreter.to_vec(),
        argument: (!argument.is_empty()).then(|| argument.to_vec()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(script: &[u8]) -> (String, Option<String>) {
        let s = parse(script).unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(s.interpreter), s.argument.map(text))
    }

    #[test]
    fn it_reads_what_the_kernel_reads() {
        assert_eq!(line(b"#!/bin/sh\nx"), ("/bin/sh".into(), None));
        assert_eq!(
            line(b"#! /usr/bin/env  -S bash -eu \n"),
            ("/usr/bin/env".into(), Some("-S bash -eu".into()))
        );
        assert_eq!(line(b"#!/bin/sh"), ("/bin/sh".into(), None));
        assert_eq!(parse(b"\x7fELF...").unwrap(), None);
    }

    #[test]
    fn what_it_cannot_run_is_told_apart() {
        assert_eq!(parse(b"echo hi\n"), Err(Fault::Absent));
        assert_eq!(parse(b""), Err(Fault::Absent));
        assert_eq!(parse(b"#!/bin/bash\r\necho"), Err(Fault::CarriageReturn));
        assert_eq!(parse(b"#!\n"), Err(Fault::Unusable));
        assert_eq!(parse(b"#!bash\n"), Err(Fault::Unusable));
        let long = [b"#!/".as_slice(), &[b'a'; 300], b"\n"].concat();
        assert_eq!(parse(&long), Err(Fault::Unusable));
    }
}
