"""The seeds that a user brings: finding them, whether they fit together, and their tensors.

The modules, in the order in which seeds meet them. What all seeds share:

- `hub`: repositories of the Hugging Face hub; their weights are fetched when first asked for
- `json_files`: the small JSON files beside the weights, and what is wrong with them
- `safetensors_headers`: names, types and shapes of a file's tensors
- `checkpoints`: the tensors of a model in a folder of such files
- `slots`: the tensors that a recipe fills
- `slot_checks`: whether a seed's headers fill the slots
- `embedding_rows`: rows of embeddings that a seed lacks, and what stands in for them
- `stored`: what their files have of a slot: whole tensors, each once, and adapters' factors
- `seeds`: K models of one architecture, tensor by tensor
- `seed_devices`: whether their tensors are kept on the device, in pinned memory, or on disk
- `digests`: SHA-256 of the seeds' files
- `model_cards`: what seeds say of themselves in their README.md, such as their licence
- `library_logging`: transformers and diffusers without their warnings and progress bars

Language models:

- `language_seeds`: finding a model by what the user calls it
- `adapter_settings`: which settings leave a LoRA adapter a plain sum of matrices
- `adapters`: a base with a LoRA adapter's change of it
- `language_files`: configs and tokenizers, read by transformers
- `differences`: in which settings seeds differ, and whose count then (`like`)
- `config_settings`: which settings of a config are computed with, and a user's values for them
- `language_configs`: the members' config
- `language_slots`: the slots of the model that a config describes
- `tokenizer_settings`: which settings of a tokenizer decide how it reads a text
- `language_tokenizers`: the members' tokenizer
- `chat_templates`: the members' chat template
- `generation_configs`: the members' generation config, with every seed's end tokens

Pipelines of diffusers:

- `single_files`: checkpoints in one file, and why they are no seeds
- `pipeline_folders`: finding a pipeline; its index, its configs, its files' names
- `pipelines`: a pipeline as a seed, with the weights of its components
- `pipeline_sources`: the bred components of a pipeline as one source of tensors
- `pipeline_settings`: which settings of components are computed with
- `pipeline_agreement`: whether the seeds agree in what is bred, and what it was trained on
- `pipeline_components`: whether one pipeline's components are there
- `pipeline_fit`: whether components of several pipelines fit together
- `component_differences`: in what one component differs between two pipelines
- `pipeline_differences`: in what the seeds differ beside what is bred, a line for each difference
"""
