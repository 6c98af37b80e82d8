//! Which address is asked: two of them, one that comes late, and never a proxy.

use super::{CLOSED, ID, assert_no_v1, hasty, patient, problem, settings};
use crate::util::metadata::Service;
use agent::config::value::endpoint;
use agent::ec2::imds::{self, Settings};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A port that lets connection requests go unanswered, as a firewall that drops them does.
struct FullQueue {
    url: String,
    python: Child,
}

impl Drop for FullQueue {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

/// Listens with the shortest queue there is, fills it, and accepts nothing (`listen(2)`).
fn full_queue() -> FullQueue {
    const SCRIPT: &str = "
import socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(0)
filling = [socket.socket() for _ in range(8)]
for s in filling:
    s.setblocking(False)
    s.connect_ex(listener.getsockname())
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
";
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = command.spawn().unwrap();
    let mut port = String::new();
    BufReader::new(python.stdout.take().unwrap()).read_line(&mut port).unwrap();
    FullQueue { url: format!("http://127.0.0.1:{}", port.trim()), python }
}

#[test]
fn the_second_endpoint_is_asked_where_the_first_is_not_there() {
    let service = Service::start(&["--address", "::1"]);
    assert!(service.url().starts_with("http://[::1]:"));
    let metadata = imds::collect(&patient(&[CLOSED, &service.url()])).unwrap();
    assert_eq!(metadata.instance_id, ID);
    assert_no_v1(&service);
}

#[test]
fn an_endpoint_that_hangs_costs_one_request_and_not_the_deadline() {
    let (dead, service) = (Service::start(&[]), Service::start(&["--address", "::1"]));
    dead.faults(json!([{"do": "hang"}]));
    let began = Instant::now();
    let metadata = imds::collect(&settings(&[&dead.url(), &service.url()], 1_000, 60_000)).unwrap();
    let took = began.elapsed();
    assert_eq!(metadata.instance_id, ID);
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(20), "{took:?}");
    // The one that answered is kept.
    assert_eq!(dead.requests(), ["PUT /latest/api/token -"]);
}

#[test]
fn an_endpoint_that_takes_no_connection_costs_half_a_request() {
    let full = full_queue();
    let service = Service::start(&[]);
    let began = Instant::now();
    let settings = settings(&[&full.url, &service.url()], 1_000, 60_000);
    assert_eq!(imds::collect(&settings).unwrap().instance_id, ID);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(20), "{took:?}");
    let result = imds::collect(&hasty(&[&full.url]));
    problem(result, "metadata-absent", "no connection within 500 ms");
}

#[test]
fn a_refusal_does_not_hide_an_endpoint_that_answers() {
    let (off, service) = (Service::start(&[]), Service::start(&[]));
    off.faults(json!([{"do": "status", "status": 403}]));
    let settings = patient(&[&off.url(), &service.url()]);
    assert_eq!(imds::collect(&settings).unwrap().instance_id, ID);
    // And where no other answers, it is the end, without waiting for the deadline.
    let began = Instant::now();
    let result = imds::collect(&patient(&[CLOSED, &off.url()]));
    problem(result, "metadata-off", &off.url());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn the_error_tells_of_all_and_is_about_the_one_that_came_furthest() {
    let dead = Service::start(&[]);
    dead.faults(json!([{"do": "hang"}]));
    for both in [[CLOSED, &dead.url()], [&dead.url(), CLOSED]] {
        let result = imds::collect(&hasty(&both));
        let evidence = problem(result, "metadata-hop-limit", &dead.url()).evidence.unwrap();
        let closed = format!("PUT {CLOSED}/latest/api/token: connection refused");
        assert!(evidence.contains(&closed), "{evidence}");
    }
}

/// The machine's network is often up only some seconds after the boot began.
#[test]
fn a_service_that_comes_late_is_found() {
    // An address of its own, so that no other test's service takes the port meanwhile.
    let free = TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
    let port = free.port().to_string();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(1_500));
        Service::start(&["--address", "127.0.0.3", "--port", &port])
    });
    let metadata = imds::collect(&settings(&[&format!("http://{free}")], 2_000, 30_000));
    let service = late.join().unwrap();
    assert_eq!(metadata.unwrap().instance_id, ID);
    assert_no_v1(&service);
}

#[test]
fn endpoints_that_are_none_are_refused_before_anything_is_asked() {
    let began = Instant::now();
    for bad in ["http://instance-data", "https://169.254.169.254", "169.254.169.254"] {
        problem(imds::collect(&patient(&[bad])), "metadata-endpoint", bad);
    }
    problem(imds::collect(&patient(&[])), "metadata-endpoint", "none is given");
    assert!(began.elapsed() < Duration::from_secs(5));
    for good in Settings::default().endpoints {
        assert_eq!(endpoint(&good), Some(good.as_str()));
    }
}

/// The environment is a process's own, so the test runs itself again with a proxy in it.
#[test]
fn no_proxy_of_the_environment_is_asked() {
    const URL: &str = "AGENT_TEST_METADATA_URL";
    const NAME: &str = "metadata::endpoints::no_proxy_of_the_environment_is_asked";
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(imds::collect(&hasty(&[&url])).unwrap().instance_id, ID);
        // So that a changed name of the variables cannot make this test blind.
        let through = ureq::get(format!("{url}/")).call();
        assert!(through.is_err_and(|e| !e.to_string().contains("401")), "no proxy was in force");
        return;
    }
    let (service, proxy) = (Service::start(&[]), Service::start(&[]));
    proxy.faults(json!([{"do": "status", "status": 502}]));
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", NAME]).env(URL, service.url()).env_remove("NO_PROXY");
    again.env_remove("no_proxy");
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY"]
    {
        again.env(name, proxy.url());
    }
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    // What went to the proxy was the control, and nothing of the client.
    assert!(proxy.log().iter().all(|r| r["method"] != "PUT"), "{:?}", proxy.requests());
}
