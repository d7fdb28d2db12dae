//! Lengths, counts and delays as they stand in a document: a number, or an object whose members say how it is spread.

use std::fmt;

use dormouse_perf_data::lengths::{Pair, Pairs};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::name;

/// One of them, before it is known whether its members go together: what it lacks hangs on where it stands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct Length {
    pub r#type: Option<String>,
    pub value: Option<f64>,
    pub mean: Option<f64>,
    pub stddev: Option<f64>,
    pub median: Option<f64>,
    pub peaks: Option<Vec<Self>>,
    pub points: Option<Vec<Point>>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// In peaks: how often.
    pub weight: Option<f64>,
    /// In peaks: what else would stand beside the weight.
    pub distribution: Option<Box<Self>>,
}

/// A value, and how often it comes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    pub value: f64,
    #[serde(default = "once")]
    pub weight: f64,
}

fn once() -> f64 {
    1.0
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length: a number, {mean, stddev}, {mean, median}, {peaks} or {points}")
            }

            fn visit_f64<E>(self, mean: f64) -> Result<Length, E> {
                Ok(Length { mean: Some(mean), ..Length::default() })
            }

            #[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
            fn visit_u64<E: Error>(self, mean: u64) -> Result<Length, E> {
                self.visit_f64(mean as f64)
            }

            #[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
            fn visit_i64<E: Error>(self, mean: i64) -> Result<Length, E> {
                self.visit_f64(mean as f64)
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Length, A::Error> {
                Length::deserialize(MapAccessDeserializer::new(members))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

/// Each kind by the peer's name for it, and the members that are its own. Where no name is given, the first kind is meant of which
/// the first member is.
const KINDS: [(&str, &[&str]); 5] = [
    ("multimodal", &["peaks"]),
    ("empirical", &["points"]),
    ("lognormal", &["median", "mean"]),
    ("fixed", &["value"]),
    ("normal", &["mean", "stddev"]),
];

impl Length {
    /// The distribution. Where the mean of a normal one is not given it is `usual`.
    ///
    /// # Errors
    /// Members that do not go together, one that is missing, values that make no sense.
    pub fn resolve(&self, usual: Option<f64>) -> Result<dormouse_perf_data::Length, String> {
        for (name, given) in [("weight", self.weight.is_some()), ("distribution", self.distribution.is_some())] {
            if given {
                return Err(format!("{name} stands only within peaks"));
            }
        }
        let (kind, own) = self.kind()?;
        if let Some(other) = self.given().find(|name| !own.contains(name)) {
            return Err(format!("{other} does not go with the rest: {kind} has {}, min and max", own.join(", ")));
        }
        let need = |name: &str, given: Option<f64>| given.ok_or_else(|| format!("{name} is missing: {kind} has {}", own.join(" and ")));
        let length = match kind {
            "multimodal" => {
                let peaks = self.peaks.iter().flatten().enumerate();
                let peaks = peaks.map(|(at, peak)| peak.peak().map_err(|why| format!("peaks[{at}]: {why}")));
                dormouse_perf_data::Length::peaks(peaks.collect::<Result<_, _>>()?)
            }
            "empirical" => {
                dormouse_perf_data::Length::points(self.points.iter().flatten().map(|point| (point.value, point.weight)).collect())
            }
            "lognormal" => dormouse_perf_data::Length::log_normal(need("mean", self.mean)?, need("median", self.median)?),
            "fixed" => dormouse_perf_data::Length::normal(need("value", self.value)?, 0.0),
            _ => dormouse_perf_data::Length::normal(need("mean", self.mean.or(usual))?, self.stddev.unwrap_or(0.0)),
        };
        length?.within(self.min, self.max)
    }

    /// Nothing says how long: there is at most a deviation.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self { stddev: self.stddev, ..Self::default() }
    }

    fn given(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("peaks", self.peaks.is_some()),
            ("points", self.points.is_some()),
            ("median", self.median.is_some()),
            ("value", self.value.is_some()),
            ("mean", self.mean.is_some()),
            ("stddev", self.stddev.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name)
    }

    fn kind(&self) -> Result<(&'static str, &'static [&'static str]), String> {
        let found = match self.r#type.as_deref().map(name) {
            Some(asked) => KINDS.into_iter().find(|(kind, _)| *kind == asked),
            None => KINDS.into_iter().find(|(_, own)| self.given().any(|name| name == own[0])).or(KINDS.last().copied()),
        };
        let known = || KINDS.map(|(kind, _)| kind).join(", ");
        found.ok_or_else(|| format!("type {:?} is none of {}", self.r#type.as_deref().unwrap_or_default(), known()))
    }

    fn peak(&self) -> Result<(dormouse_perf_data::Length, f64), String> {
        let inner = match &self.distribution {
            Some(inner) if (Self { weight: None, distribution: None, ..self.clone() }) == Self::default() => (**inner).clone(),
            Some(_) => return Err("beside distribution stands nothing but weight".to_owned()),
            None => Self { weight: None, ..self.clone() },
        };
        Ok((inner.resolve(None)?, self.weight.unwrap_or(1.0)))
    }
}

/// Pairs of lengths: as text, as the option has it, or one by one.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceDistribution {
    Text(String),
    List(Vec<Sequence>),
}

/// Lengths of prompt and answer that belong together.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    pub isl: Length,
    pub osl: Length,
    /// Percent.
    pub probability: f64,
    #[serde(default)]
    pub isl_stddev: Option<f64>,
    #[serde(default)]
    pub osl_stddev: Option<f64>,
}

impl<'de> Deserialize<'de> for SequenceDistribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = SequenceDistribution;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pairs of lengths: text like 256,128:40;512,256:60, or a list of {isl, osl, probability}")
            }

            fn visit_str<E>(self, text: &str) -> Result<SequenceDistribution, E> {
                Ok(SequenceDistribution::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<SequenceDistribution, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(SequenceDistribution::List)
            }
        }
        deserializer.deserialize_any(Of)
    }
}

impl SequenceDistribution {
    /// The pairs.
    ///
    /// # Errors
    /// What is wrong with one of them, or with all of them together.
    pub fn resolve(&self) -> Result<Pairs, String> {
        match self {
            Self::Text(text) => Pairs::parse(text),
            Self::List(list) => Pairs::of(
                list.iter()
                    .enumerate()
                    .map(|(at, pair)| pair.resolve().map_err(|why| format!("[{at}].{why}")))
                    .collect::<Result<_, _>>()?,
            ),
        }
    }
}

impl Sequence {
    fn resolve(&self) -> Result<Pair, String> {
        let one = |name: &str, length: &Length, stddev: Option<f64>| {
            let short = Length { mean: length.mean, ..Length::default() };
            let length = match stddev {
                Some(_) if *length != short => return Err(format!("{name}_stddev: it goes with a number only")),
                Some(stddev) => Length { stddev: Some(stddev), ..short },
                None => length.clone(),
            };
            length.resolve(None).map_err(|why| format!("{name}: {why}"))
        };
        Ok(Pair { isl: one("isl", &self.isl, self.isl_stddev)?, osl: one("osl", &self.osl, self.osl_stddev)?, share: self.probability })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, plan};

    type Made = dormouse_perf_data::Length;

    fn read(json: &str) -> Result<Made, String> {
        serde_json::from_str::<Length>(json).map_err(|why| why.to_string())?.resolve(Some(550.0))
    }

    #[test]
    fn every_form_is_read() {
        let normal = |mean, stddev| Made::normal(mean, stddev).unwrap();
        let mixed = || Made::peaks(vec![(normal(128.0, 20.0), 60.0), (Made::log_normal(2048.0, 1800.0).unwrap(), 1.0)]).unwrap();
        for (json, want) in [
            ("512", Made::of(512.0)),
            ("0.5", Made::of(0.5)),
            (r#"{"value": 512}"#, Made::of(512.0)),
            (r#"{"type": "fixed", "value": 512}"#, Made::of(512.0)),
            (r#"{"mean": 512}"#, Made::of(512.0)),
            (r#"{"mean": 512, "stddev": 50}"#, normal(512.0, 50.0)),
            (r#"{"stddev": 50}"#, normal(550.0, 50.0)),
            (r#"{"type": "Normal", "mean": 9}"#, Made::of(9.0)),
            (r#"{"mean": 512, "median": 400}"#, Made::log_normal(512.0, 400.0).unwrap()),
            (r#"{"peaks": [{"mean": 128, "stddev": 20, "weight": 60}, {"mean": 2048, "median": 1800}]}"#, mixed()),
            (r#"{"peaks": [{"distribution": {"mean": 128, "stddev": 20}, "weight": 60}, {"mean": 2048, "median": 1800}]}"#, mixed()),
            (r#"{"points": [{"value": 1, "weight": 4}, {"value": 2}]}"#, Made::points(vec![(1.0, 4.0), (2.0, 1.0)]).unwrap()),
            (r#"{"mean": 5, "stddev": 1, "min": 3, "max": 7}"#, normal(5.0, 1.0).within(Some(3.0), Some(7.0)).unwrap()),
            (r#"{"value": 5, "max": 4}"#, Made::of(5.0).within(None, Some(4.0)).unwrap()),
        ] {
            assert_eq!(read(json).unwrap(), want, "{json}");
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, parts) in [
            (r#""long""#, &["expected a length", "{mean, median}"][..]),
            (r#"{"peeks": []}"#, &["unknown field `peeks`", "`peaks`"]),
            (r#"{"mean": 3, "median": 4}"#, &["median must be at most the mean, 3"]),
            (r#"{"mean": 3, "median": 0}"#, &["median must be above 0"]),
            (r#"{"median": 4}"#, &["mean is missing: lognormal has median and mean"]),
            (r#"{"mean": 3, "median": 2, "stddev": 1}"#, &["stddev does not go with the rest: lognormal has median, mean, min and max"]),
            (r#"{"peaks": [3, 4], "mean": 3}"#, &["mean does not go with the rest: multimodal has peaks, min and max"]),
            (r#"{"peaks": [{"mean": 3}]}"#, &["peaks must be two or more"]),
            (r#"{"peaks": [{"mean": 3}, {"stddev": 3}]}"#, &["peaks[1]: mean is missing"]),
            (r#"{"peaks": [3, {"peaks": [4, {"mean": 3, "median": 4}]}]}"#, &["peaks[1]: peaks[1]: median"]),
            (r#"{"peaks": [3, {"mean": 3, "weight": -1}]}"#, &["peaks: a weight"]),
            (r#"{"peaks": [3, {"distribution": 3, "mean": 3}]}"#, &["peaks[1]: beside distribution"]),
            (r#"{"mean": 3, "weight": 1}"#, &["weight stands only within peaks"]),
            (r#"{"points": []}"#, &["points must be one or more"]),
            (r#"{"points": [{"value": 1, "weight": 0}]}"#, &["points: the sum of all weights"]),
            (r#"{"points": [{"value": 1, "wait": 0}]}"#, &["unknown field `wait`", "`weight`"]),
            (r#"{"mean": 3, "min": 3, "max": 2}"#, &["min must be at most max, 2"]),
            (r#"{"mean": -3}"#, &["a mean is a number of 0 or more"]),
            (r#"{"type": "zipf", "mean": 3}"#, &["type \"zipf\" is none of multimodal, empirical, lognormal, fixed, normal"]),
            (r#"{"type": "fixed", "mean": 3}"#, &["mean does not go with the rest: fixed has value"]),
        ] {
            let error = read(json).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{json}: {error}");
        }
    }

    fn spec(dataset: &str) -> Result<dormouse_perf_data::Spec, String> {
        let text = format!(r#"{{"benchmark":{{"dataset":{dataset}}}}}"#);
        let config = Config::read(&serde_json::from_str(&text).unwrap()).map_err(|why| why.to_string())?;
        let endpoint = dormouse_perf_data::EndpointType::parse("cohere_rankings").unwrap();
        plan::data(&config, endpoint, None).map_err(|why| why.to_string())
    }

    #[test]
    fn every_place_takes_them_and_is_named_where_one_is_wrong() {
        let want = Made::log_normal(9.0, 4.0).unwrap();
        type Of = fn(dormouse_perf_data::Spec) -> Option<Made>;
        let places: [(&str, &str, Of); 9] = [
            ("prompts", "isl", |spec| Some(spec.isl)),
            ("prompts", "osl", |spec| spec.osl),
            ("", "turns", |spec| Some(spec.turns)),
            ("", "turn_delay", |spec| Some(spec.delay)),
            ("images", "width", |spec| Some(spec.images?.width)),
            ("images", "height", |spec| Some(spec.images?.height)),
            ("rankings", "passages", |spec| Some(spec.rankings?.passages)),
            ("rankings", "passage_tokens", |spec| Some(spec.rankings?.passage)),
            ("rankings", "query_tokens", |spec| Some(spec.rankings?.query)),
        ];
        for (within, name, of) in places {
            let dataset = |length: &str| match within {
                "" => format!(r#"{{"{name}":{length}}}"#),
                "images" => format!(r#"{{"images":{{"width":7,"height":7,"{name}":{length}}}}}"#).replace(&format!(r#""{name}":7,"#), ""),
                _ => format!(r#"{{"{within}":{{"{name}":{length}}}}}"#),
            };
            let place = [within, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
            assert_eq!(of(spec(&dataset(r#"{"mean":9,"median":4}"#)).unwrap()).as_ref(), Some(&want), "{place}");
            let error = spec(&dataset(r#"{"mean":4,"median":9}"#)).unwrap_err();
            assert!(error.contains(&format!("{place}: median")), "{error}");
        }
        assert_eq!(spec(r#"{"prompts":{"osl":{"stddev":3}}}"#).unwrap().osl, None);
        assert!(spec(r#"{"prompts":{"osl":{"max":3}}}"#).unwrap_err().contains("prompts.osl: mean is missing"));
    }

    #[test]
    fn pairs_are_text_or_a_list() {
        let pairs = |json: &str| spec(&format!(r#"{{"prompts":{{"sequence_distribution":{json}}}}}"#)).map(|spec| spec.seq_dist.unwrap());
        let list = pairs(
            r#"[{"isl":128,"isl_stddev":5,"osl":64,"probability":40},{"isl":{"mean":512,"median":400},"osl":{"mean":9,"stddev":1},"probability":60}]"#,
        );
        let want =
            [(Made::normal(128.0, 5.0), Made::normal(64.0, 0.0), 40.0), (Made::log_normal(512.0, 400.0), Made::normal(9.0, 1.0), 60.0)];
        let want = want.map(|(isl, osl, share)| Pair { isl: isl.unwrap(), osl: osl.unwrap(), share });
        assert_eq!(list.unwrap().pairs(), want);
        assert_eq!(pairs(r#""128,64:25;512,128:75""#).unwrap().pairs().len(), 2);
        for (json, why) in [
            (r#"[{"isl":1,"osl":2,"probability":99}]"#, "add up to 100"),
            (r#"[{"isl":1,"osl":2,"probability":-1}]"#, "between 0 and 100"),
            ("[]", "no pairs"),
            (r#"[{"isl":1,"osl":{"peaks":[]},"probability":100}]"#, "[0].osl: peaks must be two"),
            (r#"[{"isl":{"median":3,"mean":4},"isl_stddev":1,"osl":2,"probability":100}]"#, "[0].isl_stddev"),
            ("7", "a list of {isl, osl, probability}"),
        ] {
            let error = pairs(json).unwrap_err();
            assert!(error.contains(why), "{json}: {error}");
        }
    }
}
