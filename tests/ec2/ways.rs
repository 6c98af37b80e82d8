//! The way to the API: names, TLS, proxies.

use super::{PATIENT, account, credentials, problem, write, write_one};
use crate::front::{Does, Front};
use crate::util::moto::Moto;
use agent::ec2::tags::Limits;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[test]
fn a_name_of_the_hosts_file_is_found() {
    let front = Front::alone(|_, _| Does::good());
    let port = front.url().rsplit(':').next().unwrap().to_owned();
    let written = write_one(&format!("http://localhost:{port}"), &PATIENT).unwrap();
    assert_eq!(written.attempts, 1);
    assert_eq!(front.seen()[0].header("host"), Some(&*format!("localhost:{port}")));
}

#[test]
fn a_name_that_nobody_knows_is_named() {
    let limits =
        Limits { request_deadline: Duration::from_secs(2), deadline: Duration::from_secs(3) };
    let outcome = write_one("http://ec2.agent-test.invalid", &limits);
    let problem = problem(&outcome, "tag-endpoint-unreachable");
    let evidence = problem.evidence.unwrap();
    assert!(evidence.contains("no address: ec2.agent-test.invalid: "), "{evidence}");
}

#[test]
fn a_server_without_a_known_certificate_gets_nothing() {
    let moto = Moto::start_tls();
    let outcome = write_one(&moto.url(), &PATIENT);
    let problem = problem(&outcome, "tag-endpoint-untrusted");
    assert!(problem.evidence.unwrap().contains("invalid peer certificate"));
    assert_eq!(outcome.unwrap_err().attempts, 1);
}

/// A proxy that opens tunnels, and the addresses that it was asked for.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            thread::spawn(move || tunnel(stream, &kept));
        }
    });
    (address, asked)
}

fn tunnel(mut client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let line = head.lines().next()?.to_owned();
    asked.lock().unwrap().push(line.clone());
    let mut server = TcpStream::connect(line.split(' ').nth(1)?).ok()?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut server, &mut client).ok().map(drop)
}

/// Runs [`one_tag_by_the_environment`] in a process with this environment.
fn in_environment(variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "ways::one_tag_by_the_environment", "--ignored", "--nocapture"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("1 passed"), "{output:?}");
    said
}

/// Not a test by itself: what the others start.
#[test]
#[ignore = "started by the tests of proxies, with an environment of its own"]
fn one_tag_by_the_environment() {
    if let Ok(url) = std::env::var("AGENT_TEST_URL") {
        let limits =
            Limits { request_deadline: Duration::from_secs(5), deadline: Duration::from_secs(3) };
        match write_one(&url, &limits) {
            Ok(written) => println!("written: {written:?}"),
            Err(error) => println!("not written: {}", super::printed(&error)),
        }
    }
}

#[test]
fn the_proxy_of_the_environment_is_used_unless_the_host_is_exempt() {
    let front = Front::alone(|_, _| Does::good());
    let (address, asked) = proxy();
    let url = front.url();
    let proxied = format!("http://someone:proxy-password@{address}");
    let host = url.strip_prefix("http://").unwrap();
    let said = in_environment(&[("AGENT_TEST_URL", &url), ("http_proxy", &proxied)]);
    assert!(said.contains("written: Written"), "{said}");
    assert_eq!(*asked.lock().unwrap(), [format!("CONNECT {host} HTTP/1.1")]);
    assert_eq!(front.seen().len(), 1);

    let direct =
        [("AGENT_TEST_URL", &*url), ("http_proxy", &*proxied), ("no_proxy", "a.test,127.0.0.1")];
    assert!(in_environment(&direct).contains("written: Written"));
    assert_eq!(asked.lock().unwrap().len(), 1, "the proxy was not asked again");
}

#[test]
fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
    let front = Front::alone(|_, _| Does::good());
    let url = front.url();
    for (proxy, why) in [
        (
            "socks5://someone:proxy-password@127.0.0.1:1080",
            "the proxy of the environment: it is a SOCKS proxy",
        ),
        (
            "http://someone:proxy-password@127.0.0.1:9",
            "the proxy of the environment: Connection refused",
        ),
        (
            "gopher://someone:proxy-password@127.0.0.1:9",
            "the proxy of the environment: it is no address",
        ),
    ] {
        let said = in_environment(&[("AGENT_TEST_URL", &url), ("http_proxy", proxy)]);
        assert!(said.contains("not written") && said.contains(why), "{proxy}: {said}");
        assert!(!said.contains("proxy-password"), "{said}");
    }
    assert!(front.seen().is_empty(), "nothing goes past the proxy");
}

/// A role's keys go through a real API by name, as on a machine: nothing of it is literal.
#[test]
fn a_name_and_a_role_together_write_a_tag() {
    let moto = Moto::start();
    let instance = moto.instance();
    let keys = moto.role("agent", &["ec2:CreateTags"]);
    moto.checks(true);
    let url = moto.url().replace("127.0.0.1", "localhost");
    let outcomes =
        write(&mut account(&url, credentials(&keys)), &instance, &[("k", "v")], &PATIENT);
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    assert_eq!(moto.tags(&instance)["k"], "v");
}
