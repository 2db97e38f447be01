#!/bin/sh
# Copying a published ledger, beside curl fetching the same files.
set -eu
exec python3 "$(dirname "$0")/mirror_bench.py"
