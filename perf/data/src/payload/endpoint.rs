//! What kinds of endpoints there are (perf contract 4.1).

/// A kind of endpoint: what is sent to it, and what it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointType {
    /// Chat completions of `OpenAI`.
    #[default]
    Chat,
    /// Completions of a text.
    Completions,
    /// Responses of `OpenAI`.
    Responses,
    /// Messages of Anthropic.
    Messages,
    /// Embeddings of `OpenAI`.
    Embeddings,
    /// Rankings of NIM.
    NimRankings,
    /// Rankings of Cohere.
    CohereRankings,
    /// Rankings of Hugging Face's server.
    TeiRankings,
    /// A payload of a template.
    Template,
    /// A payload as it is.
    Raw,
}

impl EndpointType {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::Embeddings,
        Self::NimRankings,
        Self::CohereRankings,
        Self::TeiRankings,
        Self::Template,
        Self::Raw,
    ];
    /// Kinds of the peer that are not built.
    pub const NOT_BUILT: [&'static str; 10] = [
        "chat_embeddings",
        "nim_embeddings",
        "huggingface_generate",
        "image_generation",
        "image_edit",
        "video_generation",
        "audio_transcription",
        "image_retrieval",
        "solido_rag",
        "dynamic_grpc",
    ];

    /// By the option's name; case, `-` and `_` do not matter.
    ///
    /// # Errors
    /// When there is none of that name, or it is not built.
    pub fn parse(name: &str) -> Result<Self, String> {
        let asked = name.to_ascii_lowercase().replace('-', "_");
        let names = || Self::ALL.map(Self::name).join(", ");
        match Self::ALL.into_iter().find(|e| e.name() == asked) {
            Some(found) => Ok(found),
            None if Self::NOT_BUILT.contains(&&*asked) => Err(format!("{asked} is not supported yet; supported are {}", names())),
            None => Err(format!("no endpoint type {name}; there are {}", names())),
        }
    }

    /// The option's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Embeddings => "embeddings",
            Self::NimRankings => "nim_rankings",
            Self::CohereRankings => "cohere_rankings",
            Self::TeiRankings => "hf_tei_rankings",
            Self::Template => "template",
            Self::Raw => "raw",
        }
    }

    /// Where it is asked, unless it is said otherwise.
    #[must_use]
    pub fn path(self) -> Option<&'static str> {
        Some(match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Embeddings => "/v1/embeddings",
            Self::NimRankings => "/v1/ranking",
            Self::CohereRankings => "/v2/rerank",
            Self::TeiRankings => "/rerank",
            Self::Template | Self::Raw => return None,
        })
    }

    /// It can answer as a stream.
    #[must_use]
    pub fn streams(self) -> bool {
        self.tokens()
    }

    /// Tokens are what it answers.
    #[must_use]
    pub fn tokens(self) -> bool {
        matches!(self, Self::Chat | Self::Completions | Self::Responses | Self::Messages | Self::Template | Self::Raw)
    }

    /// It takes a system message.
    #[must_use]
    pub fn takes_system(self) -> bool {
        matches!(self, Self::Chat | Self::Responses | Self::Messages)
    }

    /// What was said before is sent again with each turn.
    #[must_use]
    pub fn converses(self) -> bool {
        self.takes_system()
    }

    /// It takes images.
    #[must_use]
    pub fn takes_images(self) -> bool {
        self.takes_system() || matches!(self, Self::Template | Self::Raw)
    }

    /// It ranks passages.
    #[must_use]
    pub fn ranks(self) -> bool {
        matches!(self, Self::NimRankings | Self::CohereRankings | Self::TeiRankings)
    }

    /// Over its table of metrics.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Embeddings => "Embeddings Metrics",
            Self::NimRankings => "Rankings Metrics",
            Self::CohereRankings | Self::TeiRankings => "Ranking Metrics",
            Self::Chat | Self::Completions | Self::Responses | Self::Messages | Self::Template | Self::Raw => "LLM Metrics",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in EndpointType::ALL {
            assert_eq!(EndpointType::parse(&kind.name().to_uppercase().replace('_', "-")), Ok(kind));
        }
        assert!(EndpointType::parse("image-edit").unwrap_err().contains("not supported yet"));
        assert!(EndpointType::parse("chats").unwrap_err().contains("hf_tei_rankings"));
    }
}
