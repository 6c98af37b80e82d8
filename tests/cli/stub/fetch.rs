//! The template that downloads the agent, with real curl and wget, from a real server by
//! https. Only the place where the agent is kept is moved to where a test may write.

use super::{SHA256, TOKEN, executable, fake_agent, launch, moved, rendered};
use crate::util::{Ended, PATH, clean, directory, fresh, run};
use agent::stub::{Fetch, Launch, Parameters};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Serves one file by https, and what can go wrong with it; by http too, for a redirect
/// that leads there. Prints both ports, and a line for each request.
const SERVER: &str = r#"
import http.server, ssl, sys, threading
cert, key, path = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    seen = 0
    def do_GET(self):
        Handler.seen += 1
        print(self.path, flush=True)
        body = open(path, 'rb').read()
        if self.path.startswith('/missing'):
            self.send_error(404); return
        if self.path.startswith('/flaky') and Handler.seen < 3:
            self.send_error(503); return
        if self.path.startswith('/to-http'):
            self.send_response(302)
            self.send_header('Location', f'http://127.0.0.1:{plain.server_port}/agent')
            self.end_headers(); return
        if self.path.startswith('/other'):
            body = body.replace(b'printf', b'printf ')
        if self.path.startswith('/short'):
            body = body[:-20]
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
plain = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
tls = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
tls.socket = context.wrap_socket(tls.socket, server_side=True)
threading.Thread(target=plain.serve_forever, daemon=True).start()
print(tls.server_port, flush=True)
tls.serve_forever()
"#;

/// A server, a machine to boot, and what happened on it.
struct Site {
    dir: TempDir,
    server: Child,
    port: u16,
    sha256: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Tools that the template calls, besides the one that downloads.
const TOOLS: &[&str] =
    &["mkdir", "mktemp", "rm", "timeout", "od", "sha256sum", "chmod", "mv", "cp", "env"];

/// A certificate for this machine, vouched for by itself alone.
fn certificate(key: &Path, cert: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .args([key, Path::new("-out"), cert])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
}

impl Site {
    fn new() -> Self {
        let dir = fresh();
        let at = |name: &str| dir.path().join(name);
        let agent = executable(&at("agent"), fake_agent(dir.path()));
        let digest = Command::new("sha256sum").arg(&agent).output().unwrap().stdout;
        certificate(&at("key"), &at("cert"));
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .args([at("cert"), at("key"), agent])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        // What it prints later is read, so that it never waits.
        std::thread::spawn(move || lines.for_each(drop));
        fs::write(at("wgetrc"), format!("ca_certificate = {}\n", at("cert").display())).unwrap();
        let sha256 = String::from_utf8(digest).unwrap()[..64].to_owned();
        Self { dir, server, port, sha256 }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory for PATH with `download` as the only way to download. Waits are noted
    /// and not waited for.
    fn tools(&self, download: &[&str]) -> PathBuf {
        let bin = directory(self.dir.path(), "bin");
        for tool in TOOLS.iter().chain(download) {
            let found = PATH.split(':').map(|d| Path::new(d).join(tool)).find(|p| p.exists());
            symlink(found.unwrap(), bin.join(tool)).unwrap();
        }
        let waits = self.at("waits");
        executable(&bin.join("sleep"), format!("#!/bin/sh\necho \"$1\" >>{}\n", waits.display()));
        bin
    }

    fn boot(&self, download: &[&str], path: &str, sha256: &str) -> Ended {
        self.boot_url(download, &format!("https://127.0.0.1:{}{path}", self.port), sha256)
    }

    fn boot_url(&self, download: &[&str], url: &str, sha256: &str) -> Ended {
        let launch = Launch {
            fetch: Some(Fetch { url: url.into(), sha256: sha256.into() }),
            parameters: Parameters { vm_name: Some("my vm".into()), ..Parameters::default() },
            ..launch(format!("#!/bin/sh\nTOKEN={TOKEN}\n").as_bytes())
        };
        let part = self.at("part-001");
        let nowhere = self.at("nowhere");
        executable(&part, moved(&rendered(&launch), &nowhere, &self.at("fetched")));
        let mut command = Command::new(&part);
        clean(&mut command);
        command
            .env("PATH", self.tools(download))
            .env("CURL_CA_BUNDLE", self.at("cert"))
            .env("WGETRC", self.at("wgetrc"))
            .env("MINT_USER_BOOTSTRAP", "from the environment");
        run(command)
    }

    /// The agent was run, as it should.
    #[track_caller]
    fn ran(&self) {
        let arguments = fs::read_to_string(self.at("arguments")).unwrap();
        let part = self.at("part-001");
        assert_eq!(arguments, format!("boot\n--user-data\n{}\n", part.display()));
        assert_eq!(fs::read(self.at("user-data")).unwrap(), fs::read(&part).unwrap());
        let environment = fs::read_to_string(self.at("environment")).unwrap();
        assert!(environment.contains("MINT_VM_NAME=my vm\0"), "{environment:?}");
        assert!(!environment.contains("MINT_USER_BOOTSTRAP"), "{environment:?}");
        let kept: Vec<_> = fs::read_dir(self.at("fetched")).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(kept.len(), 1, "nothing is left beside it: {kept:?}");
        assert_eq!(kept[0].file_name(), "agent");
        assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    }

    /// Nothing was run, nothing is left, and it is said why.
    #[track_caller]
    fn refused(&self, ended: Ended, why: &str) {
        let ended = ended.expect(1).says(why);
        assert!(ended.stderr.contains("nothing"), "{ended:#?}");
        assert!(!self.at("arguments").exists(), "something was run");
        assert_eq!(fs::read_dir(self.at("fetched")).unwrap().count(), 0, "something is left");
        assert!(!ended.all().contains("signature"), "the address is told: {ended:#?}");
    }

    fn waits(&self) -> Vec<u32> {
        let waits = fs::read_to_string(self.at("waits")).unwrap_or_default();
        waits.lines().map(|l| l.parse().unwrap()).collect()
    }
}

#[test]
fn what_has_the_right_hash_is_run_by_curl_and_by_wget() {
    for download in ["curl", "wget"] {
        let site = Site::new();
        site.boot(&[download], "/agent?X-signature=a%2Fb&c=d", &site.sha256).expect(0);
        site.ran();
        assert!(site.waits().is_empty(), "{download}");
    }
}

#[test]
fn of_what_has_another_hash_nothing_is_run() {
    for download in ["curl", "wget"] {
        for path in ["/other", "/short"] {
            let site = Site::new();
            let ended = site.boot(&[download], path, &site.sha256);
            site.refused(ended, "another SHA-256 than MINT_BOOTSTRAP_SHA256");
        }
    }
    let site = Site::new();
    let ended = site.boot(&["curl"], "/agent", SHA256);
    site.refused(ended, "another SHA-256");
}

#[test]
fn a_server_that_stumbles_is_asked_again_and_one_that_fails_a_bounded_number_of_times() {
    for download in ["curl", "wget"] {
        let site = Site::new();
        site.boot(&[download], "/flaky", &site.sha256).expect(0);
        site.ran();
        assert_eq!(site.waits().len(), 2, "{download}");

        let site = Site::new();
        let ended = site.boot(&[download], "/missing?signature", &site.sha256);
        site.refused(ended, "cannot be downloaded (5 attempts)");
        let waits = site.waits();
        assert_eq!(waits.len(), 4, "{download}");
        for (n, wait) in (1..).zip(waits) {
            assert!((2 * n..2 * n + 3).contains(&wait), "{wait} before attempt {}", n + 1);
        }
    }
}

#[test]
fn curl_doesnt_leave_https() {
    let site = Site::new();
    let ended = site.boot(&["curl"], "/to-http", &site.sha256);
    site.refused(ended, "cannot be downloaded");
    // The same with that one option taken out: it is the option that refuses.
    let part = site.at("part-001");
    let text = fs::read_to_string(&part).unwrap();
    fs::write(&part, text.replace("--proto =https ", "")).unwrap();
    let mut command = Command::new(&part);
    clean(&mut command);
    command.env("PATH", site.at("bin")).env("CURL_CA_BUNDLE", site.at("cert"));
    run(command).expect(0);
    site.ran();
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused() {
    let site = Site::new();
    // What the machine trusts is another certificate than the server's.
    certificate(&site.at("key"), &site.at("cert"));
    for download in ["curl", "wget"] {
        let ended = site.boot(&[download], "/agent", &site.sha256);
        site.refused(ended, "cannot be downloaded");
        fs::remove_dir_all(site.at("bin")).unwrap();
    }
}

#[test]
fn an_image_that_cannot_download_is_told_so() {
    let site = Site::new();
    let ended = site.boot(&[], "/agent", &site.sha256);
    site.refused(ended, "neither curl nor wget");
    fs::remove_dir(site.at("fetched")).unwrap();
    fs::write(site.at("fetched"), "in the way").unwrap();
    fs::remove_dir_all(site.at("bin")).unwrap();
    let ended = site.boot(&["curl"], "/agent", &site.sha256).expect(1);
    ended.says("cannot be written: nothing was run");
}
