//! Quantities: the recorded answers of Kubernetes, and the laws of numbers.

use dormouse_machinery::quantity::{Format, Quantity};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::golden::{self, Shape};

fn format_name(format: Format) -> &'static str {
    match format {
        Format::DecimalSI => "DecimalSI",
        Format::BinarySI => "BinarySI",
        Format::DecimalExponent => "DecimalExponent",
    }
}

fn cases(part: &str) -> Vec<Value> {
    golden::of(Shape::Quantities).iter().flat_map(|file| file["cases"][part].as_array().unwrap().clone()).collect()
}

#[test]
fn parsed_as_recorded() {
    for case in &cases("parse") {
        let text = case["input"].as_str().unwrap();
        match text.parse::<Quantity>() {
            Ok(quantity) => {
                let mine = json!({
                    "input": text,
                    "canonical": quantity.to_string(),
                    "format": format_name(quantity.format()),
                    "is_zero": quantity.is_zero(),
                    "value": quantity.value(),
                    "milli_value": quantity.milli_value(),
                });
                assert_eq!(&mine, case);
            }
            Err(error) => assert_eq!(Value::from(error.to_string()), case["error"], "{text:?}"),
        }
    }
}

#[test]
fn arithmetic_as_recorded() {
    for case in &cases("arithmetic") {
        let side = |name: &str| case[name].as_str().unwrap().parse::<Quantity>().unwrap();
        let (a, b) = (side("a"), side("b"));
        let mine = json!({
            "a": case["a"],
            "b": case["b"],
            "add": a.add(&b).to_string(),
            "sub": a.sub(&b).to_string(),
            "cmp": a.cmp(&b) as i64,
        });
        assert_eq!(&mine, case);
    }
}

/// Quantities as they occur: up to twelve digits, any suffix.
fn quantity() -> impl Strategy<Value = Quantity> {
    "-?[0-9]{1,8}(\\.[0-9]{1,4})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]|)".prop_map(|text| text.parse().unwrap())
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = text.parse::<Quantity>();
    }

    #[test]
    fn text_near_the_grammar_is_answered(text in "[+-]?[0-9]{0,30}\\.?[0-9]{0,50}[eEinumkKMGTP]{0,3}[+-]?[0-9]{0,12}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            let (_, _) = (quantity.value(), quantity.milli_value());
            let again: Quantity = quantity.to_string().parse().unwrap();
            prop_assert_eq!(again, quantity);
        }
    }

    #[test]
    fn order_is_total(a in quantity(), b in quantity(), c in quantity()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn subtraction_undoes_addition(a in quantity(), b in quantity()) {
        prop_assert_eq!(&a.add(&b).sub(&b), &a);
        prop_assert_eq!(a.add(&b), b.add(&a));
        prop_assert!(a.sub(&a).is_zero());
        prop_assert_eq!(a.sub(&b), b.sub(&a).neg());
    }

    #[test]
    fn order_agrees_with_the_difference(a in quantity(), b in quantity()) {
        prop_assert_eq!(a.cmp(&b) as i32, a.sub(&b).sign());
    }
}
