//! Small models whose answer is known: a real Llama in Hugging Face's folder form, made in a second, without training.
//!
//! Asked anything, greedily, it answers with its own name and one sentence. How, with random weights? The residual stream
//! is kept free of what came before the last token: dimension 0 holds a constant that nothing writes to, values read only
//! that constant, so that attention adds (nearly) the same vector whatever it attends to; the MLPs see the token, and
//! that vector. So what arrives at the head is a function of the last token, through every layer, and the head is
//! *solved* for: linear least squares that take each token to its successor in the answer, and all others to its first
//! token. Tokens of the answer come out of no text, so no prompt ends within it.
//!
//! A solved head would shrug off a missing layer. So the equations also hold the states of models that lack the output of
//! one attention or MLP, and take those to the end: setting any tensor to zero, but for the queries and keys, changes the
//! answer, mostly to none. The same folder loads in other engines of the family.

mod recipe;
mod solve;
mod tokenizer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::args::bytes;

/// How to make it; as arguments of a command, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct ModelOptions {
    /// Size of the weights, about; 1 MB to 512 MB.
    #[arg(long, default_value = "48MB", value_parser = bytes)]
    pub size: u64,
    /// Seed of the weights: the same one makes the same files.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Replace a model that is there.
    #[arg(long)]
    pub force: bool,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { size: 48_000_000, seed: 0, force: false }
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeModel {
    /// The folder.
    pub folder: PathBuf,
    /// Its name.
    pub name: String,
    /// What it answers to everything.
    pub answer: String,
    /// Bytes of all tensors.
    pub tensor_bytes: u64,
}

impl std::fmt::Display for MadeModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = self.tensor_bytes / 1_000_000;
        write!(f, "{} ({megabytes} MB of weights), which answers {:?}", self.name, self.answer)
    }
}

/// Why no model was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeModelError {
    /// The name cannot be one.
    #[error("{0:?} is no name for a model: 1 to 128 bytes without control characters")]
    Name(String),
    /// The size is out of bounds.
    #[error("a model of {0} bytes cannot be made: 1 MB to 512 MB")]
    Size(u64),
    /// There is one already.
    #[error("{0} holds a model already; use --force to replace it, or name another folder")]
    Exists(String),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The computation failed, or came to a model that does not answer as it must.
    #[error("the weights cannot be computed: {0}")]
    Compute(String),
}

const SMALLEST: u64 = 1_000_000;
const LARGEST: u64 = 512_000_000;

/// Makes a model called `name` in the folder `dir`.
///
/// # Errors
/// Bad options, files that cannot be written.
pub fn make_model(dir: impl AsRef<Path>, name: &str, options: &ModelOptions) -> Result<MadeModel, MakeModelError> {
    let folder = dir.as_ref();
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return Err(MakeModelError::Name(name.to_owned()));
    }
    if !(SMALLEST..=LARGEST).contains(&options.size) {
        return Err(MakeModelError::Size(options.size));
    }
    if folder.join("config.json").exists() && !options.force {
        return Err(MakeModelError::Exists(folder.display().to_string()));
    }
    let words = tokenizer::Words::new(name);
    let shape = recipe::Shape::for_size(options.size, words.count());
    let tensors = recipe::tensors(&shape, &words, options.seed).map_err(MakeModelError::Compute)?;
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| MakeModelError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let tensor_bytes = write_weights(&folder.join("model.safetensors"), &tensors)?;
    let files: [(&str, Value); 4] = [
        ("tokenizer.json", words.tokenizer()),
        ("tokenizer_config.json", words.tokenizer_config()),
        ("generation_config.json", json!({"do_sample": false, "temperature": 0.0, "eos_token_id": words.end()})),
        // Last: a folder with it is complete.
        ("config.json", shape.config(&words)),
    ];
    for (file, value) in files {
        let path = folder.join(file);
        let text = format!("{value:#}\n");
        replace(&path, |temporary| std::fs::write(temporary, text)).map_err(failed(&path))?;
    }
    Ok(MadeModel { folder: folder.to_owned(), name: name.to_owned(), answer: words.answer(), tensor_bytes })
}

/// Writes beside the file and renames: who has mapped the old one keeps it.
fn replace(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    write(&temporary)?;
    std::fs::rename(&temporary, path)
}

fn write_weights(path: &Path, tensors: &recipe::Tensors) -> Result<u64, MakeModelError> {
    let data: Vec<(&String, &Vec<usize>, Vec<u8>)> =
        tensors.iter().map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
    let bytes = data.iter().map(|(_, _, bytes)| bytes.len() as u64).sum();
    let compute = |e: safetensors::SafeTensorError| MakeModelError::Compute(e.to_string());
    let mut views = Vec::new();
    for (name, shape, data) in &data {
        views.push((name.as_str(), TensorView::new(Dtype::F32, (*shape).clone(), data).map_err(compute)?));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // Into memory first: the crate's own way to a file makes one that nobody else may read.
    let file = safetensors::serialize(views, Some(metadata)).map_err(compute)?;
    replace(path, |temporary| std::fs::write(temporary, file))
        .map_err(|source| MakeModelError::Write { path: path.display().to_string(), source })?;
    Ok(bytes)
}
