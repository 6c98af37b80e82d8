//! What stands between the agent and the mock: it keeps every request, and answers some
//! itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What is done with a request.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// The mock has the word.
    Forward,
    /// A status, headers as they go over the wire, and a body.
    Answer(u16, String, String),
    /// Nothing is said, and the connection ends.
    Close,
    /// These bytes, and the connection ends.
    Bytes(Vec<u8>),
    /// So long there is silence; then the connection ends.
    Silence(Duration),
    /// The head of an answer, then a byte every now and then, for so long.
    Drip(Duration),
}

impl Does {
    /// An error as EC2 writes it.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::error_at(status, code, "")
    }

    /// The same with a header `Date`.
    pub(crate) fn error_at(status: u16, code: &str, headers: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
             <Message>made up</Message></Error></Errors><RequestID>req-1</RequestID></Response>"
        );
        Self::Answer(status, headers.into(), body)
    }

    /// Success as EC2 writes it.
    pub(crate) fn good() -> Self {
        let body = "<CreateTagsResponse><requestId>req-0</requestId><return>true</return></CreateTagsResponse>";
        Self::Answer(200, String::new(), body.into())
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Request {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The key of the tag that it is about.
    pub(crate) fn key(&self) -> &str {
        let rest = self.body.split_once("Tag.1.Key=").map_or("", |(_, rest)| rest);
        rest.split('&').next().unwrap_or_default()
    }
}

/// Decides by the request and how many came before it.
type Rule = dyn Fn(&Request, usize) -> Does + Send + Sync;

/// A server at a port of its own, until the test's process ends.
pub(crate) struct Front {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Front {
    /// In front of `mock` (`http://HOST:PORT`).
    pub(crate) fn of(
        mock: &str,
        rule: impl Fn(&Request, usize) -> Does + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, rule, mock) =
            (Arc::clone(&seen), Arc::<Rule>::from(Box::new(rule) as Box<Rule>), mock.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, rule, mock) = (Arc::clone(&kept), Arc::clone(&rule), mock.clone());
                // What goes wrong with a connection is what is tested.
                thread::spawn(move || _ = serve(stream, &kept, &*rule, &mock));
            }
        });
        Self { port, seen }
    }

    /// With nothing behind it.
    pub(crate) fn alone(rule: impl Fn(&Request, usize) -> Does + Send + Sync + 'static) -> Self {
        Self::of("", rule)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    kept: &Mutex<Vec<Request>>,
    rule: &Rule,
    mock: &str,
) -> std::io::Result<()> {
    let Some((bytes, request)) = read(&mut stream)? else { return Ok(()) };
    let before = {
        let mut kept = kept.lock().unwrap();
        kept.push(request.clone());
        kept.len() - 1
    };
    let answer = match rule(&request, before) {
        Does::Forward => {
            let mut behind = TcpStream::connect(mock.trim_start_matches("http://"))?;
            // One request a connection: its end is the answer's.
            let text = String::from_utf8_lossy(&bytes).replacen("\r\n", "\r\nConnection: close\r\n", 1);
            behind.write_all(text.as_bytes())?;
            let mut answer = Vec::new();
            behind.read_to_end(&mut answer)?;
            answer
        }
        Does::Answer(status, headers, body) => format!(
            "HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
        Does::Close => Vec::new(),
        Does::Bytes(bytes) => bytes,
        Does::Silence(time) => {
            thread::sleep(time);
            Vec::new()
        }
        Does::Drip(time) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")?;
            let began = Instant::now();
            while began.elapsed() < time {
                stream.write_all(b" ")?;
                thread::sleep(Duration::from_millis(50));
            }
            Vec::new()
        }
    };
    stream.write_all(&answer)?;
    stream.shutdown(Shutdown::Both)
}

/// One request; nothing where the connection ended before it.
fn read(stream: &mut TcpStream) -> std::io::Result<Option<(Vec<u8>, Request)>> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(None);
        }
        bytes.extend(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let request = Request { head: head.to_owned(), body: body.to_owned(), at: Instant::now() };
        let whole = request.header("content-length").map_or(0, |l| l.parse().unwrap());
        if body.len() >= whole {
            return Ok(Some((bytes, request)));
        }
    }
}
