//! The forms that user-data may have (cloud-init's documentation, "User data formats"), by
//! their first line and by their MIME type; and why some of them are refused.

/// A form of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A program that names its interpreter.
    Script,
    /// YAML.
    CloudConfig,
    /// A program for every boot.
    Boothook,
    /// One that is not taken.
    Refused(&'static Refusal),
}

/// A form that is not taken: what it is, why not, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What it is.
    pub(super) what: &'static str,
    /// Why it isn't taken.
    pub(super) why: &'static str,
    /// What to do instead.
    pub(super) next: &'static str,
}

const INCLUDE: Refusal = Refusal {
    what: "a cloud-init include file",
    why: "what it names would be downloaded and run without a hash to compare it with",
    next: "send the script itself; or a script that downloads, compares a SHA-256 and only then runs",
};

const JINJA: Refusal = Refusal {
    what: "a cloud-init template (jinja)",
    why: "the agent renders no templates",
    next: "render it before the launch (Terraform's templatefile, envsubst); what only the machine knows is read in a script",
};

const PART_HANDLER: Refusal = Refusal {
    what: "a cloud-init part handler",
    why: "it is Python for cloud-init's own process",
    next: "do what it does in a script with a #! line",
};

const ARCHIVE: Refusal = Refusal {
    what: "a cloud-config archive",
    why: "the same in another form is taken",
    next: "send the parts as a MIME multipart message (`cloud-init devel make-mime`, Terraform's cloudinit_config)",
};

const UPSTART: Refusal = Refusal {
    what: "an upstart job",
    why: "upstart is gone from every distribution that is maintained",
    next: "write a systemd unit by write_files, and enable it by runcmd",
};

const JSONP: Refusal = Refusal {
    what: "cloud-config as a JSON patch",
    why: "it changes a cloud-config that is merged of several, and the agent merges none",
    next: "write the cloud-config as it shall be",
};

const PER_BOOT: Refusal = Refusal {
    what: "a script for every boot",
    why: "the user's scripts are run once an instance",
    next: "send it as text/cloud-boothook, which is run early at every boot; or write a systemd unit by write_files",
};

const PER_INSTANCE: Refusal = Refusal {
    what: "a script of cloud-init's per-instance or per-once directory",
    why: "the agent has one kind, run once an instance",
    next: "send it as text/x-shellscript",
};

const NODEADM: Refusal = Refusal {
    what: "a NodeConfig of EKS",
    why: "it is read by nodeadm, which an EKS image starts itself",
    next: "leave EKS nodes to their own image; a machine that is no node needs no such part",
};

const POWERSHELL: Refusal = Refusal {
    what: "a Windows script",
    why: "the agent runs on Linux",
    next: "send a script with a #! line",
};

/// How each form begins, in lower case. A longer beginning stands before its own beginning.
const BEGINNINGS: &[(&str, Format)] = &[
    ("#!", Format::Script),
    ("#cloud-config-archive", Format::Refused(&ARCHIVE)),
    ("#cloud-config-jsonp", Format::Refused(&JSONP)),
    ("#cloud-config", Format::CloudConfig),
    ("#cloud-boothook", Format::Boothook),
    ("#include", Format::Refused(&INCLUDE)),
    ("#part-handler", Format::Refused(&PART_HANDLER)),
    ("#upstart-job", Format::Refused(&UPSTART)),
    ("## template:", Format::Refused(&JINJA)),
    ("<powershell>", Format::Refused(&POWERSHELL)),
    ("<script>", Format::Refused(&POWERSHELL)),
];

/// The MIME types, in lower case.
const TYPES: &[(&str, Format)] = &[
    ("text/x-shellscript", Format::Script),
    ("text/cloud-config", Format::CloudConfig),
    ("text/cloud-boothook", Format::Boothook),
    ("text/x-include-url", Format::Refused(&INCLUDE)),
    ("text/x-include-once-url", Format::Refused(&INCLUDE)),
    ("text/jinja2", Format::Refused(&JINJA)),
    ("text/part-handler", Format::Refused(&PART_HANDLER)),
    ("text/cloud-config-archive", Format::Refused(&ARCHIVE)),
    ("text/cloud-config-jsonp", Format::Refused(&JSONP)),
    ("text/upstart-job", Format::Refused(&UPSTART)),
    ("text/x-shellscript-per-boot", Format::Refused(&PER_BOOT)),
    ("text/x-shellscript-per-instance", Format::Refused(&PER_INSTANCE)),
    ("text/x-shellscript-per-once", Format::Refused(&PER_INSTANCE)),
    ("application/node.eks.aws", Format::Refused(&NODEADM)),
];

/// Types that say nothing of the form, so that the beginning decides, as cloud-init has it; and
/// what gzip is called.
const TELLS_NOTHING: &[&str] = &[
    "text/plain",
    "text/x-not-multipart",
    "application/octet-stream",
    "application/gzip",
    "application/gzip-compressed",
    "application/gzipped",
    "application/x-compress",
    "application/x-compressed",
    "application/x-gunzip",
    "application/x-gzip",
    "application/x-gzip-compressed",
];

/// The form of a text, by its beginning. Blank space before it is passed over, but for a
/// script's: the kernel doesn't.
pub(super) fn by_beginning(text: &[u8]) -> Option<Format> {
    let begins = |text: &[u8], start: &str| {
        text.get(..start.len()).is_some_and(|b| b.eq_ignore_ascii_case(start.as_bytes()))
    };
    let found = BEGINNINGS.iter().find(|(start, _)| begins(text.trim_ascii_start(), start));
    found.map(|(_, format)| *format).filter(|f| *f != Format::Script || text.starts_with(b"#!"))
}

/// The form that a part's type names. `Ok(None)`: it says nothing of it.
///
/// # Errors
/// The type is unknown.
pub(super) fn by_type(name: &str) -> Result<Option<Format>, ()> {
    if TELLS_NOTHING.contains(&name) {
        return Ok(None);
    }
    TYPES.iter().find(|(t, _)| *t == name).map(|(_, format)| Some(*format)).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_known_by_its_beginning() {
        assert_eq!(by_beginning(b"#!/bin/sh"), Some(Format::Script));
        assert_eq!(by_beginning(b"\n#!/bin/sh"), None);
        assert_eq!(by_beginning(b"\n  #Cloud-Config\n"), Some(Format::CloudConfig));
        assert_eq!(by_beginning(b"#cloud-boothook\n"), Some(Format::Boothook));
        assert_eq!(by_beginning(b"#cloud-config-archive"), Some(Format::Refused(&ARCHIVE)));
        assert_eq!(by_beginning(b"#include-once\n"), Some(Format::Refused(&INCLUDE)));
        assert_eq!(by_beginning(b"## template: jinja\n"), Some(Format::Refused(&JINJA)));
        assert_eq!(by_beginning(b"hostname: x"), None);
    }

    #[test]
    fn a_type_that_is_unknown_is_no_type_that_says_nothing() {
        assert_eq!(by_type("text/plain"), Ok(None));
        assert_eq!(by_type("text/x-shellscript"), Ok(Some(Format::Script)));
        assert_eq!(by_type("text/html"), Err(()));
    }
}
