//! Payloads: conversations as the bytes that are sent (perf contract 4.2).
//!
//! A payload is built once for each turn, with its members in the order of the contract, and it is known where in it the messages
//! of that turn stand. What a turn sends is then put together from the messages of the turns before it and of their answers.

mod content;
mod endpoint;
mod extra;
mod input;
mod prepared;
mod template;
#[cfg(test)]
mod tests;
mod weave;

pub use dormouse_perf_load::script::Answer;
pub use endpoint::EndpointType;
pub use extra::ExtraInputs;
pub use input::{Input, of as input_of};
pub use prepared::{Prepared, PreparedTurn};
pub use template::Template;

use crate::conversation::{ContextMode, Conversation, Turn};
use crate::error::Error;
use crate::json::{self, Members};
use content::{list, named, object};
use weave::Weave;

/// What messages are allowed when the data set no limit: the endpoint wants one.
const LIMIT_OF_MESSAGES: u64 = 1024;

/// How payloads are made.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    /// What they are sent to.
    pub endpoint: EndpointType,
    /// Models, of which each turn names one by its number.
    pub models: Vec<String>,
    /// The answer is to come as a stream.
    pub streaming: bool,
    /// Members that every payload gets.
    pub extra: ExtraInputs,
    /// `max_tokens` in place of `max_completion_tokens`.
    pub legacy_max_tokens: bool,
    /// Token counts are the server's.
    pub server_counts: bool,
    /// Each event is to have them.
    pub per_chunk_usage: bool,
    /// Text is sent as a list of parts, even alone.
    pub parts: bool,
    /// Of `--endpoint-type template`.
    pub template: Option<Template>,
    /// Where in the answer of a template its text is.
    pub response_field: Option<String>,
}

/// A payload before it is bytes: its members, and which of them has messages with those of this turn at the end.
struct Draft {
    members: Members,
    /// The member's name, and how many bytes of its value are those of this turn, the closing bracket not counted.
    history: Option<(&'static str, usize)>,
}

impl From<Members> for Draft {
    fn from(members: Members) -> Self {
        Self { members, history: None }
    }
}

/// What stands before the turns of a conversation.
#[derive(Default)]
struct Preface<'a> {
    system: Option<&'a str>,
    context: Option<&'a str>,
    tools: Option<&'a str>,
}

impl Payloads {
    /// For an endpoint, with what the user adds; template and response field are taken out of that.
    ///
    /// # Errors
    /// When the template is none.
    pub fn new(endpoint: EndpointType, models: Vec<String>, mut extra: ExtraInputs) -> Result<Self, Error> {
        let (mut template, mut response_field) = (None, None);
        if endpoint == EndpointType::Template {
            let given = extra.take("payload_template");
            let given = given.ok_or_else(|| Error::option("--extra-inputs", "a template needs payload_template:TEMPLATE"))?;
            template = Some(Template::parse(&given).map_err(|why| Error::option("--extra-inputs", format!("payload_template: {why}")))?);
            response_field = extra.take("response_field");
        }
        Ok(Self { endpoint, models, extra, template, response_field, ..Self::default() })
    }

    fn weave(&self) -> Weave {
        match self.endpoint {
            EndpointType::Responses => Weave::Responses,
            EndpointType::Messages => Weave::Messages,
            _ => Weave::Chat,
        }
    }

    /// A conversation as bytes.
    ///
    /// # Errors
    /// When the endpoint cannot take what the conversation has.
    pub fn prepare(&self, conversation: &Conversation) -> Result<Prepared, Error> {
        let fail = |turn: usize, why: String| Error::Turn { id: conversation.id.clone(), turn, why };
        self.takes(conversation).map_err(|(turn, why)| fail(turn, why))?;
        let mut preface =
            Preface { system: conversation.system.as_deref(), context: conversation.context.as_deref(), ..Preface::default() };
        let mut turns = Vec::with_capacity(conversation.turns.len());
        for (at, turn) in conversation.turns.iter().enumerate() {
            preface.tools = turn.tools.as_deref().or(preface.tools);
            turns.push(self.turn(conversation, at, turn, &mut preface).map_err(|why| fail(at, why))?);
        }
        Ok(Prepared { id: conversation.id.clone(), turns, mode: conversation.mode, weave: self.weave() })
    }

    /// Whether the endpoint takes such a conversation at all.
    fn takes(&self, conversation: &Conversation) -> Result<(), (usize, String)> {
        let name = self.endpoint.name();
        let Some(first) = conversation.turns.iter().position(|t| t.raw.is_none()) else { return Ok(()) };
        let turns = conversation.turns.len();
        let refuse = |turn: usize, why: &str| Err((turn, format!("{name} {why}")));
        if self.endpoint == EndpointType::Raw {
            return refuse(first, "needs data that are payloads: raw_payload, inputs_json, or a trace with payload");
        }
        if turns > 1 && !self.endpoint.converses() && self.endpoint != EndpointType::Template {
            return refuse(1, "takes one turn only");
        }
        if (conversation.system.is_some() || conversation.context.is_some()) && !self.endpoint.takes_system() {
            return refuse(first, "takes no system message and no context of the user");
        }
        if turns > 1 && self.endpoint == EndpointType::Responses && self.extra.members().get("store") == Some("true") {
            return refuse(1, "with store:true in several turns is not supported yet");
        }
        let messages = conversation.turns.iter().position(|t| t.messages.is_some());
        if let (Some(turn), false) = (messages, self.endpoint.converses()) {
            return refuse(turn, "takes no messages");
        }
        let images = conversation.turns.iter().position(|t| !t.images.is_empty());
        if let (Some(turn), false) = (images, self.endpoint.takes_images()) {
            return refuse(turn, "takes no images");
        }
        Ok(())
    }

    fn turn(&self, of: &Conversation, at: usize, turn: &Turn, preface: &mut Preface<'_>) -> Result<PreparedTurn, String> {
        let model = turn.model.unwrap_or(0);
        let mut prepared = PreparedTurn {
            max_tokens: turn.max_tokens,
            delay_ns: turn.delay_ms.map(nanoseconds),
            timestamp_ms: turn.timestamp_ms,
            model,
            images: turn.images.len(),
            ..PreparedTurn::default()
        };
        if let Some(raw) = &turn.raw {
            prepared.bytes.clone_from(raw);
            return Ok(prepared);
        }
        let model = self.models.get(model).or_else(|| self.models.first()).ok_or("no model")?;
        let mut draft = match self.endpoint {
            EndpointType::Chat => self.chat(of.mode, turn, model, preface)?,
            EndpointType::Responses => self.responses(of.mode, turn, model, preface)?,
            EndpointType::Messages => self.messages(of.mode, turn, model, preface)?,
            EndpointType::Completions => self.completions(turn, model).into(),
            EndpointType::Embeddings => embeddings(turn, model).into(),
            EndpointType::NimRankings | EndpointType::CohereRankings | EndpointType::TeiRankings => self.rankings(turn, model)?.into(),
            EndpointType::Template => {
                let template = self.template.as_ref().ok_or("no template")?;
                let turns = of.turns.get(..=at).unwrap_or_default();
                prepared.said = Some(content::texts(turn).collect::<Vec<_>>().join(" "));
                template.fill(turns, model, self.streaming)?.into()
            }
            EndpointType::Raw => return Err("no payload".to_owned()),
        };
        let of_turn = turn.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in self.extra.members().iter().chain(of_turn) {
            if draft.history.is_some_and(|(history, _)| history == name) {
                draft.history = None;
            }
            draft.members.set(name, value);
        }
        self.stream_options(&mut draft.members);
        (prepared.bytes, prepared.own) = bytes(&draft);
        Ok(prepared)
    }

    fn base(&self, model: &str) -> [(&'static str, String); 2] {
        [("model", json::string(model)), ("stream", self.streaming.to_string())]
    }

    /// The list of messages of a turn, with what stands before them, and how many bytes of it are the turn's own.
    fn list(&self, mode: ContextMode, turn: &Turn, preface: &mut Preface<'_>, system: bool) -> Result<(String, usize), String> {
        let weave = self.weave();
        let mut before = Vec::new();
        let own = match &turn.messages {
            None => content::message(weave, turn.role.as_deref().unwrap_or("user"), &content::content(weave, turn, self.parts)?),
            Some(messages) => {
                let mut messages = messages.clone();
                if let (Some(text), true) = (preface.system, system) {
                    let (joined, done) = content::with_system(&messages, text)?;
                    messages = joined;
                    if done && mode != ContextMode::MessageArrayWithResponses {
                        preface.system = None;
                    }
                    if !done {
                        before.push(content::message(weave, "system", &json::string(text)));
                    }
                }
                let own = messages.strip_prefix('[').and_then(|m| m.strip_suffix(']')).unwrap_or_default();
                if own.trim().is_empty() {
                    return Err("no messages".to_owned());
                }
                own.to_owned()
            }
        };
        if let (Some(text), true, None) = (preface.system, system, &turn.messages) {
            before.push(content::message(weave, "system", &json::string(text)));
        }
        before.extend(preface.context.map(|text| content::message(weave, "user", &json::string(text))));
        let length = own.len();
        before.push(own);
        Ok((list(&before), length))
    }

    fn chat(&self, mode: ContextMode, turn: &Turn, model: &str, preface: &mut Preface<'_>) -> Result<Draft, String> {
        let (messages, own) = self.list(mode, turn, preface, true)?;
        let mut members = Members::new();
        members.set("messages", messages);
        self.base(model).into_iter().for_each(|(name, value)| members.set(name, value));
        preface.tools.iter().for_each(|tools| members.set("tools", *tools));
        if let Some(most) = turn.max_tokens {
            members.set(if self.legacy_max_tokens { "max_tokens" } else { "max_completion_tokens" }, most.to_string());
        }
        Ok(Draft { members, history: Some(("messages", own)) })
    }

    fn responses(&self, mode: ContextMode, turn: &Turn, model: &str, preface: &mut Preface<'_>) -> Result<Draft, String> {
        let (input, own) = self.list(mode, turn, preface, false)?;
        let mut members = Members::new();
        members.set("input", input);
        self.base(model).into_iter().for_each(|(name, value)| members.set(name, value));
        preface.system.iter().for_each(|text| members.set("instructions", json::string(text)));
        turn.max_tokens.iter().for_each(|most| members.set("max_output_tokens", most.to_string()));
        preface.tools.iter().for_each(|tools| members.set("tools", *tools));
        Ok(Draft { members, history: Some(("input", own)) })
    }

    fn messages(&self, mode: ContextMode, turn: &Turn, model: &str, preface: &mut Preface<'_>) -> Result<Draft, String> {
        let (messages, own) = self.list(mode, turn, preface, false)?;
        let mut members = Members::new();
        members.set("model", json::string(model));
        members.set("messages", messages);
        members.set("max_tokens", turn.max_tokens.unwrap_or(LIMIT_OF_MESSAGES).to_string());
        if self.streaming {
            members.set("stream", "true");
        }
        preface.system.iter().for_each(|text| members.set("system", json::string(text)));
        preface.tools.iter().for_each(|tools| members.set("tools", *tools));
        Ok(Draft { members, history: Some(("messages", own)) })
    }

    fn completions(&self, turn: &Turn, model: &str) -> Members {
        let texts: Vec<String> = content::texts(turn).map(json::string).collect();
        let mut members = Members::new();
        members.set("prompt", if let [only] = &texts[..] { only.clone() } else { list(&texts) });
        self.base(model).into_iter().for_each(|(name, value)| members.set(name, value));
        turn.max_tokens.iter().for_each(|most| members.set("max_tokens", most.to_string()));
        members
    }

    fn rankings(&self, turn: &Turn, model: &str) -> Result<Members, String> {
        let queries = named(&turn.texts, &["query", "queries"]);
        let [query] = &queries[..] else { return Err(format!("rankings need one text named query, not {}", queries.len())) };
        let passages = named(&turn.texts, &["passages", "passage"]);
        if passages.is_empty() {
            return Err("rankings need texts named passages".to_owned());
        }
        let query = json::string(query);
        let each = |wrap: fn(&str) -> String| list(&passages.iter().map(|p| wrap(&json::string(p))).collect::<Vec<_>>());
        let text = |json: &str| object(&[("text", json)]);
        let mut members = Members::new();
        if self.endpoint != EndpointType::TeiRankings {
            members.set("model", json::string(model));
        }
        match self.endpoint {
            EndpointType::NimRankings => {
                members.set("query", text(&query));
                members.set("passages", each(|p| object(&[("text", p)])));
            }
            EndpointType::CohereRankings => {
                members.set("query", query);
                members.set("documents", each(str::to_owned));
            }
            _ => {
                members.set("query", query);
                members.set("texts", each(str::to_owned));
            }
        }
        Ok(members)
    }

    /// Whatever streams is asked for token counts, unless the user said something about that.
    fn stream_options(&self, members: &mut Members) {
        let asks = match self.endpoint {
            EndpointType::Chat | EndpointType::Completions => true,
            EndpointType::Responses => self.server_counts,
            _ => false,
        };
        if !asks || members.get("stream") != Some("true") {
            return;
        }
        let Ok(mut options) = Members::parse(members.get("stream_options").unwrap_or("{}")) else { return };
        let wanted = [("include_usage", true), ("continuous_usage_stats", self.per_chunk_usage && self.endpoint == EndpointType::Chat)];
        for (name, wanted) in wanted {
            if wanted && options.get(name).is_none() {
                options.set(name, "true");
            }
        }
        members.set("stream_options", options.to_json());
    }
}

fn embeddings(turn: &Turn, model: &str) -> Members {
    let mut members = Members::new();
    members.set("model", json::string(model));
    members.set("input", list(&content::texts(turn).map(json::string).collect::<Vec<_>>()));
    members
}

/// A draft as bytes, and where the turn's own messages are in them.
fn bytes(draft: &Draft) -> (Vec<u8>, Option<(usize, usize)>) {
    let mut out = String::from("{");
    let mut own = None;
    for (at, (name, value)) in draft.members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::push_string(&mut out, name);
        out.push(':');
        out.push_str(value);
        if let Some((history, length)) = draft.history
            && history == name
        {
            let end = out.len() - 1;
            own = Some((end - length, end));
        }
    }
    out.push('}');
    (out.into_bytes(), own)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held between nought and a century")]
fn nanoseconds(ms: f64) -> u64 {
    if ms.is_nan() { 0 } else { (ms * 1e6).round().clamp(0.0, 3e18) as u64 }
}
