//! Names: the recorded messages of Kubernetes.

use dormouse_machinery::names;
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{self, Shape};

type Rule = fn(&str) -> Vec<String>;
const RULES: [(&str, Rule); 8] = [
    ("config_map_key", names::config_map_key),
    ("dns1035_label", names::dns1035_label),
    ("dns1123_label", names::dns1123_label),
    ("dns1123_subdomain", names::dns1123_subdomain),
    ("env_var_name", names::env_var_name),
    ("label_value", names::label_value),
    ("port_name", names::port_name),
    ("qualified_name", names::qualified_name),
];

#[test]
fn as_recorded() {
    for case in &golden::cases(Shape::Names) {
        let known = |column: &String| column == "value" || RULES.iter().any(|(rule, _)| rule == column);
        assert!(case.as_object().unwrap().keys().all(known), "a rule that nobody checks: {case}");
        let value = case["value"].as_str().unwrap();
        for (rule, check) in RULES {
            let messages = check(value);
            let messages = if messages.is_empty() { Value::Null } else { messages.into() };
            assert_eq!(messages, case[rule], "{rule} of {value:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        for (_, check) in RULES {
            let _ = check(&text);
        }
    }

    #[test]
    fn generated_names_are_as_good_as_their_base(base in "[a-z]([-a-z0-9]{0,70}[a-z0-9])?-?", seed in any::<u32>()) {
        let mut n = seed;
        let name = names::generate_name(&base, &mut || { n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); n >> 8 });
        prop_assert_eq!(names::dns1123_label(&name), Vec::<String>::new());
        prop_assert!(name.len() <= 63);
    }
}
