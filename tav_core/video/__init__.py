"""From a video file to frames and back, with sound, masks and sizes.

Reading: clip.py takes the frames that tuning needs, as the settings in config.py say, through decode.py (video files),
image_files.py (WebP, folders of pictures), timeline.py (which frames a stride takes), to_rgb.py (colours, rotation) and
sizes.py (crop, pad, stretch). mask.py reads masks, audio.py the sound.
Writing: write.py saves an mp4, GIF, WebP or folder of PNGs; encode.py holds the encoders.
"""
