//! An engine as its users see it: OpenAI's API.

use std::collections::VecDeque;
use std::time::Duration;

use dormouse_runtime::http::{self, Cause, Client, Failure, Method, Response};
use serde_json::Value;

use crate::openai::{self, Answer, ChatRequest, Models};
use crate::sse::{Event, Reader};

/// OpenAI's API at one address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    base: String,
    client: Client,
    limit: Duration,
}

impl Endpoint {
    /// The endpoint at `base` (`http://host:port`); a call, its answer included, may take `limit`.
    #[must_use]
    pub fn new(base: &str, client: Client, limit: Duration) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), client, limit }
    }

    /// What it serves.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn models(&self) -> Result<Models, Failure> {
        let url = format!("{}{}", self.base, openai::MODELS);
        http::call(&self.client, http::Request { limit: Some(self.limit), ..http::Request::new(Method::GET, &url) }).await?.json()
    }

    /// Goes on with a conversation, in a stream.
    ///
    /// # Errors
    /// A call that failed.
    pub async fn chat(&self, mut request: ChatRequest) -> Result<Stream, Failure> {
        // An answer in one piece has no events: it would be read as an empty one.
        request.common.stream = Some(true);
        let url = format!("{}{}", self.base, openai::CHAT_COMPLETIONS);
        let body = serde_json::to_value(&request).unwrap_or(Value::Null);
        let response = http::open(
            &self.client,
            http::Request { body: Some(&body), limit: Some(self.limit), ..http::Request::new(Method::POST, &url) },
        )
        .await?;
        Ok(Stream { response, reader: Reader::default(), read: VecDeque::new(), ended: false })
    }
}

/// An answer as it comes.
#[derive(Debug)]
pub struct Stream {
    response: Response,
    reader: Reader,
    /// Chunks that are read and not yet handed out.
    read: VecDeque<Answer>,
    ended: bool,
}

impl Stream {
    /// The next chunk of the answer; `None` at its end.
    ///
    /// # Errors
    /// The engine ends the answer early or sends what is none; the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Answer>, Failure> {
        loop {
            if let Some(answer) = self.read.pop_front() {
                return self.told(answer).map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            // To its end, also behind the mark that ends it: the connection serves again.
            match self.response.chunk().await? {
                Some(bytes) => self.take(&bytes),
                None => {
                    self.ended = true;
                    self.reader.rest().map_or(Ok(()), |event| keep(event, &mut self.read))
                }
            }
            .map_err(|why| self.response.failure(Cause::Malformed(why)))?;
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some(event) = self.reader.next(&mut bytes).map_err(|e| e.to_string())? {
            keep(event, &mut self.read)?;
        }
        Ok(())
    }

    /// An error in a stream comes in place of a chunk.
    fn told(&self, answer: Answer) -> Result<Answer, Failure> {
        let Some(error) = answer.error else { return Ok(answer) };
        let status = error.code.as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        Err(self.response.failure(Cause::Refused { status, text: error.message, whole: true }))
    }
}

fn keep(event: Event<'_>, read: &mut VecDeque<Answer>) -> Result<(), String> {
    let Some(data) = event.data().filter(|data| **data != *openai::DONE.as_bytes()) else { return Ok(()) };
    read.push_back(serde_json::from_slice(&data).map_err(|e| format!("{e} in {:?}", String::from_utf8_lossy(&data)))?);
    Ok(())
}
