//! `/v1/models`, `/v1/completions`, `/v1/chat/completions`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use dormouse_engine_client::openai::{ChatRequest, Common, CompletionRequest, Model, Models, Prompt};
use uuid::Uuid;

use super::answers::Answers;
use super::error::ApiError;
use super::params::{self, DefaultLength};
use super::request;
use super::respond::{self, Form, Head};
use super::{Api, MAX_BODY};
use crate::backend::Message;
use crate::job::Params;

/// Tokens of a completion when nothing is said: OpenAI's number.
const COMPLETION_TOKENS: usize = 16;
/// Beyond this many bytes tokenizing is no job for an asynchronous thread.
const LONG_TEXT: usize = 16 << 10;

pub(super) async fn models(State(api): State<Api>) -> Json<Models> {
    let engine = api.engine();
    let model = |name: &String| Model {
        created: api.0.started,
        id: name.clone(),
        max_model_len: u64::try_from(engine.backend().facts().max_model_len).ok(),
        object: "model".into(),
        owned_by: "dormouse".into(),
        parent: None,
        permission: Vec::new(),
        root: Some(api.0.root.clone()),
    };
    Json(Models { data: engine.names().iter().map(model).collect(), object: "list".into() })
}

type Body = Result<Bytes, BytesRejection>;

fn read(body: Body) -> Result<Bytes, ApiError> {
    body.map_err(
        |e| {
            if e.status() == StatusCode::PAYLOAD_TOO_LARGE { ApiError::too_large(MAX_BODY) } else { ApiError::invalid(e.body_text()) }
        },
    )
}

pub(super) async fn completions(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let request: CompletionRequest = request::parse(&read(body)?)?;
    let model = check(&api, &request.common)?;
    let prompts: Vec<One> = match request.prompt {
        Prompt::Text(text) => vec![One::Text(text)],
        Prompt::Texts(texts) => texts.into_iter().map(One::Text).collect(),
        Prompt::Tokens(tokens) => vec![One::Tokens(tokens)],
        Prompt::TokenLists(lists) => lists.into_iter().map(One::Tokens).collect(),
    };
    if prompts.is_empty() || prompts.len() > params::MAX_CHOICES {
        let message = format!("between 1 and {} prompts", params::MAX_CHOICES);
        return Err(ApiError::bad_value("prompt", message));
    }
    let n = params::choices(&request.common, prompts.len())?;
    let mut echoes = Vec::new();
    let mut jobs = Vec::new();
    for one in prompts {
        let (tokens, text) = match one {
            One::Text(text) => (encode(&api, text.clone()).await?, Some(text)),
            One::Tokens(tokens) => (tokens, None),
        };
        let params = checked(&api, &request.common, request.common.max_tokens, COMPLETION, &tokens)?;
        if request.echo {
            let echo = match text {
                Some(text) => text,
                None => api.engine().backend().decode(&tokens).map_err(ApiError::bad_request)?,
            };
            echoes.extend(std::iter::repeat_n(echo, n));
        }
        jobs.push((tokens, params));
    }
    let head = Head {
        form: Form::Completion,
        id: format!("cmpl-{}", Uuid::new_v4().simple()),
        created: api.now(),
        model,
        prompt_tokens: jobs.iter().map(|(tokens, _)| tokens.len()).sum(),
        echoes,
    };
    respond(&api, &request.common, head, jobs, n).await
}

pub(super) async fn chat(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let request: ChatRequest = request::parse(&read(body)?)?;
    let model = check(&api, &request.common)?;
    if request.messages.is_empty() {
        return Err(ApiError::bad_value("messages", "there must be at least one message"));
    }
    let messages: Vec<Message> = request.messages.into_iter().map(request::message).collect::<Result<_, _>>()?;
    let n = params::choices(&request.common, 1)?;
    let answer = request.add_generation_prompt.unwrap_or(true);
    let bytes = messages.iter().map(|m| m.content.len()).sum();
    let backend = api.engine().backend().clone();
    let tokens = off_thread(bytes, move || backend.chat(&messages, answer)).await?;
    let max_tokens = request.max_completion_tokens.or(request.common.max_tokens);
    let params = checked(&api, &request.common, max_tokens, DefaultLength::Rest, &tokens)?;
    let head = Head {
        form: Form::Chat,
        id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
        created: api.now(),
        model,
        prompt_tokens: tokens.len(),
        echoes: Vec::new(),
    };
    respond(&api, &request.common, head, vec![(tokens, params)], n).await
}

const COMPLETION: DefaultLength = DefaultLength::Tokens(COMPLETION_TOKENS);

enum One {
    Text(String),
    Tokens(Vec<u32>),
}

/// Checks what does not depend on the prompt; returns the name to answer with.
fn check(api: &Api, common: &Common) -> Result<String, ApiError> {
    params::refuse_contradictions(common)?;
    let engine = api.engine();
    let name = match &common.model {
        Some(name) if !engine.names().contains(name) => return Err(ApiError::unknown_model(name)),
        Some(name) => name.clone(),
        None => engine.names()[0].clone(),
    };
    params::refuse_unsupported(common)?;
    // Before the work of tokenizing; what counts is checked again at submission.
    engine.check_admission()?;
    Ok(name)
}

/// Parameters for a prompt, which must consist of tokens of this model.
fn checked(api: &Api, common: &Common, max_tokens: Option<i64>, default: DefaultLength, tokens: &[u32]) -> Result<Params, ApiError> {
    let facts = api.engine().backend().facts();
    if tokens.is_empty() {
        return Err(ApiError::bad_value("prompt", "the prompt is empty"));
    }
    if let Some(beyond) = tokens.iter().find(|t| facts.vocabulary.is_some_and(|v| **t as usize >= v)) {
        return Err(ApiError::bad_value("prompt", format!("Token id {beyond} is out of vocabulary")));
    }
    params::params(common, max_tokens, default, tokens.len(), facts)
}

async fn encode(api: &Api, text: String) -> Result<Vec<u32>, ApiError> {
    let backend = api.engine().backend().clone();
    off_thread(text.len(), move || backend.encode(&text, true)).await
}

/// Runs tokenizing here when short, on a thread for such work when long.
async fn off_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, ApiError> {
    let result =
        if bytes < LONG_TEXT { work() } else { tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::internal(e.to_string()))? };
    result.map_err(ApiError::bad_request)
}

async fn respond(api: &Api, common: &Common, head: Head, jobs: Vec<(Vec<u32>, Params)>, n: usize) -> Result<Response, ApiError> {
    let answers = Answers::start(api.engine(), jobs, n)?;
    if common.stream.unwrap_or(false) {
        let options = common.stream_options.clone().unwrap_or_default();
        let usage =
            respond::Usage { at_end: options.include_usage.unwrap_or(false), always: options.continuous_usage_stats.unwrap_or(false) };
        Ok(respond::stream(head, answers, usage))
    } else {
        respond::whole(head, answers).await
    }
}
