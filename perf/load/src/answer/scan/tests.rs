//! The scanner says what the reader of JSON says, or nothing.

use proptest::prelude::*;

use crate::answer::{Content, openai, refusal::Refusal};

use super::*;

const ENDPOINTS: [Endpoint; 2] = [Endpoint::Chat, Endpoint::Completions];

/// What the scanner says, after the reader of JSON has said the same.
fn scanned(endpoint: Endpoint, data: &[u8]) -> Option<Saying<'_>> {
    let said = chunk(endpoint, data)?;
    let value: serde_json::Value = serde_json::from_slice(data).unwrap();
    assert_eq!(Refusal::of(&value), None);
    assert_eq!(said, openai::saying(endpoint, &value), "{}", String::from_utf8_lossy(data));
    Some(said)
}

#[test]
fn usual_chunks_are_scanned() {
    let text = |text: &'static str| Content::of(text.into(), "".into(), "".into());
    for (data, wanted) in [
        (
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" Hi"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
            text(" Hi"),
        ),
        (
            r#"{"choices": [{"delta": {"content": "a\n\"\u00e4\\"}, "index": 0, "finish_reason": "stop"}], "object": "chat.completion.chunk", "error": null}"#,
            text("a\n\"ä\\"),
        ),
        (
            r#"{"object":"chat.completion.chunk","choices":[{"delta":{"role":"assistant","content":"","tool_calls":[],"reasoning":null}}]}"#,
            None,
        ),
        (
            r#"{"object":"chat.completion.chunk","choices":[{"delta":{"reasoning_content":"","reasoning":"hm","content":"x"}}]}"#,
            Content::of("x".into(), "hm".into(), "".into()),
        ),
        (
            r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"whole"}}],"x":[1,-0.5e-7,true,{"y":"\ud7ff"}]}"#,
            text("whole"),
        ),
        (
            r#"{"object":"chat.completion.chunk","choices":[{"delta":{"content":null,"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\""}},{},{"function":{"arguments":"b"}}]}}]}"#,
            Content::of("".into(), "".into(), "f{\"a\"b".into()),
        ),
        (r#"{"object":"other","choices":[{"delta":{"content":"x"}}]}"#, None),
        (r#"{"choices":[{"delta":{"content":"x"}}]}"#, None),
    ] {
        assert_eq!(scanned(Endpoint::Chat, data.as_bytes()).unwrap().content, wanted, "{data}");
    }
    let completion = br#"{"object":"text_completion","choices":[{"index":0,"text":" Hi","logprobs":{"tokens":[" Hi"]}}]}"#;
    assert_eq!(scanned(Endpoint::Completions, completion).unwrap().content, text(" Hi"));
    assert_eq!(scanned(Endpoint::Chat, completion).unwrap().content, None);
    let counts = br#"{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":20,"total_tokens":24,"completion_tokens":4,"prompt_tokens_details":null}}"#;
    assert_eq!(scanned(Endpoint::Chat, counts).unwrap().usage.unwrap().completion, Count::new(4));
    let two = br#"{"object":"chat.completion.chunk","choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes"},"finish_reason":"new"}]}"#;
    let two = scanned(Endpoint::Chat, two).unwrap();
    assert_eq!((two.content, two.other_choices, two.finish.as_deref()), (text("yes"), true, Some("new")));
}

#[test]
fn what_is_not_usual_is_left() {
    for data in [
        r#"{"error":{"message":"x"}}"#,
        r#"{"object":"error","message":"x"}"#,
        r#"{"object":"a","object":"b"}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"text","text":"x"}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":null}]}}]}"#,
        r#"{"choices":[{"delta":{"content":"\ud83d\ude00"}}]}"#,
        r#"{"usage":{"prompt_tokens":4.0}}"#,
        r#"{"usage":{"completion_tokens_details":{}}}"#,
        r#"{"a":1e5}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":01}",
        "{\"a\":1}x",
        "{\"a\":1",
        "[]",
        "",
    ] {
        assert_eq!(chunk(Endpoint::Chat, data.as_bytes()), None, "{data}");
    }
}

#[test]
fn bytes_that_stand_for_themselves() {
    for byte in 0..=u8::MAX {
        let wanted = !matches!(byte, b'"' | b'\\' | 0..0x20);
        for before in 0..20 {
            for after in [0, 20] {
                let bytes = [vec![b'a' + byte % 7; before], vec![byte], vec![0xff; after]].concat();
                assert_eq!(plain(&bytes), if wanted { bytes.len() } else { before }, "{byte} {before}");
            }
        }
    }
}

/// Texts with all that JSON can have in them, written as JSON.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z \u{e4}\u{4e16}]{0,8}".prop_map(|text| format!("\"{text}\"")),
        r#"("([a-z ]|\\(n|t|"|\\|/|u00e4|u4e16|ud83d|ude00|ud83d\\ude00)){0,4}")"#,
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => string(),
        2 => Just("null".to_owned()),
        1 => "(true|false|0|-0|1|7|12|1\\.0|-3|1e3|1e-3|9007199254740993|00)",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec((key(), inner), 0..4).prop_map(object),
        ]
    })
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "object",
        "choices",
        "usage",
        "error",
        "index",
        "delta",
        "message",
        "text",
        "content",
        "reasoning",
        "reasoning_content",
        "tool_calls",
        "finish_reason",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "logprobs",
        "id",
        "type",
    ])
}

fn object(members: Vec<(&'static str, String)>) -> String {
    let members: Vec<String> = members.into_iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
    format!("{{{}}}", members.join(", "))
}

/// Members that are mostly what they should be.
fn answer() -> impl Strategy<Value = String> {
    let or = |usual: BoxedStrategy<String>| prop_oneof![6 => usual, 1 => value()].boxed();
    let texts = move || or(prop_oneof![string(), Just("null".to_owned())].boxed());
    let some = |keys: &'static [&'static str], value: BoxedStrategy<String>| {
        prop::collection::vec((prop::sample::select(keys), value), 0..3).prop_map(object).boxed()
    };
    let call = or(some(&["name", "arguments", "x"], texts())).prop_map(|function| object(vec![("function", function)])).boxed();
    let calls = or(prop::collection::vec(or(call), 0..3).prop_map(|all| format!("[{}]", all.join(","))).boxed());
    let member = prop_oneof![
        4 => (prop::sample::select(vec!["role", "content", "reasoning", "reasoning_content"]), texts()),
        1 => (Just("tool_calls"), calls),
    ];
    let delta = or(prop::collection::vec(member, 0..3).prop_map(object).boxed());
    let number = or("[0-9]{1,16}".boxed());
    let choice = (
        prop::option::of(number.clone()),
        prop::sample::select(vec!["delta", "message"]),
        prop::option::of(delta),
        prop::option::of(texts()),
        prop::option::of(texts()),
    )
        .prop_map(|(index, place, delta, text, finish)| {
            let members = [("index", index), (place, delta), ("text", text), ("finish_reason", finish)];
            object(members.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
        })
        .boxed();
    let choices = or(prop::collection::vec(or(choice), 0..3).prop_map(|all| format!("[{}]", all.join(" , "))).boxed());
    let usage = or(some(&["prompt_tokens", "completion_tokens", "total_tokens", "x"], number));
    let name = or(r#""(chat\.completion(\.chunk)?|(text_)?completion|error)""#.boxed());
    let members = (
        prop::option::weighted(0.9, name),
        prop::option::weighted(0.9, choices),
        prop::option::of(usage),
        prop::option::weighted(0.1, value()),
        prop::option::weighted(0.2, value()),
        any::<bool>(),
    );
    members.prop_map(|(name, choices, usage, error, other, turned)| {
        let members = [("object", name), ("choices", choices), ("usage", usage), ("error", error), ("id", other)];
        let mut members: Vec<_> = members.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        if turned {
            members.reverse();
        }
        object(members)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn scanner_and_reader_agree(answer in answer()) {
        for endpoint in ENDPOINTS {
            scanned(endpoint, answer.as_bytes());
        }
    }

    /// Also where a byte of it is another one.
    #[test]
    fn scanner_and_reader_agree_on_what_is_broken(answer in answer(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = answer.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        for endpoint in ENDPOINTS {
            scanned(endpoint, &bytes);
        }
    }
}
