//! The computation of a Llama-family decoder: RMS norm, rotary positions, grouped-query attention, SwiGLU.
//!
//! One call computes a step for any number of sequences together: their tokens lie below one another as the rows of one
//! matrix, so that the large products (projections, MLP) are done once for all of them; only attention goes sequence by
//! sequence, each against its own cache. A row is one token of a decoding sequence or one of a prompt's many.

use candle_core::{D, Device, Result as Computed, Tensor};

use super::cache::Cache;
use super::config::{Config, RopeScaling};
use super::weights::{Source, WeightsError};

/// The tokens of one sequence in a step.
pub(crate) struct Segment<'a> {
    /// New tokens; at least one.
    pub(crate) tokens: &'a [u32],
    /// What came before them.
    pub(crate) cache: &'a mut Cache,
    /// Whether the logits behind the last of them are wanted.
    pub(crate) wanted: bool,
}

/// `x W^T (+ b)`, with `W` as the files have it: outputs by inputs.
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    fn load(weights: &dyn Source, name: &str, outputs: usize, inputs: usize) -> Result<Self, WeightsError> {
        let bias = format!("{name}.bias");
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: if weights.has(&bias) { Some(weights.tensor(&bias, &[outputs])?) } else { None },
        })
    }

    fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.weight).chain(&self.bias)
    }
}

#[derive(Debug)]
struct Layer {
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    mlp_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The working tensors of a model; dropping it frees them.
#[derive(Debug)]
pub(crate) struct Model {
    config: Config,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    /// Absent when the embedding serves as such.
    head: Option<Linear>,
    /// Angle per position, for each pair of a head.
    frequencies: Vec<f32>,
}

impl Model {
    /// Copies the tensors out of the mapped files.
    pub(crate) fn load(config: &Config, weights: &dyn Source) -> Result<Self, WeightsError> {
        let c = config;
        let (q_width, kv_width) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let layer = |k: usize| -> Result<Layer, WeightsError> {
            let linear = |name: &str, outputs, inputs| Linear::load(weights, &format!("model.layers.{k}.{name}"), outputs, inputs);
            let norm = |name: &str| weights.tensor(&format!("model.layers.{k}.{name}.weight"), &[c.hidden]);
            Ok(Layer {
                attention_norm: norm("input_layernorm")?,
                query: linear("self_attn.q_proj", q_width, c.hidden)?,
                key: linear("self_attn.k_proj", kv_width, c.hidden)?,
                value: linear("self_attn.v_proj", kv_width, c.hidden)?,
                output: linear("self_attn.o_proj", c.hidden, q_width)?,
                mlp_norm: norm("post_attention_layernorm")?,
                gate: linear("mlp.gate_proj", c.intermediate, c.hidden)?,
                up: linear("mlp.up_proj", c.intermediate, c.hidden)?,
                down: linear("mlp.down_proj", c.hidden, c.intermediate)?,
            })
        };
        let tied = c.tied || !weights.has("lm_head.weight");
        Ok(Self {
            embedding: weights.tensor("model.embed_tokens.weight", &[c.vocab, c.hidden])?,
            layers: (0..c.layers).map(layer).collect::<Result<_, _>>()?,
            norm: weights.tensor("model.norm.weight", &[c.hidden])?,
            head: if tied { None } else { Some(Linear::load(weights, "lm_head", c.vocab, c.hidden)?) },
            frequencies: frequencies(c),
            config: config.clone(),
        })
    }

    /// Bytes of the working tensors.
    pub(crate) fn bytes(&self) -> u64 {
        let of_layer = |l: &Layer| -> usize {
            let linears = [&l.query, &l.key, &l.value, &l.output, &l.gate, &l.up, &l.down];
            let linears = linears.into_iter().flat_map(Linear::tensors);
            linears.chain([&l.attention_norm, &l.mlp_norm]).map(Tensor::elem_count).sum()
        };
        let head = self.head.iter().flat_map(Linear::tensors);
        let outside = head.chain([&self.embedding, &self.norm]).map(Tensor::elem_count).sum::<usize>();
        4 * (outside + self.layers.iter().map(of_layer).sum::<usize>()) as u64
    }

    /// One step. Returns the logits of the wanted segments in their order, `[wanted, vocab]`; without any, `None`.
    pub(crate) fn step(&self, segments: &mut [Segment<'_>]) -> Computed<Option<Tensor>> {
        let hidden = self.hidden(segments)?;
        let mut rows = Vec::new();
        let mut end = 0;
        for segment in segments.iter() {
            end += u32::try_from(segment.tokens.len()).map_err(candle_core::Error::wrap)?;
            if segment.wanted {
                rows.push(end - 1);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let rows = Tensor::from_vec(rows.clone(), rows.len(), &Device::Cpu)?;
        let last = hidden.index_select(&rows, 0)?;
        match &self.head {
            Some(head) => head.forward(&last).map(Some),
            None => last.matmul(&self.embedding.t()?).map(Some),
        }
    }

    /// What the last layer's norm makes of every row: what the head sees.
    pub(crate) fn hidden(&self, segments: &mut [Segment<'_>]) -> Computed<Tensor> {
        let tokens: Vec<u32> = segments.iter().flat_map(|s| s.tokens.iter().copied()).collect();
        let count = tokens.len();
        for segment in segments.iter_mut() {
            segment.cache.reserve(segment.tokens.len())?;
        }
        let rotation = self.rotation(segments)?;
        let mut x = self.embedding.index_select(&Tensor::from_vec(tokens, count, &Device::Cpu)?, 0)?;
        for (k, layer) in self.layers.iter().enumerate() {
            let seen = self.rms_norm(&x, &layer.attention_norm)?;
            x = (x + self.attention(k, layer, &seen, segments, &rotation)?)?;
            let seen = self.rms_norm(&x, &layer.mlp_norm)?;
            let gated = (layer.gate.forward(&seen)?.silu()? * layer.up.forward(&seen)?)?;
            x = (x + layer.down.forward(&gated)?)?;
        }
        for segment in segments.iter_mut() {
            segment.cache.advance(segment.tokens.len());
        }
        self.rms_norm(&x, &self.norm)
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor) -> Computed<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + self.config.eps)?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(weight)
    }

    /// Cosines and sines of every row, `[rows, 1, head_dim / 2]` each.
    fn rotation(&self, segments: &[Segment<'_>]) -> Computed<(Tensor, Tensor)> {
        let (mut cosines, mut sines) = (Vec::new(), Vec::new());
        let mut rows = 0;
        for segment in segments {
            for k in 0..segment.tokens.len() {
                #[allow(clippy::cast_precision_loss)] // positions are far below 2^24
                let position = (segment.cache.len() + k) as f32;
                for frequency in &self.frequencies {
                    let (sine, cosine) = (position * frequency).sin_cos();
                    sines.push(sine);
                    cosines.push(cosine);
                }
                rows += 1;
            }
        }
        let shape = (rows, 1, self.frequencies.len());
        Ok((Tensor::from_vec(cosines, shape, &Device::Cpu)?, Tensor::from_vec(sines, shape, &Device::Cpu)?))
    }

    fn attention(
        &self,
        k: usize,
        layer: &Layer,
        x: &Tensor,
        segments: &mut [Segment<'_>],
        rotation: &(Tensor, Tensor),
    ) -> Computed<Tensor> {
        let c = &self.config;
        let rows = x.dim(0)?;
        let query = rotate(&layer.query.forward(x)?.reshape((rows, c.heads, c.head_dim))?, rotation)?;
        let key = rotate(&layer.key.forward(x)?.reshape((rows, c.kv_heads, c.head_dim))?, rotation)?;
        let value = layer.value.forward(x)?.reshape((rows, c.kv_heads, c.head_dim))?;
        let mut mixed = Vec::with_capacity(segments.len());
        let mut begin = 0;
        for segment in segments.iter_mut() {
            let t = segment.tokens.len();
            let of = |all: &Tensor| all.narrow(0, begin, t)?.transpose(0, 1)?.contiguous();
            let (keys, values) = segment.cache.append(k, &of(&key)?, &of(&value)?)?;
            mixed.push(self.attend(&of(&query)?, &keys, &values)?);
            begin += t;
        }
        let mixed = if mixed.len() == 1 { mixed.swap_remove(0) } else { Tensor::cat(&mixed, 0)? };
        layer.output.forward(&mixed)
    }

    /// Attention of one sequence: queries `[heads, t, d]` over keys and values `[kv_heads, all, d]`, of which the last `t`
    /// are the queries' own. Returns `[t, heads * d]`.
    fn attend(&self, query: &Tensor, keys: &Tensor, values: &Tensor) -> Computed<Tensor> {
        let c = &self.config;
        let (t, all) = (query.dim(1)?, keys.dim(1)?);
        // The heads of a group share keys and values: their queries are rows of one matrix.
        let grouped = query.reshape((c.kv_heads, c.heads / c.kv_heads * t, c.head_dim))?;
        #[allow(clippy::cast_precision_loss)]
        let scale = 1.0 / (c.head_dim as f64).sqrt();
        let mut scores = (grouped.matmul(&keys.transpose(1, 2)?)? * scale)?;
        if t > 1 {
            let mask: Vec<f32> =
                (0..t).flat_map(|row| (0..all).map(move |at| if at > all - t + row { f32::NEG_INFINITY } else { 0.0 })).collect();
            let mask = Tensor::from_vec(mask, (1, t, all), &Device::Cpu)?;
            scores = scores.reshape((c.heads, t, all))?.broadcast_add(&mask)?.reshape(scores.shape())?;
        }
        let highest = scores.max_keepdim(D::Minus1)?;
        let weights = scores.broadcast_sub(&highest)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let mixed = weights.matmul(values)?.reshape((c.heads, t, c.head_dim))?;
        mixed.transpose(0, 1)?.reshape((t, c.heads * c.head_dim))
    }
}

/// Turns each pair (k, k + d/2) of a head by its row's angle, as Hugging Face's files expect it.
fn rotate(x: &Tensor, (cosine, sine): &(Tensor, Tensor)) -> Computed<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let first = (a.broadcast_mul(cosine)? - b.broadcast_mul(sine)?)?;
    let second = (b.broadcast_mul(cosine)? + a.broadcast_mul(sine)?)?;
    Tensor::cat(&[first, second], D::Minus1)
}

/// Angle per position for each pair of a head.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // small whole numbers; f32 is what is computed in
fn frequencies(config: &Config) -> Vec<f32> {
    (0..config.head_dim / 2)
        .map(|k| {
            let base = config.rope_theta.powf(-((2 * k) as f64) / config.head_dim as f64);
            let scaled = match config.rope_scaling {
                RopeScaling::None => base,
                RopeScaling::Linear { factor } => base / factor,
                RopeScaling::Llama3 { factor, low, high, original } => {
                    // Long waves are stretched, short ones kept, those between mixed.
                    let turns = original * base / std::f64::consts::TAU;
                    let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    keep * base + (1.0 - keep) * base / factor
                }
            };
            scaled as f32
        })
        .collect()
}

#[cfg(test)]
mod tests;
