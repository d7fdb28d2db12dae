//! JSONPath as kubectl speaks it.
