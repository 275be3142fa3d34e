"""From the disk to frozen modules, offline; whatever is not supported is refused here, in words.

load.py is the entry: `load_checkpoint`. It reads a diffusers folder (diffusers_folder.py) or a single file
(single_file.py, with configs inferred in ldm_configs.py and what it predicts in prediction.py), and build.py makes the
modules. vae.py reads a VAE of its own. Weights come through weight_files.py, which goes by what file_kinds.py finds in
a file, and part_folders.py, which knows variants and shards. other_folders.py names folders that are no model, and
refusals.py refuses models of other families; the families themselves are listed in models/families.py. tokenizer.py
loads tokenizers, control_nets.py loads ControlNets and T2I-Adapters, and clip_weights.py and transformers_folder.py
load the CLIP and DINO that metrics use. lora.py puts LoRAs on a checkpoint: lora_file.py reads them, lora_names.py
finds their layers.
"""
