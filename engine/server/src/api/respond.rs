//! Answers as JSON, whole or as server-sent events.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dormouse_engine_client::openai::{self, Answer, Choice, Delta, Message};
use futures::stream;
use serde::Serialize;

use super::answers::{Answers, Tally};
use super::error::ApiError;
use crate::job::{End, Event};

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
    fn usage(&self, tally: &Tally) -> openai::Usage {
        let (prompt_tokens, completion_tokens) = (self.prompt_tokens as u64, tally.completion_tokens as u64);
        let total_tokens = prompt_tokens + completion_tokens;
        openai::Usage { completion_tokens, prompt_tokens, prompt_tokens_details: None, total_tokens }
    }

    fn answer(&self, streamed: bool, choices: Vec<Choice>) -> Answer {
        let object = match (self.form, streamed) {
            (Form::Completion, _) => "text_completion",
            (Form::Chat, false) => "chat.completion",
            (Form::Chat, true) => "chat.completion.chunk",
        };
        let (id, model) = (self.id.clone(), self.model.clone());
        Answer { choices, created: self.created, error: None, id, model, object: object.into(), usage: None }
    }

    /// One choice of a chunk.
    fn piece(&self, index: usize, text: Option<String>, end: Option<End>) -> Choice {
        let mut choice = choice(index, end);
        match self.form {
            Form::Completion => choice.text = Some(text.unwrap_or_default()),
            Form::Chat => choice.delta = Some(Delta { content: text, role: None }),
        }
        choice
    }
}

/// A choice of which only the text is still to be said.
fn choice(index: usize, end: Option<End>) -> Choice {
    let (finish, stop_reason) = end.unzip();
    Choice { finish_reason: finish.map(|f| f.as_str().into()), index, stop_reason: stop_reason.flatten(), ..Choice::default() }
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
        let mut choice = choice(index, end);
        match head.form {
            Form::Completion => choice.text = Some(text),
            Form::Chat => {
                let tool_calls = Some(Vec::new());
                choice.message = Some(Message { content: Some(text), refusal: None, role: "assistant".into(), tool_calls });
            }
        }
        choices.push(choice);
    }
    let answer = Answer { usage: Some(head.usage(&answers.tally())), ..head.answer(false, choices) };
    Ok(Json(answer).into_response())
}

/// Sends events as they come. When the client goes, the body is dropped, and with it the answers.
pub(super) fn stream(head: Head, answers: Answers, usage: Usage) -> Response {
    let mut opening = Vec::new();
    for index in 0..answers.count() {
        match (head.form, head.echoes.get(index)) {
            (Form::Chat, _) => {
                let delta = Some(Delta { content: Some(String::new()), role: Some("assistant".into()) });
                opening.push(head.answer(true, vec![Choice { delta, ..choice(index, None) }]));
            }
            (Form::Completion, Some(echo)) => {
                opening.push(head.answer(true, vec![head.piece(index, Some(echo.clone()), None)]));
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
    opening: std::vec::IntoIter<Answer>,
    stage: Stage,
}

/// An event of this value, which is one that can be written.
fn event(value: &impl Serialize) -> Bytes {
    let mut bytes = b"data: ".to_vec();
    let _ = serde_json::to_writer(&mut bytes, value);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

impl Streaming {
    async fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Running => Some(self.running().await),
            Stage::Usage => {
                self.stage = Stage::Done;
                let usage = Some(self.head.usage(&self.answers.tally()));
                Some(event(&Answer { usage, ..self.head.answer(true, Vec::new()) }))
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
            Some((index, Event::Text { delta, .. })) => self.head.piece(index, Some(delta), None),
            Some((index, Event::End { finish, stop, .. })) => self.head.piece(index, None, Some((finish, stop))),
            Some((_, Event::Failed(why))) => {
                self.stage = Stage::Done;
                return event(&ApiError::internal(why).body());
            }
            None => {
                self.stage = if self.usage.at_end { Stage::Usage } else { Stage::Done };
                // Nothing to say here: go on to what comes next.
                return Box::pin(self.next()).await.unwrap_or_default();
            }
        };
        let chunk = self.head.answer(true, vec![choice]);
        self.chunk(chunk)
    }

    fn chunk(&self, mut chunk: Answer) -> Bytes {
        if self.usage.always {
            chunk.usage = Some(self.head.usage(&self.answers.tally()));
        }
        event(&chunk)
    }
}
