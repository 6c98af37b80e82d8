//! Things that outlive a process, removed when their owner goes, also by a panic.

use crate::engine::{Output, image, podman, podman_command, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// A name that no other test, run or user has.
pub(crate) fn unique(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("agent-test-{kind}-{}-{count}", std::process::id())
}

/// A named volume. Declare it before the sandboxes that use it.
pub(crate) struct Volume {
    pub(crate) name: String,
}

impl Volume {
    /// An empty one; podman fills it at its first mount, unless told `nocopy`.
    pub(crate) fn new() -> Self {
        let name = unique("volume");
        podman(&["volume", "create", &name]).good();
        Self { name }
    }

    /// How a container mounts it at the home, owned by its user.
    pub(crate) fn at_home(&self) -> String {
        self.at_home_with("U")
    }

    /// The same with other options.
    pub(crate) fn at_home_with(&self, options: &str) -> String {
        format!("{}:/home/iteron:{options}", self.name)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        podman(&["volume", "rm", "--force", &self.name]);
    }
}

/// A secret that podman keeps.
pub(crate) struct Secret {
    pub(crate) name: String,
}

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        let file = Files::one("secret", text);
        let name = unique("secret");
        podman(&["secret", "create", &name, &file.path("secret").display().to_string()]).good();
        Self { name }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        podman(&["secret", "rm", &self.name]);
    }
}

/// One build or removal of an image at a time: removing an image by force takes away the working
/// container of a build that stands on the same layers (podman 4.3).
static IMAGES: Mutex<()> = Mutex::new(());

/// Runs a build to its end.
pub(crate) fn build(command: Command) -> Output {
    let _one = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    run(command, Duration::from_secs(120))
}

/// Removes an image that may not be there.
pub(crate) fn remove_image(name: &str) {
    let _one = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    podman(&["image", "rm", "--force", name]);
}

/// An image made from the one under test.
pub(crate) struct Image {
    pub(crate) name: String,
}

impl Image {
    /// `instructions` follow the `FROM` line; `files` are what they may `COPY`.
    pub(crate) fn derived(instructions: &str, files: &[(&str, &str)]) -> Self {
        let context = TempDir::new().unwrap();
        for (path, text) in files {
            write(&context.path().join(path), text);
        }
        let text = format!("FROM {}\n{instructions}\n", image());
        write(&context.path().join("Containerfile"), &text);
        let name = format!("localhost/{}", unique("image"));
        let mut command = podman_command();
        // HEALTHCHECK exists only in docker's image format.
        command.args(["build", "--quiet", "--format", "docker", "--tag", &name]);
        command.arg(context.path());
        build(command).good();
        Self { name }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        remove_image(&self.name);
    }
}

/// Files of the host that a sandbox mounts.
pub(crate) struct Files {
    dir: TempDir,
}

impl Files {
    /// A directory with one file.
    pub(crate) fn one(name: &str, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new().unwrap();
        // The directory itself may be mounted too.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        write(&dir.path().join(name), text);
        Self { dir }
    }

    /// A file's path on the host.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The argument that mounts a file.
    pub(crate) fn mounted(&self, name: &str, at: &str, options: &str) -> String {
        format!("--volume={}:{at}:{options}", self.path(name).display())
    }
}

/// Writes a file that the sandbox's user can read.
fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}
