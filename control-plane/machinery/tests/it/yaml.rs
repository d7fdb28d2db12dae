//! YAML: what is written is read again, and nothing makes the reader stumble.

use dormouse_machinery::yaml;
use proptest::prelude::*;
use serde_json::Value;

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,12}",
        "[a-z: #&*!|>'\"%@`,\\[\\]{}\n\t-]{0,12}",
        prop::sample::select(vec![
            "yes",
            "no",
            "null",
            "~",
            "0644",
            "1.0",
            "1e3",
            "0x1f",
            "2001-01-01",
            "12:30:45",
            "=",
            "<<",
            "",
            " ",
            "\n",
            "- a",
            "a: b",
            ".inf",
            "1_000",
            "0b1",
            "+1",
            "."
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (any::<i32>(), 1..1000_u32).prop_map(|(a, b)| Value::from(f64::from(a) + f64::from(b) / 1024.0)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = yaml::from_str(&text);
        let _ = yaml::from_str_strict(&text);
        let _ = yaml::documents(&text);
    }

    #[test]
    fn text_near_the_grammar_is_answered(text in "([a-c]: |- |[a-c1]|\n|  |[\\[\\]{},:&*!|>'\"#?%-]|---\n){0,24}") {
        let _ = yaml::from_str(&text);
        let _ = yaml::documents(&text);
    }

    #[test]
    fn what_is_written_is_read(value in value()) {
        let text = yaml::to_string(&value);
        prop_assert_eq!(yaml::from_str_strict(&text), Ok(value), "{}", text);
    }

    #[test]
    fn json_is_yaml(value in value()) {
        let text = value.to_string();
        // The one exception: YAML has no place for control characters, which JSON strings may hold from DEL on.
        prop_assume!(!text.contains(|c: char| c.is_control() || c == '\u{feff}'));
        prop_assert_eq!(yaml::from_str(&text), Ok(value), "{}", text);
    }
}
