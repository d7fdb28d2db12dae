//! Scheduler: PURE filtering and scoring, thin binding
