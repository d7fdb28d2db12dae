//! What an event, or a whole body, says: content, and of which kind; token counts; why it ended; that it failed.
//!
//! [`Reader`] is one answer's: it knows the endpoint and the little that must be remembered between its events. Each event becomes
//! one [`Said`]. The common chunk of a conversation or completion is read by a scanner that allocates nothing (`scan`), and where
//! it differs from the one before in a text alone only that is read (`same`); whatever the scanner does not know is read as JSON (`openai`, `responses`, `messages`, `other`), and both give the same (a property test says
//! so). JSON that servers write although it is none is mended first (`mend`). Token counts never decide over anything: what is no
//! count is absent (`usage`): perf contract 4.6, and 0.2 item 27.

mod field;
mod mend;
mod messages;
mod openai;
mod other;
mod refusal;
mod responses;
mod same;
mod scan;
mod usage;

use std::borrow::Cow;

use serde_json::Value;

pub use field::Field;
pub use refusal::Refusal;
pub use usage::{Count, Usage};

/// A name that is usually one of a few.
pub type Name = Cow<'static, str>;

/// What kind of answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Conversations.
    Chat,
    /// Completions.
    Completions,
    /// Embeddings.
    Embeddings,
    /// Rankings of any of the three types.
    Rankings,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Whatever comes: the answers to templates and to raw payloads.
    Any,
}

impl Endpoint {
    /// Whether a stream of it says when it has ended, so that one that does not is incomplete.
    #[must_use]
    pub fn says_its_end(self) -> bool {
        matches!(self, Self::Chat | Self::Completions | Self::Responses | Self::Messages)
    }
}

/// What content is, for those who ask when the first came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text.
    Text,
    /// Reasoning alone: it counts for the first token, not for the first token of output.
    Reasoning,
    /// Reasoning with text beside it: it counts for both.
    ReasoningAndText,
    /// Names and arguments of tools.
    ToolCall,
    /// Embeddings.
    Embedding,
    /// Rankings.
    Rankings,
}

impl Kind {
    /// Whether it is output, and not only reasoning.
    #[must_use]
    pub fn is_output(self) -> bool {
        self != Self::Reasoning
    }
}

/// Content of an event. The texts that its kind has not are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// Which.
    pub kind: Kind,
    /// What the user reads.
    pub text: Cow<'a, str>,
    /// What the model thinks.
    pub reasoning: Cow<'a, str>,
    /// Names and arguments of tools.
    pub tools: Cow<'a, str>,
}

impl<'a> Content<'a> {
    /// Content of this kind and without texts. It is content all the same.
    #[must_use]
    pub fn bare(kind: Kind) -> Self {
        Self { kind, text: Cow::Borrowed(""), reasoning: Cow::Borrowed(""), tools: Cow::Borrowed("") }
    }

    /// Content of which all that is not empty counts: `None` when nothing is.
    fn of(text: Cow<'a, str>, reasoning: Cow<'a, str>, tools: Cow<'a, str>) -> Option<Self> {
        let kind = match (reasoning.is_empty(), text.is_empty(), tools.is_empty()) {
            (false, true, _) => Kind::Reasoning,
            (false, false, _) => Kind::ReasoningAndText,
            (true, _, false) => Kind::ToolCall,
            (true, false, true) => Kind::Text,
            (true, true, true) => return None,
        };
        Some(Self { kind, text, reasoning, tools })
    }

    /// The same, and what it lent its own.
    fn own(self) -> Content<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Content { kind: self.kind, text: own(self.text), reasoning: own(self.reasoning), tools: own(self.tools) }
    }
}

/// What one event says beside failing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saying<'a> {
    /// Content, if it has any: a role, an empty text, counts alone are none.
    pub content: Option<Content<'a>>,
    /// Why the answer has ended.
    pub finish: Option<Name>,
    /// Token counts.
    pub usage: Option<Usage>,
    /// There were choices beside the first, of which nothing is told.
    pub other_choices: bool,
    /// Nothing comes behind it.
    pub done: bool,
}

impl Saying<'_> {
    fn own(self) -> Saying<'static> {
        let Self { content, finish, usage, other_choices, done } = self;
        Saying { content: content.map(Content::own), finish, usage, other_choices, done }
    }
}

/// What an event, or a whole body, is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A part of the answer, maybe one without content.
    Saying(Saying<'a>),
    /// An error, in place of what should have come.
    Refusal(Refusal),
    /// Nothing that can be read.
    Undecodable,
}

impl Said<'_> {
    fn nothing() -> Self {
        Self::Saying(Saying::default())
    }
}

/// Reads one answer.
#[derive(Clone, Debug)]
pub struct Reader {
    endpoint: Endpoint,
    /// Where the text is, if that was said.
    field: Option<Field>,
    around: same::Around,
    responses: responses::Parts,
    messages: messages::Counts,
}

impl Reader {
    /// A reader of an answer of this endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            field: None,
            around: same::Around::default(),
            responses: responses::Parts::default(),
            messages: messages::Counts::default(),
        }
    }

    /// The same, of answers whose text is there.
    #[must_use]
    pub fn of_field(self, field: Option<Field>) -> Self {
        Self { field, ..self }
    }

    /// Where the text is, if that was said.
    #[must_use]
    pub fn field(&self) -> Option<&Field> {
        self.field.as_ref()
    }

    /// Reads one event of a stream: its type, if it has one, and its data.
    pub fn event<'a>(&mut self, name: Option<&[u8]>, data: &'a [u8]) -> Said<'a> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Said::nothing();
        }
        if data == dormouse_engine_client::openai::DONE.as_bytes() {
            return Said::Saying(Saying { done: true, ..Saying::default() });
        }
        if matches!(self.endpoint, Endpoint::Chat | Endpoint::Completions) {
            if let Some(saying) = self.around.chunk(data) {
                return Said::Saying(saying);
            }
            if let Some(saying) = scan::chunk(self.endpoint, data) {
                self.around.learn(data, &saying);
                return Said::Saying(saying);
            }
        }
        match mend::json(data) {
            Some(value) if self.field.is_some() && Refusal::of(&value).is_none() => self.at_field(&value),
            Some(value) => self.value(name.and_then(|name| std::str::from_utf8(name).ok()), &value).own(),
            None => self.no_json(data),
        }
    }

    /// Reads a whole body.
    pub fn body<'a>(&mut self, body: &'a [u8]) -> Said<'a> {
        if self.endpoint == Endpoint::Embeddings
            && let Some(saying) = other::embeddings(body)
        {
            return Said::Saying(saying);
        }
        self.event(None, body)
    }

    fn at_field(&self, value: &Value) -> Said<'static> {
        let text = self.field.as_ref().and_then(|field| field.text(value)).unwrap_or_default();
        Said::Saying(Saying {
            content: Content::of(text.into(), "".into(), "".into()),
            usage: Usage::of_answer(value),
            ..Saying::default()
        })
    }

    fn no_json<'a>(&self, data: &'a [u8]) -> Said<'a> {
        if self.endpoint == Endpoint::Any {
            let text = String::from_utf8_lossy(data);
            return Said::Saying(Saying { content: Content::of(text, "".into(), "".into()), ..Saying::default() });
        }
        Said::Undecodable
    }

    fn value<'a>(&mut self, name: Option<&str>, value: &'a Value) -> Said<'a> {
        if let Some(refusal) = Refusal::of(value) {
            return Said::Refusal(refusal);
        }
        match self.endpoint {
            Endpoint::Chat | Endpoint::Completions => Said::Saying(openai::saying(self.endpoint, value)),
            Endpoint::Responses => self.responses.read(name, value),
            Endpoint::Messages => Said::Saying(self.messages.read(name, value)),
            Endpoint::Embeddings | Endpoint::Rankings | Endpoint::Any => Said::Saying(other::saying(self.endpoint, value)),
        }
    }
}

impl Said<'_> {
    fn own(self) -> Said<'static> {
        match self {
            Self::Saying(saying) => Said::Saying(saying.own()),
            Self::Refusal(refusal) => Said::Refusal(refusal),
            Self::Undecodable => Said::Undecodable,
        }
    }
}

/// A reason for an end, without memory for those that are known.
fn finish(reason: &str) -> Name {
    const KNOWN: [&str; 12] = [
        "stop",
        "length",
        "tool_calls",
        "content_filter",
        "abort",
        "function_call",
        "end_turn",
        "max_tokens",
        "tool_use",
        "stop_sequence",
        "completed",
        "incomplete",
    ];
    KNOWN.into_iter().find(|known| *known == reason).map_or_else(|| Name::Owned(reason.to_owned()), Name::Borrowed)
}

/// The text at `key`, where it is one.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
