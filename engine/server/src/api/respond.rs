//! Answers as JSON, whole or as server-sent events.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};

use super::answers::{Answers, Tally};
use super::error::ApiError;
use crate::job::{Event, Finish, StopReason};

/// Which of the two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Completion,
    Chat,
}

/// What all parts of a response share.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) form: Form,
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) prompt_tokens: usize,
    /// Text before each answer, for completions that echo; else empty.
    pub(super) echoes: Vec<String>,
}

/// When a stream tells the token counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) at_end: bool,
    pub(super) always: bool,
}

impl Head {
    fn usage(&self, tally: &Tally) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + tally.completion_tokens,
            "completion_tokens": tally.completion_tokens,
            "prompt_tokens_details": null,
        })
    }

    fn object(&self, streamed: bool) -> &'static str {
        match (self.form, streamed) {
            (Form::Completion, _) => "text_completion",
            (Form::Chat, false) => "chat.completion",
            (Form::Chat, true) => "chat.completion.chunk",
        }
    }

    fn message(&self, streamed: bool, choices: &[Value]) -> Value {
        json!({
            "id": self.id, "object": self.object(streamed), "created": self.created, "model": self.model,
            "choices": choices,
        })
    }

    /// One choice of a chunk.
    fn delta(&self, index: usize, text: Option<String>, end: Option<(Finish, Option<StopReason>)>) -> Value {
        let mut choice = match self.form {
            Form::Completion => json!({"index": index, "text": text.unwrap_or_default()}),
            Form::Chat => {
                let delta = text.map_or_else(|| json!({}), |text| json!({"content": text}));
                json!({"index": index, "delta": delta})
            }
        };
        mark_end(&mut choice, end);
        choice
    }
}

fn mark_end(choice: &mut Value, end: Option<(Finish, Option<StopReason>)>) {
    let (finish, stop) = match end {
        Some((finish, stop)) => (json!(finish.as_str()), stop),
        None => (Value::Null, None),
    };
    choice["logprobs"] = Value::Null;
    choice["finish_reason"] = finish;
    choice["stop_reason"] = match stop {
        Some(StopReason::Text(text)) => json!(text),
        Some(StopReason::Token(token)) => json!(token),
        None => Value::Null,
    };
}

/// Waits for all answers and returns them in one body.
pub(super) async fn whole(head: Head, mut answers: Answers) -> Result<Response, ApiError> {
    let mut texts = head.echoes.clone();
    texts.resize(answers.count(), String::new());
    let mut ends = vec![None; answers.count()];
    while let Some((index, event)) = answers.next().await {
        match event {
            Event::Text { delta, .. } => texts[index].push_str(&delta),
            Event::End { finish, stop, .. } => ends[index] = Some((finish, stop)),
            Event::Failed(why) => return Err(ApiError::internal(why)),
        }
    }
    let mut choices = Vec::new();
    for (index, (text, end)) in texts.into_iter().zip(ends).enumerate() {
        if end.is_none() {
            return Err(ApiError::internal("the engine ended before the answer did"));
        }
        let mut choice = match head.form {
            Form::Completion => json!({"index": index, "text": text}),
            Form::Chat => json!({
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": null, "tool_calls": []},
            }),
        };
        mark_end(&mut choice, end);
        choices.push(choice);
    }
    let mut body = head.message(false, &choices);
    body["usage"] = head.usage(&answers.tally());
    Ok(Json(body).into_response())
}

/// Sends events as they come. When the client goes, the body is dropped, and with it the answers.
pub(super) fn stream(head: Head, answers: Answers, usage: Usage) -> Response {
    let mut opening = Vec::new();
    for index in 0..answers.count() {
        match (head.form, head.echoes.get(index)) {
            (Form::Chat, _) => {
                let mut choice = json!({"index": index, "delta": {"role": "assistant", "content": ""}});
                mark_end(&mut choice, None);
                opening.push(head.message(true, &[choice]));
            }
            (Form::Completion, Some(echo)) => {
                opening.push(head.message(true, &[head.delta(index, Some(echo.clone()), None)]));
            }
            (Form::Completion, None) => {}
        }
    }
    let state = Streaming { head, answers, usage, opening: opening.into_iter(), stage: Stage::Running };
    let body = Body::from_stream(stream::unfold(state, |mut state| async move {
        let bytes = state.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), state))
    }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body).into_response()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Usage,
    Done,
    Over,
}

struct Streaming {
    head: Head,
    answers: Answers,
    usage: Usage,
    opening: std::vec::IntoIter<Value>,
    stage: Stage,
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

impl Streaming {
    async fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Running => Some(self.running().await),
            Stage::Usage => {
                self.stage = Stage::Done;
                let mut last = self.head.message(true, &[]);
                last["usage"] = self.head.usage(&self.answers.tally());
                Some(line(&last))
            }
            Stage::Done => {
                self.stage = Stage::Over;
                Some(Bytes::from_static(b"data: [DONE]\n\n"))
            }
            Stage::Over => None,
        }
    }

    async fn running(&mut self) -> Bytes {
        if let Some(chunk) = self.opening.next() {
            return self.chunk(chunk);
        }
        let choice = match self.answers.next().await {
            Some((index, Event::Text { delta, .. })) => self.head.delta(index, Some(delta), None),
            Some((index, Event::End { finish, stop, .. })) => self.head.delta(index, None, Some((finish, stop))),
            Some((_, Event::Failed(why))) => {
                self.stage = Stage::Done;
                return line(&ApiError::internal(why).body());
            }
            None => {
                self.stage = if self.usage.at_end { Stage::Usage } else { Stage::Done };
                // Nothing to say here: go on to what comes next.
                return Box::pin(self.next()).await.unwrap_or_default();
            }
        };
        let chunk = self.head.message(true, &[choice]);
        self.chunk(chunk)
    }

    fn chunk(&self, mut chunk: Value) -> Bytes {
        if self.usage.always {
            chunk["usage"] = self.head.usage(&self.answers.tally());
        }
        line(&chunk)
    }
}
