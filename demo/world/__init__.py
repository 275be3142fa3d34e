"""The demo's world: simple shapes on backgrounds, how they are drawn, and the words for them.

world.py describes and draws one scene, with sdf.py (shapes) and palette.py (colours). stills.py makes random scenes to
train on. clips.py holds the clips and their edits, which clip_scenes.py defines. captions.py and vocabulary.py hold the
words. discs.py draws what the T2I-Adapter sees; edit_masks.py says where an edit may change a clip.
"""
