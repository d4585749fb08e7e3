#!/usr/bin/env bash
# Makes the rows that axolotl reads, then runs its commands; the settings stand in axolotl.yml.
# Needs an environment with axolotl on the path (requirements.txt); PYTHON names its interpreter.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
export OMP_NUM_THREADS=2
export HF_HUB_OFFLINE=1
"${PYTHON:-python}" prepare.py
axolotl preprocess axolotl.yml
axolotl train axolotl.yml --launcher torchrun -- --standalone --nproc_per_node=1
axolotl merge-lora axolotl.yml
