#!/usr/bin/env bash
# Runs the stages of config.json that are not done yet. Options go to main.py, e.g. --stages train.
# Needs the packages of requirements.txt; PYTHON names the interpreter that has them.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
export OMP_NUM_THREADS=8
export HF_HUB_DISABLE_TELEMETRY=1
export HF_HUB_OFFLINE=1
export TOKENIZERS_PARALLELISM=false
exec "${PYTHON:-python}" main.py "$@"
