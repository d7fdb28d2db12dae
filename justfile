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

# Looks for inputs for which a parser's checks do not hold: `just fuzz http 600`. All targets share their time.
fuzz target="all" seconds="600":
    fuzz/run {{target}} {{seconds}}

# Format and lint.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
