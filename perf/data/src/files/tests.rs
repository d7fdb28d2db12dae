//! Files of every format, good and bad.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::mooncake::layout;
use crate::conversation::ContextMode;
use crate::dataset::{Dataset, Format, open};
use crate::error::Error;
use crate::spec::{FileFormat, Source, Spec};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::tests::small;

/// A folder, to be gone with the test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

fn spec(path: PathBuf, format: Option<FileFormat>) -> Spec {
    Spec { source: Source::File { path, format }, seed: Some(42), ..Spec::default() }
}

fn read(text: impl AsRef<[u8]>, format: FileFormat) -> Result<Dataset, Error> {
    let files = Files::new();
    open(&spec(files.write("data.jsonl", text), Some(format)), Some(small()))
}

fn why(text: impl AsRef<[u8]>, format: FileFormat) -> String {
    let said = read(text, format).unwrap_err().to_string();
    said.split_once("data.jsonl").unwrap_or(("", &said)).1.to_owned()
}

fn texts(data: &Dataset, k: usize) -> Vec<String> {
    let turns = data.conversation(k).turns;
    turns.into_iter().map(|t| t.texts.into_iter().flat_map(|t| t.contents).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn files_are_taken_as_editors_leave_them() {
    let text = "\u{feff}{\"text\": \"a\"}\r\n\r\n  \n{\"texts\": [\"b\", \"c\"], \"output_length\": 7}";
    let data = read(text, FileFormat::SingleTurn).unwrap();
    assert_eq!((data.len(), data.turns(), data.has_timestamps()), (2, 2, false));
    assert_eq!((texts(&data, 0), texts(&data, 1)), (vec!["a".to_owned()], vec!["b|c".to_owned()]));
    assert_eq!(data.conversation(1).turns[0].max_tokens, Some(7));
    assert_eq!((data.conversation(0).id, data.conversation(1).id), ("session_000000".to_owned(), "session_000001".to_owned()));
}

#[test]
fn a_broken_line_is_named_by_its_physical_number() {
    let broken = why("{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n{\"text\": \"c\"\n{\"text\": \"d\"}\n", FileFormat::SingleTurn);
    assert!(broken.starts_with(":4: EOF") && broken.contains("column"), "{broken}");
    assert!(why(b"{\"text\": \"a\"}\n{\"text\": \"\xff\"}\n", FileFormat::SingleTurn).starts_with(":2: not UTF-8"));
    for (row, part) in [
        ("{}", "no text"),
        (r#"{"text": ""}"#, "no text"),
        (r#"{"text": "a", "texts": ["b"]}"#, "exclude"),
        (r#"{"text": "a", "timestamp": 1, "delay": 2}"#, "exclude"),
        (r#"{"text": 1}"#, "string"),
        (r#"{"text": "a", "output_length": -1}"#, "-1"),
        (r#"{"image": "/nowhere/x.png"}"#, "no file"),
        (r#"{"text": "a", "image_uuids": ["u"]}"#, "image_uuids"),
        ("[1]", ""),
    ] {
        let said = why(format!("{{\"text\": \"ok\"}}\n{row}\n"), FileFormat::SingleTurn);
        assert!(said.starts_with(":2: ") && said.contains(part), "{row}: {said}");
    }
    assert!(why("", FileFormat::SingleTurn).contains("no conversation"));
    assert!(why("\n", FileFormat::MultiTurn).contains("no conversation"));
    let missing = open(&spec("/nowhere/x.jsonl".into(), None), None).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/x.jsonl"), "{missing}");
}

#[test]
fn rows_of_a_session_are_its_turns() {
    let text = concat!(
        r#"{"session_id": "x", "text": "a", "timestamp": 5.5, "extra": {"b": 1, "a": [ 2 ]}}"#,
        "\n",
        r#"{"text": "b"}"#,
        "\n",
        r#"{"session_id": "x", "text": "c", "delay": 20, "role": "user", "tools": [ {"type": "function"} ]}"#
    );
    let files = Files::new();
    let mut spec = spec(files.write("d.jsonl", text), None);
    spec.delay_ratio = 0.5;
    let data = open(&spec, None).unwrap();
    assert_eq!((data.format(), data.len(), data.turns(), data.has_timestamps()), (Format::File(FileFormat::SingleTurn), 2, 3, true));
    let first = data.conversation(0);
    assert_eq!((first.id.as_str(), first.turns[0].timestamp_ms, first.turns[1].delay_ms), ("x", Some(5.5), Some(10.0)));
    assert_eq!(first.turns[0].extra, [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "[2]".to_owned())]);
    assert_eq!(first.turns[1].tools.as_deref(), Some(r#"[{"type":"function"}]"#));
    spec.ignore_trace_delays = true;
    let data = open(&spec, None).unwrap();
    assert!(!data.has_timestamps() && data.conversation(0).turns[1].delay_ms.is_none());
}

#[test]
fn media_of_rows() {
    let files = Files::new();
    files.write("i.png", b"\x01\x02");
    files.write("a.wav", b"\x01\x02");
    let path =
        files.write("d.jsonl", r#"{"image": "i.png", "audios": ["a.wav", "wav,AA=="], "video": "https://x/v.mp4", "image_uuids": ["u"]}"#);
    let turn = &open(&spec(path, None), None).unwrap().conversation(0).turns[0];
    assert_eq!((turn.images[0].content.as_str(), turn.images[0].uuid.as_deref()), ("data:image/png;base64,AQI=", Some("u")));
    assert_eq!(turn.audios.iter().map(|a| a.content.as_str()).collect::<Vec<_>>(), ["wav,AQI=", "wav,AA=="]);
    assert_eq!(turn.videos[0].content, "https://x/v.mp4");
}

#[test]
fn conversations_of_one_line() {
    let text = concat!(
        r#"{"session_id": 7, "turns": [{"role": "system", "text": "S"}, {"text": "a"}, {"text": "b", "delay": 3}]}"#,
        "\n",
        r#"{"turns": [{"text": "a"}, {"role": "assistant", "text": "x"}, {"role": "user", "text": "b"}, {"role": "assistant", "text": "y"}]}"#
    );
    let data = read(text, FileFormat::MultiTurn).unwrap();
    let first = data.conversation(0);
    assert_eq!((first.id.as_str(), first.system.as_deref(), first.turns.len()), ("7", Some("S"), 2));
    let second = data.conversation(1);
    assert_eq!((second.mode, second.turns.len()), (ContextMode::DeltasWithResponses, 2));
    assert_eq!(second.turns[1].messages.as_deref(), Some(r#"[{"role":"assistant","content":"x"},{"role":"user","content":"b"}]"#));
    let twice = "{\"session_id\":\"x\",\"turns\":[{\"text\":\"a\"}]}\n{\"session_id\":\"x\",\"turns\":[{\"text\":\"a\"}]}";
    assert!(why(twice, FileFormat::MultiTurn).starts_with(":2: session \"x\" stands in line 1"));
    assert!(why("{\"turns\":[]}", FileFormat::MultiTurn).starts_with(":1: no turns"));
    assert!(why("{\"turns\":[{\"text\":\"a\"},{}]}", FileFormat::MultiTurn).starts_with(":1: turn 1: no text"));
}

#[test]
fn the_system_prompt_of_the_options_stands_first() {
    let files = Files::new();
    let path = files
        .write("d.jsonl", "{\"turns\": [{\"role\": \"system\", \"text\": \"S\"}, {\"text\": \"a\"}]}\n{\"turns\": [{\"text\": \"a\"}]}");
    let data = open(&Spec { system_prompt: Some("O".to_owned()), ..spec(path, None) }, None).unwrap();
    assert_eq!(data.conversation(0).system.as_deref(), Some("O\n\nS"));
    assert_eq!(data.conversation(1).system.as_deref(), Some("O"));
}

#[test]
fn pools() {
    let files = Files::new();
    files.write("pool/query.jsonl", "{\"text\": \"q1\"}\n{\"text\": \"q2\"}");
    files.write("pool/passages.jsonl", "{\"texts\": [\"p1\", \"p2\"]}\n{\"text\": \"p3\"}");
    let path = files.0.path().join("pool");
    let data = open(&spec(path.clone(), None), None).unwrap();
    assert_eq!((data.format(), data.len(), data.turns()), (Format::File(FileFormat::RandomPool), 100, 100));
    let drawn: Vec<_> = (0..100).map(|k| data.conversation(k)).collect();
    assert_eq!(drawn, (0..100).map(|k| data.conversation(k)).collect::<Vec<_>>());
    for said in &drawn {
        let names: Vec<_> = said.turns[0].texts.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["passages", "query"]);
    }
    let queries: std::collections::BTreeSet<_> = drawn.iter().map(|c| c.turns[0].texts[1].contents[0].clone()).collect();
    assert_eq!(queries.len(), 2);
    let some = open(&Spec { entries: Some(3), batch: 2, ..spec(path, None) }, None).unwrap();
    assert_eq!((some.len(), some.conversation(0).turns[0].texts[1].contents.len()), (3, 2));
    assert!(why("{\"text\": \"a\", \"timestamp\": 1}", FileFormat::RandomPool).starts_with(":1: rows of a pool have no times"));
}

#[test]
fn payloads_stay_bytes() {
    let body = r#"{ "messages": [ {"role": "user", "content": "h\u00e9"} ] , "model" : "x" }"#;
    let files = Files::new();
    let file = files.write("d.jsonl", format!("{body}\r\n{body}"));
    let data = open(&spec(file, None), None).unwrap();
    assert_eq!((data.format(), data.len()), (Format::File(FileFormat::RawPayload), 2));
    assert_eq!(data.conversation(1).turns[0].raw.as_deref(), Some(body.as_bytes()));
    files.write("f/one.jsonl", format!("{body}\n{body}\n"));
    files.write("f/two.jsonl", body);
    let data = open(&spec(files.0.path().join("f"), None), None).unwrap();
    assert_eq!((data.format(), data.len(), data.turns()), (Format::File(FileFormat::RawPayload), 2, 3));
    assert_eq!(data.conversation(0).id, "one");
    assert!(why("[1]", FileFormat::RawPayload).starts_with(":1: "));
}

#[test]
fn inputs_of_a_run() {
    let text = "{\n  \"data\": [\n    {\"session_id\": \"s1\", \"payloads\": [ {\"b\": 1, \"a\": \"x y\"}, {} ]}\n  ]\n}";
    let files = Files::new();
    let data = open(&spec(files.write("inputs.json", text), None), None).unwrap();
    assert_eq!((data.format(), data.len(), data.turns()), (Format::File(FileFormat::InputsJson), 1, 2));
    let said = data.conversation(0);
    assert_eq!((said.id.as_str(), said.turns[0].raw.as_deref()), ("s1", Some(&br#"{"b":1,"a":"x y"}"#[..])));
    let twice = r#"{"data":[{"session_id":"a","payloads":[{}]},{"session_id":"a","payloads":[{}]}]}"#;
    assert!(why(twice, FileFormat::InputsJson).contains("session \"a\" stands there twice"));
    assert!(why("{\n\"data\": 1}", FileFormat::InputsJson).starts_with(":2: "));
}

#[test]
fn questions_of_people() {
    let long = "word ".repeat(1500);
    let text = format!(
        r#"[{{"id":"1","conversations":[{{"from":"human","value":"one two three four five"}},{{"from":"gpt","value":"six seven eight nine ten"}}]}},
        {{"conversations":[{{"from":"human","value":"hi"}},{{"from":"gpt","value":"six seven eight nine"}}]}},
        {{"conversations":[{{"from":"human","value":"{long}"}},{{"from":"gpt","value":"six seven eight nine"}}]}},
        {{"conversations":[{{"from":"gpt","value":"first"}}]}}]"#
    );
    let files = Files::new();
    let path = files.write("sharegpt.json", text);
    let data = open(&spec(path.clone(), None), Some(small())).unwrap();
    assert_eq!(
        (data.format(), data.len(), texts(&data, 0)),
        (Format::File(FileFormat::ShareGpt), 1, vec!["one two three four five".to_owned()])
    );
    assert_eq!(data.conversation(0).turns[0].max_tokens, Some(small().count("six seven eight nine ten") as u64));
    assert!(open(&spec(path, None), None).unwrap_err().to_string().contains("--tokenizer"));
}

/// A6.
#[test]
fn layouts_of_blocks() {
    assert_eq!(layout(1100, 3, 512), Ok((vec![512, 512, 76], 0)));
    assert_eq!(layout(1600, 3, 512), Ok((vec![512; 3], 64)));
    assert_eq!(layout(1536, 3, 512), Ok((vec![512; 3], 0)));
    assert_eq!(layout(1025, 3, 512), Ok((vec![512, 512, 1], 0)));
    assert!(layout(1024, 3, 512).is_err() && layout(900, 3, 512).is_err());
    assert_eq!(layout(70, 0, 512), Ok((vec![], 70)));
    assert!(layout(5, 3, u64::MAX).is_err());
}

fn trace(text: &str, tokenizer: Option<Arc<Tokenizer>>) -> Result<Dataset, Error> {
    let files = Files::new();
    open(&spec(files.write("data.jsonl", text), Some(FileFormat::MooncakeTrace)), tokenizer)
}

/// A6.
#[test]
fn the_same_blocks_have_the_same_text() {
    let text = concat!(
        r#"{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [7, 8, 9]}"#,
        "\n",
        r#"{"timestamp": 1, "input_length": 1600, "output_length": 5, "hash_ids": [7, 8, 10]}"#,
        "\n",
        r#"{"timestamp": 2, "input_length": 1600, "output_length": 5, "hash_ids": [7, 8, 10]}"#,
        "\n",
        r#"{"timestamp": 3, "input_length": 30, "output_length": 5, "hash_ids": []}"#
    );
    let data = trace(text, Some(small())).unwrap();
    let said: Vec<String> = (0..4).map(|k| texts(&data, k).remove(0)).collect();
    let tokens: Vec<Vec<u32>> = said.iter().map(|t| small().encode(t)).collect();
    assert_eq!(tokens.iter().map(Vec::len).collect::<Vec<_>>(), [1100, 1600, 1600, 30]);
    assert_eq!(tokens[0][..1024], tokens[1][..1024], "the blocks 7 and 8");
    assert_eq!(tokens[1][..1536], tokens[2][..1536], "and 10");
    assert_ne!(tokens[1][1536..], tokens[2][1536..], "what is fresh is of the request alone");
    assert_ne!(tokens[0][1024..1030], tokens[1][1024..1030]);
    assert_eq!(texts(&data, 1).remove(0), said[1]);
    assert!(data.has_timestamps() && data.format().is_trace());
    assert!(trace(text, None).unwrap_err().to_string().contains("--tokenizer"));

    let bad =
        |row: &str| trace(&format!("{{\"input_length\": 1100, \"hash_ids\": [7, 8, 9]}}\n{row}"), Some(small())).unwrap_err().to_string();
    let why = bad(r#"{"input_length": 900, "hash_ids": [1, 2, 3]}"#);
    assert!(why.contains(":2: ") && why.contains("do not go together"), "{why}");
    let why = bad(r#"{"input_length": 512, "hash_ids": [9]}"#);
    assert!(why.contains("hash id 9 has 512 tokens here and 76 in line 1"), "{why}");
}

#[test]
fn other_prompts_of_traces() {
    let text = concat!(
        r#"{"timestamp": 30, "text_input": "a", "output_length": 900, "session_id": "x"}"#,
        "\n",
        r#"{"delay": 5, "text_input": "b", "session_id": "x"}"#,
        "\n",
        r#"{"messages": [ {"role": "user", "content": "c"} ], "tools": [ 1 ], "timestamp": 10, "extra": {"n": 2}}"#,
        "\n",
        r#"{"payload": {"b": 1, "a": "x y"}, "timestamp": 20.5}"#,
        "\n",
        r#"{"input_length": 99, "timestamp": 40}"#
    );
    let files = Files::new();
    let mut asked = spec(files.write("d.jsonl", text), None);
    asked.max_osl = Some(100);
    asked.max_isl = Some(50);
    asked.speedup = 2.0;
    let data = open(&asked, None).unwrap();
    assert_eq!((data.format(), data.len(), data.turns()), (Format::File(FileFormat::MooncakeTrace), 3, 4));
    let first = data.conversation(0);
    assert_eq!((first.id.as_str(), first.turns[0].max_tokens, first.turns[0].timestamp_ms), ("x", Some(100), Some(15.0)));
    assert_eq!((first.turns[1].delay_ms, first.mode), (Some(5.0), ContextMode::DeltasWithoutResponses));
    let second = data.conversation(1);
    assert_eq!(second.mode, ContextMode::MessageArrayWithResponses);
    assert_eq!(second.turns[0].messages.as_deref(), Some(r#"[{"role":"user","content":"c"}]"#));
    assert_eq!(second.turns[0].tools.as_deref(), Some("[1]"));
    assert_eq!(data.conversation(2).turns[0].raw.as_deref(), Some(&br#"{"b":1,"a":"x y"}"#[..]));

    asked.speedup = 1.0;
    (asked.start_offset_ms, asked.end_offset_ms) = (Some(10.0), Some(20.5));
    let data = open(&asked, None).unwrap();
    assert_eq!(data.len(), 3, "both ends are inside, and a turn without a time stays");
    for row in [
        r#"{"timestamp": 1}"#,
        r#"{"text_input": "a", "input_length": 5}"#,
        r#"{"text_input": "a", "hash_ids": [1]}"#,
        r#"{"text_input": "a", "tools": []}"#,
        r#"{"input_length": 0}"#,
        r#"{"messages": []}"#,
        r#"{"messages": {}}"#,
        r#"{"payload": []}"#,
    ] {
        assert!(trace(row, Some(small())).unwrap_err().to_string().contains(":1: "), "{row}");
    }
}

#[test]
fn formats_are_found_out() {
    let found = |text: &str| {
        let files = Files::new();
        super::detect::detect(&files.write("d.jsonl", text)).map(FileFormat::name).map_err(|e| e.to_string())
    };
    for (text, format) in [
        (r#"{"text": "a", "session_id": "x", "timestamp": 1}"#, "single_turn"),
        (r#"{"images": ["https://x"]}"#, "single_turn"),
        (r#"{"turns": [{"text": "a"}]}"#, "multi_turn"),
        (r#"{"input_length": 1, "hash_ids": []}"#, "mooncake_trace"),
        (r#"{"text_input": "a"}"#, "mooncake_trace"),
        (r#"{"payload": {}}"#, "mooncake_trace"),
        (r#"{"messages": [], "timestamp": 1}"#, "mooncake_trace"),
        (r#"{"messages": [], "model": "m"}"#, "raw_payload"),
        (r#"{"data": []}"#, "inputs_json"),
        ("{\n\"data\": []}", "inputs_json"),
        ("[{\"conversations\": []}]", "sharegpt"),
        (r#"{"type": "random_pool", "text": "a"}"#, "random_pool"),
    ] {
        assert_eq!(found(text), Ok(format), "{text}");
    }
    let why = found(r#"{"messages": []}"#).unwrap_err();
    assert!(why.contains("could be mooncake_trace, raw_payload"), "{why}");
    let why = found(r#"{"chat_id": 1}"#).unwrap_err();
    assert!(why.contains("no known format") && why.contains("single_turn"), "{why}");
    let why = found(r#"{"type": "weka_trace"}"#).unwrap_err();
    assert!(why.contains("weka_trace is not supported yet"), "{why}");
    assert!(FileFormat::parse("bailian-trace").unwrap_err().contains("not supported yet"));
    assert!(FileFormat::parse("nonsense").unwrap_err().contains("no format"));
    assert!(found("\n").is_err() && found("x").is_err());
}
