//! What an image must not hold: one table, from which `agent clean` removes, `agent clean --check`
//! lists, and docs/clean.md is tested. [`own`] is what belongs to the machine or to the agent and
//! is removed, [`told`] what somebody put there.

mod own;
mod told;

/// A kind of thing that would leak into an image.
#[derive(Debug)]
pub struct Item {
    /// Its name.
    pub name: &'static str,
    /// Why it must not be in an image, for the person who reads the list.
    pub why: &'static str,
    /// Where it is: absolute, or below each home where it begins with `~/`. A `*` stands for
    /// anything in the last part, also more than once.
    pub paths: &'static [&'static str],
    /// What is done with it.
    pub does: Does,
    /// Of files: only those with such content; all where `None`.
    pub only: Option<fn(&[u8]) -> bool>,
}

/// What is done with a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// The file, link or directory is removed with all that is in it.
    Remove,
    /// Everything in the directory is removed; it stays.
    RemoveInside,
    /// The file stays, and is empty.
    Empty,
    /// Every file in the directory and below it is emptied; rotated ones are removed.
    EmptyInside,
    /// Lines that the agent wrote are taken out of the file.
    OwnLines,
    /// It is told, and left to the person who made it.
    Tell,
    /// So is a directory; a file of such a name is nothing.
    TellDirectory,
}

impl Does {
    /// The word of the list and of the documentation.
    pub fn word(self) -> &'static str {
        match self {
            Self::Remove => "removed",
            Self::RemoveInside => "emptied",
            Self::Empty => "emptied (the file stays)",
            Self::EmptyInside => "emptied, rotated ones removed",
            Self::OwnLines => "the agent's own lines removed",
            Self::Tell | Self::TellDirectory => "told, not removed",
        }
    }
}

/// Names in a directory that is emptied that belong to what runs: the private directories
/// of services, which systemd removes at each start (`tmpfiles.d(5)`).
pub const KEPT: &[&str] = &["systemd-private-*"];

const fn item(
    name: &'static str,
    why: &'static str,
    does: Does,
    paths: &'static [&'static str],
) -> Item {
    Item { name, why, paths, does, only: None }
}

const fn only(item: Item, only: fn(&[u8]) -> bool) -> Item {
    Item { only: Some(only), ..item }
}

/// All of it.
pub fn all() -> impl Iterator<Item = &'static Item> {
    own::ITEMS.iter().chain(told::ITEMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_begins_at_the_root_or_at_a_home_and_stays_below() {
        for item in all() {
            for path in item.paths {
                assert!(path.starts_with('/') || path.starts_with("~/"), "{path}");
                assert!(!path.contains("..") && !path.ends_with('/'), "{path}");
                let name = path.rsplit('/').next().unwrap();
                assert_eq!(path.matches('*').count(), name.matches('*').count(), "{path}");
            }
        }
    }

    /// The list that people read is this one.
    #[test]
    fn the_documentation_has_every_item_with_its_paths() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/clean.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let wanted: Vec<String> = all().map(row).collect();
        assert_eq!(rows, wanted, "write docs/clean.md so:\n{}", wanted.join("\n"));
    }

    fn row(item: &Item) -> String {
        let paths: Vec<String> = item.paths.iter().map(|p| format!("`{p}`")).collect();
        let condition = match item.only {
            Some(_) => " (where its content is such)",
            None => "",
        };
        format!(
            "| `{}` | {} | {}{condition} | {} |",
            item.name,
            paths.join(" "),
            item.does.word(),
            item.why
        )
    }
}
