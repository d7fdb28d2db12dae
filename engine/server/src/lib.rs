//! Embedded inference engine and simulator with an OpenAI API and vLLM's administration routes
