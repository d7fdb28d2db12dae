//! A client that shares no code with the server: blocking, byte by byte where it matters, bounded in time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// What came back.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answer {
    pub(crate) interim: Vec<u16>,
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// Without the transfer encoding.
    pub(crate) body: Vec<u8>,
    /// Sizes of the chunks.
    pub(crate) chunks: Vec<usize>,
    pub(crate) trailers: Vec<String>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The stream's events by the rules of lines: name and data.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        events(&self.text())
    }

    /// The data of the events as JSON, without `[DONE]`.
    pub(crate) fn data(&self) -> Vec<Value> {
        self.events().iter().filter(|(_, data)| data != "[DONE]").map(|(_, data)| serde_json::from_str(data).unwrap()).collect()
    }
}

/// Any line end, as a reader of events has to take them.
pub(crate) fn events(text: &str) -> Vec<(String, String)> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let (mut found, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    for line in text.split('\n') {
        if line.is_empty() {
            found.extend(data.take().map(|data| (std::mem::take(&mut name), data)));
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            data = Some(data.map_or_else(|| value.to_owned(), |before| format!("{before}\n{value}")));
        } else if let Some(value) = line.strip_prefix("event: ") {
            name = value.to_owned();
        }
    }
    found
}

/// Why nothing, or not all, came back.
#[derive(Debug)]
pub(crate) struct Broken {
    /// All bytes of the answer that came.
    pub(crate) got: Vec<u8>,
    pub(crate) error: io::Error,
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, buffer: Vec::new(), at: 0 }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn more(&mut self) -> io::Result<()> {
        let mut part = [0; 1 << 16];
        match self.stream.read(&mut part)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&part[..n]);
                Ok(())
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer[self.at..].windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[self.at..self.at + end]).into_owned();
                self.at += end + 2;
                return Ok(line);
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.at < n {
            self.more()?;
        }
        self.at += n;
        Ok(self.buffer[self.at - n..self.at].to_vec())
    }

    /// The next answer; `body` is false for those of HEAD.
    pub(crate) fn answer_to(&mut self, body: bool) -> Result<Answer, Broken> {
        self.buffer.drain(..std::mem::take(&mut self.at));
        self.read(body).map_err(|error| Broken { got: std::mem::take(&mut self.buffer), error })
    }

    pub(crate) fn answer(&mut self) -> Result<Answer, Broken> {
        self.answer_to(true)
    }

    fn read(&mut self, body: bool) -> io::Result<Answer> {
        let mut answer = Answer::default();
        loop {
            let first = self.line()?;
            let mut words = first.splitn(3, ' ');
            answer.version = words.next().unwrap_or_default().to_owned();
            answer.status = words.next().unwrap_or_default().parse().map_err(|_| io::Error::other(first.clone()))?;
            answer.headers.clear();
            loop {
                let line = self.line()?;
                let Some((name, value)) = line.split_once(": ") else { break };
                answer.headers.push((name.to_owned(), value.to_owned()));
            }
            if answer.status >= 200 {
                break;
            }
            answer.interim.push(answer.status);
        }
        if !body {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line()?;
                let digits = line.split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(digits, 16).map_err(|_| io::Error::other(line.clone()))?;
                if size == 0 {
                    break;
                }
                answer.chunks.push(size);
                let chunk = self.exactly(size)?;
                answer.body.extend_from_slice(&chunk);
                assert_eq!(self.line()?, "");
            }
            loop {
                match self.line()? {
                    line if line.is_empty() => return Ok(answer),
                    line => answer.trailers.push(line),
                }
            }
        }
        if let Some(length) = answer.header("content-length").map(str::to_owned) {
            answer.body = self.exactly(length.parse().unwrap())?;
            return Ok(answer);
        }
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        answer.body = self.buffer[self.at..].to_vec();
        self.at = self.buffer.len();
        Ok(answer)
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: mock\r\n\r\n").as_bytes());
        self.answer().unwrap()
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send(&request(path, "", body));
        self.answer().unwrap()
    }

    /// Whether the server has ended the connection, and how.
    pub(crate) fn ended(&mut self) -> io::Result<usize> {
        self.stream.read(&mut [0; 16])
    }
}

/// A request with further header lines, each with its end.
pub(crate) fn request(path: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("POST {path} HTTP/1.1\r\nhost: mock\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
        .into_bytes()
}

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A chat request of so many tokens.
pub(crate) fn chat(stream: bool, tokens: u32) -> Value {
    json!({"messages": [{"role": "user", "content": "how does a mouse sleep?"}], "model": "m", "stream": stream,
        "max_completion_tokens": tokens, "stream_options": {"include_usage": true}})
}
