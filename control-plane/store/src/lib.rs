//! Revisioned in-memory object store with a watch log
