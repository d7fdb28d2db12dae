//! JSONPath: the recorded answers of Kubernetes, printer columns, and that nothing makes it stumble.

use dormouse_machinery::jsonpath::{Found, Template};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{self, Shape};

/// The document and each template of a recording.
fn templates(file: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    file["cases"]["templates"].as_array().unwrap().iter().map(|case| (&file["cases"]["document"], case))
}

#[test]
fn as_recorded() {
    for (document, case) in golden::of(Shape::JsonPath).iter().flat_map(templates) {
        let text = case["template"].as_str().unwrap();
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                assert_eq!(case["parse_error"], error.to_string(), "{text}");
                continue;
            }
        };
        assert_eq!(case["parse_error"], Value::Null, "{text}");
        match template.render(document, case["allow_missing_keys"].as_bool().unwrap()) {
            Ok(output) => assert_eq!(case["output"], output, "{text}"),
            Err(error) => assert_eq!(case["error"], error.to_string(), "{text}"),
        }
    }
}

#[test]
fn columns_of_recorded_definitions() {
    golden::follow(|_, step| {
        let versions = step["request"]["body"]["spec"]["versions"].as_array();
        for column in versions.into_iter().flatten().flat_map(|v| v["additionalPrinterColumns"].as_array().into_iter().flatten()) {
            let path = column["jsonPath"].as_str().unwrap();
            assert!(step["status"] != 201 || Template::column(path).is_ok(), "{path}");
        }
    });
    let object = json!({"spec": {"size": 3, "color": "red"}, "status": {"conditions": [{"type": "Other"}, {"type": "Ready", "status": "True"}]}, "metadata": {}});
    for (path, cell) in [
        (".spec.size", Some("3")),
        (".spec.color", Some("red")),
        (".status.conditions[?(@.type==\"Ready\")].status", Some("True")),
        (".metadata.creationTimestamp", None),
    ] {
        let found = Template::column(path).unwrap().first(&object).map(|found| found.text());
        assert_eq!(found.as_deref(), cell, "{path}");
    }
}

fn render(template: &str, document: &Value) -> Result<String, String> {
    Template::parse(template).and_then(|t| t.render(document, true)).map_err(|e| e.to_string())
}

#[test]
fn ranges() {
    let document = json!({"a": [{"n": 1, "b": ["x", "y"]}, {"n": 2, "b": []}], "none": []});
    assert_eq!(render("{range .a[*]}{.n}:{range .b[*]}{@},{end};{end}.", &document).unwrap(), "1:x,y,;2:;.");
    assert_eq!(render("{range .none[*]}{range .a[*]}{.n}{end}{end}after", &document).unwrap(), "after");
    assert_eq!(render("{range .a[*]}{.n}", &document).unwrap(), "12");
    assert_eq!(render("{end}", &document), Err("not in range, nothing to end".into()));
    assert_eq!(render("{bogus}", &document), Err("unrecognized identifier bogus".into()));
}

#[test]
fn filters_and_literals() {
    let document = json!({"l": [{"s": "a)b", "f": 1.5, "t": true}, {"s": "c", "f": 2.5}]});
    assert_eq!(render("{.l[?(@.s=='a)b')].f}", &document).unwrap(), "1.5");
    assert_eq!(render("{.l[?(@.f>2.0)].s}", &document).unwrap(), "c");
    assert_eq!(render("{.l[?(@.t==true)].s}", &document).unwrap(), "a)b");
    assert_eq!(render("{.l[?(@.s=~'^c$')].f}", &document).unwrap(), "2.5");
    assert_eq!(render("{.l[?(@.f<>2.0)].s}", &document), Err("unrecognized filter operator <>".into()));
    assert_eq!(render("{\"\\u00e9\\x41\\101\\t\"}{'it\\'s'}", &document).unwrap(), "éAA\tit's");
    assert_eq!(render("{\"\\q\"}", &document), Err("unquote string \"\\q\" error invalid syntax".into()));
    assert_eq!(render("{.l[0:9]}", &document), Err("array index out of bounds: index 8, length 2".into()));
    assert_eq!(render("{.l.x[0]}{.l[0].s[0]}", &document), Err("string is not array or slice".into()));
    assert_eq!(render("{#}", &document), Err("unrecognized character in action: U+0023 '#'".into()));
}

#[test]
fn typed_results() {
    let document = json!({"spec": {"replicas": 3}});
    let template = Template::column(".spec.replicas").unwrap();
    assert_eq!(template.first(&document), Some(Found::Value(&json!(3))));
}

#[test]
fn nesting_is_bounded() {
    assert!(Template::parse(&"{.a[?(@".repeat(5_000)).is_err());
    assert!(Template::parse(&format!("{{{}", ".a".repeat(40_000))).is_err());
    let mut key = String::from("a");
    for _ in 0..100 {
        key = format!("x[?(@.{key})]");
    }
    assert!(Template::parse(&format!("{{.{key}}}")).is_err());
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = render(&text, &json!({"a": [1, {"b": "c"}]}));
    }

    #[test]
    fn text_near_the_grammar_is_answered(text in "(\\{|\\}|\\.|\\.\\.|a|b|\\[|\\]|\\[\\?\\(|\\)|\\)\\]|@|\\$|=|==|>|'|\"|\\\\|,|:|-?[0-9]|\\*|range |end| |true){0,24}") {
        let document = json!({"a": [{"a": 1, "b": [true, null, "x"]}, {"b": {"a": 2.5}}], "b": "s"});
        for text in [text.clone(), format!("{{{text}}}"), format!("{{range .a[*]}}{{{text}}}{{end}}")] {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.render(&document, true);
                let _ = template.render(&document, false);
            }
        }
    }
}
