"""Express a genome: from the seeds to the one resident model, in place.

- `combine`: a model's tensors as sums of the seeds' tensors; it chooses one of three ways
- `factored`: a tensor of K seeds, some of them low-rank changes of one that they share
- `fused_numba`: the sum in one pass over memory, on the CPU, compiled by numba
- `fused_torch`: the sum in one pass over memory, on a GPU, compiled by torch
- `resident`: the resident model: made on first use, on its device, ready to be asked
"""
