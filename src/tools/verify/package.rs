//! What an npm package says of the programs it has.

use super::Claim;
use crate::sys::files;
use crate::tools::manifest;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Where the embedded installer and npm put packages.
const MODULES: [&str; 2] = ["node_modules", "lib/node_modules"];

/// One package.
#[derive(Default)]
pub(super) struct Package {
    /// The programs that it declares and has files for.
    pub(super) programs: Vec<String>,
    /// It declares none.
    pub(super) is_library: bool,
}

impl Package {
    /// `None` where the tool isn't one. A package whose own file can't be read declares
    /// nothing and is no library.
    pub(super) fn of(claim: &Claim) -> Option<Self> {
        let modules = MODULES.map(|m| claim.path.join(m)).into_iter().find(|m| m.is_dir())?;
        let name = claim.name.split_once(':').map_or(claim.name.as_str(), |(_, name)| name);
        // `npm:x[option=value]`
        let name = name.split('[').next().unwrap_or(name);
        let root = modules.join(name);
        let file = files::open_regular(&root.join("package.json")).ok();
        let json = file.and_then(|f| serde_json::from_reader(f.take(manifest::MAX)).ok());
        Some(json.map(|json| Self::read(&root, name, &json)).unwrap_or_default())
    }

    fn read(root: &Path, name: &str, json: &Value) -> Self {
        let short = name.rsplit('/').next().unwrap_or(name);
        let declared: Vec<(&str, &str)> = match json.get("bin") {
            Some(Value::String(file)) => vec![(short, file.as_str())],
            Some(Value::Object(all)) => {
                all.iter().filter_map(|(n, file)| Some((n.as_str(), file.as_str()?))).collect()
            }
            _ => vec![],
        };
        let is_library = declared.is_empty() && json.pointer("/directories/bin").is_none();
        // Installers pass over a program whose file the package hasn't got.
        let has_file = |(n, file): &(&str, &str)| !n.contains('/') && root.join(file).is_file();
        let programs = declared.into_iter().filter(has_file).map(|(n, _)| n.to_owned()).collect();
        Self { programs, is_library }
    }
}
