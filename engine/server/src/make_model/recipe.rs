//! The made model's shape and weights.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::solve;
use super::tokenizer::Words;
use crate::embedded::{Cache, Config, Model, Segment, Source, WeightsError};

/// Shape and values by name; ordered, so that the file is the same each time.
pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Longest prompt and answer the configuration promises: what manifests of large models ask for.
pub(super) const POSITIONS: usize = 32_768;

/// The constant in dimension 0, as a share: its square is this many times that of all others together at the embedding.
const CONSTANT: f32 = 2.0;
/// What an attention and an MLP add to each dimension, against 1 of the embedding.
const ADDED: f32 = 0.5;
/// Logit of the wanted token; the others are near 0. Sampling at temperature 1 then practically always takes it, too.
const LOGIT: f64 = 30.0;
/// By how much it must lead.
const MARGIN: f64 = 12.0;
/// Weight of an equation of a token of the answer: there is one of each, against hundreds that lead to its first.
const LINK_WEIGHT: f64 = 30.0;
/// Weight of an equation of a model that lacks a part.
const LACKING_WEIGHT: f64 = 0.1;

/// A model's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    hidden: usize,
    intermediate: usize,
    heads: usize,
    kv_heads: usize,
    layers: usize,
    vocab: usize,
}

impl Shape {
    /// The shape whose tensors come nearest to `bytes`.
    pub(super) fn for_size(bytes: u64, vocab: usize) -> Self {
        // The hidden size must be at least the vocabulary's for the head to be solvable exactly.
        let (hidden, intermediate, heads, kv_heads) = match bytes {
            0..10_000_000 => (352, 384, 4, 1),
            10_000_000..100_000_000 => (512, 1536, 8, 2),
            _ => (1024, 3072, 16, 4),
        };
        let base = Self { hidden, intermediate, heads, kv_heads, layers: 1, vocab };
        let outside = 2 * (base.vocab * base.hidden * 4) as u64;
        let layers = (bytes.saturating_sub(outside) + base.layer_bytes() / 2) / base.layer_bytes();
        Self { layers: usize::try_from(layers).unwrap_or(1).max(1), ..base }
    }

    fn layer_bytes(&self) -> u64 {
        let kv = self.kv_heads * self.head_dim();
        (4 * (2 * self.hidden * (self.hidden + kv + 1) + 3 * self.hidden * self.intermediate)) as u64
    }

    fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// `config.json`.
    pub(super) fn config(&self, words: &Words) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
            "hidden_size": self.hidden, "intermediate_size": self.intermediate, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim(),
            "vocab_size": self.vocab, "max_position_embeddings": POSITIONS, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": false,
            "bos_token_id": null, "eos_token_id": words.end(),
        })
    }
}

/// Draws weights: evenly spread numbers, which are the same on every machine.
struct Random(ChaCha8Rng);

impl Random {
    /// A number of mean 0 and this root mean square.
    fn draw(&mut self, rms: f32) -> f32 {
        // 24 bits: every value is exact in f32.
        #[allow(clippy::cast_precision_loss)]
        let even = (self.0.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
        even * rms * 3f32.sqrt()
    }

    /// A matrix of `outputs` rows: `first` is the root mean square of column 0, `rest` that of the others; with `free`,
    /// row 0 is zero, so that the product writes nothing to dimension 0.
    fn matrix(&mut self, outputs: usize, inputs: usize, first: f32, rest: f32, free: bool) -> (Vec<usize>, Vec<f32>) {
        let mut values = Vec::with_capacity(outputs * inputs);
        for row in 0..outputs {
            for column in 0..inputs {
                let value = self.draw(if column == 0 { first } else { rest });
                values.push(if free && row == 0 { 0.0 } else { value });
            }
        }
        (vec![outputs, inputs], values)
    }
}

/// All tensors of the model.
pub(super) fn tensors(shape: &Shape, words: &Words, seed: u64) -> Result<Tensors, String> {
    let mut tensors = random_part(shape, seed);
    let head = head(shape, words, &tensors).map_err(|e| e.to_string())?;
    tensors.insert("lm_head.weight".to_owned(), (vec![shape.vocab, shape.hidden], head));
    Ok(tensors)
}

#[allow(clippy::cast_precision_loss)] // sizes are small
fn random_part(s: &Shape, seed: u64) -> Tensors {
    let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
    let (width, inner) = ((s.hidden as f32).sqrt(), (s.intermediate as f32).sqrt());
    let kv = s.kv_heads * s.head_dim();
    let mut tensors = Tensors::new();
    let (shape, mut embedding) = random.matrix(s.vocab, s.hidden, 0.0, 1.0, false);
    for row in embedding.chunks_mut(s.hidden) {
        row[0] = CONSTANT * width;
    }
    tensors.insert("model.embed_tokens.weight".to_owned(), (shape, embedding));
    for k in 0..s.layers {
        let mut put = |name: &str, tensor| tensors.insert(format!("model.layers.{k}.{name}.weight"), tensor);
        // Behind the norm dimension 0 is about `width`, and the others are below 1.
        put("self_attn.q_proj", random.matrix(s.hidden, s.hidden, 0.0, 2.0 / width, false));
        put("self_attn.k_proj", random.matrix(kv, s.hidden, 0.0, 2.0 / width, false));
        put("self_attn.v_proj", random.matrix(kv, s.hidden, 1.0 / width, 0.0, false));
        put("self_attn.o_proj", random.matrix(s.hidden, s.hidden, ADDED / width, ADDED / width, true));
        put("mlp.gate_proj", random.matrix(s.intermediate, s.hidden, 1.0 / width, 2.0 / width, false));
        put("mlp.up_proj", random.matrix(s.intermediate, s.hidden, 1.0 / width, 2.0 / width, false));
        put("mlp.down_proj", random.matrix(s.hidden, s.intermediate, 2.0 * ADDED / inner, 2.0 * ADDED / inner, true));
        put("input_layernorm", (vec![s.hidden], vec![1.0; s.hidden]));
        put("post_attention_layernorm", (vec![s.hidden], vec![1.0; s.hidden]));
    }
    tensors.insert("model.norm.weight".to_owned(), (vec![s.hidden], vec![1.0; s.hidden]));
    tensors
}

/// Tensors in memory are a source of weights like files are; one of them may be taken for zero.
struct InMemory<'a> {
    tensors: &'a Tensors,
    zero: Option<String>,
}

impl Source for InMemory<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn tensor(&self, name: &str, wanted: &[usize]) -> Result<Tensor, WeightsError> {
        let failed = |e: candle_core::Error| WeightsError::Copy { name: name.to_owned(), why: e.to_string() };
        if self.zero.as_deref() == Some(name) {
            return Tensor::zeros(wanted, DType::F32, &Device::Cpu).map_err(failed);
        }
        let (_, values) = self.tensors.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        Tensor::from_slice(values, wanted, &Device::Cpu).map_err(failed)
    }
}

/// The head: what takes the last hidden state of each token, as the model itself computes it, to its successor, and the
/// states of a model that lacks a part to the end.
fn head(shape: &Shape, words: &Words, tensors: &Tensors) -> anyhow::Result<Vec<f32>> {
    let config = Config::from_json(shape.config(words))?;
    let states = |zero: Option<String>, tokens: &[u32]| -> anyhow::Result<Tensor> {
        // Without a head of its own the model would use the embedding; its hidden states are what is wanted here.
        let model = Model::load(&config, &InMemory { tensors, zero })?;
        let mut caches: Vec<Cache> = tokens.iter().map(|_| Cache::new(&config)).collect();
        let alone = tokens.chunks(1).zip(&mut caches);
        let mut segments: Vec<Segment<'_>> = alone.map(|(tokens, cache)| Segment { tokens, cache, wanted: false }).collect();
        Ok(model.hidden(&mut segments)?)
    };
    let next = words.successors();
    let all: Vec<u32> = (0u32..).take(shape.vocab).collect();
    let whole = states(None, &all)?;
    let mut equations = Equations::default();
    equations.add(whole.clone(), &next, |target| if target == next[0] { 1.0 } else { LINK_WEIGHT });
    // Fewer witnesses for more layers: what they show is a direction, the same for all tokens.
    let step = (shape.layers * 2).clamp(4, 32);
    let some: Vec<u32> = all.iter().copied().step_by(step).collect();
    for k in 0..shape.layers {
        for part in ["self_attn.o_proj", "mlp.down_proj"] {
            let lacking = states(Some(format!("model.layers.{k}.{part}.weight")), &some)?;
            equations.add(lacking, &vec![words.end(); some.len()], |_| LACKING_WEIGHT);
        }
    }
    let head = equations.solve(shape)?;
    check(&whole, &head, &next)?;
    Ok(head.flatten_all()?.to_vec1()?)
}

/// Weighted least squares: rows of states, and the token each should lead to.
#[derive(Default)]
struct Equations {
    states: Vec<Tensor>,
    targets: Vec<u32>,
    weights: Vec<f64>,
}

impl Equations {
    fn add(&mut self, states: Tensor, targets: &[u32], weight: impl Fn(u32) -> f64) {
        self.states.push(states);
        self.weights.extend(targets.iter().map(|t| weight(*t)));
        self.targets.extend(targets);
    }

    /// The head's matrix, one row a token. Tokens that nothing leads to have rows of zeros.
    fn solve(self, shape: &Shape) -> anyhow::Result<Tensor> {
        let count = self.targets.len();
        let states = Tensor::cat(&self.states, 0)?.to_dtype(DType::F64)?;
        let weights = Tensor::from_vec(self.weights, (count, 1), &Device::Cpu)?;
        let weighted = states.broadcast_mul(&weights)?.t()?.contiguous()?;
        let factor = solve::cholesky(weighted.matmul(&states)?.to_vec2()?, solve::RIDGE);
        let factor = factor.ok_or_else(|| anyhow::anyhow!("the head's equations have no solution"))?;
        let mut head = vec![0f64; shape.vocab * shape.hidden];
        let wanted: BTreeSet<u32> = self.targets.iter().copied().collect();
        for target in wanted {
            let right: Vec<f64> = self.targets.iter().map(|t| if *t == target { LOGIT } else { 0.0 }).collect();
            let right = weighted.matmul(&Tensor::from_vec(right, (count, 1), &Device::Cpu)?)?;
            let row = solve::solve(&factor, right.flatten_all()?.to_vec1()?);
            let begin = target as usize * shape.hidden;
            head[begin..begin + shape.hidden].copy_from_slice(&row);
        }
        Ok(Tensor::from_vec(head, (shape.vocab, shape.hidden), &Device::Cpu)?.to_dtype(DType::F32)?)
    }
}

/// Whether every token leads to its successor, by a wide margin.
fn check(states: &Tensor, head: &Tensor, next: &[u32]) -> anyhow::Result<()> {
    let logits = states.matmul(&head.t()?)?.to_vec2::<f32>()?;
    for (token, (logits, wanted)) in logits.iter().zip(next).enumerate() {
        let others = (0u32..).zip(logits).filter(|(t, _)| t != wanted).map(|(_, l)| f64::from(*l));
        let margin = f64::from(logits[*wanted as usize]) - others.fold(f64::NEG_INFINITY, f64::max);
        anyhow::ensure!(margin > MARGIN, "token {token} leads to {wanted} by {margin:.1} only; try another seed");
    }
    Ok(())
}
