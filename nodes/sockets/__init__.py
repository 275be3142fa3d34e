"""What goes over a wire or is shown on a node, in reading order:

widgets     socket types, and widgets made from the library's settings
told        what Stable Diffusion XL is told besides the text: the pooled text and the sizes of a CONDITIONING
bridge      checks and conversions between ComfyUI's values and the library's
folders     where motions and runs are kept, and which names are allowed
judges      the CLIP and DINO weights that videos are measured with
chart       pictures: the loss, previews, labels
show_text   text on a node that has run, and warnings
graph       the graph that is being queued, for what can be said before anything runs
memory      whether pictures fit into the memory that is free
error_names how ComfyUI shows the library's errors
"""
