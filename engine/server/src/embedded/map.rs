//! Mapping the weight files. One of the crate's two unsafe modules.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// A file in memory, read on demand and shared with everybody who maps it.
#[derive(Debug)]
pub(super) struct Mapped(Mmap);

impl Mapped {
    #[allow(unsafe_code)]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is private and read-only, and nothing keeps references into it beyond a call: tensors are copied
        // out of it. What cannot be excluded is that another process changes the file meanwhile: then a copy holds what
        // it read, as with `read`; a file that is cut short ends the process with SIGBUS, which is why weights are
        // replaced by renaming, never in place.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
