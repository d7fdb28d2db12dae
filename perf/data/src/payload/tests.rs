//! Payloads to the byte, and against trees of JSON.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::conversation::{Media, Text};

fn extra(items: &[&str]) -> ExtraInputs {
    ExtraInputs::parse(&items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn of(endpoint: EndpointType) -> Payloads {
    Payloads { endpoint, models: vec!["m".to_owned(), "n".to_owned()], streaming: true, ..Payloads::default() }
}

fn one(turn: Turn) -> Conversation {
    Conversation { id: "s".to_owned(), turns: vec![turn], ..Conversation::default() }
}

fn limited(text: &str) -> Turn {
    Turn { max_tokens: Some(12), ..Turn::saying(text) }
}

fn body(prepared: &Prepared, turn: usize, answers: &[Option<Answer>]) -> String {
    let mut out = Vec::new();
    prepared.body(turn, answers, &mut out);
    String::from_utf8(out).unwrap()
}

fn authored(prepared: &Prepared, turn: usize) -> String {
    let mut out = Vec::new();
    prepared.authored(turn, &mut out);
    String::from_utf8(out).unwrap()
}

/// The body of the one turn.
fn said(payloads: &Payloads, turn: Turn) -> String {
    body(&payloads.prepare(&one(turn)).unwrap(), 0, &[])
}

fn refused(payloads: &Payloads, conversation: &Conversation) -> String {
    payloads.prepare(conversation).unwrap_err().to_string()
}

fn answer(text: &str) -> Option<Answer> {
    Some(Answer { text: text.to_owned(), ..Answer::default() })
}

#[test]
fn chat() {
    let mut p = of(EndpointType::Chat);
    assert_eq!(
        said(&p, limited("é \"x\"\n")),
        r#"{"messages":[{"role":"user","content":"é \"x\"\n"}],"model":"m","stream":true,"max_completion_tokens":12,"stream_options":{"include_usage":true}}"#
    );
    p.extra = extra(&["ignore_eos:true,n:2"]);
    let mut turn = Turn { tools: Some(r#"[{"type":"function"}]"#.to_owned()), model: Some(1), ..limited("a") };
    turn.extra = vec![("n".to_owned(), "3".to_owned()), ("seed".to_owned(), "1".to_owned())];
    assert_eq!(
        said(&p, turn),
        concat!(
            r#"{"messages":[{"role":"user","content":"a"}],"model":"n","stream":true,"tools":[{"type":"function"}],"max_completion_tokens":12,"#,
            r#""ignore_eos":true,"n":3,"seed":1,"stream_options":{"include_usage":true}}"#
        )
    );
    p = Payloads { streaming: false, legacy_max_tokens: true, ..of(EndpointType::Chat) };
    assert_eq!(said(&p, limited("a")), r#"{"messages":[{"role":"user","content":"a"}],"model":"m","stream":false,"max_tokens":12}"#);
    p = Payloads { per_chunk_usage: true, parts: true, ..of(EndpointType::Chat) };
    assert_eq!(
        said(&p, Turn::saying("a")),
        concat!(
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"model":"m","stream":true,"#,
            r#""stream_options":{"include_usage":true,"continuous_usage_stats":true}}"#
        )
    );
}

#[test]
fn what_the_user_says_of_streams_holds() {
    let with = |items: &[&str]| said(&Payloads { extra: extra(items), ..of(EndpointType::Chat) }, Turn::saying("a"));
    assert!(with(&[r#"{"stream_options":{"include_usage":false}}"#]).ends_with(r#""stream_options":{"include_usage":false}}"#));
    assert!(with(&[r#"{"stream_options":{"x":1},"n":2}"#]).ends_with(r#""stream_options":{"x":1,"include_usage":true},"n":2}"#));
    assert!(with(&["stream:false"]).ends_with(r#""stream":false}"#));
    assert!(with(&["stream_options:null"]).ends_with(r#""stream_options":null}"#));
    let p = Payloads { streaming: false, extra: extra(&["stream:true"]), ..of(EndpointType::Chat) };
    assert!(said(&p, Turn::saying("a")).ends_with(r#""stream":true,"stream_options":{"include_usage":true}}"#));
}

#[test]
fn messages_of_the_user_are_not_written_over() {
    let p = Payloads { extra: extra(&[r#"{"messages":[]}"#]), ..of(EndpointType::Chat) };
    let two = Conversation { turns: vec![Turn::saying("a"), Turn::saying("b")], ..one(Turn::default()) };
    let prepared = p.prepare(&two).unwrap();
    assert!(body(&prepared, 1, &[answer("x")]).starts_with(r#"{"messages":[],"model":"m""#));
}

#[test]
fn parts_of_chat() {
    let media = |content: &str| Media { content: content.to_owned(), uuid: None };
    let turn = Turn {
        texts: vec![Text { name: "text".to_owned(), contents: vec!["a".to_owned(), String::new(), "b".to_owned()] }],
        images: vec![Media { content: "data:image/png;base64,AA==".to_owned(), uuid: Some("u".to_owned()) }],
        audios: vec![media("wav,BBBB")],
        videos: vec![media("https://x/v.mp4")],
        ..Turn::default()
    };
    let content = concat!(
        r#"[{"type":"text","text":"a"},{"type":"text","text":"b"},"#,
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="},"uuid":"u"},"#,
        r#"{"type":"input_audio","input_audio":{"data":"BBBB","format":"wav"}},"#,
        r#"{"type":"video_url","video_url":{"url":"https://x/v.mp4"}}]"#
    );
    let p = of(EndpointType::Chat);
    assert!(said(&p, turn.clone()).starts_with(&format!(r#"{{"messages":[{{"role":"user","content":{content}}}],"model""#)));
    let prepared = p.prepare(&one(turn)).unwrap();
    assert_eq!((prepared.input_text(0, &[]), prepared.turns[0].images), ("a b".to_owned(), 1));
    assert!(refused(&p, &one(Turn { audios: vec![media("https://x/a.wav")], ..Turn::default() })).contains("FORMAT,BASE64"));
}

#[test]
fn system_and_context_stand_before_the_turns() {
    let conversation = Conversation {
        system: Some("S".to_owned()),
        context: Some("C".to_owned()),
        turns: vec![Turn::saying("a"), Turn::saying("b")],
        ..one(Turn::default())
    };
    let prepared = of(EndpointType::Chat).prepare(&conversation).unwrap();
    let before = r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"C"},"#;
    assert!(body(&prepared, 0, &[]).starts_with(&format!(r#"{before}{{"role":"user","content":"a"}}],"model""#)));
    assert!(body(&prepared, 1, &[answer("x")]).starts_with(&format!(
        r#"{before}{{"role":"user","content":"a"}},{{"role":"assistant","content":"x"}},{{"role":"user","content":"b"}}],"model""#
    )));
    assert!(authored(&prepared, 1).starts_with(&format!(r#"{before}{{"role":"user","content":"b"}}],"model""#)));
    assert_eq!(prepared.input_text(1, &[answer("x")]), "S C a x b");

    let raw = |messages: &str| Turn { messages: Some(messages.to_owned()), ..Turn::default() };
    let mut own = Conversation { mode: ContextMode::MessageArrayWithResponses, context: None, ..conversation };
    own.turns = vec![
        raw(r#"[{"role":"system","content":"T"},{"role":"user","content":"a"}]"#),
        raw(r#"[{"role":"system","content":[{"type":"text","text":"T"}]}]"#),
        raw(r#"[{"role":"user","content":"a"}]"#),
    ];
    let prepared = of(EndpointType::Chat).prepare(&own).unwrap();
    for (turn, messages) in [
        r#"[{"role":"system","content":"S\n\nT"},{"role":"user","content":"a"}],"#,
        r#"[{"role":"system","content":[{"type":"text","text":"S"},{"type":"text","text":"T"}]}],"#,
        r#"[{"role":"system","content":"S"},{"role":"user","content":"a"}],"#,
    ]
    .iter()
    .enumerate()
    {
        let said = body(&prepared, turn, &[answer("x"), answer("x")]);
        assert!(said.starts_with(&format!(r#"{{"messages":{messages}"#)), "{said}");
    }
}

#[test]
fn completions() {
    let p = of(EndpointType::Completions);
    let tail = r#""model":"m","stream":true,"max_tokens":12,"stream_options":{"include_usage":true}}"#;
    assert_eq!(said(&p, limited("a")), format!(r#"{{"prompt":"a",{tail}"#));
    let two = Turn { texts: vec![Text { name: "text".to_owned(), contents: vec!["a".to_owned(), "b".to_owned()] }], ..limited("") };
    assert_eq!(said(&p, two), format!(r#"{{"prompt":["a","b"],{tail}"#));
    let conversation = Conversation { turns: vec![Turn::saying("a"), Turn::saying("b")], ..one(Turn::default()) };
    assert_eq!(refused(&p, &conversation), "session s, turn 1: completions takes one turn only");
    assert!(refused(&p, &Conversation { system: Some("S".to_owned()), ..one(limited("a")) }).contains("no system message"));
}

#[test]
fn responses() {
    let mut p = of(EndpointType::Responses);
    let conversation = Conversation {
        system: Some("S".to_owned()),
        turns: vec![
            Turn { images: vec![Media { content: "https://x/i.png".to_owned(), uuid: None }], ..Turn::saying("a") },
            Turn { tools: Some("[1]".to_owned()), ..limited("b") },
        ],
        ..one(Turn::default())
    };
    let prepared = p.prepare(&conversation).unwrap();
    let first = concat!(
        r#"{"role":"user","content":[{"type":"input_text","text":"a"},"#,
        r#"{"type":"input_image","image_url":"https://x/i.png"}],"type":"message"}"#
    );
    assert_eq!(body(&prepared, 0, &[]), format!(r#"{{"input":[{first}],"model":"m","stream":true,"instructions":"S"}}"#));
    assert_eq!(
        body(&prepared, 1, &[answer("x")]),
        format!(
            concat!(
                r#"{{"input":[{},{{"role":"assistant","content":"x","type":"message"}},"#,
                r#"{{"role":"user","content":"b","type":"message"}}],"model":"m","stream":true,"instructions":"S","#,
                r#""max_output_tokens":12,"tools":[1]}}"#
            ),
            first
        )
    );
    p.server_counts = true;
    assert!(said(&p, limited("a")).ends_with(r#""max_output_tokens":12,"stream_options":{"include_usage":true}}"#));
    p.extra = extra(&["store:true"]);
    assert!(refused(&p, &conversation).contains("store:true"));
}

#[test]
fn messages() {
    let mut p = of(EndpointType::Messages);
    let turn = Turn {
        images: vec![
            Media { content: "data:image/png;base64,AA==".to_owned(), uuid: None },
            Media { content: "https://x/i.png".to_owned(), uuid: None },
        ],
        ..limited("a")
    };
    let conversation = Conversation { system: Some("S".to_owned()), ..one(turn) };
    assert_eq!(
        body(&p.prepare(&conversation).unwrap(), 0, &[]),
        concat!(
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},"#,
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},"#,
            r#"{"type":"image","source":{"type":"url","url":"https://x/i.png"}}]}],"max_tokens":12,"stream":true,"system":"S"}"#
        )
    );
    p.streaming = false;
    assert_eq!(said(&p, Turn::saying("a")), r#"{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":1024}"#);
}

#[test]
fn embeddings_and_rankings() {
    let text = |name: &str, contents: &[&str]| Text { name: name.to_owned(), contents: contents.iter().map(|s| (*s).to_owned()).collect() };
    let turn = Turn { texts: vec![text("text", &["a", "b"])], max_tokens: Some(3), ..Turn::default() };
    assert_eq!(said(&of(EndpointType::Embeddings), turn.clone()), r#"{"model":"m","input":["a","b"]}"#);
    let ranked = Turn { texts: vec![text("passages", &["a", "b"]), text("query", &["q"])], ..Turn::default() };
    for (kind, expected) in [
        (EndpointType::NimRankings, r#"{"model":"m","query":{"text":"q"},"passages":[{"text":"a"},{"text":"b"}]}"#),
        (EndpointType::CohereRankings, r#"{"model":"m","query":"q","documents":["a","b"]}"#),
        (EndpointType::TeiRankings, r#"{"query":"q","texts":["a","b"]}"#),
    ] {
        assert_eq!(said(&of(kind), ranked.clone()), expected);
        assert_eq!(of(kind).prepare(&one(ranked.clone())).unwrap().input_text(0, &[]), "q a b");
        assert!(refused(&of(kind), &one(turn.clone())).contains("query"));
    }
}

#[test]
fn templates() {
    let new = |items: &[&str]| Payloads::new(EndpointType::Template, vec!["m".to_owned()], extra(items));
    let p = new(&["payload_template:nv-embedqa", "response_field:data.0.x", "n:1"]).unwrap();
    assert_eq!(p.response_field.as_deref(), Some("data.0.x"));
    let prepared = p.prepare(&one(Turn::saying("<é \"x\">"))).unwrap();
    assert_eq!(body(&prepared, 0, &[]), r#"{"text":["<é \"x\">"],"n":1}"#);
    assert_eq!(prepared.input_text(0, &[]), "<é \"x\">");
    let template = concat!(
        r#"payload_template:{"m": {{ model|tojson }}, "t": {{ text|tojson }}, "k": {{ max_tokens or 0 }}, "r": "{{ role }}", "#,
        r#""s": {{ stream|tojson }}, "by": {{ texts_by_name.text|length }}, "n": {{ turns|length }}, "u": {{ turn.text|tojson }}}"#
    );
    let p = new(&[template]).unwrap();
    assert_eq!(said(&p, limited("a")), r#"{"m":"m","t":"a","k":12,"r":"user","s":false,"by":1,"n":1,"u":"a"}"#);
    assert!(new(&[]).unwrap_err().to_string().contains("payload_template"));
    assert!(new(&["payload_template:nothing"]).is_err());
    assert!(new(&["payload_template:{{ x"]).is_err());
    let p = new(&["payload_template:[{{ model|tojson }}]"]).unwrap();
    assert!(refused(&p, &one(Turn::saying("a"))).contains("no JSON object"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.jinja");
    std::fs::write(&file, "{\"x\": {{ text|tojson }}}\n").unwrap();
    assert_eq!(said(&new(&[&format!("payload_template:{}", file.display())]).unwrap(), Turn::saying("a")), r#"{"x":"a"}"#);
}

#[test]
fn raw_payloads_are_sent_as_they_are() {
    let raw = br#"{ "messages": [ {"role": "user", "content": "h\u00e9" } ] }"#;
    for kind in EndpointType::ALL {
        let turn = Turn { raw: Some(raw.to_vec()), ..Turn::default() };
        let p = Payloads { extra: extra(&["n:1"]), ..of(kind) };
        let prepared = p.prepare(&Conversation { turns: vec![turn.clone(), turn], ..one(Turn::default()) }).unwrap();
        for at in 0..2 {
            assert_eq!(body(&prepared, at, &[answer("x")]).as_bytes(), raw);
            assert_eq!(prepared.input_text(at, &[]), "hé");
        }
    }
    assert!(refused(&of(EndpointType::Raw), &one(Turn::saying("a"))).contains("raw_payload"));
}

#[test]
fn answers_are_woven_in() {
    let conversation = Conversation { turns: vec![Turn::saying("a"), Turn::saying("b")], ..one(Turn::default()) };
    let prepared = of(EndpointType::Chat).prepare(&conversation).unwrap();
    let between = |answer: Option<Answer>| {
        let said = body(&prepared, 1, &[answer]);
        let said = said.strip_prefix(r#"{"messages":[{"role":"user","content":"a"}"#).unwrap();
        said.split_once(r#",{"role":"user","content":"b"}"#).unwrap().0.to_owned()
    };
    let of = |text: &str, reasoning: &str, tools: &str| {
        Some(Answer { text: text.to_owned(), reasoning: reasoning.to_owned(), tools: tools.to_owned() })
    };
    assert_eq!(between(None), "");
    assert_eq!(between(of("", "", "")), "");
    assert_eq!(between(of("x", "why", "")), r#",{"role":"assistant","content":"x"}"#);
    assert_eq!(between(of("", "why", "")), r#",{"role":"assistant","content":"why"}"#);
    assert_eq!(between(of("", "", r#"[{"id": "1"}]"#)), r#",{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}"#);
    assert_eq!(between(of("", "", "f{}")), r#",{"role":"assistant","content":"f{}"}"#);
    // Answers beyond those that are known are none, and a turn that there is not says nothing.
    assert_eq!(body(&prepared, 1, &[]), body(&prepared, 1, &[None]));
    assert_eq!(body(&prepared, 2, &[]), "");
}

#[test]
fn both_sides_of_the_data() {
    let second = r#"[{"role":"assistant","content":"written"},{"role":"user","content":"b"}]"#;
    let conversation = Conversation {
        mode: ContextMode::DeltasWithResponses,
        turns: vec![Turn::saying("a"), Turn { messages: Some(second.to_owned()), ..Turn::default() }],
        ..one(Turn::default())
    };
    let said = body(&of(EndpointType::Chat).prepare(&conversation).unwrap(), 1, &[answer("live")]);
    assert!(said.starts_with(
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"written"},{"role":"user","content":"b"}],"#
    ));
}

#[test]
fn delays_are_nanoseconds() {
    let turn = |delay| Turn { delay_ms: Some(delay), ..Turn::saying("a") };
    let conversation = Conversation { turns: [20.0, 0.25, -1.0, f64::NAN].map(turn).into(), ..one(Turn::default()) };
    let prepared = of(EndpointType::Chat).prepare(&conversation).unwrap();
    let delays: Vec<_> = prepared.turns.iter().map(|t| t.delay_ns.unwrap()).collect();
    assert_eq!(delays, [20_000_000, 250_000, 0, 0]);
}

/// The messages that a turn has, as a tree.
fn tree(system: Option<&str>, turns: &[String], answers: &[Option<Answer>], turn: usize) -> Vec<Value> {
    let mut messages = Vec::new();
    messages.extend(system.map(|text| json!({"role": "system", "content": text})));
    for (at, said) in turns.iter().enumerate().take(turn + 1) {
        messages.push(json!({"role": "user", "content": said}));
        if let Some(Some(answer)) = answers.get(at).filter(|_| at < turn) {
            let text = if answer.text.is_empty() { &answer.reasoning } else { &answer.text };
            messages.extend((!text.is_empty()).then(|| json!({"role": "assistant", "content": text})));
        }
    }
    messages
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is put together from pieces is what a tree would have given.
    #[test]
    fn bodies_are_those_of_trees(
        system in proptest::option::of(".{0,8}"),
        turns in proptest::collection::vec(".{0,12}", 1..6),
        answers in proptest::collection::vec(proptest::option::of((".{0,8}", ".{0,4}")), 0..6),
        stream: bool,
    ) {
        let answers: Vec<Option<Answer>> = answers
            .into_iter()
            .map(|a| a.map(|(text, reasoning)| Answer { text, reasoning, tools: String::new() }))
            .collect();
        let conversation = Conversation {
            system: system.clone(),
            turns: turns.iter().map(|t| Turn::saying(t.as_str())).collect(),
            ..one(Turn::default())
        };
        let prepared = Payloads { streaming: stream, ..of(EndpointType::Chat) }.prepare(&conversation).unwrap();
        for turn in 0..turns.len() {
            let messages = tree(system.as_deref(), &turns, &answers, turn);
            let mut expected = json!({"messages": messages, "model": "m", "stream": stream});
            if stream {
                expected["stream_options"] = json!({"include_usage": true});
            }
            let said = body(&prepared, turn, &answers);
            prop_assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), expected);
            prop_assert_eq!(json::compact(&said).unwrap(), said);
            let texts: Vec<&str> = messages.iter().filter_map(|m| m["content"].as_str()).filter(|t| !t.is_empty()).collect();
            prop_assert_eq!(prepared.input_text(turn, &answers), texts.join(" "));
        }
    }
}
