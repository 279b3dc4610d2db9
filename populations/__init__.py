"""The species that can be bred: their seeds, how a genome is expressed, how a member is saved.

Modules of torch:

- `modules`: any torch module; its genome is all of its parameters
- `mnist`: digit classifiers
- `linear_chains`, `stacks`: chains of linear layers; modules run together
- `state_files`: state dicts in safetensors files

Merged checkpoints, whose genomes are recipes over the seeds:

- `merged`: what they share
- `llm`, `language_companions`, `language_resident`: language models; what stands beside their
  weights; the one that is resident
- `diffusion`, `pipeline_plan`: image generators; which component comes from which seed
- `dtypes`: the resident model's number type, and whether the processor computes in it
- `units`: attention heads, MLP units and channels by the names of tensors
- `methods`, `method_kinds`, `method_parameters`, `method_ranges`, `seeded_drops`: merge methods of
  mergekit, and their numbers that are searched
- `task_vectors`, `method_merging`: what a method leaves of the seeds, made once for all births
- `mergekit_config`: a recipe as a config of mergekit

For all of them:

- `seeds/`: what a user brings
- `express/`: from a genome to the resident model
- `settings/`: settings are checked at once, and what is heavy is loaded on first use
- `skills/`, `painters/`: tiny models that the demos breed
"""
