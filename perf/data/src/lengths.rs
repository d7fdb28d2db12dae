//! How long where both lengths hang together: pairs of them, windows (perf contract 2.9, 3.2).

use rand::{Rng, RngExt as _};
use serde::Deserialize;

use crate::distribution::Length;
use crate::json::{self, Members};
use crate::spec::CorpusStyle;

/// Longer than anything that is meant: more is an error of an option, not a prompt.
const LONGEST: f64 = 1e8;

/// The integer of a number that is one; what cannot be is nought or the longest.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held between nought and a hundred million")]
pub(crate) fn whole(value: f64) -> u64 {
    if value.is_nan() { 0 } else { value.clamp(0.0, LONGEST) as u64 }
}

#[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// As `usize`, which is as wide on every machine that this runs on.
pub(crate) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// As `u64`.
pub(crate) fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Pairs of lengths of prompt and answer, each with its share.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs(Vec<Pair>);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Of the prompt.
    pub isl: Length,
    /// Of the answer.
    pub osl: Length,
    /// Percent.
    pub share: f64,
}

#[derive(Deserialize)]
struct PairsFile {
    pairs: Vec<PairLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairLine {
    isl: f64,
    osl: f64,
    prob: f64,
    #[serde(default)]
    isl_stddev: f64,
    #[serde(default)]
    osl_stddev: f64,
}

impl Pairs {
    /// Of `256,128:40;512,256:60`, with deviations `256|10,128|5:100`, in brackets `[(256,128):100]`, or as JSON.
    ///
    /// # Errors
    /// What is wrong with it; shares that do not add up to a hundred among that.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let pairs = if text.starts_with('{') {
            let file: PairsFile = serde_json::from_str(text).map_err(|e| e.to_string())?;
            file.pairs.iter().map(|p| pair((p.isl, p.isl_stddev), (p.osl, p.osl_stddev), p.prob)).collect::<Result<_, _>>()?
        } else if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("`[` without `]`")?;
            bracketed(inner)?
        } else {
            text.split(';').map(str::trim).filter(|p| !p.is_empty()).map(plain).collect::<Result<_, _>>()?
        };
        Self::of(pairs)
    }

    /// Of these.
    ///
    /// # Errors
    /// When there is none, a share is not between 0 and 100, or all of them do not add up to a hundred.
    pub fn of(pairs: Vec<Pair>) -> Result<Self, String> {
        if pairs.is_empty() {
            return Err("no pairs".to_owned());
        }
        if let Some(pair) = pairs.iter().find(|p| !(0.0..=100.0 + 1e-6).contains(&p.share)) {
            return Err(format!("a share is between 0 and 100, not {}", pair.share));
        }
        let sum: f64 = pairs.iter().map(|p| p.share).sum();
        if (sum - 100.0).abs() > 1e-6f64.max(1e-6 * sum.abs().max(100.0)) {
            return Err(format!("shares must add up to 100, these do to {sum}"));
        }
        Ok(Self(pairs))
    }

    /// All of them.
    #[must_use]
    pub fn pairs(&self) -> &[Pair] {
        &self.0
    }

    /// Lengths of one draw.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> (u64, u64) {
        let mut at = rng.random::<f64>() * 100.0;
        for pair in &self.0 {
            at -= pair.share;
            if at < 0.0 {
                return (pair.isl.integer(rng), pair.osl.integer(rng));
            }
        }
        self.0.iter().rev().find(|p| p.share > 0.0).map_or((1, 1), |p| (p.isl.integer(rng), p.osl.integer(rng)))
    }
}

fn pair(isl: (f64, f64), osl: (f64, f64), share: f64) -> Result<Pair, String> {
    for (mean, stddev) in [isl, osl] {
        if !(1.0..=LONGEST).contains(&mean) {
            return Err(format!("a length must be at least 1, not {mean}"));
        }
        if !(0.0..=LONGEST).contains(&stddev) {
            return Err(format!("a deviation cannot be {stddev}"));
        }
    }
    Ok(Pair { isl: Length::normal(isl.0, isl.1)?, osl: Length::normal(osl.0, osl.1)?, share })
}

/// `256|10,128|5:40`.
fn plain(text: &str) -> Result<Pair, String> {
    let bad = || format!("{text:?} is not ISL,OSL:PERCENT");
    let (lengths, share) = text.rsplit_once(':').ok_or_else(bad)?;
    let (isl, osl) = lengths.split_once(',').ok_or_else(bad)?;
    let number = |t: &str| t.trim().parse::<f64>().map_err(|_| bad());
    let length = |t: &str| match t.split_once('|') {
        Some((mean, stddev)) => Ok::<_, String>((number(mean)?, number(stddev)?)),
        None => Ok((number(t)?, 0.0)),
    };
    pair(length(isl)?, length(osl)?, number(share)?)
}

/// `(256,128):40,(512,256):60`.
fn bracketed(inner: &str) -> Result<Vec<Pair>, String> {
    let mut pairs = Vec::new();
    for piece in inner.split('(').skip(1) {
        let (lengths, share) = piece.split_once(')').ok_or("`(` without `)`")?;
        let share = share.trim().trim_end_matches(',').trim().strip_prefix(':').ok_or("a pair without `:PERCENT`")?;
        pairs.push(plain(&format!("{lengths}:{share}"))?);
    }
    Ok(pairs)
}

/// Uniform windows around the means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeRatio {
    /// Of the prompt.
    pub input: f64,
    /// Of the answer.
    pub output: f64,
}

impl RangeRatio {
    /// Of a number for both, or `{"input":.3,"output":.5}`. A number may begin with its point.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let number = |t: &str| match t.trim().trim_matches('"').parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
            _ => Err(format!("a ratio is between 0 and 1, not {t}")),
        };
        if !text.starts_with('{') {
            let both = number(text)?;
            return Ok(Self { input: both, output: both });
        }
        let (mut input, mut output) = (0.0, 0.0);
        let members = Members::parse(text).or_else(|why| Members::parse(&pointed(text)).map_err(|_| why))?;
        for (name, value) in members.iter() {
            match name {
                "input" => input = number(value)?,
                "output" => output = number(value)?,
                _ => return Err(format!("{} is neither input nor output", json::string(name))),
            }
        }
        Ok(Self { input, output })
    }

    /// The style's windows take these ratios: vLLM's are below 1.
    pub(crate) fn fits(self, style: CorpusStyle) -> Result<(), String> {
        let below = |r: f64| style == CorpusStyle::Sglang || r < 1.0;
        if below(self.input) && below(self.output) { Ok(()) } else { Err("a ratio is below 1".to_owned()) }
    }
}

/// Numbers that begin with their point get a nought.
fn pointed(text: &str) -> String {
    let mut said = String::with_capacity(text.len() + 4);
    let mut before = ' ';
    for c in text.chars() {
        if c == '.' && !before.is_ascii_digit() {
            said.push('0');
        }
        said.push(c);
        before = c;
    }
    said
}

/// The window of a mean, both ends in it.
#[must_use]
pub fn window(mean: u64, ratio: f64, style: CorpusStyle) -> (u64, u64) {
    let m = float(mean);
    let (low, high) = match style {
        CorpusStyle::Vllm => (whole((m * (1.0 - ratio)).floor()), whole((m * (1.0 + ratio)).ceil())),
        CorpusStyle::Sglang => (whole(m * ratio).max(1), mean),
    };
    (low.max(1), high.max(1).max(low))
}

/// One of a window.
pub(crate) fn within((low, high): (u64, u64), rng: &mut impl Rng) -> u64 {
    rng.random_range(low..=high.max(low))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;
    use crate::distribution::Shape;

    fn shares(text: &str) -> Vec<(f64, f64, f64, f64, f64)> {
        let pairs = Pairs::parse(text).unwrap();
        let normal = |length: &Length| match length.shape() {
            Shape::Normal { mean, stddev } => (*mean, *stddev),
            other => panic!("{other:?}"),
        };
        let one = |p: &Pair| (normal(&p.isl).0, normal(&p.isl).1, normal(&p.osl).0, normal(&p.osl).1, p.share);
        pairs.pairs().iter().map(one).collect()
    }

    /// A5.
    #[test]
    fn pairs_of_the_contract() {
        assert_eq!(shares("128,64:25;512,128:75"), [(128.0, 0.0, 64.0, 0.0, 25.0), (512.0, 0.0, 128.0, 0.0, 75.0)]);
        let why = Pairs::parse("128,64:25;512,128:70").unwrap_err();
        assert!(why.contains("95"), "{why}");
        assert!(Pairs::parse("128,64:99.995").is_err());
        assert!(Pairs::parse("128,64:33.3333333;1,1:33.3333333;2,2:33.3333334").is_ok());
    }

    #[test]
    fn all_writings_of_pairs_say_the_same() {
        let same = [(256.0, 10.0, 128.0, 5.0, 40.0), (512.0, 0.0, 256.0, 0.0, 60.0)];
        assert_eq!(shares("256|10,128|5:40;512,256:60"), same);
        assert_eq!(shares(" [(256|10, 128|5):40, (512,256):60] "), same);
        assert_eq!(
            shares(r#"{"pairs":[{"isl":256,"osl":128,"prob":40,"isl_stddev":10,"osl_stddev":5},{"isl":512,"osl":256,"prob":60}]}"#),
            same
        );
        for bad in ["", "x", "1,2", "1:100", "0,1:100", "1,-1:100", "1|nan,1:100", "[(1,2):100", "{}", "[(1,2]:100", "1,2:inf"] {
            assert!(Pairs::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs_come_by_their_shares_and_together() {
        let pairs = Pairs::parse("128,64:25;512,128:75").unwrap();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let drawn: Vec<_> = (0..4000).map(|_| pairs.draw(&mut rng)).collect();
        let small = drawn.iter().filter(|d| **d == (128, 64)).count();
        assert!((850..1150).contains(&small), "{small}");
        assert!(drawn.iter().all(|d| *d == (128, 64) || *d == (512, 128)));
    }

    /// A5.
    #[test]
    fn windows_of_the_contract() {
        assert_eq!(window(100, 0.3, CorpusStyle::Vllm), (70, 130));
        assert_eq!(window(100, 0.3, CorpusStyle::Sglang), (30, 100));
        assert_eq!(window(1, 0.9, CorpusStyle::Vllm), (1, 2));
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let drawn: Vec<_> = (0..2000).map(|_| within((3, 5), &mut rng)).collect();
        assert!([3, 4, 5].iter().all(|v| drawn.contains(v)) && drawn.iter().all(|v| (3..=5).contains(v)));
    }

    #[test]
    fn ratios_are_read() {
        assert_eq!(RangeRatio::parse("0.3").unwrap(), RangeRatio { input: 0.3, output: 0.3 });
        assert_eq!(RangeRatio::parse(r#"{"input":.3,"output":0.5}"#).unwrap(), RangeRatio { input: 0.3, output: 0.5 });
        for bad in ["", "-0.1", "1.5", "nan", r#"{"in":0.3}"#, "{"] {
            assert!(RangeRatio::parse(bad).is_err(), "{bad}");
        }
        assert!(RangeRatio::parse("1").unwrap().fits(CorpusStyle::Vllm).is_err());
        assert!(RangeRatio::parse("1").unwrap().fits(CorpusStyle::Sglang).is_ok());
    }
}
