#!/bin/sh
# What a hot call costs from Rust beyond the C function: bindings/rust/pluralis/benches/binding.rs.
set -eu
cd "$(dirname "$0")/../.."
PLURALIS_LIB_DIR=$PWD/build/release/lib
export PLURALIS_LIB_DIR
if ! command -v cargo >/dev/null; then
  echo "skip rust_call: cargo is not here" >&2
  exit 0
fi
cd bindings/rust
exec cargo bench --offline --locked --quiet --bench binding
