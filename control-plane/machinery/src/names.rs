//! Names: which strings may name what.
