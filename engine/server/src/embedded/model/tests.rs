//! The model against the definition of its architecture, written down once more in plain loops over f64.

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

use super::*;

/// Random weights in memory: grouped queries, biases as in qwen2, an own head.
struct Random {
    values: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

const HIDDEN: usize = 24;
const INNER: usize = 20;
const HEADS: usize = 6;
const KV_HEADS: usize = 2;
const DIM: usize = 4;
const LAYERS: usize = 2;
const VOCAB: usize = 11;

fn config() -> Config {
    Config::from_json(json!({
        "model_type": "qwen2", "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": DIM, "vocab_size": VOCAB,
        "rms_norm_eps": 1e-5, "rope_theta": 100.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}
    }))
    .unwrap()
}

impl Random {
    fn new() -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut values = HashMap::new();
        let mut put = |name: String, shape: &[usize]| {
            let draw = |_| f32::from(random.next_u32().to_le_bytes()[0]) / 256.0 - 0.5;
            values.insert(name, (shape.to_vec(), (0..shape.iter().product()).map(draw).collect()));
        };
        put("model.embed_tokens.weight".into(), &[VOCAB, HIDDEN]);
        put("model.norm.weight".into(), &[HIDDEN]);
        put("lm_head.weight".into(), &[VOCAB, HIDDEN]);
        for k in 0..LAYERS {
            let layer = |name: &str| format!("model.layers.{k}.{name}");
            put(layer("input_layernorm.weight"), &[HIDDEN]);
            put(layer("post_attention_layernorm.weight"), &[HIDDEN]);
            for (name, outputs) in [("q_proj", HEADS * DIM), ("k_proj", KV_HEADS * DIM), ("v_proj", KV_HEADS * DIM)] {
                put(layer(&format!("self_attn.{name}.weight")), &[outputs, HIDDEN]);
                put(layer(&format!("self_attn.{name}.bias")), &[outputs]);
            }
            put(layer("self_attn.o_proj.weight"), &[HIDDEN, HEADS * DIM]);
            put(layer("mlp.gate_proj.weight"), &[INNER, HIDDEN]);
            put(layer("mlp.up_proj.weight"), &[INNER, HIDDEN]);
            put(layer("mlp.down_proj.weight"), &[HIDDEN, INNER]);
        }
        Self { values }
    }

    fn vector(&self, name: &str) -> Vec<f64> {
        self.values[name].1.iter().map(|v| f64::from(*v)).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.vector(&format!("{name}.weight"));
        let mut y: Vec<f64> = weight.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect();
        if self.values.contains_key(&format!("{name}.bias")) {
            y.iter_mut().zip(self.vector(&format!("{name}.bias"))).for_each(|(y, b)| *y += b);
        }
        y
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let rms = (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + 1e-5).sqrt();
        x.iter().zip(self.vector(name)).map(|(x, w)| x / rms * w).collect()
    }
}

impl Source for Random {
    fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn tensor(&self, name: &str, wanted: &[usize]) -> Result<Tensor, WeightsError> {
        let (shape, values) = self.values.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        assert_eq!(shape, wanted, "{name}");
        Ok(Tensor::from_slice(values, wanted, &Device::Cpu).unwrap())
    }
}

/// Frequencies of `config`, from the definition of llama3's scaling by wave lengths.
fn frequency(pair: usize) -> f64 {
    let base = 100f64.powf(-2.0 * pair as f64 / DIM as f64);
    let length = std::f64::consts::TAU / base;
    let (long, short) = (64.0 / 1.0, 64.0 / 4.0);
    if length > long {
        base / 8.0
    } else if length < short {
        base
    } else {
        let smooth = (64.0 / length - 1.0) / (4.0 - 1.0);
        (1.0 - smooth) * base / 8.0 + smooth * base
    }
}

fn turned(head: &[f64], position: usize) -> Vec<f64> {
    let half = DIM / 2;
    (0..DIM)
        .map(|k| {
            let (sine, cosine) = (position as f64 * frequency(k % half)).sin_cos();
            let other = if k < half { -head[k + half] } else { head[k - half] };
            head[k] * cosine + other * sine
        })
        .collect()
}

/// Logits behind the last of `tokens`.
fn reference(w: &Random, tokens: &[u32]) -> Vec<f64> {
    let embedding = w.vector("model.embed_tokens.weight");
    let mut states: Vec<Vec<f64>> = tokens.iter().map(|t| embedding[*t as usize * HIDDEN..(*t as usize + 1) * HIDDEN].to_vec()).collect();
    for k in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{k}.{part}");
        let seen: Vec<Vec<f64>> = states.iter().map(|x| w.norm(&name("input_layernorm.weight"), x)).collect();
        let project = |part: &str| -> Vec<Vec<f64>> { seen.iter().map(|x| w.linear(&name(part), x)).collect() };
        let (q, keys, values) = (project("self_attn.q_proj"), project("self_attn.k_proj"), project("self_attn.v_proj"));
        for at in 0..tokens.len() {
            let mut mixed = Vec::new();
            for head in 0..HEADS {
                let group = head / (HEADS / KV_HEADS);
                let query = turned(&q[at][head * DIM..(head + 1) * DIM], at);
                let scores: Vec<f64> = (0..=at)
                    .map(|past| {
                        let key = turned(&keys[past][group * DIM..(group + 1) * DIM], past);
                        query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() / (DIM as f64).sqrt()
                    })
                    .collect();
                let total: f64 = scores.iter().map(|s| s.exp()).sum();
                for d in 0..DIM {
                    mixed.push((0..=at).map(|past| scores[past].exp() / total * values[past][group * DIM + d]).sum());
                }
            }
            let out = w.linear(&name("self_attn.o_proj"), &mixed);
            states[at].iter_mut().zip(out).for_each(|(x, o)| *x += o);
            let seen = w.norm(&name("post_attention_layernorm.weight"), &states[at]);
            let (gate, up) = (w.linear(&name("mlp.gate_proj"), &seen), w.linear(&name("mlp.up_proj"), &seen));
            let gated: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            let out = w.linear(&name("mlp.down_proj"), &gated);
            states[at].iter_mut().zip(out).for_each(|(x, o)| *x += o);
        }
    }
    w.linear("lm_head", &w.norm("model.norm.weight", states.last().unwrap()))
}

fn near(found: &[f32], wanted: &[f64], what: &str) {
    let worst = found.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(found.len() == wanted.len() && worst < 1e-4, "{what}: off by {worst}");
}

const PROMPTS: [&[u32]; 3] = [&[3, 1, 4, 1, 5, 9, 2, 6], &[10], &[2, 7, 1]];

#[test]
fn prompts_in_one_piece_in_many_and_together_give_what_the_definition_says() {
    let weights = Random::new();
    let config = config();
    let model = Model::load(&config, &weights).unwrap();
    let wanted: Vec<Vec<f64>> = PROMPTS.iter().map(|p| reference(&weights, p)).collect();

    // All in one step.
    let mut caches = vec![Cache::new(&config); PROMPTS.len()];
    let mut segments: Vec<Segment<'_>> =
        PROMPTS.iter().zip(&mut caches).map(|(tokens, cache)| Segment { tokens, cache, wanted: true }).collect();
    let rows = model.step(&mut segments).unwrap().unwrap().to_vec2::<f32>().unwrap();
    for (row, wanted) in rows.iter().zip(&wanted) {
        near(row, wanted, "together");
    }

    // The first in pieces of every size, beside one that decodes.
    for piece in 1..=PROMPTS[0].len() {
        let (mut cache, mut other) = (Cache::new(&config), Cache::new(&config));
        let mut last = None;
        for tokens in PROMPTS[0].chunks(piece) {
            let beside = Segment { tokens: &[4], cache: &mut other, wanted: false };
            let mut segments = [beside, Segment { tokens, cache: &mut cache, wanted: true }];
            last = model.step(&mut segments).unwrap();
        }
        near(&last.unwrap().to_vec2::<f32>().unwrap()[0], &wanted[0], "in pieces");
        assert_eq!(cache.len(), PROMPTS[0].len());
    }
}

#[test]
fn a_cache_that_grows_keeps_what_it_holds() {
    let weights = Random::new();
    let config = config();
    let model = Model::load(&config, &weights).unwrap();
    // Beyond the first capacity of 64 tokens, one by one.
    let tokens: Vec<u32> = (0..70).map(|k| k * 7 % 11).collect();
    let mut cache = Cache::new(&config);
    let mut last = None;
    for token in tokens.chunks(1) {
        last = model.step(&mut [Segment { tokens: token, cache: &mut cache, wanted: true }]).unwrap();
    }
    assert!(cache.capacity() > 64);
    near(&last.unwrap().to_vec2::<f32>().unwrap()[0], &reference(&weights, &tokens), "grown");
}

#[test]
fn nothing_wanted_gives_nothing_and_tensors_are_counted() {
    let config = config();
    let model = Model::load(&config, &Random::new()).unwrap();
    let mut cache = Cache::new(&config);
    assert!(model.step(&mut [Segment { tokens: &[1], cache: &mut cache, wanted: false }]).unwrap().is_none());
    let counted: usize = Random::new().values.values().map(|(_, v)| v.len()).sum();
    assert_eq!(model.bytes(), 4 * counted as u64);
    let mut lacking = Random::new();
    lacking.values.remove("model.norm.weight");
    assert!(matches!(Model::load(&config, &lacking), Err(WeightsError::Missing(name)) if name == "model.norm.weight"));
}
