//! Requests against a lockfile. Pure but for the look at dependency trees, which is passed in.

mod fits;

use super::backend::{self, Locks};
use super::file::{self, Entry, Lockfile, Tree};
use super::platform::Platform;
use super::request::{Request, Requests};
use super::sidecar::State;
use fits::{Choice, is_twin, options, satisfies};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// There is no lockfile.
    NoLock,
    /// The lockfile is no lockfile.
    Corrupt,
    /// The config is no TOML.
    Config,
    /// The tool has no entry.
    Missing,
    /// The tool's entries are for other versions.
    Unsatisfied,
    /// The entry is for other options.
    Options,
    /// The entry's options differ in one of which it isn't known whether mise compares it.
    Unsure,
    /// More than one entry answers.
    Ambiguous,
    /// The entry installs from elsewhere than the tool's name says.
    Backend,
    /// Nothing declares what the entry locks.
    Stale,
    /// The entry says nothing for a platform.
    Platform,
    /// The entry has no checksum where its backend gives one.
    Checksum,
    /// The entry has no dependency tree where its format wants one.
    Tree,
    /// The dependency tree is missing, or another tool's.
    Sidecar,
    /// The dependency tree is not the one that was locked.
    Digest,
    /// A package of the dependency tree has no integrity.
    Integrity,
}

impl Code {
    /// Does a locked install fail because of this, or install something else? The rest makes
    /// the lock worth less, or is left over.
    pub fn is_refused(self) -> bool {
        !matches!(self, Self::Stale | Self::Checksum | Self::Integrity | Self::Unsure)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// The file at fault.
    pub file: PathBuf,
    /// Line and column in it, from 1, where it has a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<(usize, usize)>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The version asked for, or locked where it is left over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// In words.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.display();
        match self.place {
            Some((line, column)) => write!(f, "{file}:{line}:{column}: {}", self.message),
            None => write!(f, "{file}: {}", self.message),
        }
    }
}

/// For what an entry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// The bytes that are downloaded, by their checksum.
    Artifact,
    /// The version and integrity of every package of the dependency tree.
    Tree,
    /// The version of every package of the tree; not what all of them contain.
    TreeVersions,
    /// The version.
    Version,
}

/// A tool and its entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The tool.
    pub tool: String,
    /// The version asked for.
    pub requested: String,
    /// The version that is locked.
    pub locked: String,
    /// What installs it.
    pub backend: String,
    /// For what the entry answers.
    pub holds: Holds,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is locked.
    pub tools: Vec<Held>,
}

/// What is judged.
pub struct Case<'a> {
    /// The configs that share the lockfile.
    pub configs: &'a [Requests],
    /// The lockfile.
    pub lock: &'a Lockfile,
    /// The platforms that it must answer for; `None` where nobody asked.
    pub asked: Option<&'a [Platform]>,
    /// npm tools are installed by a package manager that keeps no dependency trees.
    pub other_npm: bool,
}

/// Judges. `tree` looks at an entry's dependency tree.
pub fn judge(case: &Case<'_>, tree: &dyn Fn(&Entry, &Tree) -> State) -> Judgement {
    let mut judging = Judging { case, used: BTreeSet::new(), done: Judgement::default() };
    let needed = |r: &&Request| {
        !r.is_unlockable() && case.asked.is_none_or(|all| all.iter().any(|p| p.within(&r.os)))
    };
    let (mut must, mut may): (Vec<&Request>, Vec<&Request>) = (Vec::new(), Vec::new());
    for config in case.configs {
        let (needed, rest): (Vec<_>, Vec<_>) = config.tools.iter().partition(needed);
        must.extend(needed);
        may.extend(rest.into_iter().chain(&config.tasks));
    }
    for request in &must {
        judging.request(request, tree);
    }
    for request in may {
        let entries = judging.entries(request);
        judging.used.extend(entries.iter().filter(|(_, e)| satisfies(request, e)).map(|(n, _)| *n));
    }
    judging.stale();
    judging.done
}

struct Judging<'a> {
    case: &'a Case<'a>,
    /// Entries that somebody asked for.
    used: BTreeSet<usize>,
    done: Judgement,
}

impl<'a> Judging<'a> {
    fn entries(&self, request: &Request) -> Vec<(usize, &'a Entry)> {
        let all = self.case.lock.entries.iter().enumerate();
        all.filter(|(_, e)| backend::bare(&e.tool) == request.tool).collect()
    }

    fn find(&mut self, code: Code, tool: &str, version: &str, message: String) {
        self.done.findings.push(Finding {
            code,
            file: self.case.lock.path.clone(),
            place: None,
            tool: Some(tool.to_owned()),
            version: Some(version.to_owned()),
            platform: None,
            message,
        });
    }

    fn request(&mut self, request: &Request, tree: &dyn Fn(&Entry, &Tree) -> State) {
        let (tool, version) = (&request.tool, &request.version);
        let entries = self.entries(request);
        let fitting: Vec<_> = entries.iter().filter(|(_, e)| satisfies(request, e)).collect();
        self.used.extend(fitting.iter().map(|(n, _)| *n));
        let declared = self.declared_backend(tool);
        let installs = |e: &Entry| e.backend.clone().or(declared.clone()).unwrap_or(tool.clone());
        let choice = |e: &Entry| options(&installs(e), request, e);
        let serving: Vec<&Entry> =
            fitting.iter().map(|(_, e)| *e).filter(|e| choice(e) != Choice::Other).collect();
        let Some(entry) = serving.first() else {
            let locked: Vec<&str> = entries.iter().map(|(_, e)| e.version.as_str()).collect();
            let (code, why) = match (fitting.is_empty(), locked.is_empty()) {
                (_, true) => (Code::Missing, "it has no entry".to_owned()),
                (true, _) => (
                    Code::Unsatisfied,
                    format!("locked is {}, for another request", locked.join(", ")),
                ),
                (false, _) => (Code::Options, "locked is another choice of options".to_owned()),
            };
            return self.find(
                code,
                tool,
                version,
                format!("{request} is not in the lockfile: {why}"),
            );
        };
        if serving.iter().skip(1).any(|other| is_twin(request, entry, other)) {
            let message = format!("{request} has several entries, and nothing says which serves");
            self.find(Code::Ambiguous, tool, version, message);
        }
        if let Choice::Unknown(option) = choice(entry) {
            let message = format!(
                "{request} and its entry differ in `{option}`: whether that counts can't be told"
            );
            self.find(Code::Unsure, tool, version, message);
        }
        let backend = installs(entry);
        if let Some(declared) = declared.filter(|d| !backend::same(d, &backend)) {
            let message = format!("{request} is locked to {backend}, and declared as {declared}");
            self.find(Code::Backend, tool, version, message);
        }
        let holds = match backend::locks(&backend) {
            Locks::Artifact => self.artifact(request, entry),
            Locks::Tree => self.tree(request, entry, tree),
            Locks::Version => Holds::Version,
        };
        self.done.tools.push(Held {
            tool: tool.clone(),
            requested: version.clone(),
            locked: entry.version.clone(),
            backend,
            holds,
        });
    }

    /// What the config itself says of the backend: by the name, or by an alias beside it.
    fn declared_backend(&self, tool: &str) -> Option<String> {
        if tool.contains(':') {
            return Some(tool.to_owned());
        }
        let alias = self.case.configs.iter().find_map(|c| c.aliases.get(tool))?;
        alias.contains(':').then(|| alias.clone())
    }

    /// Nobody asked: then the platforms that any entry names, and where there are none, this one.
    fn platforms(&self) -> Vec<Platform> {
        if let Some(asked) = self.case.asked {
            return asked.to_vec();
        }
        let named = self.case.lock.entries.iter().flat_map(|e| e.platforms.keys());
        let named: BTreeSet<Platform> = named
            .filter_map(|name| Platform::parse(name).ok())
            .filter(Platform::is_plain)
            .collect();
        if named.is_empty() { vec![Platform::here()] } else { named.into_iter().collect() }
    }

    fn artifact(&mut self, request: &Request, entry: &Entry) -> Holds {
        let mut holds = Holds::Artifact;
        for platform in self.platforms().iter().filter(|p| p.within(&request.os)) {
            let artifact = entry.platforms.get(platform.name());
            let (code, why) = match artifact {
                None => (Code::Platform, "no entry"),
                Some(a) if !a.url => (Code::Platform, "no URL"),
                Some(a) if a.checksum.is_none() => (Code::Checksum, "no checksum"),
                Some(a) if !a.checksum.as_deref().is_some_and(file::is_checksum) => {
                    (Code::Checksum, "a checksum that is none")
                }
                Some(_) => continue,
            };
            holds = Holds::Version;
            let message = format!("{}@{} has {why} for {platform}", request.tool, entry.version);
            self.find(code, &request.tool, &request.version, message);
            if let Some(finding) = self.done.findings.last_mut() {
                finding.platform = Some(platform.name().to_owned());
            }
        }
        holds
    }

    fn tree(
        &mut self,
        request: &Request,
        entry: &Entry,
        look: &dyn Fn(&Entry, &Tree) -> State,
    ) -> Holds {
        let what = format!("{}@{}", request.tool, entry.version);
        let Some(tree) = &entry.tree else {
            // mise refuses such an entry, unless another installer is chosen.
            let npm = request.tool.starts_with("npm:");
            if npm && self.case.lock.version >= 2 && !self.case.other_npm {
                let message = format!(
                    "{what} has no dependency tree, which format version {} wants",
                    self.case.lock.version
                );
                self.find(Code::Tree, &request.tool, &request.version, message);
            }
            return Holds::Version;
        };
        let path = tree.path.display();
        let (code, message, holds) = match look(entry, tree) {
            State::Whole => return Holds::Tree,
            State::Unread => return Holds::TreeVersions,
            State::Missing(why) => {
                (Code::Sidecar, format!("{what}: its dependency tree: {why}"), Holds::Version)
            }
            State::Changed => (
                Code::Digest,
                format!("{what}: its dependency tree in {path} is not the one that was locked"),
                Holds::Version,
            ),
            State::Foreign => (
                Code::Sidecar,
                format!("{what}: its dependency tree in {path} does not hold it"),
                Holds::Version,
            ),
            State::Unproved(packages) => (
                Code::Integrity,
                format!(
                    "{what}: no integrity, so nothing says what is installed: {}",
                    packages.join(", ")
                ),
                Holds::TreeVersions,
            ),
        };
        self.find(code, &request.tool, &request.version, message);
        holds
    }

    fn stale(&mut self) {
        let lock = self.case.lock;
        if lock.stubs || self.case.configs.iter().any(|c| c.shared) {
            return;
        }
        for (n, entry) in lock.entries.iter().enumerate() {
            let tool = backend::bare(&entry.tool);
            // Where a request found no entry, the entries that it didn't find are told there.
            let changed = self.done.findings.iter().any(|f| {
                matches!(f.code, Code::Unsatisfied | Code::Options)
                    && f.tool.as_deref() == Some(tool)
            });
            if self.used.contains(&n) || entry.environment || changed {
                continue;
            }
            let mut all = self.case.configs.iter().flat_map(|c| c.tools.iter().chain(&c.tasks));
            let why = match all.any(|r| r.tool == tool) {
                true => "no request comes to this version",
                false => "nothing declares it",
            };
            let message = format!("{}@{} is left over: {why}", entry.tool, entry.version);
            self.find(Code::Stale, &entry.tool, &entry.version, message);
        }
    }
}

#[cfg(test)]
mod tests;
