//! A user-data of several kinds: the parts of a MIME message, or one of cloud-init's forms
//! alone, put together to what the machine shall do.

use super::super::payload::{MAX_SCRIPT, Script};
use super::super::shebang;
use super::super::told::{Label, Part, Scripts, WriteFile};
use super::cloud_config::{self, Said};
use super::fault::{DAMAGED, Fault, INVALID, TOO_LARGE, UNSUPPORTED};
use super::formats::{self, Format, Refusal};
use super::{Kind, Parsed, UserDataError, mime, program};

/// Reads a MIME message.
pub(super) fn message(text: &[u8]) -> Result<Parsed, UserDataError> {
    let leaves = mime::leaves(text).map_err(UserDataError::Faults)?;
    if leaves.iter().all(|leaf| leaf.bytes.trim_ascii().is_empty()) {
        let next = "send what it shall hold; a blank line stands between headers and content";
        let fault = Fault::new(DAMAGED, "the MIME message holds nothing", next);
        return Err(UserDataError::Faults(vec![fault]));
    }
    let mut whole = Whole::new(Kind::Multipart { parts: leaves.len() });
    for leaf in leaves {
        whole.leaf(leaf);
    }
    whole.end()
}

/// Reads a text of one of cloud-init's forms that are no scripts.
pub(super) fn alone(text: &[u8], format: Format) -> Result<Parsed, UserDataError> {
    let kind = match format {
        Format::Boothook => Kind::Boothook,
        _ => Kind::CloudConfig,
    };
    let mut whole = Whole::new(kind);
    whole.part(None, format, text);
    whole.end()
}

/// What the parts have made so far.
struct Whole {
    parsed: Parsed,
    scripts: Vec<Part>,
    faults: Vec<Fault>,
    /// The part that is a stub.
    stub: Option<Label>,
    /// The keys of cloud-config, each with its part.
    keys: Vec<(String, Option<Label>)>,
}

impl Whole {
    fn new(kind: Kind) -> Self {
        Self {
            parsed: Parsed::of(kind, Scripts::default()),
            scripts: Vec::new(),
            faults: Vec::new(),
            stub: None,
            keys: Vec::new(),
        }
    }

    fn end(self) -> Result<Parsed, UserDataError> {
        match self.faults.is_empty() {
            true => Ok(Parsed { scripts: Scripts::new(self.scripts), ..self.parsed }),
            false => Err(UserDataError::Faults(self.faults)),
        }
    }

    fn leaf(&mut self, leaf: mime::Leaf) {
        let mime::Leaf { label, content_type, bytes } = leaf;
        let begins = formats::by_beginning(&bytes);
        let format = match formats::by_type(&content_type) {
            // As cloud-init has it: a shell script that begins as something else is that.
            Ok(None | Some(Format::Script)) if begins.is_some() => begins,
            Ok(Some(format)) => Some(format),
            Ok(None) if bytes.trim_ascii().is_empty() => return,
            Ok(None) => None,
            Err(()) => return self.unknown_type(&label, &content_type),
        };
        // A template is one under whatever name.
        let format = begins.filter(|f| matches!(f, Format::Refused(_))).or(format);
        match format {
            Some(format) => self.part(Some(&label), format, &bytes),
            None => {
                let message = "neither its Content-Type nor its first line says what it is";
                let next = "begin it with #! or #cloud-config, or name its type: text/x-shellscript, text/cloud-config, text/cloud-boothook";
                self.fault(UNSUPPORTED, message, next, Some(&label));
            }
        }
    }

    fn unknown_type(&mut self, label: &Label, content_type: &str) {
        let plain = content_type.len() <= 60
            && content_type.bytes().all(|b| b.is_ascii_alphanumeric() || b"/.+-_".contains(&b));
        let name = if plain { content_type } else { "(unreadable)" };
        let message = format!("its Content-Type {name} is not understood");
        let next = "send text/x-shellscript, text/cloud-config or text/cloud-boothook";
        self.fault(UNSUPPORTED, &message, next, Some(label));
    }

    fn part(&mut self, label: Option<&Label>, format: Format, text: &[u8]) {
        match format {
            Format::Script => self.program(label, text),
            Format::Boothook => self.boothook(label, text),
            Format::CloudConfig => self.cloud_config(label, text),
            Format::Refused(refusal) => {
                let fault = refused(refusal);
                self.faults.push(fault.within(label));
            }
        }
    }

    /// A script, or a stub in its place.
    fn program(&mut self, label: Option<&Label>, text: &[u8]) {
        if !text.starts_with(b"#!") {
            let (message, next) = shebang::Fault::Absent.words();
            return self.fault(INVALID, message, next, label);
        }
        let read = match program(text) {
            Ok(read) => read,
            Err(e) => {
                self.faults.push(Fault::new(e.code(), e.to_string(), e.next()).within(label));
                return;
            }
        };
        if !matches!(read.kind, Kind::Script) {
            if let Some(first) = self.stub.clone() {
                let message = format!("it is a stub, and {first} is one");
                return self.fault(INVALID, &message, "send one stub", label);
            }
            self.stub = label.cloned();
            self.parsed.parameters = read.parameters;
            self.parsed.fetch = read.fetch;
        }
        let parts = read.scripts.parts().iter();
        self.scripts.extend(parts.map(|p| Part { label: label.cloned(), ..p.clone() }));
    }

    /// What follows the first line is a program.
    fn boothook(&mut self, label: Option<&Label>, text: &[u8]) {
        const FIRST: &[u8] = b"#cloud-boothook";
        let trimmed = text.trim_ascii_start();
        let marked =
            trimmed.get(..FIRST.len()).is_some_and(|start| start.eq_ignore_ascii_case(FIRST));
        let rest = if marked { trimmed.get(FIRST.len()..).unwrap_or_default() } else { text };
        let script = rest.trim_ascii_start();
        if !script.starts_with(b"#!") {
            let message = "the boothook names no interpreter (cloud-init doesn't run it either: \"Missing #! in script?\")";
            let next = "write #!/bin/sh in the line below #cloud-boothook; cloud-init-per is cloud-init's own program, and not on this machine";
            return self.fault(INVALID, message, next, label);
        }
        if let Ok(script) = Script::verbatim(script.to_vec()) {
            self.parsed.duties.boothooks.push(Part { label: label.cloned(), script });
        }
    }

    fn cloud_config(&mut self, label: Option<&Label>, text: &[u8]) {
        let said = match cloud_config::read(text) {
            Ok(said) => said,
            Err(faults) => {
                self.faults.extend(faults.into_iter().map(|fault| fault.within(label)));
                return;
            }
        };
        for key in &said.keys {
            let there = self.keys.iter().find(|(known, _)| known == key);
            let Some((_, Some(first))) = there else { continue };
            let message =
                format!("`{key}` is in {first} already; cloud-init would take one of the two");
            let fault = Fault::new(INVALID, message, "join the two in one part").key(key);
            self.faults.push(fault.within(label));
        }
        let Said { cloud, files, packages, commands, keys } = said;
        self.keys.extend(keys.into_iter().map(|key| (key, label.cloned())));
        let (all, duties) = (&mut self.parsed.cloud, &mut self.parsed.duties);
        all.hostname = cloud.hostname.or(all.hostname.take());
        all.fqdn = cloud.fqdn.or(all.fqdn.take());
        all.ssh_authorized_keys.extend(cloud.ssh_authorized_keys);
        let size =
            |files: &[WriteFile]| files.iter().map(|f| f.content.bytes().len()).sum::<usize>();
        if (size(&duties.files) + size(&files)) as u64 > MAX_SCRIPT {
            let message = format!("all files together are larger than {} MiB", MAX_SCRIPT >> 20);
            let fault = Fault::new(TOO_LARGE, message, "write less").key("write_files");
            self.faults.push(fault.within(label));
            return;
        }
        duties.files.extend(files);
        duties.packages.update |= packages.update;
        duties.packages.upgrade |= packages.upgrade;
        duties.packages.names.extend(packages.names);
        duties.commands.extend(commands);
    }

    fn fault(&mut self, code: &'static str, message: &str, next: &str, label: Option<&Label>) {
        self.faults.push(Fault::new(code, message, next).within(label));
    }
}

/// Why a form isn't taken.
pub(super) fn refused(refusal: &Refusal) -> Fault {
    let message = format!("it is {}, which is not taken: {}", refusal.what, refusal.why);
    Fault::new(UNSUPPORTED, message, refusal.next)
}
