//! Drivers for inference engines: health, sleep, wake, model and metrics queries
