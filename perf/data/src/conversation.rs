//! A conversation: what will be said in each of its turns, before anything is known of the answers.

/// What stands between the turns that the data hold (perf contract 2.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextMode {
    /// The data hold what the user says; what was answered is put between.
    #[default]
    DeltasWithoutResponses,
    /// The data hold both sides; what was answered is not used.
    DeltasWithResponses,
    /// Each turn holds all that is sent.
    MessageArrayWithResponses,
}

impl ContextMode {
    /// Its name in files and settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DeltasWithoutResponses => "deltas_without_responses",
            Self::DeltasWithResponses => "deltas_with_responses",
            Self::MessageArrayWithResponses => "message_array_with_responses",
        }
    }
}

/// Turns that belong together, and what stands before them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// Its name in records and files.
    pub id: String,
    /// The system message.
    pub system: Option<String>,
    /// A message of the user before the first turn.
    pub context: Option<String>,
    /// What stands between turns.
    pub mode: ContextMode,
    /// At least one.
    pub turns: Vec<Turn>,
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// Who speaks, if not the user.
    pub role: Option<String>,
    /// Texts under a name: most have one, with one content.
    pub texts: Vec<Text>,
    /// Images.
    pub images: Vec<Media>,
    /// Sounds, as `<format>,<base64>`.
    pub audios: Vec<Media>,
    /// Videos.
    pub videos: Vec<Media>,
    /// The most tokens that may be answered.
    pub max_tokens: Option<u64>,
    /// When it is to leave, on the clock of the file.
    pub timestamp_ms: Option<f64>,
    /// How long after the answer before it; the ratio of the options is in it.
    pub delay_ms: Option<f64>,
    /// Members of its payload: name, and JSON without blanks.
    pub extra: Vec<(String, String)>,
    /// Which of the models, counted from 0; the first when unset.
    pub model: Option<usize>,
    /// A list of tools, JSON without blanks.
    pub tools: Option<String>,
    /// A payload to be sent as it is.
    pub raw: Option<Vec<u8>>,
    /// Messages in place of texts and media: a list, JSON without blanks.
    pub messages: Option<String>,
}

impl Turn {
    /// Says one text.
    #[must_use]
    pub fn saying(text: impl Into<String>) -> Self {
        Self { texts: vec![Text { name: "text".to_owned(), contents: vec![text.into()] }], ..Self::default() }
    }
}

/// Texts under one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// `text`; `query` and `passages` for rankings.
    pub name: String,
    /// Most have one.
    pub contents: Vec<String>,
}

/// An image, a sound or a video.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// An address, or the data themselves as `data:` URI; of sounds `<format>,<base64>`.
    pub content: String,
    /// A name under which the server may keep it.
    pub uuid: Option<String>,
}
