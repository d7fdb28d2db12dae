//! Selectors: the recorded answers of Kubernetes, and that what is printed parses to the same.

use std::collections::BTreeMap;

use dormouse_machinery::selector::{FieldSelector, Selector};
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{self, Shape};

fn cases<'a>(file: &'a Value, part: &str) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    file["cases"][part].as_array().unwrap().iter().map(move |case| (file, case))
}

#[test]
fn labels_as_recorded() {
    for (file, case) in golden::of(Shape::Selectors).iter().flat_map(|file| cases(file, "label")) {
        let sets: Vec<BTreeMap<String, String>> = serde_json::from_value(file["cases"]["label_sets"].clone()).unwrap();
        let text = case["selector"].as_str().unwrap();
        match Selector::parse(text) {
            Ok(selector) => {
                assert_eq!(case["error"], Value::Null, "{text:?}");
                assert_eq!(selector.to_string(), case["canonical"].as_str().unwrap(), "{text:?}");
                let matches: Vec<bool> = sets.iter().map(|set| selector.matches(set)).collect();
                assert_eq!(serde_json::to_value(matches).unwrap(), case["matches"], "{text:?}");
            }
            Err(error) => assert_eq!(Value::from(error.to_string()), case["error"], "{text:?}"),
        }
    }
}

#[test]
fn fields_as_recorded() {
    for (_, case) in golden::of(Shape::Selectors).iter().flat_map(|file| cases(file, "field")) {
        let text = case["selector"].as_str().unwrap();
        match FieldSelector::parse(text) {
            Ok(selector) => {
                assert_eq!(case["error"], Value::Null, "{text:?}");
                assert_eq!(selector.to_string(), case["canonical"].as_str().unwrap(), "{text:?}");
                let wanted = case["requirements"].as_array().cloned().unwrap_or_default();
                assert_eq!(selector.requirements().len(), wanted.len(), "{text:?}");
                for (mine, theirs) in selector.requirements().iter().zip(wanted) {
                    let operator = if mine.negated { "!=" } else { "=" };
                    assert_eq!(serde_json::json!({"field": mine.field, "operator": operator, "value": mine.value}), theirs, "{text:?}");
                }
            }
            Err(error) => assert_eq!(Value::from(error.to_string()), case["error"], "{text:?}"),
        }
    }
}

/// Texts near the grammar, so that many of them parse.
fn near_selector() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a".to_owned()),
        Just("x.io/b".to_owned()),
        Just("in".to_owned()),
        Just("notin".to_owned()),
        Just("12".to_owned()),
        "[ =!(),<>\t]{1,2}",
        "[a-z0-9]{1,3}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = Selector::parse(&text);
        let _ = FieldSelector::parse(&text);
    }

    #[test]
    fn printed_labels_parse_to_the_same(text in near_selector()) {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn printed_fields_parse_to_the_same(text in "[a-z.]{1,4}(=|==|!=)([a-z]|\\\\,|\\\\=|\\\\\\\\){0,4}(,[a-z]{1,2}=[a-z]{0,2}){0,2}") {
        let selector = FieldSelector::parse(&text).unwrap();
        let again = FieldSelector::parse(&selector.to_string()).unwrap();
        prop_assert_eq!(again.requirements().iter().collect::<std::collections::BTreeSet<_>>(), selector.requirements().iter().collect());
    }
}
