"""The second world: creatures and machines that move, in places that a person recognises, at 128 x 128 pixels.

Everything is drawn by this package. A caption can name subject, place, thing and style; it never names the rest.
"""
