//! Keys and values of one sequence, which grow with it.

use candle_core::{DType, Device, Result, Tensor};

use super::config::Config;

/// Capacity grows in steps of at least this many tokens.
const STEP: usize = 64;

#[derive(Clone, Debug)]
struct LayerCache {
    /// Both `[kv_heads, capacity, head_dim]`.
    keys: Tensor,
    values: Tensor,
}

/// Keys and values of one sequence; all layers have the same length between two steps.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    layers: Vec<Option<LayerCache>>,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    len: usize,
}

impl Cache {
    pub(crate) fn new(config: &Config) -> Self {
        Self { layers: vec![None; config.layers], kv_heads: config.kv_heads, head_dim: config.head_dim, capacity: 0, len: 0 }
    }

    /// Bytes that one token takes.
    pub(crate) fn bytes_per_token(config: &Config) -> u64 {
        2 * 4 * (config.layers * config.kv_heads * config.head_dim) as u64
    }

    /// Tokens in the cache.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Tokens there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `more` tokens in every layer.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<()> {
        let needed = self.len + more;
        if needed <= self.capacity {
            return Ok(());
        }
        // By half more each time: the cost of copying stays proportional to the length.
        let capacity = needed.max(self.capacity + self.capacity / 2).next_multiple_of(STEP);
        let shape = (self.kv_heads, capacity, self.head_dim);
        for layer in &mut self.layers {
            let fresh = LayerCache {
                keys: Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
                values: Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            };
            if let Some(old) = layer.take().filter(|_| self.len > 0) {
                fresh.keys.slice_set(&old.keys.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
                fresh.values.slice_set(&old.values.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
            }
            *layer = Some(fresh);
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Adds keys and values (`[kv_heads, t, head_dim]`, contiguous) to a layer and returns all of it so far. The length
    /// rises by [`Self::advance`], when every layer has them.
    pub(crate) fn append(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let more = keys.dim(1)?;
        let Some(Some(cache)) = self.layers.get(layer) else {
            candle_core::bail!("no room was made in layer {layer}");
        };
        cache.keys.slice_set(keys, 1, self.len)?;
        cache.values.slice_set(values, 1, self.len)?;
        let len = self.len + more;
        Ok((cache.keys.narrow(1, 0, len)?, cache.values.narrow(1, 0, len)?))
    }

    pub(crate) fn advance(&mut self, by: usize) {
        self.len += by;
    }
}
