#!/usr/bin/env bash
# Run a command as on a processor with fewer instructions than this one: AVX2 where this one has AVX-512, else none.
#   tests/portable.sh COMMAND...
# torch's own kernels, oneDNN's and MKL's choose among instruction sets, each by a variable of its own.
set -euo pipefail
python=$(dirname "$0")/../.venv/bin/python
native=$("$python" -c 'import torch; print(torch.backends.cpu.get_cpu_capability())')
case $native in
  AVX512) export ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 ;;
  AVX2) export ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 ;;
  *) echo "this processor's instructions ($native) have no smaller set to train with" >&2 && exit 0 ;;
esac
taken=$("$python" -c 'import torch; print(torch.backends.cpu.get_cpu_capability())')
echo "native instructions: $native; training with: $taken"
[ "$taken" != "$native" ]
exec env "$@"  # which takes assignments too
