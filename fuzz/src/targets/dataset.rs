//! Files of data of each format, from the file to the bytes that are sent.
//!
//! The first byte chooses the format (the first: found out), the second the endpoint.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dormouse_perf_data::json::Members;
use dormouse_perf_data::{
    Answer, Conversation, Dataset, EndpointType, ExtraInputs, FileFormat, Format, Payloads, Source, Spec, Tokenizer, open,
};
use serde_json::Value;

use crate::{choose, memory};

const FORMATS: [Option<FileFormat>; 8] = [
    None,
    Some(FileFormat::SingleTurn),
    Some(FileFormat::MultiTurn),
    Some(FileFormat::RandomPool),
    Some(FileFormat::MooncakeTrace),
    Some(FileFormat::RawPayload),
    Some(FileFormat::InputsJson),
    Some(FileFormat::ShareGpt),
];
/// Of how many conversations bodies are made, and of how many turns of each.
const SOME: usize = 6;

fn tokenizer() -> Arc<Tokenizer> {
    static SMALL: OnceLock<Arc<Tokenizer>> = OnceLock::new();
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../perf/data/tests/tokenizer");
    SMALL.get_or_init(|| Arc::new(Tokenizer::load(FOLDER).unwrap())).clone()
}

/// A file of this thread with these bytes, which is gone with it.
fn written(bytes: &[u8]) -> PathBuf {
    thread_local!(static SCRATCH: OnceCell<File> = const { OnceCell::new() });
    SCRATCH.with(|scratch| {
        let mut file = scratch.get_or_init(|| tempfile::tempfile().unwrap());
        file.rewind().unwrap();
        file.set_len(0).unwrap();
        file.write_all(bytes).unwrap();
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    })
}

fn spec(path: PathBuf, format: Option<FileFormat>) -> Spec {
    // Prompts that are made up are as long as a trace says, which takes its time.
    Spec {
        source: Source::File { path, format },
        seed: Some(7),
        entries: Some(3),
        max_isl: Some(200),
        block_size: Some(32),
        ..Spec::default()
    }
}

fn payloads(endpoint: EndpointType) -> Payloads {
    let extra = match endpoint {
        EndpointType::Template => ExtraInputs::parse(&[r#"{"payload_template":"{\"text\": {{ text|tojson }}}"}"#.to_owned()]).unwrap(),
        _ => ExtraInputs::default(),
    };
    Payloads { streaming: true, ..Payloads::new(endpoint, vec!["m".to_owned()], extra).unwrap() }
}

pub(crate) fn check(data: &[u8]) {
    let ([format, endpoint], bytes) = choose(data, [FORMATS.len(), EndpointType::ALL.len()]);
    let (format, payloads) = (FORMATS[format], payloads(EndpointType::ALL[endpoint]));
    let (path, tokenizer) = (written(bytes), tokenizer());
    let open = |format| open(&spec(path.clone(), format), Some(tokenizer.clone()));
    // A turn has room for everything that one may say, and some say nearly nothing.
    let opened = memory::at_most((256 << 10) + 600 * bytes.len(), || open(format));
    let data = match opened {
        Ok(data) => data,
        Err(why) => return assert!(!why.to_string().is_empty()),
    };
    let Format::File(found) = data.format() else { panic!("{:?} of a file", data.format()) };
    assert!(format.is_none_or(|format| format == found) && !data.is_empty());
    if format.is_none() {
        let again = open(Some(found)).unwrap();
        assert_eq!((again.len(), again.conversation(0)), (data.len(), data.conversation(0)));
    }
    let conversations: Vec<Conversation> = (0..data.len().min(SOME)).map(|k| data.conversation(k)).collect();
    for (k, conversation) in conversations.iter().enumerate() {
        assert_eq!(&data.conversation(k), conversation);
        assert!(!conversation.turns.is_empty() && !conversation.id.is_empty(), "{conversation:?}");
        sent(&payloads, conversation);
    }
    if data.len() <= SOME && found != FileFormat::RandomPool {
        assert_eq!(data.turns(), conversations.iter().map(|c| c.turns.len()).sum::<usize>());
    }
    ordered(&data);
}

/// Each body is an object, whatever was said before.
fn sent(payloads: &Payloads, conversation: &Conversation) {
    let prepared = match payloads.prepare(conversation) {
        Ok(prepared) => prepared,
        Err(why) => return assert!(!why.to_string().is_empty()),
    };
    assert_eq!(prepared.turns.len(), conversation.turns.len());
    let answer = |text: &str, tools: &str| Some(Answer { text: text.to_owned(), tools: tools.to_owned(), ..Answer::default() });
    let answers = [answer("said \"so\"\n", ""), None, answer("", "[{\"id\":\"1\",\"function\":{}}]"), answer("", "f"), None, None];
    for turn in 0..prepared.turns.len().min(SOME) {
        let mut body = Vec::new();
        prepared.body(turn, &answers[..turn], &mut body);
        let text = std::str::from_utf8(&body).unwrap();
        let members = Members::parse(text).unwrap_or_else(|why| panic!("{why}: {text}"));
        let raw = conversation.turns[turn].raw.as_deref();
        assert!(raw.is_none_or(|raw| raw == body));
        if raw.is_none() && payloads.endpoint != EndpointType::Template {
            assert!(members.get("model").is_some(), "{text}");
        }
        let input = prepared.input(turn, &answers[..turn]);
        assert!(input.text.len() <= 2 * text.len());
        let mut authored = Vec::new();
        prepared.authored(turn, &mut authored);
        Members::parse(std::str::from_utf8(&authored).unwrap()).unwrap();
        if turn == 0 {
            assert_eq!(authored, body);
        }
        // What stands in it twice or is half a character is no value of ours.
        if let (Ok(Value::Object(object)), Some(Value::Array(messages))) =
            (serde_json::from_slice(&body), members.get("messages").and_then(|m| serde_json::from_str(m).ok()))
        {
            assert_eq!(object.get("messages").and_then(Value::as_array).map(Vec::len), Some(messages.len()));
        }
    }
}

/// Each conversation comes once before one comes again.
fn ordered(data: &Dataset) {
    if data.len() <= SOME {
        let mut round: Vec<usize> = data.order().take(data.len()).collect();
        round.sort_unstable();
        assert!(round.iter().copied().eq(0..data.len()));
    }
}
