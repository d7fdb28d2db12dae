//! The mapped weight files of a model, and copies of single tensors out of them.
//!
//! Tensors become f32 whatever the file has: the CPU's matrix kernels are fastest with it, and answers do not depend on
//! the file's type more than they must.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::config::{self, ConfigError};
use super::map::Mapped;

/// Why a tensor cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WeightsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("model folder {0} has neither model.safetensors nor model.safetensors.index.json")]
    None(String),
    #[error("cannot map {path}: {source}")]
    Map { path: String, source: std::io::Error },
    #[error("{path} is no safetensors file: {why}")]
    Format { path: String, why: String },
    #[error("the model's files have no tensor {0:?}")]
    Missing(String),
    #[error("tensor {name:?} has shape {found:?}, config.json makes it {wanted:?}")]
    Shape { name: String, found: Vec<usize>, wanted: Vec<usize> },
    #[error("tensor {name:?} has type {found:?}; F32, F16 and BF16 are understood")]
    Type { name: String, found: Dtype },
    #[error("tensor {name:?}: {why}")]
    Copy { name: String, why: String },
}

/// Where in which file a tensor lies.
#[derive(Clone, Debug)]
struct Place {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    begin: usize,
    end: usize,
}

/// Mapped files.
#[derive(Debug)]
pub(crate) struct Weights {
    files: Vec<Mapped>,
    places: HashMap<String, Place>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

/// The weight files of a folder: one, or those that the index names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let path = folder.join("model.safetensors.index.json");
    let Some(index) = config::read_json::<Index>(&path)? else {
        return Err(WeightsError::None(folder.display().to_string()));
    };
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    // The index is outside input: it may name files of this folder only.
    if let Some(name) = names.iter().find(|n| n.contains('/') || n.starts_with('.')) {
        let why = format!("weight_map names {name:?}, which is no file of this folder");
        return Err(ConfigError::Malformed { path, why }.into());
    }
    Ok(names.into_iter().map(|n| folder.join(n)).collect())
}

impl Weights {
    /// Maps the files; nothing is read yet but their headers.
    pub(crate) fn open(folder: &Path) -> Result<Self, WeightsError> {
        let mut weights = Self { files: Vec::new(), places: HashMap::new() };
        for path in files(folder)? {
            let shown = || path.display().to_string();
            let map = Mapped::open(&path).map_err(|source| WeightsError::Map { path: shown(), source })?;
            let format = |e: safetensors::SafeTensorError| WeightsError::Format { path: shown(), why: e.to_string() };
            let (header, metadata) = SafeTensors::read_metadata(map.bytes()).map_err(format)?;
            // Behind the length of the header (8 bytes) and the header lie the tensors; offsets are checked by the crate
            // against one another, and here against the file.
            let base = 8 + header;
            for (name, info) in metadata.tensors() {
                let (begin, end) = (base + info.data_offsets.0, base + info.data_offsets.1);
                if end > map.bytes().len() {
                    return Err(WeightsError::Format { path: shown(), why: "it is cut short".to_owned() });
                }
                let file = weights.files.len();
                weights.places.insert(name, Place { file, dtype: info.dtype, shape: info.shape.clone(), begin, end });
            }
            weights.files.push(map);
        }
        Ok(weights)
    }
}

/// Where a model's tensors come from.
pub(crate) trait Source {
    /// Whether there is such a tensor.
    fn has(&self, name: &str) -> bool;

    /// A private copy of a tensor as f32, which must have this shape.
    fn tensor(&self, name: &str, wanted: &[usize]) -> Result<Tensor, WeightsError>;
}

impl Source for Weights {
    fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    fn tensor(&self, name: &str, wanted: &[usize]) -> Result<Tensor, WeightsError> {
        let place = self.places.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        if place.shape != wanted {
            let (found, wanted) = (place.shape.clone(), wanted.to_vec());
            return Err(WeightsError::Shape { name: name.to_owned(), found, wanted });
        }
        let dtype = match place.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            found => return Err(WeightsError::Type { name: name.to_owned(), found }),
        };
        let bytes = &self.files[place.file].bytes()[place.begin..place.end];
        Tensor::from_raw_buffer(bytes, dtype, wanted, &Device::Cpu)
            .and_then(|t| t.to_dtype(DType::F32))
            .map_err(|e| WeightsError::Copy { name: name.to_owned(), why: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, dtype: Dtype, shape: Vec<usize>, data: &[u8]) {
        let view = safetensors::tensor::TensorView::new(dtype, shape, data).unwrap();
        safetensors::serialize_to_file([("w", view)], None, path).unwrap();
    }

    #[test]
    fn tensors_of_all_three_types_come_out_as_f32() {
        let dir = tempfile::tempdir().unwrap();
        // 1.5 and -2.0 in each.
        for (dtype, data) in [
            (Dtype::F32, vec![0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0]),
            (Dtype::F16, vec![0, 0x3e, 0, 0xc0]),
            (Dtype::BF16, vec![0xc0, 0x3f, 0, 0xc0]),
        ] {
            write(&dir.path().join("model.safetensors"), dtype, vec![2], &data);
            let weights = Weights::open(dir.path()).unwrap();
            assert_eq!(weights.tensor("w", &[2]).unwrap().to_vec1::<f32>().unwrap(), [1.5, -2.0]);
            assert!(matches!(weights.tensor("w", &[1, 2]), Err(WeightsError::Shape { .. })));
            assert!(matches!(weights.tensor("v", &[2]), Err(WeightsError::Missing(_))));
        }
    }

    #[test]
    fn sharded_folders_work_and_bad_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Weights::open(dir.path()), Err(WeightsError::None(_))));
        let index = dir.path().join("model.safetensors.index.json");
        std::fs::write(&index, r#"{"weight_map": {"w": "../x.safetensors"}}"#).unwrap();
        assert!(Weights::open(dir.path()).unwrap_err().to_string().contains("no file of this folder"));
        std::fs::write(&index, r#"{"weight_map": {"w": "a.safetensors"}}"#).unwrap();
        assert!(matches!(Weights::open(dir.path()), Err(WeightsError::Map { .. })));
        write(&dir.path().join("a.safetensors"), Dtype::I32, vec![1], &[0; 4]);
        let weights = Weights::open(dir.path()).unwrap();
        assert!(weights.has("w") && matches!(weights.tensor("w", &[1]), Err(WeightsError::Type { .. })));
        std::fs::write(dir.path().join("a.safetensors"), b"garbage").unwrap();
        assert!(matches!(Weights::open(dir.path()), Err(WeightsError::Format { .. })));
    }
}
