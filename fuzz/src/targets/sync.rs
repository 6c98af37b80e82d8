//! An archive of `agent tools export`, as `import` gets it from a stranger.

use agent::tools::sync::{bundle::Bundle, text, ustar};
use std::path::{Component, Path};

/// An archive; or (what is easier to change) the files of one, behind a first line `files`, each
/// begun by a line `@PATH`: an archive is then made of them, with names and sums that are right.
pub fn run(data: &[u8]) {
    match data.strip_prefix(b"files\n") {
        Some(files) => archive(&made(files)),
        None => archive(data),
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(named) = text::sidecars(&text, "locks") {
        assert!(named.iter().all(|path| path.starts_with("locks/")), "{named:?}");
        assert!(named.iter().all(|path| is_plain(path)), "{named:?}");
    }
    if let Ok(table) = text::table(&text) {
        let _ = text::private(&table);
    }
}

fn archive(bytes: &[u8]) {
    let entries = ustar::read(bytes);
    if let Ok(bundle) = Bundle::from_archive(bytes) {
        assert!(entries.is_ok());
        for item in &bundle.items {
            assert!(is_plain(&item.path), "{} leads out of the home", item.path);
        }
        let again = bundle.to_archive().expect("what was read can be written");
        assert_eq!(Bundle::from_archive(&again), Ok(bundle), "written and read it is another");
    }
}

fn is_plain(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn made(text: &[u8]) -> Vec<u8> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for line in text.split_inclusive(|b| *b == b'\n') {
        match (line.strip_prefix(b"@"), files.last_mut()) {
            (Some(name), _) => {
                files.push((String::from_utf8_lossy(name).trim_end().to_owned(), Vec::new()));
            }
            (None, Some((_, bytes))) => bytes.extend(line),
            (None, None) => {}
        }
    }
    // Sizes and sums of the manifest are made right where they stand as 0 and "".
    if let Some((_, first)) = files.first().cloned()
        && let Ok(mut manifest) = serde_json::from_slice::<serde_json::Value>(&first)
        && let Some(lines) = manifest.get_mut("files").and_then(|f| f.as_array_mut())
    {
        for line in lines {
            let Some((_, bytes)) = files.iter().find(|(n, _)| line["path"] == n.as_str()) else {
                continue;
            };
            if line["size"] == 0 && line["sha256"] == "" {
                line["size"] = bytes.len().into();
                line["sha256"] = agent::tools::sync::bundle::digest(bytes).into();
            }
        }
        files[0].1 = manifest.to_string().into_bytes();
    }
    let files = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    ustar::write(files).unwrap_or_default()
}
