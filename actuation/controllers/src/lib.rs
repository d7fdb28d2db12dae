//! Dual-pods controller and launcher populator: watch, plan, execute
