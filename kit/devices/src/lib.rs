//! Accelerator memory ledger and host link model of a node, its socket protocol and client
