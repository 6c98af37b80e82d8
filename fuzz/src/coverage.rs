//! How much of the code the corpus reaches: the compiler's counters (SanitizerCoverage, one a
//! basic block), told by source line through the debug information. It needs neither LLVM's own
//! tools nor a build of another kind.

use crate::targets::ALL;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

unsafe extern "C" {
    // The linker marks begin and end of a section so (ld, "Input Section Example").
    static mut __start___sancov_cntrs: u8;
    static __stop___sancov_cntrs: u8;
    static __start___sancov_pcs: [usize; 2];
    static __stop___sancov_pcs: [usize; 2];
}

/// Runs the corpus of every target, prints a table, and ends the process. `AGENT_FUZZ_CORPUS`
/// names the directory; with `AGENT_FUZZ_LINES=FILE` the lines that are never reached are told.
pub fn report() -> ! {
    let corpus = std::env::var("AGENT_FUZZ_CORPUS").unwrap_or_else(|_| "fuzz/corpus".into());
    let (counters, places) = tables();
    let mut reached = vec![false; counters.len()];
    for target in ALL {
        let mut files: Vec<_> = std::fs::read_dir(Path::new(&corpus).join(target.name))
            .map(|all| all.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        for file in files {
            counters.fill(0);
            (target.run)(&std::fs::read(&file).unwrap_or_default());
            // Each run by itself: a counter has 8 bits, and begins anew at 256.
            reached.iter_mut().zip(&*counters).for_each(|(seen, n)| *seen |= *n != 0);
        }
    }
    let lines = by_line(places, &reached);
    print(&lines);
    if let Ok(file) = std::env::var("AGENT_FUZZ_LINES") {
        let missed = lines.iter().flat_map(|(source, lines)| {
            lines.iter().filter(|(_, seen)| !**seen).map(move |(n, _)| format!("{source}:{n}\n"))
        });
        let _ = std::fs::write(&file, missed.collect::<String>());
    }
    std::process::exit(0);
}

fn tables() -> (&'static mut [u8], &'static [[usize; 2]]) {
    // SAFETY: the linker lays the marks around the sections; nothing but the program's own code
    // writes the counters, on this one thread.
    unsafe {
        let first = &raw mut __start___sancov_cntrs;
        let count = (&raw const __stop___sancov_cntrs).offset_from(first) as usize;
        let pcs = &raw const __start___sancov_pcs;
        let places = (&raw const __stop___sancov_pcs).offset_from(pcs) as usize;
        assert_eq!(count, places, "a counter for each place");
        (std::slice::from_raw_parts_mut(first, count), std::slice::from_raw_parts(pcs, places))
    }
}

/// Source file, below `src/`, to its lines and whether they were reached.
type Lines = BTreeMap<String, BTreeMap<u32, bool>>;

fn by_line(places: &[[usize; 2]], reached: &[bool]) -> Lines {
    let mut all = Lines::new();
    let Ok(debug) = addr2line::Loader::new("/proc/self/exe") else {
        eprintln!("agent-fuzz: no debug information");
        std::process::exit(1);
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let own = format!("{}/src/", root.display());
    for ([address, _], seen) in places.iter().zip(reached) {
        let Ok(Some(place)) = debug.find_location(*address as u64) else { continue };
        let (Some(file), Some(line)) = (place.file, place.line) else { continue };
        // The compiler names files of the package from its own directory, or in full.
        let name = file.strip_prefix(&own).or_else(|| Some(file.split_once("/fuzz/../src/")?.1));
        let Some(name) = name else { continue };
        *all.entry(name.to_owned()).or_default().entry(line).or_default() |= seen;
    }
    all
}

fn print(lines: &Lines) {
    let (mut all_seen, mut all) = (0, 0);
    let mut told = BTreeSet::new();
    println!("{:<16} {:>6} {:>6}  {:>4}  of these files", "target", "lines", "seen", "%");
    for target in ALL {
        let (mut seen, mut count) = (0, 0);
        for (name, lines) in lines {
            if !target.reads.iter().any(|read| name.starts_with(read)) {
                continue;
            }
            let here = lines.values().filter(|seen| **seen).count();
            seen += here;
            count += lines.len();
            if told.insert(name) {
                all_seen += here;
                all += lines.len();
            }
        }
        row(target.name, count, seen, &target.reads.join(" "));
    }
    row("all", all, all_seen, "");
}

fn row(name: &str, count: usize, seen: usize, files: &str) {
    let percent = 100 * seen / count.max(1);
    println!("{name:<16} {count:>6} {seen:>6}  {percent:>3}%  {files}");
}
