//! What a reader is told where a user's config and the image's disagree on a tool. Pure.

use super::{Linked, Program};
use crate::config::value::BaselineMode;
use crate::tools::manifest::{Declared, Manifest};
use crate::tools::places::Places;
use std::path::Path;

/// One note for each tool of the baseline that the user's config or shims would decide
/// otherwise: what is in force, and how that is changed. `user` is the user's config;
/// `shims` are names of programs that the user's shims have too.
pub fn notes(
    mode: BaselineMode,
    tools: &[(Linked, &Declared)],
    user: Option<&Manifest>,
    shims: &[String],
) -> Vec<String> {
    let of = |name: &str| user.and_then(|u| u.tools.iter().find(|t| t.name == name));
    let off = |name: &str| {
        user.and_then(|u| u.disable_tools.as_ref()).is_some_and(|d| d.iter().any(|t| t == name))
    };
    let note = |(tool, declared): &(Linked, &Declared)| {
        let name = &tool.name;
        let own = of(name).filter(|own| own.versions != declared.versions);
        let shim = || tool.programs.iter().find(|Program { name, .. }| shims.contains(name));
        let what = if off(name) {
            "the user's config disables it".to_owned()
        } else if let Some(own) = own {
            format!("the user's config asks for {}", own.versions.join(", "))
        } else if let Some(program) = shim().filter(|_| of(name).is_none()) {
            format!("the user has a shim {} too", program.name)
        } else {
            return None;
        };
        Some(format!("{name}: {what}; {}", in_force(mode, &tool.version, off(name))))
    };
    tools.iter().filter_map(note).collect()
}

/// What the image's own PATH decides for processes that nobody but the container engine
/// starts, where that is not what the configuration says.
pub fn order(mode: BaselineMode, image_path: &str, places: &Places) -> Option<String> {
    let at = |dir: &Path| image_path.split(':').position(|p| Path::new(p) == dir);
    let shims = at(&places.shims())?;
    let links = [&places.image_links, &places.volume_links()].map(|dir| at(dir));
    let before = links.iter().all(|l| l.is_some_and(|l| l < shims));
    let fault = match mode {
        BaselineMode::Pinned if !before => {
            "lacks the links to the image's tools before the user's shims: a user's config decides there"
        }
        BaselineMode::Overridable if links.iter().flatten().any(|l| *l < shims) => {
            "has links to the image's tools before the user's shims: the image's tools answer there"
        }
        _ => return None,
    };
    Some(format!("the container's own PATH, which `podman exec` gives to what it starts, {fault}"))
}

fn in_force(mode: BaselineMode, version: &str, off: bool) -> String {
    match (mode, off) {
        (BaselineMode::Pinned, _) => format!(
            "the image's {version} is in force (tools.baseline = \"overridable\" in the agent's config lets the user decide)"
        ),
        (BaselineMode::Overridable, true) => format!("the image's {version} answers all the same"),
        (BaselineMode::Overridable, false) => format!(
            "the user's comes first where it is installed, else the image's {version} (tools.baseline is \"overridable\")"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::manifest::parse;

    fn told(mode: BaselineMode, user: &str, shims: &[&str]) -> Vec<String> {
        let read = |text| parse(Path::new("/x"), text).unwrap();
        let system = read("[tools]\n\"npm:a\" = \"1.6.0\"\n");
        let tool = Linked {
            name: "npm:a".into(),
            version: "1.6.0".into(),
            programs: vec![Program { name: "a".into(), leads_to: "/a".into() }],
        };
        let shims: Vec<String> = shims.iter().map(|s| (*s).to_owned()).collect();
        notes(mode, &[(tool, &system.tools[0])], Some(&read(user)), &shims)
    }

    #[test]
    fn one_note_a_tool_says_what_is_in_force_and_how_to_change_it() {
        let cases = [
            (
                "[tools]\n\"npm:a\" = \"1.5.0\"\n",
                "the user's config asks for 1.5.0; the image's 1.6.0",
            ),
            (
                "[settings]\ndisable_tools = [\"npm:a\"]\n",
                "the user's config disables it; the image's",
            ),
            ("", "the user has a shim a too; the image's 1.6.0 is in force"),
        ];
        for (user, part) in cases {
            let told = told(BaselineMode::Pinned, user, &["a"]);
            assert_eq!(told.len(), 1);
            assert!(told[0].contains(part) && told[0].contains("\"overridable\""), "{told:?}");
        }
    }

    #[test]
    fn who_agrees_or_has_nothing_of_it_is_not_told() {
        assert!(told(BaselineMode::Pinned, "[tools]\n\"npm:a\" = \"1.6.0\"\n", &["a"]).is_empty());
        assert!(told(BaselineMode::Pinned, "[tools]\n\"npm:b\" = \"1\"\n", &[]).is_empty());
        let over = told(BaselineMode::Overridable, "[tools]\n\"npm:a\" = \"1.5.0\"\n", &[]);
        assert!(over[0].contains("the user's comes first"), "{over:?}");
    }

    #[test]
    fn a_path_of_the_images_that_says_otherwise_is_told() {
        let places = Places::of(Path::new("/h"), |_| None);
        let (volume, shims) = ("/h/.local/share/agent/baseline/bin", "/h/.local/share/mise/shims");
        let image = places.image_links.display();
        let pinned = format!("{volume}:{image}:{shims}:/bin");
        let overridable = format!("{shims}:{volume}:{image}:/bin");
        for (mode, good, bad) in [
            (BaselineMode::Pinned, &pinned, &overridable),
            (BaselineMode::Overridable, &overridable, &pinned),
        ] {
            assert_eq!(order(mode, good, &places), None);
            assert!(order(mode, bad, &places).is_some());
        }
        assert!(order(BaselineMode::Pinned, &format!("{shims}:/bin"), &places).is_some());
        assert_eq!(order(BaselineMode::Pinned, "/usr/bin:/bin", &places), None);
    }
}
