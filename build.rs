//! The guest's program is entered at `src/sys/early.rs`, which says why.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let known = matches!(target("ARCH").as_str(), "x86_64" | "aarch64");
    if known && target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bin=agent=-Wl,--entry=agent_enter");
    }
}
