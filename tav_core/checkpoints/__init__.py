"""From the disk to frozen modules, offline; whatever is not supported is refused here, in words.

load.py is the entry: `load_checkpoint`. It reads a diffusers folder (diffusers_folder.py) or a single file
(single_file.py, with configs inferred in ldm_configs.py) through weight_files.py, and build.py makes the modules.
refusals.py refuses models of other families; the families themselves are listed in models/families.py. tokenizer.py
loads tokenizers, control_nets.py loads ControlNets and T2I-Adapters, and clip_weights.py and transformers_folder.py
load the CLIP and DINO that metrics use.
"""
