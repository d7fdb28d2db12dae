//! Bodies of OpenAI's API with vLLM's additions. PURE.
//!
//! Each type is read and written: what a client sends our engine reads, what our engine answers a client reads. Reading is
//! lenient as engines are: unknown members are passed over, and of an answer nothing is demanded that some engine leaves out.
//! Writing is exact: members stand in alphabetical order, and one that vLLM sends as `null` is sent as `null`.

mod answer;
mod request;

pub use answer::{Answer, Choice, Delta, ErrorAnswer, ErrorBody, Message, Model, Models, StopReason, Usage};
pub use request::{ChatMessage, ChatRequest, Common, CompletionRequest, Content, OneOrMany, Part, Prompt, StreamOptions};

/// Path of the list of models.
pub const MODELS: &str = "/v1/models";
/// Path of conversations.
pub const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
/// Data of the event that ends a stream.
pub const DONE: &str = "[DONE]";
