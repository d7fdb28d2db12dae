# Shortcuts; everything works with plain cargo too.

# What CI runs.
ci:
    bash .ci/run

# The main job.
demo *args:
    cargo run --release -- demo {{args}}

# All tests.
test:
    cargo test --workspace

# Format and lint.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
