//! Tools of the image that no config of a user's can replace: links straight to their
//! programs, in a directory that stands on PATH before everything that mise decides.
//!
//! mise ranks the image's config below the user's, and a shim resolves by both at every call:
//! another version, `disable_tools`, or a config that is no TOML, and the image's tool is gone.
//! A link asks nobody. The image build makes them ([`make`]) and keeps beside them what the
//! config asked for then; what a later config asks for and the image's links don't serve is
//! linked on the volume, anew at every boot: nothing that lies there is believed.

pub mod make;
pub mod tell;

use super::look::Request;
use super::manifest::{Declared, Manifest, text_of};
use super::verify;
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What is linked and why, beside the directory of links.
pub const RECORD: &str = "baseline.json";

/// The directory of links, beside the record.
pub const LINKS: &str = "bin";

/// The version of the record's form.
pub const SCHEMA: &str = "agent.baseline/1";

/// Where mise is told to look for a user's config when it must see the image's alone: nobody
/// has made it, and the sandbox user can't.
pub const NO_CONFIG: &str = "/usr/local/share/agent/no-config";

/// The variables that hide every config of the user's from mise.
pub fn without_users_config() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("MISE_CONFIG_DIR".to_owned(), NO_CONFIG.to_owned()),
        ("MISE_GLOBAL_CONFIG_FILE".to_owned(), format!("{NO_CONFIG}/config.toml")),
    ])
}

/// What is linked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// What the image's config asked for when the links were made: a tool's name and the
    /// versions as written.
    pub asked: BTreeMap<String, Vec<String>>,
    /// The tools, each version by itself.
    pub tools: Vec<Linked>,
}

/// One version of one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// Its name, such as `npm:cowsay`.
    pub name: String,
    /// The version that is installed.
    pub version: String,
    /// Its programs; empty where it has none, or other tools of the baseline have them all.
    pub programs: Vec<Program>,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it is called by.
    pub name: String,
    /// The file that the link leads to.
    pub leads_to: PathBuf,
}

/// A directory of links as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// The record and the directory of links lie in this directory.
    pub dir: PathBuf,
    /// Something is there.
    pub present: bool,
    /// What should be linked.
    pub record: Option<Record>,
    /// What is not as the record says: the tool's name (empty for what belongs to none), and
    /// what is wrong.
    pub faults: Vec<(String, String)>,
    /// Those of the faults that are the program's and not the link's.
    #[serde(default)]
    pub broken: Vec<(String, String)>,
}

impl Links {
    /// Looks at the directory `dir`.
    pub fn at(dir: &Path) -> Self {
        let mut links = Self { dir: dir.into(), ..Self::default() };
        links.present = dir.symlink_metadata().is_ok();
        if !links.present {
            return links;
        }
        let fault = |why: String| (String::new(), why);
        match text_of(&dir.join(RECORD)) {
            Ok(None) => links.faults.push(fault(format!("{} has no {RECORD}", dir.display()))),
            Err(e) => links.faults.push(fault(e.to_string())),
            Ok(Some(text)) => match serde_json::from_str::<Record>(&text) {
                Ok(record) if record.schema == SCHEMA => links.record = Some(record),
                Ok(record) => links.faults.push(fault(format!(
                    "{}/{RECORD} has the form {:?}, not {SCHEMA}",
                    dir.display(),
                    record.schema
                ))),
                Err(e) => links.faults.push(fault(format!("{}/{RECORD}: {e}", dir.display()))),
            },
        }
        let Some(record) = &links.record else { return links };
        let bin = dir.join(LINKS);
        for (tool, program) in programs(record) {
            if let Err(why) = leads(&bin, program) {
                links.faults.push((tool.name.clone(), why));
            } else if let Some(why) = verify::fault(&program.leads_to) {
                let why = format!("{}: {why}", bin.join(&program.name).display());
                links.faults.push((tool.name.clone(), why.clone()));
                links.broken.push((tool.name.clone(), why));
            }
        }
        let known = |name: &str| programs(record).any(|(_, p)| p.name == name);
        for entry in bin.read_dir().into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !name.to_str().is_some_and(known) {
                let path = bin.join(name);
                links.faults.push(fault(format!("{} is in no record", path.display())));
            }
        }
        links
    }

    /// Do these links serve what is declared: made for these very versions, and every link
    /// of the tool sound?
    pub fn serve(&self, declared: &Declared) -> bool {
        self.refusal(declared).is_none()
    }

    /// Why they don't.
    pub fn refusal(&self, declared: &Declared) -> Option<String> {
        let name = &declared.name;
        let Some(record) = &self.record else {
            let why = self.faults.first().map(|(_, why)| why.clone());
            return Some(why.unwrap_or_else(|| format!("there is no {}", self.dir.display())));
        };
        match record.asked.get(name) {
            None => return Some("it is not linked".to_owned()),
            Some(asked) if *asked != declared.versions => {
                return Some(format!(
                    "it is linked as {}, and the config asks for {}",
                    asked.join(", "),
                    declared.versions.join(", ")
                ));
            }
            Some(_) => {}
        }
        if !record.tools.iter().any(|t| t.name == *name) {
            return Some("it was not installed when the links were made".to_owned());
        }
        self.faults.iter().find(|(tool, _)| tool == name).map(|(_, why)| why.clone())
    }

    /// What is wrong with a tool that is linked for these very versions, where the fault is the
    /// tool's own.
    pub fn damage(&self, declared: &Declared) -> Option<&str> {
        let asked = self.record.as_ref()?.asked.get(&declared.name)?;
        let mine = self.broken.iter().find(|(tool, _)| *tool == declared.name);
        mine.filter(|_| *asked == declared.versions).map(|(_, why)| why.as_str())
    }

    /// The tools that are linked, whatever is wrong with them.
    pub fn tools(&self) -> &[Linked] {
        self.record.as_ref().map_or(&[], |r| r.tools.as_slice())
    }
}

/// Every program with its tool.
pub fn programs(record: &Record) -> impl Iterator<Item = (&Linked, &Program)> {
    record.tools.iter().flat_map(|t| t.programs.iter().map(move |p| (t, p)))
}

/// Is the link there, and does it lead where it should?
fn leads(bin: &Path, program: &Program) -> Result<(), String> {
    let link = bin.join(&program.name);
    match fs::read_link(&link) {
        Ok(target) if target == program.leads_to => Ok(()),
        Ok(target) => Err(format!("{} leads to {}", link.display(), target.display())),
        Err(e) => Err(format!("{} is no link: {e}", link.display())),
    }
}

/// Where the installation of a linked tool lies: what mise installs for one is two levels below
/// its directory `installs`.
pub fn installation(tool: &Linked) -> Option<PathBuf> {
    let program = &tool.programs.first()?.leads_to;
    let is = |p: &&Path| {
        let above = p.parent().and_then(Path::parent).and_then(Path::file_name);
        above.is_some_and(|name| name == "installs")
    };
    program.ancestors().filter(is).last().map(Path::to_owned)
}

/// Is it a file that this process could execute?
fn runnable(path: &Path) -> std::io::Result<()> {
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    Ok(access(path, AccessFlags::X_OK)?)
}

/// What the image's config declares for this machine: less what is for other systems, and
/// less what the operator has disabled. A user's config has no say in this.
pub fn declared<'a>(
    system: &'a Manifest,
    variables: &BTreeMap<String, String>,
) -> Vec<&'a Declared> {
    let off: Vec<&str> = match variables.get("MISE_DISABLE_TOOLS") {
        Some(names) => names.split(',').map(str::trim).collect(),
        None => system.disable_tools.iter().flatten().map(String::as_str).collect(),
    };
    // `linux`, or with an architecture behind a slash.
    let here = |d: &&Declared| d.os.is_empty() || d.os.iter().any(|o| o.starts_with("linux"));
    system.tools.iter().filter(here).filter(|d| !off.contains(&d.name.as_str())).collect()
}

/// What a look finds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Somebody has looked.
    pub looked: bool,
    /// The image's links.
    pub image: Links,
    /// The volume's.
    pub volume: Links,
    /// Shims of the user's that have the name of a program in the image.
    pub shims: Vec<String>,
}

/// Looks at both directories of links.
pub fn look(request: &Request) -> Seen {
    let places = &request.places;
    let image = Links::at(&beside(&places.image_links));
    let volume = Links::at(&beside(&places.volume_links()));
    let shims = places.shims();
    let named = image.record.iter().flat_map(programs).map(|(_, p)| p.name.clone());
    let shims = named.filter(|name| shims.join(name).symlink_metadata().is_ok()).collect();
    Seen { looked: true, image, volume, shims }
}

/// The directory that holds a directory of links and its record.
pub fn beside(links: &Path) -> PathBuf {
    links.parent().unwrap_or(links).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::manifest;
    use super::*;

    fn asks(text: &str) -> Manifest {
        manifest::parse(Path::new("/etc/mise/config.toml"), text).unwrap()
    }

    fn names(system: &Manifest, disabled: Option<&str>) -> Vec<String> {
        let variables: BTreeMap<_, _> =
            disabled.map(|d| ("MISE_DISABLE_TOOLS".into(), d.into())).into_iter().collect();
        declared(system, &variables).iter().map(|d| d.name.clone()).collect()
    }

    #[test]
    fn what_is_for_other_systems_or_off_is_no_baseline() {
        let system = asks(
            "[settings]\ndisable_tools = [\"npm:off\"]\n[tools]\n\"npm:a\" = \"1\"\n\"npm:off\" = \"1\"\n\
             \"npm:mac\" = { version = \"1\", os = [\"macos\"] }\n\"npm:lin\" = { version = \"1\", os = [\"linux\"] }\n",
        );
        assert_eq!(names(&system, None), ["npm:a", "npm:lin"]);
        assert_eq!(names(&system, Some("npm:a")), ["npm:lin", "npm:off"]);
    }

    #[test]
    fn links_serve_only_the_versions_they_were_made_for() {
        let tools =
            vec![Linked { name: "npm:a".into(), version: "1.6.0".into(), programs: vec![] }];
        let asked = BTreeMap::from([("npm:a".to_owned(), vec!["1".to_owned()])]);
        let record = Some(Record { schema: SCHEMA.into(), asked, tools });
        let mut links = Links { record, present: true, ..Links::default() };
        let serves = |links: &Links, text| {
            let system = asks(text);
            links.serve(&system.tools[0])
        };
        assert!(serves(&links, "[tools]\n\"npm:a\" = \"1\"\n"));
        assert!(!serves(&links, "[tools]\n\"npm:a\" = \"2\"\n"));
        assert!(!serves(&links, "[tools]\n\"npm:b\" = \"1\"\n"));
        links.faults.push(("npm:a".into(), "gone".into()));
        assert!(!serves(&links, "[tools]\n\"npm:a\" = \"1\"\n"));
        assert!(!serves(&Links::default(), "[tools]\n\"npm:a\" = \"1\"\n"));
    }
}
