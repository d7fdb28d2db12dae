//! Where in an answer its text is, as users of templates say it: `data.0.text`, `choices[0].message.content`.
//!
//! Of JMESPath it is names and places alone; what more there is in a path is refused by name.

use std::sync::Arc;

use serde_json::Value;

/// A path into an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field(Arc<[Step]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Place(usize),
}

impl Field {
    /// Reads a path.
    ///
    /// # Errors
    /// What is in it that is not built, or nothing.
    pub fn parse(path: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        for part in path.split('.') {
            let (name, places) = part.split_once('[').map_or((part, None), |(name, places)| (name, Some(places)));
            let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            match name.parse::<usize>() {
                Ok(place) => steps.push(Step::Place(place)),
                Err(_) if !name.is_empty() && name.chars().all(plain) => steps.push(Step::Name(name.to_owned())),
                Err(_) if name.is_empty() && places.is_some() => {}
                Err(_) => return Err(format!("{path:?}: {part:?} is no name; only names and places are built, like choices[0].text")),
            }
            for place in places.into_iter().flat_map(|places| places.split('[')) {
                let place = place.strip_suffix(']').and_then(|place| place.parse().ok());
                steps.push(Step::Place(place.ok_or_else(|| format!("{path:?}: a place is a number between brackets, like [0]"))?));
            }
        }
        Ok(Self(steps.into()))
    }

    /// The text that it leads to; numbers and lists of texts are text, too.
    #[must_use]
    pub fn text(&self, answer: &Value) -> Option<String> {
        let found = self.0.iter().try_fold(answer, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Place(place) => value.get(place),
        })?;
        match found {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Array(list) if list.iter().all(Value::is_string) => Some(list.iter().filter_map(Value::as_str).collect()),
            other => Some(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_text() {
        let answer = serde_json::json!({"a": [{"b-c": "x"}, {"b-c": 7}], "l": ["p", "q"], "n": null});
        let text = |path: &str| Field::parse(path).unwrap().text(&answer);
        assert_eq!(text("a[0].b-c").as_deref(), Some("x"));
        assert_eq!(text("a.1.b-c").as_deref(), Some("7"));
        assert_eq!(text("l").as_deref(), Some("pq"));
        assert_eq!((text("n"), text("a[9]"), text("z")), (None, None, None));
        for bad in ["", "a..b", "a[*]", "a[0", "a | b", "length(a)"] {
            assert!(Field::parse(bad).is_err(), "{bad}");
        }
    }
}
