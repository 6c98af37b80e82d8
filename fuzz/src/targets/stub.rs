//! A stub: what is rendered is read back, and what is cut short is not read as another.

use agent::stub::payload::Script;
use agent::stub::{Fetch, LIMIT, Launch, Parameters, render, user_data};

/// Lines `efs=…`, `dev=…`, `name=…`, `idle=…`, `url=…`, `sha=…`; what follows an empty line
/// is the script.
pub fn run(data: &[u8]) {
    let (head, script) = super::halves(data, "");
    let head = String::from_utf8_lossy(head);
    let value = |key: &str| {
        head.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
    };
    let fetch = value("url").map(|url| Fetch { url, sha256: value("sha").unwrap_or_default() });
    let launch = Launch {
        parameters: Parameters {
            efs_id: value("efs"),
            project_dev: value("dev"),
            vm_name: value("name"),
            idle_timeout: value("idle").and_then(|n| n.parse().ok()),
        },
        script: Script::verbatim(script.to_vec()).ok().filter(|s| !s.bytes().is_empty()),
        fetch,
    };
    let Ok(rendered) = render(&launch) else { return };
    let bytes = rendered.as_bytes();
    assert!(bytes.len() <= LIMIT && bytes.len() == rendered.budget().total());
    let parsed = user_data::parse(bytes).expect("what was rendered is read");
    assert_eq!(parsed.scripts.only(), launch.script.as_ref(), "another script");
    assert_eq!(parsed.parameters, launch.parameters, "other parameters");
    let lower = |f: Fetch| Fetch { sha256: f.sha256.to_ascii_lowercase(), ..f };
    assert_eq!(parsed.fetch, launch.fetch.clone().map(lower), "another download");
    // Every cut would be a long loop: one, wherever the input puts it.
    let seed = data.iter().fold(7usize, |n, b| n.wrapping_mul(31).wrapping_add(usize::from(*b)));
    let cut = &bytes[..seed % bytes.len()];
    if let Ok(torn) = user_data::parse(cut) {
        let whole = torn == parsed || cut.trim_ascii().is_empty();
        assert!(whole, "cut at {} it is read as another", cut.len());
    }
}
