"""From a video file to frames and back, with sound, masks and sizes.

Reading: clip.py takes the frames that tuning needs, as the settings in config.py say, through decode.py (video files),
image_files.py (WebP, folders of pictures), timeline.py (which frames a stride takes), to_rgb.py (colours, rotation) and
sizes.py (crop, pad, stretch). mask.py reads masks, audio.py the sound. decode.py stands on streams.py (which track),
clock.py (joined recordings), stamps.py (when each frame is shown), h264_fields.py and deinterlace.py (interlacing).
Moving: animate.py cuts an object out and moves it along a path (motion_path.py), fill.py fills its place, warp.py moves
the camera.
Writing: write.py saves an mp4, GIF, WebP or folder of PNGs; encode.py holds the encoders, watermark.py an invisible
mark. notes.py reads what a file says about how it was made.
"""
