//! One accelerator as data, byte counts for people, and the rules of the two visibility variables.
//!
//! [`visible`] is what a CUDA program inside a container would see: first the container runtime's choice
//! (`NVIDIA_VISIBLE_DEVICES`), then the program's own (`CUDA_VISIBLE_DEVICES`), whose indexes count within the first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An accelerator of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// Unique name, `GPU-…`.
    pub uuid: String,
    /// Position on the node, from 0, in the order of the driver's list.
    pub index: u32,
    /// Product name as in the label `nvidia.com/gpu.product`.
    pub product: String,
    /// Memory in bytes.
    pub total_bytes: u64,
}

/// A byte count that prints as `72.00 GiB`, the way CUDA's messages do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        for (unit, shift) in UNITS {
            if self.0 >> shift > 0 {
                // Hundredths in whole numbers, so that the text does not depend on floating point.
                let hundredths = (u128::from(self.0) * 100) >> shift;
                return write!(f, "{}.{:02} {unit}", hundredths / 100, hundredths % 100);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

/// Why a visibility variable cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VisibleError {
    /// A name in the container runtime's list is no accelerator of this node.
    #[error("NVIDIA_VISIBLE_DEVICES names {entry:?}, which is no accelerator of this node (it has {known})")]
    UnknownDevice {
        /// What was asked for.
        entry: String,
        /// What there is.
        known: String,
    },
}

/// The accelerators a program sees, in its own numbering.
///
/// `nvidia` is the value of `NVIDIA_VISIBLE_DEVICES` (unset and `all`: every one; `none`, `void` and empty: none; else
/// UUIDs or indexes). `cuda` is the value of `CUDA_VISIBLE_DEVICES` (unset: all that the container has; empty: none;
/// else indexes into that list, UUIDs or unique prefixes of them; the list ends at the first entry that fits nothing,
/// as CUDA does it).
///
/// # Errors
/// [`VisibleError`] when `nvidia` names something the node does not have: a container would not start.
pub fn visible(node: &[Gpu], nvidia: Option<&str>, cuda: Option<&str>) -> Result<Vec<Gpu>, VisibleError> {
    let container = match nvidia.map(str::trim) {
        None | Some("all") => node.to_vec(),
        Some("" | "none" | "void") => Vec::new(),
        Some(list) => {
            let mut chosen: Vec<Gpu> = Vec::new();
            for entry in list.split(',').map(str::trim).filter(|e| !e.is_empty()) {
                let gpu =
                    node.iter().find(|g| g.uuid == entry || entry.parse() == Ok(g.index)).ok_or_else(|| VisibleError::UnknownDevice {
                        entry: entry.to_owned(),
                        known: node.iter().map(|g| g.uuid.as_str()).collect::<Vec<_>>().join(", "),
                    })?;
                if !chosen.contains(gpu) {
                    chosen.push(gpu.clone());
                }
            }
            chosen.sort_by_key(|g| g.index);
            chosen
        }
    };
    let Some(cuda) = cuda else {
        return Ok(container);
    };
    let mut chosen: Vec<Gpu> = Vec::new();
    for entry in cuda.split(',').map(str::trim) {
        let gpu = match entry.parse::<usize>() {
            Ok(position) => container.get(position),
            Err(_) => by_prefix(&container, entry),
        };
        match gpu {
            Some(gpu) if !chosen.contains(gpu) => chosen.push(gpu.clone()),
            // CUDA shows nothing at all when a device is listed twice.
            Some(_) => return Ok(Vec::new()),
            None => break,
        }
    }
    Ok(chosen)
}

/// The one accelerator whose UUID is `entry` or begins with it.
fn by_prefix<'a>(gpus: &'a [Gpu], entry: &str) -> Option<&'a Gpu> {
    if entry.is_empty() {
        return None;
    }
    if let Some(exact) = gpus.iter().find(|g| g.uuid == entry) {
        return Some(exact);
    }
    let mut matching = gpus.iter().filter(|g| g.uuid.starts_with(entry));
    matching.next().filter(|_| matching.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Vec<Gpu> {
        (0..3).map(|k| Gpu { uuid: format!("GPU-{}", k + 4), index: k, product: "H100".into(), total_bytes: 80 << 30 }).collect()
    }

    fn uuids(nvidia: Option<&str>, cuda: Option<&str>) -> Vec<String> {
        visible(&node(), nvidia, cuda).unwrap().into_iter().map(|g| g.uuid).collect()
    }

    #[test]
    fn bytes_print_as_cuda_prints_them() {
        assert_eq!(Bytes(80 << 30).to_string(), "80.00 GiB");
        assert_eq!(Bytes((3 << 30) / 2).to_string(), "1.50 GiB");
        assert_eq!(Bytes(12).to_string(), "12 bytes");
        assert_eq!(Bytes(u64::MAX).to_string(), "16777215.99 TiB");
    }

    #[test]
    fn container_variable_selects_first_and_indexes_count_within_it() {
        assert_eq!(uuids(None, None), ["GPU-4", "GPU-5", "GPU-6"]);
        assert_eq!(uuids(Some("all"), Some("2,0")), ["GPU-6", "GPU-4"]);
        assert_eq!(uuids(Some("GPU-6,GPU-5"), None), ["GPU-5", "GPU-6"]);
        assert_eq!(uuids(Some("GPU-5"), Some("0")), ["GPU-5"]);
        assert_eq!(uuids(Some("GPU-5"), Some("1")), Vec::<String>::new());
        assert!(uuids(Some("void"), None).is_empty() && uuids(Some(""), Some("0")).is_empty());
        assert!(visible(&node(), Some("GPU-9"), None).is_err());
    }

    #[test]
    fn cuda_variable_ends_at_the_first_invalid_entry() {
        assert_eq!(uuids(None, Some("1,-1,0")), ["GPU-5"]);
        assert_eq!(uuids(None, Some("")), Vec::<String>::new());
        assert_eq!(uuids(None, Some("GPU-5,GPU-4")), ["GPU-5", "GPU-4"]);
        assert_eq!(uuids(None, Some("GPU-")), Vec::<String>::new(), "an ambiguous prefix fits nothing");
        assert_eq!(uuids(None, Some("1,1")), Vec::<String>::new(), "a device listed twice hides all");
    }
}
